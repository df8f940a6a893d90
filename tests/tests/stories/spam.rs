//! Spam: what Debian's rspamd says becomes what each domain wants; and a scanner that is slow, away or lies harms no mail.

mod answers;
mod scripted;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use postern_proto::delivery::v1::{GetTraceRequest, TraceEntry};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform, Service},
    pop3::read_all,
    process::http_get,
    rspamd::{MARKED, REJECTED, REWRITTEN, Rspamd},
    smtp,
};
use tokio::net::TcpListener;

use scripted::{Script, Scripted};

const LIMIT: Duration = Duration::from_secs(30);
const BOX: &str = "user@homepage.test";
const MATE: &str = "mate@homepage.test";
const SPAM_BOX: &str = "spam@homepage.test";
const RIVAL: &str = "other@rival.test";
const REFUSED: &str = "550 5.7.1 message looks like spam";
const LATER: &str = "451 4.7.1 message cannot be judged now, please try again later";

async fn house(scanner: SocketAddr, settings: &[(&str, &str)]) -> anyhow::Result<(Platform, Admin)> {
    let mut blueprint = Blueprint::new()
        .set("POSTERN_SPAM_SCANNER_URL", &format!("http://{scanner}"))
        .set("POSTERN_MAIL_CHECK_EXEMPT_NETWORKS", "none")
        .set("POSTERN_MAIL_CHECK_MILLIS", "0");
    for (name, value) in settings {
        blueprint = blueprint.set(name, value);
    }
    let platform = blueprint.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    for address in [BOX, MATE, SPAM_BOX, RIVAL] {
        admin.mailbox(address).await?;
    }
    Ok((platform, admin))
}

