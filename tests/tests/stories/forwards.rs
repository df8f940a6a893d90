//! Forwards from door to door, and what is refused while the sender still listens.

use std::{sync::Arc, time::Duration};

use postern::sink::{Answer, Moment, Sink, SinkSettings};
use postern_proto::{account::v1::DefaultAction, delivery::v1::ListQueueEntriesRequest};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform},
    pop3::read_all,
    smtp::{self, Smtp, message},
};

const BOX: &str = "user@homepage.test";
const LIMIT: Duration = Duration::from_secs(20);

async fn house() -> anyhow::Result<(Platform, Admin)> {
    let platform = Blueprint::new().set("POSTERN_LIMIT_MESSAGE_BYTES", "100000").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    Ok((platform, admin))
}

async fn send(platform: &Platform, to: &str, content: &[u8]) -> anyhow::Result<String> {
    smtp::send(platform.smtp(0), "a@outside.test", &[to], content).await
}

#[tokio::test(flavor = "multi_thread")]
async fn f_05_a_box_that_forwards_to_itself_keeps_one_copy() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.forward(BOX, &[BOX, "friend@outside.test"], false).await?;
    let reply = send(&platform, BOX, &message("both", 700)).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(eventually(LIMIT, async || platform.sink.messages().len() == 1).await);
    assert_eq!(platform.sink.messages()[0].recipients, ["friend@outside.test"]);
    assert_eq!(read_all(platform.pop3(0), BOX, PASSWORD).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn f_07_there_is_one_return_path_however_many_forwards_it_passed() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.forward("second@homepage.test", &[BOX], false).await?;
    admin.forward("first@homepage.test", &["second@homepage.test"], false).await?;
    let mut content = b"Return-Path: <forged@outside.test>\r\nreturn-path: <again@outside.test>\r\n".to_vec();
    content.extend(message("twice", 700));
    let reply = send(&platform, "first@homepage.test", &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let kept = read_all(platform.pop3(0), BOX, PASSWORD).await?;
    let text = String::from_utf8_lossy(&kept[0]).into_owned();
    assert!(text.starts_with("Return-Path: <a@outside.test>\r\n"), "{text}");
    assert_eq!(text.to_ascii_lowercase().matches("return-path:").count(), 1, "{text}");
    Ok(())
}

/// Recipients of what waits to leave on behalf of a customer.
async fn queued_of(admin: &Admin, customer: &str) -> anyhow::Result<Vec<String>> {
    let request = ListQueueEntriesRequest { customer: customer.to_owned(), ..Default::default() };
    let entries = admin.queue().list_queue_entries(request).await?.into_inner().entries;
    Ok(entries.into_iter().map(|entry| entry.recipient).collect())
}

/// What a forward sends on takes its turn with the mail of whoever has the forward, who finds it in the queue; who wrote it does
/// not learn there where it goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_forward_sends_on_is_its_owners() -> anyhow::Result<()> {
    let later = |moment: &Moment<'_>| match moment {
        Moment::Recipient { .. } => Answer::Reply("450 4.2.1 not now".to_owned()),
        _ => Answer::Accept,
    };
    let sink = Sink::start(SinkSettings { script: Some(Arc::new(later)), ..SinkSettings::default() }).await?;
    let platform = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string()).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    admin.mailbox(BOX).await?;
    admin.forward("info@rival.test", &["friend@outside.test"], false).await?;
    let reply = send(&platform, "info@rival.test", &message("from outside", 700)).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    read_all(platform.pop3(0), BOX, PASSWORD).await?;
    for (to, subject) in [("info@rival.test", "through it"), ("other@outside.test", "straight")] {
        let reply = smtp::send(platform.smtp(0), BOX, &[to], &message(subject, 700)).await?;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    assert_eq!(queued_of(&admin, "rival").await?, ["friend@outside.test", "friend@outside.test"]);
    assert_eq!(queued_of(&admin, "homepage").await?, ["other@outside.test"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn b_05_what_cannot_be_delivered_is_refused_before_it_is_taken() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.default_address("homepage.test", DefaultAction::Reject, "").await?;
    admin.mailbox("full@homepage.test").await?;
    let reply = send(&platform, "full@homepage.test", &message("fills it", 3000)).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    admin.quota("full@homepage.test", 1000).await?;

    let refused = async |to: &str, content: &[u8], words: &str| {
        let there = eventually(LIMIT, async || {
            send(&platform, to, content).await.is_ok_and(|reply| reply.starts_with(words))
        });
        assert!(there.await, "{to}: {words}");
    };
    let short = message("short", 700);
    refused("nobody@homepage.test", &short, "550 5.1.1 ").await;
    refused("full@homepage.test", &short, "452 4.2.2 ").await;
    let hops = "Received: from a by b; Sat, 28 Nov 2026 12:00:00 +0000\r\n".repeat(101);
    refused(BOX, &[hops.as_bytes(), &short].concat(), "554 5.4.6 ").await;
    let passed = format!("Delivered-To: {BOX}\r\n");
    refused(BOX, &[passed.as_bytes(), &short].concat(), "554 5.4.6 ").await;
    refused(BOX, &message("large", 200_000), "552 5.3.4 ").await;
    let mut client = Smtp::hello(platform.smtp(0)).await?;
    let reply = client.command("MAIL FROM:<a@outside.test> SIZE=200000").await?;
    assert!(reply.starts_with("552 5.3.4 "), "{reply}");

    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let queued: i64 = sqlx::query_scalar("select count(*) from mail.queue").fetch_one(&database).await?;
    assert_eq!((queued, platform.sink.messages().len()), (0, 0), "so nobody has to be told by mail");
    Ok(())
}
