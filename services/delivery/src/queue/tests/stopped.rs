//! What is held, removed or taken away while it waits here does not leave.

use super::*;

/// What the host has taken, by recipient.
fn taken(host: &Host) -> Vec<String> {
    host.seen().mails.into_iter().flat_map(|mail| mail.recipients).collect()
}

async fn id_of(store: &Store, recipient: &str) -> i64 {
    sqlx::query_scalar("SELECT id FROM queue WHERE recipient = $1")
        .bind(recipient)
        .fetch_one(store.pool())
        .await
        .expect("row")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_or_removed_while_it_waits_does_not_leave() {
    // One connection, whose host takes seconds for its banner: all others wait behind the first.
    let host = Host::start(Script { drip: true, ..Script::default() }).await;
    let settings = QueueSettings { limit_outbound_connections: 1, ..settings(300, 432_000) };
    let house = House::open_as(&host, &settings, Arc::new(NoErrands)).await;
    for recipient in ["first@far.test", "held@far.test", "removed@far.test", "elsewhere@far.test"] {
        house.submit("a@here.test", &[(recipient, None)]).await;
    }
    until(|| async { host.seen().connections == 1 }).await;
    let store = &house.store;
    let (held, removed) = (id_of(store, "held@far.test").await, id_of(store, "removed@far.test").await);
    // As the door of this replica does it, and as that of another one.
    assert!(house.queue.handle.stop(&[held, removed]).is_empty());
    house.queue.store.hold(&[held]).await.expect("hold");
    house.queue.store.finish(&ended(&[removed])).await.expect("remove");
    let elsewhere = id_of(store, "elsewhere@far.test").await;
    queue_of(store, DAYS).hold(&[elsewhere]).await.expect("hold");
    house.submit("a@here.test", &[("last@far.test", None)]).await;
    until(|| async { taken(&host).contains(&"last@far.test".to_owned()) }).await;
    assert_eq!(taken(&host), ["first@far.test", "last@far.test"]);
    until(|| async { count(store, "queue").await == 2 }).await;
    assert_eq!(count(store, "queue WHERE state = 3").await, 2, "they are held");

    // Made due again they leave, once.
    house.queue.store.retry(&[held, elsewhere]).await.expect("retry");
    house.queue.handle.wake();
    house.until_empty().await;
    let mut all = taken(&host);
    all.sort();
    assert_eq!(all, ["elsewhere@far.test", "first@far.test", "held@far.test", "last@far.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_did_not_begin_are_as_they_were() {
    let (_postgres, store) = Postgres::start().await;
    let (ours, theirs) = (queue_of(&store, DAYS), queue_of(&store, DAYS));
    due_message(&store, &["due@far.test", "later@far.test", "held@far.test", "theirs@far.test"]).await;
    run(
        &store,
        "UPDATE queue SET next_attempt_time = now() - interval '1 hour' WHERE recipient LIKE 'due@%'",
    )
    .await;
    let rows = ours.take_due(&wanted(10)).await.expect("take");
    let row = |name: &str, pause: u64| {
        let found = rows.iter().find(|row| row.recipient.to_string().starts_with(name)).expect(name);
        store::Unworked { id: found.id, pause: Duration::from_secs(pause) }
    };
    let unworked = [row("due", 0), row("later", 30), row("held", 0)];
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    run(&store, "UPDATE queue SET ends_only = true WHERE recipient LIKE 'held@%'").await;
    // One is somebody else's by now, one lease is nearly over, and none is theirs to give back.
    run(&store, "UPDATE queue SET lease_owner = gen_random_uuid() WHERE recipient LIKE 'theirs@%'").await;
    run(&store, "UPDATE queue SET lease_until = now() + interval '9 seconds' WHERE recipient LIKE 'due@%'")
        .await;
    assert_eq!(ours.confirm(&ids).await.expect("confirm").len(), 3);
    assert_eq!(count(&store, "queue WHERE lease_until > now() + interval '50 seconds'").await, 4, "renewed");
    run(&store, "UPDATE queue SET lease_until = now() WHERE recipient LIKE 'later@%'").await;
    assert_eq!(ours.confirm(&ids).await.expect("confirm").len(), 2, "a lease that is over is nobody's");
    theirs.give_back(&unworked).await.expect("give back");
    assert_eq!(count(&store, "queue WHERE state = 2").await, 4);
    ours.give_back(&unworked).await.expect("give back");
    for (what, expected) in [
        ("state = 1 AND next_attempt_time < now() - interval '50 minutes' AND recipient LIKE 'due@%'", 1),
        ("state = 1 AND next_attempt_time > now() + interval '20 seconds' AND recipient LIKE 'later@%'", 1),
        ("state = 3 AND recipient LIKE 'held@%'", 1),
        ("state = 2 AND recipient LIKE 'theirs@%'", 1),
    ] {
        assert_eq!(count(&store, &format!("queue WHERE {what}")).await, expected, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_to_be_ended_does_not_leave_whatever_comes_between() {
    let (_postgres, store) = Postgres::start().await;
    let queue = queue_of(&store, DAYS);
    due_message(&store, &["died@far.test", "unsaid@far.test", "back@far.test"]).await;
    let ids = [
        id_of(&store, "died@far.test").await,
        id_of(&store, "unsaid@far.test").await,
        id_of(&store, "back@far.test").await,
    ];
    let held = "queue WHERE state = 3 AND NOT ends_only";
    assert_eq!(queue.seize(&ids).await.expect("seize").len(), 3);
    assert_eq!(queue.renew(&ids).await.expect("renew").len(), 3, "they are at work");
    // The process dies, the report cannot be made now, the process ends.
    run(&store, "UPDATE queue SET lease_until = now() - interval '1 second' WHERE recipient LIKE 'died@%'")
        .await;
    assert_eq!(count(&store, "queue WHERE state = 2 AND lease_until < now()").await, 1);
    let waiting = EntryFilter { state: Some(1), ..EntryFilter::default() };
    assert!(queue.list(&waiting, 10).await.expect("list").is_empty(), "nor is it shown as if it would leave");
    assert_eq!(queue.reap().await.expect("reap"), 1);
    let deferral =
        Deferral { id: ids[1], pause: Duration::ZERO, outcome: "given up by an operator".to_owned() };
    queue.defer(&mut queue.unhurried(), &[deferral]).await.expect("defer");
    queue.give_back(&[store::Unworked { id: ids[2], pause: Duration::ZERO }]).await.expect("give back");
    assert_eq!(count(&store, held).await, 3);
    assert!(queue.take_due(&wanted(10)).await.expect("take").is_empty());
    // The same of those that were held until their time was over.
    let impatient = queue_of(&store, Duration::ZERO);
    assert_eq!(impatient.take_expired_held().await.expect("take").len(), 3);
    run(&store, "UPDATE queue SET lease_until = now() - interval '1 second'").await;
    assert_eq!(queue.reap().await.expect("reap"), 3);
    assert_eq!(count(&store, held).await, 3);
    // Somebody may still say that they shall leave.
    assert_eq!(queue.retry(&ids).await.expect("retry"), 3);
    assert_eq!(queue.take_due(&wanted(10)).await.expect("take").len(), 3);
}
