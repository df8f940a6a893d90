//! `postern doctor`: a whole installation is found good, and what is wrong is named with what to do about it.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{Json, Router, routing::get};
use hickory_server::proto::rr::{Name, RData, rdata::PTR};
use postern_tests::{
    admin::PASSWORD,
    dns::{World, address, txt},
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    smtp::Smtp,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
};

const HOST: &str = "mail.postern.test";

/// The state of each thing that was looked at, and the exit code.
async fn look(
    platform: &mut Platform,
    world: &World,
) -> anyhow::Result<(i32, BTreeMap<String, (String, String)>)> {
    look_with(platform, world, &[]).await
}

/// The same with more words.
async fn look_with(
    platform: &mut Platform,
    world: &World,
    more: &[&str],
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
    let words = [&words, more].concat();
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
    assert!(found["versions good"].1.contains("at all 6 health doors"), "{found:#?}");
    // A house on one machine is good, and is told what it does without.
    assert!(found["Postgres care"].1.contains("synchronous standby"), "{found:#?}");

    // Where mail leaves from is told by nobody, then by settings that DNS does not know, then by those that it does.
    assert!(found["sending address unknown"].1.contains("POSTERN_SENDING_ADDRESSES"), "{found:#?}");
    let sending =
        ["--sending-addresses", "203.0.113.7,203.0.113.8", "--spf-mechanism", "include:_spf.postern.test"];
    world.add("7.113.0.203.in-addr.arpa", RData::PTR(PTR(Name::from_ascii("out.postern.test.")?)));
    world.add("8.113.0.203.in-addr.arpa", RData::PTR(PTR(Name::from_ascii("out.postern.test.")?)));
    world.add("out.postern.test", address("203.0.113.7"));
    let (code, found) = look_with(&mut platform, &world, &sending).await?;
    assert_eq!(code, 1, "{found:#?}");
    assert!(found["sending address good"].1.contains("203.0.113.7 is out.postern.test"), "{found:#?}");
    assert!(found["sending address care"].1.contains("203.0.113.8"), "{found:#?}");
    assert!(found["SPF wrong"].1.contains("_spf.postern.test"), "{found:#?}");
    world.add("_spf.postern.test", txt("v=spf1 ip4:203.0.113.7 ip4:203.0.113.8 -all"));
    world.add("out.postern.test", address("203.0.113.8"));
    let (code, found) = look_with(&mut platform, &world, &sending).await?;
    assert_eq!(code, 0, "{found:#?}");
    assert!(found.contains_key("SPF good") && !found.contains_key("sending address care"), "{found:#?}");

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

    // A failover that nobody told: this Redis is a replica now, and takes no writes.
    redis::cmd("REPLICAOF").arg(&["127.0.0.1", "1"]).query_async::<()>(&mut connection).await?;
    let auth = format!("health at http://{} wrong", platform.replica(Service::Auth, 0).health);
    let begun = Instant::now();
    loop {
        let (_, found) = look(&mut platform, &world).await?;
        assert!(found["Redis wrong"].1.contains("replica"), "{found:#?}");
        // A health door keeps its answers for a while.
        let is_told = found.get(&auth).is_some_and(|(_, told)| told.contains("replica"))
            && found.values().any(|(_, told)| told.contains("no box can be opened"));
        if is_told {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{found:#?}");
    }
    Ok(())
}

/// A load balancer that nobody declared hides all clients behind an address of its own, public as any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_balancer_that_hides_its_clients_opens_no_relay_and_is_told() -> anyhow::Result<()> {
    const PROXY: &str = "127.0.0.7";
    const BALANCER: &str = "203.0.113.7";
    let world = World::start().await;
    world.add(HOST, address("203.0.113.25"));
    // That it is public is told to the gateways by a proxy of the tests, as the client's address.
    let mut platform = Blueprint::new().set("POSTERN_PROXY_NETWORKS", PROXY).start().await?;
    let admin = platform.admin()?;
    let mut boxes = Vec::new();
    for customer in ["one", "two", "three", "four"] {
        admin.domain(customer, &format!("{customer}.test")).await?;
        for number in 0..5 {
            boxes.push(format!("box{number}@{customer}.test"));
            admin.mailbox(boxes.last().map_or("", String::as_str)).await?;
        }
    }
    let may_send = async |platform: &Platform| {
        let mut client = Smtp::through_proxy(platform.smtp(0), PROXY, BALANCER).await?;
        client.expect("MAIL FROM:<box0@one.test>", 250).await?;
        client.command("RCPT TO:<you@outside.test>").await
    };
    for (number, login) in boxes.iter().enumerate() {
        let mut client = Pop3::through_proxy(platform.pop3(0), PROXY, BALANCER).await?;
        client.ok(&format!("USER {login}")).await?;
        client.ok(&format!("PASS {PASSWORD}")).await?;
        client.quit().await?;
        if number == 0 {
            assert!(may_send(&platform).await?.starts_with("250"), "one customer alone is a customer");
        }
    }
    let heard = may_send(&platform).await?;
    assert!(heard.starts_with("550 5.7.1 relaying prohibited"), "{heard}");
    let (code, found) = look(&mut platform, &world).await?;
    assert_eq!(code, 1, "{found:#?}");
    let told = &found["grants wrong"].1;
    assert!(told.contains(BALANCER) && told.contains("POSTERN_PROXY_NETWORKS"), "{told}");
    // auth works on: it is no reason to take it out of service.
    let ready = found.keys().filter(|key| key.starts_with("health at ") && key.ends_with(" good"));
    assert_eq!(ready.count(), Service::ALL.len(), "{found:#?}");
    // And the person is told what to do.
    let words = ["explain", "send", "--from", "box0@one.test", "--to", "you@outside.test", "--ip", BALANCER];
    let (_, out, error) = platform.postern(&words, "").await?;
    assert!(out.contains("nearly everybody") && out.contains("Switch on authentication"), "{out}{error}");
    Ok(())
}

/// A load balancer speaks the PROXY protocol and is not listed, or is listed and does not speak it: each door tells.
#[tokio::test(flavor = "multi_thread")]
async fn balancers_and_settings_that_do_not_agree_are_told() -> anyhow::Result<()> {
    const LISTED: &str = "127.0.0.7";
    let world = World::start().await;
    world.add(HOST, address("203.0.113.25"));
    let mut platform = Blueprint::new().set("POSTERN_PROXY_NETWORKS", LISTED).start().await?;
    let say = async |door: SocketAddr, from: &str, words: &str| -> anyhow::Result<()> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(format!("{from}:0").parse()?)?;
        let mut stream = socket.connect(door).await?;
        stream.write_all(words.as_bytes()).await?;
        stream.shutdown().await?;
        // That it is cut off is an end, too.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        Ok(())
    };
    let header = "PROXY TCP4 203.0.113.9 127.0.0.1 50000 25\r\n";
    for door in [platform.smtp(0), platform.pop3s(0), platform.panel()] {
        say(door, "127.0.0.8", header).await?;
    }
    say(platform.pop3(0), LISTED, "USER user@homepage.test\r\n").await?;
    let begun = Instant::now();
    loop {
        let (code, found) = look(&mut platform, &world).await?;
        let of = |platform: &mut Platform, service| {
            let health = platform.replica(service, 0).health;
            found.get(&format!("health at http://{health} care")).map(|(_, told)| told.clone())
        };
        let (smtp, pop3) = (of(&mut platform, Service::Smtp), of(&mut platform, Service::Pop3));
        // A health door keeps its answers for a while.
        if let (Some(smtp), Some(pop3), Some(panel)) = (smtp, pop3, of(&mut platform, Service::Panel)) {
            assert_eq!(code, 0, "strangers can do that: {found:#?}");
            for told in [&smtp, &pop3, &panel] {
                assert!(
                    told.contains("1 connections, the last from 127.0.0.8, began with a PROXY"),
                    "{told}"
                );
                assert!(told.contains("belongs into POSTERN_PROXY_NETWORKS"), "{told}");
            }
            let closed = format!("1 connections, the last from {LISTED}, came from a network");
            assert!(pop3.contains(&closed) && !smtp.contains(LISTED), "{pop3} {smtp}");
            return Ok(());
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{found:#?}");
    }
}

/// A health door of another version: ready, and with these metrics.
async fn health_door_of(metrics: &'static str) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let pages = Router::new()
        .route("/readyz", get(async || Json(BTreeMap::<String, String>::new())))
        .route("/metrics", get(async move || metrics));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    Ok(address)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_that_is_half_upgraded_is_told_which_replica_is_behind() -> anyhow::Result<()> {
    let world = World::start().await;
    world.add(HOST, address("203.0.113.25"));
    let mut platform = Blueprint::new().start().await?;
    let old = health_door_of("postern_build_info{service=\"delivery\",version=\"0.0.9+ab\"} 1\n").await?;
    let older = health_door_of("postern_queue_oldest_seconds{class=\"mail\"} 1\n").await?;
    let now = platform.replica(Service::Delivery, 0).health;
    let doors = format!("http://{now},http://{old},http://{older}");
    let resolver = world.address.to_string();
    let words = ["doctor", "--health-doors", &doors, "--resolver", &resolver];
    let (_, out, error) = platform.postern(&words, "").await?;
    let told = |words: &str| assert!(out.contains(words), "{words}: {out}{error}");
    told(&format!("CARE  health at http://{old}: delivery runs 0.0.9+ab, this command is "));
    told(&format!("CARE  health at http://{older}: does not tell its version"));
    told("-> right while an upgrade runs");
    assert!(!out.contains(&format!("CARE  health at http://{now}")), "{out}");
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
