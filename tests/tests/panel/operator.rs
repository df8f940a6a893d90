//! The operator view: customers, the queue, locks, grants, audit and health, for staff; to everybody else it is not there.

use std::time::Duration;

use postern_proto::{
    account::v1::{GetLimitsRequest, LookupDomainRequest, limits_service_client::LimitsServiceClient},
    auth::v1::ListGrantsRequest,
    delivery::v1::{ListQueueEntriesRequest, QueueEntry, QueueState},
};
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    smtp::{Smtp, message},
    web::{Answer, Web},
};

use crate::house::{House, NEW_PASSWORD};

const OPERATOR: &str = "/controlpanel/operator";
const PAGES: [&str; 10] = [
    "",
    "/customers",
    "/customers/new",
    "/customers/of/rival",
    "/domains",
    "/queue",
    "/locks",
    "/grants",
    "/audit",
    "/health",
];
const FORMS: [(&str, &[(&str, &str)]); 11] = [
    ("/customers/new", &[("login", "thief"), ("password", NEW_PASSWORD), ("password-again", NEW_PASSWORD)]),
    ("/customers/of/rival/state", &[("state", "suspended")]),
    ("/customers/of/homepage/state", &[("state", "suspended")]),
    ("/customers/of/rival/password", &[("password", NEW_PASSWORD), ("password-again", NEW_PASSWORD)]),
    ("/customers/of/homepage/second-factor", &[]),
    ("/customers/of/rival/sessions", &[]),
    ("/customers/of/homepage/domain", &[("domain", "more.test"), ("live", "yes")]),
    ("/customers/of/homepage/limits", &[("mailboxes", "-1")]),
    ("/queue", &[("deed", "remove"), ("entry", "1")]),
    ("/locks", &[("mailbox-id", "1")]),
    ("/grants", &[("login", "user@rival.test"), ("client", "127.0.0.1")]),
];

async fn operator(platform: &Platform) -> anyhow::Result<Web> {
    let mut web = Web::new(platform.panel());
    let token = platform.operator_token().to_owned();
    anyhow::ensure!(web.sign_in_with_token(&token).await?.status == 303, "the operator signs in");
    Ok(web)
}

async fn read(web: &mut Web, below: &str) -> anyhow::Result<Answer> {
    let answer = web.get(&format!("{OPERATOR}{below}")).await?;
    anyhow::ensure!(answer.status == 200, "{below}: {} {}", answer.status, answer.body);
    Ok(answer)
}

