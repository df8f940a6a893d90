//! Two of everything, and one half is cut off: its processes hang (what the other half sees of a machine that is gone: sockets
//! that stay open and say nothing), then they are killed. The sessions of the other half go on, and new ones work within
//! seconds.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use postern_tests::{
    admin::PASSWORD,
    eventually, metrics,
    platform::{Blueprint, Platform, Service},
    pop3::{Pop3, read_all},
    smtp::{self, Smtp, message},
};

const USER: &str = "user@homepage.test";
const MATE: &str = "mate@homepage.test";
const STRANGER: &str = "friend@outside.test";
/// From the cut until new sessions work.
const WITHIN: Duration = Duration::from_secs(5);
/// How long an operation may take that nobody should notice anything in. The machine may be slow.
const UNNOTICED: Duration = Duration::from_millis(1500);
const LIMIT: Duration = Duration::from_secs(30);
const HALF: [Service; 5] = [Service::Account, Service::Auth, Service::Delivery, Service::Pop3, Service::Smtp];
const CALLED: [Service; 3] = [Service::Account, Service::Auth, Service::Delivery];

/// One login and one message at the first half.
async fn round(platform: &Platform, number: &mut usize) -> anyhow::Result<()> {
    Pop3::login(platform.pop3(0), MATE, PASSWORD).await?.quit().await?;
    let content = message(&format!("round-{number}"), 400);
    let reply = smtp::send(platform.smtp(0), STRANGER, &[MATE], &content).await?;
    anyhow::ensure!(reply.starts_with("250 "), "{reply}");
    *number += 1;
    Ok(())
}

/// Calls that a replica of the second half was asked so far.
async fn asked(platform: &mut Platform, service: Service) -> f64 {
    let health = platform.replica(service, 1).health;
    metrics::sum(health, "postern_rpc_total", &[]).await.unwrap_or_default()
}

/// Until the second half has its share of the work.
async fn shared(platform: &mut Platform, taken: &mut usize) -> anyhow::Result<()> {
    for service in CALLED {
        let before = asked(platform, service).await;
        let begin = Instant::now();
        while asked(platform, service).await < before + 3.0 {
            anyhow::ensure!(begin.elapsed() < LIMIT, "{service:?} of the second half is not asked");
            round(platform, taken).await?;
        }
    }
    Ok(())
}

/// Cuts the second half off, and looks at the first; `taken` counts the messages for the mate's box.
async fn without_the_other_half(
    platform: &mut Platform,
    taken: &mut usize,
    how: &str,
    cut: impl Fn(&mut Platform) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = Pop3::login(platform.pop3(0), USER, PASSWORD).await?;
    let mut sender = Smtp::hello(platform.submission(0)).await?;
    sender.expect(&format!("MAIL FROM:<{USER}>"), 250).await?;
    cut(platform)?;
    let begin = Instant::now();
    let left = || WITHIN.saturating_sub(begin.elapsed());

    // Sessions that are open go on: what cannot be done at once is temporary, and the session stays.
    let goes_on = eventually(left(), async || reader.retr(1).await.is_ok());
    assert!(goes_on.await, "{how}: the open POP3 session reads on");
    let goes_on = eventually(left(), async || {
        let reply = sender.command(&format!("RCPT TO:<{MATE}>")).await.unwrap_or_default();
        assert!(reply.starts_with("250") || reply.starts_with("451"), "{how}: {reply}");
        reply.starts_with("250")
    });
    assert!(goes_on.await, "{how}: the open SMTP session goes on");
    sender.expect("DATA", 354).await?;
    sender.send(&smtp::stuffed(&message("open", 300))).await?;
    let reply = sender.reply().await?;
    assert!(reply.starts_with("250 ") || reply.starts_with("451"), "{how}: {reply}");
    *taken += usize::from(reply.starts_with("250 "));
    let (sessions, mut tries) = (begin.elapsed(), 0);
    let works = eventually(left(), async || {
        tries += 1;
        round(platform, taken).await.is_ok()
    });
    assert!(works.await, "{how}: new sessions work within {WITHIN:?}");
    let new = begin.elapsed();
    assert!(new < WITHIN, "{how}: {new:?}");

    // From then on nobody notices anything, also not of the attempts to find it again.
    let mut slowest = Duration::ZERO;
    while begin.elapsed() < WITHIN + Duration::from_secs(4) {
        let one = Instant::now();
        round(platform, taken).await?;
        reader.retr(1).await?;
        slowest = slowest.max(one.elapsed());
    }
    assert!(slowest < UNNOTICED, "{how}: {slowest:?}");
    println!(
        "{how}: open sessions went on after {sessions:?}, new ones worked after {new:?} ({tries} tries), slowest later {slowest:?}"
    );
    reader.quit().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_half_that_is_cut_off_leaves_the_other_working() -> anyhow::Result<()> {
    let blueprint = HALF.into_iter().fold(Blueprint::new(), |all, service| all.replicas(service, 2));
    let mut platform = blueprint.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for address in [USER, MATE] {
        admin.mailbox(address).await?;
    }
    smtp::send(platform.smtp(0), STRANGER, &[USER], &message("first", 20_000)).await?;
    let mut taken = 0;
    shared(&mut platform, &mut taken).await?;

    let signal = |platform: &mut Platform, signal: Signal| {
        HALF.into_iter().try_for_each(|service| platform.replica(service, 1).process.signal(signal))
    };
    without_the_other_half(&mut platform, &mut taken, "hangs", |platform| signal(platform, Signal::SIGSTOP))
        .await?;
    signal(&mut platform, Signal::SIGCONT)?;
    shared(&mut platform, &mut taken).await?;

    without_the_other_half(&mut platform, &mut taken, "killed", |platform| {
        HALF.into_iter().try_for_each(|service| platform.replica(service, 1).process.kill())
    })
    .await?;
    for service in HALF {
        platform.replica(service, 1).process.spawn()?;
    }
    for service in HALF {
        platform.wait_ready(service).await?;
    }
    shared(&mut platform, &mut taken).await?;

    // Both halves see the same, and nothing that was accepted is lost, or there twice.
    for gateway in [0, 1] {
        let mut count = 0;
        let all_there = eventually(LIMIT, async || {
            count = read_all(platform.pop3(gateway), MATE, PASSWORD).await.map_or(0, |all| all.len());
            count >= taken
        });
        assert!(all_there.await, "{count} of {taken} at gateway {gateway}");
        assert!(count - taken <= 2, "{count} of {taken}: more than those whose answer was lost");
    }
    Ok(())
}
