//! Mailing lists and autoresponders from door to door: in by SMTP, out by POP3 and to the outside, each copy counted.

use std::{collections::BTreeMap, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use postern_proto::account::v1::{ListListMembersRequest, ListPosting, ListReplies, MailingList};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform, Service},
    pop3::{Pop3, read_all},
    smtp,
};

const LIMIT: Duration = Duration::from_secs(30);

fn list(address: &str, posting: ListPosting) -> MailingList {
    MailingList {
        address: address.to_owned(),
        posting: posting.into(),
        replies: ListReplies::List.into(),
        subject_prefix: "[staff]".to_owned(),
        owner: "owner@outside.test".to_owned(),
        ..MailingList::default()
    }
}

fn letter(to: &str, subject: &str, more: &str) -> Vec<u8> {
    format!("From: a@outside.test\r\nTo: {to}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@outside.test>\r\n{more}\r\nbody\r\n")
        .into_bytes()
}

async fn send(platform: &Platform, from: &str, to: &str, content: &[u8]) -> anyhow::Result<String> {
    smtp::send(platform.smtp(0), from, &[to], content).await
}

async fn texts(platform: &Platform, login: &str) -> anyhow::Result<Vec<String>> {
    let all = read_all(platform.pop3(0), login, PASSWORD).await?;
    Ok(all.iter().map(|octets| String::from_utf8_lossy(octets).into_owned()).collect())
}

fn field(text: &str, name: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default().to_owned()
}

/// Waits until a box holds so many messages; they come oldest first.
async fn until(platform: &Platform, login: &str, count: usize) -> anyhow::Result<Vec<String>> {
    let there =
        eventually(LIMIT, async || texts(platform, login).await.is_ok_and(|texts| texts.len() >= count))
            .await;
    let texts = texts(platform, login).await?;
    anyhow::ensure!(there && texts.len() == count, "{login} has {} messages: {texts:#?}", texts.len());
    Ok(texts)
}

