//! Each menu creates, changes, removes and undoes, without scripts, and mail goes by it at once.

use std::time::Duration;

use postern::sink::{Sink, SinkSettings};
use postern_proto::auth::v1::ListGrantsRequest;
use postern_tests::{
    admin::PASSWORD,
    browser::{Browser, Looks},
    eventually,
    platform::Blueprint,
    pop3::Pop3,
    smtp,
};

use crate::house::{House, NEW_PASSWORD};

#[tokio::test(flavor = "multi_thread")]
async fn every_menu_works_without_scripts_and_is_live_at_once() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    assert!(browser.text("h1").await?.contains("homepage.test"), "one arrives at the own domain");
    pop_accounts(&house, &browser).await?;
    sessions_and_grants(&house, &browser).await?;
    forwards(&house, &browser).await?;
    mailing_lists(&house, &browser).await?;
    autoresponders(&house, &browser).await?;
    default_address(&house, &browser).await?;
    incoming_mail(&house, &browser).await?;
    activity(&house, &browser).await?;
    browser.close().await
}

const BASE: &str = "/controlpanel/homepage.test";

async fn pop_accounts(house: &House, browser: &Browser) -> anyhow::Result<()> {
    assert!(house.send("anna@homepage.test", "for the default box").await?.starts_with("250 "));
    browser.open(&format!("{BASE}/pop-accounts/new")).await?;
    // Too short: told at its field, and what was typed stays.
    browser.fill("local", "anna").await?;
    browser.fill("display-name", "Anna & <b>Söhne</b>").await?;
    browser.fill("password", "short").await?;
    browser.fill("password-again", "short").await?;
    browser.press_text("Create POP account").await?;
    assert!(browser.text("#password-problem").await?.contains("at least 8"));
    assert_eq!(browser.value("local").await?, "anna");
    assert_eq!(browser.value("password").await?, "", "a password is never in a page");
    browser.fill("password", NEW_PASSWORD).await?;
    browser.fill("password-again", NEW_PASSWORD).await?;
    browser.press_text("Create POP account").await?;
    assert!(browser.said().await?.contains("anna@homepage.test was created"));
    assert!(house.opens("anna@homepage.test", NEW_PASSWORD, true).await);
    assert!(house.send("anna@homepage.test", "first-mail").await?.starts_with("250 "));
    assert!(house.has_mail("anna@homepage.test", NEW_PASSWORD, "first-mail").await);

    // Another name and size; another password.
    browser.fill("display-name", "Anna").await?;
    browser.choose("quota-kind", "own").await?;
    browser.fill("quota", "50").await?;
    browser.press_text("Save").await?;
    assert!(browser.said().await?.contains("was changed"));
    let stored = house.admin.get_mailbox("anna@homepage.test").await?;
    assert_eq!((stored.display_name.as_str(), stored.quota_bytes), ("Anna", Some(50_000_000)));
    browser.fill("password", "quite another one").await?;
    browser.fill("password-again", "quite another one").await?;
    browser.press_text("Set password").await?;
    assert!(house.opens("anna@homepage.test", NEW_PASSWORD, false).await);
    assert!(house.opens("anna@homepage.test", "quite another one", true).await);

    // Removed, with what still points at it; and back, the same box.
    house.admin.forward("sales@homepage.test", &["anna@homepage.test"], false).await?;
    house
        .admin
        .default_address("homepage.test", postern_proto::account::v1::DefaultAction::Reject, "")
        .await?;
    browser.press_text("Remove account").await?;
    browser.press_text("Remove account").await?;
    let said = browser.said().await?;
    assert!(
        said.contains("anna@homepage.test was removed") && said.contains("forward sales@homepage.test"),
        "{said}"
    );
    assert!(house.is_taken("anna@homepage.test", false).await);
    assert!(house.opens("anna@homepage.test", "quite another one", false).await);
    browser.press_text("Undo").await?;
    assert!(browser.said().await?.contains("is back"));
    assert!(house.is_taken("anna@homepage.test", true).await);
    assert!(house.has_mail("anna@homepage.test", "quite another one", "first-mail").await);
    house.admin.remove_forward("sales@homepage.test").await
}

