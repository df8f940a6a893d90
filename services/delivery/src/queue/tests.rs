//! The queue on a real Postgres: leases, the schedule, and rows from their birth to their end.

mod backlog;
mod directory;
mod house;
mod operators;
mod overdue;
pub(crate) mod postgres;
mod stopped;
mod turns;

use std::time::Duration;

use postern_mail::MessageId;
use postern_mesh::identity::{Caller, Role};
use postern_proto::delivery::v1::{
    HoldQueueEntriesRequest, ListQueueEntriesRequest, QueueSelection, QueueState, RemoveQueueEntriesRequest,
    RetryQueueEntriesRequest, queue_service_server::QueueService as _,
};
use postern_smtp::client::Timeouts;
use sqlx::Row as _;
use tonic::{Request, Response};
use uuid::Uuid;

use self::{
    directory::{fake_account, fake_departures, fake_directory},
    house::{House, message_of, settings},
    postgres::Postgres,
};
use super::{
    store::{Deferral, Wanted},
    *,
};
use crate::{
    accept::{AcceptUnit, QueueClass},
    content::Blobs,
    grpc::{queue::QueueDoor, rights::Rights},
    lists::CopyFates,
    outbound::{
        Smarthost,
        tests::host::{Host, Script},
    },
    store::Store,
    trace::Story,
};

const DAYS: Duration = Duration::from_secs(432_000);

fn queue_of(store: &Store, lifetime: Duration) -> QueueStore {
    QueueStore::new(store.pool().clone(), Uuid::new_v4(), lifetime)
}

fn ended(ids: &[i64]) -> Vec<Ended> {
    ids.iter().copied().map(Ended::quietly).collect()
}

fn wanted(rows: usize) -> Wanted {
    Wanted { rows, of_each_domain: usize::MAX, ..Wanted::default() }
}

/// Errands are tested where they are done.
struct NoErrands;

impl ErrandRunner for NoErrands {
    fn run<'a>(
        &'a self,
        _row: &'a LeasedRow,
        _message: &'a QueuedMessage,
        _queue: &'a QueueHandle,
        _stopped: &'a tokio_util::sync::CancellationToken,
    ) -> futures_util::future::BoxFuture<'a, ErrandOutcome> {
        Box::pin(async { ErrandOutcome::Finished("a test") })
    }
}

/// A stored message with rows that are due.
async fn due_message(store: &Store, recipients: &[&str]) -> MessageId {
    due_message_at(store, recipients, "0 s").await
}

async fn due_message_at(store: &Store, recipients: &[&str], delay: &str) -> MessageId {
    let id = MessageId::new();
    sqlx::query(
        "INSERT INTO messages (id, content_bytes, checksum, references_count, sender, prefix, content)
        VALUES ($1, 3, $3, $2, 'a@here.test', '', 'abc')",
    )
    .bind(id.as_uuid())
    .bind(i32::try_from(recipients.len()).expect("count"))
    .bind(crc32c::crc32c(b"abc").cast_signed())
    .execute(store.pool())
    .await
    .expect("message");
    for recipient in recipients {
        let domain = recipient.split('@').nth(1).expect("domain");
        sqlx::query("INSERT INTO queue (message_id, recipient, recipient_domain, next_attempt_time) VALUES ($1, $2, $3, now() + $4::text::interval)")
            .bind(id.as_uuid())
            .bind(recipient)
            .bind(domain)
            .bind(delay)
            .execute(store.pool())
            .await
            .expect("row");
    }
    id
}