async fn act(web: &mut Web, below: &str, fields: &[(&str, &str)]) -> anyhow::Result<()> {
    let answer = web.submit(&format!("{OPERATOR}{below}"), fields).await?;
    anyhow::ensure!(answer.status == 303, "{below}: {} {}", answer.status, answer.body);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_reaches_none_of_the_operators_pages() -> anyhow::Result<()> {
    let house = House::start().await?;
    Pop3::login(house.platform.pop3(0), "user@rival.test", PASSWORD).await?.quit().await?;
    let mut nobody = Web::new(house.platform.panel());
    let mut tenants = Vec::new();
    for login in ["homepage", "user@homepage.test"] {
        let mut web = Web::new(house.platform.panel());
        web.sign_in(login, PASSWORD).await?;
        let home = web.get("/controlpanel/homepage.test/pop-accounts/box/user@homepage.test").await?;
        assert!(home.status == 200 && !home.body.contains(OPERATOR), "{login}: the menu does not show");
        tenants.push((login, web));
    }
    for page in PAGES {
        let answer = nobody.get(&format!("{OPERATOR}{page}")).await?;
        assert!(answer.location.starts_with("/controlpanel/sign-in"), "{page}: {}", answer.status);
        for (login, web) in &mut tenants {
            let answer = web.get(&format!("{OPERATOR}{page}")).await?;
            assert_eq!(answer.status, 404, "{login} reads {page}");
            assert!(!answer.body.contains("rival.test"), "{login} reads {page}");
        }
    }
    for (form, fields) in FORMS {
        for (login, web) in &mut tenants {
            let answer = web.submit(&format!("{OPERATOR}{form}"), fields).await?;
            assert_eq!(answer.status, 404, "{login} does {form}");
        }
    }
    // Nothing of it was done.
    for login in ["user@rival.test", "user@homepage.test", "rival", "homepage"] {
        assert!(house.opens(login, PASSWORD, true).await, "{login}");
    }
    assert!(Web::new(house.platform.panel()).sign_in("thief", NEW_PASSWORD).await?.status == 401);
    let request = LookupDomainRequest { name: "more.test".to_owned() };
    assert_eq!(house.admin.directory().lookup_domain(request).await?.into_inner().domain, None);
    // The same forms without the token of the session do nothing for an operator either.
    let mut web = operator(&house.platform).await?;
    for (form, fields) in FORMS {
        assert_eq!(web.post(&format!("{OPERATOR}{form}"), fields).await?.status, 403, "{form}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_adds_a_customer_limits_and_suspends_it() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut web = operator(&house.platform).await?;
    assert_eq!(web.get("/controlpanel").await?.location, OPERATOR);
    let wrong = [("login", "Not A Login"), ("password", NEW_PASSWORD), ("password-again", NEW_PASSWORD)];
    let answer = web.submit(&format!("{OPERATOR}/customers/new"), &wrong).await?;
    assert!(answer.status == 422 && answer.body.contains("id=\"login-problem\""), "{}", answer.body);
    let fields = [
        ("login", "bakery"),
        ("display-name", "The <b>Bakery</b>"),
        ("password", NEW_PASSWORD),
        ("password-again", NEW_PASSWORD),
        ("request-id", "one"),
    ];
    act(&mut web, "/customers/new", &fields).await?;
    act(&mut web, "/customers/of/bakery/domain", &[("domain", "bakery.test"), ("live", "yes")]).await?;
    let page = read(&mut web, "/customers").await?;
    assert!(page.body.contains("The &lt;b&gt;Bakery&lt;/b&gt;") && page.body.contains("bakery.test"));
    assert!(house.is_taken("any@bakery.test", true).await);
    assert!(read(&mut web, "/domains").await?.body.contains("/controlpanel/bakery.test/home"));
    let only = read(&mut web, "/domains?customer=rival").await?;
    assert!(only.body.contains("rival.test") && !only.body.contains("bakery.test"));

    // One mailbox, and no second one.
    let answer =
        web.submit(&format!("{OPERATOR}/customers/of/bakery/limits"), &[("mailboxes", "many")]).await?;
    assert!(answer.status == 422 && answer.body.contains("id=\"mailboxes-problem\""), "{}", answer.body);
    act(&mut web, "/customers/of/bakery/limits", &[("mailboxes", "1"), ("storage", "50")]).await?;
    let mut limits = LimitsServiceClient::new(house.admin.account_channel());
    let request = GetLimitsRequest { customer: "bakery".to_owned() };
    let set = limits.get_limits(request).await?.into_inner().limits.unwrap_or_default();
    let set = set.limits.unwrap_or_default();
    assert_eq!((set.mailboxes, set.storage_bytes, set.domains), (Some(1), Some(50_000_000), None));
    house.admin.mailbox("anna@bakery.test").await?;
    assert!(house.admin.mailbox("bob@bakery.test").await.is_err());

    act(&mut web, "/customers/of/bakery/state", &[("state", "suspended")]).await?;
    assert!(house.opens("anna@bakery.test", PASSWORD, false).await);
    act(&mut web, "/customers/of/bakery/state", &[("state", "active")]).await?;
    assert!(house.opens("anna@bakery.test", PASSWORD, true).await);
    let fields = [("password", "quite another one"), ("password-again", "quite another one")];
    act(&mut web, "/customers/of/bakery/password", &fields).await?;
    let mut owner = Web::new(house.platform.panel());
    assert_eq!(owner.sign_in("bakery", "quite another one").await?.status, 303);

    // All of it stands in the audit, with its filters.
    let audit = read(&mut web, "/audit?customer=bakery&kind=customer").await?.body;
    for deed in ["was created", "was changed", "got a new password"] {
        let told = format!("<span class=\"badge\">customer</span> <strong>bakery</strong> {deed}");
        assert!(audit.contains(&told), "{deed}: {audit}");
    }
    assert!(!audit.contains("quite another one") && !audit.contains("anna@bakery.test"), "{audit}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_who_is_there_and_ends_it() -> anyhow::Result<()> {
    let mut house = House::start().await?;
    let mut web = operator(&house.platform).await?;
    assert!(read(&mut web, "/locks").await?.body.contains("No mailbox is open"));
    let _holder = Pop3::login(house.platform.pop3(0), "user@homepage.test", PASSWORD).await?;
    let page = read(&mut web, "/locks").await?.body;
    assert!(page.contains("user@homepage.test") && page.contains("<code>127.0.0.1</code>"), "{page}");
    let id = house.admin.get_mailbox("user@homepage.test").await?.mailbox_id.to_string();
    act(&mut web, "/locks", &[("mailbox-id", &id), ("name", "user@homepage.test")]).await?;
    assert!(house.opens("user@homepage.test", PASSWORD, true).await);

    let page = read(&mut web, "/grants?login=user%40homepage.test").await?.body;
    assert!(page.contains("<code>127.0.0.1</code>"), "{page}");
    assert!(
        read(&mut web, "/grants?login=user%40rival.test").await?.body.contains("No computer has checked")
    );
    let wrong = web.get(&format!("{OPERATOR}/grants?client=nowhere")).await?;
    assert!(wrong.status == 422 && wrong.body.contains("client-problem"), "{}", wrong.body);
    assert!(read(&mut web, "/grants?login=nobody").await?.body.contains("No computer has checked"));
    let fields = [("login", "user@homepage.test"), ("client", "127.0.0.1")];
    act(&mut web, "/grants", &fields).await?;
    let request = ListGrantsRequest { login: "user@homepage.test".to_owned(), ..Default::default() };
    assert!(house.admin.relay().list_grants(request).await?.into_inner().grants.is_empty());

    let page = read(&mut web, "/health").await?.body;
    assert!(page.contains("All services answer"), "{page}");
    for service in ["account", "auth", "delivery"] {
        assert!(page.contains(&format!(">{service}</th>")), "{service}");
    }
    // Each replica, those of the gateways too.
    let gateways = [(Service::Pop3, "pop3-gateway"), (Service::Smtp, "smtp-gateway")];
    let gateways =
        gateways.map(|(service, name)| format!(">{name} {}</th>", house.platform.replica(service, 0).health));
    assert!(gateways.iter().all(|row| page.contains(row)), "{page}");
    house.platform.replica(Service::Smtp, 0).process.kill()?;
    let page = read(&mut web, "/health").await?.body;
    assert!(page.contains("Not all services are well") && page.contains(&gateways[1]), "{page}");
    Ok(())
}

async fn entries(house: &House) -> anyhow::Result<Vec<QueueEntry>> {
    let request = ListQueueEntriesRequest::default();
    Ok(house.admin.queue().list_queue_entries(request).await?.into_inner().entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_holds_tries_again_and_gives_up_what_waits() -> anyhow::Result<()> {
    // Nobody listens there: what must leave, waits.
    let platform = Blueprint::new().set("POSTERN_SMARTHOST", "127.0.0.1:9").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let house = House { platform, admin };
    Pop3::login(house.platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    let mut client = Smtp::hello(house.platform.smtp(0)).await?;
    let to = ["a@outside.test", "b@elsewhere.test"];
    let reply = client.transaction("user@homepage.test", &to, &message("it waits", 700)).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let tried = eventually(Duration::from_secs(20), async || {
        entries(&house).await.is_ok_and(|all| {
            all.len() == 2 && all.iter().all(|e| e.attempt_count > 0 && e.state() == QueueState::Waiting)
        })
    });
    assert!(tried.await, "{:?}", entries(&house).await?);

    let mut web = operator(&house.platform).await?;
    // An address may be broken before its @.
    let shown = |page: String| page.replace("<span class=\"broken\">", "");
    let page = shown(read(&mut web, "/queue").await?.body);
    assert!(page.contains("a@outside.test") && page.contains("b@elsewhere.test"), "{page}");
    let page = shown(read(&mut web, "/queue?domain=outside.test&state=waiting").await?.body);
    assert!(page.contains("a@outside.test") && !page.contains("b@elsewhere.test"), "{page}");
    let all = entries(&house).await?;
    let id =
        |to: &str| all.iter().find(|e| e.recipient == to).map(|e| e.entry_id.to_string()).unwrap_or_default();
    let (first, second) = (id("a@outside.test"), id("b@elsewhere.test"));

    act(&mut web, "/queue", &[("entry", &first), ("entry", &second), ("deed", "hold")]).await?;
    assert!(entries(&house).await?.iter().all(|entry| entry.state() == QueueState::Held));
    assert!(read(&mut web, "/queue?state=waiting").await?.body.contains("The queue is empty"));
    let before = all.iter().map(|entry| entry.attempt_count).max().unwrap_or_default();
    act(&mut web, "/queue", &[("entry", &first), ("deed", "retry")]).await?;
    let again = eventually(Duration::from_secs(20), async || {
        let all = entries(&house).await.unwrap_or_default();
        all.iter().any(|entry| entry.recipient == "a@outside.test" && entry.attempt_count > before)
    });
    assert!(again.await, "it was tried at once");

    // Giving up is asked for once more; then the sender is told.
    let fields = [("entry", second.as_str()), ("deed", "ask-remove")];
    let page = web.submit(&format!("{OPERATOR}/queue"), &fields).await?;
    assert!(page.status == 200 && page.body.contains("Give up 1 entry?"), "{}", page.body);
    assert_eq!(entries(&house).await?.len(), 2, "not yet");
    act(&mut web, "/queue", &[("entry", &second), ("deed", "remove")]).await?;
    assert!(entries(&house).await?.iter().all(|entry| entry.recipient != "b@elsewhere.test"));
    assert!(house.has_mail("user@homepage.test", PASSWORD, "b@elsewhere.test").await, "the sender is told");
    // Nothing chosen, and what is no number.
    act(&mut web, "/queue", &[("deed", "hold")]).await?;
    let answer = web.submit(&format!("{OPERATOR}/queue"), &[("entry", "x"), ("deed", "hold")]).await?;
    assert_eq!(answer.status, 400);
    Ok(())
}
