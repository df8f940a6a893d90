//! Mail that others believe, and mail that is not believed here: signatures, checks, rewritten senders, seals, and what lists
//! need of them. What we make is judged by other implementations (dkimpy and pyspf), over a real DNS server on loopback.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern::sink::{Answer, Moment, Received, Sink, SinkSettings};
use postern_proto::account::v1::{ListListMembersRequest, ListMember, ListPosting, ListReplies, MailingList};
use postern_tests::{
    admin::{Admin, PASSWORD},
    dns::{World, address, txt},
    eventually,
    platform::{Blueprint, Platform, run},
    pop3::read_all,
    python, smtp,
};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);
const PACKAGES: [&str; 3] = ["dkimpy", "pyspf", "dnspython"];
const BOX: &str = "user@homepage.test";

/// What the judges say.
async fn judged(question: &Value) -> anyhow::Result<Value> {
    let script = include_str!("authentication/judge.py");
    let python = python::with_packages("judges", &PACKAGES).await?;
    let (code, out, error) = run(&python, &["-c", script], &BTreeMap::new(), &question.to_string()).await?;
    anyhow::ensure!(code == 0, "{out}{error}");
    Ok(serde_json::from_str(&out)?)
}

async fn judged_mail(mail: &[u8], records: &Value) -> anyhow::Result<Value> {
    judged(&json!({"message": STANDARD.encode(mail), "records": records})).await
}

async fn house(world: &World, blueprint: Blueprint) -> anyhow::Result<(Platform, Admin)> {
    let blueprint = blueprint
        .set("POSTERN_RESOLVER", &world.address.to_string())
        .set("POSTERN_MAIL_CHECK_EXEMPT_NETWORKS", "none")
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "0");
    let platform = blueprint.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(BOX).await?;
    Ok((platform, admin))
}

async fn postern(platform: &Platform, words: &[&str]) -> anyhow::Result<String> {
    let (code, out, err) = platform.postern(words, "").await?;
    anyhow::ensure!(code == 0, "{words:?}: {code} {out}{err}");
    Ok(out)
}

/// The records that the signing keys of a domain need, as `postern domain verify` shows them: name and text.
async fn key_records(platform: &Platform, domain: &str) -> anyhow::Result<Vec<(String, String)>> {
    let said: Value =
        serde_json::from_str(&postern(platform, &["--json", "domain", "verify", domain]).await?)?;
    let findings = said["findings"].as_array().cloned().unwrap_or_default();
    let keys = findings.iter().filter(|finding| finding["purpose"] == "DNS_PURPOSE_DKIM");
    Ok(keys
        .map(|finding| {
            let text = finding["expected"][0].as_str().unwrap_or_default().replace("\" \"", "");
            (finding["name"].as_str().unwrap_or_default().to_owned(), text.trim_matches('"').to_owned())
        })
        .collect())
}

/// Publishes them, and gives them as the judges want DNS.
async fn publish_keys(platform: &Platform, world: &World, domain: &str) -> anyhow::Result<Value> {
    let mut records = json!({});
    for (name, text) in key_records(platform, domain).await? {
        world.clear(&name);
        world.add(&name, txt(&text));
        records[name] = text.into();
    }
    Ok(records)
}

fn letter(from: &str, to: &str, subject: &str, more: &str) -> Vec<u8> {
    format!(
        "From: {from}\r\nTo: {to}\r\nSubject: {subject}\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
         Message-ID: <{subject}@far.test>\r\n{more}\r\nbody  with   spaces \r\n\r\n.dot\r\n\r\n\r\n"
    )
    .into_bytes()
}

/// Checks mail, which lets this client send, and sends.
async fn send_as_user(platform: &Platform, to: &str, content: &[u8]) -> anyhow::Result<()> {
    read_all(platform.pop3(0), BOX, PASSWORD).await?;
    let reply = smtp::send(platform.smtp(0), BOX, &[to], content).await?;
    anyhow::ensure!(reply.starts_with("250 "), "{reply}");
    Ok(())
}