async fn sessions_and_grants(house: &House, browser: &Browser) -> anyhow::Result<()> {
    let mut session = Pop3::login(house.platform.pop3(0), "user@homepage.test", PASSWORD).await?;
    browser.open(&format!("{BASE}/pop-accounts/box/user@homepage.test")).await?;
    assert!(browser.text("main").await?.contains("127.0.0.1"), "who holds the box is told");
    browser.press_text("End that session").await?;
    assert!(browser.said().await?.contains("is free"));
    assert!(house.opens("user@homepage.test", PASSWORD, true).await);
    drop(session.command("NOOP").await);
    // That login let this computer send; it is told, and taken away.
    browser.open(&format!("{BASE}/pop-accounts/box/user@homepage.test")).await?;
    browser.press_text("Revoke").await?;
    assert!(browser.said().await?.contains("may not send any more"));
    let request = ListGrantsRequest { login: "user@homepage.test".to_owned(), ..Default::default() };
    assert!(house.admin.relay().list_grants(request).await?.into_inner().grants.is_empty());
    // Emptied, and filled again.
    assert!(house.send("user@homepage.test", "to-be-cleared").await?.starts_with("250 "));
    browser.press_text("Empty this mailbox …").await?;
    browser.press_text("Take out all messages").await?;
    assert!(browser.said().await?.contains("Taken out: 1 message"));
    let mailbox_id = house.admin.get_mailbox("user@homepage.test").await?.mailbox_id;
    assert_eq!(house.admin.message_count(mailbox_id).await?, 0);
    browser.client.refresh().await?;
    assert!(browser.said().await?.contains("Taken out: 1 message"), "it survives a reload");
    browser.press_text("Bring back").await?;
    assert!(browser.said().await?.contains("Back in the mailbox: 1 message"));
    assert_eq!(house.admin.message_count(mailbox_id).await?, 1);
    Ok(())
}

async fn forwards(house: &House, browser: &Browser) -> anyhow::Result<()> {
    browser.open(&format!("{BASE}/forwards")).await?;
    assert!(
        browser.text(".empty").await?.contains("info@homepage.test"),
        "an empty list says what it is for"
    );
    browser.press_text("New forward").await?;
    browser.fill("local", "info").await?;
    browser.fill("targets", "no address").await?;
    browser.press_text("Create forward").await?;
    browser.wait_for("#targets-problem").await?;
    assert_eq!(browser.value("targets").await?, "no address");
    browser.fill("targets", "user@homepage.test\nsomeone@outside.test").await?;
    browser.press_text("Create forward").await?;
    assert!(browser.said().await?.contains("info@homepage.test is forwarded"));
    assert!(house.is_taken("info@homepage.test", true).await);
    assert!(house.send("info@homepage.test", "by-the-forward").await?.starts_with("250 "));
    assert!(house.has_mail("user@homepage.test", PASSWORD, "by-the-forward").await);
    let left = eventually(Duration::from_secs(10), async || {
        house
            .platform
            .sink
            .messages()
            .iter()
            .any(|m| String::from_utf8_lossy(&m.content).contains("by-the-forward"))
    });
    assert!(left.await, "the outside target gets it too");

    browser.open(&format!("{BASE}/forwards/of/info@homepage.test")).await?;
    browser.fill("targets", "anna@homepage.test").await?;
    browser.press_text("Save").await?;
    assert!(house.send("info@homepage.test", "after-the-change").await?.starts_with("250 "));
    assert!(house.has_mail("anna@homepage.test", "quite another one", "after-the-change").await);
    // A ring is told with its way.
    browser.open(&format!("{BASE}/forwards/new")).await?;
    browser.fill("local", "ring").await?;
    browser.fill("targets", "ring@homepage.test").await?;
    browser.press_text("Create forward").await?;
    assert!(browser.text("main").await?.contains("ring@homepage.test"));
    assert!(house.is_taken("ring@homepage.test", false).await);

    browser.open(&format!("{BASE}/forwards/of/info@homepage.test")).await?;
    browser.press_text("Remove forward").await?;
    assert!(house.is_taken("info@homepage.test", false).await);
    browser.press_text("Undo").await?;
    assert!(browser.said().await?.contains("is back"));
    assert!(house.is_taken("info@homepage.test", true).await);
    Ok(())
}

