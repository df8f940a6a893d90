//! The one durable step: once, together, never at a neighbour's cost, and known even over a lost connection.

use std::{collections::HashSet, time::Duration};

use futures_util::future::join_all;
use postern_delivery::{
    accept::{AcceptError, NewQueueRow, QueueClass},
    store::Store,
};
use tokio::time::Instant;

use crate::house::{House, fresh_database, new_box, soon, unit};

#[tokio::test]
async fn one_message_to_fifty_boxes_is_stored_once() {
    let house = House::new().await;
    let boxes: Vec<i64> = (0..50).map(|_| new_box()).collect();
    house.commit(unit(b"Subject: s\r\n\r\nbody\r\n", &boxes)).await;
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 1);
    assert_eq!(house.number("SELECT references_count::bigint FROM messages").await, 50);
    assert_eq!(house.number("SELECT count(DISTINCT mailbox_id) FROM entries").await, 50);
    assert_eq!(
        house.number("SELECT count(*) FROM mailboxes WHERE message_count = 1 AND used_bytes > 20").await,
        50
    );
    let sizes_differ = "SELECT count(*) FROM entries e JOIN messages m ON m.id = e.message_id
        WHERE e.size_bytes <> length(e.prefix) + length(m.prefix) + length(m.content)";
    assert_eq!(house.number(sizes_differ).await, 0);
}

#[tokio::test]
async fn the_same_id_again_is_answered_and_not_stored() {
    let house = House::new().await;
    let unit = unit(b"A: b\r\n", &[new_box()]);
    // At once in one batch, then later.
    let first = join_all((0..10).map(|_| house.acceptor.commit(unit.clone(), soon()))).await;
    assert_eq!(first.iter().filter(|outcome| !outcome.as_ref().expect("committed").repeated).count(), 1);
    assert!(house.acceptor.commit(unit, soon()).await.expect("answered").repeated);
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 1);
    assert_eq!(house.number("SELECT count(*) FROM entries").await, 1);
    assert_eq!(house.number("SELECT message_count FROM mailboxes").await, 1);
}

#[tokio::test]
async fn one_bad_row_never_fails_its_neighbours() {
    let house = House::new().await;
    let mailbox = new_box();
    let units = (0..40).map(|position| {
        let mut unit = unit(b"A: b\r\n", &[mailbox]);
        if position % 13 == 5 {
            // Postgres refuses NUL in text (SQLSTATE 22021).
            unit.message.customer = Some("bad\0".to_owned());
        }
        unit
    });
    let outcomes = join_all(units.map(|unit| house.acceptor.commit(unit, soon()))).await;
    for (position, outcome) in outcomes.iter().enumerate() {
        if position % 13 == 5 {
            assert_eq!(
                outcome.as_ref().expect_err("bad"),
                &AcceptError::Refused { code: "22021".to_owned() }
            );
        } else {
            assert!(outcome.is_ok(), "{position}: {outcome:?}");
        }
    }
    assert_eq!(house.number("SELECT count(*) FROM entries").await, 37);
    assert_eq!(house.number("SELECT message_count FROM mailboxes").await, 37);
}

#[tokio::test]
async fn units_of_one_job_are_all_or_none() {
    let house = House::new().await;
    let (good, mut bad) = (unit(b"A: b\r\n", &[new_box()]), unit(b"A: b\r\n", &[new_box()]));
    bad.message.login = Some("bad\0".to_owned());
    house.acceptor.commit_together(vec![good.clone(), bad], soon()).await.expect_err("refused");
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 0);
    let both = vec![good, unit(b"A: b\r\n", &[new_box()])];
    assert_eq!(house.acceptor.commit_together(both, soon()).await.expect("committed").len(), 2);
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 2);
}

#[tokio::test]
async fn no_commit_begins_after_answer_by() {
    let house = House::new().await;
    let outcome = house.acceptor.commit(unit(b"A: b\r\n", &[new_box()]), Instant::now()).await;
    assert_eq!(outcome, Err(AcceptError::TooLate));
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 0);
}

#[tokio::test]
async fn queue_rows_are_born_leased_and_end_with_their_bounce() {
    let house = House::new().await;
    let row = |name: &str| {
        let address = format!("{name}@remote.test");
        NewQueueRow::to(address.parse().expect("an address"), QueueClass::Mail)
    };
    let mut outgoing = unit(b"A: b\r\n", &[]);
    outgoing.queue = ["z", "a", "m"].map(row).to_vec();
    let committed = house.acceptor.commit(outgoing, soon()).await.expect("committed");
    let rows: Vec<(i64, String)> = sqlx::query_as(
        "SELECT id, recipient FROM queue WHERE state = 2 AND lease_owner = $1 AND lease_until > now() ORDER BY id",
    )
    .bind(house.replica)
    .fetch_all(house.pool())
    .await
    .expect("rows");
    let names: Vec<&str> = rows.iter().map(|(_, recipient)| recipient.as_str()).collect();
    assert_eq!(names, ["z@remote.test", "a@remote.test", "m@remote.test"]);
    assert_eq!(rows.iter().map(|(id, _)| *id).collect::<Vec<_>>(), committed.queue_ids);

    // Two of three end with one bounce, then the last one with another.
    for (ended, left) in [(&committed.queue_ids[..2], 1), (&committed.queue_ids[2..], 0)] {
        let mut bounce = unit(b"A: bounce\r\n", &[new_box()]);
        bounce.finished_queue_ids = ended.to_vec();
        house.commit(bounce).await;
        assert_eq!(house.number("SELECT count(*) FROM queue").await, left);
        let counted = "SELECT coalesce(sum(references_count), 0) FROM messages WHERE content = 'A: b\r\n'";
        assert_eq!(house.number(counted).await, left);
    }
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 2, "the bounces remain");
}

