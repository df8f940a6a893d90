//! The vault: nothing is destroyed by a clearing, what comes back is what it was, and what is over is really gone.

use postern_delivery::{
    lock::Asked,
    maildrop::{Form, Frame},
    vault::{
        Scope, VaultError,
        destroy::{Destroyed, Destroyer},
    },
};
use postern_mail::Reason;
use tokio::sync::mpsc;

use crate::house::{House, blob_unit, files, holder, new_box, unit};

/// The last frame of each message.
async fn read(house: &House, mailbox_id: i64, uids: &[i64]) -> Vec<Frame> {
    let (frames, mut read) = mpsc::channel(1000);
    house.maildrops.reader(mailbox_id, Form::Stored).run(uids, &frames).await;
    drop(frames);
    let mut last = vec![Frame::Failure(Reason::Unavailable); uids.len()];
    while let Some((index, frame)) = read.recv().await {
        last[index as usize] = frame;
    }
    last
}

/// The counts of all boxes and messages are those of the rows.
async fn accounts_are_right(house: &House) {
    for (what, wrong) in [
        (
            "references",
            "SELECT count(*) FROM messages m WHERE references_count <>
                (SELECT count(*) FROM entries WHERE message_id = m.id) + (SELECT count(*) FROM queue WHERE message_id = m.id)
                + (SELECT count(*) FROM vault WHERE message_id = m.id)",
        ),
        (
            "usage",
            "SELECT count(*) FROM mailboxes m WHERE (used_bytes, message_count) <>
                (SELECT coalesce(sum(size_bytes), 0)::bigint, count(*) FROM entries WHERE mailbox_id = m.mailbox_id)",
        ),
    ] {
        assert_eq!(house.number(wrong).await, 0, "{what}");
    }
}

#[tokio::test]
async fn only_what_is_damaged_goes_and_the_rest_is_served() {
    let house = House::new().await;
    let (mailbox, other) = (new_box(), new_box());
    house.commit(unit(b"A: good\r\n", &[mailbox])).await;
    house.commit(unit(b"A: spoilt\r\n", &[mailbox])).await;
    house.commit(blob_unit(&house.blobs, b"A: spoilt blob\r\n", &[mailbox]).await).await;
    house.commit(blob_unit(&house.blobs, b"A: lost blob\r\n", &[mailbox]).await).await;
    house.commit(blob_unit(&house.blobs, b"A: good blob\r\n", &[mailbox, other]).await).await;
    let uids = house.uids(mailbox).await;
    house.run("UPDATE messages SET content = 'A: SPOILT\r\n' WHERE content = 'A: spoilt\r\n'").await;
    for file in files(house.blob_folder.path()) {
        let content = std::fs::read(&file).expect("a blob");
        if content.starts_with(b"A: spoilt") {
            std::fs::write(&file, b"A: SPOILT blob\r\n").expect("spoilt");
        } else if content.starts_with(b"A: lost") {
            std::fs::remove_file(&file).expect("lost");
        }
    }
    let dry = house.vault.would_clear(mailbox, Scope::Damaged).await.expect("looked at");
    assert_eq!((dry.checked, dry.messages, dry.clearing_id), (5, 3, 0));
    assert_eq!(house.uids(mailbox).await, uids, "a dry run takes nothing");

    let cleared = house.clear(mailbox, Scope::Damaged).await.expect("cleared");
    assert_eq!((cleared.checked, cleared.messages, cleared.bytes), (5, 3, dry.bytes));
    assert_eq!(house.uids(mailbox).await, [uids[0], uids[4]]);
    assert_eq!(read(&house, mailbox, &[uids[0], uids[4]]).await, [Frame::End, Frame::End]);
    accounts_are_right(&house).await;
    let again = house.clear(mailbox, Scope::Damaged).await.expect("nothing left");
    assert_eq!((again.checked, again.messages, again.clearing_id), (2, 0, 0));

    // Even what is damaged comes back, with its uid: nothing is destroyed.
    assert_eq!(house.vault.restore(mailbox, cleared.clearing_id).await.expect("restored"), 3);
    assert_eq!(house.uids(mailbox).await, uids);
    accounts_are_right(&house).await;
}

