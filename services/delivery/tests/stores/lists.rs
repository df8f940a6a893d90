//! Mailing lists in the whole service: each member once, whatever dies; no loops; commands by mail.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use postern_mail::{MessageId, Reason};
use postern_mesh::failure;
use postern_proto::account::v1::ListPosting;

use crate::{
    autoreply::{messages, personal, quiet},
    house::{House, new_box},
    service::{Service, address, envelope},
};

fn boxes(range: std::ops::Range<i64>) -> Vec<String> {
    range.map(address).collect()
}

async fn post(service: &Service, sender: &str, list: &str) {
    let (envelope, content) = personal(sender, &[format!("{list}@local.test")]);
    service.submit(envelope, &content).await.expect("accepted");
}

async fn until(house: &House, query: &'static str, wanted: i64) {
    let begin = Instant::now();
    while house.number(query).await != wanted {
        assert!(begin.elapsed() < Duration::from_secs(60), "never {wanted}: {query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn l_07_each_member_once_also_when_the_worker_dies_in_the_middle() {
    let service = Service::new().await;
    let house = &service.house;
    let mut members = boxes(1000..1450);
    members.extend((0..150).map(|n| format!("r{n}@remote.test")));
    // The same boxes by other names, in other batches.
    members.extend((1000..1050).map(|n| format!("alias{n}@local.test")));
    house.fake.account.add_list(1, "staff", &members);
    // Sixteen pages of 25, then this worker hangs until somebody else has done its work.
    house.fake.account.pages.forget_permits(1_000_000);
    house.fake.account.pages.add_permits(16);
    post(&service, &address(1000), "staff").await;
    until(house, "SELECT count(DISTINCT note) FROM queue WHERE class = 3 AND note > ''", 1).await;
    until(house, "SELECT count(*) FROM post_recipients", 351).await;

    house
        .run("UPDATE queue SET lease_owner = gen_random_uuid(), lease_until = now() - interval '1 s' WHERE class = 3")
        .await;
    let _second = Service::replica(house).await;
    house.fake.account.pages.add_permits(100);
    quiet(house).await;
    assert_eq!(house.number("SELECT count(*) FROM entries").await, 450);
    assert_eq!(house.number("SELECT count(DISTINCT mailbox_id) FROM entries").await, 450);
    assert_eq!(house.number("SELECT count(*) FROM queue WHERE class = 2").await, 150);
    assert_eq!(house.number("SELECT count(DISTINCT recipient) FROM queue").await, 150);
    assert_eq!(house.number("SELECT count(*) FROM messages").await, 1, "the copy only");
    assert_eq!(house.number("SELECT references_count::bigint FROM messages").await, 600);
    let told = "SELECT count(DISTINCT recipient) FROM trace t JOIN messages m ON m.id = t.message_id
        WHERE t.via = 'staff@local.test' AND t.sender = 'staff-bounces@local.test'
            AND CASE WHEN t.mailbox_id IS NULL THEN t.state = 1 ELSE t.state = 2 END";
    assert_eq!(house.number(told).await, 600, "each copy has its line, once");
    assert_eq!(house.number("SELECT count(*) FROM trace WHERE via = 'staff@local.test'").await, 600);
    assert_eq!(house.number("SELECT sum(message_count)::bigint FROM mailboxes").await, 450);
    until(house, "SELECT count(*) FROM post_recipients", 0).await;
    let sizes_differ = "SELECT count(*) FROM entries e JOIN messages m ON m.id = e.message_id
        WHERE e.size_bytes <> length(e.prefix) + length(m.prefix) + length(m.content)";
    assert_eq!(house.number(sizes_differ).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_01_the_copy_of_a_member() {
    let service = Service::new().await;
    let (author, member) = (new_box(), new_box());
    service.house.fake.account.add_list(2, "staff", &[address(author), address(member)]);
    post(&service, &address(author), "staff").await;
    quiet(&service.house).await;
    let got = messages(&service.house, member).await;
    assert_eq!(got.len(), 1);
    let text = &got[0];
    let own = format!(
        "Return-Path: <staff-bounces+box{member}=local.test@local.test>\r\nDelivered-To: {}\r\n",
        address(member)
    );
    assert!(text.starts_with(&own), "{text}");
    for (field, count) in [
        ("\nList-Id: <staff.local.test>\r", 1),
        ("\nList-Post: <mailto:staff@local.test>\r", 1),
        ("\nList-Unsubscribe: <https://mail.local.test/unsubscribe/", 1),
        ("\r\n <mailto:staff-unsubscribe@local.test>\r", 1),
        ("\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r", 1),
        ("\nList-Help: ", 1),
        ("\nList-Owner: <mailto:staff-owner@local.test>\r", 1),
        ("\nPrecedence: list\r", 1),
        ("\nSubject: [staff] hello ", 1),
        ("\nReceived: ", 2),
        ("\n\r\nbody\r\n", 1),
    ] {
        assert_eq!(text.matches(field).count(), count, "{field}\n{text}");
    }
    assert_eq!(messages(&service.house, author).await.len(), 1, "authors are members too");

    // A large one goes through the blob store, and is stored once.
    let mut large = b"From: x\r\nTo: staff@local.test\r\nSubject: large\r\n\r\n".to_vec();
    large.extend("0123456789abcdef\r\n".repeat(150_000).bytes());
    let (envelope, _) = personal(&address(author), &["staff@local.test".to_owned()]);
    service.submit(envelope, &large).await.expect("accepted");
    quiet(&service.house).await;
    let stored = "SELECT count(*) FROM messages WHERE blob_key IS NOT NULL AND references_count = 2
        AND content_bytes BETWEEN 2700000 AND 2701000";
    assert_eq!(service.house.number(stored).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_04_who_may_not_post_is_told_at_once() {
    let service = Service::new().await;
    let (member, stranger, other) = (new_box(), new_box(), new_box());
    service.house.fake.account.add_list(3, "staff", &[address(member)]);
    let (refused, content) = personal(&address(stranger), &["staff@local.test".to_owned()]);
    let status = service.submit(refused, &content).await.expect_err("refused");
    assert_eq!(failure::reason_of(&status), Reason::PostingNotPermitted);
    assert_eq!(service.house.number("SELECT count(*) FROM messages").await, 0);

    // Together with somebody who gets it: one bounce.
    let (mixed, content) = personal(&address(stranger), &["staff@local.test".to_owned(), address(other)]);
    service.submit(mixed, &content).await.expect("accepted");
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, other).await.len(), 1);
    let bounces = messages(&service.house, stranger).await;
    assert!(bounces.len() == 1 && bounces[0].contains("Status: 5.7.2"), "{bounces:?}");
    assert!(messages(&service.house, member).await.is_empty());

    // The null sender is nobody's, whoever may post; and the owner always may.
    service.house.fake.account.state().lists.get_mut(&3).expect("it").list.posting =
        ListPosting::Anyone.into();
    let (mut null, content) = personal(&address(stranger), &["staff@local.test".to_owned()]);
    null.sender = String::new();
    let status = service.submit(null, &content).await.expect_err("refused");
    assert_eq!(failure::reason_of(&status), Reason::PostingNotPermitted);
    {
        let mut state = service.house.fake.account.state();
        let list = &mut state.lists.get_mut(&3).expect("it").list;
        (list.posting, list.message_max_bytes) = (ListPosting::Owner.into(), 1000);
    }
    let (mut owner, content) = personal("owner@remote.test", &["staff@local.test".to_owned()]);
    service.submit(owner.clone(), &content).await.expect("accepted");
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, member).await.len(), 1);
    owner.message_id = MessageId::new().as_bytes().to_vec().into();
    let large = [&content[..], &b"x\r\n".repeat(400)].concat();
    let status = service.submit(owner, &large).await.expect_err("too large");
    assert_eq!(failure::reason_of(&status), Reason::MessageTooLarge);
}

#[tokio::test(flavor = "multi_thread")]
async fn l_03_lists_in_lists_end() {
    let service = Service::new().await;
    let (one, two, three) = (new_box(), new_box(), new_box());
    let account = &service.house.fake.account;
    let list = |name: &str| format!("{name}@local.test");
    // A circle of three, and a list that contains itself; box two is in all of them.
    account.add_list(1, "a", &[address(one), address(two), list("b"), list("a")]);
    account.add_list(2, "b", &[address(two), list("c")]);
    account.add_list(3, "c", &[address(two), address(three), list("a"), list("b")]);
    post(&service, &address(one), "a").await;
    quiet(&service.house).await;
    for mailbox in [one, two, three] {
        assert_eq!(messages(&service.house, mailbox).await.len(), 1, "box {mailbox}");
    }
    assert_eq!(service.house.number("SELECT count(*) FROM post_recipients").await, 0);
    let left: BTreeSet<i64> = sqlx::query_scalar("SELECT references_count::bigint FROM messages")
        .fetch_all(service.house.pool())
        .await
        .expect("messages")
        .into_iter()
        .collect();
    assert!(!left.contains(&0), "no message without a holder");

    // A copy that comes back is thrown away; a bounce of one never reaches the list.
    let (again, content) = personal(&address(one), &[list("a")]);
    let content = [b"List-Id: <a.local.test>\r\n", &content[..]].concat();
    service.submit(again, &content).await.expect("accepted");
    let mut bounce = envelope(&[format!("a-bounces+box{two}=local.test@local.test")]);
    bounce.sender = String::new();
    service.submit(bounce, b"Subject: failed\r\n\r\n").await.expect("accepted");
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, two).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_responder_never_answers_a_list() {
    let service = Service::new().await;
    let (author, away) = (new_box(), new_box());
    service.house.fake.account.add_list(5, "staff", &[address(author), address(away)]);
    service.house.fake.account.add_responder(5, &address(away));
    post(&service, &address(author), "staff").await;
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, author).await.len(), 1, "its own copy, and no answer");
    assert_eq!(service.house.number("SELECT count(*) FROM answers").await, 0);
}

