//! Large mail: in and out byte-exact, in both directions, with bounded memory in every service.

use std::{collections::BTreeMap, fs, time::Duration};

use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::Blueprint,
    pop3::{Pop3, read_all},
    smtp::{self, message},
};

const BOX: &str = "user@homepage.test";
const LARGE_BYTES: usize = 50 * 1024 * 1024;
/// What one 50 MB message may add to a service, MiB: buffers, never the message.
const GROWTH_LIMIT_MIB: u64 = 24;

/// Peak resident memory of a process, MiB (proc(5), VmHWM).
fn peak_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    line.and_then(|l| l.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_megabytes_go_in_and_out_with_bounded_memory() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    // Warm: code paths and pools allocate once.
    smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &message("warm", 300_000)).await?;
    Pop3::login(platform.pop3(0), BOX, PASSWORD).await?.quit().await?;
    smtp::send(platform.smtp(0), BOX, &["you@outside.test"], &message("warm-relay", 300_000)).await?;
    read_all(platform.pop3(0), BOX, PASSWORD).await?;

    let ours = |platform: &postern_tests::platform::Platform| -> BTreeMap<String, u32> {
        platform.processes().into_iter().filter(|(name, _)| name != "postgres" && name != "redis").collect()
    };
    let before: BTreeMap<_, _> =
        ours(&platform).into_iter().map(|(name, pid)| (name, peak_mib(pid))).collect();

    let content = message("large", LARGE_BYTES);
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let mail = read_all(platform.pop3(0), BOX, PASSWORD).await?;
    assert_eq!(mail.len(), 2);
    assert!(mail[1].ends_with(&content), "byte-exact behind our headers");
    let reply = smtp::send(platform.smtp(0), BOX, &["you@outside.test"], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let left = eventually(Duration::from_secs(60), async || platform.sink.messages().len() == 2).await;
    assert!(left, "the large message leaves too");
    assert!(platform.sink.messages()[1].content.ends_with(&content));

    for (name, pid) in ours(&platform) {
        let grown = peak_mib(pid).saturating_sub(before[&name]);
        println!("{name}: peak {} MiB, {grown} MiB more by a message of 50 MB", peak_mib(pid));
        assert!(grown <= GROWTH_LIMIT_MIB, "{name} grew by {grown} MiB");
    }
    Ok(())
}

/// P-62, P-63, I8: sizes agree and what was stored comes out, whatever its shape.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_every_shape_come_out_as_they_went_in() -> anyhow::Result<()> {
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    let long_line = [b"Subject: long\r\n\r\n".to_vec(), vec![b'y'; 500_000], b"\r\n".to_vec()].concat();
    let eight_bit = [b"Subject: 8bit\r\n\r\n".to_vec(), (0x80..=0xFFu8).collect(), b"\r\n".to_vec()].concat();
    let many_lines = [b"Subject: lines\r\n\r\n".to_vec(), b".\r\n".repeat(100_000)].concat();
    let shapes: Vec<Vec<u8>> = vec![
        b"Subject: plain\r\n\r\nbody\r\n".to_vec(),
        b"Subject: no body\r\n\r\n".to_vec(),
        b"Subject: no blank line\r\n".to_vec(),
        b"no header at all\r\n".to_vec(),
        b"\r\nonly body\r\n".to_vec(),
        b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n...\r\n".to_vec(),
        b"".to_vec(),
        b"\r\n".to_vec(),
        message("64 KiB less one line", 64 * 1024 - 60),
        message("64 KiB and a bit", 64 * 1024 + 1),
        message("4 MiB", 4 * 1024 * 1024),
        long_line,
        eight_bit,
        many_lines,
    ];
    for content in &shapes {
        let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], content).await?;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let mut client = Pop3::login(platform.pop3(0), BOX, PASSWORD).await?;
    let (count, octets) = client.stat().await?;
    assert_eq!(count, shapes.len());
    let list = String::from_utf8(client.list("LIST").await?)?;
    let sizes: Vec<u64> = list.lines().filter_map(|l| l.split_once(' ')?.1.parse().ok()).collect();
    assert_eq!(sizes.iter().sum::<u64>(), octets, "I8");
    for (number, content) in shapes.iter().enumerate() {
        let stored = client.retr(number + 1).await?;
        assert_eq!(stored.len() as u64, sizes[number], "P-62: size of shape {number}");
        assert!(stored.ends_with(content), "shape {number} is byte-exact");
        let top = client.list(&format!("TOP {} 0", number + 1)).await?;
        // P-66: the head and its blank line, also where the message ends without one.
        let complete = [&stored[..], b"\r\n"].concat();
        assert!(complete.starts_with(&top), "TOP 0 is the head of shape {number}");
    }
    // P-73: pipelined reads come in order.
    client.send(b"STAT\r\nRETR 1\r\nRETR 2\r\nNOOP\r\nRETR 6\r\n").await?;
    assert!(client.line().await?.starts_with("+OK"));
    for number in [1usize, 2] {
        assert!(client.line().await?.starts_with("+OK"));
        assert!(client.multi_line().await?.ends_with(&shapes[number - 1]));
    }
    assert!(client.line().await?.starts_with("+OK"));
    assert!(client.line().await?.starts_with("+OK"));
    assert!(client.multi_line().await?.ends_with(&shapes[5]));
    Ok(())
}

/// Readers who stop reading hold their own sessions only, however many they are: all of them read over the one connection that
/// the gateway has to delivery.
#[tokio::test(flavor = "multi_thread")]
async fn stalled_readers_hinder_nobody() -> anyhow::Result<()> {
    const READERS: usize = 20;
    let platform = Blueprint::new().start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox("other@homepage.test").await?;
    let boxes: Vec<_> = (0..READERS).map(|number| format!("slow{number}@homepage.test")).collect();
    for mailbox in &boxes {
        admin.mailbox(mailbox).await?;
    }
    let recipients: Vec<_> = boxes.iter().map(String::as_str).collect();
    smtp::send(platform.smtp(0), "a@outside.test", &recipients, &message("large", 8 * 1024 * 1024)).await?;
    let mut stalled = Vec::new();
    for mailbox in &boxes {
        let mut reader = Pop3::login(platform.pop3(0), mailbox, PASSWORD).await?;
        reader.send(b"RETR 1\r\n").await?;
        assert!(reader.line().await?.starts_with("+OK"));
        stalled.push(reader);
    }

    for _ in 0..20 {
        let reply =
            smtp::send(platform.smtp(0), "a@outside.test", &["other@homepage.test"], &message("x", 2000))
                .await?;
        assert!(reply.starts_with("250 "), "{reply}");
        Pop3::login(platform.pop3(0), "other@homepage.test", PASSWORD).await?.quit().await?;
    }
    // A large message passes them, too, and each can go on where it stopped.
    let large = message("large too", 8 * 1024 * 1024);
    smtp::send(platform.smtp(0), "a@outside.test", &["other@homepage.test"], &large).await?;
    let mut other = Pop3::login(platform.pop3(0), "other@homepage.test", PASSWORD).await?;
    assert!(other.retr(21).await?.len() > 8 * 1024 * 1024);
    for mut reader in stalled {
        assert!(reader.multi_line().await?.len() > 8 * 1024 * 1024);
    }
    Ok(())
}
