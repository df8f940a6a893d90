//! The four troubles of mail users, made for real, explained in the words that the servers really say, and mended from the panel.

use postern_proto::account::v1::{DomainState, GetDomainRequest, domain_service_client::DomainServiceClient};
use postern_tests::{
    admin::PASSWORD,
    browser::{Browser, Looks},
    dns::{World, address, mx},
    eventually,
    platform::Blueprint,
    pop3::Pop3,
    smtp::Smtp,
    web::Web,
};

use crate::house::{House, LIVE, NEW_PASSWORD};

const BOX: &str = "user@homepage.test";
const TROUBLE: &str = "/controlpanel/homepage.test/trouble";

/// As it stands in a page.
fn in_page(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// What PASS really hears.
async fn pass(house: &House, login: &str, password: &str) -> anyhow::Result<String> {
    let mut client = Pop3::connect(house.platform.pop3(0)).await?;
    client.ok(&format!("USER {login}")).await?;
    client.command(&format!("PASS {password}")).await
}

/// What RCPT to the outside really hears.
async fn rcpt_outside(house: &House) -> anyhow::Result<String> {
    let mut session = Smtp::connect_from(house.platform.smtp(0), "127.0.0.1").await?;
    session.expect("EHLO client.test", 250).await?;
    session.expect(&format!("MAIL FROM:<{BOX}>"), 250).await?;
    session.command("RCPT TO:<you@outside.test>").await
}

#[tokio::test(flavor = "multi_thread")]
async fn three_troubles_are_explained_and_mended_without_scripts() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    browser.open(TROUBLE).await?;
    cannot_send(&house, &browser).await?;
    cannot_lock(&house, &browser).await?;
    any_login_error(&house, &browser).await?;
    browser.close().await
}

async fn cannot_send(house: &House, browser: &Browser) -> anyhow::Result<()> {
    browser.open(&format!("{TROUBLE}/send")).await?;
    assert_eq!(browser.value("client").await?, "127.0.0.1", "the own address is filled in");
    browser.choose("mailbox", BOX).await?;
    browser.fill("recipient", "you@outside.test").await?;
    browser.press_text("Find out why").await?;
    let shown = browser.text("main").await?;
    let heard = rcpt_outside(house).await?;
    assert!(heard.starts_with("550 "), "{heard}");
    assert!(shown.contains(&heard) && shown.contains("Fetch mail at mail.homepage.test first"), "{shown}");
    assert!(shown.contains("May this computer send?") && shown.contains("not good"), "{shown}");
    // With a login for sending it would be taken at once.
    browser.open(&format!("{TROUBLE}/send?mailbox={BOX}&client=127.0.0.1&logs-in=yes")).await?;
    assert!(browser.text("main .notice").await?.contains("It works."));
    browser.open(&format!("{TROUBLE}/send?mailbox={BOX}&client=127.0.0.1")).await?;
    browser.press_text("Show the settings for sending").await?;
    assert!(browser.text("h1").await?.contains(BOX));
    // What the page said to do is done.
    Pop3::login(house.platform.pop3(0), BOX, PASSWORD).await?.quit().await?;
    assert!(rcpt_outside(house).await?.starts_with("250 "));
    browser.open(&format!("{TROUBLE}/send?mailbox={BOX}&client=127.0.0.1")).await?;
    assert!(browser.text("main .notice").await?.contains("It works."));
    // What is no address is told at its field, and stays.
    browser.open(&format!("{TROUBLE}/send?mailbox={BOX}&client=here&recipient=no+address")).await?;
    browser.wait_for("[aria-invalid]").await?;
    assert_eq!(browser.value("recipient").await?, "no address");
    Ok(())
}

async fn cannot_lock(house: &House, browser: &Browser) -> anyhow::Result<()> {
    let _holder = Pop3::login(house.platform.pop3(0), BOX, PASSWORD).await?;
    let heard = pass(house, BOX, PASSWORD).await?;
    assert!(heard.starts_with("-ERR [IN-USE] can't lock account"), "{heard}");
    browser.open(&format!("{TROUBLE}/lock")).await?;
    browser.choose("mailbox", BOX).await?;
    browser.press_text("Find out why").await?;
    let shown = browser.text("main").await?;
    assert!(shown.contains(&heard) && shown.contains("does not work right now"), "{shown}");
    browser.press_text("End that session").await?;
    assert!(browser.said().await?.contains("was ended"));
    assert!(browser.text("main").await?.contains("It works."), "the question is asked anew");
    assert!(house.opens(BOX, PASSWORD, true).await);
    Ok(())
}

