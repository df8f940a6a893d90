//! Account hears what boxes hold, whoever changed them and whatever was forgotten.

use postern_delivery::{lock::Asked, maildrop::Form, usage::Reporter, vault::Scope};

use crate::house::{House, holder, new_box, unit};

fn told(house: &House, mailbox_id: i64) -> Option<(i64, i64)> {
    house.fake.usage.lock().unwrap().get(&mailbox_id).map(|told| (told.message_count, told.used_bytes))
}

async fn held(house: &House, mailbox_id: i64) -> Option<(i64, i64)> {
    sqlx::query_as("SELECT message_count, used_bytes FROM mailboxes WHERE mailbox_id = $1")
        .bind(mailbox_id)
        .fetch_optional(house.pool())
        .await
        .expect("a box")
}

#[tokio::test]
async fn each_change_is_told_once_and_none_is_lost() {
    let house = House::new().await;
    let (one, two) = (new_box(), new_box());
    house.commit(unit(b"A: b\r\n", &[one, two])).await;
    let mut reporter = Reporter::new(house.store.clone(), house.fake.channel());
    assert_eq!(reporter.round().await.expect("told"), 2);
    assert_eq!((told(&house, one), told(&house, two)), (held(&house, one).await, held(&house, two).await));
    assert_eq!(reporter.round().await.expect("nothing new"), 0);

    // Away: what happened meanwhile is told when it is back.
    *house.fake.is_away.lock().unwrap() = true;
    house.commit(unit(b"A: more\r\n", &[one])).await;
    reporter.round().await.expect_err("away");
    *house.fake.is_away.lock().unwrap() = false;
    assert_eq!(reporter.round().await.expect("told"), 1);
    assert_eq!(told(&house, one), held(&house, one).await);

    // Deleted by its owner, cleared, restored.
    let open = house.maildrops.open(one, &holder("a"), Asked::First, Form::Stored).await.expect("open");
    house.maildrops.close(one, open.token, &open.first.uids[..1]).await.expect("deleted");
    assert_eq!(reporter.round().await.expect("told"), 1);
    assert_eq!(told(&house, one).expect("told").0, 1);
    house.clear(one, Scope::All).await.expect("cleared");
    reporter.round().await.expect("told");
    assert_eq!(told(&house, one), Some((0, 0)));
    house.vault.restore(one, 0).await.expect("restored");
    reporter.round().await.expect("told");
    assert_eq!(told(&house, one), held(&house, one).await);

    // A replica that died before it could tell: the next one to start finds it.
    house.run("UPDATE mailboxes SET usage_version = usage_version + 1, message_count = 77").await;
    assert_eq!(reporter.round().await.expect("not known here"), 0);
    let mut other = Reporter::new(house.store.clone(), house.fake.channel());
    assert_eq!(other.round().await.expect("found"), 2);
    assert_eq!(told(&house, two).expect("told").0, 77);

    // A store put back from a backup counts anew, in a new generation: what it tells is still newer.
    house.run("UPDATE store SET generation = 2").await;
    house.run("UPDATE mailboxes SET usage_version = 1, reported_version = 0, message_count = 5").await;
    let mut restored = Reporter::new(house.store.clone(), house.fake.channel());
    assert_eq!(restored.round().await.expect("told"), 2);
    assert_eq!(told(&house, two).expect("told").0, 5);
}
