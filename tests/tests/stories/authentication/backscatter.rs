//! Nobody hears of mail that was sent in somebody's name: neither that a forward of it failed or waits, nor what a machine of ours
//! would answer.

use postern_proto::{
    account::v1::{ListPosting, MailingList},
    delivery::v1::{QueueSelection, RemoveQueueEntriesRequest},
};

use super::*;

/// Nothing shows that its mail is its own.
const VICTIM: &str = "victim@victim.test";
/// SPF says so.
const TRUE: &str = "true@far.test";

async fn world() -> World {
    let world = World::start().await;
    world.add("far.test", txt("v=spf1 ip4:127.0.0.1 -all"));
    world.add("victim.test", txt("v=spf1 -all"));
    world
}

async fn write(platform: &Platform, sender: &str, to: &str) -> anyhow::Result<()> {
    let reply = smtp::send(platform.smtp(0), sender, &[to], &letter(sender, to, "hello", "")).await?;
    anyhow::ensure!(reply.starts_with("250 "), "{reply}");
    Ok(())
}

/// Whom the sink got mail for.
fn told(sink: &Sink) -> Vec<String> {
    sink.messages().into_iter().flat_map(|message| message.recipients).collect()
}

/// Waits until this says true of the database.
async fn holds(platform: &Platform, question: &'static str) -> anyhow::Result<bool> {
    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    Ok(eventually(LIMIT, async || {
        sqlx::query_scalar::<_, bool>(question).fetch_one(&database).await.is_ok_and(|holds| holds)
    })
    .await)
}

const DONE: &str = "select count(*) = 0 from mail.queue";

#[tokio::test(flavor = "multi_thread")]
async fn f_06_a_forged_sender_gets_no_bounce_of_a_forward() -> anyhow::Result<()> {
    let sink = sink_refusing("friend@other.test", "550 5.7.1 spam").await?;
    let world = world().await;
    let blueprint = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string());
    let (platform, admin) = house(&world, blueprint).await?;
    admin.forward("info@homepage.test", &["friend@other.test"], false).await?;
    for sender in [VICTIM, TRUE] {
        write(&platform, sender, "info@homepage.test").await?;
        assert!(holds(&platform, DONE).await?, "{sender}: all is done with");
    }
    // Only who really sent was told.
    assert_eq!(told(&sink), [TRUE]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn f_06_a_forged_sender_does_not_hear_that_a_forward_waits_or_was_removed() -> anyhow::Result<()> {
    let sink = sink_refusing("friend@other.test", "451 4.3.0 later").await?;
    let world = world().await;
    let blueprint = Blueprint::new()
        .set("POSTERN_SMARTHOST", &sink.address().to_string())
        .set("POSTERN_QUEUE_RETRY_SECONDS", "1")
        .set("POSTERN_QUEUE_DELAY_NOTICE_SECONDS", "1");
    let (platform, admin) = house(&world, blueprint).await?;
    admin.forward("info@homepage.test", &["friend@other.test"], false).await?;
    for sender in [VICTIM, TRUE] {
        write(&platform, sender, "info@homepage.test").await?;
    }
    // The attempt before the last one was made when it was time to tell of it.
    let late =
        "select count(*) = 2 from mail.queue where attempts >= 4 and create_time < now() - interval '4 s'";
    assert!(holds(&platform, late).await?, "both wait");
    assert!(eventually(LIMIT, async || !sink.messages().is_empty()).await, "the true one is told");
    assert_eq!(told(&sink), [TRUE]);

    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let entry_ids: Vec<i64> =
        sqlx::query_scalar("select id from mail.queue order by id").fetch_all(&database).await?;
    let selection = Some(QueueSelection { entry_ids, queue_id: String::new() });
    admin.queue().remove_queue_entries(RemoveQueueEntriesRequest { selection, silent: false }).await?;
    assert!(holds(&platform, DONE).await?, "nothing is left");
    assert_eq!(told(&sink), [TRUE, TRUE], "and of its end only that one");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_01_a_forged_sender_is_not_answered() -> anyhow::Result<()> {
    let world = world().await;
    let (platform, admin) = house(&world, Blueprint::new()).await?;
    admin.autoresponder(BOX, "Away", "Back soon").await?;
    let list = MailingList {
        address: "staff@homepage.test".to_owned(),
        posting: ListPosting::Anyone.into(),
        owner: BOX.to_owned(),
        ..MailingList::default()
    };
    admin.mailing_list(list, &[]).await?;
    for to in [BOX, "staff-subscribe@homepage.test", "staff-request@homepage.test"] {
        for sender in [VICTIM, TRUE] {
            write(&platform, sender, to).await?;
        }
    }
    assert!(holds(&platform, DONE).await?, "all errands are done");
    // Whoever asks to join is asked whether it was they; all else only the true one hears.
    let mut told = told(&platform.sink);
    told.sort();
    assert_eq!(told, [TRUE, TRUE, TRUE, VICTIM]);

    // The token is proof of itself, whatever SPF says; a wrong one proves nothing.
    let asked = platform.sink.messages().into_iter().find_map(|answer| {
        let subject = field(&String::from_utf8_lossy(&answer.content), "Subject");
        (answer.recipients == [VICTIM] && subject.starts_with("confirm ")).then_some(subject)
    });
    let asked = asked.ok_or_else(|| anyhow::anyhow!("nothing to confirm"))?;
    for (subject, count) in [("confirm aaaaaaaaaaaaaaaaaaaaaaaaaa", 4), (asked.as_str(), 5)] {
        let to = "staff-request@homepage.test";
        // Its Message-ID is made of the subject, too.
        let content = letter(VICTIM, to, subject, "");
        let reply = smtp::send(platform.smtp(0), VICTIM, &[to], &content).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        assert!(holds(&platform, DONE).await?);
        assert_eq!(platform.sink.messages().len(), count, "{subject}");
    }
    Ok(())
}
