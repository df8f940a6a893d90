//! Undo and room: what is removed or cleared comes back, what is over is gone, a full box says so at RCPT, and mail can be
//! brought along and taken away.

use std::{path::PathBuf, time::Duration};

use postern_proto::account::v1::{ListPosting, MailingList};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform},
    pop3::{Pop3, read_all},
    smtp::{self, Smtp, message},
};
use sqlx::{Connection as _, PgConnection};

const USER: &str = "user@homepage.test";

async fn house() -> anyhow::Result<(Platform, Admin)> {
    let platform = Blueprint::new().set("POSTERN_SWEEP_SECONDS", "1").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.default_address("homepage.test", postern_proto::account::v1::DefaultAction::Reject, "").await?;
    admin.mailbox(USER).await?;
    Ok((platform, admin))
}

async fn send(platform: &Platform, content: &[u8]) -> anyhow::Result<()> {
    let reply = smtp::send(platform.smtp(0), "someone@outside.test", &[USER], content).await?;
    anyhow::ensure!(reply.starts_with("250 2.0.0 "), "{reply}");
    Ok(())
}

async fn uidl(platform: &Platform) -> anyhow::Result<Vec<String>> {
    let mut client = Pop3::login(platform.pop3(0), USER, PASSWORD).await?;
    let uidl = client.uidl().await?;
    client.quit().await?;
    Ok(uidl)
}

/// A command of the operator that must be done; its words.
async fn postern(platform: &Platform, arguments: &[&str]) -> anyhow::Result<String> {
    let (code, out, err) = platform.postern(arguments, "").await?;
    anyhow::ensure!(code == 0, "postern {arguments:?}: {code}: {err}");
    Ok(out)
}

/// RCPT's answer, as soon as it begins with this.
async fn rcpt_becomes(platform: &Platform, begin: &str) -> anyhow::Result<String> {
    let mut last = String::new();
    let became = eventually(Duration::from_secs(10), async || {
        let Ok(mut client) = Smtp::hello(platform.smtp(0)).await else { return false };
        if client.expect("MAIL FROM:<probe@outside.test>", 250).await.is_err() {
            return false;
        }
        last = client.command(&format!("RCPT TO:<{USER}>")).await.unwrap_or_default();
        last.starts_with(begin)
    })
    .await;
    anyhow::ensure!(became, "RCPT stays {last}");
    Ok(last)
}

/// Into the past of the database, since no test waits for thirty days.
async fn age(platform: &Platform, statement: &'static str) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&platform.stores.database_url()).await?;
    sqlx::raw_sql(statement).execute(&mut connection).await?;
    Ok(())
}

