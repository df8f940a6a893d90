//! Forms lose nothing: when the session ends while one is filled in, when two tabs change one thing, and in another language.

use std::time::Duration;

use postern_tests::{
    admin::PASSWORD, browser::Looks, eventually, platform::Service, pop3::read_all, web::Web,
};

use crate::house::House;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_typed_is_lost() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = house.browser(Looks::default()).await?;

    // The session ends while the form is filled in (a change of the password ends it).
    browser.open("/controlpanel/homepage.test/forwards/new").await?;
    browser.fill("local", "kept").await?;
    browser.fill("targets", "user@homepage.test\nfriend@outside.test").await?;
    house.admin.customer_password("homepage", "a second password").await?;
    browser.press_text("Create forward").await?;
    assert!(browser.text(".sign-in").await?.contains("what you typed is kept"));
    browser.fill("login", "homepage").await?;
    browser.fill("password", "a second password").await?;
    browser.press(".sign-in button.primary").await?;
    assert!(browser.text("main").await?.contains("friend@outside.test"));
    browser.press_text("Send it now").await?;
    assert!(browser.said().await?.contains("kept@homepage.test is forwarded"));
    assert!(house.is_taken("kept@homepage.test", true).await);

    // Two tabs change one thing: the second is told, sees both, and may save over it.
    let page = "/controlpanel/homepage.test/forwards/of/kept@homepage.test";
    browser.open(page).await?;
    let first = browser.client.window().await?;
    let second = browser.client.new_window(true).await?;
    browser.client.switch_to_window(second.handle).await?;
    browser.open(page).await?;
    browser.fill("targets", "second@outside.test").await?;
    browser.press_text("Save").await?;
    browser.client.switch_to_window(first).await?;
    browser.fill("targets", "first@outside.test").await?;
    browser.press_text("Save").await?;
    let told = browser.text("main").await?;
    assert!(told.contains("Somebody changed this") && told.contains("second@outside.test"), "{told}");
    assert_eq!(browser.value("targets").await?, "first@outside.test");
    browser.press_text("Save").await?;
    assert!(browser.said().await?.contains("was changed"));

    // Back and forward leave the form as it was; what was said is said once.
    browser.client.back().await?;
    browser.open(page).await?;
    assert!(browser.client.find_all(fantoccini::Locator::Css(".notice")).await?.is_empty());
    browser.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_sent_twice_makes_one_thing_and_an_old_form_is_sent_by_the_new_session() -> anyhow::Result<()>
{
    let house = House::start().await?;
    let mut web = Web::new(house.platform.panel()).with_header("Sec-Fetch-Site", "same-origin");
    assert_eq!(web.sign_in("homepage", PASSWORD).await?.location, "/controlpanel");
    let fields = [("local", "twice"), ("targets", "user@homepage.test"), ("request-id", "one-form")];
    for _ in 0..2 {
        let answer = web.submit("/controlpanel/homepage.test/forwards/new", &fields).await?;
        assert_eq!(answer.status, 303, "{}", answer.body);
    }
    // A form of the session before: the person is signed in again in another tab.
    let old = web.form_token().await?;
    web.sign_in("homepage", PASSWORD).await?;
    let sent = [("form-token", old.as_str()), ("local", "old"), ("targets", "user@homepage.test")];
    let answer = web.post("/controlpanel/homepage.test/forwards/new", &sent).await?;
    assert_eq!(answer.status, 403);
    assert!(answer.body.contains("name=\"local\" value=\"old\""), "it can be sent with one press");
    assert!(!answer.body.contains(&old), "with the token of this session");
    assert!(
        house
            .admin
            .forwards()
            .get_forward(postern_proto::account::v1::GetForwardRequest {
                address: "old@homepage.test".to_owned(),
            })
            .await
            .is_err()
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_user_has_the_own_box_and_german_readers_have_german() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = postern_tests::browser::Browser::start(
        house.platform.panel(),
        Looks { width: 390, height: 800, language: "de", ..Looks::default() },
    )
    .await?;
    browser.sign_in("user@homepage.test", PASSWORD).await?;
    assert_eq!(browser.find("html").await?.attr("lang").await?.as_deref(), Some("de"));
    browser.open("/controlpanel/homepage.test/pop-accounts").await?;
    let page = browser.text("main").await?;
    assert!(page.contains("user@homepage.test") && page.contains("Wer das Postfach offen hat"), "{page}");
    assert!(!page.contains("Konto entfernen"), "a mailbox user removes no account");
    // The own forward and the own password.
    browser.open("/controlpanel/homepage.test/forwards").await?;
    browser.fill("targets", "elsewhere@outside.test").await?;
    browser.find("main input[name='keep-copy']").await?.click().await?;
    browser.press_text("Weiterleitung anlegen").await?;
    assert!(
        browser.text("main").await?.contains("elsewhere@outside.test")
            || browser.said().await?.contains("weitergeleitet")
    );
    browser.open("/controlpanel/homepage.test/pop-accounts/box/user@homepage.test").await?;
    // Only with the old one.
    for (current, taken) in [("nicht das alte", false), (PASSWORD, true)] {
        browser.fill("current-password", current).await?;
        browser.fill("password", "mein neues Passwort").await?;
        browser.fill("password-again", "mein neues Passwort").await?;
        browser.press_text("Passwort setzen").await?;
        if !taken {
            let told = browser.text("#current-password-problem").await?;
            assert_eq!(told, "Das ist nicht Ihr bisheriges Passwort.");
            assert!(house.opens("user@homepage.test", PASSWORD, true).await, "nothing was changed");
        }
    }
    // The change has ended this session too: one signs in again.
    assert!(browser.text("body").await?.contains("Ihr Passwort wurde geändert. Melden Sie sich"));
    assert!(house.opens("user@homepage.test", "mein neues Passwort", true).await);
    browser.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_waits_until_a_part_is_there_again() -> anyhow::Result<()> {
    let mut house = House::start().await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let browser = house.browser(Looks::default()).await?;
    browser.open("/controlpanel/homepage.test/forwards/new").await?;
    browser.fill("local", "waited").await?;
    browser.fill("targets", "friend@outside.test").await?;
    house.platform.replica(Service::Auth, 0).process.kill()?;
    browser.press_text("Create forward").await?;
    let told = browser.text("main").await?;
    assert!(
        told.contains("nobody can say whether this was done") && told.contains("friend@outside.test"),
        "{told}"
    );
    assert!(told.contains("Leads to") && !told.contains("targets"), "{told}");
    house.platform.replica(Service::Auth, 0).process.spawn()?;
    house.platform.wait_ready(Service::Auth).await?;
    let back = eventually(Duration::from_secs(30), async || {
        web.get("/controlpanel/homepage.test/forwards").await.is_ok_and(|page| page.status == 200)
    });
    assert!(back.await, "the session is there again");
    browser.press_text("Send it now").await?;
    assert!(browser.said().await?.contains("waited@homepage.test is forwarded"));
    assert!(house.is_taken("waited@homepage.test", true).await);
    browser.close().await
}

/// A button has nothing that was typed: one comes back to where it stands, and is told that it did nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_button_pressed_too_late_is_told_where_it_stands() -> anyhow::Result<()> {
    const PAGE: &str = "/controlpanel/homepage.test/pop-accounts/box/user@homepage.test";
    let house = House::start().await?;
    for scripts in [true, false] {
        let browser = house.browser(Looks { scripts, ..Looks::default() }).await?;
        browser.open("/controlpanel/homepage.test/domain").await?;
        house.admin.customer_password("homepage", PASSWORD).await?;
        browser.press_text("Check DNS now").await?;
        assert!(browser.text(".sign-in").await?.contains("Your session has ended"));
        browser.fill("login", "homepage").await?;
        browser.fill("password", PASSWORD).await?;
        browser.press(".sign-in button.primary").await?;
        assert_eq!(browser.client.current_url().await?.path(), "/controlpanel/homepage.test/domain");
        let told = browser.text("main .notice.warn").await?;
        assert!(told.starts_with("“Check DNS now” was not done, because your session had ended."), "{told}");
        browser.close().await?;
    }
    // Of a password nothing is kept: the form is filled in once more, on its page.
    let mut web = Web::new(house.platform.panel())
        .with_header("Sec-Fetch-Site", "same-origin")
        .with_header("Referer", &format!("http://{}{PAGE}", house.platform.panel()));
    web.sign_in("homepage", PASSWORD).await?;
    let token = web.form_token().await?;
    house.admin.customer_password("homepage", PASSWORD).await?;
    let fields = [("form-token", &*token), ("password", "hush hush"), ("password-again", "hush hush")];
    let ended = web.post(&format!("{PAGE}/password"), &fields).await?;
    assert_eq!(ended.status, 401);
    let fields = ended.form("/controlpanel/sign-in", &[("login", "homepage"), ("password", PASSWORD)]);
    let fields: Vec<_> = fields.into_iter().filter(|(name, _)| name != "token").collect();
    let led = web.send_form("/controlpanel/sign-in", &fields).await?;
    assert_eq!((led.status, led.location.as_str()), (303, PAGE), "{}", led.body);
    let page = web.get(PAGE).await?;
    assert!(page.body.contains("“Set password” was not done"), "{}", page.body);
    assert!(house.opens("user@homepage.test", PASSWORD, true).await);
    // What is only sent to is no page, and leads to the one above.
    for (sent_to, page) in [
        (format!("{PAGE}/password"), PAGE),
        (
            "/controlpanel/homepage.test/trouble/mend/release".to_owned(),
            "/controlpanel/homepage.test/trouble/mend",
        ),
        ("/controlpanel/homepage.test/trouble/mend".to_owned(), "/controlpanel/homepage.test/trouble"),
        ("/controlpanel/sign-out".to_owned(), "/controlpanel"),
    ] {
        let led = web.get(&sent_to).await?;
        assert_eq!((led.status, led.location.as_str()), (303, page), "{sent_to}");
    }
    Ok(())
}

/// Of two things that are chosen and typed side by side none is dropped.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_beside_another_choice_holds_or_is_told() -> anyhow::Result<()> {
    const BASE: &str = "/controlpanel/homepage.test";
    const BOX: &str = "user@homepage.test";
    let house = House::start().await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let settings = format!("{BASE}/pop-accounts/box/{BOX}/settings");
    let quota = async || anyhow::Ok(house.admin.get_mailbox(BOX).await?.quota_bytes);
    for (kind, typed, status, holds) in [
        // The choice was left as it was: the figure says what is wanted.
        ("plan", "500", 303, Some(500_000_000)),
        ("plan", "500", 303, None),
        ("none", "600", 422, None),
        ("none", "", 303, Some(-1)),
        ("own", "700", 303, Some(700_000_000)),
        ("own", "", 422, Some(700_000_000)),
    ] {
        let fields = [("display-name", ""), ("quota-kind", kind), ("quota", typed)];
        let answer = web.submit(&settings, &fields).await?;
        assert_eq!((answer.status, quota().await?), (status, holds), "{kind} {typed}: {}", answer.body);
        if status == 422 {
            assert!(answer.body.contains("id=\"quota-problem\""), "{kind} {typed}: {}", answer.body);
        }
    }
    for (path, fields, field) in [
        ("default-address", [("action", "reject"), ("target", BOX)], "target"),
        ("domain/rules", [("policy", "owner"), ("senders", "rival")], "senders"),
        ("domain/rules", [("policy", "named"), ("senders", "")], "senders"),
        ("domain/incoming", [("spam", "mark"), ("spam-mailbox", BOX)], "spam-mailbox"),
    ] {
        let before = house.platform.postern(&["export", "homepage.test"], "").await?;
        let answer = web.submit(&format!("{BASE}/{path}"), &fields).await?;
        let told = answer.body.contains(&format!("id=\"{field}-problem\""));
        assert!(answer.status == 422 && told, "{path}: {} {}", answer.status, answer.body);
        assert!(fields[1].1.is_empty() || answer.body.contains(fields[1].1), "{path}: it stays in the form");
        assert_eq!(house.platform.postern(&["export", "homepage.test"], "").await?, before, "{path}");
    }
    Ok(())
}

