//! The story of a message from door to door: what was accepted, resolved, tried, delivered, read and deleted, and who may see it.

use std::{sync::Arc, time::Duration};

use postern::sink::{Answer, Moment, Sink, SinkSettings};
use postern_proto::{
    account::v1::{ListPosting, MailingList},
    delivery::v1::{
        GetTraceRequest, GetTrafficRequest, ListTracesRequest, MailDirection, TraceEntry, TraceState,
    },
    google::Timestamp,
};
use postern_tests::{
    admin::{Admin, PASSWORD},
    eventually,
    platform::{Blueprint, Platform},
    pop3::Pop3,
    smtp,
};

const LIMIT: Duration = Duration::from_secs(30);

/// Takes everything but `gone@`, and `slow@` at the third try only.
async fn outside() -> anyhow::Result<Sink> {
    let tries = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let script = move |moment: &Moment<'_>| match moment {
        Moment::Recipient { recipient, .. } if recipient.starts_with("gone@") => {
            Answer::Reply("550 5.1.1 nobody of that name".to_owned())
        }
        Moment::Recipient { recipient, .. } if recipient.starts_with("slow@") => {
            match tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 | 1 => Answer::Reply("450 4.2.1 come back later".to_owned()),
                _ => Answer::Accept,
            }
        }
        _ => Answer::Accept,
    };
    Ok(Sink::start(SinkSettings { script: Some(Arc::new(script)), ..SinkSettings::default() }).await?)
}

async fn house(sink: &Sink) -> anyhow::Result<(Platform, Admin)> {
    let platform = Blueprint::new()
        .set("POSTERN_SMARTHOST", &sink.address().to_string())
        .set("POSTERN_QUEUE_RETRY_SECONDS", "1")
        .start()
        .await?;
    let admin = platform.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.domain("rival", "rival.test").await?;
    for address in ["user@homepage.test", "mate@homepage.test", "other@rival.test"] {
        admin.mailbox(address).await?;
    }
    Ok((platform, admin))
}

fn id_of(reply: &str) -> String {
    reply.rsplit(' ').next().unwrap_or_default().to_owned()
}

async fn story(admin: &Admin, id: &str) -> anyhow::Result<Vec<TraceEntry>> {
    let request = GetTraceRequest { queue_id: id.to_owned() };
    Ok(admin.traces().get_trace(request).await?.into_inner().entries)
}

