//! The whole service behind its gRPC doors: in by SubmitMessage, out by the maildrop calls.

use clap::{Args as _, Command, FromArgMatches as _};
use futures_util::StreamExt as _;
use postern_delivery::Settings;
use postern_mail::{MessageId, Reason};
use postern_mesh::{
    client::MeshChannel,
    failure,
    identity::{Caller, Role},
};
use postern_proto::delivery::v1::{
    box_service_client::BoxServiceClient, lock_service_client::LockServiceClient,
    maildrop_service_client::MaildropServiceClient, queue_service_client::QueueServiceClient,
    read_messages_response::Frame, submission_service_client::SubmissionServiceClient, *,
};
use tonic::Status;

use crate::{
    directory::customer_of,
    house::{House, local, new_box},
};

pub(crate) struct Service {
    pub(crate) house: House,
    pub(crate) channel: MeshChannel,
    /// The same service, as its operators call it.
    operator: MeshChannel,
}

impl Service {
    pub(crate) async fn new() -> Self {
        let house = House::new().await;
        let channel = Self::replica(&house).await;
        let operator = channel.with_caller(Caller::new("test", Role::Operator));
        Self { house, channel, operator }
    }

    /// The service once more on the same stores.
    pub(crate) async fn replica(house: &House) -> MeshChannel {
        let arguments = [
            format!("--database-url={}", house.database_url),
            format!("--redis-url={}", house.redis_url),
            format!("--blob-url=file://{}", house.blob_folder.path().display()),
            // Nobody listens there: what must leave stays queued.
            "--smarthost=127.0.0.1:9".to_owned(),
            // These tests have no DNS.
            "--mail-check-millis=0".to_owned(),
            "--limit-message-bytes=5000000".to_owned(),
        ];
        let command = Settings::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).expect("settings");
        let settings = Settings::from_arg_matches(&matches).expect("settings");
        let routes =
            postern_delivery::open(&settings, house.fake.channel(), &house.shutdown).await.expect("open");
        local(routes)
    }

    pub(crate) async fn submit(&self, envelope: Envelope, content: &[u8]) -> Result<String, Status> {
        let mut frames =
            vec![SubmitMessageRequest { envelope: Some(envelope), ..SubmitMessageRequest::default() }];
        for piece in content.chunks(100_000) {
            let content = piece.to_vec().into();
            frames.push(SubmitMessageRequest { content, ..SubmitMessageRequest::default() });
        }
        let end = frames.last_mut().expect("a frame");
        (end.last, end.answer_within_millis) = (true, 20_000);
        let mut client = SubmissionServiceClient::new(self.channel.clone());
        Ok(client.submit_message(futures_util::stream::iter(frames)).await?.into_inner().queue_id)
    }

    /// Opens, reads all, deletes all and closes.
    async fn fetch(&self, mailbox_id: i64) -> Vec<Vec<u8>> {
        let mut client = MaildropServiceClient::new(self.channel.clone());
        let request =
            OpenMaildropRequest { mailbox_id, peer_ip: "203.0.113.9".to_owned(), ..Default::default() };
        let mut pages = client.open_maildrop(request).await.expect("open").into_inner();
        let (mut token, mut uids, mut last) = (0, Vec::new(), 0);
        while let Some(page) = pages.next().await {
            let page = page.expect("a page");
            token = page.header.map_or(token, |header| header.lock_token);
            uids.extend(page.uid_deltas.iter().map(|delta| {
                last += delta;
                last
            }));
        }
        let mut messages = vec![Vec::new(); uids.len()];
        if !uids.is_empty() {
            let request = ReadMessagesRequest { mailbox_id, uids: uids.clone(), utf8: false };
            let mut frames = client.read_messages(request).await.expect("read").into_inner();
            while let Some(frame) = frames.next().await {
                let ReadMessagesResponse { index, frame } = frame.expect("a frame");
                match frame.expect("a kind") {
                    Frame::Content(octets) => messages[index as usize].extend_from_slice(&octets),
                    Frame::Failure(failure) => panic!("{}", failure.reason),
                    Frame::SizeBytes(_) | Frame::End(_) => {}
                }
            }
        }
        let count = i32::try_from(uids.len()).expect("few");
        let request = CloseMaildropRequest {
            mailbox_id,
            lock_token: token,
            deleted_uids: uids,
            retrieved_uids: Vec::new(),
        };
        let closed = client.close_maildrop(request).await.expect("closed").into_inner();
        assert_eq!(closed.deleted_count, count);
        messages
    }
}