/// A new box at the address of a removed one may be somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn old_mail_comes_into_a_new_box_only_when_somebody_has_said_so() -> anyhow::Result<()> {
    const BOX: &str = "anna@homepage.test";
    const RESTORE: &str = "/controlpanel/homepage.test/pop-accounts/restore";
    let house = House::start().await?;
    house.admin.mailbox(BOX).await?;
    assert!(house.send(BOX, "of the one before").await?.starts_with("250 "));
    house.admin.remove_mailbox(BOX).await?;
    house.admin.mailbox(BOX).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let asked = web.submit(RESTORE, &[("address", BOX), ("mailbox-id", "0")]).await?;
    assert_eq!(asked.status, 409, "{}", asked.body);
    assert!(asked.body.contains("whoever has the new mailbox now can read it"), "{}", asked.body);
    let [from, into] = ["mailbox-id", "into"].map(|field| asked.hidden(field).unwrap_or_default());
    // Said of another box than the one that is there now, it is asked again.
    let fields = [("address", BOX), ("mailbox-id", from.as_str()), ("into", from.as_str())];
    assert_eq!(web.submit(RESTORE, &fields).await?.status, 409);
    assert!(read_all(house.platform.pop3(0), BOX, PASSWORD).await?.is_empty(), "nothing was moved");
    let fields = [("address", BOX), ("mailbox-id", from.as_str()), ("into", into.as_str())];
    assert_eq!(web.submit(RESTORE, &fields).await?.status, 303);
    assert!(house.has_mail(BOX, PASSWORD, "of the one before").await);
    Ok(())
}