async fn mailing_lists(house: &House, browser: &Browser) -> anyhow::Result<()> {
    browser.open(&format!("{BASE}/mailing-lists")).await?;
    browser.press_text("New mailing list").await?;
    browser.fill("local", "news").await?;
    browser.fill("description", "What is new").await?;
    browser.find("main input[value='anyone']").await?.click().await?;
    browser.fill("prefix", "[news]").await?;
    browser.press_text("Create mailing list").await?;
    assert!(browser.said().await?.contains("news@homepage.test was created"));
    browser
        .fill("addresses", "user@homepage.test\nno address\nuser@homepage.test\nreader@outside.test")
        .await?;
    browser.press_text("Add members").await?;
    let said = browser.said().await?;
    assert!(said.contains("2 added, 1 already there, 1 not taken"), "{said}");
    assert_eq!(browser.value("addresses").await?, "no address", "what is to be mended stays");
    browser.client.refresh().await?;
    let main = browser.text("main").await?;
    assert!(main.contains("2 added, 1 already there, 1 not taken"), "it survives a reload: {main}");
    assert!(house.is_taken("news@homepage.test", true).await);
    assert!(house.send("news@homepage.test", "to-the-list").await?.starts_with("250 "));
    assert!(
        house.has_mail("user@homepage.test", PASSWORD, "[news] to-the-list").await
            || house.has_mail("user@homepage.test", PASSWORD, "to-the-list").await
    );

    browser.open(&format!("{BASE}/mailing-lists/of/news@homepage.test/settings")).await?;
    assert_eq!(browser.value("prefix").await?, "[news]");
    browser.find("main input[value='owner']").await?.click().await?;
    browser.press_text("Save").await?;
    let refused = eventually(crate::house::LIVE, async || {
        house
            .send("news@homepage.test", "not from a stranger")
            .await
            .is_ok_and(|reply| reply.starts_with("550 "))
    });
    assert!(refused.await, "only the owner posts from now on");

    browser.find("main input[value='reader@outside.test']").await?.click().await?;
    browser.press_text("Remove ticked members").await?;
    assert!(browser.said().await?.contains("1 member"));
    browser.press_text("Undo").await?;
    assert!(browser.text("table").await?.contains("reader@outside.test"));
    browser.press_text("Remove list").await?;
    browser.press_text("Remove list").await?;
    assert!(house.is_taken("news@homepage.test", false).await);
    browser.press_text("Undo").await?;
    assert!(browser.text("table").await?.contains("reader@outside.test"), "it is back with its members");
    Ok(())
}

