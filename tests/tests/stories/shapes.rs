//! Mail of every shape goes in by DATA and by BDAT, and comes out as it was, or is refused for a reason; STAT, LIST and RETR agree on
//! its size (CONFORMANCE lines P-62 to P-64, S-21 to S-23).

use postern_tests::{
    admin::PASSWORD,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp::{self, Smtp},
};

const BOX: &str = "user@homepage.test";
const MIB: usize = 1024 * 1024;
/// Octets of one chunk.
const CHUNK_BYTES: usize = 100_000;
/// Fields that the house puts before a message.
const OURS: [&str; 5] =
    ["Return-Path:", "Delivered-To:", "Received:", "Authentication-Results:", "Received-SPF:"];

struct Shape {
    name: &'static str,
    content: Vec<u8>,
    /// How the refusal begins; `None`: it is kept.
    refused: Option<&'static str>,
}

fn kept(name: &'static str, content: impl Into<Vec<u8>>) -> Shape {
    Shape { name, content: content.into(), refused: None }
}

fn refused(name: &'static str, content: impl Into<Vec<u8>>, with: &'static str) -> Shape {
    Shape { name, content: content.into(), refused: Some(with) }
}

/// A message with this body.
fn with_body(body: impl AsRef<[u8]>) -> Vec<u8> {
    [b"From: a@outside.test\r\nSubject: shape\r\n\r\n", body.as_ref()].concat()
}

fn shapes() -> Vec<Shape> {
    let every_octet: Vec<u8> = (1..=255).filter(|octet| !b"\r\n".contains(octet)).collect();
    vec![
        kept("empty", ""),
        kept("one empty line", "\r\n"),
        kept("only line ends", "\r\n".repeat(1000)),
        kept("header alone", "From: a@outside.test\r\nSubject: no body\r\n"),
        kept("body alone", "there is no header here\r\n"),
        kept("only dots", with_body(".\r\n..\r\n...\r\n".repeat(500))),
        kept("dots without a header", ".\r\n..\r\n.x\r\n"),
        kept("every octet", with_body([every_octet.as_slice(), b"\r\n"].concat())),
        kept(
            "8-bit everywhere",
            [vec![0xff; 900], b": \xe4\xf6\r\n\r\n".to_vec(), vec![0x80; 900], b"\r\n".to_vec()].concat(),
        ),
        kept(
            "UTF-8 in the header",
            "From: Jörg <a@outside.test>\r\nSubject: Grüße 😀\r\n\r\nschön\r\n".to_owned(),
        ),
        kept("blanks at ends of lines", with_body("a \r\n\t\r\n \r\n  b\t\r\n")),
        kept("a line of 1 MiB", with_body([vec![b'x'; MIB - 2], b"\r\n".to_vec()].concat())),
        refused("a longer line", with_body([vec![b'x'; MIB], b"\r\n".to_vec()].concat()), "554 5.6.0"),
        kept("100,000 header fields", ["X: y\r\n".repeat(100_000), "\r\nbody\r\n".to_owned()].concat()),
        refused("a header of 1 MiB and more", "X-Much: more of the same, and again\r\n".repeat(40_000), "55"),
        refused(
            "a mail that has been everywhere",
            ["Received: from a by b\r\n".repeat(101), "\r\nbody\r\n".to_owned()].concat(),
            "554 5.4.6",
        ),
        kept("1,000,000 lines", with_body("y\r\n".repeat(1_000_000))),
        refused("NUL", with_body("a\0b\r\n"), "550 5.6.0"),
        kept("parts within parts", nested(300)),
        kept("50 MiB", with_body(lines(50 * MIB))),
    ]
}

/// MIME parts, one within the other.
fn nested(depth: usize) -> Vec<u8> {
    let mut content = String::from("From: a@outside.test\r\nMIME-Version: 1.0\r\n");
    for level in 0..depth {
        content += &format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n");
    }
    content += "\r\nat the bottom\r\n";
    for level in (0..depth).rev() {
        content += &format!("\r\n--b{level}--\r\n");
    }
    content.into_bytes()
}

/// Lines that are all different.
fn lines(octets: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(octets + 80);
    let mut number = 0_u64;
    while content.len() < octets {
        content.extend_from_slice(
            format!("{number:020} .{:>50}\r\n", number.wrapping_mul(0x9e37_79b9)).as_bytes(),
        );
        number += 1;
    }
    content
}

#[tokio::test(flavor = "multi_thread")]
async fn p_63_p_64_s_21_s_23_mail_of_every_shape_comes_out_as_it_went_in() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    for shape in shapes() {
        let name = shape.name;
        let by_data = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &shape.content).await?;
        let by_chunks = send_chunks(&platform, &shape.content).await?;
        for reply in [&by_data, &by_chunks] {
            assert!(reply.starts_with(shape.refused.unwrap_or("250")), "{name}: {reply}");
        }
        let expected = if shape.refused.is_some() { 0 } else { 2 };
        take(&platform, name, &shape.content, expected).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p_64_what_does_not_end_with_a_line_end_gets_one_at_the_door() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    for (name, content) in [
        ("no line end in the body", with_body("unfinished")),
        ("no line end in the header", b"Subject: unfinished".to_vec()),
        ("a dot at the end", with_body("one\r\n.")),
    ] {
        let reply = send_chunks(&platform, &content).await?;
        assert!(reply.starts_with("250"), "{name}: {reply}");
        take(&platform, name, &[content.as_slice(), b"\r\n"].concat(), 1).await?;
    }
    Ok(())
}

/// Takes the messages out of the box: so many, each with this content.
async fn take(platform: &Platform, name: &str, content: &[u8], expected: usize) -> anyhow::Result<()> {
    let mut session = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    let (count, octets) = session.stat().await?;
    assert_eq!(count, expected, "{name}");
    let listed = String::from_utf8(session.list("LIST").await?)?;
    let sizes: Vec<usize> = listed.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect();
    assert_eq!(sizes.iter().sum::<usize>() as u64, octets, "{name}: LIST and STAT");
    for number in 1..=count {
        let message = session.retr(number).await?;
        assert_eq!(message.len(), sizes[number - 1], "{name}: LIST and RETR");
        assert!(message.ends_with(content), "{name}: other octets came out");
        let before = String::from_utf8(message[..message.len() - content.len()].to_vec())?;
        let ours = before
            .lines()
            .all(|line| line.starts_with([' ', '\t']) || OURS.iter().any(|field| line.starts_with(field)));
        assert!(ours && before.ends_with("\r\n"), "{name}: before it stands {before}");
        session.ok(&format!("DELE {number}")).await?;
    }
    session.quit().await?;
    Ok(())
}

/// The same transaction by BDAT (RFC 3030); the reply to the last chunk, or the first refusal.
async fn send_chunks(platform: &Platform, content: &[u8]) -> anyhow::Result<String> {
    let mut session = Smtp::hello(platform.smtp(0)).await?;
    session.expect("MAIL FROM:<a@outside.test>", 250).await?;
    session.expect(&format!("RCPT TO:<{BOX}>"), 250).await?;
    let mut rest = content;
    loop {
        let (chunk, after) = rest.split_at(rest.len().min(CHUNK_BYTES));
        let last = if after.is_empty() { " LAST" } else { "" };
        session.send(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes()).await?;
        session.send(chunk).await?;
        let reply = session.reply().await?;
        if after.is_empty() || !reply.starts_with("250") {
            return Ok(reply);
        }
        rest = after;
    }
}
