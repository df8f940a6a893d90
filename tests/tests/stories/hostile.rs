//! Bad input gets a clear error with the right code; the session or the service lives on; nothing is lost.

use std::time::Duration;

use postern_tests::{
    admin::PASSWORD,
    platform::{Blueprint, Platform},
    pop3::{Pop3, read_all},
    smtp::{self, Smtp, message},
};

const BOX: &str = "user@homepage.test";

async fn house() -> anyhow::Result<Platform> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    Ok(platform)
}

/// The house still does its job.
async fn still_works(platform: &Platform) -> anyhow::Result<()> {
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message("after", 400)).await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    let mail = read_all(platform.pop3(0), BOX, PASSWORD).await?;
    anyhow::ensure!(mail.iter().any(|m| String::from_utf8_lossy(m).contains("Subject: after")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_commands_that_are_wrong() -> anyhow::Result<()> {
    let platform = house().await?;
    let long = format!("MAIL FROM:<{}@outside.test>", "a".repeat(3000));
    let table: &[(&str, &str)] = &[
        ("MAIL FROM:<a@outside.test>", "503 5.5.1 "), // S-03: before EHLO
        ("EHLO", "501 5.5.4 "),
        ("HELO", "501 5.5.4 "),
        ("EHLO client.test", "250"),
        ("RCPT TO:<user@homepage.test>", "503 5.5.1 "),
        ("DATA", "503 5.5.1 "),
        ("FROBNICATE", "500 5.5.1 "),
        ("", "500 5.5.1 "),
        ("EXPN list", "502 5.5.1 "),
        ("VRFY user@homepage.test", "252 2.0.0 "),
        ("MAIL", "501 5.5.4 "),
        ("MAIL FROM:a@outside.test", "501 5."),
        ("MAIL FROM:<a@outside.test", "501 5."),
        ("MAIL FROM:<not an address>", "501 5.1.7 "),
        ("MAIL FROM:<a@outside.test> SIZE=abc", "501 5.5.4 "),
        ("MAIL FROM:<a@outside.test> SIZE=99999999999999999999", "501 5.5.4 "),
        ("MAIL FROM:<a@outside.test> SIZE=999999999999", "552 5.3.4 "),
        ("MAIL FROM:<a@outside.test> FOO=BAR", "555 5.5.4 "),
        ("NOOP", "250 2.0.0 "),
    ];
    let mut client = Smtp::connect(platform.smtp(0)).await?;
    for (command, expected) in table {
        let reply = client.command(command).await?;
        assert!(reply.starts_with(expected), "{command:?}: {reply} instead of {expected}");
    }
    // A second session, since 20 errors end one (S-07).
    let mut client = Smtp::hello(platform.smtp(0)).await?;
    let reply = client.command(&long).await?;
    assert!(reply.starts_with("500 5.5.2 "), "S-05: {reply}");
    assert!(client.command("MAIL FROM:<a@outside.test>").await?.starts_with("250 2.1.0 "));
    for (command, expected) in [
        ("MAIL FROM:<a@outside.test>", "503 5.5.1 "),
        ("DATA", "503 5.5.1 "),
        ("RCPT TO:<>", "501 5.1.3 "),
        ("RCPT TO:<user@@homepage.test>", "501 5.1.3 "),
        ("RCPT TO:<user@homepage.test> FOO=1", "555 5.5.4 "),
        ("RCPT TO:<@relay.test:user@homepage.test>", "250 2.1.5 "),
        ("RCPT TO:<a%b@outside.test>", "550 5.7.1 relaying prohibited: "),
        ("DATA now", "501 5.5.4 "),
        ("RSET", "250 2.0.0 "),
        ("DATA", "503 5.5.1 "),
    ] {
        let reply = client.command(command).await?;
        assert!(reply.starts_with(expected), "{command:?}: {reply} instead of {expected}");
    }
    still_works(&platform).await
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_s_30_s_41_what_ends_an_smtp_session() -> anyhow::Result<()> {
    let platform = house().await?;
    let limit = Duration::from_secs(5);

    let mut errors = Smtp::hello(platform.smtp(0)).await?;
    let mut last = String::new();
    for _ in 0..40 {
        match errors.command("FROBNICATE").await {
            Ok(reply) => last = reply,
            Err(_) => break,
        }
    }
    assert!(last.starts_with("421 4.7.0 "), "S-07: {last}");

    // S-30: a bare LF must not make two commands of one line.
    let mut bare = Smtp::hello(platform.smtp(0)).await?;
    bare.send(b"MAIL FROM:<a@outside.test>\nRCPT TO:<user@homepage.test>\r\n").await?;
    let reply = bare.reply().await?;
    assert!(reply.starts_with('5'), "{reply}");
    assert!(bare.is_closed_within(limit).await);

    // NUL in a command.
    let mut nul = Smtp::hello(platform.smtp(0)).await?;
    nul.send(b"MAIL FROM:<a\0b@outside.test>\r\n").await?;
    let reply = nul.reply().await?;
    assert!(reply.starts_with("50"), "{reply}");

    // 10 MB without a line end: an error and the end, not 10 MB of memory.
    let mut endless = Smtp::hello(platform.smtp(0)).await?;
    let junk = vec![b'x'; 1024 * 1024];
    let mut refused = false;
    for _ in 0..10 {
        if endless.send(&junk).await.is_err() {
            refused = true;
            break;
        }
    }
    assert!(refused || endless.is_closed_within(limit).await);

    // S-41: content pipelined behind DATA before 354 is what a smuggler does.
    let mut early = Smtp::hello(platform.smtp(0)).await?;
    early.expect("MAIL FROM:<a@outside.test>", 250).await?;
    early.expect("RCPT TO:<user@homepage.test>", 250).await?;
    early.send(b"DATA\r\nSubject: early\r\n\r\nx\r\n.\r\n").await?;
    let reply = early.reply().await?;
    assert!(reply.starts_with("554 5.5.0 "), "{reply}");
    still_works(&platform).await
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_wrong_is_refused_and_the_session_lives_on() -> anyhow::Result<()> {
    let platform = house().await?;
    let mut client = Smtp::hello(platform.smtp(0)).await?;
    for (what, content) in [
        ("bare LF", &b"Subject: a\r\n\r\nline\nline\r\n.\r\n"[..]),
        ("bare CR", b"Subject: a\r\n\r\nline\rline\r\n.\r\n"),
        ("NUL", b"Subject: a\r\n\r\nli\0ne\r\n.\r\n"),
        ("LF dot LF", b"Subject: a\r\n\r\nline\n.\nMAIL FROM:<x@y.test>\r\n.\r\n"),
        ("LF dot CRLF", b"Subject: a\r\n\r\nline\n.\r\nMAIL FROM:<x@y.test>\r\n.\r\n"),
        ("CR dot CR", b"Subject: a\r\n\r\nline\r.\rMAIL FROM:<x@y.test>\r\n.\r\n"),
    ] {
        client.expect("MAIL FROM:<a@outside.test>", 250).await?;
        client.expect(&format!("RCPT TO:<{BOX}>"), 250).await?;
        client.expect("DATA", 354).await?;
        client.send(content).await?;
        let reply = client.reply().await?;
        assert!(reply.starts_with("550 5.6.0 "), "{what}: {reply}");
    }
    assert!(read_all(platform.pop3(0), BOX, PASSWORD).await?.is_empty(), "nothing of it was stored");
    let reply = client.transaction("a@outside.test", &[BOX], &message("good", 500)).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(read_all(platform.pop3(0), BOX, PASSWORD).await?.len(), 1);

    // S-20: a connection that ends before the dot leaves nothing.
    let mut half = Smtp::hello(platform.smtp(0)).await?;
    half.expect("MAIL FROM:<a@outside.test>", 250).await?;
    half.expect(&format!("RCPT TO:<{BOX}>"), 250).await?;
    half.expect("DATA", 354).await?;
    half.send(&message("half", 300_000)).await?;
    drop(half);
    still_works(&platform).await?;
    assert_eq!(read_all(platform.pop3(0), BOX, PASSWORD).await?.len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn pop3_commands_that_are_wrong() -> anyhow::Result<()> {
    let platform = house().await?;
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message("one", 500)).await?;
    assert!(reply.starts_with("250"), "{reply}");

    let mut client = Pop3::connect(platform.pop3(0)).await?;
    assert!(client.command("PASS x").await?.starts_with("-ERR"), "P-20");
    assert!(client.command(&format!("USER {BOX}")).await?.starts_with("+OK"));
    assert!(client.command(&format!("PASS {PASSWORD}")).await?.starts_with("+OK"));
    let too_long = format!("NOOP {}", "x".repeat(400));
    for command in [
        "",
        "FROBNICATE",
        "USER again",
        "RETR",
        "RETR 0",
        "RETR 2",
        "RETR -1",
        "RETR 1x",
        "RETR 99999999999999999999",
        "LIST 0",
        "LIST 1 2",
        "TOP 1",
        "TOP 1 -1",
        "TOP 1xyz 2",
        "TOP 1 2 3",
        "DELE 7",
        "UIDL x",
        "LAST",
        "AUTH PLAIN",
        "STLS",
        &too_long,
    ] {
        let reply = client.command(command).await?;
        assert!(reply.starts_with("-ERR"), "{command:?}: {reply}");
    }
    assert_eq!(client.stat().await?.0, 1, "the session lives on");
    client.send(b"NO\0OP\r\n").await?;
    assert!(client.line().await?.starts_with("-ERR"), "P-06");
    client.ok("DELE 1").await?;
    assert!(client.command("RETR 1").await?.starts_with("-ERR"), "P-65");
    client.ok("RSET").await?;
    client.quit().await?;

    let mut endless = Pop3::connect(platform.pop3(0)).await?;
    let junk = vec![b'x'; 1024 * 1024];
    let mut refused = false;
    for _ in 0..10 {
        if endless.send(&junk).await.is_err() {
            refused = true;
            break;
        }
    }
    assert!(refused || endless.is_closed_within(Duration::from_secs(5)).await, "P-05");
    assert_eq!(read_all(platform.pop3(0), BOX, PASSWORD).await?.len(), 1, "nothing is lost");
    still_works(&platform).await
}