async fn any_login_error(house: &House, browser: &Browser) -> anyhow::Result<()> {
    // A login that does not exist: created from here.
    let heard = pass(house, "newbie@homepage.test", NEW_PASSWORD).await?;
    browser.open(&format!("{TROUBLE}/login")).await?;
    browser.fill("mailbox", "newbie@homepage.test").await?;
    browser.press_text("Find out why").await?;
    let shown = browser.text("main").await?;
    assert!(shown.contains(&heard) && shown.contains("There is no such user name"), "{shown}");
    browser.fill("password", NEW_PASSWORD).await?;
    browser.fill("password-again", NEW_PASSWORD).await?;
    browser.press_text("Create POP account").await?;
    assert!(house.opens("newbie@homepage.test", NEW_PASSWORD, true).await);

    // A password that nobody knows any more: set anew, after two that do not do.
    browser.open(&format!("{TROUBLE}/login?mailbox={BOX}")).await?;
    assert!(browser.text("main").await?.contains("With the right password this login works"));
    for (first, second, problem) in
        [("short", "short", "at least 8"), (NEW_PASSWORD, "another", "not the same")]
    {
        browser.fill("password", first).await?;
        browser.fill("password-again", second).await?;
        browser.press_text("Set password").await?;
        assert!(browser.text(".mend .problem").await?.contains(problem));
    }
    browser.fill("password", NEW_PASSWORD).await?;
    browser.fill("password-again", NEW_PASSWORD).await?;
    browser.press_text("Set password").await?;
    assert!(browser.said().await?.contains("has a new password now"));
    assert!(house.opens(BOX, NEW_PASSWORD, true).await);
    assert!(house.opens(BOX, PASSWORD, false).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailhost_that_does_not_resolve_is_mended_once_dns_is() -> anyhow::Result<()> {
    let world = World::start().await;
    let platform = Blueprint::new()
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_MAIL_HOST_ADDRESSES", "192.0.2.1")
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "0")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    admin.domain_state("homepage.test", DomainState::Pending).await?;
    let house = House { platform, admin };
    assert!(house.opens(BOX, PASSWORD, false).await);
    let heard = pass(&house, BOX, PASSWORD).await?;

    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    let page = web.get(&format!("{TROUBLE}/host")).await?;
    assert!(
        page.body.contains("Ask DNS now") && !page.body.contains("What was looked at"),
        "looking asks nothing"
    );
    let page = web.submit(&format!("{TROUBLE}/host"), &[("heading", "host")]).await?;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("The domain is not in service yet"), "{}", page.body);
    assert!(page.body.contains(&in_page(&heard)), "{heard}: {}", page.body);
    assert!(
        page.body.contains("action=\"/controlpanel/homepage.test/domain/verify\""),
        "the button that mends it"
    );

    world.add("homepage.test", mx("mail.postern.test"));
    world.add("mail.homepage.test", address("192.0.2.1"));
    let page = web.submit("/controlpanel/homepage.test/domain/verify", &[]).await?;
    assert!(page.body.contains("in service"), "{}", page.body);
    let mut domains = DomainServiceClient::new(house.admin.account_channel());
    let request = GetDomainRequest { name: "homepage.test".to_owned() };
    let domain = domains.get_domain(request).await?.into_inner().domain.unwrap_or_default();
    assert_eq!(domain.state(), DomainState::Live);
    assert!(house.opens(BOX, PASSWORD, true).await);
    let page = web.submit(&format!("{TROUBLE}/host"), &[("heading", "host")]).await?;
    assert!(page.body.contains("It works."), "{}", page.body);
    Ok(())
}

/// The user of one box has the menu for that box, and hears of nobody else's.
#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_one_box_mends_the_own_box_and_no_other() -> anyhow::Result<()> {
    let house = House::start().await?;
    house.admin.mailbox("boss@homepage.test").await?;
    let _holder = Pop3::login(house.platform.pop3(0), "boss@homepage.test", PASSWORD).await?;
    let _own = Pop3::login(house.platform.pop3(0), BOX, PASSWORD).await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in(BOX, PASSWORD).await?;

    for login in ["boss@homepage.test", "user@rival.test", "homepage"] {
        let page = web.get(&format!("{TROUBLE}/lock?mailbox={login}")).await?;
        assert!(page.body.contains("There is no such user name"), "{login}: {}", page.body);
        assert!(!page.body.contains("IN-USE"), "{login}");
        for deed in ["release", "password", "resume"] {
            let fields = [
                ("heading", "lock"),
                ("mailbox", login),
                ("password", "taken over it"),
                ("password-again", "taken over it"),
            ];
            let answer = web.submit(&format!("{TROUBLE}/mend/{deed}"), &fields).await?;
            assert!(matches!(answer.status, 403 | 404), "{login} {deed}: {}", answer.status);
        }
    }
    assert!(pass(&house, "boss@homepage.test", PASSWORD).await?.contains("IN-USE"), "nothing was freed");

    let page = web.get(&format!("{TROUBLE}/lock?mailbox={BOX}")).await?;
    assert!(
        page.body.contains("can't lock account") || page.body.contains("can&#39;t lock account"),
        "{}",
        page.body
    );
    let fields = [("heading", "lock"), ("mailbox", BOX)];
    assert_eq!(web.submit(&format!("{TROUBLE}/mend/release"), &fields).await?.status, 303);
    assert!(house.opens(BOX, PASSWORD, true).await);
    // The operator's button is not for others.
    house.admin.suspend(BOX, true).await?;
    let mut owner = Web::new(house.platform.panel());
    owner.sign_in("homepage", PASSWORD).await?;
    let suspended = eventually(LIVE * 3, async || {
        let page = owner.get(&format!("{TROUBLE}/login?mailbox={BOX}")).await;
        page.is_ok_and(|page| page.body.contains("This account is suspended"))
    });
    assert!(suspended.await);
    let fields = [("heading", "login"), ("mailbox", BOX)];
    assert_eq!(owner.submit(&format!("{TROUBLE}/mend/resume"), &fields).await?.status, 403);
    let mut operator = Web::new(house.platform.panel());
    let token = house.platform.operator_token().to_owned();
    operator.sign_in_with_token(&token).await?;
    let page = operator.get(&format!("{TROUBLE}/login?mailbox={BOX}")).await?;
    assert!(page.body.contains("End the suspension"), "{}", page.body);
    assert_eq!(operator.submit(&format!("{TROUBLE}/mend/resume"), &fields).await?.status, 303);
    assert!(house.opens(BOX, PASSWORD, true).await);
    Ok(())
}