pub(crate) fn envelope(recipients: &[String]) -> Envelope {
    Envelope {
        message_id: MessageId::new().as_bytes().to_vec().into(),
        sender: "friend@remote.test".to_owned(),
        recipients: recipients.to_vec(),
        peer_ip: "203.0.113.9".to_owned(),
        helo: "client.example".to_owned(),
        with_protocol: "ESMTP".to_owned(),
        by_host: "mx.postern.test".to_owned(),
        ..Envelope::default()
    }
}

pub(crate) fn address(mailbox: i64) -> String {
    format!("box{mailbox}@local.test")
}

#[tokio::test]
async fn i_02_a_submission_is_known_again_when_the_message_is_gone() {
    let service = Service::new().await;
    let mailbox = new_box();
    let to_a_box = envelope(&[address(mailbox)]);
    let mut leaving = envelope(&["friend@remote.test".to_owned()]);
    leaving.submitter = Some(Submitter::default());
    let content = b"Subject: once\r\n\r\nbody\r\n";
    for envelope in [&to_a_box, &leaving] {
        service.submit(envelope.clone(), content).await.expect("accepted");
    }
    // Read and deleted; taken by its host.
    assert_eq!(service.fetch(mailbox).await.len(), 1);
    service.house.run("DELETE FROM queue").await;
    service.house.run("DELETE FROM messages").await;
    // Whoever heard no answer asks again, perhaps another replica.
    for envelope in [&to_a_box, &leaving] {
        let again = service.submit(envelope.clone(), content).await.expect("answered");
        assert_eq!(again, service.submit(envelope.clone(), content).await.expect("answered"));
    }
    assert!(service.fetch(mailbox).await.is_empty(), "it does not come back");
    assert_eq!(service.house.number("SELECT count(*) FROM messages").await, 0);
    assert_eq!(service.house.number("SELECT count(*) FROM queue").await, 0, "it does not leave again");
    assert_eq!(service.house.number("SELECT count(*) FROM trace").await, 2, "one story each");
}

#[tokio::test]
async fn what_is_submitted_is_read_byte_for_byte() {
    let service = Service::new().await;
    let mailbox = new_box();
    for size in [10, 60_000, 64 * 1024 + 1, 3_000_000] {
        let body: String = (0..size / 10).map(|n| format!("{:08}\r\n", n % 100_000_000)).collect();
        let content = format!("Return-Path: <forged@x.test>\r\nSubject: {size}\r\n\r\n{body}");
        let envelope = envelope(&[address(mailbox)]);
        let id = service.submit(envelope, content.as_bytes()).await.expect("accepted");
        let messages = service.fetch(mailbox).await;
        let text = String::from_utf8(messages[0].clone()).expect("text");
        let (front, rest) = text.split_once("Subject: ").expect("the header");
        assert!(rest == format!("{size}\r\n\r\n{body}"), "{size}");
        let lines: Vec<&str> = front.split("\r\n").collect();
        assert_eq!(lines[0], "Return-Path: <friend@remote.test>");
        assert_eq!(lines[1], format!("Delivered-To: {}", address(mailbox)));
        assert_eq!(lines[2], "Received: from client.example ([203.0.113.9])");
        assert_eq!(lines[3], format!("\tby mx.postern.test with ESMTP id {id};"));
        assert!(service.fetch(mailbox).await.is_empty());
    }
}

#[tokio::test]
async fn refusals_are_typed_and_nothing_is_kept() {
    let service = Service::new().await;
    let good = address(new_box());
    let loops = "Received: x\r\n".repeat(101);
    let large = vec![b'\n'; 5_000_001];
    let cases: [(&[&str], &[u8], Reason); 6] = [
        (&["nobody@local.test"], b"A: b\r\n", Reason::NoSuchMailbox),
        (&["nobody@local.test", "no@local.test"], b"A: b\r\n", Reason::NoSuchMailbox),
        (&[&good], loops.as_bytes(), Reason::MailLoop),
        (&[&good], &large, Reason::MessageTooLarge),
        (&["not an address"], b"A: b\r\n", Reason::Misconfigured),
        (&["far@remote.test"], b"A: b\r\n", Reason::RelayProhibited),
    ];
    for (recipients, content, reason) in cases {
        let recipients: Vec<String> = recipients.iter().map(ToString::to_string).collect();
        let status = service.submit(envelope(&recipients), content).await.expect_err("refused");
        let told = failure::reason_of(&status);
        assert!(
            told == reason || reason == Reason::Misconfigured,
            "{told:?} for {recipients:?}, not {reason:?}"
        );
    }
    let mut client = SubmissionServiceClient::new(service.channel.clone());
    let cut = SubmitMessageRequest { envelope: Some(envelope(&[good])), ..SubmitMessageRequest::default() };
    client.submit_message(futures_util::stream::iter([cut])).await.expect_err("S-20: no end, no message");
    assert_eq!(service.house.number("SELECT count(*) FROM messages").await, 0);
    *service.house.fake.is_away.lock().unwrap() = true;
    let status =
        service.submit(envelope(&["box1@local.test".to_owned()]), b"A: b\r\n").await.expect_err("away");
    assert_eq!(failure::reason_of(&status), Reason::Unavailable);
}

