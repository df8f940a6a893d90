//! Nothing accepted is lost, and nothing is doubled without a reason, while parts are killed at random moments
//! (promise 1; invariants I1 to I5, I8, I10).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use postern_tests::{
    admin::PASSWORD,
    eventually,
    journal::{Fact, Journal},
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    smtp::{Smtp, message, stuffed},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const BOXES: usize = 6;
const SENDERS: usize = 8;
/// A box must be free again after so long (I5), with room for a busy machine.
const FREE_LIMIT: Duration = Duration::from_secs(90);

fn box_name(number: usize) -> String {
    format!("user{number}@homepage.test")
}

/// What the load and the verdict share.
struct Ledger {
    journal: Mutex<Journal>,
    /// Answers that were permanent while a part was away (I10).
    permanent: Mutex<Vec<String>>,
    going: AtomicBool,
}

impl Ledger {
    fn note(&self, tag: &str, fact: Fact, places: &[String]) {
        let places: Vec<_> = places.iter().map(String::as_str).collect();
        let mut journal = self.journal.lock().expect("no task panicked");
        journal.sent(tag, fact, &places);
        // Parts that speak to the outside are killed too: the reply to the dot may get lost there (W2).
        if places.iter().any(|p| p.ends_with("outside.test")) {
            journal.outside_is_ambiguous(tag);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_accepted_is_lost_while_parts_are_killed() -> anyhow::Result<()> {
    let rounds: usize = std::env::var("POSTERN_FAULT_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(4);
    let seed: u64 =
        std::env::var("POSTERN_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or_else(rand::random);
    println!("{rounds} rounds, seed {seed} (POSTERN_SEED)");
    let mut platform = Blueprint::new()
        .set("POSTERN_QUEUE_RETRY_SECONDS", "1,1,1,1,1,2,2,2,5")
        .set("POSTERN_LOG", "warn")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for number in 0..BOXES {
        admin.mailbox(&box_name(number)).await?;
    }
    admin.forward("away@homepage.test", &["friend@outside.test"], false).await?;
    admin.forward("both@homepage.test", &[&box_name(0), &box_name(1)], false).await?;

    let ledger = Arc::new(Ledger {
        journal: Mutex::default(),
        permanent: Mutex::default(),
        going: AtomicBool::new(true),
    });
    let (smtp, pop3) = (platform.smtp(0), platform.pop3(0));
    let mut load = Vec::new();
    for sender in 0..SENDERS {
        let ledger = Arc::clone(&ledger);
        let random = StdRng::seed_from_u64(seed ^ sender as u64);
        load.push(tokio::spawn(send_until_stopped(smtp, sender, random, ledger)));
    }
    for reader in 3..BOXES {
        let ledger = Arc::clone(&ledger);
        load.push(tokio::spawn(read_and_delete_until_stopped(pop3, reader, ledger)));
    }

    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..rounds {
        tokio::time::sleep(Duration::from_millis(random.random_range(300..1500))).await;
        let victim = ["delivery", "account", "postgres", "redis"][(round + random.random_range(0..2)) % 4];
        kill_and_restart(&mut platform, victim, &mut random).await?;
        println!("round {round}: {victim} killed and back");
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    ledger.going.store(false, Ordering::Relaxed);
    for task in load {
        task.await??;
    }

    settle(&platform).await?;
    collect(&platform, &ledger).await?;
    let journal = ledger.journal.lock().expect("no task panicked");
    let findings = journal.verify();
    println!("{} accepted, {} ambiguous", journal.accepted_count(), journal.ambiguous_count());
    assert!(journal.accepted_count() > rounds, "the load must flow");
    assert!(findings.is_clean(), "seed {seed}: {findings:?}");
    let permanent = ledger.permanent.lock().expect("no task panicked");
    assert!(permanent.is_empty(), "I10: permanent answers during faults: {permanent:?}");
    Ok(())
}

/// kill -9 at a random moment, a random pause, and up again over what was left.
async fn kill_and_restart(platform: &mut Platform, victim: &str, random: &mut StdRng) -> anyhow::Result<()> {
    let pause = Duration::from_millis(random.random_range(50..1200));
    match victim {
        "postgres" => {
            kill_9(platform.stores.postgres_pid())?;
            tokio::time::sleep(pause).await;
            platform.stores.restart_postgres().await?;
        }
        "redis" => {
            kill_9(platform.stores.redis_pid())?;
            tokio::time::sleep(pause).await;
            platform.stores.restart_redis().await?;
        }
        service => {
            let service = if service == "delivery" { Service::Delivery } else { Service::Account };
            platform.replica(service, 0).process.kill()?;
            tokio::time::sleep(pause).await;
            platform.replica(service, 0).process.spawn()?;
            platform.wait_ready(service).await?;
        }
    }
    Ok(())
}

fn kill_9(pid: u32) -> anyhow::Result<()> {
    Ok(kill(Pid::from_raw(i32::try_from(pid)?), Signal::SIGKILL)?)
}

/// Where a sender's next message goes, and where its copies must end.
fn choose(random: &mut StdRng) -> (Vec<String>, Vec<String>) {
    match random.random_range(0..6) {
        0 => (vec!["away@homepage.test".into()], vec!["friend@outside.test".into()]),
        1 => (vec!["both@homepage.test".into()], vec![box_name(0), box_name(1)]),
        2 => {
            let all: Vec<_> = (0..BOXES).map(box_name).collect();
            (all.clone(), all)
        }
        _ => {
            let one = box_name(random.random_range(0..BOXES));
            (vec![one.clone()], vec![one])
        }
    }
}

async fn send_until_stopped(
    smtp: std::net::SocketAddr,
    sender: usize,
    mut random: StdRng,
    ledger: Arc<Ledger>,
) -> anyhow::Result<()> {
    let mut number = 0;
    while ledger.going.load(Ordering::Relaxed) {
        let tag = format!("m-{sender}-{number}");
        number += 1;
        let (recipients, places) = choose(&mut random);
        let size = [800, 9_000, 90_000, 700_000][random.random_range(0..4)];
        let fact = match send_one(smtp, &tag, &recipients, size).await {
            Ok((fact, reply)) => {
                if reply.starts_with('5') {
                    ledger.permanent.lock().expect("no task panicked").push(reply);
                }
                fact
            }
            Err(_) => Fact::Partial,
        };
        ledger.note(&tag, fact, &places);
        if fact != Fact::Accepted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// One transaction; an error means that the final dot was not sent.
async fn send_one(
    smtp: std::net::SocketAddr,
    tag: &str,
    recipients: &[String],
    size: usize,
) -> anyhow::Result<(Fact, String)> {
    let mut client = Smtp::hello(smtp).await?;
    let mut reply = client.command("MAIL FROM:<sender@outside.test>").await?;
    for recipient in recipients {
        if reply.starts_with('2') {
            reply = client.command(&format!("RCPT TO:<{recipient}>")).await?;
        }
    }
    if reply.starts_with('2') {
        reply = client.command("DATA").await?;
    }
    if !reply.starts_with("354") {
        return Ok((Fact::Partial, reply));
    }
    let wire = stuffed(&message(tag, size));
    // Up to the dot nothing is promised to either side.
    client.send(&wire[..wire.len() - 3]).await?;
    let last = client.send(&wire[wire.len() - 3..]).await;
    let reply = match last {
        Ok(()) => client.reply().await,
        Err(error) => Err(error),
    };
    Ok(match reply {
        Ok(reply) if reply.starts_with('2') => (Fact::Accepted, reply),
        Ok(reply) if reply.starts_with('5') => (Fact::Refused, reply),
        Ok(reply) => (Fact::Ambiguous, reply),
        Err(_) => (Fact::Ambiguous, String::new()),
    })
}

fn tag_of(content: &[u8]) -> String {
    let head = String::from_utf8_lossy(&content[..content.len().min(4000)]).into_owned();
    head.lines().find_map(|l| l.strip_prefix("Subject: ")).unwrap_or_default().to_owned()
}

/// Reads everything, deletes half; what QUIT confirmed counts as found, and must be gone (I4).
async fn read_and_delete_until_stopped(
    pop3: std::net::SocketAddr,
    reader: usize,
    ledger: Arc<Ledger>,
) -> anyhow::Result<()> {
    let mut read: BTreeMap<String, String> = BTreeMap::new();
    let mut in_doubt: BTreeSet<String> = BTreeSet::new();
    let mut confirmed: BTreeSet<String> = BTreeSet::new();
    while ledger.going.load(Ordering::Relaxed) {
        let session = read_session(pop3, reader, &mut read).await;
        if let Ok((present, marked, outcome)) = session {
            for uid in &confirmed {
                anyhow::ensure!(!present.contains(uid), "I4: {uid} was deleted and is back");
            }
            // What was in doubt is decided by what is there now.
            for uid in std::mem::take(&mut in_doubt) {
                if !present.contains(&uid) {
                    confirmed.insert(uid);
                }
            }
            match outcome {
                Some(reply) if reply.starts_with("+OK") => confirmed.extend(marked),
                // -ERR, too: a part may have died between the commit and its answer (RFC 1939 section 6 leaves it open).
                _ => in_doubt.extend(marked),
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Decide what is still in doubt once all is well again.
    let begin = Instant::now();
    let present = loop {
        match uids(pop3, reader).await {
            Ok(present) => break present,
            Err(error) => {
                let waited = begin.elapsed();
                anyhow::ensure!(
                    waited < FREE_LIMIT,
                    "box {reader} is not free after {waited:?} (I5): {error:#}"
                );
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    confirmed.extend(in_doubt.into_iter().filter(|uid| !present.contains(uid)));
    let mut journal = ledger.journal.lock().expect("no task panicked");
    for uid in confirmed {
        if let Some(tag) = read.get(&uid) {
            journal.found(tag, &box_name(reader));
        }
    }
    Ok(())
}

async fn uids(pop3: std::net::SocketAddr, reader: usize) -> anyhow::Result<BTreeSet<String>> {
    let mut client = Pop3::login(pop3, &box_name(reader), PASSWORD).await?;
    let uids = client.uidl().await?;
    client.quit().await?;
    Ok(uids.into_iter().collect())
}

type SessionOutcome = (BTreeSet<String>, Vec<String>, Option<String>);

async fn read_session(
    pop3: std::net::SocketAddr,
    reader: usize,
    read: &mut BTreeMap<String, String>,
) -> anyhow::Result<SessionOutcome> {
    let mut client = Pop3::connect(pop3).await?;
    client.ok(&format!("USER {}", box_name(reader))).await?;
    let reply = client.command(&format!("PASS {PASSWORD}")).await?;
    anyhow::ensure!(!reply.contains("[AUTH]"), "I10: a good password was refused: {reply}");
    anyhow::ensure!(reply.starts_with("+OK"), "{reply}");
    let uids = client.uidl().await?;
    let mut marked = Vec::new();
    for (index, uid) in uids.iter().enumerate() {
        let content = client.retr(index + 1).await?;
        read.insert(uid.clone(), tag_of(&content));
        if index % 2 == 0 {
            client.ok(&format!("DELE {}", index + 1)).await?;
            marked.push(uid.clone());
        }
    }
    // From here on the outcome is in doubt until it is read.
    let outcome = client.quit().await.ok();
    Ok((uids.into_iter().collect(), marked, outcome))
}

/// Faults are off: the queue drains by itself (I9).
async fn settle(platform: &Platform) -> anyhow::Result<()> {
    let begin = Instant::now();
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let drained = eventually(Duration::from_secs(150), async || {
        let count: Result<(i64,), _> =
            sqlx::query_as("SELECT count(*) FROM mail.queue").fetch_one(&pool).await;
        count.is_ok_and(|(count,)| count == 0)
    })
    .await;
    anyhow::ensure!(drained, "I9: the queue is not empty after {:?}", begin.elapsed());
    println!("queue drained {:.1} s after the faults", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Every copy that is anywhere in the end.
async fn collect(platform: &Platform, ledger: &Ledger) -> anyhow::Result<()> {
    for number in 0..BOXES {
        let mut client = None;
        let open = eventually(Duration::from_secs(90), async || {
            client = Pop3::login(platform.pop3(0), &box_name(number), PASSWORD).await.ok();
            client.is_some()
        })
        .await;
        anyhow::ensure!(open, "box {number} is not free (I5)");
        let Some(mut client) = client else { continue };
        let (count, octets) = client.stat().await?;
        let mut sum = 0;
        for message in 1..=count {
            let content = client.retr(message).await?;
            sum += content.len() as u64;
            ledger.journal.lock().expect("no task panicked").found(&tag_of(&content), &box_name(number));
        }
        anyhow::ensure!(sum == octets, "I8: STAT says {octets}, RETR gave {sum}");
        client.quit().await?;
    }
    for received in platform.sink.messages() {
        let tag = tag_of(&received.content);
        let mut journal = ledger.journal.lock().expect("no task panicked");
        for recipient in &received.recipients {
            journal.found(&tag, recipient);
        }
    }
    Ok(())
}
