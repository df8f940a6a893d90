//! `postern doctor`: a whole installation is found good, and what is wrong is named with what to do about it.

use std::{collections::BTreeMap, time::Duration};

use hickory_server::proto::rr::{Name, RData, rdata::PTR};
use postern_tests::{
    dns::{World, address},
    platform::{Blueprint, Platform, Service},
};

const HOST: &str = "mail.postern.test";

/// The state of each thing that was looked at, and the exit code.
async fn look(
    platform: &mut Platform,
    world: &World,
) -> anyhow::Result<(i32, BTreeMap<String, (String, String)>)> {
    let health =
        Service::ALL.map(|service| format!("http://{}", platform.replica(service, 0).health)).join(",");
    let doors = format!(
        "smtp={},submission={},smtps={},pop3={},pop3s={},http={},https={}",
        platform.smtp(0),
        platform.submission(0),
        platform.smtps(0),
        platform.pop3(0),
        platform.pop3s(0),
        platform.panel(),
        platform.panel_tls()
    );
    let resolver = world.address.to_string();
    let words = ["doctor", "--json", "--health-doors", &health, "--doors", &doors, "--resolver", &resolver];
    let (code, out, error) = platform.postern(&words, "").await?;
    let found: serde_json::Value =
        serde_json::from_str(&out).map_err(|e| anyhow::anyhow!("{e}: {out} {error}"))?;
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let findings = found.as_array().into_iter().flatten();
    let findings = findings.map(|f| {
        let told = format!("{} -> {}", text(&f["seen"]), text(&f["do"]));
        (format!("{} {}", text(&f["subject"]), text(&f["state"])), (text(&f["state"]), told))
    });
    Ok((code, findings.collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_house_is_good_and_what_is_wrong_is_named() -> anyhow::Result<()> {
    let world = World::start().await;
    // Not of loopback: its name is never asked of DNS (RFC 6761 section 6.3).
    world.add(HOST, address("203.0.113.25"));
    world.add("25.113.0.203.in-addr.arpa", RData::PTR(PTR(Name::from_ascii(format!("{HOST}."))?)));
    let mut platform = Blueprint::new().set("POSTERN_POSTMASTER", "user@homepage.test").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;

    let (code, found) = look(&mut platform, &world).await?;
    assert_eq!(code, 0, "{found:#?}");
    let mut wanted: Vec<String> =
        ["account", "auth", "delivery", "Postgres", "Redis", "mail host"].map(str::to_owned).into();
    wanted.extend(["schema account", "schema mail", "postmaster", "queue", "blob store"].map(str::to_owned));
    wanted.extend([
        format!("smtp door at {}", platform.smtp(0)),
        format!("submission door at {}", platform.submission(0)),
        format!("pop3 door at {}", platform.pop3(0)),
        format!("http door at {}", platform.panel()),
    ]);
    for subject in wanted {
        assert!(found.contains_key(&format!("{subject} good")), "{subject}: {found:#?}");
    }
    for door in [platform.pop3s(0), platform.smtps(0), platform.panel_tls()] {
        assert!(found.contains_key(&format!("certificate at {door} good")), "{found:#?}");
    }
    let ready = found.keys().filter(|key| key.starts_with("health at ") && key.ends_with(" good"));
    assert_eq!(ready.count(), Service::ALL.len(), "{found:#?}");
    // A house on one machine is good, and is told what it does without.
    assert!(found["Postgres care"].1.contains("synchronous standby"), "{found:#?}");

    // One gateway goes, which nobody but the world asks.
    let (smtp, health) = (platform.smtp(0), platform.replica(Service::Smtp, 0).health);
    platform.replica(Service::Smtp, 0).process.stop(Duration::from_secs(30)).await?;
    let (code, found) = look(&mut platform, &world).await?;
    assert_eq!(code, 1, "{found:#?}");
    for gone in [format!("smtp door at {smtp} wrong"), format!("health at http://{health} wrong")] {
        assert!(found.contains_key(&gone), "{gone}: {found:#?}");
    }
    platform.replica(Service::Smtp, 0).process.spawn()?;
    platform.wait_ready(Service::Smtp).await?;

    // Redis begins to evict, the mail host loses its way back, account goes away.
    let client = redis::Client::open(platform.stores.redis_url())?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let set = ["SET", "maxmemory-policy", "allkeys-lru"];
    redis::cmd("CONFIG").arg(&set).query_async::<()>(&mut connection).await?;
    world.clear("25.113.0.203.in-addr.arpa");
    platform.replica(Service::Account, 0).process.stop(Duration::from_secs(30)).await?;
    let (code, found) = look(&mut platform, &world).await?;
    assert_eq!(code, 1, "{found:#?}");
    assert!(found["Redis wrong"].1.contains("set maxmemory-policy noeviction"), "{found:#?}");
    assert!(found["mail host care"].1.contains("PTR"), "{found:#?}");
    assert!(found["account wrong"].1.contains("is it started"), "{found:#?}");
    let away = format!("health at http://{} wrong", platform.replica(Service::Account, 0).health);
    assert!(found.contains_key(&away), "{found:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_none_is_told() -> anyhow::Result<()> {
    let world = World::start().await;
    let platform = Blueprint::new().start().await?;
    let resolver = world.address.to_string();
    let file = platform.folder().join("no-token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef")?;
    let mut environment = platform.environment().clone();
    environment.remove("POSTERN_OPERATOR_TOKEN");
    environment.insert("POSTERN_OPERATOR_TOKEN_FILE".to_owned(), file.display().to_string());
    let program = postern_tests::process::binary_folder()?.join("postern");
    let words = ["doctor", "--resolver", &resolver];
    let (code, out, error) = postern_tests::platform::run(&program, &words, &environment, "").await?;
    assert_eq!(code, 1, "{out} {error}");
    assert!(out.contains("WRONG auth: ") && out.contains("the token is not the operator's"), "{out}");
    assert!(out.contains("WRONG mail host: mail.postern.test has no address in DNS"), "{out}");
    assert!(error.contains("things are wrong"), "{error}");
    Ok(())
}