async fn count(platform: &Platform, query: &'static str) -> anyhow::Result<i64> {
    let mut connection = PgConnection::connect(&platform.stores.database_url()).await?;
    Ok(sqlx::query_scalar(query).fetch_one(&mut connection).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_box_comes_back_as_it_was_or_into_its_successor() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    for name in ["one", "two"] {
        send(&platform, &message(name, 900)).await?;
    }
    let before = uidl(&platform).await?;
    // What still names it is told, and how it comes back.
    admin.forward("info@homepage.test", &[USER, "friend@outside.test"], false).await?;
    let list = MailingList { address: "staff@homepage.test".to_owned(), ..MailingList::default() };
    admin.mailing_list(list, &[USER.to_owned()]).await?;
    let mailbox_id = admin.get_mailbox(USER).await?.mailbox_id;
    let said = postern(&platform, &["account", "remove", USER]).await?;
    let told =
        "is removed; it is still named by forward info@homepage.test, list staff@homepage.test as member\n";
    assert!(said.contains(told), "{said}");
    assert!(said.contains("`postern mailbox restore user@homepage.test` brings it back"), "{said}");
    admin.remove_forward("info@homepage.test").await?;
    rcpt_becomes(&platform, "550 5.1.1 ").await?;
    let listed = postern(&platform, &["mailbox", "restore", USER, "--list"]).await?;
    assert!(listed.contains(&mailbox_id.to_string()), "{listed}");

    // Undone: the same box, password and UIDLs.
    postern(&platform, &["mailbox", "restore", USER]).await?;
    assert_eq!(admin.get_mailbox(USER).await?.mailbox_id, mailbox_id);
    rcpt_becomes(&platform, "250 ").await?;
    assert_eq!(uidl(&platform).await?, before);

    // With what went along: the forward and the answer that it had.
    admin.forward(USER, &["friend@outside.test"], true).await?;
    admin.autoresponder(USER, "Away", "Back soon").await?;
    admin.remove_mailbox(USER).await?;
    let said = postern(&platform, &["mailbox", "restore", USER]).await?;
    assert!(said.trim_end().ends_with("with its forward and its autoresponder"), "{said}");
    postern(&platform, &["autoresponder", "show", USER]).await?;
    admin.remove_forward(USER).await?;

    // Recreated meanwhile: the old mail joins the new, under new UIDLs.
    admin.remove_mailbox(USER).await?;
    admin.mailbox(USER).await?;
    send(&platform, &message("three", 900)).await?;
    let (code, _, asked) = platform.postern(&["mailbox", "restore", USER], "").await?;
    assert!(code == 1 && asked.contains("--merge"), "{code} {asked}");
    assert_eq!(uidl(&platform).await?.len(), 1, "nothing was moved");
    let merged = postern(&platform, &["mailbox", "restore", USER, "--merge"]).await?;
    assert!(merged.contains("2 messages"), "{merged}");
    let after = uidl(&platform).await?;
    assert_eq!(after.len(), 3);
    assert!(before.iter().all(|uid| !after.contains(uid)), "{before:?} {after:?}");

    // Taken by another kind: refused with the kind.
    admin.remove_mailbox(USER).await?;
    admin.forward(USER, &["friend@outside.test"], false).await?;
    let (code, _, said) = platform.postern(&["mailbox", "restore", USER], "").await?;
    assert!(code == 1 && said.contains("forward"), "{code} {said}");
    admin.remove_forward(USER).await?;

    // After its days it is really gone, and nothing else is.
    admin.mailbox("other@homepage.test").await?;
    smtp::send(platform.smtp(0), "someone@outside.test", &["other@homepage.test"], &message("stays", 900))
        .await?;
    age(&platform, "UPDATE account.mailboxes SET removed_time = removed_time - interval '31 days' WHERE removed_time IS NOT NULL").await?;
    let (code, _, said) = platform.postern(&["mailbox", "restore", USER], "").await?;
    assert!(code == 1, "{code} {said}");
    let gone = eventually(Duration::from_secs(20), async || {
        count(&platform, "SELECT count(*) FROM account.mailboxes WHERE removed_time IS NOT NULL AND destroyed_time IS NULL")
            .await
            .is_ok_and(|left| left == 0)
    })
    .await;
    assert!(gone, "the sweep ends what is over");
    assert_eq!(count(&platform, "SELECT count(*) FROM mail.entries").await?, 1);
    assert_eq!(count(&platform, "SELECT count(*) FROM mail.messages").await?, 1);
    let secrets =
        "SELECT count(*) FROM account.mailboxes WHERE removed_time IS NOT NULL AND password_phc IS NOT NULL";
    assert_eq!(count(&platform, secrets).await?, 0);
    assert_eq!(read_all(platform.pop3(0), "other@homepage.test", PASSWORD).await?.len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn support_clears_without_loss() -> anyhow::Result<()> {
    let (platform, _admin) = house().await?;
    for name in ["good", "spoilt"] {
        send(&platform, &message(name, 900)).await?;
    }
    let before = uidl(&platform).await?;
    age(&platform, "UPDATE mail.messages SET checksum = checksum + 1 WHERE id = (SELECT message_id FROM mail.entries ORDER BY uid DESC LIMIT 1)").await?;
    // The damaged one harms only itself.
    let mut client = Pop3::login(platform.pop3(0), USER, PASSWORD).await?;
    assert!(client.command("RETR 2").await?.starts_with("-ERR [SYS/PERM]"));
    client.retr(1).await?;

    // Cleared while this session is open: what it deletes is that message or nothing.
    let said = postern(&platform, &["mailbox", "clear", USER, "--dry-run"]).await?;
    assert!(said.contains("1 damaged message of 2 would go"), "{said}");
    let said = postern(&platform, &["mailbox", "clear", USER]).await?;
    assert!(said.contains("1 damaged message of 2 went"), "{said}");
    assert!(client.command("RETR 2").await?.starts_with("-ERR"));
    client.ok("DELE 2").await?;
    client.quit().await?;
    assert_eq!(uidl(&platform).await?, before[..1]);

    postern(&platform, &["mailbox", "clear", USER, "--all"]).await?;
    assert!(uidl(&platform).await?.is_empty());
    let said = postern(&platform, &["mailbox", "restore", USER, "--clearing", "0"]).await?;
    assert!(said.contains("2 messages"), "{said}");
    assert_eq!(uidl(&platform).await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_box_says_so_at_rcpt_and_takes_mail_again() -> anyhow::Result<()> {
    let (platform, admin) = house().await?;
    let said = postern(&platform, &["account", "set", USER, "--quota", "10000", "--name", "User"]).await?;
    assert_eq!(said.trim_end(), "account user@homepage.test is changed; name: User; may hold: 10000 octets");
    send(&platform, &message("fills", 12_000)).await?;
    let reply = rcpt_becomes(&platform, "452 4.2.2 ").await?;
    assert!(reply.contains("delete mail or raise the quota"), "{reply}");
    let shown = admin.get_mailbox(USER).await?;
    assert!(
        shown.full && shown.used_bytes > 12_000 && shown.effective_quota_bytes == Some(10_000),
        "{shown:?}"
    );

    // What an alias or a list took is delivered all the same; the box itself stays closed.
    admin.forward("info@homepage.test", &[USER], false).await?;
    let list = MailingList {
        address: "staff@homepage.test".to_owned(),
        posting: ListPosting::Anyone.into(),
        ..MailingList::default()
    };
    admin.mailing_list(list, &[USER.to_owned()]).await?;
    for way in ["info@homepage.test", "staff@homepage.test"] {
        let reply = smtp::send(platform.smtp(0), "someone@outside.test", &[way], &message(way, 900)).await?;
        anyhow::ensure!(reply.starts_with("250 2.0.0 "), "{reply}");
    }
    let mailbox_id = shown.mailbox_id;
    let arrived = eventually(Duration::from_secs(20), async || {
        admin.message_count(mailbox_id).await.is_ok_and(|count| count == 3)
    });
    assert!(arrived.await, "the copies of the alias and of the list");
    rcpt_becomes(&platform, "452 4.2.2 ").await?;

    let mut client = Pop3::login(platform.pop3(0), USER, PASSWORD).await?;
    client.ok("DELE 1").await?;
    client.quit().await?;
    rcpt_becomes(&platform, "250 ").await?;
    send(&platform, &message("again", 900)).await?;

    // A bound that is taken back is that of the customer again.
    postern(&platform, &["limits", "set", "homepage", "--mailbox-storage", "1M"]).await?;
    let said = postern(&platform, &["account", "set", USER, "--quota", "default"]).await?;
    assert!(said.trim_end().ends_with("may hold: 1048576 octets"), "{said}");
    let words = ["account", "add", "large@homepage.test", "--quota", "2M", "--password-stdin"];
    let (code, _, error) = platform.postern(&words, PASSWORD).await?;
    assert_eq!(code, 0, "{error}");
    assert_eq!(admin.get_mailbox("large@homepage.test").await?.quota_bytes, Some(2 << 20));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_is_brought_along_and_taken_away() -> anyhow::Result<()> {
    let (platform, _admin) = house().await?;
    let mbox = platform.folder().join("old.mbox");
    std::fs::write(
        &mbox,
        "From a@x.test Thu Jan  1 00:01:40 1970\nSubject: first\n\n>From here\n\n\
         From b@x.test Thu Jan  1 00:01:41 1970\nSubject: second\n\nbody\n",
    )?;
    let mbox = mbox.display().to_string();
    let said = postern(&platform, &["import", USER, &mbox]).await?;
    assert!(said.starts_with("2 messages imported, 0 there already"), "{said}");
    let said = postern(&platform, &["import", USER, &mbox]).await?;
    assert!(said.starts_with("0 messages imported, 2 there already"), "{said}");
    let read = read_all(platform.pop3(0), USER, PASSWORD).await?;
    assert_eq!(read, [&b"Subject: first\r\n\r\nFrom here\r\n"[..], b"Subject: second\r\n\r\nbody\r\n"]);

    let maildir = platform.folder().join("taken").display().to_string();
    let said = postern(&platform, &["export-mail", USER, &maildir]).await?;
    assert!(said.starts_with("2 messages written"), "{said}");
    send(&platform, &message("third", 900)).await?;
    let said = postern(&platform, &["export-mail", USER, &maildir]).await?;
    assert!(said.starts_with("1 message written, 2 there already"), "{said}");
    let names: Vec<String> = std::fs::read_dir(PathBuf::from(&maildir).join("new"))?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    assert_eq!(names.len(), 3);
    assert!(names.iter().any(|name| name.starts_with("100.")), "the time it was received at: {names:?}");

    // What went out comes in again as what it is: the two imported ones are known.
    let said = postern(&platform, &["import", USER, &maildir]).await?;
    assert!(said.starts_with("1 message imported, 2 there already"), "{said}");
    Ok(())
}

/// In a container there is no folder to read or write: mail goes through pipes, which are read once.
#[tokio::test(flavor = "multi_thread")]
async fn mail_is_brought_along_and_taken_away_through_pipes() -> anyhow::Result<()> {
    const MATE: &str = "mate@homepage.test";
    let (platform, admin) = house().await?;
    admin.mailbox(MATE).await?;
    let mbox = "From a@x.test Thu Jan  1 00:01:40 1970\nSubject: first\n\n>From here\n\n\
                From b@x.test Thu Jan  1 00:01:41 1970\nSubject: second\n\nbody\n";
    let (code, said, error) = platform.postern(&["import", USER, "-"], mbox).await?;
    assert!(code == 0 && said.starts_with("2 messages imported"), "{code} {said} {error}");
    let (code, _, error) = platform.postern(&["import", USER, "-"], "no mail at all").await?;
    assert!(code == 2 && error.contains("neither an mbox"), "{code} {error}");

    // Only texts here, so that the archive is one, too. What is told of it is not in it.
    let (code, archive, error) = platform.postern(&["export-mail", USER, "-", "--after-input"], "").await?;
    assert!(code == 0 && error.contains("2 messages written"), "{code} {error}");
    assert!(!archive.contains("messages written"), "{archive}");
    let (code, said, error) = platform.postern(&["import", MATE, "-"], &archive).await?;
    assert!(code == 0 && said.starts_with("2 messages imported"), "{code} {said} {error}");
    let read = read_all(platform.pop3(0), MATE, PASSWORD).await?;
    assert_eq!(read, [&b"Subject: first\r\n\r\nFrom here\r\n"[..], b"Subject: second\r\n\r\nbody\r\n"]);
    // A part of it is not taken for all of it.
    let (code, _, error) = platform.postern(&["import", MATE, "-"], &archive[..archive.len() - 1519]).await?;
    assert!(code != 0, "{error}");
    Ok(())
}
