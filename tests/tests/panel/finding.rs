//! In long lists people find what they look for, and no page shows or asks for all of it.

use postern_proto::account::v1::{CreateMailboxRequest, MailingList, NewPassword, new_password::Secret};
use postern_tests::{
    admin::{Admin, PASSWORD},
    browser::Looks,
    web::Web,
};

use crate::house::House;

const BASE: &str = "/controlpanel/homepage.test";
/// More than any page of a list shows.
const MANY: usize = 105;
/// A ready hash: nobody logs in.
const PHC: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

async fn fill(admin: &Admin) -> anyhow::Result<()> {
    let many = || (0..MANY).map(|n| format!("a{n:03}@homepage.test")).chain(["zoe@homepage.test".to_owned()]);
    for address in many() {
        let password = Some(NewPassword { secret: Some(Secret::Phc(PHC.to_owned())) });
        let request = CreateMailboxRequest { address: address.clone(), password, ..Default::default() };
        admin.mailboxes().create_mailbox(request).await?;
        admin.forward(&format!("to-{address}"), &["out@outside.test"], false).await?;
        admin.autoresponder(&format!("on-{address}"), "Away", "Back on Monday").await?;
        let list = MailingList { address: format!("l-{address}"), ..MailingList::default() };
        admin.mailing_list(list, &[]).await?;
    }
    let list = MailingList { address: "big@homepage.test".to_owned(), ..MailingList::default() };
    admin.mailing_list(list, &many().collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_is_searched_by_what_its_names_begin_with() -> anyhow::Result<()> {
    let house = House::start().await?;
    fill(&house.admin).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    // The list, what is looked for, and an address that is found.
    let lists = [
        ("pop-accounts", "Zo", "zoe"),
        ("set-up", "zoe%40home", "zoe"),
        ("forwards", "to-z", "to-zoe"),
        ("autoresponders", "on-z", "on-zoe"),
        ("mailing-lists", "l-z", "l-zoe"),
        ("mailing-lists/of/big@homepage.test", "zo", "zoe"),
    ];
    let shown = |name: &str| {
        format!("<span class=\"address\">{name}<span class=\"broken\">@homepage.test</span></span>")
    };
    for (page, prefix, name) in lists {
        let page = format!("{BASE}/{page}");
        let first = web.get(&page).await?;
        assert!(
            first.status == 200 && !first.body.contains(&shown(name)),
            "{page}: it is not on the first page"
        );
        assert!(first.body.contains("role=\"search\""), "{page}: {}", first.body);
        let found = web.get(&format!("{page}?find={prefix}")).await?;
        let first_name = name.replace("zoe", "a000");
        assert!(
            first.body.contains(&shown(&first_name)) && !found.body.contains(&shown(&first_name)),
            "{page}"
        );
        assert!(found.status == 200 && found.body.contains(&shown(name)), "{page}: {}", found.body);
        let nothing = web.get(&format!("{page}?find=qqq")).await?;
        assert!(nothing.body.contains("Nothing here begins with “qqq”."), "{page}: {}", nothing.body);
        // What is looked for stays on the next page.
        let all = web.get(&format!("{page}?find={}", &name[..name.len() - 3])).await?;
        let next =
            all.body.split("href=\"").find(|rest| rest.contains("page=") && rest.contains("Next page"));
        if name.len() > 3 {
            let next = next.unwrap_or_default().split('"').next().unwrap_or_default().replace("&amp;", "&");
            assert!(next.starts_with(&format!("{page}?find=")), "{page}: {next}");
            assert_eq!(web.get(&next).await?.status, 200, "{next}");
        }
    }
    Ok(())
}

/// A search that cannot be meant is told where it was typed, and stays to be mended.
#[tokio::test(flavor = "multi_thread")]
async fn a_mistake_in_a_search_is_told_at_its_field() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut owner = Web::new(house.platform.panel());
    owner.sign_in("homepage", PASSWORD).await?;
    let mut staff = Web::new(house.platform.panel());
    staff.sign_in_with_token(house.platform.operator_token()).await?;
    const OPERATOR: &str = "/controlpanel/operator";
    for (is_staff, page, query, field) in [
        (false, format!("{BASE}/mail"), "address=no+address&state=sent&from=2026-01-02", "address"),
        (false, format!("{BASE}/mail"), "address=a%40b.test&from=no+address&state=sent", "from"),
        (false, format!("{BASE}/activity"), "name=x&from=2026-01-02&to=no+address", "to"),
        (false, format!("{BASE}/activity"), "name=no+address&from=2026-01-02&to=2026-01-01", "to"),
        (true, format!("{OPERATOR}/audit"), "customer=no+address&actor=x", "customer"),
        (true, format!("{OPERATOR}/domains"), "customer=no+address&find=x", "customer"),
        (true, format!("{OPERATOR}/queue"), "customer=no+address", "customer"),
        (true, format!("{OPERATOR}/grants"), "client=no+address", "client"),
    ] {
        let web = if is_staff { &mut staff } else { &mut owner };
        let answer = web.get(&format!("{page}?{query}")).await?;
        assert_eq!(answer.status, 422, "{page}?{query}: {}", answer.body);
        assert!(answer.body.contains(&format!("id=\"{field}-problem\"")), "{page}?{query}: {}", answer.body);
        for typed in query.split('&').filter_map(|pair| pair.split('=').nth(1)) {
            let typed = typed.replace('+', " ").replace("%40", "@");
            let stands = answer.body.contains(&format!("value=\"{typed}\""));
            assert!(stands, "{page}?{query}: {typed} stays in the form: {}", answer.body);
        }
        assert!(!answer.body.contains("class=\"empty\""), "{page}?{query}: nothing was looked for");
    }
    // What comes along when a name is copied from a table is no mistake.
    let found = owner.get(&format!("{BASE}/pop-accounts?find=us%09er")).await?;
    assert!(found.status == 200 && found.body.contains("user<span"), "{}", found.body);
    Ok(())
}

/// All that a page shows is ticked by one press, with scripts or without, and what was looked for stays.
#[tokio::test(flavor = "multi_thread")]
async fn all_lines_are_ticked_at_once_and_what_is_looked_for_stays() -> anyhow::Result<()> {
    let house = House::start().await?;
    let list = MailingList { address: "news@homepage.test".to_owned(), ..MailingList::default() };
    let members = ["a1@out.test", "a2@out.test", "b1@out.test", "b2@out.test"].map(str::to_owned);
    house.admin.mailing_list(list, &members).await?;
    for (scripts, begin) in [(true, "a"), (false, "b")] {
        let browser = house.browser(Looks { scripts, ..Looks::default() }).await?;
        browser.open(&format!("{BASE}/mailing-lists/of/news@homepage.test?find={begin}")).await?;
        let ticked = async || {
            let ticked = fantoccini::Locator::Css("main input[name='member']:checked");
            anyhow::Ok(browser.client.find_all(ticked).await?.len())
        };
        for (link, count) in [("all", 2), ("none", 0), ("all", 2)] {
            let link = format!("main a[data-tick='{link}']");
            // With scripts there is no page to wait for.
            if scripts {
                browser.find(&link).await?.click().await?
            } else {
                browser.press(&link).await?
            }
            assert_eq!(ticked().await?, count, "{link}, scripts: {scripts}");
            assert_eq!(browser.value("find").await?, begin);
        }
        browser.press_text("Remove ticked members").await?;
        assert!(browser.said().await?.contains("Removed from the list: 2 members"));
        assert_eq!(browser.value("find").await?, begin, "what was looked for stays");
        browser.press_text("Undo").await?;
        assert_eq!(browser.value("find").await?, begin);
        assert!(browser.text("table").await?.contains(&format!("{begin}2@out.test")));
        browser.close().await?;
    }
    Ok(())
}

/// However many mailboxes were removed, each can be found and brought back.
#[tokio::test(flavor = "multi_thread")]
async fn all_removed_mailboxes_are_reached_by_pages() -> anyhow::Result<()> {
    let house = House::start().await?;
    for n in 0..23 {
        let address = format!("gone{n:02}@homepage.test");
        let password = Some(NewPassword { secret: Some(Secret::Phc(PHC.to_owned())) });
        let request = CreateMailboxRequest { address: address.clone(), password, ..Default::default() };
        house.admin.mailboxes().create_mailbox(request).await?;
        house.admin.remove_mailbox(&address).await?;
    }
    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    browser.open(&format!("{BASE}/pop-accounts")).await?;
    let mut seen = browser.text("#removed").await?;
    browser.press_text("More removed accounts").await?;
    let later = browser.text("#removed").await?;
    assert!(later.contains("First page") && !later.contains("More removed accounts"), "{later}");
    seen += &later;
    for n in 0..23 {
        let address = format!("gone{n:02}@homepage.test");
        assert_eq!(seen.matches(&address).count(), 1, "{address}: {seen}");
    }
    browser.press("#removed form button").await?;
    assert!(browser.said().await?.contains("is back"));
    browser.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_many_domains_finds_one_and_is_not_shown_all() -> anyhow::Result<()> {
    let house = House::start().await?;
    for n in 0..70 {
        house.admin.another_domain("homepage", &format!("d{n:02}.test"), true).await?;
    }
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let domains = |body: &str| body.matches("/home\"").count();
    for front in ["/controlpanel", "/controlpanel/domains"] {
        let all = web.get(front).await?;
        assert_eq!((all.status, domains(&all.body)), (200, 60), "{front}");
    }
    let found = web.get("/controlpanel/domains?find=HOME").await?;
    assert!(domains(&found.body) == 1 && found.body.contains("/controlpanel/homepage.test/home"));
    // The page of a domain that is far down the list offers some others, and the way to all.
    let page = web.get("/controlpanel/homepage.test/home").await?;
    assert_eq!(page.status, 200);
    assert!(domains(&page.body) < 40, "{}", domains(&page.body));
    assert!(page.body.contains("href=\"/controlpanel/domains\""), "{}", page.body);
    // Whoever comes by the host of one domain begins there, and has a way to the others.
    let mut there = Web::new(house.platform.panel()).at_host("mail.d42.test");
    there.sign_in("homepage", PASSWORD).await?;
    assert_eq!(there.get("/controlpanel").await?.location, "/controlpanel/d42.test/home");
    assert_eq!(domains(&there.get("/controlpanel/domains").await?.body), 60);
    // A domain of somebody else is none of the own.
    let mut there = Web::new(house.platform.panel()).at_host("mail.rival.test");
    there.sign_in("homepage", PASSWORD).await?;
    assert_eq!(there.get("/controlpanel").await?.status, 200);
    assert_eq!(there.get("/controlpanel/rival.test/home").await?.status, 404);

    // Staff find customers and domains; a row names a few domains, and how many more there are.
    let mut staff = Web::new(house.platform.panel());
    staff.sign_in_with_token(house.platform.operator_token()).await?;
    let customers = staff.get("/controlpanel/operator/customers?find=Homep").await?.body;
    assert!(customers.contains("d00.test") && !customers.contains("d60.test"), "{customers}");
    assert!(customers.contains("and 66 more") && !customers.contains("rival"), "{customers}");
    let found = staff.get("/controlpanel/operator/domains?find=d6").await?.body;
    assert!(found.contains("d60.test") && !found.contains("d50.test"), "{found}");
    Ok(())
}