async fn count(store: &Store, table: &str) -> i64 {
    let statement = format!("SELECT count(*) FROM {table}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(store.pool()).await.expect("count")
}

async fn run(store: &Store, statement: &'static str) {
    sqlx::query(statement).execute(store.pool()).await.expect(statement);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_leased_once_and_again_when_its_worker_died() {
    let (_postgres, store) = Postgres::start().await;
    let (one, two) = (queue_of(&store, DAYS), queue_of(&store, DAYS));
    let names: Vec<String> = (0..40).map(|n| format!("r{n}@far.test")).collect();
    due_message(&store, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let some = wanted(25);
    let (mine, theirs) = tokio::join!(one.take_due(&some), two.take_due(&some));
    let (mine, theirs) = (mine.expect("one"), theirs.expect("two"));
    let mut ids: Vec<i64> = mine.iter().chain(&theirs).map(|row| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), mine.len() + theirs.len(), "a row was leased twice");
    let rest = one.take_due(&wanted(100)).await.expect("rest");
    assert_eq!(ids.len() + rest.len(), 40);
    // Who asked beside the other may have got nothing, but not in the end: 25 is all that the other one asked for.
    let mine: Vec<i64> = mine.iter().chain(&rest).map(|row| row.id).collect();
    assert!(mine.len() >= 15, "{}", mine.len());

    // Nobody can take what is leased; once the lease is over anybody can, and the first one has lost it.
    assert_eq!(two.reap().await.expect("reap"), 0);
    run(&store, "UPDATE queue SET lease_until = now() - interval '1 second'").await;
    assert_eq!(two.reap().await.expect("reap"), 40);
    assert_eq!(two.take_due(&wanted(100)).await.expect("again").len(), 40);
    assert!(one.renew(&mine).await.expect("renew").is_empty());
    assert_eq!(two.renew(&mine).await.expect("renew").len(), mine.len());
    let late = Deferral { id: mine[0], pause: Duration::from_secs(5), outcome: "too late".to_owned() };
    one.defer(&mut one.unhurried(), &[late]).await.expect("defer");
    let outcome: String = sqlx::query_scalar("SELECT last_outcome FROM queue WHERE id = $1")
        .bind(mine[0])
        .fetch_one(store.pool())
        .await
        .expect("row");
    assert_eq!(outcome, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_wait_as_long_as_they_were_told_and_end_with_their_message() {
    let (_postgres, store) = Postgres::start().await;
    let queue = queue_of(&store, DAYS);
    due_message(&store, &["a@far.test", "b@busy.test"]).await;
    let rows = queue
        .take_due(&Wanted { domains: vec![("busy.test".to_owned(), 0)], ..wanted(10) })
        .await
        .expect("take");
    assert_eq!(rows.len(), 1, "busy domains are left alone");
    let id = rows[0].id;
    queue
        .defer(
            &mut queue.unhurried(),
            &[Deferral { id, pause: Duration::from_secs(300), outcome: "451 later".to_owned() }],
        )
        .await
        .expect("defer");
    let row = sqlx::query(
        "SELECT attempts, last_outcome, extract(epoch FROM next_attempt_time - now())::float8 AS wait FROM queue WHERE id = $1",
    )
    .bind(id)
    .fetch_one(store.pool())
    .await
    .expect("row");
    assert_eq!((row.get::<i32, _>("attempts"), row.get::<&str, _>("last_outcome")), (1, "451 later"));
    assert!((295.0..=300.0).contains(&row.get::<f64, _>("wait")));
    assert_eq!(queue.take_due(&wanted(10)).await.expect("take").len(), 1, "only the other one is due");

    // An operator makes it due, another one holds it.
    assert_eq!(queue.retry(&[id]).await.expect("retry"), 1);
    assert_eq!(queue.take_due(&wanted(10)).await.expect("take")[0].attempts, 1);
    queue.hold(&[id]).await.expect("hold");
    assert!(queue.renew(&[id]).await.expect("renew").is_empty(), "a held row is nobody's");
    assert!(queue.take_due(&wanted(10)).await.expect("take").is_empty());
    // Holding stops attempts, not the five days.
    assert!(queue.take_expired_held().await.expect("held").is_empty());
    let impatient = queue_of(&store, Duration::ZERO);
    let held = impatient.take_expired_held().await.expect("held");
    assert!(held.len() == 1 && held[0].held && held[0].expired);

    let all: Vec<i64> =
        sqlx::query_scalar("SELECT id FROM queue ORDER BY id").fetch_all(store.pool()).await.expect("ids");
    queue.finish(&ended(&all[..1])).await.expect("finish");
    assert_eq!((count(&store, "messages").await, count(&store, "queue").await), (1, 1));
    queue.finish(&ended(&all)).await.expect("finish");
    queue.finish(&ended(&all)).await.expect("again");
    assert_eq!((count(&store, "messages").await, count(&store, "queue").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_offered_leaves_at_once() {
    let host = Host::start(Script { pipelining: true, ..Script::default() }).await;
    let house = House::open(&host, 300, 432_000).await;
    house
        .submit(
            "a@here.test",
            &[("b@far.test", None), ("c@away.test", None), ("d@far.test", Some("fwd@here.test"))],
        )
        .await;
    house.until_empty().await;
    let mut mails = host.seen().mails;
    mails.sort_by_key(|mail| mail.recipients.len());
    assert_eq!(mails.len(), 2);
    let forwarded =
        "Delivered-To: fwd@here.test\r\nReceived: by mail.postern.test\r\nSubject: hello\r\n\r\n.body\r\n";
    assert_eq!(String::from_utf8_lossy(&mails[0].content), forwarded);
    // One message to one place is one transaction, whatever the domains.
    assert_eq!(mails[1].recipients, ["b@far.test", "c@away.test"]);
    assert_eq!(mails[1].content, b"Received: by mail.postern.test\r\nSubject: hello\r\n\r\n.body\r\n");
    assert_eq!(count(&house.store, "messages").await, 0);
    assert!(house.shutdown.finish(Duration::from_secs(5)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_01_each_copy_of_a_list_has_its_own_sender_and_no_bounce() {
    let script = Script { pipelining: true, ..Script::default() };
    let host = Host::start(script.refusing("gone@far.test", "550 5.1.1 no such user")).await;
    let house = House::open(&host, 300, 432_000).await;
    // Due only when it is what it shall be: the workers poll all the while.
    let recipients = ["anna@far.test", "gone@far.test", "fwd@far.test"];
    let message = due_message_at(&house.store, &recipients, "1 hour").await;
    run(&house.store, "UPDATE messages SET sender = 'staff-bounces@here.test'").await;
    run(
        &house.store,
        "UPDATE queue SET class = 2, next_attempt_time = now(),
        note = CASE recipient WHEN 'fwd@far.test' THEN 'member@here.test' END",
    )
    .await;
    house.queue.handle.wake();
    house.until_empty().await;
    let mut senders: Vec<String> = host.seen().mails.iter().map(|mail| mail.sender.clone()).collect();
    senders.sort();
    assert_eq!(
        senders,
        ["staff-bounces+anna=far.test@here.test", "staff-bounces+member=here.test@here.test"],
        "{message}"
    );
    assert_eq!((count(&house.store, "messages").await, count(&house.store, "entries").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_before_the_copies_of_lists() {
    let (_postgres, store) = Postgres::start().await;
    let queue = queue_of(&store, DAYS);
    due_message(&store, &["a@far.test", "b@far.test"]).await;
    run(&store, "UPDATE queue SET class = 2, next_attempt_time = now() - interval '1 hour'").await;
    due_message(&store, &["c@far.test"]).await;
    due_message(&store, &["list@here.test"]).await;
    run(&store, "UPDATE queue SET class = 3, subject_id = 1 WHERE recipient = 'list@here.test'").await;
    let taken = queue.take_due(&Wanted { posts: 2, errands: 4, ..wanted(10) }).await.expect("take");
    let mut names: Vec<String> = taken.iter().map(|row| row.recipient.to_string()).collect();
    names.sort();
    assert_eq!(names, ["c@far.test", "list@here.test"]);
    let busy = Wanted { copies_domains: vec![("far.test".to_owned(), 0)], ..wanted(10) };
    assert_eq!(queue.take_due_copies(1, &wanted(10)).await.expect("take").len(), 1);
    assert!(queue.take_due_copies(9, &busy).await.expect("take").is_empty());
    assert_eq!(queue.take_due_copies(9, &wanted(10)).await.expect("take").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_leave_at_their_pace_however_few_a_poll_brings() {
    let host = Host::start(Script { pipelining: true, ..Script::default() }).await;
    // Room for five of them at once: a poll brings few.
    let settings = QueueSettings { limit_list_copies_per_second: 40, ..settings(300, 432_000) };
    let house = House::open_as(&host, &settings, Arc::new(NoErrands)).await;
    let members: Vec<String> = (0..80).map(|number| format!("m{number}@far.test")).collect();
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    due_message_at(&house.store, &members, "1 hour").await;
    run(&house.store, "UPDATE queue SET class = 2, next_attempt_time = now()").await;
    let begin = tokio::time::Instant::now();
    house.queue.handle.wake();
    house.until_empty().await;
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(1500), "80 copies at 40 a second left in {took:?}");
    assert!(took < Duration::from_secs(10), "80 copies at 40 a second left in {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn b_02_refused_recipients_come_back_in_one_bounce() {
    let script = Script::default()
        .refusing("b@far.test", "550 5.1.1 no such user")
        .refusing("c@far.test", "553 5.1.3 what");
    let host = Host::start(script).await;
    let house = House::open(&host, 300, 432_000).await;
    house.submit("a@here.test", &[("b@far.test", None), ("ok@far.test", None), ("c@far.test", None)]).await;
    house.until_empty().await;
    let bounce = house.bounce().await;
    assert!(bounce.starts_with("Return-Path: <>\r\n"), "{bounce}");
    for line in [
        "Auto-Submitted: auto-replied\r\n",
        "Final-Recipient: rfc822; b@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        "Final-Recipient: rfc822; c@far.test\r\nAction: failed\r\nStatus: 5.1.3\r\n",
        "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n",
        "Subject: hello\r\n",
    ] {
        assert!(bounce.contains(line), "{line}\n{bounce}");
    }
    assert_eq!(host.seen().mails.len(), 1);
    assert_eq!(count(&house.store, "messages").await, 1, "only the bounce is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounce_never_causes_a_bounce() {
    let host = Host::start(Script::default().answering("RCPT", "550 5.1.1 no")).await;
    let house = House::open(&host, 300, 432_000).await;
    house.submit("", &[("b@far.test", None)]).await;
    // The sender is outside: its bounce leaves, is refused, and that is the end.
    house.submit("stranger@far.test", &[("b@far.test", None)]).await;
    house.until_empty().await;
    assert_eq!((count(&house.store, "messages").await, count(&house.store, "entries").await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_deferred_is_tried_again_and_given_up_in_the_end() {
    let host = Host::start(Script::default().answering("RCPT", "450 4.2.1 greylisted")).await;
    let house = House::open(&host, 1, 1).await;
    house.submit("a@here.test", &[("b@far.test", None)]).await;
    house.until_empty().await;
    let bounce = house.bounce().await;
    assert!(bounce.contains("Status: 5.4.7\r\n"), "{bounce}");
    assert!(bounce.contains("450 4.2.1 greylisted"), "{bounce}");
    assert!(host.seen().connections >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_dead_replica_are_found() {
    let host = Host::start(Script::default()).await;
    let house = House::open(&host, 300, 432_000).await;
    due_message(&house.store, &["b@far.test"]).await;
    run(
        &house.store,
        "UPDATE queue SET state = 2, lease_owner = gen_random_uuid(), lease_until = now() - interval '1 second'",
    )
    .await;
    house.queue.handle.wake();
    house.until_empty().await;
    assert_eq!(host.seen().mails.len(), 1);
    assert_eq!(host.seen().mails[0].content, b"abc\r\n");
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "it does not come true");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
