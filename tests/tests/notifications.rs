//! Delivery status notifications (RFC 3461) from door to door: what a sender asked for is what it hears.

use std::{sync::Arc, time::Duration};

use postern::sink::{Answer, Moment, Sink, SinkSettings};
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Platform},
    pop3::{Pop3, read_all},
    smtp::{Smtp, message, stuffed},
};

const LIMIT: Duration = Duration::from_secs(30);

/// Takes everything but `gone@` (never) and `slow@` (not now).
async fn house(settings: &[(&str, &str)]) -> anyhow::Result<(Platform, Sink)> {
    let script = |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if recipient.starts_with("gone") => {
            Answer::Reply("550 5.1.1 nobody of that name".to_owned())
        }
        Moment::Recipient { recipient, .. } if recipient.starts_with("slow@") => {
            Answer::Reply("450 4.2.1 not now".to_owned())
        }
        _ => Answer::Accept,
    };
    let sink =
        Sink::start(SinkSettings { script: Some(Arc::new(script)), ..SinkSettings::default() }).await?;
    let mut blueprint = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string());
    for (name, value) in settings {
        blueprint = blueprint.set(name, value);
    }
    let platform = blueprint.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for name in ["user", "mate"] {
        admin.mailbox(&format!("{name}@homepage.test")).await?;
    }
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    Ok((platform, sink))
}

/// One mail of user@homepage.test with these parameters.
async fn send(platform: &Platform, mail: &str, recipients: &[&str]) -> anyhow::Result<()> {
    let mut client = Smtp::hello(platform.smtp(0)).await?;
    client.expect(&format!("MAIL FROM:<user@homepage.test> {mail}"), 250).await?;
    for recipient in recipients {
        client.expect(&format!("RCPT TO:{recipient}"), 250).await?;
    }
    client.expect("DATA", 354).await?;
    client.send(&stuffed(&message("asked", 400))).await?;
    let reply = client.reply().await?;
    anyhow::ensure!(reply.starts_with("250 "), "{reply}");
    Ok(())
}

/// Reports in the sender's box.
async fn reports(platform: &Platform) -> anyhow::Result<Vec<String>> {
    let all = read_all(platform.pop3(0), "user@homepage.test", PASSWORD).await?;
    Ok(all.iter().map(|octets| String::from_utf8_lossy(octets).into_owned()).collect())
}

async fn until_reports(platform: &Platform, count: usize) -> anyhow::Result<Vec<String>> {
    let there =
        eventually(LIMIT, async || reports(platform).await.is_ok_and(|reports| reports.len() >= count)).await;
    let reports = reports(platform).await?;
    anyhow::ensure!(there && reports.len() == count, "{} reports: {reports:#?}", reports.len());
    Ok(reports)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_92_b_01_a_sender_hears_what_it_asked_for() -> anyhow::Result<()> {
    let (platform, sink) = house(&[]).await?;
    let mut client = Smtp::hello(platform.smtp(0)).await?;
    client.expect("MAIL FROM:<user@homepage.test> RET=BODY", 501).await?;
    client.expect("MAIL FROM:<user@homepage.test>", 250).await?;
    client.expect("RCPT TO:<mate@homepage.test> NOTIFY=NEVER,DELAY", 501).await?;
    client.expect("RCPT TO:<mate@homepage.test> ORCPT=rfc822;a+2b", 501).await?;

    // NEVER: not even that it failed; and what nobody asked for is not told either.
    send(&platform, "", &["<gone1@outside.test> NOTIFY=NEVER", "<mate@homepage.test>", "<far@outside.test>"])
        .await?;
    assert!(eventually(LIMIT, async || sink.messages().len() == 1).await);
    // All that can be told of this one at once stands in one report, the local box and the failure behind a forward alike.
    send(
        &platform,
        "RET=FULL ENVID=order+2B7",
        &[
            "<far@outside.test> NOTIFY=SUCCESS ORCPT=rfc822;Far+2Bx@outside.test",
            "<mate@homepage.test> NOTIFY=SUCCESS,FAILURE",
            "<gone2@outside.test> NOTIFY=FAILURE",
            "<gone3@outside.test>",
        ],
    )
    .await?;
    let reports = until_reports(&platform, 3).await?;
    let one = |words: &str| -> anyhow::Result<&String> {
        let found: Vec<_> = reports.iter().filter(|report| report.contains(words)).collect();
        anyhow::ensure!(found.len() == 1, "{words}: {} of {reports:#?}", found.len());
        Ok(found[0])
    };
    let delivered = one("Final-Recipient: rfc822; mate@homepage.test\r\nAction: delivered\r\nStatus: 2.0.0")?;
    assert!(delivered.contains("Original-Envelope-ID: order+7\r\n"), "{delivered}");
    let relayed = one("Final-Recipient: rfc822; far@outside.test\r\nAction: relayed\r\nStatus: 2.0.0")?;
    assert!(relayed.contains("Original-Recipient: rfc822; Far+x@outside.test\r\n"), "{relayed}");
    let failed = one("Final-Recipient: rfc822; gone2@outside.test\r\nAction: failed\r\nStatus: 5.1.1")?;
    assert!(failed.contains("Final-Recipient: rfc822; gone3@outside.test\r\nAction: failed\r\n"), "{failed}");
    assert!(failed.contains("Content-Type: message/rfc822\r\n"), "RET=FULL gives all of it back: {failed}");
    assert!(!relayed.contains("message/rfc822"), "only of a failure");
    assert!(!reports.iter().any(|report| report.contains("gone1")), "NEVER is never");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn b_04_what_takes_long_is_told_once_then_given_up() -> anyhow::Result<()> {
    let settings = [
        ("POSTERN_QUEUE_RETRY_SECONDS", "1"),
        ("POSTERN_QUEUE_DELAY_NOTICE_SECONDS", "2"),
        ("POSTERN_QUEUE_LIFETIME_SECONDS", "8"),
    ];
    let (platform, _sink) = house(&settings).await?;
    send(&platform, "ENVID=x", &["<slow@outside.test>", "<slow@elsewhere.test> NOTIFY=FAILURE"]).await?;
    let reports = until_reports(&platform, 2).await?;
    let (delayed, failed): (Vec<_>, Vec<_>) =
        reports.iter().partition(|report| report.contains("Subject: Your message is delayed"));
    assert_eq!((delayed.len(), failed.len()), (1, 1), "{reports:#?}");
    assert!(delayed[0].contains("Action: delayed\r\nStatus: 4.4.7\r\n"), "{}", delayed[0]);
    assert!(delayed[0].contains("Will-Retry-Until: ") && delayed[0].contains("450 4.2.1 not now"));
    assert!(!delayed[0].contains("elsewhere.test"), "who did not ask for it hears nothing of the delay");
    for recipient in ["slow@outside.test", "slow@elsewhere.test"] {
        assert!(failed[0].contains(&format!("Final-Recipient: rfc822; {recipient}\r\nAction: failed")));
    }
    Ok(())
}