#[tokio::test]
async fn who_cannot_be_reached_is_bounced_while_others_get_it() {
    let service = Service::new().await;
    let (sender, mailbox) = (new_box(), new_box());
    let mut mixed = envelope(&[address(mailbox), "nobody@local.test".to_owned()]);
    mixed.sender = address(sender);
    // The gateway asks again: the bounce is not made twice either.
    for _ in 0..2 {
        service.submit(mixed.clone(), b"Subject: hello\r\n\r\nbody\r\n").await.expect("accepted");
    }
    assert_eq!(service.fetch(mailbox).await.len(), 1);
    let bounces = service.fetch(sender).await;
    assert_eq!(bounces.len(), 1);
    let bounce = String::from_utf8(bounces[0].clone()).expect("text");
    for part in ["Return-Path: <>", "nobody@local.test", "Subject: hello", "5.1.1", "delivery-status"] {
        assert!(bounce.contains(part), "{part} in {bounce}");
    }
    // Thrown away by its owner's wish: nothing to keep.
    service.submit(envelope(&["discard@local.test".to_owned()]), b"A: b\r\n").await.expect("accepted");
    assert_eq!(service.house.number("SELECT count(*) FROM messages").await, 0);
}

#[tokio::test]
async fn what_must_leave_is_queued() {
    let service = Service::new().await;
    let mut outgoing = envelope(&["far@remote.test".to_owned()]);
    outgoing.submitter =
        Some(Submitter { login: "me".to_owned(), customer: "me".to_owned(), ..Submitter::default() });
    let id = service.submit(outgoing, b"A: b\r\n").await.expect("accepted");
    let mut client = QueueServiceClient::new(service.operator.clone());
    let entries =
        client.list_queue_entries(ListQueueEntriesRequest::default()).await.expect("listed").into_inner();
    assert_eq!(entries.entries.len(), 1);
    assert_eq!((&entries.entries[0].queue_id, entries.entries[0].customer.as_str()), (&id, "me"));
}

/// Where its readers look, too; and while nobody can say whose a name is, nothing is taken.
#[tokio::test]
async fn s_73_a_submission_is_written_in_no_name_of_another_customer() {
    let service = Service::new().await;
    let mailbox = new_box();
    let mut sent = 0;
    for (sender, header, refusal) in [
        ("me@local.test", "From: me@local.test", None),
        ("", "From: Me <me@elsewhere.test>, you@local.test\r\nSender: me@local.test", None),
        ("boss@rival.test", "From: me@local.test", Some(Reason::SenderNotPermitted)),
        ("me@local.test", "FROM :\r\n The Boss <boss@Rival.test>", Some(Reason::AuthorNotPermitted)),
        ("me@local.test", "From: me@local.test, boss@rival.test", Some(Reason::AuthorNotPermitted)),
        ("me@local.test", "From: me@local.test\r\nFrom: boss@rival.test", Some(Reason::AuthorNotPermitted)),
        ("", "From: me@local.test\r\nSender: boss@rival.test", Some(Reason::AuthorNotPermitted)),
    ] {
        let content = format!("{header}\r\nSubject: x\r\n\r\nFrom: boss@rival.test\r\n");
        let from_outside = Envelope { sender: sender.to_owned(), ..envelope(&[address(mailbox)]) };
        let submitter = Some(Submitter { customer: "me".to_owned(), ..Submitter::default() });
        let submission = Envelope {
            submitter,
            message_id: MessageId::new().as_bytes().to_vec().into(),
            ..from_outside.clone()
        };
        let answer = service.submit(submission, content.as_bytes()).await;
        assert_eq!(answer.as_ref().err().map(failure::reason_of), refusal, "{sender} {header}");
        service.submit(from_outside, content.as_bytes()).await.expect("of strangers nobody asks");
        sent += 1 + usize::from(refusal.is_none());
    }
    assert_eq!(service.fetch(mailbox).await.len(), sent);
    *service.house.fake.is_away.lock().unwrap() = true;
    let mut unknown = envelope(&[address(mailbox)]);
    unknown.submitter = Some(Submitter { customer: "me".to_owned(), ..Submitter::default() });
    let status = service.submit(unknown, b"From: boss@not-asked-before.test\r\n").await.expect_err("away");
    assert_eq!(failure::reason_of(&status), Reason::Unavailable);
}

