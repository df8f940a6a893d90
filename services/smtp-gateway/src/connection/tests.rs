//! Whole conversations over an in-memory connection, with the services of a small world behind it.

mod content;
mod ends;
mod house;
mod twin;

use std::{sync::atomic::Ordering, time::Duration};

use postern_mail::Reason;
use postern_proto::auth::v1 as auth;

use crate::{connection::Slowest, session::Door};
use house::{INBOUND_LIMIT, TestHouse};

const START: &str = "S: 220 mail.postern.test ESMTP
    C: HELO client.test
    S: 250 mail.postern.test";

fn script(rest: &str) -> String {
    format!("{START}\n{rest}")
}

#[tokio::test]
async fn s_19_a_mail_to_a_box_is_committed_then_acknowledged() {
    let house = TestHouse::new();
    let mut client = house
        .transcript(
            Door::Mx,
            "S: 220 mail.postern.test ESMTP
             C: EHLO client.test
             S: 250-mail.postern.test
             S: 250-PIPELINING
             S: 250-SIZE 67108864
             S: 250-8BITMIME
             S: 250-SMTPUTF8
             S: 250-ENHANCEDSTATUSCODES
             S: 250-CHUNKING
             S: 250 DSN
             C: MAIL FROM:<a@far.test> SIZE=20 BODY=8BITMIME
             S: 250 2.1.0
             C: RCPT TO:<User@HomePage.test>
             S: 250 2.1.5
             C: DATA
             S: 354",
        )
        .await;
    client.write(b"Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n").await;
    let queued = client.line().await;
    assert!(client.rest().await.starts_with("221 2.0.0"));
    let taken = house.world.taken.lock().expect("lock").clone();
    assert_eq!(taken.len(), 1);
    let message = &taken[0];
    assert_eq!(message.content, b"Subject: x\r\n\r\n.dot\r\n");
    assert_eq!((message.frames, message.answer_within_millis), (1, 40_000));
    let envelope = &message.envelope;
    let id: String = envelope.message_id.iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(queued, format!("250 2.0.0 queued as {id}"));
    assert_eq!(envelope.sender, "a@far.test");
    assert_eq!(envelope.recipients, ["User@homepage.test"]);
    assert_eq!((envelope.peer_ip.as_str(), envelope.helo.as_str()), ("203.0.113.9", "client.test"));
    assert_eq!((envelope.with_protocol.as_str(), envelope.by_host.as_str()), ("ESMTP", "mail.postern.test"));
    assert_eq!((envelope.eight_bit, envelope.declared_size_bytes), (true, Some(20)));
    assert_eq!(envelope.submitter, None);
}

#[tokio::test]
async fn s_18_relay_is_refused_with_the_phrase_and_granted_after_the_login() {
    let house = TestHouse::new();
    for (sender, host) in [
        ("u@homepage.test", "mail.homepage.test"),
        ("u@elsewhere.test", "mail.postern.test"),
        ("", "mail.postern.test"),
    ] {
        let text = script(&format!(
            "C: MAIL FROM:<{sender}>
             S: 250
             C: RCPT TO:<x@far.test>
             S: 550 5.7.1 relaying prohibited: check your mail at {host} first, then send again
             C: RCPT TO:<@homepage.test:x@far.test>
             S: 550 5.7.1
             C: RCPT TO:<\"x@far.test\"@homepage.test>
             S: 550 5.1.1
             C: RCPT TO:<x%far.test@homepage.test>
             S: 550 5.1.1"
        ));
        house.transcript(Door::Mx, &text).await;
    }
    house.world.granted.store(true, Ordering::SeqCst);
    let asked = house.world.relay_questions.load(Ordering::SeqCst);
    house
        .transcript(
            Door::Mx,
            &script(
                "C: MAIL FROM:<u@homepage.test>
                 C: RCPT TO:<x@far.test>
                 C: RCPT TO:<y@far.test>
                 C: RCPT TO:<user@homepage.test>
                 C: DATA
                 S: 250
                 S: 250
                 S: 250
                 S: 250
                 S: 354
                 C: hello
                 C: .
                 S: 250 2.0.0 queued as",
            ),
        )
        .await;
    assert_eq!(
        house.world.relay_questions.load(Ordering::SeqCst) - asked,
        2,
        "one for each remote recipient"
    );
    let taken = house.world.taken.lock().expect("lock").clone();
    let submitter = taken[0].envelope.submitter.clone().expect("submitter");
    assert_eq!((submitter.login.as_str(), submitter.authenticated), ("user@homepage.test", false));
    assert_eq!(taken[0].envelope.recipients.len(), 3);
}

