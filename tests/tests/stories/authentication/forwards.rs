//! Forwards outside: their seals, their senders, and what comes back.

use super::*;

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
