//! Nobody reaches what is another customer's, no form is taken that is not ours, and nothing that strangers send becomes part
//! of a page.

use postern_proto::account::v1::{DefaultAction, MailingList};
use postern_tests::{
    admin::PASSWORD,
    platform::Blueprint,
    smtp,
    web::{Answer, Web},
};

use crate::house::House;

/// Every page and form that names a thing: path with `{d}` for the domain, `{b}` for the box, and so on; the fields of the form.
pub const OBJECTS: [(&str, &[(&str, &str)]); 31] = [
    ("pop-accounts/box/{b}", &[]),
    ("pop-accounts/box/{b}/settings", &[("display-name", "mine now"), ("quota-kind", "plan")]),
    ("pop-accounts/box/{b}/password", &[("password", "taken over it"), ("password-again", "taken over it")]),
    ("pop-accounts/box/{b}/remove", &[]),
    ("pop-accounts/box/{b}/release", &[]),
    ("pop-accounts/box/{b}/revoke", &[("client", "127.0.0.1")]),
    ("pop-accounts/box/{b}/clear", &[("scope", "all")]),
    ("pop-accounts/box/{b}/bring-back", &[("clearing-id", "1")]),
    ("pop-accounts/box/{b}/app-passwords", &[("name", "a phone"), ("protocol", "pop3")]),
    ("pop-accounts/box/{b}/app-passwords/remove", &[("id", "1")]),
    ("pop-accounts/box/{b}/second-factor", &[]),
    ("pop-accounts/box/{b}/import", &[]),
    ("pop-accounts/restore", &[("address", "{removed}"), ("mailbox-id", "0")]),
    ("forwards/of/{f}", &[("targets", "thief@outside.test")]),
    ("forwards/of/{f}/remove", &[]),
    ("forwards/restore", &[("audit-id", "9000000")]),
    ("mailing-lists/of/{l}", &[]),
    ("mailing-lists/of/{l}/settings", &[("posting", "anyone")]),
    ("mailing-lists/of/{l}/members", &[("addresses", "thief@outside.test")]),
    ("mailing-lists/of/{l}/members/remove", &[("member", "{b}")]),
    ("mailing-lists/of/{l}/members/resume", &[("resumed", "thief@outside.test")]),
    ("mailing-lists/of/{l}/remove", &[]),
    ("autoresponders/of/{a}", &[("subject", "x"), ("text", "y")]),
    ("autoresponders/of/{a}/remove", &[]),
    ("default-address", &[("action", "discard")]),
    ("domain/rules", &[("policy", "anyone")]),
    ("domain/incoming", &[("spam", "off")]),
    ("domain/remove", &[("confirm", "{d}")]),
    ("trouble/mend/release", &[("heading", "lock"), ("mailbox", "{b}")]),
    (
        "trouble/mend/password",
        &[
            ("heading", "login"),
            ("mailbox", "{b}"),
            ("password", "taken over it"),
            ("password-again", "taken over it"),
        ],
    ),
    ("trouble/mend/resume", &[("heading", "login"), ("mailbox", "{b}")]),
];

/// A page; what is only sent to leads to the page above it, which is asked for then.
async fn read(web: &mut Web, path: &str) -> anyhow::Result<Answer> {
    let (mut path, mut page) = (path.to_owned(), web.get(path).await?);
    while page.status == 303 && path.starts_with(&format!("{}/", page.location)) {
        path.clone_from(&page.location);
        page = web.get(&path).await?;
    }
    Ok(page)
}

async fn rivals_things(house: &House) -> anyhow::Result<()> {
    things_of(house, "rival.test").await
}

/// One of everything that [`OBJECTS`] names.
pub async fn things_of(house: &House, domain: &str) -> anyhow::Result<()> {
    let admin = &house.admin;
    let at = |local: &str| format!("{local}@{domain}");
    admin.forward(&at("info"), &[&at("user")], false).await?;
    let list = MailingList { address: at("news"), ..Default::default() };
    admin.mailing_list(list, &[at("user")]).await?;
    admin.autoresponder(&at("away"), "Away", "Back on Monday").await?;
    admin.mailbox(&at("removed")).await?;
    admin.remove_mailbox(&at("removed")).await?;
    admin.default_address(domain, DefaultAction::Reject, "").await
}

