//! The main job of the platform: check your mail, then send (PROMISES.md, "The grant").

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::Blueprint,
    pop3::{Pop3, read_all},
    smtp::{self, Smtp, message},
};

const REFUSAL: &str =
    "550 5.7.1 relaying prohibited: check your mail at mail.homepage.test first, then send again";
const REFUSAL_ELSEWHERE: &str =
    "550 5.7.1 relaying prohibited: check your mail at mail.postern.test first, then send again";

#[tokio::test(flavor = "multi_thread")]
async fn nobody_relays_without_having_checked_mail_first() -> anyhow::Result<()> {
    let platform = Blueprint::new().set("POSTERN_GRANT_SECONDS", "4").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let content = message("story", 20_000);

    // Refused, with the exact phrase, for our own sender and for a stranger's.
    let reply = smtp::send(platform.smtp(0), "user@homepage.test", &["you@outside.test"], &content).await?;
    assert_eq!(reply, REFUSAL);
    let reply = smtp::send(platform.smtp(0), "me@outside.test", &["you@outside.test"], &content).await?;
    assert_eq!(reply, REFUSAL_ELSEWHERE);
    let mut submission = Smtp::hello(platform.submission(0)).await?;
    let reply = submission.command("MAIL FROM:<user@homepage.test>").await?;
    assert_eq!(reply, REFUSAL.replace("550 5.7.1", "530 5.7.0"));

    // A wrong password wins nothing.
    assert!(Pop3::login(platform.pop3(0), "user@homepage.test", "wrong password").await.is_err());
    let reply = smtp::send(platform.smtp(0), "user@homepage.test", &["you@outside.test"], &content).await?;
    assert_eq!(reply, REFUSAL);

    // Check, then send: through both doors.
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    let reply = smtp::send(platform.smtp(0), "user@homepage.test", &["you@outside.test"], &content).await?;
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    let reply = submission.transaction("user@homepage.test", &["you2@outside.test"], &content).await?;
    assert!(reply.starts_with("250 2.0.0 "), "{reply}");

    // It leaves byte-exact, with our header in front of it.
    assert!(eventually(Duration::from_secs(10), async || platform.sink.messages().len() == 2).await);
    for received in platform.sink.messages() {
        assert_eq!(received.sender, "user@homepage.test");
        let at = received.content.len() - content.len();
        assert_eq!(&received.content[at..], &content[..], "what we were given comes out as it was");
        let added = String::from_utf8_lossy(&received.content[..at]).into_owned();
        assert!(added.contains("\nReceived: from client.outside.test"), "{added}");
        assert!(added.contains("user@homepage.test"), "Received: names the login that granted: {added}");
        let fields = added.lines().filter(|l| !l.starts_with([' ', '\t']));
        let names: Vec<_> = fields.filter_map(|l| l.split_once(':')).map(|(name, _)| name).collect();
        assert_eq!(names, ["DKIM-Signature", "Received"], "two fields of ours: {added}");
    }

    // Another client has no part in this grant.
    let mut neighbour = Smtp::connect_from(platform.smtp(0), "127.0.0.77").await?;
    neighbour.expect("EHLO neighbour.test", 250).await?;
    neighbour.expect("MAIL FROM:<user@homepage.test>", 250).await?;
    assert_eq!(neighbour.command("RCPT TO:<you@outside.test>").await?, REFUSAL);

    // After the grant's life: refused again, in an open session too (checked at every RCPT).
    let mut open = Smtp::hello(platform.smtp(0)).await?;
    open.expect("MAIL FROM:<user@homepage.test>", 250).await?;
    open.expect("RCPT TO:<first@outside.test>", 250).await?;
    let expired = eventually(Duration::from_secs(12), async || {
        open.command("RCPT TO:<next@outside.test>").await.is_ok_and(|reply| reply == REFUSAL)
    })
    .await;
    assert!(expired, "a grant ends after its 4 seconds");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_from_outside_finds_its_way() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    admin.forward("alias@homepage.test", &["user@homepage.test"], false).await?;
    admin.forward("away@homepage.test", &["friend@outside.test"], false).await?;

    for (to, tag) in [
        ("user@homepage.test", "direct"),
        ("USER@HomePage.TEST", "any-case"),
        ("user+tag@homepage.test", "sub-address"),
        ("alias@homepage.test", "alias"),
        ("away@homepage.test", "forward"),
        ("nobody-has-this@homepage.test", "catch-all"),
        ("postmaster@homepage.test", "postmaster"),
    ] {
        let reply = smtp::send(platform.smtp(0), "someone@outside.test", &[to], &message(tag, 900)).await?;
        assert!(reply.starts_with("250 2.0.0 "), "{to}: {reply}");
    }

    let subjects = |box_content: Vec<Vec<u8>>| -> Vec<String> {
        let subject = |m: &Vec<u8>| {
            let text = String::from_utf8_lossy(m).into_owned();
            text.lines().find_map(|l| l.strip_prefix("Subject: ").map(str::to_owned))
        };
        box_content.iter().filter_map(subject).collect()
    };
    let own = read_all(platform.pop3(0), "user@homepage.test", PASSWORD).await?;
    for stored in &own {
        let text = String::from_utf8_lossy(stored).into_owned();
        assert_eq!(text.matches("Return-Path: <someone@outside.test>\r\n").count(), 1, "{text}");
        assert!(text.starts_with("Return-Path:"), "{text}");
    }
    assert_eq!(subjects(own), ["direct", "any-case", "sub-address", "alias"]);
    // The default box logs in with the first eight letters of the domain.
    let default_box = read_all(platform.pop3(0), "homepage", PASSWORD).await?;
    assert_eq!(subjects(default_box), ["catch-all", "postmaster"]);

    // The forward arrives outside.
    assert!(eventually(Duration::from_secs(10), async || platform.sink.messages().len() == 1).await);
    let left = platform.sink.messages().remove(0);
    assert_eq!(left.recipients, ["friend@outside.test"]);

    // A removed mailbox is gone at once: its name falls to the catch-all.
    admin.remove_mailbox("user@homepage.test").await?;
    let gone = eventually(Duration::from_secs(1), async || {
        Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await.is_err()
    })
    .await;
    assert!(gone, "promise 6: live within a second");
    let reply =
        smtp::send(platform.smtp(0), "someone@outside.test", &["user@homepage.test"], &message("late", 900))
            .await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let default_box = read_all(platform.pop3(0), "homepage", PASSWORD).await?;
    assert_eq!(subjects(default_box), ["catch-all", "postmaster", "late"]);

    // With a default address that rejects, unknown names are refused at RCPT.
    admin.default_address("homepage.test", postern_proto::account::v1::DefaultAction::Reject, "").await?;
    let refused = eventually(Duration::from_secs(1), async || {
        let reply = smtp::send(platform.smtp(0), "someone@outside.test", &["user@homepage.test"], b"x\r\n");
        reply.await.is_ok_and(|reply| reply.starts_with("550 5.1.1 "))
    });
    assert!(refused.await, "promise 6: live within a second");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_its_grant_and_cuts_open_sessions() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;

    let mut session = Smtp::hello(platform.smtp(0)).await?;
    session.expect("MAIL FROM:<user@homepage.test>", 250).await?;
    session.expect("RCPT TO:<you@outside.test>", 250).await?;
    admin.set_password("user@homepage.test", "another password").await?;

    let cut = tokio::time::timeout(Duration::from_secs(2), session.reply()).await??;
    assert_eq!(cut, "421 4.7.0 disconnected by administrator");
    let reply = smtp::send(platform.smtp(0), "user@homepage.test", &["you@outside.test"], b"x\r\n").await?;
    assert_eq!(reply, REFUSAL);
    assert!(Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await.is_err());
    Pop3::login(platform.pop3(0), "user@homepage.test", "another password").await?.quit().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_customers_domain_needs_its_owners_leave() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    admin.mailbox("user@homepage.test").await?;
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    for (sender, code) in [
        ("user@homepage.test", "250"),
        ("free@elsewhere.test", "250"),
        ("", "250"),
        ("boss@rival.test", "550 5.7.1 "),
    ] {
        let reply =
            smtp::send(platform.smtp(0), sender, &["you@outside.test"], &message("leave", 500)).await?;
        assert!(reply.starts_with(code), "<{sender}>: {reply}");
    }
    Ok(())
}

