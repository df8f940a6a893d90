//! What a session at the doors keeps to, seen from outside: what it offers works and nothing else does, a box stands still while it is
//! open, and TLS begins in time or not at all.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use postern_mesh::tls;
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Platform},
    pop3::Pop3,
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::lock::{BOX, deliver, house};

/// A handshake that has not come by then is given up (RFC 2595 leaves the time to the server), and some time for a busy machine.
const HANDSHAKE: std::ops::Range<Duration> = Duration::from_secs(29)..Duration::from_secs(50);

async fn log_in(platform: &Platform) -> anyhow::Result<Pop3> {
    Pop3::login(platform.pop3(0), BOX, PASSWORD).await
}

#[tokio::test(flavor = "multi_thread")]
async fn p_67_p_69_p_71_a_box_stands_still_while_it_is_open() -> anyhow::Result<()> {
    let platform = house().await?;
    for _ in 0..2 {
        deliver(&platform, "the same octets").await?;
    }
    let mut session = log_in(&platform).await?;
    let before = (session.stat().await?, session.uidl().await?);
    assert_eq!(before.0.0, 2);
    assert_eq!(before.1.iter().collect::<BTreeSet<_>>().len(), 2, "each has its own id: {:?}", before.1);

    session.list("TOP 1 3").await?;
    session.list("TOP 2 0").await?;
    deliver(&platform, "while the box is open").await?;
    assert_eq!((session.stat().await?, session.uidl().await?), before, "neither TOP nor new mail changes it");
    assert!(session.command("RETR 3").await?.starts_with("-ERR"));
    session.ok("DELE 1").await?;
    assert!(session.command("RETR 1").await?.starts_with("-ERR"), "numbers never move up");
    session.quit().await?;

    let mut next = log_in(&platform).await?;
    let after = next.uidl().await?;
    assert_eq!((after.len(), &after[0]), (2, &before.1[1]));
    let status = String::from_utf8_lossy(&next.retr(1).await?).to_lowercase();
    assert!(!status.contains("\nstatus:"), "nothing tells that TOP looked at it");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p_82_whoever_goes_after_quit_deleted_all_or_nothing() -> anyhow::Result<()> {
    const MESSAGES: usize = 5;
    let platform = house().await?;
    for round in 0..12 {
        let mut all = 0;
        while all < MESSAGES {
            deliver(&platform, &format!("{round}-{all}")).await?;
            all += 1;
        }
        let mut session = log_in(&platform).await?;
        let (held, _) = session.stat().await?;
        let marks: String = (1..=held).map(|number| format!("DELE {number}\r\n")).collect();
        session.send(format!("{marks}QUIT\r\n").as_bytes()).await?;
        // The answer is awaited for no time, or a little more of it in each round.
        let _ =
            tokio::time::timeout(Duration::from_millis(round * 2), session.is_closed_within(HANDSHAKE.end))
                .await;
        drop(session);
        let mut left = None;
        let free = eventually(Duration::from_secs(20), async || {
            let Ok(mut next) = log_in(&platform).await else { return false };
            left = next.stat().await.ok().map(|(count, _)| count);
            next.quit().await.is_ok() && left.is_some()
        });
        assert!(free.await, "the box is free again");
        assert!(left == Some(0) || left == Some(held), "round {round}: {left:?} of {held} are left");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p_52_what_is_offered_works_and_nothing_else() -> anyhow::Result<()> {
    let platform = house().await?;
    deliver(&platform, "one").await?;
    let mut session = Pop3::connect(platform.pop3(0)).await?;
    let offered = String::from_utf8(session.list("CAPA").await?)?;
    let keywords: BTreeSet<_> = offered.lines().filter_map(|line| line.split(' ').next()).collect();
    let tried = [
        "TOP",
        "UIDL",
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "PIPELINING",
        "USER",
        "SASL",
        "STLS",
        "EXPIRE",
        "UTF8",
        "IMPLEMENTATION",
    ];
    let untried: Vec<_> = keywords.iter().filter(|word| !tried.contains(word)).collect();
    assert!(untried.is_empty(), "offered, and not tried here: {untried:?}");

    for absent in [
        "APOP user c4c9334bac560ecc979e58001b3e22fb",
        "AUTH CRAM-MD5",
        "AUTH XOAUTH2",
        "LANG",
        "XTND XMIT",
        "ID NIL",
    ] {
        // A few bad commands before login end a session.
        let mut one = Pop3::connect(platform.pop3(0)).await?;
        assert!(one.command(absent).await?.starts_with("-ERR"), "{absent}");
    }
    assert_eq!(keywords.contains("UTF8"), session.command("UTF8").await?.starts_with("+OK"));
    let mut wrong = Pop3::connect(platform.pop3(0)).await?;
    wrong.ok(&format!("USER {BOX}")).await?;
    assert!(
        wrong.command("PASS wrong password").await?.starts_with("-ERR [AUTH] "),
        "RESP-CODES, AUTH-RESP-CODE"
    );

    session.send(format!("USER {BOX}\r\nPASS {PASSWORD}\r\nUIDL 1\r\nTOP 1 0\r\n").as_bytes()).await?;
    for command in ["USER", "PASS", "UIDL 1", "TOP 1 0"] {
        let reply = session.line().await?;
        assert!(reply.starts_with("+OK"), "{command}, pipelined: {reply}");
    }
    session.multi_line().await?;
    for late in ["STLS", "AUTH PLAIN", "USER other@homepage.test", "LAST"] {
        assert!(session.command(late).await?.starts_with("-ERR"), "{late} after login");
    }
    Ok(())
}

/// Everything that a door says until it closes.
/// Two logins one behind the other: the second is told to wait, with the password that is right, and a wrong one is wrong as ever.
#[tokio::test(flavor = "multi_thread")]
async fn p_41_who_comes_back_too_soon_is_told_to_wait_and_capa_said_so() -> anyhow::Result<()> {
    let platform = Blueprint::new().set("POSTERN_POP3_LOGIN_DELAY_SECONDS", "600").start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    let id = admin.mailbox(BOX).await?.mailbox_id;
    let mut first = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    let offered = String::from_utf8(first.list("CAPA").await?)?;
    assert!(offered.contains("LOGIN-DELAY 600\r\n"), "{offered}");
    let pass = async |password: &str| {
        let mut session = Pop3::connect(platform.pop3(0)).await?;
        session.ok(&format!("USER {BOX}")).await?;
        session.command(&format!("PASS {password}")).await
    };
    assert!(pass(PASSWORD).await?.starts_with("-ERR [IN-USE] "), "held, not delayed");
    first.quit().await?;
    let heard = pass(PASSWORD).await?;
    let said = "-ERR [LOGIN-DELAY] this mailbox was checked a moment ago: log in again in ";
    assert!(heard.starts_with(said), "{heard}");
    assert!(pass("wrong password").await?.starts_with("-ERR [AUTH] "));
    // Nobody waits ten minutes: the rest of them passes in a second.
    let mut redis =
        redis::Client::open(platform.stores.redis_url())?.get_multiplexed_async_connection().await?;
    redis::cmd("EXPIRE").arg(format!("opened:{id}")).arg(1).query_async::<()>(&mut redis).await?;
    let free = eventually(Duration::from_secs(20), async || {
        pass(PASSWORD).await.is_ok_and(|reply| reply.starts_with("+OK"))
    });
    assert!(free.await, "and then it is open again");
    Ok(())
}

async fn rest(mut stream: TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut said = Vec::new();
    let read = stream.read_to_end(&mut said);
    // A reset closes too.
    let _ = tokio::time::timeout(HANDSHAKE.end, read).await?;
    Ok(said)
}

#[tokio::test(flavor = "multi_thread")]
async fn p_90_where_tls_comes_first_nothing_is_said_in_clear_text() -> anyhow::Result<()> {
    let platform = house().await?;
    for door in [platform.pop3s(0), platform.smtps(0)] {
        let mut stream = TcpStream::connect(door).await?;
        stream.write_all(b"USER user@homepage.test\r\nEHLO client.test\r\n").await?;
        let said = rest(stream).await?;
        assert!(!said.contains(&b'+') && !said.starts_with(b"2"), "{door}: {said:?}");
    }
    let mut client = (*tls::unjudged()?).clone();
    client.alpn_protocols = vec![b"pop3".to_vec()];
    let stream = TcpStream::connect(platform.pop3s(0)).await?;
    let name = ServerName::try_from("mail.homepage.test")?;
    let mut stream = TlsConnector::from(Arc::new(client)).connect(name, stream).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"pop3"[..]));
    let mut greeting = [0; 3];
    stream.read_exact(&mut greeting).await?;
    assert_eq!(&greeting, b"+OK");
    Ok(())
}

/// Begins with `words`, each answered by a line, then never does the handshake: how long until the door closes, and what was said.
async fn stalls(door: SocketAddr, words: &[&str]) -> anyhow::Result<(Duration, Vec<u8>)> {
    let mut stream = TcpStream::connect(door).await?;
    for word in words {
        stream.write_all(format!("{word}\r\n").as_bytes()).await?;
    }
    let begin = Instant::now();
    let said = rest(stream).await?;
    Ok((begin.elapsed(), said))
}

#[tokio::test(flavor = "multi_thread")]
async fn p_94_s_74_a_handshake_that_does_not_come_ends_the_connection() -> anyhow::Result<()> {
    let platform = house().await?;
    let (pop3, smtp) = (platform.pop3(0), platform.smtp(0));
    let (pop3s, smtps, stls, starttls) = tokio::join!(
        stalls(platform.pop3s(0), &[]),
        stalls(platform.smtps(0), &[]),
        stalls(pop3, &["STLS"]),
        // A mail server says so before it knows who speaks, so this one waits for the greeting.
        smtp_stalls(smtp),
    );
    for (door, outcome) in [("pop3s", pop3s), ("smtps", smtps), ("STLS", stls), ("STARTTLS", starttls)] {
        let (lasted, said) = outcome?;
        assert!(HANDSHAKE.contains(&lasted), "{door} closed after {lasted:?}");
        assert!(!said.ends_with(b"timeout\r\n"), "{door} does not go on in clear text: {said:?}");
    }
    // What is no handshake is not waited for.
    let mut stream = TcpStream::connect(pop3).await?;
    stream.write_all(b"STLS\r\n").await?;
    let mut line = [0; 512];
    let mut said = Vec::new();
    while said.iter().filter(|octet| **octet == b'\n').count() < 2 {
        let count = stream.read(&mut line).await?;
        anyhow::ensure!(count > 0, "closed too early");
        said.extend_from_slice(&line[..count]);
    }
    let begin = Instant::now();
    stream.write_all(b"CAPA\r\n").await?;
    let said = rest(stream).await?;
    assert!(begin.elapsed() < HANDSHAKE.start && !said.starts_with(b"+"), "{said:?}");
    Ok(())
}

async fn smtp_stalls(door: SocketAddr) -> anyhow::Result<(Duration, Vec<u8>)> {
    let mut stream = TcpStream::connect(door).await?;
    let mut replies = [0; 2048];
    let _ = stream.read(&mut replies).await?;
    stream.write_all(b"EHLO client.outside.test\r\n").await?;
    let _ = stream.read(&mut replies).await?;
    stream.write_all(b"STARTTLS\r\n").await?;
    let count = stream.read(&mut replies).await?;
    anyhow::ensure!(replies[..count].starts_with(b"220"), "STARTTLS is taken");
    let begin = Instant::now();
    let said = rest(stream).await?;
    Ok((begin.elapsed(), said))
}
