//! The queue on a real Postgres: leases, the schedule, and rows from their birth to their end.

mod backlog;
mod directory;
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

fn settings(retry_seconds: u64, lifetime_seconds: u64) -> QueueSettings {
    QueueSettings {
        queue_retry_seconds: vec![retry_seconds],
        queue_lifetime_seconds: lifetime_seconds,
        queue_delay_notice_seconds: 14_400,
        limit_outbound_connections: 10,
        limit_outbound_connections_per_domain: 5,
        limit_list_copies_per_second: 0,
        resolver: Vec::new(),
        outbound_port: 25,
        outbound_allowed_networks: Vec::new(),
        outbound_tls: Vec::new(),
        outbound_ca_file: None,
        mta_sts: false,
        mta_sts_port: 443,
    }
}

/// A running queue that sends everything to one host.
struct House {
    store: Store,
    acceptor: Acceptor,
    queue: Queue,
    shutdown: Shutdown,
    _blobs: tempfile::TempDir,
    _postgres: Postgres,
}

impl House {
    async fn open(host: &Host, retry_seconds: u64, lifetime_seconds: u64) -> Self {
        let settings = settings(retry_seconds, lifetime_seconds);
        Self::open_as(host, &settings, Arc::new(NoErrands)).await
    }

    async fn open_as(host: &Host, settings: &QueueSettings, errands: Arc<dyn ErrandRunner>) -> Self {
        let smarthost = Smarthost { host: host.address.ip().to_string(), port: host.address.port() };
        Self::open_towards(Some(smarthost), settings, errands).await
    }

    /// `smarthost`: where everything goes; `None`: where DNS says.
    async fn open_towards(
        smarthost: Option<Smarthost>,
        settings: &QueueSettings,
        errands: Arc<dyn ErrandRunner>,
    ) -> Self {
        let (postgres, store) = Postgres::start().await;
        let shutdown = Shutdown::new();
        let replica = Uuid::new_v4();
        let acceptor = Acceptor::start(&store, replica);
        let folder = tempfile::tempdir().expect("folder");
        let blobs = Blobs::open(&format!("file://{}", folder.path().display())).expect("blobs");
        let outbound = OutboundSettings {
            smarthost,
            timeouts: Timeouts {
                banner: Duration::from_secs(3),
                dot: Duration::from_secs(3),
                ..Timeouts::default()
            },
            ..settings.outbound(None, "mail.postern.test").expect("settings")
        };
        let parts = QueueParts {
            store: QueueStore::new(store.pool().clone(), replica, settings.lifetime())
                .telling_delays(settings.delay_notice()),
            acceptor: acceptor.clone(),
            directory: fake_directory(&shutdown),
            contents: Arc::new(StoredContents::new(blobs)),
            errands,
            departures: fake_departures(&shutdown),
            fates: CopyFates::new().0,
        };
        let queue = super::start(parts, settings, outbound, &shutdown).expect("queue");
        Self { store, acceptor, queue, shutdown, _blobs: folder, _postgres: postgres }
    }

    /// Accepts a message for remote recipients and hands its rows over, as the submission door does.
    async fn submit(&self, sender: &str, recipients: &[(&str, Option<&str>)]) {
        let content = Bytes::from_static(b"Subject: hello\r\n\r\n.body\r\n");
        let queue_row = |(recipient, via): &(&str, Option<&str>)| NewQueueRow {
            via: via.map(|via| via.parse().expect("via")),
            ..NewQueueRow::to(recipient.parse().expect("recipient"), QueueClass::Mail)
        };
        let rows: Vec<NewQueueRow> = recipients.iter().map(queue_row).collect();
        let message = NewMessage {
            id: MessageId::new(),
            sender: sender.parse().expect("sender"),
            prefix: Bytes::from_static(b"Received: by mail.postern.test\r\n"),
            content_bytes: content.len() as u64,
            plain_bytes: None,
            checksum: crc32c::crc32c(&content),
            content: StoredContent::Inline(content),
            flags: MessageFlags::default(),
            customer: None,
            login: None,
            peer_ip: None,
            dsn: MessageDsn::default(),
            traceparent: None,
        };
        let unit = AcceptUnit {
            message: message.clone(),
            entries: Vec::new(),
            queue: rows.clone(),
            finished_queue_ids: Vec::new(),
            story: Story::default(),
        };
        let by = tokio::time::Instant::now() + Duration::from_secs(10);
        let committed = self.acceptor.commit(unit, by).await.expect("commit");
        self.queue.handle.offer(born(&message, &rows, &committed.queue_ids));
    }

