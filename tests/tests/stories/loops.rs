//! Whatever answers by itself is set against what answers by itself, and the mail is counted when the dust has settled
//! (A-03, L-03, F-02, F-03, B-02).

use std::time::Duration;

use postern_proto::account::v1::{ListPosting, MailingList};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform},
    pop3::read_all,
    smtp,
};

const LIMIT: Duration = Duration::from_secs(30);

async fn house() -> anyhow::Result<(Platform, Admin)> {
    let platform = Blueprint::new().set("POSTERN_QUEUE_RETRY_SECONDS", "1").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for name in ["anna", "bert"] {
        admin.mailbox(&format!("{name}@homepage.test")).await?;
        admin.autoresponder(&format!("{name}@homepage.test"), "Away", "Later").await?;
    }
    Ok((platform, admin))
}

fn letter(from: &str, to: &str, more: &str) -> Vec<u8> {
    format!("From: {from}\r\nTo: {to}\r\nSubject: hello\r\nMessage-ID: <1@far>\r\n{more}\r\nbody\r\n")
        .into_bytes()
}

async fn send(platform: &Platform, from: &str, to: &str) -> anyhow::Result<String> {
    smtp::send(platform.smtp(0), from, &[to], &letter(from, to, "")).await
}

/// Nothing is on its way any more.
async fn quiet(platform: &Platform) -> anyhow::Result<()> {
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let empty = eventually(LIMIT, async || {
        let count = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM mail.queue").fetch_one(&pool).await;
        count.is_ok_and(|count| count == 0)
    });
    anyhow::ensure!(empty.await, "the queue does not come to rest");
    Ok(())
}

async fn count(platform: &Platform, name: &str) -> anyhow::Result<usize> {
    Ok(read_all(platform.pop3(0), &format!("{name}@homepage.test"), PASSWORD).await?.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_03_two_responders_exchange_two_messages() -> anyhow::Result<()> {
    let (platform, _admin) = house().await?;
    let reply = send(&platform, "anna@homepage.test", "bert@homepage.test").await?;
    assert!(reply.starts_with("250 "), "{reply}");
    quiet(&platform).await?;
    // The letter and one answer; nobody answers an answer.
    assert_eq!((count(&platform, "anna").await?, count(&platform, "bert").await?), (1, 1));
    assert!(platform.sink.messages().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn b_02_a_bounce_meets_a_responder_and_a_list_meets_both() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    // A null sender is answered by nobody, and what fails then comes back to nobody.
    let reply = send(&platform, "", "bert@homepage.test").await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let list = MailingList {
        address: "staff@homepage.test".to_owned(),
        posting: ListPosting::Anyone.into(),
        owner: "owner@outside.test".to_owned(),
        ..MailingList::default()
    };
    let members = ["anna@homepage.test", "bert@homepage.test"].map(str::to_owned);
    admin.mailing_list(list, &members).await?;
    let reply = send(&platform, "friend@outside.test", "staff@homepage.test").await?;
    assert!(reply.starts_with("250 "), "{reply}");
    quiet(&platform).await?;
    assert_eq!((count(&platform, "anna").await?, count(&platform, "bert").await?), (1, 2));
    assert!(platform.sink.messages().is_empty(), "no responder answers a list");

    // A post that comes back with the list's own marks ends there, without a word.
    let texts = read_all(platform.pop3(0), "anna@homepage.test", PASSWORD).await?;
    let reply =
        smtp::send(platform.smtp(0), "friend@outside.test", &["staff@homepage.test"], &texts[0]).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    quiet(&platform).await?;
    assert_eq!((count(&platform, "anna").await?, count(&platform, "bert").await?), (1, 2));
    Ok(())
}

/// Leads a forward somewhere past account, which refuses to close a ring.
async fn lead(platform: &Platform, forward: &str, target: &str) -> anyhow::Result<()> {
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let led = sqlx::query(
        "update account.forwards set targets = array[$2], target_keys = array[$2] where address = $1",
    )
    .bind(forward)
    .bind(target)
    .execute(&pool)
    .await?;
    anyhow::ensure!(led.rows_affected() == 1, "no forward {forward}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn f_02_two_forwards_that_lead_to_each_other_are_refused_and_end_when_met() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    let (one, two) = ("one@homepage.test", "two@homepage.test");
    admin.forward(two, &[one], false).await?;
    assert!(admin.forward(one, &[two], false).await.is_err(), "a ring is not written");
    admin.forward(one, &["friend@outside.test"], false).await?;
    lead(&platform, one, two).await?;
    for start in [one, two] {
        let reply = send(&platform, "friend@outside.test", start).await?;
        assert!(reply.starts_with("554 5.4.6 "), "{reply}");
    }

    // With copies that are kept: each has one, and it ends there.
    admin.forward("anna@homepage.test", &["bert@homepage.test"], true).await?;
    admin.forward("bert@homepage.test", &["friend@outside.test"], true).await?;
    lead(&platform, "bert@homepage.test", "anna@homepage.test").await?;
    let reply = send(&platform, "", "anna@homepage.test").await?;
    assert!(reply.starts_with("250 "), "{reply}");
    quiet(&platform).await?;
    assert_eq!((count(&platform, "anna").await?, count(&platform, "bert").await?), (1, 1));
    assert!(platform.sink.messages().is_empty(), "no bounce, no copy");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn l_03_two_lists_that_lead_to_each_other_give_each_member_one_copy() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    let list = |name: &str| MailingList {
        address: format!("{name}@homepage.test"),
        posting: ListPosting::Anyone.into(),
        owner: "owner@outside.test".to_owned(),
        ..MailingList::default()
    };
    admin.forward("bridge@homepage.test", &["friend@outside.test"], false).await?;
    let members = ["anna@homepage.test", "bridge@homepage.test"].map(str::to_owned);
    admin.mailing_list(list("east"), &members).await?;
    let members = ["bert@homepage.test", "east@homepage.test"].map(str::to_owned);
    admin.mailing_list(list("west"), &members).await?;
    lead(&platform, "bridge@homepage.test", "west@homepage.test").await?;
    for (posts, start) in [(1, "east@homepage.test"), (2, "west@homepage.test")] {
        let reply = send(&platform, "friend@outside.test", start).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        quiet(&platform).await?;
        assert_eq!(
            (count(&platform, "anna").await?, count(&platform, "bert").await?),
            (posts, posts),
            "{start}"
        );
    }
    assert!(platform.sink.messages().is_empty(), "nobody outside hears of it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn f_03_a_forward_through_the_outside_ends_after_one_round() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    admin.forward("round@homepage.test", &["back@outside.test"], false).await?;
    let reply = send(&platform, "friend@outside.test", "round@homepage.test").await?;
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(eventually(LIMIT, async || platform.sink.messages().len() == 1).await);
    // The host outside forwards it back, as it came.
    let received = platform.sink.messages().remove(0);
    let reply =
        smtp::send(platform.smtp(0), &received.sender, &["round@homepage.test"], &received.content).await?;
    assert!(reply.starts_with("554 5.4.6 "), "{reply}");
    quiet(&platform).await?;
    assert_eq!(platform.sink.messages().len(), 1, "one copy left, once");
    Ok(())
}