pub fn named(text: &str, domain: &str) -> String {
    text.replace("{d}", domain)
        .replace("{b}", &format!("user@{domain}"))
        .replace("{f}", &format!("info@{domain}"))
        .replace("{l}", &format!("news@{domain}"))
        .replace("{a}", &format!("away@{domain}"))
        .replace("{removed}", &format!("removed@{domain}"))
}

async fn state_of_rival(house: &House) -> anyhow::Result<String> {
    state_of(house, "rival.test").await
}

/// Everything of a domain, as an operator reads it.
pub async fn state_of(house: &House, domain: &str) -> anyhow::Result<String> {
    let (code, text, errors) = house.platform.postern(&["export", domain], "").await?;
    anyhow::ensure!(code == 0, "{errors}");
    let mailbox = house.admin.get_mailbox(&format!("user@{domain}")).await?;
    Ok(format!("{text}\n{} {}", mailbox.etag, mailbox.credential_version))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_tenant_reaches_anothers_things_by_any_way() -> anyhow::Result<()> {
    let house = House::start().await?;
    rivals_things(&house).await?;
    let before = state_of_rival(&house).await?;
    let mut owner = Web::new(house.platform.panel());
    owner.sign_in("homepage", PASSWORD).await?;
    let mut user = Web::new(house.platform.panel());
    user.sign_in("user@homepage.test", PASSWORD).await?;
    let menus = [
        "home",
        "pop-accounts",
        "forwards",
        "mailing-lists",
        "autoresponders",
        "default-address",
        "domain",
        "mail",
        "set-up",
        "trouble",
        "activity",
    ];
    for (who, web) in [("owner", &mut owner), ("user", &mut user)] {
        for menu in menus {
            let answer = web.get(&format!("/controlpanel/rival.test/{menu}")).await?;
            assert_eq!(answer.status, 404, "{who}: {menu}: {}", answer.body);
        }
        // By the rival's domain, and by the own domain with the rival's names.
        for domain in ["rival.test", "homepage.test"] {
            for (path, fields) in OBJECTS {
                let path = format!("/controlpanel/{domain}/{}", named(path, "rival.test"));
                let rules = ["default-address", "rules", "incoming", "domain/remove"];
                let is_rule = rules.iter().any(|end| path.ends_with(end));
                let own_rule = domain == "homepage.test" && is_rule;
                if own_rule {
                    continue;
                }
                let page = read(web, &path).await?;
                // Above what is only sent to may stand a page of the own domain.
                let is_own = domain == "homepage.test" && matches!(page.status, 200 | 303);
                assert!(is_own || matches!(page.status, 403..=405), "{who} reads {path}: {}", page.status);
                assert!(!page.body.contains("user@rival.test</"), "{who} reads {path}");
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| (*name, named(value, "rival.test"))).collect();
                let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
                let answer = web.submit(&path, &fields).await?;
                assert!(
                    matches!(answer.status, 403..=405),
                    "{who} does {path}: {} {}",
                    answer.status,
                    answer.body
                );
            }
        }
    }
    assert_eq!(state_of_rival(&house).await?, before, "nothing of the rival's was changed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_session_there_is_only_the_front() -> anyhow::Result<()> {
    let house = House::start().await?;
    rivals_things(&house).await?;
    let before = state_of_rival(&house).await?;
    let mut owner = Web::new(house.platform.panel());
    owner.sign_in("rival", PASSWORD).await?;
    let foreign = {
        let mut other = Web::new(house.platform.panel());
        other.sign_in("homepage", PASSWORD).await?;
        other.form_token().await?
    };
    for (path, fields) in OBJECTS {
        let path = format!("/controlpanel/rival.test/{}", named(path, "rival.test"));
        let mut nobody = Web::new(house.platform.panel());
        let page = read(&mut nobody, &path).await?;
        // What is a form only has no page, and what is a page only takes no form.
        let is_form = !path.ends_with("/box/user@rival.test") && !path.ends_with("/of/news@rival.test");
        let led = page.status == 303 && page.location.starts_with("/controlpanel/sign-in?to=");
        assert!(led || page.status == 404, "{path}: {}", page.status);
        let answer = nobody.post(&path, fields).await?;
        assert_eq!(answer.status, if is_form { 401 } else { 404 }, "{path}");
        // The owner's browser, led by somebody else's page: without a token, and with that of another session.
        for token in ["", foreign.as_str()] {
            let mut all = vec![("form-token", token)];
            all.extend_from_slice(fields);
            let refused = if is_form { 403 } else { 404 };
            assert_eq!(owner.post(&path, &all).await?.status, refused, "{path} {token}");
        }
        let own = owner.form_token().await?;
        let mut led = owner.clone().with_header("Origin", "http://evil.test");
        let mut all = vec![("form-token", own.as_str())];
        all.extend_from_slice(fields);
        assert_eq!(led.post(&path, &all).await?.status, 403, "{path} from another origin");
    }
    assert_eq!(state_of_rival(&house).await?, before);
    // Nothing is done by looking: reading every page has changed nothing.
    for (path, _) in OBJECTS {
        owner.get(&format!("/controlpanel/rival.test/{}", named(path, "rival.test"))).await?;
    }
    assert_eq!(state_of_rival(&house).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_new_at_each_sign_in_and_ends_everywhere() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = Web::new(house.platform.panel());
    let answer = web.sign_in("homepage", "wrong").await?;
    assert_eq!(answer.status, 401);
    assert!(answer.body.contains("Login or password is wrong") && web.cookie("postern-session").is_none());
    let answer = web.sign_in("homepage", PASSWORD).await?;
    let set = answer.header("set-cookie").unwrap_or_default().to_owned();
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax") && set.contains("Path=/"), "{set}");
    let first = web.clone();
    let token = web.cookie("postern-session").unwrap_or_default().to_owned();
    web.sign_in("homepage", PASSWORD).await?;
    assert_ne!(web.cookie("postern-session"), Some(token.as_str()), "a new session");
    assert_eq!(
        first.clone().get("/controlpanel/homepage.test/home").await?.status,
        303,
        "the one before has ended"
    );
    let mut copy = web.clone();
    assert_eq!(copy.get("/controlpanel/homepage.test/home").await?.status, 200);
    assert_eq!(web.submit("/controlpanel/sign-out", &[]).await?.location, "/controlpanel");
    // Pressed when the session has ended already, there is nothing to sign in for.
    assert_eq!(web.post("/controlpanel/sign-out", &[]).await?.location, "/controlpanel");
    assert!(web.cookie("postern-session").is_none());
    assert_eq!(
        copy.get("/controlpanel/homepage.test/home").await?.status,
        303,
        "ended at auth, not only here"
    );

    // An operator's session: by token, which the browser does not keep; every domain can be seen.
    let mut operator = Web::new(house.platform.panel());
    assert_eq!(operator.sign_in_with_token("not the token").await?.status, 401);
    let token = house.platform.operator_token().to_owned();
    assert_eq!(operator.sign_in_with_token(&token).await?.status, 303);
    assert!(operator.cookie("postern-session").is_some_and(|cookie| cookie.starts_with("pss_")));
    for domain in ["homepage.test", "rival.test"] {
        assert_eq!(operator.get(&format!("/controlpanel/{domain}/home")).await?.status, 200);
    }
    // A login that is throttled is told so, not that the password is wrong.
    let mut guesser = Web::new(house.platform.panel());
    let mut told = 0;
    for _ in 0..30 {
        let answer = guesser.sign_in("rival", "wrong").await?;
        told = answer.status;
        if told == 429 {
            assert!(answer.body.contains("Too many attempts"));
            break;
        }
    }
    assert_eq!(told, 429);
    Ok(())
}

/// What no page has: scripts but the one file, pictures, handlers.
const FOREIGN: &str =
    "script:not([src='/controlpanel/script.js']), script:not(:empty), img, [onerror], [onclick]";
const PAYLOADS: [&str; 3] = [
    "<script>document.title='broken'</script>",
    "\"><img src=x onerror=\"document.title='broken'\">",
    "{{7*7}}",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_strangers_send_never_becomes_part_of_a_page() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = Web::new(house.platform.panel());
    web.sign_in("homepage", PASSWORD).await?;
    for (number, payload) in PAYLOADS.iter().enumerate() {
        let (address, list) = (format!("box{number}@homepage.test"), format!("list{number}@homepage.test"));
        house.admin.mailbox(&address).await?;
        let path = format!("/controlpanel/homepage.test/pop-accounts/box/{address}/settings");
        let fields = [("display-name", *payload), ("quota-kind", "plan")];
        assert_eq!(web.submit(&path, &fields).await?.status, 303);
        let path = "/controlpanel/homepage.test/mailing-lists/new";
        let fields = [("local", list.as_str()), ("description", payload), ("posting", "members")];
        assert_eq!(web.submit(path, &fields).await?.status, 303);
        house.admin.autoresponder(&address, payload, payload).await?;
        let letter = format!("From: {payload}\r\nSubject: {payload}\r\n\r\n{payload}\r\n");
        smtp::send(house.platform.smtp(0), "x@outside.test", &[&address], letter.as_bytes()).await?;
    }
    let browser = house.browser(postern_tests::browser::Looks::default()).await?;
    let pages = [
        "home",
        "pop-accounts",
        "pop-accounts/box/box0@homepage.test",
        "pop-accounts/box/box1@homepage.test",
        "mailing-lists",
        "mailing-lists/of/list0@homepage.test",
        "mailing-lists/of/list1@homepage.test/settings",
        "autoresponders",
        "autoresponders/of/box0@homepage.test",
        "autoresponders/of/box1@homepage.test",
        "activity",
        "activity?name=%22%3E%3Cscript%3Edocument.title%3D%27broken%27%3C%2Fscript%3E",
        "forwards/of/%3Cscript%3Ealert(1)%3C%2Fscript%3E@homepage.test",
    ];
    for page in pages {
        browser.open(&format!("/controlpanel/homepage.test/{page}")).await?;
        let title = browser.client.title().await?;
        assert!(title.contains("Postern") && !title.contains("broken"), "{page}: {title}");
        assert!(browser.client.find_all(fantoccini::Locator::Css(FOREIGN)).await?.is_empty(), "{page}");
    }
    let list = browser.open("/controlpanel/homepage.test/pop-accounts").await;
    list?;
    assert!(browser.text("table").await?.contains("<script>"), "it is shown as what it is");
    browser.close().await
}

/// A load balancer that is listed names the client; what it brings is never this machine's, and nobody else names anybody.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_load_balancer_the_panel_knows_the_client() -> anyhow::Result<()> {
    const PROXY: &str = "127.0.0.9";
    const FAR: &str = "203.0.113.20";
    let platform = Blueprint::new().set("POSTERN_PROXY_NETWORKS", PROXY).start().await?;
    platform.admin()?.domain("homepage", "homepage.test").await?;
    let plain = || Web::new(platform.panel());
    for client in [FAR, "127.0.0.1"] {
        let mut web = plain().through_proxy(PROXY, client);
        let answer = web.get("/controlpanel").await?;
        assert!(
            answer.status == 307 && answer.location.starts_with("https://"),
            "{client}: {}",
            answer.status
        );
        assert_eq!(web.sign_in("homepage", PASSWORD).await?.status, 403, "{client}: no password without TLS");
    }
    let mut web = Web::new(platform.panel_tls()).over_tls().through_proxy(PROXY, FAR);
    assert_eq!(web.sign_in("homepage", PASSWORD).await?.status, 303);
    assert!(web.get("/controlpanel/security").await?.body.contains(FAR), "the session is that client's");
    let question = web.get("/controlpanel/homepage.test/trouble/send").await?.body;
    assert!(question.contains(&format!("value=\"{FAR}\"")), "{question}");
    // Who is not listed gets nowhere with a header, and who is gets nowhere without one.
    assert_eq!(plain().through_proxy("127.0.0.8", FAR).get("/controlpanel").await?.status, 400);
    assert_eq!(plain().sign_in("homepage", PASSWORD).await?.status, 303, "from this machine as ever");
    Ok(())
}
