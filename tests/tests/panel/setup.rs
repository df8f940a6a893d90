//! What mail programs ask for by themselves, and the page with everything for those that do not: never with a password, never
//! saying whether a mailbox exists.

use postern_tests::{admin::PASSWORD, browser::Looks, pop3::Pop3, web::Web};
use serde_json::json;

use crate::house::House;

const THUNDERBIRD: [&str; 2] = ["/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml"];

/// What stands in the first element of this name after a text.
fn after<'d>(document: &'d str, begin: &str, tag: &str) -> &'d str {
    let rest = document.split_once(begin).map_or("", |(_, rest)| rest);
    let rest = rest.split_once(&format!("<{tag}>")).map_or("", |(_, rest)| rest);
    rest.split('<').next().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_set_themselves_up_with_what_works() -> anyhow::Result<()> {
    let house = House::start().await?;
    let panel = house.platform.panel();
    // Thunderbird, by host and by address, not signed in.
    for (host, query) in [
        ("autoconfig.homepage.test", ""),
        ("homepage.test:8080", "?emailaddress=user%40homepage.test"),
        ("elsewhere.test", "?emailaddress=user%40homepage.test"),
    ] {
        let mut web = Web::new(panel).at_host(host);
        for path in THUNDERBIRD {
            let answer = web.get(&format!("{path}{query}")).await?;
            assert_eq!(answer.status, 200, "{host} {path}");
            assert_eq!(answer.header("content-type"), Some("text/xml; charset=utf-8"));
            assert_eq!(after(&answer.body, "incomingServer", "hostname"), "mail.homepage.test");
            let user = if query.is_empty() { "%EMAILADDRESS%" } else { "user@homepage.test" };
            assert_eq!(after(&answer.body, "outgoingServer", "username"), user);
            assert!(!answer.body.contains(PASSWORD));
        }
    }
    // The best door first, and what is told is what answers.
    let answer = Web::new(panel).at_host("homepage.test").get(THUNDERBIRD[0]).await?;
    let port = |begin: &str| after(&answer.body, begin, "port").to_owned();
    assert_eq!(after(&answer.body, "incomingServer", "socketType"), "SSL");
    assert_eq!(port("incomingServer"), house.platform.pop3s(0).port().to_string());
    assert_eq!(port("</incomingServer>"), house.platform.pop3(0).port().to_string());
    assert_eq!(port("outgoingServer"), house.platform.smtps(0).port().to_string());
    let door = std::net::SocketAddr::from(([127, 0, 0, 1], port("</incomingServer>").parse()?));
    Pop3::login(door, "user@homepage.test", PASSWORD).await?.quit().await?;

    // Outlook, in whatever case it likes.
    let question =
        "<Autodiscover><Request><EMailAddress>user@homepage.test</EMailAddress></Request></Autodiscover>";
    for path in
        ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml", "/AutoDiscover/AUTODISCOVER.XML"]
    {
        let answer = Web::new(panel).post_text(path, question).await?;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(after(&answer.body, "<Type>POP3", "Server"), "mail.homepage.test");
        assert_eq!(after(&answer.body, "<Type>SMTP", "LoginName"), "user@homepage.test");
    }
    assert_eq!(Web::new(panel).get("/autodiscover/autodiscover.xml").await?.status, 405);
    assert_eq!(Web::new(panel).post_text("/autodiscover/autodiscover.xml", "<x/>").await?.status, 400);

    // Apple.
    let path = "/controlpanel/set-up/apple.mobileconfig";
    let answer = Web::new(panel).get(&format!("{path}?emailaddress=user%40homepage.test")).await?;
    assert_eq!(answer.header("content-type"), Some("application/x-apple-aspen-config"));
    assert!(answer.body.contains("<string>mail.homepage.test</string>"), "{}", answer.body);
    assert_eq!(Web::new(panel).at_host("homepage.test").get(path).await?.status, 400, "for whom?");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_of_others_and_hostile_addresses_are_text() -> anyhow::Result<()> {
    let house = House::start().await?;
    let panel = house.platform.panel();
    for path in [THUNDERBIRD[0], "/controlpanel/set-up", "/controlpanel/set-up/apple.mobileconfig"] {
        // Whether there is such a mailbox cannot be learnt.
        let ask = async |address: &str| {
            let answer = Web::new(panel).get(&format!("{path}?emailaddress={address}")).await?;
            anyhow::Ok((answer.status, answer.body.replace(address, "X")))
        };
        let (there, not) = (ask("user@homepage.test").await?, ask("none@homepage.test").await?);
        assert_eq!(there.0, 200, "{path}");
        // The number of a profile is made of the address, and the address of a page has it escaped.
        if path == THUNDERBIRD[0] {
            assert_eq!(there, not);
        } else {
            assert_eq!((there.0, there.1.len()), (not.0, not.1.len()), "{path}");
        }
        assert_eq!(ask("user@elsewhere.test").await?.0, 404, "{path}");
        let mut web = Web::new(panel).at_host("homepage.test");
        let answer = web.get(&format!("{path}?emailaddress=%22%3Cscript%3E%26%22@homepage.test")).await?;
        assert!(!answer.body.contains("<script>"), "{path}: {}", answer.body);
        let answer = web.get(&format!("{path}?emailaddress=%3Cscript%3Ealert(1)%3C/script%3E")).await?;
        assert!(!answer.body.contains("<script>"), "{path}: {}", answer.body);
    }
    let question = "<EMailAddress>&lt;script&gt;@homepage.test</EMailAddress>";
    let answer = Web::new(panel).post_text("/autodiscover/autodiscover.xml", question).await?;
    assert!(!answer.body.contains("<script>"), "{}", answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_a_box_leads_a_phone_to_its_settings() -> anyhow::Result<()> {
    let house = House::start().await?;
    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    browser.open("/controlpanel/homepage.test/set-up").await?;
    browser.press("main a[href$='/set-up/box/user@homepage.test']").await?;
    let shown = browser.text("main").await?;
    for told in ["mail.homepage.test", "user@homepage.test", &house.platform.pop3s(0).port().to_string()] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    browser.wait_for("svg.qr path").await?;
    let port = house.platform.panel().port();
    let told =
        format!("http://mail.homepage.test:{port}/controlpanel/set-up?emailaddress=user@homepage.test");
    assert!(shown.contains(&told), "{told}: {shown}");
    browser.close().await?;
    // What the code leads to needs no session.
    let mut phone = Web::new(house.platform.panel()).at_host(&format!("mail.homepage.test:{port}"));
    let page = phone.get("/controlpanel/set-up?emailaddress=user@homepage.test").await?;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("apple.mobileconfig?emailaddress=user@homepage.test"), "{}", page.body);
    // The user of a box has the page of that box only.
    let mut user = Web::new(house.platform.panel());
    user.sign_in("user@homepage.test", PASSWORD).await?;
    house.admin.mailbox("boss@homepage.test").await?;
    assert!(
        user.get("/controlpanel/homepage.test/set-up").await?.location.ends_with("/box/user@homepage.test")
    );
    for foreign in ["homepage.test/set-up/box/boss@homepage.test", "rival.test/set-up/box/user@rival.test"] {
        assert_eq!(user.get(&format!("/controlpanel/{foreign}")).await?.status, 404, "{foreign}");
    }
    Ok(())
}

/// For how long one may send, or that one must log in, is told as the domain has it: to its owner, its users and strangers.
#[tokio::test(flavor = "multi_thread")]
async fn what_lets_programs_send_is_told_as_the_domain_has_it() -> anyhow::Result<()> {
    let house = House::start().await?;
    let panel = house.platform.panel();
    let mut owner = Web::new(panel);
    owner.sign_in("homepage", PASSWORD).await?;
    let mut user = Web::new(panel);
    user.sign_in("user@homepage.test", PASSWORD).await?;
    let mut stranger = Web::new(panel).at_host("homepage.test");
    for (rule, told, untold) in [
        (["--grant-minutes", "10"], "10 minutes", "30 minutes"),
        (["--auth-only", "true"], "not enough to check mail first", "minutes, and each time"),
    ] {
        let set = [&["domain", "set", "homepage.test"][..], &rule].concat();
        let (code, said, problem) = house.platform.postern(&set, "").await?;
        assert_eq!(code, 0, "{said}{problem}");
        for path in ["/controlpanel", "/controlpanel/set-up"] {
            let page = stranger.get(path).await?.body;
            assert!(page.contains(told) && !page.contains(untold), "{path}: {told}: {page}");
        }
        for menu in
            ["home", "pop-accounts/box/user@homepage.test", "set-up/box/user@homepage.test", "trouble"]
        {
            for web in [&mut owner, &mut user] {
                let page = web.get(&format!("/controlpanel/homepage.test/{menu}")).await?.body;
                assert!(page.contains(told) && !page.contains(untold), "{menu}: {told}: {page}");
            }
        }
    }
    // What was set is told in words there, too.
    let page = owner.get("/controlpanel/homepage.test/activity").await?.body;
    for told in
        ["May send after checking mail for: ", "<ins>10 minutes</ins>", "Sending with a password only: "]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    assert!(!page.contains("grantTtl") && !page.contains("authOnly"), "{page}");
    let page = owner.get("/controlpanel/homepage.test/pop-accounts/box/user@homepage.test").await?.body;
    assert!(page.contains("Nobody: mail programs of this domain must log in"), "{page}");
    Ok(())
}

/// With scripts a button copies what stands beside it; without them it is not there, and one click selects all of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_mail_programs_need_is_copied_by_a_button() -> anyhow::Result<()> {
    const PAGE: &str = "/controlpanel/homepage.test/set-up/box/user@homepage.test";
    let house = House::start().await?;
    let browser = house.browser(Looks::default()).await?;
    let permission = json!({"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]});
    browser.devtools("Browser.grantPermissions", permission).await?;
    browser.open(PAGE).await?;
    let button = browser.find("main button.copy[aria-label='Copy user@homepage.test']").await?;
    assert!(button.is_displayed().await?);
    button.click().await?;
    browser.wait_for("button.copy.done").await?;
    assert_eq!(browser.find("[role='status'].unseen").await?.text().await?, "Copied: user@homepage.test");
    let read =
        "const done = arguments[0]; navigator.clipboard.readText().then(done, error => done(String(error)))";
    assert_eq!(browser.client.execute_async(read, vec![]).await?.as_str(), Some("user@homepage.test"));
    // What is selected on a page is copied as it is, wherever its line may be broken.
    for (page, selector) in [("pop-accounts", "th .address"), ("home", "aside code")] {
        browser.open(&format!("/controlpanel/homepage.test/{page}")).await?;
        let select = "const place = document.querySelector(arguments[0]); \
                      getSelection().selectAllChildren(place); return place.textContent;";
        let shown = browser.client.execute(select, vec![json!(selector)]).await?;
        let copy =
            json!({"type": "rawKeyDown", "key": "c", "code": "KeyC", "modifiers": 2, "commands": ["copy"]});
        browser.devtools("Input.dispatchKeyEvent", copy).await?;
        let copied = browser.client.execute_async(read, vec![]).await?;
        assert_eq!(copied, shown, "{page}");
        assert!(copied.as_str().is_some_and(|text| text.is_ascii() && !text.is_empty()), "{page}: {copied}");
    }
    browser.close().await?;

    let browser = house.browser(Looks { scripts: false, ..Looks::default() }).await?;
    browser.open(PAGE).await?;
    assert!(!browser.find("main button.copy").await?.is_displayed().await?);
    let select = browser.find("main .copyable code").await?.css_value("user-select").await?;
    assert_eq!(select, "all");
    browser.close().await
}