async fn autoresponders(house: &House, browser: &Browser) -> anyhow::Result<()> {
    browser.open(&format!("{BASE}/autoresponders")).await?;
    browser.press_text("New autoresponder").await?;
    browser.fill("local", "hours").await?;
    browser.fill("subject", "Our hours").await?;
    browser.fill("text", "Nine to five. You wrote: {subject}").await?;
    browser.press_text("Create autoresponder").await?;
    assert!(browser.said().await?.contains("hours@homepage.test answers by itself now"));
    assert!(house.is_taken("hours@homepage.test", true).await);
    // Only mail that names the address is answered (RFC 3834 section 2).
    let letter = b"From: friend@outside.test\r\nTo: hours@homepage.test\r\nSubject: open?\r\n\r\nWhen?\r\n";
    let door = house.platform.smtp(0);
    smtp::send(door, "friend@outside.test", &["hours@homepage.test"], letter).await?;
    let answered = eventually(Duration::from_secs(10), async || {
        house
            .platform
            .sink
            .messages()
            .iter()
            .any(|m| String::from_utf8_lossy(&m.content).contains("Nine to five"))
    });
    assert!(answered.await, "the sender gets the answer");

    browser.open(&format!("{BASE}/autoresponders/of/hours@homepage.test")).await?;
    browser.fill("subject", "").await?;
    browser.fill("subject", "Holidays").await?;
    browser.press_text("Save").await?;
    assert!(browser.said().await?.contains("was changed"));
    assert_eq!(browser.value("subject").await?, "Holidays");
    browser.press_text("Remove autoresponder").await?;
    assert!(house.is_taken("hours@homepage.test", false).await);
    browser.press_text("Undo").await?;
    assert!(house.is_taken("hours@homepage.test", true).await);
    Ok(())
}

async fn default_address(house: &House, browser: &Browser) -> anyhow::Result<()> {
    assert!(house.is_taken("nobody@homepage.test", false).await);
    browser.open(&format!("{BASE}/default-address")).await?;
    browser.find("main input[value='address']").await?.click().await?;
    browser.fill("target", "user@homepage.test").await?;
    browser.press_text("Save").await?;
    assert!(house.is_taken("nobody@homepage.test", true).await);
    assert!(house.send("nobody@homepage.test", "to-an-unknown-name").await?.starts_with("250 "));
    assert!(house.has_mail("user@homepage.test", PASSWORD, "to-an-unknown-name").await);
    browser.press_text("Undo").await?;
    assert!(house.is_taken("nobody@homepage.test", false).await);
    Ok(())
}

async fn incoming_mail(house: &House, browser: &Browser) -> anyhow::Result<()> {
    let save = "form[action$='/domain/incoming'] button.primary";
    browser.open(&format!("{BASE}/domain")).await?;
    browser.find("main input[name='spam'][value='quarantine']").await?.click().await?;
    browser.find("main input[name='dmarc']").await?.click().await?;
    browser.press(save).await?;
    assert!(browser.text("main").await?.contains("Say which mailbox spam is put into"));
    browser.fill("spam-mailbox", "nobody@elsewhere.test").await?;
    browser.press(save).await?;
    assert!(browser.text("main").await?.contains("nobody@elsewhere.test is none of your POP accounts"));
    // What was typed is kept, and saved once it makes sense.
    browser.fill("spam-mailbox", "user@homepage.test").await?;
    browser.press(save).await?;
    assert!(browser.said().await?.contains("were changed"));
    let (_, exported, _) = house.platform.postern(&["export", "homepage.test"], "").await?;
    for line in ["spam: quarantine", "spam_mailbox: user@homepage.test", "dmarc: follow"] {
        assert!(exported.contains(line), "{line}: {exported}");
    }
    assert_eq!(browser.value("spam-mailbox").await?, "user@homepage.test");
    Ok(())
}