    async fn until_empty(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        while count(&self.store, "queue").await > 0 {
            assert!(tokio::time::Instant::now() < deadline, "the queue does not drain");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The one bounce in box 1.
    async fn bounce(&self) -> String {
        let row = sqlx::query(
            "SELECT e.mailbox_id, e.prefix || m.prefix || m.content AS whole FROM entries e JOIN messages m ON m.id = e.message_id",
        )
        .fetch_one(self.store.pool())
        .await
        .expect("one bounce");
        assert_eq!(row.get::<i64, _>("mailbox_id"), 1);
        String::from_utf8(row.get::<Vec<u8>, _>("whole")).expect("text")
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_hold_retry_and_remove() {
    let host = Host::start(Script::default()).await;
    let House { store, queue, shutdown, _blobs, _postgres, .. } = House::open(&host, 300, 432_000).await;
    let rights = Rights::new(fake_directory(&shutdown), fake_account());
    let door = QueueDoor::new(Arc::new(queue), rights);
    // Not due yet, so that no worker takes them.
    for recipients in [&["b@far.test", "c@away.test"][..], &["d@far.test"]] {
        due_message_later(&store, recipients).await;
    }
    let list = |request: ListQueueEntriesRequest| async {
        door.list_queue_entries(by_operator(request)).await.map(Response::into_inner)
    };
    let first = list(ListQueueEntriesRequest { page_size: 2, ..Default::default() }).await.expect("page");
    let second = ListQueueEntriesRequest {
        page_size: 2,
        page_token: first.next_page_token.clone(),
        ..Default::default()
    };
    let second = list(second).await.expect("page");
    let recipients: Vec<_> =
        first.entries.iter().chain(&second.entries).map(|e| e.recipient.as_str()).collect();
    assert_eq!(recipients, ["b@far.test", "c@away.test", "d@far.test"]);
    assert!(second.next_page_token.is_empty());
    let far = ListQueueEntriesRequest { recipient_domain: "FAR.test".to_owned(), ..Default::default() };
    assert_eq!(list(far).await.expect("filtered").entries.len(), 2);
    for wrong in [
        ListQueueEntriesRequest { page_size: -1, ..Default::default() },
        ListQueueEntriesRequest { page_token: "x".to_owned(), ..Default::default() },
        ListQueueEntriesRequest { queue_id: "x".to_owned(), ..Default::default() },
        ListQueueEntriesRequest { state: 99, ..Default::default() },
    ] {
        assert_eq!(list(wrong).await.expect_err("wrong").code(), tonic::Code::InvalidArgument);
    }

    let entry = first.entries[0].clone();
    let one = Some(QueueSelection { entry_ids: vec![entry.entry_id], queue_id: String::new() });
    let hold = HoldQueueEntriesRequest { selection: one.clone() };
    assert_eq!(door.hold_queue_entries(by_operator(hold)).await.expect("hold").into_inner().entry_count, 1);
    let held = ListQueueEntriesRequest { state: QueueState::Held.into(), ..Default::default() };
    assert_eq!(list(held).await.expect("held").entries[0].entry_id, entry.entry_id);
    let retry = RetryQueueEntriesRequest { selection: one.clone() };
    door.retry_queue_entries(by_operator(retry)).await.expect("retry");
    until(|| async { host.seen().mails.len() == 1 && count(&store, "queue").await == 2 }).await;

    // The rest of the first message comes back, the second message goes without a word.
    let both = Some(QueueSelection { entry_ids: Vec::new(), queue_id: entry.queue_id });
    let remove = RemoveQueueEntriesRequest { selection: both.clone(), silent: false };
    door.remove_queue_entries(by_operator(remove)).await.expect("remove");
    assert_eq!((count(&store, "queue").await, count(&store, "entries").await), (1, 1));
    let last = Some(QueueSelection { entry_ids: vec![second.entries[0].entry_id], queue_id: String::new() });
    let remove = RemoveQueueEntriesRequest { selection: last, silent: true };
    door.remove_queue_entries(by_operator(remove)).await.expect("remove");
    assert_eq!((count(&store, "queue").await, count(&store, "entries").await), (0, 1));
    let again = RemoveQueueEntriesRequest { selection: both, silent: true };
    let gone = door.remove_queue_entries(by_operator(again)).await.expect_err("gone");
    assert_eq!(gone.code(), tonic::Code::NotFound);
    assert!(shutdown.finish(Duration::from_secs(5)).await);
}

/// As the guard hands it on.
fn by_operator<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::new("test", Role::Operator));
    request
}

async fn due_message_later(store: &Store, recipients: &[&str]) {
    let id = due_message_at(store, recipients, "1 hour").await;
    assert!(count(store, "queue").await > 0, "{id}");
}

async fn until<F: Future<Output = bool>>(holds: impl Fn() -> F) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "it does not come true");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
