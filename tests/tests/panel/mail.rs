//! Sent & received: what came and went is found by its owner, with its story, and by nobody else.

use std::time::Duration;

use postern_tests::{
    admin::PASSWORD,
    eventually,
    pop3::Pop3,
    smtp::{self, Smtp, message, stuffed},
    web::Web,
};

use crate::house::House;

const LIST: &str = "/controlpanel/homepage.test/mail";

/// Address of the story of the first message in a list.
fn story_in(body: &str) -> Option<String> {
    let begin = body.find(&format!("{LIST}/story/"))?;
    body[begin..].split('"').next().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_and_went_is_found_with_its_story_by_its_owner_only() -> anyhow::Result<()> {
    let house = House::start().await?;
    let mut owner = Web::new(house.platform.panel());
    owner.sign_in("homepage", PASSWORD).await?;
    assert!(owner.get(LIST).await?.body.contains("No mail here"));

    assert!(house.send("user@homepage.test", "in").await?.starts_with("250 "));
    Pop3::login(house.platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    let to = ["far@outside.test"];
    let door = house.platform.smtp(0);
    let reply = smtp::send(door, "user@homepage.test", &to, &message("out", 700)).await?;
    let id = reply.rsplit(' ').next().unwrap_or_default().to_owned();
    let there = eventually(Duration::from_secs(10), async || {
        let sent = owner.get(&format!("{LIST}?direction=sent&state=sent")).await;
        sent.is_ok_and(|page| page.body.contains("far<span class=\"broken\">@outside.test"))
    });
    assert!(there.await, "what was handed over is listed: {}", owner.get(LIST).await?.body);
    // Each by what is asked for.
    let received = owner.get(&format!("{LIST}?direction=received")).await?.body;
    assert!(received.contains("in the mailbox") && !received.contains(&id), "{received}");
    let by_address = owner.get(&format!("{LIST}?address=far%40outside.test")).await?.body;
    assert_eq!(story_in(&by_address), Some(format!("{LIST}/story/{id}")), "{by_address}");
    let of_nobody = owner.get(&format!("{LIST}?address=nobody%40outside.test")).await?.body;
    assert!(of_nobody.contains("No mail here"));
    let of_the_future = owner.get(&format!("{LIST}?from=2999-01-01")).await?.body;
    assert!(of_the_future.contains("No mail here"));

    let story = owner.get(&format!("{LIST}/story/{id}")).await?;
    assert_eq!(story.status, 200);
    for told in [id.as_str(), "user@homepage.test", "handed over", "127.0.0.1"] {
        assert!(story.body.contains(told), "{told}: {}", story.body);
    }
    // Who has its number finds it by that, however it was copied; what is none, or nobody's, is told at the field.
    let typed = |number: &str| {
        let coded: String = number.bytes().map(|octet| format!("%{octet:02X}")).collect();
        format!("{LIST}?number={coded}")
    };
    for copied in [id.clone(), reply.clone(), format!("id <{}>;", id.to_uppercase())] {
        assert_eq!(owner.get(&typed(&copied)).await?.location, format!("{LIST}/story/{id}"), "{copied}");
    }
    for nothing in ["x", &id[1..], "0193c2a1b4c97f3e8d4a5b6c7d8e9f00"] {
        let page = owner.get(&typed(nothing)).await?;
        assert!(
            page.status == 422 && page.body.contains("id=\"number-problem\""),
            "{nothing}: {}",
            page.body
        );
    }
    // The counts of the week come within seconds.
    let counted = eventually(Duration::from_secs(15), async || {
        owner.get(LIST).await.is_ok_and(|page| page.body.contains("sent <strong>1</strong>"))
    });
    assert!(counted.await, "the week: {}", owner.get(LIST).await?.body);

    // Nobody else's, and no id that is none.
    let mut rival = Web::new(house.platform.panel());
    rival.sign_in("rival", PASSWORD).await?;
    for path in
        [format!("{LIST}/story/{id}"), LIST.to_owned(), format!("/controlpanel/rival.test/mail/story/{id}")]
    {
        assert_eq!(rival.get(&path).await?.status, 404, "{path}");
    }
    for nothing in ["x", &id[1..], "0193c2a1b4c97f3e8d4a5b6c7d8e9f00"] {
        assert_eq!(owner.get(&format!("{LIST}/story/{nothing}")).await?.status, 404, "{nothing}");
    }
    let page = rival.get(&format!("/controlpanel/rival.test/mail?number={id}")).await?;
    assert!(page.status == 422 && !page.body.contains("far@"), "{}", page.body);
    // The user of the box has the own mail.
    let mut user = Web::new(house.platform.panel());
    user.sign_in("user@homepage.test", PASSWORD).await?;
    assert_eq!(user.get(&format!("{LIST}/story/{id}")).await?.status, 200);

    // An address in UTF-8 is found and shown as any other.
    let mut client = Smtp::hello(door).await?;
    client.expect("MAIL FROM:<j\u{f6}rg@outside.test> SMTPUTF8", 250).await?;
    client.expect("RCPT TO:<user@homepage.test>", 250).await?;
    client.expect("DATA", 354).await?;
    client.send(&stuffed(&message("wide", 700))).await?;
    let reply = client.reply().await?;
    let id = reply.rsplit(' ').next().unwrap_or_default();
    let by_address = owner.get(&format!("{LIST}?address=j%C3%B6rg%40outside.test")).await?.body;
    assert_eq!(story_in(&by_address), Some(format!("{LIST}/story/{id}")), "{by_address}");
    for page in [by_address, owner.get(&format!("{LIST}/story/{id}")).await?.body] {
        assert!(page.contains("j\u{f6}rg"), "{page}");
    }
    Ok(())
}