/// What old mail programs may do is said at its box, and holds for this domain alone.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_in_clear_text_are_taken_by_a_tick_that_says_what_it_means() -> anyhow::Result<()> {
    const PROXY: &str = "127.0.0.9";
    let platform = Blueprint::new()
        .set("POSTERN_PLAINTEXT_LOGIN", "by-domain")
        .set("POSTERN_PROXY_NETWORKS", PROXY)
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let house = House { platform, admin };
    let logs_in = async || {
        let mut client = Pop3::through_proxy(house.platform.pop3(0), PROXY, "203.0.113.20").await?;
        client.ok("USER user@homepage.test").await?;
        anyhow::Ok(client.command(&format!("PASS {PASSWORD}")).await?.starts_with("+OK"))
    };
    let holds = async |taken: bool| {
        let now = async || logs_in().await.is_ok_and(|logged_in| logged_in == taken);
        eventually(crate::house::LIVE, now).await
    };
    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    let save = "form[action$='/domain/rules'] button.primary";
    assert!(!logs_in().await?);
    browser.open(&format!("{BASE}/domain")).await?;
    let page = browser.text("form[action$='/domain/rules']").await?;
    assert!(page.contains("Take passwords without encryption") && page.contains("can read them"), "{page}");
    browser.find("main input[name='plaintext']").await?.click().await?;
    browser.press(save).await?;
    assert!(browser.said().await?.contains("were changed"));
    assert!(holds(true).await, "live at once");
    assert!(browser.find("main input[name='plaintext']:checked").await.is_ok());
    browser.find("main input[name='plaintext']").await?.click().await?;
    browser.press(save).await?;
    assert!(holds(false).await);
    browser.close().await
}

/// A list that another server runs: everything for it goes there, what joins and leaves too.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_handed_to_a_list_server_outside() -> anyhow::Result<()> {
    const OUTSIDE: &str = "staff@lists.outside.test";
    let sink = Sink::start(SinkSettings::default()).await?;
    let platform = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string()).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let house = House { platform, admin };
    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    browser.open(&format!("{BASE}/mailing-lists/new")).await?;
    browser.fill("local", "staff").await?;
    browser.fill("listserv", "no address").await?;
    browser.press_text("Create mailing list").await?;
    assert!(!browser.text("#listserv-problem").await?.is_empty(), "told at its field");
    assert_eq!(
        (browser.value("local").await?, browser.value("listserv").await?),
        ("staff".into(), "no address".into())
    );
    browser.fill("listserv", OUTSIDE).await?;
    browser.press_text("Create mailing list").await?;
    assert!(browser.said().await?.contains("staff@homepage.test was created"));
    assert!(browser.text("main").await?.contains(OUTSIDE));

    let arrives = async |to: &str| -> anyhow::Result<bool> {
        sink.forget();
        let reply = house.send(to, "for the list server").await?;
        anyhow::ensure!(reply.starts_with("250 "), "{to}: {reply}");
        let there = async || sink.messages().iter().any(|message| message.recipients == [OUTSIDE]);
        Ok(eventually(Duration::from_secs(10), there).await)
    };
    for to in ["staff@homepage.test", "staff-subscribe@homepage.test", "staff-unsubscribe@homepage.test"] {
        assert!(arrives(to).await?, "{to}");
    }

    // Taken back, the list is one of this platform again.
    browser.open(&format!("{BASE}/mailing-lists/of/staff@homepage.test/settings")).await?;
    assert_eq!(browser.value("listserv").await?, OUTSIDE);
    browser.fill("listserv", "").await?;
    browser.press_text("Save").await?;
    sink.forget();
    let refused = async || {
        house.send("staff@homepage.test", "of a stranger").await.is_ok_and(|reply| reply.starts_with("550 "))
    };
    assert!(eventually(crate::house::LIVE, refused).await, "members only");
    browser.close().await
}

async fn activity(house: &House, browser: &Browser) -> anyhow::Result<()> {
    house.admin.forward("gone@homepage.test", &["user@homepage.test"], false).await?;
    house.admin.remove_forward("gone@homepage.test").await?;
    browser.open(&format!("{BASE}/activity?kind=forward&name=gone%40homepage.test&action=delete")).await?;
    let shown = browser.text(".events").await?;
    assert!(shown.contains("gone@homepage.test was removed") && shown.contains("tests"), "{shown}");
    assert!(!shown.contains("info@homepage.test"), "the filter holds: {shown}");
    browser.press(".events button").await?;
    assert!(browser.said().await?.contains("gone@homepage.test is back"));
    assert!(house.is_taken("gone@homepage.test", true).await);
    Ok(())
}
