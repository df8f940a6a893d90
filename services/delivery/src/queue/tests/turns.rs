//! Who is served when there is not enough for all.

use super::*;

/// Makes the rows of this domain one customer's.
async fn give_to(store: &Store, customer: &str, domain: &str) {
    sqlx::query("UPDATE queue SET customer = $1 WHERE recipient LIKE '%@' || $2 AND customer IS NULL")
        .bind(customer)
        .bind(domain)
        .execute(store.pool())
        .await
        .expect("customer");
}

fn names(rows: &[LeasedRow]) -> Vec<String> {
    let mut names: Vec<String> = rows.iter().map(|row| row.recipient.to_string()).collect();
    names.sort();
    names
}

async fn many(store: &Store, domain: &str) {
    let recipients: Vec<String> = (0..30).map(|n| format!("r{n}@{domain}")).collect();
    due_message(store, &recipients.iter().map(String::as_str).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_gets_as_many_as_it_may_and_customers_take_turns_at_it() {
    let (_postgres, store) = Postgres::start().await;
    let queue = queue_of(&store, DAYS);
    many(&store, "slow.test").await;
    give_to(&store, "mass", "slow.test").await;
    due_message(&store, &["one@slow.test", "two@fast.test"]).await;
    give_to(&store, "small", "slow.test").await;
    let few = Wanted { domains: vec![("slow.test".to_owned(), 4)], ..wanted(20) };
    let taken = names(&queue.take_due(&few).await.expect("take"));
    assert_eq!(taken.len(), 5, "{taken:?}");
    assert!(taken.contains(&"one@slow.test".to_owned()) && taken.contains(&"two@fast.test".to_owned()));
    let each = Wanted { of_each_domain: 3, ..wanted(20) };
    assert_eq!(queue.take_due(&each).await.expect("take").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn customers_take_turns_at_posts_and_posts_hide_no_other_errands() {
    let (_postgres, store) = Postgres::start().await;
    let queue = queue_of(&store, DAYS);
    many(&store, "mass.test").await;
    give_to(&store, "mass", "mass.test").await;
    due_message(&store, &["list@small.test"]).await;
    give_to(&store, "small", "small.test").await;
    run(&store, "UPDATE queue SET class = 3").await;
    due_message(&store, &["away@small.test"]).await;
    run(&store, "UPDATE queue SET class = 7 WHERE recipient = 'away@small.test'").await;
    let some = Wanted { posts: 2, errands: 10, ..wanted(0) };
    let taken = names(&queue.take_due(&some).await.expect("take"));
    assert_eq!(taken.len(), 3, "{taken:?}");
    assert!(taken.contains(&"list@small.test".to_owned()) && taken.contains(&"away@small.test".to_owned()));
    assert!(queue.take_due(&Wanted { errands: 10, ..wanted(10) }).await.expect("take").is_empty());
}

/// Its posts take as long as the process lives; other errands are done at once.
struct SlowPosts;

impl ErrandRunner for SlowPosts {
    fn run<'a>(
        &'a self,
        row: &'a LeasedRow,
        _message: &'a QueuedMessage,
        _queue: &'a QueueHandle,
        stopped: &'a tokio_util::sync::CancellationToken,
    ) -> futures_util::future::BoxFuture<'a, ErrandOutcome> {
        Box::pin(async move {
            if row.class == QueueClass::ListPost {
                stopped.cancelled().await;
                return ErrandOutcome::Stopped;
            }
            ErrandOutcome::Finished("a test")
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn posts_that_take_long_delay_no_other_errand() {
    let host = Host::start(Script::default()).await;
    let house = House::open_as(&host, &settings(300, 432_000), Arc::new(SlowPosts)).await;
    // Due only when it is what it shall be: the workers poll all the while.
    let lists: Vec<String> = (0..8).map(|n| format!("list{n}@here.test")).collect();
    due_message_at(&house.store, &lists.iter().map(String::as_str).collect::<Vec<_>>(), "1 hour").await;
    run(&house.store, "UPDATE queue SET class = 3, customer = recipient, next_attempt_time = now()").await;
    house.queue.handle.wake();
    until(|| async { count(&house.store, "queue WHERE state = 2").await == 2 }).await;
    due_message_at(&house.store, &["away@here.test"], "1 hour").await;
    run(
        &house.store,
        "UPDATE queue SET class = 7, next_attempt_time = now() WHERE recipient = 'away@here.test'",
    )
    .await;
    house.queue.handle.wake();
    until(|| async { count(&house.store, "queue").await == 8 }).await;
    assert_eq!(count(&house.store, "queue WHERE state = 2").await, 2, "other replicas may do the others");
}