/// An outside world that takes mail for everybody but one.
async fn sink_refusing(nobody: &'static str, reply: &'static str) -> anyhow::Result<Sink> {
    let refusing = Arc::new(move |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if *recipient == nobody => Answer::Reply(reply.to_owned()),
        _ => Answer::Accept,
    });
    Ok(Sink::start(SinkSettings { script: Some(refusing), ..SinkSettings::default() }).await?)
}

async fn until_left(sink: &Sink, count: usize) -> anyhow::Result<Received> {
    let there = eventually(LIMIT, async || sink.messages().len() >= count).await;
    let mut messages = sink.messages();
    anyhow::ensure!(there && messages.len() == count, "{} left: {messages:#?}", messages.len());
    messages.pop().ok_or_else(|| anyhow::anyhow!("nothing left"))
}

/// The newest message in the user's box; what was there is left there.
async fn newest(platform: &Platform, count: usize) -> anyhow::Result<String> {
    let mut all = read_all(platform.pop3(0), BOX, PASSWORD).await?;
    anyhow::ensure!(all.len() == count, "{} messages", all.len());
    Ok(String::from_utf8_lossy(&all.pop().unwrap_or_default()).into_owned())
}

/// The value of the first field of this name, unfolded.
fn field(text: &str, name: &str) -> String {
    let header =
        text.split("\r\n\r\n").next().unwrap_or_default().replace("\r\n\t", " ").replace("\r\n ", " ");
    let found = header.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(": ")?.to_owned()));
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_is_signed_and_keys_change() -> anyhow::Result<()> {
    let world = World::start().await;
    let (platform, _) = house(&world, Blueprint::new()).await?;
    let records = publish_keys(&platform, &world, "homepage.test").await?;
    assert_eq!(records.as_object().map(serde_json::Map::len), Some(1), "{records}");

    // Small mail is signed from its row, large mail from the blob store.
    let small = letter(&format!("\"U, ser\" <{BOX}>"), "you@far.test", "small", "");
    let mut large = letter(BOX, "you@far.test", "large", "");
    large.extend(b"line after line, and after it another one\r\n".repeat(20_000));
    for (count, content) in [(1, &small), (2, &large)] {
        send_as_user(&platform, "you@far.test", content).await?;
        let left = until_left(&platform.sink, count).await?;
        let verdict = judged_mail(&left.content, &records).await?;
        let signature = &verdict["dkim"][0];
        assert_eq!(
            (&signature["good"], &signature["d"]),
            (&json!(true), &json!("homepage.test")),
            "{verdict}"
        );
        let signed: Vec<_> =
            signature["h"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        // One From is there, and two are signed: nobody can add another.
        assert_eq!(signed.iter().filter(|name| **name == "from").count(), 2, "{signed:?}");
        assert!(["subject", "to", "date", "message-id"].iter().all(|name| signed.contains(name)));
        let text = String::from_utf8_lossy(&left.content).into_owned();
        for changed in [text.replace(".dot", ".dox"), text.replace("Subject: ", "Subject: x")] {
            assert_eq!(judged_mail(changed.as_bytes(), &records).await?["dkim"][0]["good"], json!(false));
        }
    }
    // From somebody else: the sender's domain answers for it.
    send_as_user(&platform, "you@far.test", &letter("me@elsewhere.test", "you@far.test", "other", ""))
        .await?;
    let verdict = judged_mail(&until_left(&platform.sink, 3).await?.content, &records).await?;
    assert_eq!(verdict["dkim"][0]["d"], "homepage.test", "{verdict}");

    // An old key gets a successor, which is used once DNS shows it.
    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let age =
        "update account.dkim_keys set begin_time = now() - interval '200 days' where begin_time is not null";
    sqlx::query(age).execute(&database).await?;
    let wanted = key_records(&platform, "homepage.test").await?;
    let names: Vec<_> = wanted.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["postern1._domainkey.homepage.test", "postern2._domainkey.homepage.test"]);
    let selector_of_next = async |count: usize| -> anyhow::Result<(Value, Value)> {
        let subject = format!("next{count}");
        send_as_user(&platform, "you@far.test", &letter(BOX, "you@far.test", &subject, "")).await?;
        let verdict = judged_mail(
            &until_left(&platform.sink, count).await?.content,
            &json!({
                wanted[0].0.as_str(): wanted[0].1, wanted[1].0.as_str(): wanted[1].1
            }),
        )
        .await?;
        Ok((verdict["dkim"][0]["s"].clone(), verdict["dkim"][0]["good"].clone()))
    };
    assert_eq!(selector_of_next(4).await?, (json!("postern1"), json!(true)));
    publish_keys(&platform, &world, "homepage.test").await?;
    let said = postern(&platform, &["domain", "verify", "homepage.test"]).await?;
    assert!(said.contains("postern1._domainkey") && said.contains("postern2._domainkey"), "{said}");
    assert_eq!(selector_of_next(5).await?, (json!("postern2"), json!(true)));
    // After the days of the overlap the old one is not wanted any more.
    let age = "update account.dkim_keys set end_time = now() - interval '15 days' where end_time is not null";
    sqlx::query(age).execute(&database).await?;
    let wanted = key_records(&platform, "homepage.test").await?;
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    assert_eq!(wanted[0].0, "postern2._domainkey.homepage.test");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_mail_is_noted_or_refused_as_the_domain_says() -> anyhow::Result<()> {
    let world = World::start().await;
    world.add("far.test", txt("v=spf1 ip4:127.0.0.1 -all"));
    world.add("_dmarc.far.test", txt("v=DMARC1; p=reject"));
    for (bank, policy) in [("bank.test", "reject"), ("shop.test", "quarantine")] {
        world.add(bank, txt("v=spf1 -all"));
        world.add(&format!("_dmarc.{bank}"), txt(&format!("v=DMARC1; p={policy}")));
    }
    let (platform, _) = house(&world, Blueprint::new()).await?;
    let own_name = "Authentication-Results: mail.postern.test; dmarc=pass\r\nAuthentication-Results: other.test; x=y\r\n";
    let send = async |from: &str, sender: &str, subject: &str| {
        let content = letter(from, BOX, subject, own_name);
        smtp::send(platform.smtp(0), sender, &[BOX], &content).await
    };

    assert!(send("a@far.test", "a@far.test", "true").await?.starts_with("250 "));
    let text = newest(&platform, 1).await?;
    let results = field(&text, "Authentication-Results");
    for told in
        ["mail.postern.test;", "spf=pass", "smtp.mailfrom=a@far.test", "dmarc=pass", "header.from=far.test"]
    {
        assert!(results.contains(told), "{told}: {results}");
    }
    // Ours is there once; what a stranger wrote in our name is gone, what others wrote stays.
    assert_eq!(text.matches("Authentication-Results: mail.postern.test").count(), 1, "{text}");
    assert!(text.contains("Authentication-Results: other.test; x=y\r\n"));
    assert!(
        text.find("Authentication-Results: mail").unwrap_or(usize::MAX) < text.find("Received:").unwrap_or(0)
    );

    // A domain that only notes takes it and says what it is.
    assert!(send("boss@bank.test", "a@far.test", "forged").await?.starts_with("250 "));
    let text = newest(&platform, 2).await?;
    assert!(field(&text, "Authentication-Results").contains("dmarc=fail"), "{text}");
    assert_eq!(field(&text, "X-Postern-Verdict"), "");

    let said = postern(&platform, &["domain", "set", "homepage.test", "--dmarc", "follow"]).await?;
    assert!(said.contains("the author's policy is followed"), "{said}");
    let followed = eventually(LIMIT, async || {
        send("boss@bank.test", "a@far.test", "forged")
            .await
            .is_ok_and(|reply| reply == "550 5.7.26 message fails the policy of its author's domain (DMARC)")
    });
    assert!(followed.await, "forged mail is refused");
    let before = read_all(platform.pop3(0), BOX, PASSWORD).await?.len();
    assert!(send("boss@shop.test", "a@far.test", "odd").await?.starts_with("250 "));
    let text = newest(&platform, before + 1).await?;
    assert!(field(&text, "X-Postern-Verdict").starts_with("suspicious; dmarc=fail"), "{text}");
    assert!(send("a@far.test", "a@far.test", "true").await?.starts_with("250 "));

    // A signature that passes is as good as a host that may send: what this house signed, sent on by somebody else.
    publish_keys(&platform, &world, "homepage.test").await?;
    world.add("_dmarc.homepage.test", txt("v=DMARC1; p=reject"));
    send_as_user(&platform, "you@far.test", &letter(BOX, "you@far.test", "round", "")).await?;
    let left = until_left(&platform.sink, 1).await?;
    let reply = smtp::send(platform.smtp(0), "x@shop.test", &[BOX], &left.content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let results = field(&newest(&platform, before + 3).await?, "Authentication-Results");
    assert!(
        results.contains("spf=fail") && results.contains("dkim=pass") && results.contains("dmarc=pass"),
        "{results}"
    );
    let changed = String::from_utf8_lossy(&left.content).replace(".dot", ".dox");
    let reply = smtp::send(platform.smtp(0), "x@shop.test", &[BOX], changed.as_bytes()).await?;
    assert!(reply.starts_with("550 5.7.26 "), "{reply}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_dns_costs_a_deadline_once_and_no_mail() -> anyhow::Result<()> {
    let world = World::start().await;
    for name in ["slow.test", "_dmarc.slow.test"] {
        world.silence(name, true);
    }
    let (platform, _) = house(&world, Blueprint::new().set("POSTERN_MAIL_CHECK_MILLIS", "1500")).await?;
    postern(&platform, &["domain", "set", "homepage.test", "--dmarc", "follow"]).await?;
    let mut took = Vec::new();
    for count in 1..=2 {
        let begin = Instant::now();
        let content = letter("a@slow.test", BOX, "hello", "");
        let reply = smtp::send(platform.smtp(0), "a@slow.test", &[BOX], &content).await?;
        took.push(begin.elapsed());
        assert!(reply.starts_with("250 "), "{reply}");
        let results = field(&newest(&platform, count).await?, "Authentication-Results");
        assert!(results.contains("spf=temperror") && results.contains("dmarc=temperror"), "{results}");
    }
    assert!(took[0] >= Duration::from_millis(1500), "the first one waited for DNS: {took:?}");
    assert!(took[1] < Duration::from_millis(1500), "the second one did not: {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn f_01_a_forward_outside_is_sealed_and_its_bounces_come_back() -> anyhow::Result<()> {
    let world = World::start().await;
    world.add("far.test", txt("v=spf1 ip4:127.0.0.1 -all"));
    let (platform, admin) = house(&world, Blueprint::new()).await?;
    admin.forward("info@homepage.test", &["friend@other.test"], false).await?;
    admin.forward("second@homepage.test", &["friend@third.test"], false).await?;
    let mut records = publish_keys(&platform, &world, "homepage.test").await?;

    let content = letter("a@far.test", "info@homepage.test", "hello", "");
    let reply = smtp::send(platform.smtp(0), "Anna.B@far.test", &["info@homepage.test"], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let left = until_left(&platform.sink, 1).await?;
    assert!(
        left.sender.starts_with("SRS0=") && left.sender.ends_with("=far.test=Anna.B@homepage.test"),
        "{}",
        left.sender
    );
    let text = String::from_utf8_lossy(&left.content).into_owned();
    assert!(text.ends_with(&String::from_utf8_lossy(&content).into_owned()), "the bytes are as they came");
    for (name, count) in [("Return-Path:", 0), ("Delivered-To:", 1), ("Received:", 1), ("ARC-Seal: i=1", 1)] {
        assert_eq!(text.matches(name).count(), count, "{name} in {text}");
    }
    let verdict = judged_mail(&left.content, &records).await?;
    assert_eq!((&verdict["arc"], &verdict["dkim"]), (&json!("pass"), &json!([])), "{verdict}");
    assert!(field(&text, "ARC-Authentication-Results").contains("spf=pass"), "{text}");
    let changed = text.replace(".dot", ".dox");
    assert_eq!(judged_mail(changed.as_bytes(), &records).await?["arc"], "fail");
    // A second forward believes the first one's seal and puts its own on top of it.
    let reply =
        smtp::send(platform.smtp(0), "Anna.B@far.test", &["second@homepage.test"], &left.content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let second = until_left(&platform.sink, 2).await?;
    let text = String::from_utf8_lossy(&second.content).into_owned();
    assert!(field(&text, "ARC-Seal").starts_with("i=2; a=rsa-sha256;") && text.contains("cv=pass"), "{text}");
    assert_eq!(judged_mail(&second.content, &records).await?["arc"], "pass");
    // What the next host's SPF says of both senders.
    records["homepage.test"] = "v=spf1 a:mail.postern.test ~all".into();
    records["mail.postern.test"] = "192.0.2.1".into();
    records["far.test"] = "v=spf1 ip4:127.0.0.1 -all".into();
    for (sender, result) in [(left.sender.as_str(), "pass"), ("Anna.B@far.test", "fail")] {
        let question =
            json!({"sender": sender, "ip": "192.0.2.1", "helo": "mail.postern.test", "records": records});
        assert_eq!(judged(&question).await?["spf"], result, "{sender}");
    }

    // A bounce comes back to who sent it, and so does an answer that is none.
    for (count, sender) in [(3, ""), (4, "b@far.test")] {
        let bounce = letter("MAILER-DAEMON@other.test", &left.sender, "failed", "");
        let reply = smtp::send(platform.smtp(0), sender, &[&left.sender], &bounce).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        let back = until_left(&platform.sink, count).await?;
        assert_eq!(back.recipients, ["Anna.B@far.test"]);
        assert_eq!(back.sender.is_empty(), sender.is_empty(), "{}", back.sender);
    }
    let (mark, rest) = (&left.sender[5..13], &left.sender[13..]);
    for forged in [
        format!("SRS0={}{rest}", mark.to_uppercase()),
        format!("SRS0=aaaaaaaa{rest}"),
        left.sender.replace("Anna.B", "Bert"),
        "SRS0=nonsense@homepage.test".to_owned(),
    ] {
        let reply = smtp::send(platform.smtp(0), "", &[&forged], &content).await?;
        assert!(reply.starts_with("550 5.1.1 "), "{forged}: {reply}");
    }

    // Forwarded on by a forwarder of its own kind: one word longer, and no longer after that.
    let reply = smtp::send(
        platform.smtp(0),
        &left.sender.replace("homepage", "first"),
        &["info@homepage.test"],
        &content,
    )
    .await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let left = until_left(&platform.sink, 5).await?;
    assert!(left.sender.starts_with("SRS1=") && left.sender.contains("=first.test=="), "{}", left.sender);
    // Ours are not rewritten, and the null sender stays what it is.
    read_all(platform.pop3(0), BOX, PASSWORD).await?;
    for (count, sender) in [(6, BOX), (7, "")] {
        let reply = smtp::send(platform.smtp(0), sender, &["info@homepage.test"], &content).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        assert_eq!(until_left(&platform.sink, count).await?.sender, sender);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn f_03_a_forward_that_comes_back_stops() -> anyhow::Result<()> {
    let world = World::start().await;
    world.add("far.test", txt("v=spf1 ip4:127.0.0.1 -all"));
    let (platform, admin) = house(&world, Blueprint::new()).await?;
    admin.forward("info@homepage.test", &["info@other.test"], false).await?;
    let content = letter("a@far.test", "info@homepage.test", "hello", "");
    let reply = smtp::send(platform.smtp(0), "a@far.test", &["info@homepage.test"], &content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let left = until_left(&platform.sink, 1).await?;
    // other.test sends it back here: this host knows it, and says so in the session.
    let reply = smtp::send(platform.smtp(0), &left.sender, &["info@homepage.test"], &left.content).await?;
    assert!(reply.starts_with("554 5.4.6 "), "{reply}");
    assert_eq!(platform.sink.messages().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn f_06_a_forged_sender_gets_no_bounce_of_a_forward() -> anyhow::Result<()> {
    let sink = sink_refusing("friend@other.test", "550 5.7.1 spam").await?;
    let world = World::start().await;
    world.add("far.test", txt("v=spf1 ip4:127.0.0.1 -all"));
    world.add("victim.test", txt("v=spf1 -all"));
    let blueprint = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string());
    let (platform, admin) = house(&world, blueprint).await?;
    admin.forward("info@homepage.test", &["friend@other.test"], false).await?;
    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let is_empty = async || {
        let rows: Result<i64, _> =
            sqlx::query_scalar("select count(*) from mail.queue").fetch_one(&database).await;
        rows.is_ok_and(|rows| rows == 0)
    };
    for sender in ["victim@victim.test", "true@far.test"] {
        let content = letter(sender, "info@homepage.test", "hello", "");
        let reply = smtp::send(platform.smtp(0), sender, &["info@homepage.test"], &content).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        assert!(eventually(LIMIT, is_empty).await, "{sender}: all is done with");
    }
    // Only who really sent was told.
    assert!(eventually(LIMIT, async || !sink.messages().is_empty()).await);
    let told: Vec<_> = sink.messages().into_iter().flat_map(|message| message.recipients).collect();
    assert_eq!(told, ["true@far.test"]);
    Ok(())
}

fn list() -> MailingList {
    MailingList {
        address: "staff@homepage.test".to_owned(),
        posting: ListPosting::Anyone.into(),
        replies: ListReplies::Author.into(),
        subject_prefix: "[staff]".to_owned(),
        owner: BOX.to_owned(),
        ..MailingList::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_authors_post_is_from_the_list_and_copies_are_signed() -> anyhow::Result<()> {
    let world = World::start().await;
    for (name, policy) in [("strict.test", "reject"), ("mild.test", "none")] {
        world.add(name, txt("v=spf1 ip4:127.0.0.1 -all"));
        world.add(&format!("_dmarc.{name}"), txt(&format!("v=DMARC1; p={policy}")));
    }
    let (platform, admin) = house(&world, Blueprint::new()).await?;
    admin.mailing_list(list(), &["out@other.test".to_owned(), BOX.to_owned()]).await?;
    let records = publish_keys(&platform, &world, "homepage.test").await?;
    for (count, author, from) in [
        (1, "Anna <anna@strict.test>", "\"Anna via staff\" <staff@homepage.test>"),
        (2, "Bert <bert@mild.test>", "Bert <bert@mild.test>"),
        // Nobody gets the signature of this domain by writing its name.
        (3, &format!("Chef <{BOX}>"), "\"Chef via staff\" <staff@homepage.test>"),
    ] {
        let content = letter(author, "staff@homepage.test", &format!("post{count}"), "");
        let sender = if author.contains("mild") { "bert@mild.test" } else { "anna@strict.test" };
        let reply = smtp::send(platform.smtp(0), sender, &["staff@homepage.test"], &content).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        let left = until_left(&platform.sink, count).await?;
        let text = String::from_utf8_lossy(&left.content).into_owned();
        assert_eq!(field(&text, "From"), from, "{text}");
        let replies = if from.contains(" via ") { author } else { "" };
        assert_eq!(field(&text, "Reply-To"), replies);
        let verdict = judged_mail(&left.content, &records).await?;
        let signature = &verdict["dkim"][0];
        assert_eq!(
            (&signature["good"], &signature["d"]),
            (&json!(true), &json!("homepage.test")),
            "{verdict}"
        );
        for name in ["list-unsubscribe", "list-unsubscribe-post"] {
            assert!(signature["h"].as_array().is_some_and(|h| h.contains(&json!(name))), "{name}: {verdict}");
        }
        assert_eq!(text.matches("List-Unsubscribe: ").count(), 1, "{text}");
    }
    // The copy in a box has its own link too.
    let text = newest(&platform, 3).await?;
    assert!(
        field(&text, "List-Unsubscribe").starts_with("<https://mail.homepage.test/unsubscribe/"),
        "{text}"
    );
    assert_eq!(field(&text, "List-Unsubscribe-Post"), "List-Unsubscribe=One-Click");
    Ok(())
}

async fn members(admin: &Admin) -> anyhow::Result<Vec<ListMember>> {
    let request = ListListMembersRequest { list: "staff@homepage.test".to_owned(), ..Default::default() };
    Ok(admin.mailing_lists().list_list_members(request).await?.into_inner().members)
}

#[tokio::test(flavor = "multi_thread")]
async fn l_05_members_whose_copies_bounce_are_probed_and_suspended() -> anyhow::Result<()> {
    let sink = sink_refusing("gone@other.test", "550 5.1.1 nobody").await?;
    let world = World::start().await;
    world.add("_dmarc.far.test", txt("v=DMARC1; p=none"));
    world.add("far.test", address("192.0.2.7"));
    let blueprint = Blueprint::new().set("POSTERN_SMARTHOST", &sink.address().to_string());
    let (platform, admin) = house(&world, blueprint).await?;
    let all = ["gone@other.test", "slow@other.test", "good@other.test"].map(str::to_owned);
    admin.mailing_list(list(), &all).await?;
    let state = async |name: &str| -> anyhow::Result<(i32, bool)> {
        let all = members(&admin).await?;
        let found = all.iter().find(|member| member.address.starts_with(name));
        Ok(found.map_or((-1, false), |member| (member.bounce_count, member.suspend_time.is_some())))
    };
    let report =
        "--x\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n--x--\r\n";
    for count in 1..=5 {
        let content = letter("a@far.test", "staff@homepage.test", &format!("post{count}"), "");
        let reply = smtp::send(platform.smtp(0), "a@far.test", &["staff@homepage.test"], &content).await?;
        assert!(reply.starts_with("250 "), "{reply}");
        // One host refuses in the session, another one sends a report later; who is on holiday does not count.
        let copies = 2 * count;
        assert!(
            eventually(LIMIT, async || sink.messages().len() >= copies).await,
            "{}",
            sink.messages().len()
        );
        for (kind, more) in [("report; report-type=delivery-status", report), ("mixed", "I am away\r\n")] {
            let content =
                format!("From: x@other.test\r\nContent-Type: multipart/{kind}; boundary=x\r\n\r\n{more}");
            let to = "staff-bounces+slow=other.test@homepage.test";
            let reply = smtp::send(platform.smtp(0), "", &[to], content.as_bytes()).await?;
            assert!(reply.starts_with("250 "), "{reply}");
        }
        let expected = i32::try_from(count)?;
        let counted = eventually(LIMIT, async || {
            state("gone").await.is_ok_and(|(count, _)| count == expected)
                && state("slow").await.is_ok_and(|(count, _)| count == expected)
        });
        assert!(counted.await, "{count}: {:?}", members(&admin).await?);
    }
    // The one that refuses refuses the probe as well; the other one's probe arrives, and it stays.
    assert!(eventually(LIMIT, async || state("gone").await.is_ok_and(|(_, suspended)| suspended)).await);
    assert!(
        eventually(LIMIT, async || sink.messages().iter().any(|m| m.sender.contains("-bounces+probe-")))
            .await
    );
    assert_eq!(state("slow").await?, (5, false));
    assert_eq!(state("good").await?, (0, false));
    let said = postern(&platform, &["list", "show", "staff@homepage.test"]).await?;
    assert!(
        said.contains("gone@other.test: none since") && said.contains("slow@other.test: bounced 5 times"),
        "{said}"
    );

    // Who is suspended gets no posts; a copy that stays where it was delivered forgives what was before.
    let before = sink.messages().len();
    let content = letter("a@far.test", "staff@homepage.test", "last", "");
    smtp::send(platform.smtp(0), "a@far.test", &["staff@homepage.test"], &content).await?;
    assert!(eventually(LIMIT, async || sink.messages().len() == before + 2).await);
    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let age = "update account.list_members set delivered_time = delivered_time - interval '4 days'";
    let forgiven = eventually(LIMIT, async || {
        let aged = sqlx::query(age).execute(&database).await;
        aged.is_ok() && state("slow").await.is_ok_and(|(count, _)| count == 0)
    });
    assert!(forgiven.await, "{:?}", members(&admin).await?);
    // Adding a suspended one again lets it in again.
    postern(&platform, &["list", "member", "add", "staff@homepage.test", "gone@other.test"]).await?;
    assert_eq!(state("gone").await?, (0, false));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn l_02_one_click_ends_a_subscription_and_looking_does_not() -> anyhow::Result<()> {
    let world = World::start().await;
    let blueprint = Blueprint::new().one_process();
    let (platform, admin) = house(&world, blueprint).await?;
    admin.mailing_list(list(), &["out@other.test".to_owned(), "too@other.test".to_owned()]).await?;
    let content = letter("a@far.test", "staff@homepage.test", "post", "");
    smtp::send(platform.smtp(0), "a@far.test", &["staff@homepage.test"], &content).await?;
    assert!(eventually(LIMIT, async || platform.sink.messages().len() == 2).await);
    let copies = platform.sink.messages();
    let copy = copies.iter().find(|copy| copy.recipients == ["out@other.test"]).expect("a copy");
    let link = field(&String::from_utf8_lossy(&copy.content), "List-Unsubscribe");
    let token =
        link.split("/unsubscribe/").nth(1).and_then(|rest| rest.split('>').next()).unwrap_or_default();
    let path = format!("/unsubscribe/{token}");

    let page = http(&platform, "GET", &path, "").await?;
    assert!(
        page.starts_with("HTTP/1.1 200 ") && page.contains("<button") && page.contains("out@other.test"),
        "{page}"
    );
    assert!(!page.to_lowercase().contains("set-cookie"), "{page}");
    assert_eq!(members(&admin).await?.len(), 2, "looking changes nothing");
    let refused = http(&platform, "POST", &path, "x=y").await?;
    assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
    let other = format!("{}A", &path[..path.len() - 1]);
    assert!(
        http(&platform, "POST", &other, "List-Unsubscribe=One-Click").await?.starts_with("HTTP/1.1 404 ")
    );
    assert_eq!(members(&admin).await?.len(), 2);
    for _ in 0..2 {
        let done = http(&platform, "POST", &path, "List-Unsubscribe=One-Click").await?;
        assert!(done.starts_with("HTTP/1.1 200 ") && done.contains("Unsubscribed"), "{done}");
        let left: Vec<_> = members(&admin).await?.into_iter().map(|member| member.address).collect();
        assert_eq!(left, ["too@other.test"]);
    }
    Ok(())
}

/// One request to the panel, without cookies; the answer as it came.
async fn http(platform: &Platform, method: &str, path: &str, body: &str) -> anyhow::Result<String> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(platform.panel()).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: mail.homepage.test\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