#[tokio::test]
async fn operators_see_boxes_and_locks() {
    let service = Service::new().await;
    let mailbox_id = new_box();
    let mut boxes = BoxServiceClient::new(service.operator.clone());
    let mut locks = LockServiceClient::new(service.operator.clone());
    let empty = boxes.get_box(GetBoxRequest { mailbox_id }).await.expect("a box").into_inner().r#box;
    assert_eq!(empty, Some(Box { mailbox_id, generation: 1, ..Box::default() }));
    service.submit(envelope(&[address(mailbox_id)]), b"A: b\r\n").await.expect("accepted");
    let full =
        boxes.get_box(GetBoxRequest { mailbox_id }).await.expect("a box").into_inner().r#box.expect("it");
    assert_eq!(full.message_count, 1);
    assert!(full.used_bytes > 6 && full.oldest_message_time.is_some());

    let status = locks.get_lock(GetLockRequest { mailbox_id }).await.expect_err("free");
    assert_eq!(failure::reason_of(&status), Reason::NotFound);
    let mut maildrop = MaildropServiceClient::new(service.channel.clone());
    let request = OpenMaildropRequest {
        mailbox_id,
        peer_ip: "203.0.113.9".to_owned(),
        gateway: "g".to_owned(),
        session_id: "s".to_owned(),
        utf8: false,
        again: false,
        login_delay_seconds: 0,
    };
    let _pages = maildrop.open_maildrop(request.clone()).await.expect("open");
    let status = maildrop.open_maildrop(request.clone()).await.expect_err("held");
    assert_eq!(failure::reason_of(&status), Reason::MailboxInUse);
    assert_eq!(failure::metadata_of(&status)["peer_ip"], "203.0.113.9");
    let lock =
        locks.get_lock(GetLockRequest { mailbox_id }).await.expect("held").into_inner().lock.expect("it");
    assert_eq!((lock.gateway.as_str(), lock.session_id.as_str()), ("g", "s"));
    let listed =
        locks.list_locks(ListLocksRequest { page_size: 1000, ..Default::default() }).await.expect("listed");
    assert!(listed.into_inner().locks.iter().any(|lock| lock.mailbox_id == mailbox_id));
    locks.release_lock(ReleaseLockRequest { mailbox_id }).await.expect("released");
    maildrop.open_maildrop(request).await.expect("free again");
}

#[tokio::test]
async fn p_41_a_box_that_was_opened_a_moment_ago_is_left_alone() {
    let service = Service::new().await;
    let mailbox_id = new_box();
    let mut maildrop = MaildropServiceClient::new(service.channel.clone());
    let request = |session: &str, login_delay_seconds| OpenMaildropRequest {
        mailbox_id,
        peer_ip: "203.0.113.9".to_owned(),
        gateway: "g".to_owned(),
        session_id: session.to_owned(),
        login_delay_seconds,
        ..Default::default()
    };
    let mut pages = maildrop.open_maildrop(request("a", 600)).await.expect("open").into_inner();
    let first = pages.message().await.expect("a page").expect("a page");
    let lock_token = first.header.expect("a header").lock_token;
    // Whoever asks while it is held hears that; the same session is no second login.
    let status = maildrop.open_maildrop(request("b", 600)).await.expect_err("held");
    assert_eq!(failure::reason_of(&status), Reason::MailboxInUse);
    let again = OpenMaildropRequest { again: true, ..request("a", 600) };
    let mut pages = maildrop.open_maildrop(again).await.expect("its own").into_inner();
    let first = pages.message().await.expect("a page").expect("a page");
    let newer = first.header.expect("a header").lock_token;
    assert!(newer > lock_token);
    let close = CloseMaildropRequest { mailbox_id, lock_token: newer, ..Default::default() };
    maildrop.close_maildrop(close).await.expect("closed");
    let status = maildrop.open_maildrop(request("b", 600)).await.expect_err("too soon");
    assert_eq!(failure::reason_of(&status), Reason::LoginTooSoon);
    let seconds: u64 = failure::metadata_of(&status)["seconds"].parse().expect("a number");
    assert!((590..=600).contains(&seconds), "{seconds}");
    // A gateway without the option opens it.
    maildrop.open_maildrop(request("c", 0)).await.expect("open");
    for bad in [-1, 86_401] {
        let status = maildrop.open_maildrop(request("d", bad)).await.expect_err("no delay");
        assert_eq!(failure::reason_of(&status), Reason::InvalidArgument, "{bad}");
    }
}

