//! Lists: whose name stands in a copy, whose copies bounce, and the one click that ends a subscription.

use postern_proto::account::v1::{ListListMembersRequest, ListMember, ListPosting, ListReplies, MailingList};
use postern_tests::dns::address;

use super::*;

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
        let signature = our_signature(&verdict);
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
