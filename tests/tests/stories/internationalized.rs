//! Internationalized mail (RFC 6531, RFC 6533, RFC 6856): UTF-8 in addresses and headers, from door to door, to hosts and mail
//! programs that know it and to those that do not.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use postern::sink::{Answer, Moment, Received, Sink, SinkSettings};
use postern_proto::account::v1::{DefaultAction, ListListMembersRequest, ListPosting, MailingList};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform},
    pop3::{Pop3, read_all},
    smtp::{self, Smtp, stuffed},
};

const LIMIT: Duration = Duration::from_secs(30);
const BOX: &str = "user@homepage.test";
const WIDE: &str = "From: J\u{f6}rg <j\u{f6}rg@outside.test>\r\nTo: user@homepage.test\r\nSubject: Gr\u{fc}\u{df}e\r\n\
                    Message-ID: <1@outside.test>\r\n\r\nsch\u{f6}n\r\n.\r\n";
const PLAIN: &str =
    "From: a@homepage.test\r\nSubject: plain\r\nMessage-ID: <2@homepage.test>\r\n\r\ntext\r\n";

/// A house whose next hop knows SMTPUTF8 or not, and refuses `gone@`; user@homepage.test has checked its mail.
async fn house(smtp_utf8: bool) -> anyhow::Result<(Platform, Admin, Sink)> {
    let script = |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if recipient.starts_with("gone") => {
            Answer::Reply("550 5.1.1 nobody".to_owned())
        }
        _ => Answer::Accept,
    };
    let settings = SinkSettings { smtp_utf8, script: Some(Arc::new(script)), ..SinkSettings::default() };
    let sink = Sink::start(settings).await?;
    let platform = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string()).start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    Pop3::login(platform.pop3(0), BOX, PASSWORD).await?.quit().await?;
    Ok((platform, admin, sink))
}

/// One mail with SMTPUTF8; the reply to its end, or the first refusal.
async fn send(platform: &Platform, from: &str, to: &[&str], content: &str) -> anyhow::Result<String> {
    let mut client = Smtp::hello(platform.smtp(0)).await?;
    client.expect(&format!("MAIL FROM:<{from}> SMTPUTF8 BODY=8BITMIME"), 250).await?;
    for recipient in to {
        let reply = client.command(&format!("RCPT TO:<{recipient}>")).await?;
        if !reply.starts_with("250") {
            return Ok(reply);
        }
    }
    client.expect("DATA", 354).await?;
    client.send(&stuffed(content.as_bytes())).await?;
    client.reply().await
}

async fn sent(platform: &Platform, from: &str, to: &[&str], content: &str) -> anyhow::Result<()> {
    let reply = send(platform, from, to, content).await?;
    anyhow::ensure!(reply.starts_with("250 "), "{to:?}: {reply}");
    Ok(())
}

async fn left(sink: &Sink, count: usize) -> anyhow::Result<Vec<Received>> {
    let there = eventually(LIMIT, async || sink.messages().len() >= count).await;
    anyhow::ensure!(there && sink.messages().len() == count, "{:#?}", sink.messages());
    Ok(sink.messages())
}

