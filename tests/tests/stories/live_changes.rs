//! Changes are live (promise 6): every replica of every service acts on a change within 1 s.

use std::time::{Duration, Instant};

use postern_proto::account::v1::DefaultAction;
use postern_tests::{
    admin::PASSWORD,
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    smtp::Smtp,
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const LIMIT: Duration = Duration::from_secs(1);
const REPLICAS: usize = 2;

/// What RCPT answers for an address on one replica.
async fn rcpt_code(platform: &Platform, replica: usize, address: &str) -> anyhow::Result<String> {
    let mut client = Smtp::hello(platform.smtp(replica)).await?;
    client.expect("MAIL FROM:<probe@outside.test>", 250).await?;
    let reply = client.command(&format!("RCPT TO:<{address}>")).await?;
    let _ = client.send(b"QUIT\r\n").await;
    Ok(reply.chars().take(3).collect())
}

async fn login_works(
    platform: &Platform,
    replica: usize,
    address: &str,
    password: &str,
) -> anyhow::Result<bool> {
    let mut client = Pop3::connect(platform.pop3(replica)).await?;
    client.ok(&format!("USER {address}")).await?;
    let reply = client.command(&format!("PASS {password}")).await?;
    anyhow::ensure!(!reply.contains("[SYS/"), "a login must not fail for our own reasons: {reply}");
    let works = reply.starts_with("+OK") || reply.contains("[IN-USE]");
    client.quit().await?;
    Ok(works)
}

/// What the outside must see of one address.
#[derive(Clone, Debug, PartialEq)]
struct Expected {
    address: String,
    rcpt: &'static str,
    login: Option<(String, bool)>,
}

async fn seen_everywhere(platform: &Platform, expected: &Expected) -> anyhow::Result<bool> {
    for replica in 0..REPLICAS {
        if rcpt_code(platform, replica, &expected.address).await? != expected.rcpt {
            return Ok(false);
        }
        if let Some((password, works)) = &expected.login
            && login_works(platform, replica, &expected.address, password).await? != *works
        {
            return Ok(false);
        }
    }
    Ok(true)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_seen_everywhere_within_a_second() -> anyhow::Result<()> {
    let changes: usize = std::env::var("POSTERN_CHANGES").ok().and_then(|v| v.parse().ok()).unwrap_or(60);
    let seed: u64 =
        std::env::var("POSTERN_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or_else(rand::random);
    println!("seed {seed} (POSTERN_SEED)");
    let mut random = StdRng::seed_from_u64(seed);
    let platform = Blueprint::new()
        .replicas(Service::Account, REPLICAS)
        .replicas(Service::Pop3, REPLICAS)
        .replicas(Service::Smtp, REPLICAS)
        .set("POSTERN_LIMIT_FAILED_LOGINS_ACCOUNT", "0")
        .set("POSTERN_LIMIT_FAILED_LOGINS_NETWORK", "0")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.default_address("homepage.test", DefaultAction::Reject, "").await?;

    let mut exists = [false; 4];
    let mut forwards = [false; 4];
    let mut waited = Vec::new();
    for number in 0..changes {
        let who = random.random_range(0..exists.len());
        let address = format!("user{who}@homepage.test");
        let alias = format!("alias{who}@homepage.test");
        let secret = format!("password {number}");
        // Asked before each change, so that every cache holds the old answer.
        for replica in 0..REPLICAS {
            rcpt_code(&platform, replica, &address).await?;
            rcpt_code(&platform, replica, &alias).await?;
        }
        let expected = match (random.random_range(0..3), exists[who]) {
            (0, _) if forwards[who] => {
                admin.remove_forward(&alias).await?;
                forwards[who] = false;
                Expected { address: alias, rcpt: "550", login: None }
            }
            (0, _) => {
                admin.forward(&alias, &["somebody@outside.test"], false).await?;
                forwards[who] = true;
                Expected { address: alias, rcpt: "250", login: None }
            }
            (_, false) => {
                admin.mailbox_with(&address, &secret).await?;
                exists[who] = true;
                Expected { address, rcpt: "250", login: Some((secret, true)) }
            }
            (1, true) => {
                admin.set_password(&address, &secret).await?;
                Expected { address, rcpt: "250", login: Some((secret, true)) }
            }
            (_, true) => {
                admin.remove_mailbox(&address).await?;
                exists[who] = false;
                Expected { address, rcpt: "550", login: Some((PASSWORD.to_owned(), false)) }
            }
        };
        // The clock starts when the change RPC has returned, and stops when a round of probes began that saw it.
        let changed = Instant::now();
        loop {
            let probed = changed.elapsed();
            if seen_everywhere(&platform, &expected).await? {
                waited.push(probed);
                break;
            }
            assert!(changed.elapsed() < LIMIT, "change {number}: not seen after {LIMIT:?}: {expected:?}");
        }
    }
    waited.sort();
    let at = |share: usize| waited[(waited.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    println!(
        "{changes} changes, seen by all replicas after p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        at(50),
        at(99),
        at(100)
    );
    Ok(())
}
