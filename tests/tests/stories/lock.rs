//! A box in use is locked, frees itself, and its owner can free it (PROMISES.md, "The lock").

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use postern_proto::{
    account::v1::DefaultAction,
    delivery::v1::{GetLockRequest, ReleaseLockRequest},
};
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Platform, Service},
    pop3::{Pop3, read_all},
    smtp::{self, message},
};

pub(super) const BOX: &str = "user@homepage.test";

/// A house with one box.
pub(super) async fn house() -> anyhow::Result<Platform> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    Ok(platform)
}

/// Somebody outside writes to it.
pub(super) async fn deliver(platform: &Platform, tag: &str) -> anyhow::Result<()> {
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message(tag, 700)).await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    Ok(())
}

/// Logs in and expects a refusal; returns it.
async fn refused(platform: &Platform, password: &str) -> anyhow::Result<String> {
    let mut client = Pop3::connect(platform.pop3(0)).await?;
    client.ok(&format!("USER {BOX}")).await?;
    client.command(&format!("PASS {password}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn p_40_a_second_session_is_told_who_holds_the_box() -> anyhow::Result<()> {
    let platform = house().await?;
    deliver(&platform, "one").await?;
    let mut first = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;

    let locked = refused(&platform, PASSWORD).await?;
    assert!(locked.starts_with("-ERR [IN-USE] can't lock account: in use since "), "{locked}");
    assert!(
        locked.ends_with(" from 127.0.0.1; it frees itself within 60 s of that session ending"),
        "{locked}"
    );
    let wrong = refused(&platform, "wrong password").await?;
    assert!(wrong.starts_with("-ERR [AUTH] "), "in use is told only to who knows the password: {wrong}");

    // The first one is unharmed, and deletes.
    assert_eq!(first.stat().await?.0, 1);
    first.ok("DELE 1").await?;
    assert!(first.quit().await?.starts_with("+OK"));
    let mut next = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    assert_eq!(next.stat().await?.0, 0, "P-81: free and emptied as soon as QUIT was answered");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p_11_a_lost_client_frees_the_box_and_deletes_nothing() -> anyhow::Result<()> {
    let platform = house().await?;
    deliver(&platform, "one").await?;
    let mut lost = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    lost.ok("DELE 1").await?;
    drop(lost);
    let begin = Instant::now();
    let free = eventually(Duration::from_secs(5), async || {
        Pop3::login(platform.pop3(0), BOX, PASSWORD).await.is_ok()
    })
    .await;
    assert!(free, "freed within 5 s of the end of the connection, waited {:?}", begin.elapsed());
    let mail = eventually(Duration::from_secs(5), async || {
        read_all(platform.pop3(0), BOX, PASSWORD).await.is_ok_and(|mail| mail.len() == 1)
    })
    .await;
    assert!(mail, "no QUIT, no delete");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_can_free_the_box() -> anyhow::Result<()> {
    let platform = house().await?;
    deliver(&platform, "one").await?;
    let mut held = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    held.ok("DELE 1").await?;
    let mailbox_id = platform.admin()?.get_mailbox(BOX).await?.mailbox_id;
    platform.admin()?.locks().release_lock(ReleaseLockRequest { mailbox_id }).await?;

    let mut mine = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    // The session that lost the box deletes nothing (P-83), whether it was closed or says QUIT first.
    if let Ok(reply) = held.command("QUIT").await {
        assert!(reply.starts_with("-ERR [SYS/TEMP]"), "{reply}");
    }
    assert!(!mine.retr(1).await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_ends_open_sessions_which_delete_nothing() -> anyhow::Result<()> {
    const IDLE: &str = "idle@homepage.test";
    const BYSTANDER: &str = "user@rival.test";
    let platform = house().await?;
    let admin = platform.admin()?;
    admin.domain("rival", "rival.test").await?;
    let mut mailbox_ids = vec![admin.get_mailbox(BOX).await?.mailbox_id];
    for address in [IDLE, BYSTANDER] {
        mailbox_ids.push(admin.mailbox(address).await?.mailbox_id);
    }
    deliver(&platform, "one").await?;
    let mut deleting = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    deleting.ok("DELE 1").await?;
    let mut idle = Pop3::login(platform.pop3(0), IDLE, PASSWORD).await?;
    let mut bystander = Pop3::login(platform.pop3(0), BYSTANDER, PASSWORD).await?;

    let (code, _, error) = platform.postern(&["customer", "suspend", "homepage"], "").await?;
    assert_eq!(code, 0, "{error}");
    let free = eventually(Duration::from_secs(10), async || {
        let held = async |mailbox_id| admin.locks().get_lock(GetLockRequest { mailbox_id }).await.is_ok();
        !held(mailbox_ids[0]).await && !held(mailbox_ids[1]).await
    })
    .await;
    assert!(free, "the boxes of who is suspended are taken from their sessions");
    let reply = deleting.command("QUIT").await?;
    assert!(reply.starts_with("-ERR [SYS/TEMP]"), "{reply}");
    assert_eq!(admin.message_count(mailbox_ids[0]).await?, 1);
    // The gateway asks for its locks every 20 s, and leaves 5 s for a QUIT.
    assert!(idle.is_closed_within(Duration::from_secs(40)).await);
    bystander.ok("NOOP").await?;
    let mailbox_id = mailbox_ids[2];
    admin.locks().get_lock(GetLockRequest { mailbox_id }).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_gateway_frees_its_boxes_within_65_seconds() -> anyhow::Result<()> {
    let mut platform = house().await?;
    deliver(&platform, "one").await?;
    let mut lost = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    lost.ok("DELE 1").await?;
    platform.replica(Service::Pop3, 0).process.kill()?;
    let begin = Instant::now();
    platform.replica(Service::Pop3, 0).process.spawn()?;
    platform.wait_ready(Service::Pop3).await?;
    assert!(
        refused(&platform, PASSWORD).await?.starts_with("-ERR [IN-USE]"),
        "the lock outlives its gateway"
    );
    let free = eventually(Duration::from_secs(65), async || {
        read_all(platform.pop3(0), BOX, PASSWORD).await.is_ok_and(|mail| mail.len() == 1)
    })
    .await;
    assert!(free, "free after {:?}", begin.elapsed());
    println!("box free {:.1} s after kill -9 of its gateway", begin.elapsed().as_secs_f64());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn delete_and_recreate_gives_a_free_and_empty_box_at_once() -> anyhow::Result<()> {
    let platform = house().await?;
    let admin = platform.admin()?;
    deliver(&platform, "old").await?;
    let mut old = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    let old_uidl = old.uidl().await?;
    old.ok("DELE 1").await?;

    let removed = admin.remove_mailbox(BOX).await?;
    let created = admin.mailbox(BOX).await?;
    assert_ne!(removed, created.mailbox_id);
    let mut new = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    assert_eq!(new.stat().await?, (0, 0), "the new box is free and empty");

    let reply = old.command("QUIT").await?;
    assert!(reply.starts_with("-ERR [SYS/"), "the old session deletes nothing: {reply}");
    assert_eq!(admin.message_count(removed).await?, 1, "the old box keeps its mail for undo");

    new.quit().await?;
    deliver(&platform, "new").await?;
    let mut new = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    let new_uidl = new.uidl().await?;
    assert_eq!(new_uidl.len(), 1);
    assert_ne!(old_uidl, new_uidl, "P-68: no UIDL ever names two messages");
    Ok(())
}

/// Promise 4: a message that arrives while its box is removed or recreated ends in exactly one place.
#[tokio::test(flavor = "multi_thread")]
async fn removals_under_a_stream_of_mail_lose_and_double_nothing() -> anyhow::Result<()> {
    let platform = Arc::new(house().await?);
    let admin = platform.admin()?;
    admin.default_address("homepage.test", DefaultAction::Reject, "").await?;
    let rounds: usize = std::env::var("POSTERN_RECREATIONS").ok().and_then(|v| v.parse().ok()).unwrap_or(100);

    let going = Arc::new(AtomicBool::new(true));
    let mut senders = Vec::new();
    for sender in 0..4 {
        let (platform, going) = (Arc::clone(&platform), Arc::clone(&going));
        senders.push(tokio::spawn(async move {
            let (mut accepted, mut refused, mut number) = (Vec::new(), 0usize, 0u32);
            while going.load(Ordering::Relaxed) {
                let tag = format!("stream-{sender}-{number}");
                number += 1;
                let reply =
                    smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message(&tag, 600)).await?;
                match reply.as_bytes()[0] {
                    b'2' => accepted.push(tag),
                    _ => refused += 1,
                }
            }
            anyhow::Ok((accepted, refused))
        }));
    }
    for _ in 0..rounds {
        admin.remove_mailbox(BOX).await?;
        admin.mailbox(BOX).await?;
    }
    going.store(false, Ordering::Relaxed);
    let (mut accepted, mut refused) = (Vec::new(), 0);
    for sender in senders {
        let (more, no) = sender.await??;
        accepted.extend(more);
        refused += no;
    }

    // Every place that a message can be in: each box that ever was, asked in the store itself.
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let stored: Vec<(Vec<u8>,)> =
        sqlx::query_as("SELECT m.content FROM mail.entries e JOIN mail.messages m ON m.id = e.message_id")
            .fetch_all(&pool)
            .await?;
    for (content,) in stored {
        let text = String::from_utf8_lossy(&content).into_owned();
        let tag = text.lines().find_map(|l| l.strip_prefix("Subject: ")).unwrap_or_default().to_owned();
        *places.entry(tag).or_default() += 1;
    }
    let lost: Vec<_> = accepted.iter().filter(|tag| !places.contains_key(*tag)).collect();
    let doubled: Vec<_> = places.iter().filter(|(_, count)| **count > 1).collect();
    println!("{rounds} recreations, {} accepted, {refused} refused", accepted.len());
    assert!(!accepted.is_empty(), "the stream must flow");
    assert!(lost.is_empty(), "lost: {lost:?}");
    assert!(doubled.is_empty(), "doubled: {doubled:?}");
    assert_eq!(platform.sink.messages().len(), 0, "nothing left the house");
    Ok(())
}