async fn until(platform: &Platform, count: usize) -> anyhow::Result<Vec<String>> {
    let read = async || read_all(platform.pop3(0), BOX, PASSWORD).await;
    let there = eventually(LIMIT, async || read().await.is_ok_and(|all| all.len() >= count)).await;
    let all: Vec<String> =
        read().await?.into_iter().map(|octets| String::from_utf8_lossy(&octets).into_owned()).collect();
    anyhow::ensure!(there && all.len() == count, "{all:#?}");
    Ok(all)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_91_what_needs_smtputf8_leaves_with_it_and_nothing_else_does() -> anyhow::Result<()> {
    let (platform, _, sink) = house(true).await?;
    sent(&platform, BOX, &["j\u{f6}rg@outside.test"], PLAIN).await?;
    let of_address = left(&sink, 1).await?.remove(0);
    assert!(of_address.smtp_utf8);
    assert_eq!(of_address.recipients, ["j\u{f6}rg@outside.test"]);
    sent(&platform, BOX, &["a@outside.test"], WIDE).await?;
    let of_header = left(&sink, 2).await?.remove(1);
    assert!(of_header.smtp_utf8 && of_header.content.ends_with(WIDE.as_bytes()), "{of_header:?}");
    assert!(
        String::from_utf8_lossy(&of_header.content).contains("\r\n\tby mail.postern.test with UTF8SMTP id ")
    );
    sent(&platform, BOX, &["a@outside.test"], PLAIN).await?;
    assert!(!left(&sink, 3).await?[2].smtp_utf8, "said of what is ASCII throughout");

    // A report goes back to a wide sender, and is marked as what it is.
    sent(&platform, "j\u{f6}rg@elsewhere.test", &["gone@outside.test"], PLAIN).await?;
    let report = left(&sink, 4).await?.remove(3);
    assert!(report.smtp_utf8);
    assert_eq!((report.sender.as_str(), &report.recipients[0][..]), ("", "j\u{f6}rg@elsewhere.test"));
    assert!(String::from_utf8_lossy(&report.content).contains("\r\nTo: j\u{f6}rg@elsewhere.test\r\n"));
    Ok(())
}

/// The parts of a report: header and body of each.
fn parts(report: &str) -> anyhow::Result<Vec<(&str, &str)>> {
    let boundary = report.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next());
    let line = format!("\r\n--{}", boundary.context("a boundary")?);
    let inner = report.split(&*line).skip(1).filter_map(|part| part.strip_prefix("\r\n"));
    inner.map(|part| part.split_once("\r\n\r\n").context("a part with a header")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_91_b_03_what_a_host_cannot_take_comes_back_with_5_6_7() -> anyhow::Result<()> {
    let (platform, _, sink) = house(false).await?;
    // ASCII throughout, whatever was said of it; also where only the domain was written otherwise.
    sent(&platform, BOX, &["a@outside.test", "b@m\u{fc}ller.test"], PLAIN).await?;
    let mut went = left(&sink, 1).await?.remove(0);
    assert!(!went.smtp_utf8);
    went.recipients.sort();
    assert_eq!(went.recipients, ["a@outside.test", "b@xn--mller-kva.test"]);

    sent(&platform, BOX, &["j\u{f6}rg@outside.test", "c@outside.test"], WIDE).await?;
    let report = until(&platform, 1).await?.remove(0);
    assert_eq!(sink.messages().len(), 1, "nothing of it left");
    let parts = parts(&report)?;
    assert_eq!(parts.len(), 3, "{report}");
    assert!(parts[0].1.contains("<j\u{f6}rg@outside.test>") && parts[0].0.contains("8bit"), "{report}");

    let (header, body) = parts[1];
    assert_eq!(
        header,
        "Content-Description: Delivery report\r\nContent-Type: message/global-delivery-status\r\n\
         Content-Transfer-Encoding: 8bit"
    );
    let told: Vec<&str> = body
        .split("\r\n")
        .filter(|line| !line.starts_with("X-Postern-Queue-ID: ") && !line.starts_with("Arrival-Date: "))
        .collect();
    let fate = |to: &str| {
        format!(
            "Final-Recipient: {to}\r\nAction: failed\r\nStatus: 5.6.7\r\nRemote-MTA: dns; {host}\r\n\
             Diagnostic-Code: X-Postern; {host} [{host}] cannot take internationalized addresses (SMTPUTF8)\r\n",
            host = sink.address().ip(),
        )
    };
    let (first, second) = (fate("utf-8; j\u{f6}rg@outside.test"), fate("rfc822; c@outside.test"));
    let told = told.join("\r\n");
    let (message, fates) = told.split_once("\r\n\r\n").context("fields of the message, then fates")?;
    assert_eq!(message, "Reporting-MTA: dns; mail.postern.test");
    // Rows of the queue have no order.
    let either = [format!("{first}\r\n{second}"), format!("{second}\r\n{first}")];
    assert!(either.contains(&fates.to_owned()), "{fates:?} is none of {either:?}");

    let (header, body) = parts[2];
    assert_eq!(
        header,
        "Content-Description: Header of your message\r\nContent-Type: message/global-headers\r\n\
         Content-Transfer-Encoding: 8bit"
    );
    let returned = WIDE.split_once("\r\n\r\n").context("a header")?.0;
    assert!(body.ends_with(&format!("{returned}\r\n")), "{body}");
    Ok(())
}

/// STAT, LIST and RETR of a box, by a program that says UTF8 or does not.
async fn taken(platform: &Platform, utf8: bool) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut client = Pop3::connect(platform.pop3(0)).await?;
    if utf8 {
        client.ok("UTF8").await?;
    }
    client.ok(&format!("USER {BOX}")).await?;
    client.ok(&format!("PASS {PASSWORD}")).await?;
    let (count, octets) = client.stat().await?;
    let listed = String::from_utf8(client.list("LIST").await?)?;
    let sizes: Vec<usize> = listed.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect();
    assert_eq!(sizes.iter().sum::<usize>() as u64, octets, "LIST and STAT");
    let mut all = Vec::new();
    for number in 1..=count {
        let said = client.ok(&format!("RETR {number}")).await?;
        let message = client.multi_line().await?;
        assert_eq!(said, format!("{} octets", message.len()));
        assert_eq!(message.len(), sizes[number - 1], "LIST and RETR of {number}");
        let top = client.list(&format!("TOP {number} 0")).await?;
        assert!(message.starts_with(&top), "TOP shows the same header");
        all.push(message);
    }
    client.quit().await?;
    Ok(all)
}

fn header_of(message: &[u8]) -> String {
    let end = message.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap_or(message.len());
    String::from_utf8_lossy(&message[..end]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn p_101_p_62_mail_that_came_with_smtputf8_is_plain_for_who_did_not_ask() -> anyhow::Result<()> {
    let (platform, admin, _) = house(true).await?;
    admin.another_domain("homepage", "xn--mller-kva.test", true).await?;
    admin.forward("info@xn--mller-kva.test", &[BOX], false).await?;
    let large = WIDE.replace("sch\u{f6}n", &"gro\u{df} und sch\u{f6}n\r\n".repeat(50_000));
    sent(&platform, "j\u{f6}rg@outside.test", &[BOX], WIDE).await?;
    sent(&platform, "j\u{f6}rg@outside.test", &[BOX], &large).await?;
    // Only the sender is wide, only the domain was written so; and as it always was, without SMTPUTF8.
    sent(&platform, "j\u{f6}rg@outside.test", &[BOX], PLAIN).await?;
    sent(&platform, "a@outside.test", &["info@M\u{dc}LLER.test"], PLAIN).await?;
    let reply = smtp::send(platform.smtp(0), "a@outside.test", &[BOX], WIDE.as_bytes()).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let contents = [WIDE, &large, PLAIN, PLAIN, WIDE];

    let stored = taken(&platform, true).await?;
    assert_eq!(stored.len(), contents.len());
    for (message, content) in stored.iter().zip(contents) {
        assert!(message.ends_with(content.as_bytes()), "as it came: {}", header_of(message));
    }
    assert!(header_of(&stored[0]).starts_with("Return-Path: <j\u{f6}rg@outside.test>\r\n"));

    let plain = taken(&platform, false).await?;
    assert_eq!(plain.len(), contents.len());
    for (number, message) in plain.iter().enumerate().take(4) {
        let header = header_of(message);
        assert!(header.is_ascii(), "{number}: {header}");
        let body = contents[number].split_once("\r\n\r\n").context("a body")?.1;
        assert!(message.ends_with(body.as_bytes()), "{number}: the body is as it came");
    }
    let header = header_of(&plain[0]);
    for line in [
        "Return-Path: <invalid@internationalized-address.invalid>",
        "Subject: =?utf-8?B?R3LDvMOfZQ==?=",
        "From: =?utf-8?B?SsO2cmcgKGrDtnJnQG91dHNpZGUudGVzdCk=?=\r\n <invalid@internationalized-address.invalid>",
        "To: user@homepage.test",
    ] {
        assert!(header.contains(line), "{line}: {header}");
    }
    assert_eq!(plain[3..], stored[3..], "what needs no other form has none");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s_91_a_name_in_utf_8_is_a_name_like_any_other() -> anyhow::Result<()> {
    let (platform, admin, _) = house(true).await?;
    let to = ["j\u{f6}rg@homepage.test"];
    sent(&platform, "a@outside.test", &to, PLAIN).await?;
    let mut client = Pop3::login(platform.pop3(0), "homepage", PASSWORD).await?;
    let kept = client.retr(1).await?;
    client.quit().await?;
    assert!(header_of(&kept).is_ascii() && kept.ends_with(PLAIN.as_bytes()), "{}", header_of(&kept));
    admin.default_address("homepage.test", DefaultAction::Reject, "").await?;
    let refused = eventually(LIMIT, async || {
        send(&platform, "a@outside.test", &to, PLAIN).await.is_ok_and(|reply| reply.starts_with("550 5.1.1 "))
    });
    assert!(refused.await);
    // A mailbox of that name, however it is composed; the login is taken as it is typed.
    admin.mailbox("J\u{f6}rg@homepage.test").await?;
    let arrived = eventually(LIMIT, async || {
        let to = ["jo\u{308}rg@homepage.test"];
        send(&platform, "a@outside.test", &to, WIDE).await.is_ok_and(|reply| reply.starts_with("250 "))
    });
    assert!(arrived.await);
    let own = read_all(platform.pop3(0), "j\u{f6}rg@homepage.test", PASSWORD).await?;
    assert!(own.len() == 1 && header_of(&own[0]).is_ascii(), "{own:?}");
    let unasked = smtp::send(platform.smtp(0), "a@outside.test", &to, PLAIN.as_bytes()).await?;
    assert!(unasked.starts_with("553 5.6.7 "), "{unasked}");
    Ok(())
}

async fn answering_house(smtp_utf8: bool) -> anyhow::Result<(Platform, Admin, Sink)> {
    let (platform, admin, sink) = house(smtp_utf8).await?;
    admin.mailbox("away@homepage.test").await?;
    admin.autoresponder("away@homepage.test", "Away", "Back soon, {sender}").await?;
    admin.forward("to@homepage.test", &["friend@outside.test"], false).await?;
    let list = MailingList {
        address: "staff@homepage.test".to_owned(),
        posting: ListPosting::Anyone.into(),
        ..MailingList::default()
    };
    admin.mailing_list(list, &["m@outside.test".to_owned(), BOX.to_owned()]).await?;
    Ok((platform, admin, sink))
}

#[tokio::test(flavor = "multi_thread")]
async fn s_91_f_01_l_01_forwards_lists_and_answers_know_a_wide_sender() -> anyhow::Result<()> {
    let (platform, _, sink) = answering_house(true).await?;
    let from = "j\u{f6}rg@outside.test";
    sent(&platform, from, &["to@homepage.test"], PLAIN).await?;
    let forwarded = left(&sink, 1).await?.remove(0);
    assert!(forwarded.smtp_utf8);
    let sender = &forwarded.sender;
    assert!(
        sender.starts_with("SRS0=") && sender.ends_with("=outside.test=j\u{f6}rg@homepage.test"),
        "{sender}"
    );
    // What comes back to it finds its way.
    sent(&platform, "", &[sender], PLAIN).await?;
    assert_eq!(left(&sink, 2).await?[1].recipients, [from]);

    let direct = WIDE.replace(BOX, "away@homepage.test");
    sent(&platform, from, &["away@homepage.test"], &direct).await?;
    let answer = left(&sink, 3).await?.remove(2);
    assert!(answer.smtp_utf8 && answer.recipients == [from], "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.content).contains("\r\nTo: j\u{f6}rg@outside.test\r\n"));

    sent(&platform, from, &["staff@homepage.test"], WIDE).await?;
    let copy = left(&sink, 4).await?.remove(3);
    assert!(copy.smtp_utf8 && copy.sender.is_ascii(), "{copy:?}");
    // The member with a box here gets it in plain form, of the size that is told.
    let there = eventually(LIMIT, async || taken(&platform, false).await.is_ok_and(|all| all.len() == 1));
    assert!(there.await);
    let header = header_of(&taken(&platform, false).await?[0]);
    assert!(header.is_ascii() && header.contains("Subject: =?utf-8?B?R3LDvMOfZQ==?="), "{header}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s_91_l_05_a_host_without_smtputf8_costs_no_member_its_place() -> anyhow::Result<()> {
    let (platform, admin, sink) = answering_house(false).await?;
    let from = "j\u{f6}rg@outside.test";
    for to in ["to@homepage.test", "away@homepage.test", "staff@homepage.test"] {
        sent(&platform, from, &[to], &WIDE.replace(BOX, to)).await?;
    }
    // All that could leave is given up, and nobody can be told: the queue comes to rest.
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let at_rest = eventually(LIMIT, async || {
        let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM mail.queue").fetch_one(&pool).await;
        until(&platform, 1).await.is_ok() && rows.is_ok_and(|rows| rows == 0)
    });
    assert!(at_rest.await);
    assert!(sink.messages().is_empty());
    // A mail that the host takes is told of after it: what was to be counted has been counted then.
    sent(&platform, "a@outside.test", &["staff@homepage.test"], PLAIN).await?;
    left(&sink, 1).await?;
    let request = ListListMembersRequest { list: "staff@homepage.test".to_owned(), ..Default::default() };
    let members = admin.mailing_lists().list_list_members(request).await?.into_inner().members;
    assert!(members.iter().all(|member| member.bounce_count == 0), "{members:?}");
    Ok(())
}
