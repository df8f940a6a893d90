//! What containers do with a service, done to real ones: the health check by the binary itself, secrets by file, certificates
//! between the services, and the gauges of the queue.

use std::{
    net::SocketAddr,
    process::{Command, Output},
    time::Duration,
};

use anyhow::Context as _;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use postern_tests::{
    admin::PASSWORD,
    eventually, metrics,
    platform::{Blueprint, Service, free_ports},
    pop3::Pop3,
    process::binary_folder,
    smtp::{self, message},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const LIMIT: Duration = Duration::from_secs(60);

/// `<service> health`, asking this door.
fn health(service: Service, door: SocketAddr) -> anyhow::Result<Output> {
    let path = binary_folder()?.join(service.binary());
    let output = Command::new(path)
        .arg("health")
        .env_clear()
        .env("POSTERN_HEALTH_LISTEN", format!("0.0.0.0:{}", door.port()))
        .output();
    output.context("the probe")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_checks_its_own_health() -> anyhow::Result<()> {
    let mut platform = Blueprint::new().start().await?;
    for service in Service::ALL {
        let door = platform.replica(service, 0).health;
        let asked = health(service, door)?;
        assert!(asked.status.success(), "{service:?}: {asked:?}");
    }
    // Without its database account is not ready, and says why.
    let door = platform.replica(Service::Account, 0).health;
    kill(Pid::from_raw(platform.stores.postgres_pid().try_into()?), Signal::SIGKILL)?;
    let unready = eventually(Duration::from_secs(20), async || {
        health(Service::Account, door).is_ok_and(|asked| {
            asked.status.code() == Some(1) && String::from_utf8_lossy(&asked.stdout).contains("postgres")
        })
    });
    assert!(unready.await, "{:?}", health(Service::Account, door)?);
    // Nobody there.
    let asked = health(Service::Pop3, free_ports(1)?[0])?;
    assert_eq!(asked.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&asked.stderr).contains("no answer"), "{asked:?}");
    Ok(())
}

/// The main story with TLS between all services and every secret in a file, as docker-compose.yml has it.
#[tokio::test(flavor = "multi_thread")]
async fn the_house_works_with_certificates_and_secrets_in_files() -> anyhow::Result<()> {
    let mut platform = Blueprint::new().secrets_in_files().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let content = message("certificates", 2_000);
    let reply =
        smtp::send(platform.smtp(0), "friend@outside.test", &["user@homepage.test"], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let reply = smtp::send(platform.smtp(0), "user@homepage.test", &["you@outside.test"], &content).await?;
    assert!(reply.starts_with("550 5.7.1 "), "{reply}");
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    let reply = smtp::send(platform.smtp(0), "user@homepage.test", &["you@outside.test"], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(eventually(Duration::from_secs(10), async || platform.sink.messages().len() == 1).await);
    // The operator's command has a token and the authority, no certificate.
    let (code, out, error) = platform.postern(&["mailbox", "show", "user@homepage.test"], "").await?;
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("user@homepage.test"), "{out}");
    // When what they hang on ends is a metric.
    let health = platform.replica(Service::Account, 0).health;
    for of in ["mesh", "authority"] {
        let line = format!("postern_certificate_end_seconds{{of=\"{of}\"}} ");
        let told =
            eventually(LIMIT, async || metrics::all(health).await.is_ok_and(|text| text.contains(&line)));
        assert!(told.await, "account does not tell when its {of} ends");
    }
    // The doors speak nothing but TLS.
    let mut plain = TcpStream::connect(platform.account_door()).await?;
    plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer).await;
    // A TLS alert, and the end: no frame of HTTP/2, which would begin with its length of three octets.
    assert!(answer.is_empty() || answer[0] == 21, "{answer:?}");
    Ok(())
}

/// What operators ask for: who may send, how long passwords wait, how long mail takes to the next host.
#[tokio::test(flavor = "multi_thread")]
async fn grants_waiting_passwords_and_the_way_out_are_metrics() -> anyhow::Result<()> {
    let mut house = Blueprint::new().start().await?;
    let admin = house.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let auth = house.replica(Service::Auth, 0).health;
    let has = async |door: SocketAddr, line: &str| {
        metrics::all(door).await.is_ok_and(|text| text.lines().any(|told| told == line))
    };
    assert!(
        eventually(LIMIT, async || has(auth, "postern_auth_grant_clients 0").await).await,
        "nobody may send yet"
    );
    Pop3::login(house.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    let content = message("measured", 1_000);
    let reply = smtp::send(house.smtp(0), "user@homepage.test", &["you@outside.test"], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let delivery = house.replica(Service::Delivery, 0).health;
    for (door, line) in [
        (auth, "postern_auth_grant_clients 1"),
        // The one who waited is not counted any more.
        (auth, "postern_auth_passwords_waiting 0"),
        (delivery, "postern_outbound_delivery_seconds_count 1"),
        // Longer than other times may be told.
        (delivery, r#"postern_outbound_delivery_seconds_bucket{le="432000"} 1"#),
    ] {
        assert!(
            eventually(LIMIT, async || has(door, line).await).await,
            "{line}: {}",
            metrics::all(door).await?
        );
    }
    Ok(())
}

/// Small mail needs no blob store, so that only a gauge tells that it is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_blob_store_that_is_away_is_told() -> anyhow::Result<()> {
    let nowhere = format!("http://{}", free_ports(1)?[0]);
    let mut house = Blueprint::new()
        .set("POSTERN_BLOB_URL", "s3://mail/content")
        .set("AWS_ENDPOINT", &nowhere)
        .set("AWS_ALLOW_HTTP", "true")
        .set("AWS_REGION", "none")
        .set("AWS_ACCESS_KEY_ID", "nobody")
        .set("AWS_SECRET_ACCESS_KEY", "nothing")
        .start()
        .await?;
    let admin = house.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let content = message("small", 1_000);
    let reply = smtp::send(house.smtp(0), "a@outside.test", &["user@homepage.test"], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let door = house.replica(Service::Delivery, 0).health;
    let told = eventually(LIMIT, async || {
        metrics::all(door)
            .await
            .is_ok_and(|text| text.lines().any(|line| line == "postern_delivery_blobs_up 0"))
    });
    assert!(told.await, "{}", metrics::all(door).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_to_leave_is_a_gauge() -> anyhow::Result<()> {
    // Nothing listens where all mail goes.
    let nowhere = free_ports(1)?[0].to_string();
    let mut platform = Blueprint::new().set("POSTERN_SMARTHOST", &nowhere).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.forward("away@homepage.test", &["you@outside.test"], false).await?;
    let content = message("waiting", 1_000);
    smtp::send(platform.smtp(0), "friend@outside.test", &["away@homepage.test"], &content).await?;
    let door = platform.replica(Service::Delivery, 0).health;
    let told = eventually(Duration::from_secs(60), async || {
        metrics::all(door).await.is_ok_and(|text| {
            text.contains(r#"postern_queue_entries{class="mail",state="waiting"} 1"#)
                && text.contains(r#"postern_queue_entries{class="errand",state="waiting"} 0"#)
                && text.lines().any(|line| {
                    line.strip_prefix(r#"postern_queue_oldest_seconds{class="mail"} "#)
                        .and_then(|age| age.parse::<f64>().ok())
                        .is_some_and(|age| age > 0.0)
                })
        })
    });
    assert!(told.await, "{}", metrics::all(door).await?);
    Ok(())
}
