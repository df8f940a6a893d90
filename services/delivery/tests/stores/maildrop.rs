//! A box and its lock: one holder, deletes by the newest token only, all or none, whatever happens beside it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use postern_delivery::{
    lock::{Asked, Locks, Opened},
    maildrop::{Form, MaildropError, Maildrops, OpenBox},
};
use postern_mesh::directory::Directory;
use postern_redis::RedisSettings;

use crate::house::{House, blob_unit, files, holder, new_box, report, unit};

#[tokio::test]
async fn p_40_a_box_has_one_holder() {
    let house = House::new().await;
    let mailbox = new_box();
    let open = house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("free");
    let MaildropError::InUse { peer_ip, since_micros } =
        house.maildrops.open(mailbox, &holder("b"), Asked::First, Form::Stored).await.expect_err("held")
    else {
        panic!("another error");
    };
    assert_eq!((peer_ip.as_str(), since_micros), ("203.0.113.9", open.token));
    house.maildrops.close(mailbox, open.token, &[]).await.expect("closed");
    let again =
        house.maildrops.open(mailbox, &holder("b"), Asked::First, Form::Stored).await.expect("free again");
    assert!(again.token > open.token);
    assert!(again.first.uids.is_empty());
}

#[tokio::test]
async fn p_80_quit_deletes_the_marked_ones_and_frees_the_box() {
    let house = House::new().await;
    let mailbox = new_box();
    for _ in 0..5 {
        house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    }
    let open = house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
    let uids = open.first.uids.clone();
    assert_eq!((uids.len(), open.generation), (5, 1));
    // One of them twice, one that never was.
    let marked = [uids[0], uids[3], 1 << 40];
    assert_eq!(house.maildrops.close(mailbox, open.token, &marked).await.expect("deleted"), 2);
    let again = house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("free");
    assert_eq!(again.first.uids, [uids[1], uids[2], uids[4]]);
    assert_eq!(house.number("SELECT message_count FROM mailboxes").await, 3);
    let unaccounted = "SELECT used_bytes - (SELECT sum(size_bytes)::bigint FROM entries) FROM mailboxes";
    assert_eq!(house.number(unaccounted).await, 0);
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 3);
}

#[tokio::test]
async fn p_83_a_session_that_lost_its_lock_deletes_nothing() {
    let house = House::new().await;
    let mailbox = new_box();
    for _ in 0..4 {
        house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    }
    let old = house.maildrops.open(mailbox, &holder("old"), Asked::First, Form::Stored).await.expect("open");
    let taken = house.locks.force_release(mailbox).await.expect("Redis").expect("held");
    assert_eq!((taken.token, taken.holder.session_id.as_str()), (old.token, "old"));

    // Nobody has it: the old session's deletes count for nothing.
    let late = house.maildrops.close(mailbox, old.token, &old.first.uids).await;
    assert!(matches!(late, Err(MaildropError::LockLost)));

    let new = house.maildrops.open(mailbox, &holder("new"), Asked::First, Form::Stored).await.expect("open");
    let late = house.maildrops.close(mailbox, old.token, &old.first.uids).await;
    assert!(matches!(late, Err(MaildropError::LockLost)));
    assert!(house.locks.is_held(mailbox, new.token).await.expect("Redis"), "the new holder is unharmed");
    assert_eq!(house.uids(mailbox).await.len(), 4);
    let deleted = house.maildrops.close(mailbox, new.token, &new.first.uids[..1]).await.expect("deleted");
    assert_eq!(deleted, 1);
}

#[tokio::test]
async fn a_session_that_heard_no_answer_asks_again_and_has_its_box() {
    let house = House::new().await;
    let mailbox = new_box();
    house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    let open =
        async |session, asked| house.maildrops.open(mailbox, &holder(session), asked, Form::Stored).await;
    // Its answer is lost on the way.
    let unheard = open("a", Asked::First).await.expect("free");
    for (session, asked) in [("a", Asked::First), ("b", Asked::Again), ("", Asked::Again)] {
        let refused = open(session, asked).await.expect_err("held");
        assert!(matches!(refused, MaildropError::InUse { .. }), "{session}: {refused:?}");
    }
    let again = open("a", Asked::Again).await.expect("its own");
    assert!(again.token > unheard.token);

    // Whoever still works for the first call takes nothing away from the second.
    house.maildrops.free(mailbox, unheard.token).await;
    let late = house.maildrops.close(mailbox, unheard.token, &unheard.first.uids).await;
    assert!(matches!(late, Err(MaildropError::LockLost)), "{late:?}");
    assert!(house.locks.is_held(mailbox, again.token).await.expect("Redis"));
    assert_eq!(house.maildrops.close(mailbox, again.token, &again.first.uids).await.expect("deleted"), 1);
    // A box that nobody has is had by asking again, too.
    open("a", Asked::Again).await.expect("free");
}

