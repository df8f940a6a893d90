//! What leaves, and what the house sends by itself, while its parts are killed: mail to the outside, copies of a list,
//! bounces and answers. Each comes once; twice only for an event that made the fate of that very copy uncertain, and nothing leaves
//! that no login, list or answer of ours accounts for (I1, I2, I6, I9).

mod ledger;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use ledger::{Copy, Cut, Ledger, Taken};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use postern::sink::{Answer, Moment, Received, Sink, SinkSettings};
use postern_proto::account::v1::{ListPosting, MailingList};
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Platform, Service},
    pop3::{Pop3, read_all},
    smtp::{Smtp, stuffed},
};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use sqlx::PgPool;

/// A killed worker's lease, and the longest pause of this house, twice (I9).
const LIMIT: Duration = Duration::from_secs(2 * (60 + 2));
const MEMBERS_OUTSIDE: usize = 20;
const USER: &str = "user@homepage.test";
const LIST: &str = "staff@homepage.test";
/// Nobody who may relay.
const STRANGER: &str = "127.0.0.66";
/// Content that is not kept in the row of its message.
const LARGE_BYTES: usize = 300_000;

/// Who writes, to whom, and how the message is called in a round.
const KINDS: [(&str, &str, &str); 4] = [
    ("out", USER, "friend{}@outside.test"),
    ("post", USER, LIST),
    ("bounce", USER, "gone{}@outside.test"),
    ("answer", "asker{}@outside.test", "away@homepage.test"),
];

type Shared = Arc<Mutex<Ledger>>;

fn open(ledger: &Shared) -> MutexGuard<'_, Ledger> {
    ledger.lock().expect("nobody panicked with it")
}

/// Refuses `gone@`, now and then says "later" or hangs up, also after its 250, and takes the rest.
async fn outside(ledger: &Shared) -> anyhow::Result<Sink> {
    let ledger = Arc::clone(ledger);
    let script = move |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if recipient.starts_with("gone") => {
            Answer::Reply("550 5.1.1 nobody".to_owned())
        }
        Moment::Sender(_) if rand::random_ratio(1, 10) => Answer::Reply("451 4.3.0 later".to_owned()),
        Moment::Sender(_) if rand::random_ratio(1, 20) => Answer::HangUp,
        Moment::Content(received) => {
            let unanswered = rand::random_ratio(1, 20);
            open(&ledger).taken.extend(taken(received, unanswered));
            if unanswered { Answer::AcceptThenHangUp } else { Answer::Accept }
        }
        _ => Answer::Accept,
    };
    Ok(Sink::start(SinkSettings { script: Some(Arc::new(script)), ..SinkSettings::default() }).await?)
}

fn taken(received: &Received, unanswered: bool) -> Vec<Taken> {
    let text = String::from_utf8_lossy(&received.content).into_owned();
    let one = |recipient: &String| Taken {
        at: Instant::now(),
        copy: copy_of(&text, recipient),
        reason: reason_to_leave(&received.sender, recipient, &text),
        unanswered,
    };
    received.recipients.iter().map(one).collect()
}

/// What goes to an address of its own is known by that, all else by its subject: content may be large, and then not at hand.
fn copy_of(text: &str, recipient: &str) -> Copy {
    let by_address = [("friend", "out"), ("asker", "answer")].into_iter().find_map(|(name, kind)| {
        let (round, _) = recipient.strip_prefix(name)?.split_once('@')?;
        Some(format!("{kind}-{round}"))
    });
    let subject =
        || text.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default().to_owned();
    (by_address.unwrap_or_else(subject), recipient.to_owned())
}

/// I6: what accounts for a mail that leaves. The one login that checks its mail here, from where it writes; the list, whose copies
/// come back to it; or the autoresponder.
fn reason_to_leave(sender: &str, recipient: &str, text: &str) -> Option<&'static str> {
    let header = text.split("\r\n\r\n").next().unwrap_or_default();
    let bounces = format!("staff-bounces+{}@homepage.test", recipient.replace('@', "="));
    match () {
        () if sender == USER && header.contains("([127.0.0.1])") => {
            header.contains(&format!("(checked mail: {USER})")).then_some("a login")
        }
        () if sender == bounces => header.contains("List-Id: <staff.homepage.test>").then_some("the list"),
        () if sender.is_empty() => header.contains("Auto-Submitted: auto-replied").then_some("an answer"),
        () => None,
    }
}

async fn house(sink: &Sink) -> anyhow::Result<Platform> {
    let platform = Blueprint::new()
        .set("POSTERN_SMARTHOST", &sink.address().to_string())
        .set("POSTERN_QUEUE_RETRY_SECONDS", "1,1,1,1,1,1,2")
        .set("POSTERN_LIMIT_LIST_COPIES_PER_SECOND", "0")
        .set("POSTERN_LOG", "warn")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for name in ["user", "anna", "bert", "away"] {
        admin.mailbox(&format!("{name}@homepage.test")).await?;
    }
    admin.autoresponder("away@homepage.test", "Away", "Back soon").await?;
    let list = MailingList {
        address: LIST.to_owned(),
        posting: ListPosting::Anyone.into(),
        owner: "owner@outside.test".to_owned(),
        ..MailingList::default()
    };
    let mut members: Vec<String> = (0..MEMBERS_OUTSIDE).map(|n| format!("m{n}@outside.test")).collect();
    members.extend(["anna@homepage.test".to_owned(), "bert@homepage.test".to_owned()]);
    admin.mailing_list(list, &members).await?;
    Ok(platform)
}