/// The value of a field of the last message in a box.
async fn last_field(service: &Service, mailbox: i64, name: &str) -> String {
    let all = messages(&service.house, mailbox).await;
    let text = all.last().expect("a message");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} in {text}")).to_owned()
}

async fn write_to(service: &Service, sender: i64, recipient: &str, subject: &str) {
    let mut envelope = envelope(&[recipient.to_owned()]);
    envelope.sender = address(sender);
    let content = format!("To: {recipient}\r\nSubject: {subject}\r\nMessage-ID: <c@far>\r\n\r\n");
    service.submit(envelope, content.as_bytes()).await.expect("accepted");
    quiet(&service.house).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn l_06_subscribe_and_leave_by_mail() {
    let service = Service::new().await;
    let newcomer = new_box();
    let account = &service.house.fake.account;
    account.add_list(6, "staff", &[]);
    let members = || account.state().lists[&6].members.clone();

    write_to(&service, newcomer, "staff-subscribe@local.test", "").await;
    assert!(members().is_empty(), "not before it is confirmed");
    let reply_to = last_field(&service, newcomer, "Reply-To").await;
    assert!(reply_to.starts_with("staff-request+") && reply_to.ends_with("@local.test"), "{reply_to}");
    assert_eq!(last_field(&service, newcomer, "Return-Path").await, "<>");
    assert_eq!(last_field(&service, newcomer, "From").await, "staff-request@local.test");
    write_to(&service, newcomer, &reply_to, "Re: confirm").await;
    assert_eq!(members(), [address(newcomer)]);
    assert_eq!(last_field(&service, newcomer, "Subject").await, "Welcome: staff@local.test");

    // The token works once; and twice the same wish changes nothing.
    write_to(&service, newcomer, &reply_to, "Re: confirm").await;
    assert_eq!(last_field(&service, newcomer, "Subject").await, "Confirmation not known");
    assert_eq!(members(), [address(newcomer)]);

    // Away with it, by the token in the subject.
    write_to(&service, newcomer, "staff-unsubscribe@local.test", "").await;
    let subject = last_field(&service, newcomer, "Subject").await;
    assert!(subject.starts_with("confirm "), "{subject}");
    write_to(&service, newcomer, "staff-request@local.test", &format!("Re: {subject}")).await;
    assert!(members().is_empty());
    assert_eq!(last_field(&service, newcomer, "Subject").await, "Goodbye: staff@local.test");

    // Too often: silence.
    write_to(&service, newcomer, "staff-subscribe@local.test", "").await;
    let count = messages(&service.house, newcomer).await.len();
    write_to(&service, newcomer, "staff-subscribe@local.test", "").await;
    assert_eq!(messages(&service.house, newcomer).await.len(), count);

    // Somebody else hears how it works, once.
    let asker = new_box();
    for _ in 0..2 {
        write_to(&service, asker, "staff-request@local.test", "help").await;
    }
    assert_eq!(messages(&service.house, asker).await.len(), 1);
    assert_eq!(last_field(&service, asker, "Subject").await, "How this mailing list works");
}

#[tokio::test(flavor = "multi_thread")]
async fn l_06_no_machine_subscribes_or_confirms() {
    let service = Service::new().await;
    let newcomer = new_box();
    let account = &service.house.fake.account;
    account.add_list(7, "staff", &[]);
    write_to(&service, newcomer, "staff-subscribe@local.test", "").await;
    let reply_to = last_field(&service, newcomer, "Reply-To").await;
    // Its autoresponder, a wrong one, answers to Reply-To.
    let mut automatic = envelope(&[reply_to]);
    automatic.sender = address(newcomer);
    service.submit(automatic, b"Auto-Submitted: auto-replied\r\n\r\n").await.expect("accepted");
    let mut bounce = envelope(&["staff-subscribe@local.test".to_owned()]);
    bounce.sender = String::new();
    service.submit(bounce, b"Subject: failed\r\n\r\n").await.expect("accepted");
    quiet(&service.house).await;
    assert!(account.state().lists[&7].members.is_empty());
    assert_eq!(messages(&service.house, newcomer).await.len(), 1);
    assert_eq!(account.state().requests, 1);
}