fn letter(body: &str) -> Vec<u8> {
    format!(
        "From: a@far.test\r\nTo: {BOX}\r\nSubject: hello\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <1@far.test>\r\nX-Spam-Status: No, forged\r\nX-Spam-Flag: NO\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

async fn send(platform: &Platform, to: &[&str], body: &str) -> anyhow::Result<String> {
    smtp::send(platform.smtp(0), "a@far.test", to, &letter(body)).await
}

/// Sets switches of a domain; the change is live when the command returns, within the second that caches have.
async fn set(platform: &Platform, domain: &str, switches: &[&str]) -> anyhow::Result<String> {
    let (code, out, error) =
        platform.postern(&[&["domain", "set", domain][..], switches].concat(), "").await?;
    anyhow::ensure!(code == 0, "{switches:?}: {code} {out}{error}");
    Ok(out)
}

async fn box_of(platform: &Platform, address: &str) -> anyhow::Result<Vec<String>> {
    let all = read_all(platform.pop3(0), address, PASSWORD).await?;
    Ok(all.into_iter().map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect())
}

async fn story(admin: &Admin, reply: &str) -> anyhow::Result<Vec<TraceEntry>> {
    let queue_id = reply.rsplit(' ').next().unwrap_or_default().to_owned();
    let request = GetTraceRequest { queue_id };
    Ok(admin.traces().get_trace(request).await?.into_inner().entries)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_domain_has_its_way_with_what_rspamd_finds() -> anyhow::Result<()> {
    let scanner = Rspamd::start().await?;
    let (mut platform, admin) = house(scanner.address, &[]).await?;

    // Marked, unless a domain wants something else; what a stranger said of it is gone.
    for (count, body) in [(1, REJECTED), (2, MARKED), (3, REWRITTEN)] {
        let reply = send(&platform, &[BOX], body).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        let all = box_of(&platform, BOX).await?;
        assert_eq!(all.len(), count);
        let text = &all[count - 1];
        assert!(text.contains("X-Spam-Status: Yes, score="), "{text}");
        assert!(
            text.contains("required=15.0 tests=GTUBE\r\n") && text.contains("X-Spam-Flag: YES\r\n"),
            "{text}"
        );
        assert!(!text.contains("forged") && !text.contains("X-Spam-Flag: NO"), "{text}");
        assert!(text.contains("Subject: hello\r\n"), "the subject is the author's: {text}");
        let told = story(&admin, &reply).await?;
        assert!(told.len() == 1 && told[0].outcome.starts_with("looks like spam: score "), "{told:?}");
    }
    let reply = send(&platform, &[BOX], "Did this arrive?").await?;
    let text = box_of(&platform, BOX).await?.pop().unwrap_or_default();
    assert!(text.contains("X-Spam-Status: No, score=0.0 required=15.0 tests=none\r\n"), "{text}");
    assert!(text.contains("X-Spam-Score: 0.0\r\n") && !text.contains("X-Spam-Flag"), "{text}");
    let told = story(&admin, &reply).await?;
    assert_eq!(told[0].outcome, "does not look like spam: score 0.0 of 15.0");

    // One of the recipients' domains follows the scanner: one answer for the whole message.
    let said = set(&platform, "rival.test", &["--spam", "follow"]).await?;
    assert!(said.contains("the scanner is followed"), "{said}");
    let refused = eventually(LIMIT, async || {
        send(&platform, &[BOX, RIVAL], REJECTED).await.is_ok_and(|reply| reply == REFUSED)
    });
    assert!(refused.await, "spam is refused");
    assert!(send(&platform, &[RIVAL], MARKED).await?.starts_with("250 "));
    assert!(send(&platform, &[RIVAL], "Hello").await?.starts_with("250 "));
    assert!(send(&platform, &[BOX], REJECTED).await?.starts_with("250 "), "the other one only marks");

    // Large mail streams from the blob store, and what is too large is not scanned.
    let parts =
        format!("--part\r\n\r\n{REJECTED}\r\n--part\r\n\r\n{}--part--", "line after line\r\n".repeat(50_000));
    let large = String::from_utf8(letter(&parts))?.replace(
        "Subject: hello",
        "Subject: hello\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=part",
    );
    assert_eq!(smtp::send(platform.smtp(0), "a@far.test", &[RIVAL], large.as_bytes()).await?, REFUSED);

    // Put aside: nothing is refused, and the owner sees for whom it was.
    let (code, _, error) =
        platform.postern(&["domain", "set", "homepage.test", "--spam", "quarantine"], "").await?;
    assert!(code == 1 && error.contains("needs the address of a mailbox"), "{code} {error}");
    for wrong in ["nobody@homepage.test", RIVAL] {
        let (code, _, error) =
            platform.postern(&["domain", "set", "homepage.test", "--spam-mailbox", wrong], "").await?;
        assert!(code == 1 && error.contains(&format!("has no mailbox {wrong}")), "{code} {error}");
    }
    let said = set(&platform, "homepage.test", &["--spam", "quarantine", "--spam-mailbox", SPAM_BOX]).await?;
    assert!(said.contains(&format!("put into {SPAM_BOX}")), "{said}");
    let (in_box, mut reply) = (box_of(&platform, BOX).await?.len(), String::new());
    let aside = eventually(LIMIT, async || {
        reply = send(&platform, &[BOX, MATE], REJECTED).await.unwrap_or_default();
        box_of(&platform, SPAM_BOX).await.is_ok_and(|all| !all.is_empty())
    });
    assert!(aside.await, "{reply}");
    let text = box_of(&platform, SPAM_BOX).await?.pop().unwrap_or_default();
    assert!(text.contains(&format!("Delivered-To: {SPAM_BOX}\r\n")), "{text}");
    assert!(text.contains(&format!("X-Original-To: {BOX}\r\nX-Original-To: {MATE}\r\n")), "{text}");
    let told = story(&admin, &reply).await?;
    assert!(
        told.iter().any(|line| line.recipient == SPAM_BOX && line.outcome.contains("looks like spam")),
        "{told:?}"
    );
    let kept = box_of(&platform, BOX).await?.len();
    assert!(send(&platform, &[BOX], "Hello").await?.starts_with("250 "));
    assert_eq!(box_of(&platform, BOX).await?.len(), kept + 1, "what is no spam is where it belongs");
    assert!(kept <= in_box + 1, "spam was put aside once it was live");

    // Without the mailbox it is delivered, marked: nothing is lost.
    admin.remove_mailbox(SPAM_BOX).await?;
    let before = box_of(&platform, MATE).await?.len();
    let delivered = eventually(LIMIT, async || {
        let reply = send(&platform, &[MATE], REJECTED).await.unwrap_or_default();
        reply.starts_with("250 ") && box_of(&platform, MATE).await.is_ok_and(|all| all.len() > before)
    });
    assert!(delivered.await, "delivered where it was sent to");

    // Not scanned: mail comes as it is.
    set(&platform, "homepage.test", &["--spam", "off"]).await?;
    let as_it_is = eventually(LIMIT, async || {
        let _ = send(&platform, &[MATE], REJECTED).await;
        box_of(&platform, MATE).await.is_ok_and(|all| all.iter().any(|text| text.contains("X-Spam-Flag: NO")))
    });
    assert!(as_it_is.await, "what others said of it stays");

    // Mail of our own clients is not scanned: whoever checked mail, and sends outside, too.
    read_all(platform.pop3(0), BOX, PASSWORD).await?;
    let reply = smtp::send(platform.smtp(0), BOX, &[RIVAL, "you@far.test"], &letter(REJECTED)).await?;
    assert!(reply.starts_with("250 "), "{reply}");

    // The settings are exported, and applied again there is nothing to do.
    let (_, exported, _) = platform.postern(&["export", "rival.test"], "").await?;
    assert!(exported.contains("spam: follow"), "{exported}");
    let (_, out, error) =
        platform.postern(&["apply", "-", "--yes"], &exported.replace("follow", "off")).await?;
    assert!(out.contains("~ domain rival.test: spam off"), "{out}{error}");

    let health = platform.replica(Service::Delivery, 0).health;
    let (_, metrics) = http_get(health, "/metrics").await?;
    for verdict in ["pass", "mark", "reject"] {
        assert!(metrics.contains(&format!("postern_spam_scans_total{{verdict=\"{verdict}\"}}")), "{metrics}");
    }
    Ok(())
}

/// The mailbox for spam lies in another domain, which goes to somebody else.
#[tokio::test(flavor = "multi_thread")]
async fn spam_is_never_put_into_another_customers_mailbox() -> anyhow::Result<()> {
    const PLACE: &str = "spam@second.test";
    let scanner = Scripted::start().await?;
    scanner.says(REJECT);
    let (platform, admin) = house(scanner.address, &[]).await?;
    admin.another_domain("homepage", "second.test", true).await?;
    admin.mailbox(PLACE).await?;
    set(&platform, "homepage.test", &["--spam", "quarantine", "--spam-mailbox", PLACE]).await?;
    let aside = eventually(LIMIT, async || {
        let taken = send(&platform, &[BOX], "hello").await.is_ok_and(|reply| reply.starts_with("250 "));
        taken && box_of(&platform, PLACE).await.is_ok_and(|all| !all.is_empty())
    });
    assert!(aside.await, "put aside in the second domain");

    let (code, _, error) = platform.postern(&["domain", "remove", "second.test"], "").await?;
    anyhow::ensure!(code == 0, "{error}");
    admin.another_domain("rival", "second.test", true).await?;
    admin.mailbox(PLACE).await?;
    let theirs = eventually(LIMIT, async || {
        smtp::send(platform.smtp(0), "a@far.test", &[PLACE], &letter("theirs"))
            .await
            .is_ok_and(|reply| reply.starts_with("250 "))
    });
    assert!(theirs.await, "the new owner gets mail");
    let before = box_of(&platform, BOX).await?.len();
    assert!(send(&platform, &[BOX], "hello").await?.starts_with("250 "));
    assert_eq!(box_of(&platform, BOX).await?.len(), before + 1, "delivered where it was sent to");
    let all = box_of(&platform, PLACE).await?;
    assert!(all.iter().all(|text| text.contains("theirs")), "{all:?}");
    Ok(())
}

const REJECT: Script =
    Script::Json(r#"{"score":20,"required_score":15,"action":"reject","symbols":{"A":{}}}"#);
const LIES: [Script; 6] = [
    Script::Json(r#"{"score":"high","action":"reject"}"#),
    Script::Json("[]"),
    Script::Json("\u{0}\u{1}"),
    Script::Raw("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
    Script::Raw("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n{\"score\":"),
    Script::Raw("220 mail.far.test ESMTP\r\n"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_scanner_that_is_slow_away_or_lies_loses_no_mail() -> anyhow::Result<()> {
    let scanner = Scripted::start().await?;
    let (platform, admin) = house(scanner.address, &[("POSTERN_SPAM_SCAN_MILLIS", "700")]).await?;
    set(&platform, "homepage.test", &["--spam", "follow"]).await?;

    // What it is told of a message.
    scanner.says(REJECT);
    let followed =
        eventually(LIMIT, async || send(&platform, &[BOX, MATE], "hello").await.is_ok_and(|r| r == REFUSED));
    assert!(followed.await, "the domain follows the scanner");
    let asked = scanner.last();
    let lower = asked.to_lowercase();
    assert!(asked.starts_with("POST /checkv2 HTTP/1.1\r\n"), "{asked}");
    for field in [
        "ip: 127.0.0.1",
        "helo: client.outside.test",
        "from: <a@far.test>",
        "rcpt: <user@homepage.test>",
        "rcpt: <mate@homepage.test>",
    ] {
        assert!(lower.contains(&format!("\r\n{field}\r\n")), "{field}: {asked}");
    }
    assert!(asked.ends_with("\r\n\r\nhello\r\n") && !asked.contains("forged"), "{asked}");
    for action in ["greylist", "soft reject"] {
        let json = format!(r#"{{"score":4.5,"required_score":15,"action":"{action}"}}"#);
        scanner.says(Script::Json(Box::leak(json.into_boxed_str())));
        assert_eq!(send(&platform, &[BOX], "hello").await?, LATER, "{action}");
    }

    // A lie is no verdict: the mail is taken as it is, and the next one is scanned again.
    for lie in LIES {
        scanner.says(lie.clone());
        let reply = send(&platform, &[BOX], "hello").await?;
        assert!(reply.starts_with("250 "), "{lie:?}: {reply}");
        let told = story(&admin, &reply).await?;
        assert_eq!(told[0].outcome, "not scanned for spam: the scanner did not answer", "{lie:?}");
        assert!(!box_of(&platform, BOX).await?.pop().unwrap_or_default().contains("X-Spam-"), "{lie:?}");
    }

    // One message that it cannot finish does not switch it off for the others.
    scanner.says(Script::Silent);
    let begin = Instant::now();
    assert!(send(&platform, &[BOX], "slow").await?.starts_with("250 "));
    assert!(begin.elapsed() >= Duration::from_millis(700), "it had its time");
    scanner.says(REJECT);
    assert_eq!(send(&platform, &[BOX], "hello").await?, REFUSED);

    // Away: it is not asked any more, so nobody waits for it, until it answers again.
    scanner.says(Script::Dead);
    let gone = eventually(LIMIT, async || {
        let before = scanner.asked();
        send(&platform, &[BOX], "hello").await.is_ok_and(|reply| reply.starts_with("250 "))
            && scanner.asked() == before
    });
    assert!(gone.await, "a scanner that is away is left alone");
    scanner.says(REJECT);
    let back = eventually(LIMIT, async || send(&platform, &[BOX], "hello").await.is_ok_and(|r| r == REFUSED));
    assert!(back.await, "it is asked again when it answers again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_waits_for_the_scanner_where_the_operator_says_so() -> anyhow::Result<()> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
    let settings = [("POSTERN_SPAM_SCANNER_AWAY", "defer"), ("POSTERN_SPAM_SCAN_MAX_BYTES", "20000")];
    let (platform, admin) = house(nobody, &settings).await?;
    for _ in 0..3 {
        assert_eq!(send(&platform, &[BOX], "hello").await?, LATER);
    }
    // What is not scanned does not wait for the scanner: larger mail, own clients, domains without it.
    let reply = send(&platform, &[BOX], &"line after line\r\n".repeat(2000)).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    assert_eq!(story(&admin, &reply).await?[0].outcome, "too large to be scanned for spam");
    set(&platform, "homepage.test", &["--spam", "off"]).await?;
    let taken = eventually(LIMIT, async || {
        send(&platform, &[BOX], "hello").await.is_ok_and(|r| r.starts_with("250 "))
    });
    assert!(taken.await, "a domain without it takes mail");
    read_all(platform.pop3(0), BOX, PASSWORD).await?;
    let reply = smtp::send(platform.smtp(0), BOX, &[RIVAL, "you@far.test"], &letter("hello")).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    Ok(())
}