#[tokio::test]
async fn s_73_auth_is_asked_at_mail_in_whose_name_a_login_may_send() {
    let house = TestHouse::new();
    house
        .transcript(
            Door::Submission,
            &script(
                "C: AUTH PLAIN AHVzZXJAaG9tZXBhZ2UudGVzdAByaWdodA==
                 S: 235
                 C: MAIL FROM:<other@customer.test>
                 S: 550 5.7.1 this sender address belongs to another customer
                 C: RCPT TO:<user@homepage.test>
                 S: 503
                 C: MAIL FROM:<user@homepage.test>
                 S: 250",
            ),
        )
        .await;
    let asked = house.world.relay_questions.load(Ordering::SeqCst);
    assert_eq!(asked, 2, "one for each MAIL");
}

#[tokio::test]
async fn s_73_while_auth_is_away_a_login_writes_in_names_that_the_directory_lets_it_use() {
    let house = TestHouse::new();
    let login = script("C: AUTH PLAIN AHVzZXJAaG9tZXBhZ2UudGVzdAByaWdodA==\nS: 235");
    let mut client = house.transcript(Door::Submission, &login).await;
    house.world.auth_away.store(true, Ordering::SeqCst);
    for (line, answer) in [
        ("MAIL FROM:<other@customer.test>", "550 5.7.1 this sender address belongs to another customer"),
        ("RCPT TO:<user@homepage.test>", "503"),
        ("MAIL FROM:<>", "250"),
        ("RSET", "250"),
        ("MAIL FROM:<user@homepage.test>", "250"),
        ("RCPT TO:<user@homepage.test>", "250"),
        ("RCPT TO:<x@far.test>", "451 4.3.0"),
        ("RSET", "250"),
    ] {
        client.write(format!("{line}\r\n").as_bytes()).await;
        let reply = client.line().await;
        assert!(reply.starts_with(answer), "{line}: {reply}");
    }
    // Nobody can say whose domain that is: nothing is taken in its name.
    house.world.account_away.store(true, Ordering::SeqCst);
    client.write(b"MAIL FROM:<boss@not-asked-before.test>\r\nRCPT TO:<user@homepage.test>\r\n").await;
    for answer in ["451 4.3.0", "503"] {
        let reply = client.line().await;
        assert!(reply.starts_with(answer), "{reply}");
    }
}

/// Counted over all gateways by auth, which is asked from a share of the limit on.
#[tokio::test]
async fn a_recipient_gets_so_much_of_strangers_in_an_hour_and_logins_are_not_counted() {
    let house = TestHouse::new();
    let limit = usize::try_from(INBOUND_LIMIT).expect("small");
    let named = "C: RCPT TO:<user@homepage.test>\n";
    let taken = format!("{named}S: 250\n");
    // Named twice at once it is counted once (S-16).
    let twice = format!("{named}{named}S: 250\nS: 250\n");
    let stranger =
        format!("C: MAIL FROM:<a@far.test>\nS: 250\n{}{twice}{named}{named}", taken.repeat(limit - 1));
    let refusal = "S: 450 4.2.1 this recipient gets too much mail now, please try again later\n";
    let others = "C: RCPT TO:<postmaster@homepage.test>\nS: 250\nC: RCPT TO:<x@far.test>\nS: 550";
    house.transcript(Door::Mx, &script(&format!("{stranger}{refusal}{refusal}{others}"))).await;
    let counted = house.world.inbound.lock().expect("lock").get("address:user@homepage.test").copied();
    assert_eq!(counted, Some(INBOUND_LIMIT.cast_signed()), "the quiet share was told, too");
    let login = "C: AUTH PLAIN AHVzZXJAaG9tZXBhZ2UudGVzdAByaWdodA==\nS: 235\n\
                 C: MAIL FROM:<user@homepage.test>\nS: 250\nC: RCPT TO:<user@homepage.test>\nS: 250";
    house.transcript(Door::Submission, &script(login)).await;
    // Without auth mail to boxes here is taken all the same.
    house.world.auth_away.store(true, Ordering::SeqCst);
    let text = "C: MAIL FROM:<a@far.test>\nS: 250\nC: RCPT TO:<user@homepage.test>\nS: 250";
    house.transcript(Door::Mx, &script(text)).await;
}

