//! The sweep takes what nobody refers to, and nothing else.

use std::time::Duration;

use postern_delivery::{
    accept::{NewQueueRow, QueueClass},
    sweep::{Swept, sweep},
};

use crate::house::{House, blob_unit, new_box, unit};

#[tokio::test]
async fn only_what_nobody_refers_to_goes() {
    let house = House::new().await;
    let kept = new_box();
    house.commit(unit(b"A: kept\r\n", &[kept])).await;
    house.commit(blob_unit(&house.blobs, b"A: kept blob\r\n", &[kept]).await).await;
    // A submission that never was committed, and a message that lost its last entry in a crash.
    let orphan = blob_unit(&house.blobs, b"A: orphan\r\n", &[]).await;
    house.commit(blob_unit(&house.blobs, b"A: left\r\n", &[]).await).await;
    // Its count is wrong: an entry still refers to it.
    house.run("UPDATE messages SET references_count = 0 WHERE content = 'A: kept\r\n'").await;

    let young = sweep(&house.store, &house.blobs, Duration::from_secs(3600)).await.expect("swept");
    assert_eq!(young, Swept::default());
    // Ages of blobs are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let old = sweep(&house.store, &house.blobs, Duration::ZERO).await.expect("swept");
    assert_eq!(old, Swept { blobs: 2, messages: 1, post_notes: 0 });
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 2);
    let postern_delivery::accept::StoredContent::Blob { key } = orphan.message.content else {
        panic!("a blob")
    };
    assert!(house.blobs.get(&key).await.is_err());
    assert_eq!(sweep(&house.store, &house.blobs, Duration::ZERO).await.expect("swept"), Swept::default());
}

#[tokio::test]
async fn a_post_that_ended_in_the_middle_is_forgotten_and_one_that_goes_on_is_not() {
    let house = House::new().await;
    let mut post = unit(b"A: post\r\n", &[]);
    post.queue = vec![NewQueueRow::to("staff@local.test".parse().expect("an address"), QueueClass::ListPost)];
    house.commit(post).await;
    house.run("UPDATE queue SET parent = message_id").await;
    house.run("INSERT INTO post_recipients SELECT parent, 'box:1' FROM queue").await;
    house
        .run("INSERT INTO post_recipients SELECT gen_random_uuid(), 'box:' || n FROM generate_series(1, 3) n")
        .await;
    let swept = sweep(&house.store, &house.blobs, Duration::from_secs(3600)).await.expect("swept");
    assert_eq!(swept, Swept { post_notes: 3, ..Swept::default() });
    assert_eq!(house.number("SELECT count(*) FROM post_recipients JOIN queue USING (parent)").await, 1);
}