async fn house(blueprint: Blueprint) -> anyhow::Result<(Platform, Admin)> {
    let platform = blueprint.start().await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    for name in ["anna", "bert"] {
        admin.mailbox(&format!("{name}@homepage.test")).await?;
    }
    Ok((platform, admin))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_reaches_each_member_and_replies_come_back_to_the_list() -> anyhow::Result<()> {
    let (platform, admin) = house(Blueprint::new()).await?;
    admin.forward("bertl@homepage.test", &["bert@homepage.test"], false).await?;
    let members = ["anna@homepage.test", "bert@homepage.test", "bertl@homepage.test", "out@outside.test"];
    let members: Vec<String> = members.map(str::to_owned).to_vec();
    admin.mailing_list(list("staff@homepage.test", ListPosting::Members), &members).await?;

    let post = letter("staff@homepage.test", "hello", "List-Id: <other.outside.test>\r\n");
    let reply = send(&platform, "stranger@outside.test", "staff@homepage.test", &post).await?;
    assert!(reply.starts_with("550 5.7.2 "), "{reply}");
    let reply = send(&platform, "out@outside.test", "staff@homepage.test", &post).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    assert!(eventually(LIMIT, async || platform.sink.messages().len() == 1).await);
    let outside = platform.sink.messages().remove(0);
    assert_eq!(outside.sender, "staff-bounces+out=outside.test@homepage.test");
    for name in ["anna", "bert"] {
        let text = until(&platform, &format!("{name}@homepage.test"), 1).await?.remove(0);
        assert_eq!(field(&text, "Subject"), "[staff] hello");
        assert_eq!(field(&text, "Reply-To"), "staff@homepage.test");
        assert_eq!(text.matches("List-Id: ").count(), 1, "{text}");
        assert_eq!(
            field(&text, "Return-Path"),
            format!("<staff-bounces+{name}=homepage.test@homepage.test>")
        );
    }

    // What comes back to the sender of a copy goes nowhere, and so does the copy itself.
    let bounce = letter("x", "failed", "");
    let reply = send(&platform, "", "staff-bounces+out=outside.test@homepage.test", &bounce).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let reply = send(&platform, "out@outside.test", "staff@homepage.test", &outside.content).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let reply =
        send(&platform, "out@outside.test", "staff@homepage.test", &letter("s", "second", "")).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let anna = until(&platform, "anna@homepage.test", 2).await?;
    assert_eq!(field(&anna[1], "Subject"), "[staff] second");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn l_06_somebody_outside_subscribes_and_leaves() -> anyhow::Result<()> {
    let (platform, admin) = house(Blueprint::new()).await?;
    admin.mailing_list(list("staff@homepage.test", ListPosting::Members), &[]).await?;
    let members = async || -> anyhow::Result<Vec<String>> {
        let request = ListListMembersRequest { list: "staff@homepage.test".to_owned(), ..Default::default() };
        let answer = admin.mailing_lists().list_list_members(request).await?.into_inner();
        Ok(answer.members.into_iter().map(|member| member.address).collect())
    };
    let mut heard = 0;
    for (command, wanted) in [("subscribe", 1), ("unsubscribe", 0)] {
        let address = format!("staff-{command}@homepage.test");
        send(&platform, "new@outside.test", &address, &letter(&address, command, "")).await?;
        heard += 1;
        assert!(eventually(LIMIT, async || platform.sink.messages().len() == heard).await, "{command}");
        let question = platform.sink.messages().pop().expect("a question");
        assert_eq!(
            (question.sender.as_str(), &question.recipients[..]),
            ("", &["new@outside.test".to_owned()][..])
        );
        let text = String::from_utf8_lossy(&question.content).into_owned();
        let reply_to = field(&text, "Reply-To");
        assert!(reply_to.starts_with("staff-request+"), "{text}");
        assert_ne!(members().await?.len(), wanted, "not before it is confirmed");
        send(&platform, "new@outside.test", &reply_to, &letter(&reply_to, "yes", "")).await?;
        heard += 1;
        assert!(eventually(LIMIT, async || platform.sink.messages().len() == heard).await, "{command}");
        assert_eq!(members().await?.len(), wanted);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_handed_to_a_list_server_elsewhere_is_only_an_address_here() -> anyhow::Result<()> {
    let (platform, admin) = house(Blueprint::new()).await?;
    let members = ["anna@homepage.test".to_owned()];
    admin.mailing_list(list("staff@homepage.test", ListPosting::Members), &members).await?;
    let hand_to = async |listserv: &str| -> anyhow::Result<()> {
        let set = ["list", "set", "staff@homepage.test", "--listserv", listserv];
        let (code, _, error) = platform.postern(&set, "").await?;
        anyhow::ensure!(code == 0, "{error}");
        Ok(())
    };
    hand_to("staff@lists.outside.test").await?;

    // Whoever may post and subscribe is decided there, so a stranger's mail goes on too, and not as one of this list.
    for (heard, address) in ["staff", "staff-subscribe", "staff-owner"].into_iter().enumerate() {
        let to = format!("{address}@homepage.test");
        let reply = send(&platform, "stranger@outside.test", &to, &letter(&to, address, "")).await?;
        assert!(reply.starts_with("250 "), "{to}: {reply}");
        let arrived = eventually(LIMIT, async || platform.sink.messages().len() == heard + 1).await;
        assert!(arrived, "{to} goes to the list server");
        let message = platform.sink.messages().remove(heard);
        assert_eq!(message.recipients, ["staff@lists.outside.test"], "{to}");
        let text = String::from_utf8_lossy(&message.content).into_owned();
        assert_eq!((field(&text, "Subject"), field(&text, "List-Id")), (address.to_owned(), String::new()));
    }

    // Taken back, it is the list that it was.
    hand_to("").await?;
    let post = letter("staff@homepage.test", "home", "");
    let posted = eventually(LIMIT, async || {
        send(&platform, "anna@homepage.test", "staff@homepage.test", &post)
            .await
            .is_ok_and(|reply| reply.starts_with("250 "))
            && texts(&platform, "anna@homepage.test").await.is_ok_and(|texts| !texts.is_empty())
    });
    assert!(posted.await, "its member gets posts again");
    // The first ones may have come within the second that caches have.
    let last = letter("staff@homepage.test", "last", "");
    let reply = send(&platform, "anna@homepage.test", "staff@homepage.test", &last).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let is_last = |text: &str| field(text, "Subject").ends_with("last");
    let there = eventually(LIMIT, async || {
        texts(&platform, "anna@homepage.test").await.is_ok_and(|texts| texts.iter().any(|text| is_last(text)))
    });
    assert!(there.await, "and goes on to get them");
    let elsewhere = platform.sink.messages();
    assert!(
        !elsewhere.iter().any(|message| is_last(&String::from_utf8_lossy(&message.content))),
        "the list server none"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_03_responders_answer_people_once_and_never_each_other() -> anyhow::Result<()> {
    let (platform, admin) = house(Blueprint::new()).await?;
    admin.autoresponder("anna@homepage.test", "Away: {subject}", "Dear {sender}, back soon.").await?;
    admin.autoresponder("bert@homepage.test", "Gr\u{fc}\u{df}e", "Bin weg, {sender}.").await?;
    let members = ["anna@homepage.test", "bert@homepage.test"].map(str::to_owned);
    admin.mailing_list(list("staff@homepage.test", ListPosting::Anyone), &members).await?;

    let hello = letter("bert@homepage.test", "hello", "");
    for _ in 0..2 {
        let reply = send(&platform, "anna@homepage.test", "bert@homepage.test", &hello).await?;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let answers = until(&platform, "anna@homepage.test", 1).await?;
    assert_eq!(field(&answers[0], "Return-Path"), "<>");
    assert_eq!(field(&answers[0], "In-Reply-To"), "<hello@outside.test>");

    // A post to the list both are in is answered by neither; a letter to one after it is.
    send(&platform, "friend@outside.test", "staff@homepage.test", &letter("staff@homepage.test", "post", ""))
        .await?;
    until(&platform, "anna@homepage.test", 2).await?;
    let direct = letter("anna@homepage.test", "direct", "");
    send(&platform, "friend@outside.test", "anna@homepage.test", &direct).await?;
    assert!(eventually(LIMIT, async || !platform.sink.messages().is_empty()).await);
    assert_eq!(platform.sink.messages().len(), 1);
    let answer = platform.sink.messages().remove(0);
    assert_eq!((answer.sender.as_str(), answer.recipients[0].as_str()), ("", "friend@outside.test"));
    let text = String::from_utf8_lossy(&answer.content).into_owned();
    assert_eq!(field(&text, "Subject"), "Away: direct");
    assert!(text.contains("Dear friend@outside.test, back soon."), "{text}");
    until(&platform, "bert@homepage.test", 3).await?;
    until(&platform, "anna@homepage.test", 3).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn l_07_a_killed_worker_gives_each_member_one_copy() -> anyhow::Result<()> {
    let at_once = Blueprint::new().set("POSTERN_LIMIT_LIST_COPIES_PER_SECOND", "0");
    let (mut platform, admin) = house(at_once).await?;
    let mut members: Vec<String> = (0..1000).map(|n| format!("m{n}@outside.test")).collect();
    members.push("anna@homepage.test".to_owned());
    members.push("bert@homepage.test".to_owned());
    admin.mailing_list(list("staff@homepage.test", ListPosting::Anyone), &members).await?;
    let reply =
        send(&platform, "friend@outside.test", "staff@homepage.test", &letter("staff", "post", "")).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    // Somewhere in the middle.
    assert!(eventually(LIMIT, async || !platform.sink.messages().is_empty()).await);
    platform.replica(Service::Delivery, 0).process.kill()?;
    platform.replica(Service::Delivery, 0).process.spawn()?;
    platform.wait_ready(Service::Delivery).await?;
    // What the dead one had taken is due again when its lease ends.
    let all = eventually(Duration::from_secs(240), async || {
        let mut got: Vec<String> =
            platform.sink.messages().iter().flat_map(|m| m.recipients.clone()).collect();
        got.sort();
        got.dedup();
        got.len() == 1000
    })
    .await;
    let copies = platform.sink.messages().len();
    assert!(all, "{copies} copies");
    // A copy whose 250 we could not read any more may have left twice: no more than connections at once.
    assert!(copies <= 1000 + 100, "{copies} copies");
    for name in ["anna", "bert"] {
        until(&platform, &format!("{name}@homepage.test"), 1).await?;
    }
    Ok(())
}

/// What a program that leaves its mail here knows of a box: the number of each message, and what it was.
async fn known(platform: &Platform, login: &str) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let mut session = Pop3::login(platform.pop3(0), login, PASSWORD).await?;
    let mut known = BTreeMap::new();
    for (number, uidl) in (1..).zip(session.uidl().await?) {
        known.insert(uidl, session.retr(number).await?);
    }
    session.quit().await?;
    Ok(known)
}

#[tokio::test(flavor = "multi_thread")]
async fn i_07_no_crash_of_the_database_gives_the_number_of_a_copy_to_another_message() -> anyhow::Result<()> {
    let (mut platform, admin) = house(Blueprint::new()).await?;
    let members = ["anna@homepage.test", "bert@homepage.test"];
    admin.mailing_list(list("staff@homepage.test", ListPosting::Anyone), &members.map(str::to_owned)).await?;
    let pool = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    // Postgres writes down 32 numbers ahead: the second of this post is the first that it has to write down.
    while sqlx::query_scalar::<_, i64>("select log_cnt from mail.entry_uid").fetch_one(&pool).await? != 1 {
        sqlx::query("select nextval('mail.entry_uid')").execute(&pool).await?;
    }
    let reply =
        send(&platform, "friend@outside.test", "staff@homepage.test", &letter("staff", "post", "")).await?;
    assert!(reply.starts_with("250 "), "{reply}");
    let count = "select count(*) from mail.entries";
    while sqlx::query_scalar::<_, i64>(count).fetch_one(&pool).await? < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let seen = known(&platform, "bert@homepage.test").await?;
    kill(Pid::from_raw(i32::try_from(platform.stores.postgres_pid())?), Signal::SIGKILL)?;
    assert_eq!(seen.len(), 1);
    platform.stores.restart_postgres().await?;
    let direct = letter("bert@homepage.test", "direct", "");
    let taken = eventually(LIMIT, async || {
        send(&platform, "friend@outside.test", "bert@homepage.test", &direct)
            .await
            .is_ok_and(|reply| reply.starts_with("250 "))
    });
    assert!(taken.await, "mail is taken again");
    // What was refused at first may be there as well.
    let there = eventually(LIMIT, async || {
        let texts = texts(&platform, "bert@homepage.test").await.unwrap_or_default();
        ["[staff] post", "direct"].iter().all(|what| texts.iter().any(|text| field(text, "Subject") == *what))
    });
    assert!(there.await, "both are there");
    let now = known(&platform, "bert@homepage.test").await?;
    for (uidl, octets) in seen {
        assert_eq!(now.get(&uidl).map(|now| *now == octets), Some(true), "{uidl} is what it was");
    }
    Ok(())
}