#[tokio::test]
async fn i5_a_redis_that_lost_its_memory_names_no_older_token() {
    let house = House::new().await;
    let mailbox = new_box();
    for _ in 0..2 {
        house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    }
    let first =
        house.maildrops.open(mailbox, &holder("first"), Asked::First, Form::Stored).await.expect("open");
    house.maildrops.close(mailbox, first.token, &first.first.uids[..1]).await.expect("deleted");

    // A Redis that went back to an older state names a session that is long over.
    let client = redis::Client::open(house.redis_url.as_str()).expect("a client");
    let mut redis = client.get_multiplexed_async_connection().await.expect("Redis");
    let stale = first.token - 1;
    let mut set = redis::cmd("HSET");
    set.arg(format!("lock:{mailbox}")).arg("token").arg(stale).arg("since").arg(stale);
    let () = set.query_async(&mut redis).await.expect("set");
    let outcome = house.maildrops.close(mailbox, stale, &first.first.uids).await;
    assert!(matches!(outcome, Err(MaildropError::LockLost)), "Postgres knows a newer one");
    assert_eq!(house.uids(mailbox).await.len(), 1);

    // And when Redis' clock stands behind what the box has seen, the next token is above it all the same.
    let ahead = "UPDATE mailboxes SET last_delete_token = last_delete_token + 1000000000000";
    house.run(ahead).await;
    let open =
        house.maildrops.open(mailbox, &holder("second"), Asked::First, Form::Stored).await.expect("open");
    assert!(open.token > first.token + 1_000_000_000_000);
    assert!(house.locks.is_held(mailbox, open.token).await.expect("Redis"));
    assert_eq!(house.maildrops.close(mailbox, open.token, &open.first.uids).await.expect("deleted"), 1);
}

#[tokio::test]
async fn an_old_sessions_quit_in_a_removed_box_deletes_nothing() {
    let house = House::new().await;
    let mailbox = new_box();
    house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    let open = house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
    *house.fake.is_away.lock().unwrap() = true;
    let outcome = house.maildrops.close(mailbox, open.token, &open.first.uids).await;
    assert!(matches!(outcome, Err(MaildropError::Directory(_))), "{outcome:?}");
    *house.fake.is_away.lock().unwrap() = false;
    let open = house
        .maildrops
        .open(mailbox, &holder("b"), Asked::First, Form::Stored)
        .await
        .expect("the lock was freed");
    house.fake.removed.lock().unwrap().insert(mailbox);
    let outcome = house.maildrops.close(mailbox, open.token, &open.first.uids).await;
    assert!(matches!(outcome, Err(MaildropError::Removed)));
    assert_eq!(house.uids(mailbox).await.len(), 1);
}

