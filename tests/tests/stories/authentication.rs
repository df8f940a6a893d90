//! Mail that others believe, and mail that is not believed here: signatures, checks, rewritten senders, seals, and what lists
//! need of them. What we make is judged by other implementations (dkimpy and pyspf), over a real DNS server on loopback.

mod backscatter;
mod forwards;
mod lists;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern::sink::{Answer, Moment, Received, Sink, SinkSettings};
use postern_tests::{
    admin::{Admin, PASSWORD},
    dns::{World, mx, txt},
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

/// The first signature, which is good and that of the customer's domain.
#[track_caller]
fn our_signature(verdict: &Value) -> &Value {
    let signature = &verdict["dkim"][0];
    assert_eq!((&signature["good"], &signature["d"]), (&json!(true), &json!("homepage.test")), "{verdict}");
    signature
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
        let signature = our_signature(&verdict);
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
    let wanted = async || key_records(&platform, "homepage.test").await;
    let is_made = async || wanted().await.is_ok_and(|wanted| wanted.len() == 2);
    assert!(eventually(Duration::from_secs(20), is_made).await, "no successor");
    let wanted = wanted().await?;
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

/// Nobody could be told what becomes of it, and nobody who answers for a domain that takes no mail sends any (RFC 7505).
#[tokio::test(flavor = "multi_thread")]
async fn s_93_a_sender_whose_domain_takes_no_mail_is_refused_and_dns_that_fails_refuses_nobody()
-> anyhow::Result<()> {
    let world = World::start().await;
    world.add("nowhere.test", mx(""));
    world.add("somewhere.test", mx("mx.somewhere.test"));
    world.fail("broken.test", true);
    let (platform, _) = house(&world, Blueprint::new()).await?;
    let send = async |sender: &str| {
        let content = letter("a@somewhere.test", BOX, "hello", "");
        smtp::send(platform.smtp(0), sender, &[BOX], &content).await
    };
    assert_eq!(send("a@nowhere.test").await?, "550 5.7.27 sender address cannot receive mail (null MX)");
    // With an MX, without any record, without an answer, and without a sender it is taken.
    for sender in ["a@somewhere.test", "a@unknown.test", "a@broken.test", ""] {
        let reply = send(sender).await?;
        assert!(reply.starts_with("250 "), "<{sender}>: {reply}");
    }
    // Our own clients write what they like: what comes back is their affair.
    let mut client = smtp::Smtp::hello(platform.submission(0)).await?;
    let response = STANDARD.encode(format!("\0{BOX}\0{PASSWORD}"));
    client.expect(&format!("AUTH PLAIN {response}"), 235).await?;
    let own = client.transaction("a@nowhere.test", &[BOX], &smtp::message("own", 300)).await?;
    assert!(own.starts_with("250 "), "{own}");
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
