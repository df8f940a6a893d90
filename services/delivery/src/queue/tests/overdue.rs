//! Who waits behind a destination that takes nothing hears of it, whether or not the message was tried itself.

use super::*;
use crate::outbound::tests::dns::Zone;

const MESSAGES: usize = 30;

/// Reports in the sender's box with these words.
async fn reports(house: &House, words: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT count(*) FROM entries e JOIN messages m ON m.id = e.message_id
        WHERE e.mailbox_id = 1 AND convert_from(m.content, 'UTF8') LIKE '%' || $1 || '%'",
    )
    .bind(words)
    .fetch_one(house.store.pool())
    .await
    .expect("reports")
}

#[tokio::test(flavor = "multi_thread")]
async fn b_04_who_waits_behind_hosts_that_fail_is_told_in_time() {
    let resolver = Zone::default().failing("down.test").start().await;
    let settings = QueueSettings { resolver: vec![resolver], ..settings(3600, 432_000) };
    let house = House::open_towards(None, &settings, Arc::new(NoErrands)).await;
    for _ in 0..MESSAGES {
        house.submit("a@here.test", &[("b@down.test", None)]).await;
    }
    let store = &house.store;
    // The domain is on hold for seconds; one message after the other is tried, and all others wait.
    until(|| async { count(store, "queue WHERE attempts > 0").await >= 5 }).await;
    run(store, "UPDATE queue SET create_time = now() - interval '5 hours' WHERE attempts = 0").await;
    let waiting = count(store, "queue WHERE create_time < now() - interval '4 hours'").await;
    assert!(waiting > 15, "{waiting}");
    until(|| async { reports(&house, "Action: delayed").await == waiting }).await;
    assert_eq!(count(store, "queue").await, i64::try_from(MESSAGES).expect("count"), "they wait on");

    let tried = "queue WHERE attempts > 0";
    assert!(count(store, tried).await < 15, "they were told without an attempt");
    let over = sqlx::query("UPDATE queue SET create_time = now() - interval '6 days' WHERE attempts = 0")
        .execute(store.pool())
        .await
        .expect("age");
    let over = over.rows_affected().cast_signed();
    let elsewhere = queue_of(store, DAYS).take_overdue(&["fine.test".to_owned()]).await.expect("look");
    assert!(elsewhere.expired.is_empty(), "only what waits behind hosts that fail is given up untried");
    let old = "queue WHERE create_time < now() - interval '5 days'";
    until(|| async { count(store, &format!("{old} AND attempts = 0")).await == 0 }).await;
    // Of these a few were tried meanwhile, and wait for their third attempt.
    assert_eq!(reports(&house, "Status: 5.4.7").await + count(store, old).await, over);
    assert_eq!(reports(&house, "Action: delayed").await, waiting, "nobody was told twice");
    assert!(house.shutdown.finish(Duration::from_secs(5)).await);
}