#[tokio::test]
async fn p_72_an_open_session_never_deletes_another_message() {
    let house = House::new().await;
    let mailbox = new_box();
    for _ in 0..3 {
        house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    }
    let open = house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
    let uids = open.first.uids.clone();
    let cleared = house.clear(mailbox, Scope::All).await.expect("cleared");
    assert_eq!(cleared.messages, 3);
    house.commit(unit(b"A: came later\r\n", &[mailbox])).await;
    assert_eq!(read(&house, mailbox, &uids[..1]).await, [Frame::Failure(Reason::MessageGone)]);
    assert_eq!(house.maildrops.close(mailbox, open.token, &uids).await.expect("QUIT"), 0);
    assert_eq!(house.uids(mailbox).await.len(), 1, "what came later is untouched");
    accounts_are_right(&house).await;

    assert_eq!(house.vault.restore(mailbox, 0).await.expect("restored"), 3);
    assert_eq!(house.uids(mailbox).await[..3], uids, "the old uids, before the one that came later");
    assert!(house.vault.clearings(mailbox, false).await.expect("listed").is_empty());
    let none = house.vault.restore(mailbox, cleared.clearing_id).await;
    assert!(matches!(none, Err(VaultError::NoSuchClearing(_))));
    accounts_are_right(&house).await;
}

#[tokio::test]
async fn large_boxes_go_and_come_in_steps() {
    let house = House::new().await;
    let mailbox = new_box();
    house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    house
        .run(
            "INSERT INTO entries (mailbox_id, size_bytes, message_id, prefix)
                SELECT mailbox_id, size_bytes, message_id, prefix FROM entries, generate_series(1, 4999);
            UPDATE messages SET references_count = 5000;
            UPDATE mailboxes SET message_count = 5000, used_bytes = used_bytes * 5000",
        )
        .await;
    let uids = house.uids(mailbox).await;
    let cleared = house.clear(mailbox, Scope::All).await.expect("cleared");
    assert_eq!((cleared.checked, cleared.messages), (5000, 5000));
    let listed = house.vault.clearings(mailbox, false).await.expect("listed");
    assert_eq!((listed.len(), listed[0].messages, listed[0].bytes), (1, 5000, cleared.bytes));
    accounts_are_right(&house).await;
    assert_eq!(house.vault.restore(mailbox, cleared.clearing_id).await.expect("restored"), 5000);
    assert_eq!(house.uids(mailbox).await, uids);
    accounts_are_right(&house).await;
}

#[tokio::test]
async fn how_far_a_clearing_is_is_told_while_it_runs_and_afterwards() {
    const STATES: [i16; 3] = [1, 2, 3];
    let [running, done, stopped] = STATES;
    let house = House::new().await;
    let mailbox = new_box();
    for _ in 0..3 {
        house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    }
    let told = async || {
        let told = house.vault.clearings(mailbox, true).await.expect("listed");
        told.into_iter().map(|told| (told.id, told.state, told.counts, told.messages)).collect::<Vec<_>>()
    };
    let begun = house.vault.begin_clearing(mailbox, Scope::All).await.expect("begun");
    let id = begun.clearing_id;
    assert_eq!(told().await, [(id, running, (3, 0, 0), 0)]);
    assert!(house.vault.clearings(mailbox, false).await.expect("listed").is_empty(), "it holds nothing yet");
    let early = house.vault.restore(mailbox, id).await;
    assert!(matches!(early, Err(VaultError::NoSuchClearing(_))), "{early:?}");
    assert_eq!(house.vault.restore(mailbox, 0).await.expect("nothing"), 0);
    // What comes meanwhile stays.
    house.commit(unit(b"A: later\r\n", &[mailbox])).await;
    let cleared = house.vault.run_clearing(begun, true).await.expect("cleared");
    assert_eq!((cleared.clearing_id, cleared.messages), (id, 3));
    assert_eq!(told().await, [(id, done, (3, 3, 3), 3)]);

    // One that took nothing is told to who watches; one that nobody has heard of for long has stopped, and can be brought back.
    let begun = house.vault.begin_clearing(mailbox, Scope::Damaged).await.expect("begun");
    let watched = house.vault.run_clearing(begun, true).await.expect("nothing is damaged");
    assert_eq!((watched.messages, watched.clearing_id), (0, begun.clearing_id));
    assert_eq!(told().await[0], (begun.clearing_id, done, (1, 1, 0), 0));
    house.run("UPDATE clearings SET state = 1, update_time = now() - interval '4 minutes'").await;
    assert_eq!(told().await[1], (id, stopped, (3, 3, 3), 3));
    assert_eq!(house.vault.restore(mailbox, id).await.expect("restored"), 3);

    // One whose row has gone moves nothing more: nothing may lie in the vault that nobody can find.
    let begun = house.vault.begin_clearing(mailbox, Scope::All).await.expect("begun");
    house.run("DELETE FROM clearings").await;
    assert_eq!(house.vault.run_clearing(begun, false).await.expect("nothing").messages, 0);
    assert_eq!(house.uids(mailbox).await.len(), 4);
    accounts_are_right(&house).await;
}

