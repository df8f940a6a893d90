//! Wrong passwords: each answer comes later than the one before, at every door and replica alike; the first costs nothing, the owner does
//! not wait for the failures of others, and a good login ends it.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_tests::{
    admin::PASSWORD,
    metrics,
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    smtp::Smtp,
    web::Web,
};

const BOX: &str = "user@homepage.test";
/// Where all connections come from; it names their clients.
const PROXY: &str = "127.0.0.9";
const OWNER: &str = "198.51.100.20";
const GUESSER: &str = "203.0.113.7";

/// The answer to a password, and how long it took.
async fn pop3(platform: &Platform, client: &str, password: &str) -> anyhow::Result<(String, Duration)> {
    let mut pop3 = Pop3::through_proxy(platform.pop3(0), PROXY, client).await?;
    pop3.ok(&format!("USER {BOX}")).await?;
    let begun = Instant::now();
    let reply = pop3.command(&format!("PASS {password}")).await?;
    let took = begun.elapsed();
    if reply.starts_with("+OK") {
        pop3.quit().await?;
    }
    Ok((reply, took))
}

async fn smtp(platform: &Platform, client: &str, password: &str) -> anyhow::Result<(String, Duration)> {
    let mut smtp = Smtp::through_proxy(platform.submission(0), PROXY, client).await?;
    let plain = STANDARD.encode(format!("\0{BOX}\0{password}"));
    let begun = Instant::now();
    let reply = smtp.command(&format!("AUTH PLAIN {plain}")).await?;
    Ok((reply, begun.elapsed()))
}

#[tokio::test(flavor = "multi_thread")]
async fn p_23_s_83_answers_to_wrong_passwords_come_later_and_later() -> anyhow::Result<()> {
    let mut platform = Blueprint::new()
        .replicas(Service::Auth, 2)
        .set("POSTERN_PROXY_NETWORKS", PROXY)
        .set("POSTERN_LOGIN_HOLD_BACK_SECONDS", "5")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    let health = [Service::Pop3, Service::Smtp, Service::Panel].map(|s| platform.replica(s, 0).health);
    let held = async || -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for health in health {
            sum += metrics::sum(health, "postern_logins_held_back_total", &["outcome=\"held\""]).await?;
        }
        Ok(sum)
    };
    assert!(pop3(&platform, OWNER, PASSWORD).await?.0.starts_with("+OK"));

    // The guesser, through all doors and both replicas of auth.
    let (reply, _) = pop3(&platform, GUESSER, "wrong").await?;
    assert!(reply.starts_with("-ERR [AUTH] "), "{reply}");
    assert!(held().await? < 0.5, "the first failure waits for nothing");
    let (reply, took) = smtp(&platform, GUESSER, "wrong").await?;
    assert!(reply.starts_with("535 5.7.8 ") && took >= Duration::from_secs(2), "{reply} after {took:?}");
    let begun = Instant::now();
    let answer = Web::new(platform.panel()).sign_in(BOX, "wrong").await?;
    let took = begun.elapsed();
    assert!(answer.status == 401 && took >= Duration::from_secs(4), "{} after {took:?}", answer.status);
    let (reply, took) = pop3(&platform, GUESSER, "wrong").await?;
    assert!(reply.starts_with("-ERR [AUTH] ") && took >= Duration::from_secs(5), "{reply} after {took:?}");
    assert!(took < Duration::from_secs(20), "longer than is set: {took:?}");

    // The owner at home: neither the right password nor one slip waits for what others did.
    let before = held().await?;
    assert!(pop3(&platform, OWNER, PASSWORD).await?.0.starts_with("+OK"));
    assert!(pop3(&platform, OWNER, "slip").await?.0.starts_with("-ERR [AUTH] "));
    assert!(held().await? - before < 0.5);
    // A second slip waits; a good login ends it.
    let (reply, took) = smtp(&platform, OWNER, "slip").await?;
    assert!(reply.starts_with("535 5.7.8 ") && took >= Duration::from_secs(2), "{reply} after {took:?}");
    assert!(smtp(&platform, OWNER, PASSWORD).await?.0.starts_with("235 "));
    let before = held().await?;
    assert!(pop3(&platform, OWNER, "slip").await?.0.starts_with("-ERR [AUTH] "));
    assert!(held().await? - before < 0.5, "the count went on after a good login");
    Ok(())
}