#[tokio::test]
async fn s_17_a_part_that_is_away_is_never_a_permanent_answer() {
    let house = TestHouse::new();
    house.world.auth_away.store(true, Ordering::SeqCst);
    house
        .transcript(
            Door::Mx,
            &script(
                "C: MAIL FROM:<u@homepage.test>
                 S: 250
                 C: RCPT TO:<x@far.test>
                 S: 451 4.3.0
                 C: RCPT TO:<x@pending.test>
                 S: 451 4.3.0
                 C: RCPT TO:<user@homepage.test>
                 S: 250",
            ),
        )
        .await;
    house
        .transcript(
            Door::Submission,
            &script(
                "C: MAIL FROM:<u@homepage.test>
                 S: 451 4.3.0
                 C: AUTH PLAIN AHVzZXJAaG9tZXBhZ2UudGVzdAByaWdodA==
                 S: 454 4.7.0",
            ),
        )
        .await;
    house.world.account_away.store(true, Ordering::SeqCst);
    house
        .transcript(
            Door::Mx,
            &script(
                "C: MAIL FROM:<u@homepage.test>
                 C: RCPT TO:<new@homepage.test>
                 C: RCPT TO:<nobody@homepage.test>
                 C: RCPT TO:<x@far.test>
                 S: 250
                 S: 451 4.3.0
                 S: 451 4.3.0
                 S: 451 4.3.0
                 C: RCPT TO:<postmaster>
                 S: 451 4.3.0",
            ),
        )
        .await;
}

#[tokio::test]
async fn a_domain_that_is_not_live_is_later_for_strangers_and_outside_for_others() {
    let house = TestHouse::new();
    let text = script("C: MAIL FROM:<a@far.test>\nS: 250\nC: RCPT TO:<x@pending.test>\nS: 450 4.3.2");
    house.transcript(Door::Mx, &text).await;
    house.world.granted.store(true, Ordering::SeqCst);
    let text = script("C: MAIL FROM:<a@far.test>\nS: 250\nC: RCPT TO:<x@pending.test>\nS: 250");
    house.transcript(Door::Mx, &text).await;
    let text = script(
        "C: MAIL FROM:<other@customer.test>\nS: 250\nC: RCPT TO:<x@far.test>\nS: 550 5.7.1 this sender",
    );
    house.transcript(Door::Mx, &text).await;
}

#[tokio::test]
async fn s_10_postmaster_is_always_there() {
    let house = TestHouse::new();
    house
        .transcript(
            Door::Mx,
            &script(
                "C: MAIL FROM:<>
                 S: 250
                 C: RCPT TO:<postmaster>
                 S: 250
                 C: RCPT TO:<Postmaster@homepage.test>
                 S: 250
                 C: DATA
                 S: 354
                 C: .
                 S: 250",
            ),
        )
        .await;
    let taken = house.world.taken.lock().expect("lock").clone();
    assert_eq!(taken[0].envelope.recipients[0], "postmaster@homepage.test");
}

#[tokio::test]
async fn s_40_fifty_recipients_in_one_write_are_one_question_and_answers_in_order() {
    let house = TestHouse::new();
    let mut client = house.transcript(Door::Mx, START).await;
    let mut wire = String::from("MAIL FROM:<a@far.test>\r\n");
    for n in 0..50 {
        let local = if n % 5 == 4 { format!("nobody{n}") } else { "user".to_owned() };
        wire.push_str(&format!("RCPT TO:<{local}@homepage.test>\r\n"));
    }
    wire.push_str("DATA\r\n");
    client.write(wire.as_bytes()).await;
    assert!(client.line().await.starts_with("250"));
    for n in 0..50 {
        let expected = if n % 5 == 4 { "550" } else { "250" };
        assert!(client.line().await.starts_with(expected), "{n}");
    }
    assert!(client.line().await.starts_with("354"));
    assert_eq!(house.world.batches.load(Ordering::SeqCst), 1);
    // S-41: content and the next commands in one write are legal (RFC 2920 section 3.1).
    client.write(b"x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<user@homepage.test>\r\n").await;
    for expected in ["250 2.0.0 queued", "250 2.1.0", "250 2.1.5"] {
        assert!(client.line().await.starts_with(expected));
    }
}