#[tokio::test]
async fn what_is_another_customers_is_as_if_it_were_not_there() {
    let service = Service::new().await;
    let own = new_box();
    let customer = customer_of(own);
    let another =
        |theirs: bool| std::iter::repeat_with(new_box).find(|id| theirs == (customer_of(*id) != customer));
    let (foreign, empty) = (another(true).expect("a box"), another(false).expect("a box"));
    let mut maildrop = MaildropServiceClient::new(service.channel.clone());
    for mailbox_id in [own, foreign] {
        let peer_ip = "203.0.113.9".to_owned();
        let request = OpenMaildropRequest { mailbox_id, peer_ip, ..Default::default() };
        maildrop.open_maildrop(request).await.expect("open");
    }
    for (recipient, by) in [("a@remote.test", "even"), ("b@remote.test", "odd"), ("c@remote.test", "even")] {
        let mut outgoing = envelope(&[recipient.to_owned()]);
        let submitter = Submitter { login: by.to_owned(), customer: by.to_owned(), ..Submitter::default() };
        outgoing.submitter = Some(submitter);
        service.submit(outgoing, b"A: b\r\n").await.expect("accepted");
    }
    let owner = service.channel.with_caller(Caller::customer(customer, customer));
    let user = service.channel.with_caller(Caller::mailbox("x", customer, own));
    for (channel, nothing) in [(&owner, empty), (&user, empty)] {
        let mut locks = LockServiceClient::new(channel.clone());
        assert!(locks.get_lock(GetLockRequest { mailbox_id: own }).await.is_ok());
        let said = |status: Status, id: i64| (status.code(), status.message().replace(&id.to_string(), "N"));
        let unheld = locks.get_lock(GetLockRequest { mailbox_id: nothing }).await.expect_err("free");
        let there = locks.get_lock(GetLockRequest { mailbox_id: foreign }).await.expect_err("not theirs");
        assert_eq!(said(there, foreign), said(unheld, nothing));
        let taken = locks.release_lock(ReleaseLockRequest { mailbox_id: foreign }).await.expect_err("no");
        assert_eq!(failure::typed_reason(&taken), Some(Reason::NotFound));
        let mut boxes = BoxServiceClient::new(channel.clone());
        assert!(boxes.get_box(GetBoxRequest { mailbox_id: own }).await.is_ok());
        let seen = boxes.get_box(GetBoxRequest { mailbox_id: foreign }).await.expect_err("not theirs");
        assert_eq!(failure::typed_reason(&seen), Some(Reason::NotFound));
    }
    let mut all = LockServiceClient::new(service.operator.clone());
    assert!(all.get_lock(GetLockRequest { mailbox_id: foreign }).await.is_ok(), "nobody took it");
    let listed = LockServiceClient::new(owner.clone()).list_locks(ListLocksRequest::default()).await;
    let mut ids: Vec<i64> = listed.expect("own").into_inner().locks.iter().map(|l| l.mailbox_id).collect();
    ids.retain(|id| [own, foreign].contains(id));
    assert_eq!(ids, [own]);

    let mut queue = QueueServiceClient::new(owner);
    let mut seen = async |customer: &str| {
        let request = ListQueueEntriesRequest { customer: customer.to_owned(), ..Default::default() };
        queue.list_queue_entries(request).await.expect("listed").into_inner().entries
    };
    let other = if customer == "even" { "odd" } else { "even" };
    let (mine, theirs) = (seen("").await, seen(other).await);
    assert!(!mine.is_empty() && mine.iter().all(|entry| entry.customer == customer) && theirs.is_empty());
    let mut operator = QueueServiceClient::new(service.operator.clone());
    let request = ListQueueEntriesRequest { customer: other.to_owned(), ..Default::default() };
    let foreign = operator.list_queue_entries(request).await.expect("listed").into_inner().entries.remove(0);
    let entry_id = foreign.entry_id;
    let hidden = queue.get_queue_entry(GetQueueEntryRequest { entry_id }).await.expect_err("not theirs");
    let nothing = queue.get_queue_entry(GetQueueEntryRequest { entry_id: 999_999 }).await.expect_err("none");
    assert_eq!(hidden.message(), nothing.message().replace("999999", &entry_id.to_string()));
}