/// A message of this kind; mail outside is large.
fn letter(tag: &str, from: &str, to: &str) -> Vec<u8> {
    let lines = if tag.starts_with("out") { LARGE_BYTES / 16 } else { 1 };
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {tag}\r\nMessage-ID: <{tag}@far>\r\n\r\n{}",
        "line after line\r\n".repeat(lines)
    )
    .into_bytes()
}

/// What a sender knows of its attempt.
enum Sent {
    Taken,
    /// Nothing was stored: the final dot was never sent.
    Refused,
    /// It may be stored (window W1).
    Unclear,
}

async fn attempt(platform: &Platform, from: &str, to: &str, content: &[u8]) -> Sent {
    let prepared = async {
        let mut client = Smtp::hello(platform.smtp(0)).await?;
        client.expect(&format!("MAIL FROM:<{from}>"), 250).await?;
        client.expect(&format!("RCPT TO:<{to}>"), 250).await?;
        client.expect("DATA", 354).await?;
        anyhow::Ok(client)
    };
    let Ok(mut client) = prepared.await else { return Sent::Refused };
    if client.send(&stuffed(content)).await.is_err() {
        return Sent::Unclear;
    }
    match client.reply().await {
        Ok(reply) if reply.starts_with("250 ") => Sent::Taken,
        Ok(_) | Err(_) => Sent::Unclear,
    }
}

/// Checks mail, so that this client may send.
async fn check_mail(platform: &Platform) -> anyhow::Result<()> {
    Pop3::login(platform.pop3(0), USER, PASSWORD).await?.quit().await.map(drop)
}