/// A login is no way around that, not even between boxes of the house, where nobody checks SPF of it.
#[tokio::test(flavor = "multi_thread")]
async fn s_73_a_login_does_not_write_to_boxes_here_in_another_customers_name() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    admin.mailbox("user@homepage.test").await?;
    let clerk = admin.mailbox("clerk@rival.test").await?.mailbox_id;
    let response = STANDARD.encode(format!("\0user@homepage.test\0{PASSWORD}"));
    let mut client = Smtp::hello(platform.submission(0)).await?;
    client.expect(&format!("AUTH PLAIN {response}"), 235).await?;
    let heard = client.command("MAIL FROM:<boss@rival.test>").await?;
    assert_eq!(heard, "550 5.7.1 this sender address belongs to another customer");
    // What the explanation says is what was heard, and nothing behind it.
    let words = ["explain", "send", "--from", "boss@rival.test", "--to", "clerk@rival.test"];
    let words = [&words[..], &["--ip", "127.0.0.1", "--login", "user@homepage.test"]].concat();
    let (_, out, error) = platform.postern(&words, "").await?;
    assert!(
        out.starts_with("It does not work: the sender address belongs to another customer"),
        "{out}{error}"
    );
    assert!(out.contains(&format!("SMTP MAIL (submission): {heard}")) && !out.contains("SMTP RCPT"), "{out}");
    let taken = client.transaction("user@homepage.test", &["clerk@rival.test"], &message("own", 500)).await?;
    assert!(taken.starts_with("250"), "{taken}");
    // Nor in the header, which is what readers see.
    let forged = b"From: The Boss <boss@rival.test>\r\nSubject: pay\r\n\r\nat once\r\n";
    let heard = client.transaction("user@homepage.test", &["clerk@rival.test"], forged).await?;
    assert_eq!(heard, "550 5.7.1 an address in From or Sender belongs to another customer");

    // With its owner's leave.
    let leave = ["domain", "set", "rival.test", "--senders", "named", "--allow", "homepage"];
    let (code, out, error) = platform.postern(&leave, "").await?;
    assert_eq!(code, 0, "{out}{error}");
    let permitted = eventually(Duration::from_secs(5), async || {
        let _ = client.command("RSET").await;
        client.command("MAIL FROM:<boss@rival.test>").await.is_ok_and(|reply| reply.starts_with("250"))
    });
    assert!(permitted.await, "the owner's leave is heard of");
    client.expect("RCPT TO:<clerk@rival.test>", 250).await?;
    client.expect("DATA", 354).await?;
    client.send(&smtp::stuffed(forged)).await?;
    let taken = client.reply().await?;
    assert!(taken.starts_with("250"), "{taken}");
    let delivered = eventually(Duration::from_secs(5), async || {
        admin.message_count(clerk).await.is_ok_and(|count| count == 2)
    });
    assert!(delivered.await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s_24_s_26_what_a_mail_program_forgets_is_added_and_what_it_hides_stays_hidden() -> anyhow::Result<()>
{
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("user@homepage.test").await?;
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    let letter =
        b"From: user@homepage.test\r\nBcc: hidden@elsewhere.test,\r\n other@elsewhere.test\r\n\r\ntext\r\n";
    let to = ["user@homepage.test", "you@outside.test"];
    let reply = smtp::send(platform.submission(0), "user@homepage.test", &to, letter).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(eventually(Duration::from_secs(10), async || platform.sink.messages().len() == 1).await);
    let mut copies = read_all(platform.pop3(0), "user@homepage.test", PASSWORD).await?;
    copies.extend(platform.sink.messages().into_iter().map(|message| message.content.to_vec()));
    assert_eq!(copies.len(), 2);
    for copy in copies {
        let copy = String::from_utf8(copy)?;
        for (field, count) in
            [("\r\nDate: ", 1), ("\r\nMessage-ID: <", 1), ("\r\nFrom: ", 1), ("elsewhere.test", 0)]
        {
            assert_eq!(copy.matches(field).count(), count, "{field:?} in {copy}");
        }
    }
    // What others send is left as it is.
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &["user@homepage.test"], letter).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let kept = read_all(platform.pop3(0), "user@homepage.test", PASSWORD).await?;
    let kept = String::from_utf8(kept.into_iter().next_back().unwrap_or_default())?;
    assert!(kept.contains("Bcc: hidden") && !kept.contains("Message-ID"), "{kept}");
    Ok(())
}