#[tokio::test]
async fn i_02_a_bounce_is_stored_only_while_all_that_it_ends_is_ours() {
    let house = House::new().await;
    let row = |name: &str| {
        let address = format!("{name}@remote.test");
        NewQueueRow::to(address.parse().expect("an address"), QueueClass::Mail)
    };
    let mut outgoing = unit(b"A: b\r\n", &[]);
    outgoing.queue = ["a", "b", "c"].map(row).to_vec();
    let ids = house.acceptor.commit(outgoing, soon()).await.expect("committed").queue_ids;
    let bounce_of = |ended: &[i64]| {
        let mut bounce = unit(b"A: bounce\r\n", &[new_box()]);
        bounce.finished_queue_ids = ended.to_vec();
        bounce
    };

    // Two who think that the row is theirs, at once and one after the other: the sender hears of it once.
    let both = join_all((0..2).map(|_| house.acceptor.commit(bounce_of(&ids[..1]), soon()))).await;
    assert_eq!(both.iter().filter(|outcome| !outcome.as_ref().expect("answered").repeated).count(), 1);
    assert!(house.acceptor.commit(bounce_of(&ids[..1]), soon()).await.expect("answered").repeated);
    // One row of two is gone: what is left is told by whoever tries it again.
    assert!(house.acceptor.commit(bounce_of(&ids[..2]), soon()).await.expect("answered").repeated);
    assert_eq!(house.number("SELECT count(*) FROM messages WHERE content = 'A: bounce\r\n'").await, 1);
    assert_eq!(house.number("SELECT count(*) FROM entries").await, 1);

    // An operator holds one, another replica has the other one by now.
    for taken in [
        "UPDATE queue SET state = 3, lease_owner = NULL",
        "UPDATE queue SET state = 2, lease_owner = gen_random_uuid()",
    ] {
        house.run(taken).await;
        assert!(house.acceptor.commit(bounce_of(&ids[1..]), soon()).await.expect("answered").repeated);
    }
    assert_eq!(house.number("SELECT count(*) FROM queue").await, 2, "they stay who they are");
    assert_eq!(
        house.number("SELECT references_count::bigint FROM messages WHERE content = 'A: b\r\n'").await,
        2
    );
    assert_eq!(house.number("SELECT count(*) FROM entries").await, 1);
}

#[tokio::test]
async fn an_outcome_is_known_even_when_the_connection_is_killed() {
    let house = House::new().await;
    let mailbox = new_box();
    let killing = {
        let url = house.database_url.clone();
        tokio::spawn(async move {
            let killer = Store::open(&url, 2).await.expect("Postgres");
            loop {
                // The committer's own connection has no name of its own: whoever runs the insert is it.
                let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                    WHERE query LIKE 'WITH new_messages%' AND datname = current_database() AND pid <> pg_backend_pid()";
                let _ = sqlx::raw_sql(kill).execute(killer.pool()).await;
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
        })
    };
    let mut confirmed = HashSet::new();
    for _ in 0..30 {
        let units: Vec<_> = (0..8).map(|_| unit(b"A: b\r\n", &[mailbox])).collect();
        let ids: Vec<_> = units.iter().map(|unit| unit.message.id).collect();
        let outcomes = join_all(units.into_iter().map(|unit| house.acceptor.commit(unit, soon()))).await;
        for (id, outcome) in ids.into_iter().zip(outcomes) {
            match outcome {
                Ok(_) => assert!(confirmed.insert(id.as_uuid())),
                Err(error) => {
                    assert!(matches!(error, AcceptError::Unknown | AcceptError::Unreachable), "{error}");
                }
            }
        }
    }
    killing.abort();
    assert!(confirmed.len() > 200, "{} of 240", confirmed.len());
    let stored: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT message_id FROM entries").fetch_all(house.pool()).await.expect("entries");
    let unique: HashSet<_> = stored.iter().copied().collect();
    assert_eq!(unique.len(), stored.len(), "no message has two entries");
    assert!(confirmed.is_subset(&unique), "nothing confirmed is missing");
}

#[tokio::test]
async fn a_server_that_would_forget_is_refused() {
    for (statement, name) in [
        ("ALTER DATABASE test SET synchronous_commit = off", "synchronous_commit"),
        ("ALTER DATABASE test SET synchronous_commit = local", "synchronous_commit"),
    ] {
        let url = fresh_database().await;
        let database = url.split(['/', '?']).nth(3).expect("a name").to_owned();
        let store = Store::open(&url, 2).await.expect("good as it is");
        let statement = sqlx::AssertSqlSafe(statement.replace("test", &database));
        sqlx::raw_sql(statement).execute(store.pool()).await.expect("set");
        let error = Store::open(&url, 2).await.expect_err("refused").to_string();
        assert!(error.contains("POSTERN_DATABASE_URL") && error.contains(name), "{error}");
    }
}