#[tokio::test]
async fn mail_of_a_removed_box_moves_under_new_uids_in_its_order() {
    let house = House::new().await;
    let (from, to) = (new_box(), new_box());
    for content in [&b"A: 1\r\n"[..], b"A: 2\r\n"] {
        house.commit(unit(content, &[from])).await;
    }
    house.commit(unit(b"A: new\r\n", &[to])).await;
    let old = house.uids(from).await;
    let kept = house.uids(to).await[0];
    assert_eq!(house.vault.merge(from, to).await.expect("moved"), 2);
    let uids = house.uids(to).await;
    assert!(uids[0] == kept && uids.len() == 3 && uids[1] > old[1], "{uids:?}");
    let order: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT m.content FROM entries e JOIN messages m ON m.id = e.message_id WHERE e.mailbox_id = $1 ORDER BY e.uid",
    )
    .bind(to)
    .fetch_all(house.pool())
    .await
    .expect("contents");
    assert_eq!(order, [&b"A: new\r\n"[..], b"A: 1\r\n", b"A: 2\r\n"]);
    assert_eq!(house.vault.merge(from, to).await.expect("again"), 0);
    accounts_are_right(&house).await;
    // Into a box that never got mail.
    let empty = new_box();
    assert_eq!(house.vault.merge(to, empty).await.expect("moved"), 3);
    accounts_are_right(&house).await;
}

#[tokio::test]
async fn what_is_over_is_really_gone_and_nothing_else() {
    let house = House::new().await;
    let (removed, live, impostor) = (new_box(), new_box(), new_box());
    house.commit(unit(b"A: only there\r\n", &[removed])).await;
    house.commit(blob_unit(&house.blobs, b"A: only there, blob\r\n", &[removed]).await).await;
    house.commit(blob_unit(&house.blobs, b"A: shared blob\r\n", &[removed, live]).await).await;
    house.clear(removed, Scope::All).await.expect("cleared");
    house.commit(unit(b"A: after the clearing\r\n", &[removed])).await;
    // Two clearings of a live box: one is over, one is not.
    house.commit(blob_unit(&house.blobs, b"A: cleared long ago\r\n", &[live]).await).await;
    let old = house.uids(live).await[1];
    let long_ago = house.clear(live, Scope::All).await.expect("cleared");
    house.run("UPDATE clearings SET clear_time = now() - interval '31 days' WHERE mailbox_id <> 0").await;
    house.run("UPDATE clearings SET clear_time = now() - interval '29 days' WHERE clearing_id = 1").await;
    house.commit(unit(b"A: cleared now\r\n", &[live, impostor])).await;
    house.clear(live, Scope::All).await.expect("cleared");
    house.commit(unit(b"A: kept\r\n", &[live])).await;
    accounts_are_right(&house).await;
    assert!(matches!(
        house.vault.restore(live, long_ago.clearing_id).await,
        Err(VaultError::NoSuchClearing(_))
    ));

    // Account names a mailbox by mistake that it does not call removed: its mail stays.
    house.fake.removed.lock().unwrap().insert(removed);
    house.fake.expired.lock().unwrap().extend([removed, impostor]);
    let destroyer = Destroyer::new(house.vault.clone(), house.directory.clone(), house.fake.channel());
    let destroyed = destroyer.round().await.expect("a round");
    // Three cleared and one entry of the removed one; two of the old clearing of the live one.
    assert_eq!(destroyed, Destroyed { mailboxes: 1, clearings: 1, messages: 6 });
    assert_eq!(*house.fake.expired.lock().unwrap(), [impostor]);
    for table in ["entries", "vault", "clearings", "mailboxes"] {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table} WHERE mailbox_id = $1"));
        let rows: i64 = sqlx::query_scalar(query).bind(removed).fetch_one(house.pool()).await.expect(table);
        assert_eq!(rows, 0, "{table}");
    }
    assert!(!house.uids(live).await.contains(&old));
    assert_eq!(
        house.number("SELECT count(*) FROM messages").await,
        2,
        "the kept one and the one cleared now"
    );
    assert_eq!(files(house.blob_folder.path()).len(), 0, "no blob is left");
    assert_eq!(house.vault.restore(live, 0).await.expect("the newer clearing"), 1);
    assert_eq!(house.uids(live).await.len(), 2);
    accounts_are_right(&house).await;
}