#[tokio::test]
async fn a_message_and_its_blob_go_with_the_last_box_that_has_it() {
    let house = House::new().await;
    let boxes = [new_box(), new_box()];
    house.commit(blob_unit(&house.blobs, b"A: large\r\n", &boxes).await).await;
    house.commit(unit(b"A: small\r\n", &boxes)).await;
    for (mailbox, left) in [(boxes[0], 2), (boxes[1], 0)] {
        let open =
            house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
        house.maildrops.close(mailbox, open.token, &open.first.uids).await.expect("deleted");
        assert_eq!(house.number("SELECT count(*) FROM messages").await, left);
    }
    let begin = Instant::now();
    while !files(house.blob_folder.path()).is_empty() {
        assert!(begin.elapsed().as_secs() < 10, "the blob stays");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn closes_and_deliveries_at_once_lose_nothing_and_leave_nothing() {
    let house = House::new().await;
    let boxes: Vec<i64> = (0..8).map(|_| new_box()).collect();
    for round in 0..12 {
        // Every message is in all boxes, so every close meets all the others in the rows of the messages.
        join_all((0..5).map(|_| house.commit(unit(b"A: b\r\n", &boxes)))).await;
        let closing = join_all(boxes.iter().map(async |mailbox| {
            let open =
                house.maildrops.open(*mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
            let count = open.first.uids.len();
            let deleted =
                house.maildrops.close(*mailbox, open.token, &open.first.uids).await.expect("deleted");
            assert_eq!(deleted, count as u64);
        }));
        let late: Vec<_> = if round % 2 == 0 { boxes.iter().rev().copied().collect() } else { boxes.clone() };
        let delivering = join_all((0..5).map(|_| house.commit(unit(b"A: c\r\n", &late))));
        tokio::join!(closing, delivering);
    }
    for mailbox in &boxes {
        let open =
            house.maildrops.open(*mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
        house.maildrops.close(*mailbox, open.token, &open.first.uids).await.expect("deleted");
    }
    assert_eq!(house.number("SELECT count(*) FROM entries").await, 0);
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 0, "each went with its last entry");
    assert_eq!(
        house.number("SELECT count(*) FROM mailboxes WHERE used_bytes <> 0 OR message_count <> 0").await,
        0
    );
}

#[tokio::test]
async fn locks_are_renewed_listed_and_freed() {
    let house = House::new().await;
    let boxes: Vec<i64> = (0..5).map(|_| new_box()).collect();
    let mut held = Vec::new();
    for mailbox in &boxes {
        let Opened::Locked(token) =
            house.locks.open_box(*mailbox, &holder("a"), Asked::First).await.expect("Redis")
        else {
            panic!("held by another")
        };
        held.push((*mailbox, token));
    }
    assert!(house.locks.release(held[2].0, held[2].1).await.expect("Redis"));
    assert!(!house.locks.release(held[2].0, held[2].1).await.expect("Redis"), "free already");
    let lost = house.locks.renew(&held).await.expect("Redis");
    assert_eq!(lost, [held[2]]);
    let (page, next) = house.locks.list(boxes[0] - 1, 2).await.expect("Redis");
    assert_eq!(page.iter().map(|lock| lock.mailbox_id).collect::<Vec<_>>(), boxes[..2]);
    assert!(page[0].remaining_seconds > 50);
    let (page, _) = house.locks.list(next.expect("more"), 1).await.expect("Redis");
    assert_eq!(page[0].mailbox_id, boxes[3]);
    assert!(house.locks.get(boxes[2]).await.expect("Redis").is_none());
}

/// The listing of a box.
async fn whole(open: &mut OpenBox) -> (Vec<i64>, Vec<i64>) {
    let (mut uids, mut sizes) = (open.first.uids.clone(), open.first.sizes_bytes.clone());
    while let Some(page) = open.rest.next().await.expect("a page") {
        uids.extend(&page.uids);
        sizes.extend(&page.sizes_bytes);
    }
    (uids, sizes)
}

#[tokio::test]
async fn a_kept_listing_is_used_while_the_box_is_as_it_was_and_never_after() {
    let house = House::new().await;
    // One page, and more than one.
    for count in [300, 70_000] {
        let mailbox = new_box();
        house.commit(unit(b"A: b\r\n", &[mailbox])).await;
        sqlx::query(
            "WITH more AS (
                INSERT INTO entries (mailbox_id, size_bytes, message_id, prefix)
                SELECT $1, n, gen_random_uuid(), '' FROM generate_series(2, $2) AS n)
            UPDATE mailboxes SET message_count = $2, usage_version = usage_version + 1 WHERE mailbox_id = $1",
        )
        .bind(mailbox)
        .bind(i64::from(count))
        .execute(house.pool())
        .await
        .expect("entries");
        let listing = async || {
            let mut open =
                house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
            let listing = whole(&mut open).await;
            house.maildrops.close(mailbox, open.token, &[]).await.expect("closed");
            listing
        };
        let set_last = async |size: i64| {
            sqlx::query(
                "UPDATE entries SET size_bytes = $2
                WHERE uid = (SELECT max(uid) FROM entries WHERE mailbox_id = $1) AND mailbox_id = $1",
            )
            .bind(mailbox)
            .bind(size)
            .execute(house.pool())
            .await
            .expect("changed behind everybody's back");
        };
        let first = listing().await;
        assert_eq!(first.0.len(), usize::try_from(count).expect("small"));
        set_last(7).await;
        assert_eq!(listing().await, first, "nobody said that anything had changed: kept");
        // What changes a box says so: delivery, and a deletion.
        house.commit(unit(b"A: b\r\n", &[mailbox])).await;
        let (uids, sizes) = listing().await;
        assert_eq!((&uids[..first.0.len()], uids.len()), (&first.0[..], first.0.len() + 1));
        assert_eq!(sizes[first.0.len() - 1], 7, "read anew");
        let open =
            house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
        house.maildrops.close(mailbox, open.token, &[uids[5]]).await.expect("deleted");
        let after = listing().await;
        assert_eq!((after.0.len(), after.0.contains(&uids[5])), (uids.len() - 1, false));
        assert_eq!(listing().await, after, "and kept again");
        // A store that was restored may count to the same version once more.
        let restored = "UPDATE mailboxes SET message_count = message_count - 1";
        sqlx::query(restored).execute(house.pool()).await.expect("restored");
        set_last(8).await;
        assert_eq!(listing().await.1.last(), Some(&8));
        house
            .maildrops
            .open(mailbox, &holder("a"), Asked::First, Form::Plain)
            .await
            .expect("another form is another listing");
    }
}

#[tokio::test]
async fn a_box_of_100_000_messages_opens_fast_and_whole() {
    let house = House::new().await;
    let mailbox = new_box();
    sqlx::query(
        "INSERT INTO entries (mailbox_id, size_bytes, message_id, prefix)
        SELECT $1, n, gen_random_uuid(), '' FROM generate_series(1, 100000) AS n",
    )
    .bind(mailbox)
    .execute(house.pool())
    .await
    .expect("entries");
    let begin = Instant::now();
    let mut open =
        house.maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await.expect("open");
    let (uids, sizes) = whole(&mut open).await;
    report(&format!("a box of 100,000 messages opened in {:?}", begin.elapsed()));
    assert!(begin.elapsed().as_secs() < 5);
    assert_eq!(uids.len(), 100_000);
    assert!(uids.is_sorted_by(|a, b| a < b));
    assert_eq!(sizes, (1..=100_000).collect::<Vec<i64>>());
}

#[tokio::test]
async fn without_redis_mail_is_accepted_and_no_box_opens() {
    let house = House::new().await;
    let mailbox = new_box();
    let nowhere = format!("redis+unix://{}/none.sock", house.blob_folder.path().display());
    let begin = Instant::now();
    let locks = Locks::open(&RedisSettings::at(&nowhere))
        .await
        .expect("a Redis that is away is no reason not to start");
    let directory = Directory::new(house.fake.channel(), &house.shutdown);
    let maildrops = Maildrops::new(house.store.clone(), locks, house.blobs.clone(), directory);
    house.commit(unit(b"A: b\r\n", &[mailbox])).await;
    let outcome = maildrops.open(mailbox, &holder("a"), Asked::First, Form::Stored).await;
    assert!(matches!(outcome, Err(MaildropError::Lock(_))), "{outcome:?}");
    let uids = house.uids(mailbox).await;
    let outcome = maildrops.close(mailbox, 1, &uids).await;
    assert!(matches!(outcome, Err(MaildropError::Lock(_))), "{outcome:?}");
    assert_eq!(maildrops.close(mailbox, 1, &[]).await.expect("nothing to delete, nothing to fail"), 0);
    assert_eq!(house.uids(mailbox).await, uids);
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
}

/// A planned failover: the primary becomes a replica and keeps its connections, and its address leads to another one.
#[tokio::test]
async fn a_primary_that_was_demoted_is_left_for_the_one_that_took_its_address() {
    let house = House::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (OwnRedis::start(folder.path(), "a").await, OwnRedis::start(folder.path(), "b").await);
    let url = format!("redis+unix://{}", old.socket.display());
    let locks = Locks::open(&RedisSettings::at(&url)).await.expect("a primary");
    let directory = Directory::new(house.fake.channel(), &house.shutdown);
    let maildrops = Maildrops::new(house.store.clone(), locks.clone(), house.blobs.clone(), directory);
    let mailbox = new_box();
    let client = holder("a");
    let open = || maildrops.open(mailbox, &client, Asked::Again, Form::Stored);
    open().await.expect("open");
    locks.probe().await.expect("a primary");

    // Nobody is there to copy from: all the same it takes no writes.
    old.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let outcome = open().await;
    assert!(matches!(outcome, Err(MaildropError::Lock(_))), "{outcome:?}");
    assert!(locks.probe().await.expect_err("no box can be opened").to_string().contains("replica"));
    let refused = Locks::open(&RedisSettings::at(&url)).await.expect_err("a replica").to_string();
    assert!(refused.contains("name the primary"), "{refused}");

    std::fs::rename(&new.socket, &old.socket).expect("the address moves");
    let begun = Instant::now();
    while let Err(error) = open().await {
        assert!(begun.elapsed() < Duration::from_secs(3), "stays with the replica: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    locks.probe().await.expect("a primary again");
}

/// A Redis that no other test uses, ended with its test.
struct OwnRedis {
    socket: std::path::PathBuf,
    child: std::process::Child,
}

impl OwnRedis {
    async fn start(folder: &std::path::Path, name: &str) -> Self {
        let socket = folder.join(name);
        let child = std::process::Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--maxmemory-policy", "noeviction", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder)
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("redis-server");
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "Redis did not start");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Self { socket, child }
    }

    async fn ask(&self, words: &[&str]) {
        let client =
            redis::Client::open(format!("redis+unix://{}", self.socket.display())).expect("a client");
        let mut connection = client.get_multiplexed_async_connection().await.expect("Redis");
        let () = redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.expect("an answer");
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
