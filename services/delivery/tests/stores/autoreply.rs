//! Autoresponders in the whole service: who is answered, how often, and that nothing goes round.

use postern_mail::MessageId;
use postern_proto::delivery::v1::Envelope;

use crate::{
    house::{House, new_box},
    service::{Service, address, envelope},
};

/// From one box to others, as a person writes.
pub(crate) fn personal(sender: &str, recipients: &[String]) -> (Envelope, Vec<u8>) {
    let mut envelope = envelope(recipients);
    envelope.sender = sender.to_owned();
    let content = format!(
        "From: {sender}\r\nTo: {}\r\nSubject: hello {}\r\nMessage-ID: <1@far>\r\n\r\nbody\r\n",
        recipients.join(", "),
        MessageId::new()
    );
    (envelope, content.into_bytes())
}

async fn send(service: &Service, sender: &str, recipient: &str) {
    let (envelope, content) = personal(sender, &[recipient.to_owned()]);
    service.submit(envelope, &content).await.expect("accepted");
}

/// The whole messages of a box, past the lock.
pub(crate) async fn messages(house: &House, mailbox_id: i64) -> Vec<String> {
    let stored: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT e.prefix || m.prefix || m.content FROM entries e JOIN messages m ON m.id = e.message_id
        WHERE e.mailbox_id = $1 ORDER BY e.uid",
    )
    .bind(mailbox_id)
    .fetch_all(house.pool())
    .await
    .expect("messages");
    stored.into_iter().map(|octets| String::from_utf8(octets).expect("text")).collect()
}

/// All errands are done.
pub(crate) async fn quiet(house: &House) {
    let begin = std::time::Instant::now();
    while house.number("SELECT count(*) FROM queue WHERE class > 2").await > 0 {
        assert!(begin.elapsed().as_secs() < 60, "errands are not done");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_03_two_responders_that_face_each_other_are_two_messages() {
    let service = Service::new().await;
    let (one, two) = (new_box(), new_box());
    service.house.fake.account.add_responder(1, &address(one));
    service.house.fake.account.add_responder(2, &address(two));
    send(&service, &address(one), &address(two)).await;
    quiet(&service.house).await;
    let (at_one, at_two) = (messages(&service.house, one).await, messages(&service.house, two).await);
    assert_eq!((at_one.len(), at_two.len()), (1, 1), "the message and one answer");
    for part in [
        "Return-Path: <>\r\n",
        &format!("From: {}\r\n", address(two)),
        &format!("To: {}\r\n", address(one)),
        "Subject: Away: hello ",
        "Auto-Submitted: auto-replied\r\n",
        "In-Reply-To: <1@far>\r\n",
        &format!("Dear {},\r\nI am away.\r\n", address(one)),
    ] {
        assert!(at_one[0].contains(part), "{part}\n{}", at_one[0]);
    }

    // Once in an interval, and again for another text.
    send(&service, &address(one), &address(two)).await;
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, one).await.len(), 1);
    service.house.fake.account.state().responders.get_mut(&2).expect("it").text_version = 2;
    send(&service, &address(one), &address(two)).await;
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, one).await.len(), 2);
    service.house.run("UPDATE answers SET answer_time = now() - interval '8 days'").await;
    send(&service, &address(one), &address(two)).await;
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, one).await.len(), 3);
    assert_eq!(messages(&service.house, two).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_autoresponder_alone_answers_and_keeps_nothing() {
    let service = Service::new().await;
    let sender = new_box();
    service.house.fake.account.add_responder(7, "info@local.test");
    send(&service, &address(sender), "info@local.test").await;
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, sender).await.len(), 1);
    assert_eq!(service.house.number("SELECT count(*) FROM messages").await, 1, "the answer only");

    // The null sender and other automatic mail: taken, and nothing happens.
    let (mut bounce, content) = personal(&address(sender), &["info@local.test".to_owned()]);
    bounce.sender = String::new();
    service.submit(bounce, &content).await.expect("accepted");
    let other = new_box();
    let (automatic, content) = personal(&address(other), &["info@local.test".to_owned()]);
    let content = [b"Auto-Submitted: auto-generated\r\n", &content[..]].concat();
    service.submit(automatic, &content).await.expect("accepted");
    quiet(&service.house).await;
    assert!(messages(&service.house, other).await.is_empty());
    assert_eq!(service.house.number("SELECT count(*) FROM messages").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_04_a_flood_is_not_answered() {
    let service = Service::new().await;
    service.house.fake.account.add_responder(8, "flood@local.test");
    service
        .house
        .run("INSERT INTO answers SELECT 1, 8, 1, 'r' || n || '@far.test' FROM generate_series(1, 99) AS n")
        .await;
    let (first, second) = (new_box(), new_box());
    send(&service, &address(first), "flood@local.test").await;
    quiet(&service.house).await;
    send(&service, &address(second), "flood@local.test").await;
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, first).await.len(), 1, "the hundredth in this hour");
    assert!(messages(&service.house, second).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_06_an_answer_that_cannot_be_given_harms_nothing() {
    let service = Service::new().await;
    let (sender, away) = (new_box(), new_box());
    service.house.fake.account.add_responder(9, &address(away));
    service.house.run("ALTER TABLE answers RENAME TO answers_away").await;
    send(&service, &address(sender), &address(away)).await;
    let begin = std::time::Instant::now();
    while service.house.number("SELECT count(*) FROM queue WHERE class = 7 AND attempts > 0").await == 0 {
        assert!(begin.elapsed().as_secs() < 60, "the errand is not tried");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(messages(&service.house, away).await.len(), 1, "delivered once, at once");
    service.house.run("ALTER TABLE answers_away RENAME TO answers").await;
    quiet(&service.house).await;
    assert_eq!(messages(&service.house, away).await.len(), 1);
    assert_eq!(messages(&service.house, sender).await.len(), 1);
}