#[tokio::test]
async fn s_41_s_71_s_30_smuggled_commands_close_the_session() {
    let house = TestHouse::new();
    for rest in [
        "C: EHLO a.test\nC: MAIL FROM:<>\nS: 554 5.5.0\nE:",
        "C: MAIL FROM:<>\nC: RCPT TO:<user@homepage.test>\nC: DATA\nC: x\nC: .\nS: 250\nS: 250\nS: 554 5.5.0\nE:",
        "C: STARTTLS\nC: NOOP\nS: 554 5.5.0\nE:",
        "C: DATA now\nC: NOOP\nS: 554 5.5.0\nE:",
        "C: AUTH CRAM-MD5\nC: MAIL FROM:<>\nS: 554 5.5.0\nE:",
        "C: MAIL FROM:<a@b.test>\\nRCPT TO:<c@d.test>\nS: 500 5.5.2\nE:",
        "C: BDAT ten LAST\nC: NOOP\nS: 501\nE:",
    ] {
        house.transcript(Door::Mx, &script(rest)).await;
    }
    assert!(house.world.taken.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn bad_lines_get_one_answer_and_the_session_lives() {
    let house = TestHouse::new();
    let long = "x".repeat(5000);
    house
        .transcript(
            Door::Mx,
            &script(&format!(
                "C: {long}
                 S: 500 5.5.2
                 C: NOOP\\0
                 S: 500 5.5.2
                 C: MAIL FROM:<{long}@x.test>
                 S: 500 5.5.2
                 C: NONSENSE
                 S: 500 5.5.1
                 C: MAIL FROM:<no address>
                 S: 501 5.1.7
                 C: NOOP
                 S: 250"
            )),
        )
        .await;
}

#[tokio::test]
async fn s_80_auth_on_the_submission_door_lets_mail_out() {
    let house = TestHouse::new();
    house
        .transcript(
            Door::Submission,
            "S: 220
             C: EHLO client.test
             S: 250-mail.postern.test
             S: 250-PIPELINING
             S: 250-SIZE
             S: 250-8BITMIME
             S: 250-SMTPUTF8
             S: 250-ENHANCEDSTATUSCODES
             S: 250-CHUNKING
             S: 250-DSN
             S: 250 AUTH PLAIN LOGIN
             C: MAIL FROM:<user@homepage.test>
             S: 530 5.7.0 relaying prohibited: check your mail at mail.homepage.test first, then send again
             C: AUTH PLAIN AHVzZXJAaG9tZXBhZ2UudGVzdAB3cm9uZw==
             S: 535 5.7.8
             C: AUTH LOGIN
             S: 334 VXNlcm5hbWU6
             C: dXNlckBob21lcGFnZS50ZXN0
             S: 334 UGFzc3dvcmQ6
             C: cmlnaHQ=
             S: 235 2.7.0
             C: MAIL FROM:<user@homepage.test>
             S: 250
             C: RCPT TO:<x@far.test>
             S: 250
             C: DATA
             S: 354
             C: x
             C: .
             S: 250 2.0.0",
        )
        .await;
    let taken = house.world.taken.lock().expect("lock").clone();
    let submitter = taken[0].envelope.submitter.clone().expect("submitter");
    assert!(submitter.authenticated);
    assert_eq!(taken[0].envelope.with_protocol, "ESMTPA");
}

#[tokio::test]
async fn s_01_a_client_that_speaks_first_is_sent_away() {
    let mut house = TestHouse::new();
    house.gateway.greet_delay = Duration::from_secs(5);
    let mut client = house.connect(Door::Mx);
    client.write(b"EHLO early.test\r\n").await;
    assert_eq!(client.rest().await, "554 5.5.0 protocol synchronization error\r\n");
}
