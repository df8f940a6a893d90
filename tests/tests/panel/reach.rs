//! Who reaches what, beside the menus of another customer: courses and stories by their numbers, the things of whoever owns the
//! domain for the user of one box, and what support looks at and does not change.

use postern_tests::{admin::PASSWORD, pop3::read_all, web::Web};

use crate::{
    house::House,
    safety::{OBJECTS, named, state_of, things_of},
};

async fn signed_in(house: &House, login: &str) -> anyhow::Result<Web> {
    let mut web = Web::new(house.platform.panel());
    anyhow::ensure!(web.sign_in(login, PASSWORD).await?.status == 303, "{login} does not get in");
    Ok(web)
}

/// What stands behind each of these in a page, until a quote.
fn all_behind(page: &str, begin: &str) -> Vec<String> {
    page.split(begin).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// The rival clears, imports, adds members and gets mail: the pages of all that, and the number of the clearing.
async fn courses_of_rival(rival: &mut Web, house: &House) -> anyhow::Result<(Vec<String>, String)> {
    const BOX: &str = "/controlpanel/rival.test/pop-accounts/box/user@rival.test";
    const LIST: &str = "/controlpanel/rival.test/mailing-lists/of/news@rival.test";
    assert!(house.send("user@rival.test", "a secret").await?.starts_with("250 "));
    let cleared = rival.submit(&format!("{BOX}/clear"), &[("scope", "all")]).await?.location;
    let file = "From x\nSubject: imported\n\nHello\n\n";
    let mut sending = rival.send_file(&format!("{BOX}/import"), "x.mbox", file.len()).await?;
    sending.piece(file.as_bytes()).await?;
    let imported = sending.finish().await?.location;
    let fields = [("addresses", "more@outside.test")];
    let added = rival.submit(&format!("{LIST}/members"), &fields).await?.location;
    let mail = rival.get("/controlpanel/rival.test/mail").await?.body;
    let story = all_behind(&mail, "/controlpanel/rival.test/mail/story/").remove(0);
    let story = format!("/controlpanel/rival.test/mail/story/{story}");
    let clearing = cleared.rsplit('/').next().unwrap_or_default().to_owned();
    Ok((vec![cleared, imported, added, story], clearing))
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_others_lead_nowhere() -> anyhow::Result<()> {
    let house = House::start().await?;
    things_of(&house, "rival.test").await?;
    things_of(&house, "homepage.test").await?;
    let mut rival = signed_in(&house, "rival").await?;
    let (pages, clearing) = courses_of_rival(&mut rival, &house).await?;
    // Removals that the rival itself can undo, by their numbers.
    rival.submit("/controlpanel/rival.test/forwards/of/info@rival.test/remove", &[]).await?;
    rival.submit("/controlpanel/rival.test/autoresponders/of/away@rival.test/remove", &[]).await?;
    let activity = rival.get("/controlpanel/rival.test/activity").await?.body;
    let removals = all_behind(&activity, "name=\"audit-id\" value=\"");
    assert!(removals.len() >= 2, "{activity}");
    let mut second = signed_in(&house, "rival").await?;
    let security = rival.get("/controlpanel/security").await?.body;
    let sessions = all_behind(&security, "name=\"session-id\" value=\"");
    assert!(!sessions.is_empty(), "{security}");
    let before = state_of(&house, "rival.test").await?;

    let mut own = signed_in(&house, "homepage").await?;
    let mut user = signed_in(&house, "user@homepage.test").await?;
    for page in &pages {
        assert_eq!(rival.get(page).await?.status, 200, "its owner reads {page}");
        // By the rival's domain, at the own domain, and below the own box and list.
        let at_own = page.replacen("rival.test", "homepage.test", 1);
        let below_own = page.replace("rival.test", "homepage.test");
        for path in [page, &at_own, &below_own] {
            for (who, web) in [("owner", &mut own), ("user", &mut user)] {
                let answer = web.get(path).await?;
                assert!(matches!(answer.status, 403 | 404), "{who} reads {path}: {}", answer.status);
            }
        }
    }
    for web in [&mut own, &mut user] {
        for id in &removals {
            let answer = web.submit("/controlpanel/homepage.test/activity/undo", &[("audit-id", id)]).await?;
            assert!(matches!(answer.status, 403 | 404), "{id}: {} {}", answer.status, answer.body);
        }
        let box_of_own = "/controlpanel/homepage.test/pop-accounts/box/user@homepage.test";
        let fields = [("clearing-id", clearing.as_str())];
        let answer = web.submit(&format!("{box_of_own}/bring-back"), &fields).await?;
        assert!(matches!(answer.status, 404 | 422), "{} {}", answer.status, answer.body);
        for id in &sessions {
            web.submit("/controlpanel/security/sessions/end", &[("session-id", id)]).await?;
        }
    }
    for web in [&mut rival, &mut second] {
        assert_eq!(web.get("/controlpanel/rival.test/home").await?.status, 200, "the session goes on");
    }
    assert_eq!(state_of(&house, "rival.test").await?, before);
    let mail = read_all(house.platform.pop3(0), "user@rival.test", PASSWORD).await?;
    assert_eq!(mail.len(), 1, "what was imported; what was cleared was not brought back");
    assert!(read_all(house.platform.pop3(0), "user@homepage.test", PASSWORD).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_one_box_changes_that_one() -> anyhow::Result<()> {
    let house = House::start().await?;
    things_of(&house, "homepage.test").await?;
    house.admin.mailbox("other@homepage.test").await?;
    let before = state_of(&house, "homepage.test").await?;
    // Of the same owner: everything of another box, and everything that is the domain's.
    let mut other = signed_in(&house, "other@homepage.test").await?;
    for (path, fields) in OBJECTS {
        let path = format!("/controlpanel/homepage.test/{}", named(path, "homepage.test"));
        let page = other.get(&path).await?;
        let reads = page.body.contains("Back on Monday") || page.body.contains("user@homepage.test</");
        assert!(!reads, "reads {path}: {}", page.body);
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (*name, named(value, "homepage.test"))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = other.submit(&path, &fields).await?;
        assert!(matches!(answer.status, 403..=405 | 422), "does {path}: {} {}", answer.status, answer.body);
    }
    assert_eq!(state_of(&house, "homepage.test").await?, before);
    for login in ["user@homepage.test", "other@homepage.test"] {
        assert!(house.opens(login, PASSWORD, true).await, "{login}");
    }
    Ok(())
}

/// What support does for people, as the table of rights has it; everything else it only looks at.
const HELP: [&str; 5] = ["/release", "/revoke", "/clear", "/bring-back", "trouble/mend/release"];

/// A page offers what its reader may do, and nothing else.
async fn offered(house: &House, support: &mut Web) -> anyhow::Result<()> {
    const SAVE: &str = "class=\"primary\" type=\"submit\"";
    let mut owner = signed_in(house, "homepage").await?;
    for page in [
        "pop-accounts/box/user@homepage.test",
        "pop-accounts/box/user@homepage.test/app-passwords",
        "forwards/of/info@homepage.test",
        "mailing-lists/of/news@homepage.test",
        "mailing-lists/of/news@homepage.test/settings",
        "autoresponders/of/away@homepage.test",
        "default-address",
    ] {
        let path = format!("/controlpanel/homepage.test/{page}");
        assert!(owner.get(&path).await?.body.contains(SAVE), "{page}: the owner saves");
        let seen = support.get(&path).await?;
        assert!(seen.status == 200 && !seen.body.contains(SAVE), "{page}: {}", seen.body);
    }
    for menu in ["pop-accounts", "forwards", "mailing-lists", "autoresponders"] {
        let path = format!("/controlpanel/homepage.test/{menu}");
        let new = format!("href=\"{path}/new\"");
        assert!(owner.get(&path).await?.body.contains(&new), "{menu}: the owner makes one");
        let seen = support.get(&path).await?;
        assert!(seen.status == 200 && !seen.body.contains(&new), "{menu}: {}", seen.body);
        assert_eq!(support.get(&format!("{path}/new")).await?.status, 403, "{menu}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn support_looks_and_changes_nothing_that_is_the_owners() -> anyhow::Result<()> {
    let house = House::start().await?;
    things_of(&house, "homepage.test").await?;
    let (code, token, errors) = house
        .platform
        .postern(
            &["token", "add", "--role", "support", "--name", "s", "--scope", "*:read", "--scope", "*:write"],
            "",
        )
        .await?;
    anyhow::ensure!(code == 0, "{errors}");
    let token = token.split_whitespace().find(|word| word.starts_with("pst_")).unwrap_or_default().to_owned();
    let mut support = Web::new(house.platform.panel());
    assert_eq!(support.sign_in_with_token(&token).await?.status, 303);
    offered(&house, &mut support).await?;
    let before = state_of(&house, "homepage.test").await?;
    for (path, fields) in OBJECTS.iter().filter(|(path, _)| !HELP.iter().any(|help| path.ends_with(help))) {
        let path = format!("/controlpanel/homepage.test/{}", named(path, "homepage.test"));
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| (*name, named(value, "homepage.test"))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = support.submit(&path, &fields).await?;
        assert!(matches!(answer.status, 403..=405 | 422), "does {path}: {} {}", answer.status, answer.body);
    }
    assert_eq!(state_of(&house, "homepage.test").await?, before);
    assert!(house.opens("user@homepage.test", PASSWORD, true).await);
    Ok(())
}