/// Sends until it is taken.
async fn send(platform: &Platform, ledger: &Shared, tag: &str, from: &str, to: &str) -> anyhow::Result<()> {
    let begin = Instant::now();
    let content = letter(tag, from, to);
    loop {
        match attempt(platform, from, to, &content).await {
            Sent::Taken => return Ok(()),
            Sent::Unclear => *open(ledger).unclear.entry(tag.to_owned()).or_default() += 1,
            Sent::Refused => {}
        }
        anyhow::ensure!(begin.elapsed() < LIMIT, "{tag} is never taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
        // The grant may have run out meanwhile.
        let _ = check_mail(platform).await;
    }
}

/// Somebody who never checked mail here, in the user's name: refused, whatever is away.
async fn try_to_relay(platform: &Platform) -> anyhow::Result<()> {
    let asked = async {
        let mut client = Smtp::connect_from(platform.smtp(0), STRANGER).await?;
        client.command("EHLO far.outside.test").await?;
        client.command(&format!("MAIL FROM:<{USER}>")).await?;
        client.command("RCPT TO:<victim@outside.test>").await
    };
    // No answer is no relay either.
    let reply = asked.await.unwrap_or_default();
    anyhow::ensure!(!reply.starts_with("250"), "I6: a stranger may relay: {reply}");
    Ok(())
}

/// What is still to leave, as far as the database knows.
async fn unfinished(platform: &Platform) -> anyhow::Result<Vec<Copy>> {
    let pool = PgPool::connect(&platform.stores.database_url()).await?;
    let rows: Vec<(Option<Vec<u8>>, String)> = sqlx::query_as(
        "select m.content, q.recipient from mail.queue q join mail.messages m on m.id = q.message_id
        where q.class <= 2",
    )
    .fetch_all(&pool)
    .await?;
    let copy = |(content, recipient): &(Option<Vec<u8>>, String)| {
        copy_of(&String::from_utf8_lossy(content.as_deref().unwrap_or_default()), recipient)
    };
    Ok(rows.iter().map(copy).collect())
}

/// Kills it and has it back; what that left uncertain is in the ledger.
async fn kill_something(
    platform: &mut Platform,
    ledger: &Shared,
    victim: &str,
    pause: Duration,
) -> anyhow::Result<()> {
    let unfinished = match victim {
        "postgres" => {
            kill(Pid::from_raw(i32::try_from(platform.stores.postgres_pid())?), Signal::SIGKILL)?;
            tokio::time::sleep(pause).await;
            try_to_relay(platform).await?;
            platform.stores.restart_postgres().await?;
            unfinished(platform).await?
        }
        "delivery" => {
            platform.replica(Service::Delivery, 0).process.kill()?;
            let unfinished = unfinished(platform).await?;
            tokio::time::sleep(pause).await;
            try_to_relay(platform).await?;
            unfinished
        }
        _ => {
            platform.replica(Service::Account, 0).process.kill()?;
            tokio::time::sleep(pause).await;
            try_to_relay(platform).await?;
            platform.replica(Service::Account, 0).process.spawn()?;
            return platform.wait_ready(Service::Account).await;
        }
    };
    open(ledger).cuts.push(Cut { back: Instant::now(), unfinished });
    if victim == "delivery" {
        platform.replica(Service::Delivery, 0).process.spawn()?;
        platform.wait_ready(Service::Delivery).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn i_02_what_the_house_sends_survives_kill_9() -> anyhow::Result<()> {
    let rounds: usize = std::env::var("POSTERN_FAULT_ROUNDS").ok().and_then(|v| v.parse().ok()).unwrap_or(3);
    let seed: u64 =
        std::env::var("POSTERN_SEED").ok().and_then(|v| v.parse().ok()).unwrap_or_else(rand::random);
    println!("{rounds} rounds, seed {seed} (POSTERN_SEED)");
    let ledger = Shared::default();
    let sink = outside(&ledger).await?;
    let mut platform = house(&sink).await?;
    check_mail(&platform).await?;
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..rounds {
        for (kind, from, to) in KINDS {
            let (tag, number) = (format!("{kind}-{round}"), round.to_string());
            let (from, to) = (from.replace("{}", &number), to.replace("{}", &number));
            send(&platform, &ledger, &tag, &from, &to).await?;
            open(&ledger).expected.extend(ends_of(&tag, &from, &to));
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..400))).await;
        let victim = ["delivery", "postgres", "delivery", "account"][(round + random.random_range(0..2)) % 4];
        let pause = Duration::from_millis(random.random_range(50..800));
        kill_something(&mut platform, &ledger, victim, pause).await?;
        println!("round {round}: {victim} killed and back");
    }
    at_rest(&platform).await?;
    read_boxes(&platform, &ledger).await?;
    let ledger = open(&ledger);
    println!(
        "{} copies left, {} answers unclear",
        ledger.taken.len(),
        ledger.unclear.values().sum::<usize>()
    );
    let wrong = ledger.wrong();
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
    Ok(())
}

/// Where a message must come to in the end.
fn ends_of(tag: &str, from: &str, to: &str) -> Vec<Copy> {
    let places: Vec<String> = match to {
        LIST => (0..MEMBERS_OUTSIDE)
            .map(|n| format!("m{n}@outside.test"))
            .chain(["anna", "bert"].map(|name| format!("{name}@homepage.test")))
            .collect(),
        // The letter, and its answer.
        "away@homepage.test" => vec![to.to_owned(), from.to_owned()],
        // Nobody is there: it comes back.
        gone if gone.starts_with("gone") => vec![from.to_owned()],
        _ => vec![to.to_owned()],
    };
    places.into_iter().map(|place| (tag.to_owned(), place)).collect()
}

/// I9: the queue comes to rest by itself, no lease outlives its time for longer than a poll takes, and nothing is left behind.
async fn at_rest(platform: &Platform) -> anyhow::Result<()> {
    let pool = PgPool::connect(&platform.stores.database_url()).await?;
    let count = async |question: &'static str| sqlx::query_scalar::<_, i64>(question).fetch_one(&pool).await;
    let stuck = "select count(*) from mail.queue where state = 2 and lease_until < now() - interval '15 s'";
    let mut longest = 0;
    let empty = eventually(LIMIT, async || {
        longest = count(stuck).await.unwrap_or(0).max(longest);
        count("select count(*) from mail.queue").await.is_ok_and(|count| count == 0)
    });
    anyhow::ensure!(empty.await, "I9: the queue is not empty");
    anyhow::ensure!(longest == 0, "I9: {longest} rows stayed with the dead");
    for (left, question) in [
        (
            "messages that nobody holds, or that are counted wrong",
            "select count(*) from mail.messages m where m.references_count <>
                (select count(*) from mail.entries e where e.message_id = m.id)",
        ),
        ("memories of posts", "select count(*) from mail.post_recipients"),
        ("stories without an end", "select count(*) from mail.trace where state = 1"),
    ] {
        let found = count(question).await?;
        anyhow::ensure!(found == 0, "I9: {found} {left}");
    }
    Ok(())
}

/// What came to boxes of the house.
async fn read_boxes(platform: &Platform, ledger: &Shared) -> anyhow::Result<()> {
    for name in ["anna", "bert", "away", "user"] {
        let address = format!("{name}@homepage.test");
        for octets in read_all(platform.pop3(0), &address, PASSWORD).await? {
            let text = String::from_utf8_lossy(&octets).into_owned();
            let copy = match text.split_once("Final-Recipient: rfc822; gone") {
                Some((_, rest)) => {
                    (format!("bounce-{}", rest.split('@').next().unwrap_or_default()), address.clone())
                }
                None => copy_of(&text, &address),
            };
            *open(ledger).delivered.entry(copy).or_default() += 1;
        }
    }
    Ok(())
}