fn of<'a>(entries: &'a [TraceEntry], recipient: &str) -> Option<&'a TraceEntry> {
    entries.iter().find(|entry| entry.recipient == recipient)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_keeps_its_story() -> anyhow::Result<()> {
    let sink = outside().await?;
    let (platform, admin) = house(&sink).await?;
    admin.forward("all@homepage.test", &["mate@homepage.test", "far@outside.test"], false).await?;
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;

    let recipients = [
        "mate@homepage.test",
        "slow@outside.test",
        "gone@outside.test",
        "all@homepage.test",
        "other@rival.test",
    ];
    let content = smtp::message("story", 500);
    let reply = smtp::send(platform.smtp(0), "user@homepage.test", &recipients, &content).await?;
    let id = id_of(&reply);
    anyhow::ensure!(id.len() == 32, "{reply}");
    let settled = eventually(LIMIT, async || {
        story(&admin, &id).await.is_ok_and(|all| all.iter().all(|e| e.state() != TraceState::Queued))
    });
    assert!(settled.await, "{:#?}", story(&admin, &id).await);

    let entries = story(&admin, &id).await?;
    let state = |recipient: &str| of(&entries, recipient).map(TraceEntry::state);
    assert_eq!(state("mate@homepage.test"), Some(TraceState::Delivered));
    assert_eq!(state("other@rival.test"), Some(TraceState::Delivered));
    assert_eq!(state("all@homepage.test"), None, "the line of the forward's target tells of it");
    let far = of(&entries, "far@outside.test").expect("the forward's target");
    assert_eq!((far.state(), far.via.as_str()), (TraceState::Sent, "all@homepage.test"));
    assert!(far.outcome.contains("250 "), "{far:?}");
    let slow = of(&entries, "slow@outside.test").expect("a line");
    assert_eq!((slow.state(), slow.attempts.len()), (TraceState::Sent, 2));
    assert!(slow.attempts.iter().all(|attempt| attempt.outcome.contains("450 4.2.1 come back later")));
    let gone = of(&entries, "gone@outside.test").expect("a line");
    assert_eq!(gone.state(), TraceState::Failed);
    assert!(gone.outcome.contains("550 5.1.1 nobody of that name"), "{gone:?}");
    assert!(entries.iter().all(|e| e.login == "user@homepage.test" && e.sender == "user@homepage.test"));

    // Read, then deleted: noted although the message itself is gone by then.
    let mut session = Pop3::login(platform.pop3(0), "mate@homepage.test", PASSWORD).await?;
    session.retr(1).await?;
    session.ok("DELE 1").await?;
    session.quit().await?;
    let noted = eventually(LIMIT, async || {
        let all = story(&admin, &id).await.unwrap_or_default();
        of(&all, "mate@homepage.test").is_some_and(|e| e.read_time.is_some() && e.delete_time.is_some())
    });
    assert!(noted.await, "the box told that it was read and deleted");

    // The command shows the same.
    let (code, shown, error) = platform.postern(&["trace", &id], "").await?;
    assert_eq!(code, 0, "{error}");
    for word in ["accepted", "deferred", "450 4.2.1 come back later", "sent", "failed", "read", "deleted"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    let (code, shown, _) =
        platform.postern(&["trace", "--address", "gone@outside.test", "--json"], "").await?;
    assert!(code == 0 && shown.contains("TRACE_STATE_FAILED") && shown.contains(&id), "{shown}");
    let (code, ..) = platform.postern(&["trace", "01998877665544332211009988776655"], "").await?;
    assert_eq!(code, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_copy_of_a_list_has_its_line() -> anyhow::Result<()> {
    const LIST: &str = "staff@homepage.test";
    let sink = outside().await?;
    let (platform, admin) = house(&sink).await?;
    admin.forward("away@homepage.test", &["far@outside.test"], false).await?;
    let members = [
        "user@homepage.test",
        "other@rival.test",
        "away@homepage.test",
        "slow@outside.test",
        "gone@outside.test",
    ];
    let list = MailingList {
        address: LIST.to_owned(),
        posting: ListPosting::Anyone.into(),
        ..MailingList::default()
    };
    admin.mailing_list(list, &members.map(str::to_owned)).await?;
    let content = smtp::message("post", 500);
    let reply = smtp::send(platform.smtp(0), "friend@outside.test", &[LIST], &content).await?;
    let post = story(&admin, &id_of(&reply)).await?;
    assert_eq!((post.len(), post[0].state()), (1, TraceState::PassedOn), "{post:?}");

    let copies = async || -> anyhow::Result<Vec<TraceEntry>> {
        let all = admin.traces().list_traces(ListTracesRequest::default()).await?.into_inner().entries;
        Ok(all.into_iter().filter(|entry| entry.sender == "staff-bounces@homepage.test").collect())
    };
    let settled = eventually(LIMIT, async || {
        copies().await.is_ok_and(|all| {
            all.len() >= members.len() && all.iter().all(|entry| entry.state() != TraceState::Queued)
        })
    });
    assert!(settled.await, "{:#?}", copies().await);
    let all = copies().await?;
    assert_eq!(all.len(), members.len(), "one line each: {all:#?}");
    for (recipient, via, state, customer) in [
        ("user@homepage.test", LIST, TraceState::Delivered, "homepage"),
        ("other@rival.test", LIST, TraceState::Delivered, "rival"),
        ("far@outside.test", "away@homepage.test", TraceState::Sent, "homepage"),
        ("slow@outside.test", LIST, TraceState::Sent, ""),
        ("gone@outside.test", LIST, TraceState::Failed, ""),
    ] {
        let entry = of(&all, recipient).expect(recipient);
        assert_eq!((entry.via.as_str(), entry.state(), entry.customer.as_str()), (via, state, customer));
    }
    let copy = story(&admin, &all[0].queue_id).await?;
    assert_eq!(copy.len(), members.len(), "the copy has one id: {copy:#?}");
    assert_eq!(of(&copy, "slow@outside.test").map(|entry| entry.attempts.len()), Some(2));
    let gone = of(&all, "gone@outside.test").expect("a line");
    assert!(gone.outcome.contains("550 5.1.1 nobody of that name"), "{gone:?}");

    // A member sees the copy in the own box, and that it was read.
    let mut session = Pop3::login(platform.pop3(0), "other@rival.test", PASSWORD).await?;
    session.retr(1).await?;
    session.quit().await?;
    let read = eventually(LIMIT, async || {
        let request = ListTracesRequest::default();
        let own = admin.traces_as_customer("rival").list_traces(request).await;
        own.is_ok_and(|own| matches!(&own.into_inner().entries[..], [only] if only.read_time.is_some()))
    });
    assert!(read.await, "the member's customer sees that it was read");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_side_sees_its_own_and_no_more() -> anyhow::Result<()> {
    let sink = outside().await?;
    let (platform, admin) = house(&sink).await?;
    let user = admin.get_mailbox("user@homepage.test").await?.mailbox_id;
    Pop3::login(platform.pop3(0), "user@homepage.test", PASSWORD).await?.quit().await?;
    for (from, to) in [
        ("user@homepage.test", "other@rival.test"),
        ("friend@outside.test", "user@homepage.test"),
        ("friend@outside.test", "mate@homepage.test"),
    ] {
        // On the door of mail programs the grant names the sender, also of mail that stays here.
        let ours = from.ends_with("@homepage.test");
        let door = if ours { platform.submission(0) } else { platform.smtp(0) };
        let reply = smtp::send(door, from, &[to], &smtp::message("mail", 300)).await?;
        anyhow::ensure!(reply.starts_with("250 "), "{reply}");
    }
    let mut reader = Pop3::login(platform.pop3(0), "other@rival.test", PASSWORD).await?;
    reader.retr(1).await?;
    reader.quit().await?;
    let read = eventually(LIMIT, async || {
        let request = ListTracesRequest { customer: "rival".to_owned(), ..Default::default() };
        let all = admin.traces().list_traces(request).await.map(|a| a.into_inner().entries);
        all.is_ok_and(|all| all.len() == 1 && all[0].read_time.is_some())
    });
    assert!(read.await, "the rival's mail is noted as read");

    let list =
        async |mut client: postern_proto::delivery::v1::trace_service_client::TraceServiceClient<_>,
               request: ListTracesRequest|
               -> anyhow::Result<Vec<TraceEntry>> {
            Ok(client.list_traces(request).await?.into_inner().entries)
        };
    let lines = |entries: &[TraceEntry]| -> Vec<String> {
        let line = |e: &TraceEntry| format!("{:?} {} {}", e.direction(), e.sender, e.recipient);
        entries.iter().map(line).collect()
    };
    let own = list(admin.traces_as_customer("homepage"), ListTracesRequest::default()).await?;
    assert_eq!(
        lines(&own),
        [
            "Received friend@outside.test mate@homepage.test",
            "Received friend@outside.test user@homepage.test",
            "Sent user@homepage.test other@rival.test",
        ],
        "newest first"
    );
    // The sender learns that it arrived, and nothing of the other side.
    let sent = &own[2];
    assert_eq!((sent.state(), sent.mailbox_id, sent.customer.as_str()), (TraceState::Delivered, 0, ""));
    assert!(sent.read_time.is_none() && sent.login == "user@homepage.test");
    let received = list(admin.traces_as_customer("rival"), ListTracesRequest::default()).await?;
    assert!(
        received[0].read_time.is_some() && received[0].login.is_empty() && received[0].peer_ip.is_empty()
    );

    let users =
        list(admin.traces_as_mailbox("user@homepage.test", "homepage", user), ListTracesRequest::default())
            .await?;
    assert_eq!(lines(&users), [lines(&own)[1].clone(), lines(&own)[2].clone()]);
    let filtered = ListTracesRequest {
        direction: MailDirection::Received.into(),
        sender: "Friend@outside.test".to_owned(),
        address: "mate@homepage.test".to_owned(),
        ..Default::default()
    };
    assert_eq!(list(admin.traces_as_customer("homepage"), filtered).await?.len(), 1);
    let future = Timestamp { seconds: 4_000_000_000, nanos: 0 };
    let none = ListTracesRequest { begin_time: Some(future), ..Default::default() };
    assert!(list(admin.traces(), none).await?.is_empty());

    // Page by page it is the same list.
    let mut paged = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListTracesRequest { page_size: 1, page_token, ..Default::default() };
        let page = admin.traces_as_customer("homepage").list_traces(request).await?.into_inner();
        paged.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(lines(&paged), lines(&own));
    traffic(&admin).await
}

/// What came in and went out is summed up by the hour.
async fn traffic(admin: &Admin) -> anyhow::Result<()> {
    let sums = async |customer: &str| -> anyhow::Result<(i64, i64)> {
        let request = GetTrafficRequest { customer: customer.to_owned(), ..Default::default() };
        let hours = admin.traces().get_traffic(request).await?.into_inner().hours;
        Ok(hours.iter().fold((0, 0), |sum, hour| (sum.0 + hour.received_count, sum.1 + hour.sent_count)))
    };
    let counted = eventually(LIMIT, async || {
        sums("homepage").await.is_ok_and(|s| s == (2, 1)) && sums("rival").await.is_ok_and(|s| s == (1, 0))
    });
    assert!(counted.await, "{:?} {:?}", sums("homepage").await, sums("rival").await);
    Ok(())
}
