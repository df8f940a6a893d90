//! The machine against scripted hosts, without a socket.

use postern_mail::ReversePath;
use proptest::prelude::*;

use super::*;
use crate::dsn::{MessageDsn, Notify, RecipientDsn, ReturnContent};

const PLAIN: &str = "250 mx.example\r\n";
const FULL: &str = "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n";

fn client() -> Client {
    Client::new(Settings {
        hello_name: "mail.postern.test".into(),
        use_tls: true,
        require_tls: false,
        timeouts: Timeouts::default(),
    })
}

fn mail(recipients: &[&str]) -> Mail {
    Mail {
        sender: "a@sender.test".parse().expect("address"),
        recipients: recipients.iter().map(|to| to.parse().expect("address")).collect(),
        size_bytes: 500,
        eight_bit: false,
        smtp_utf8: false,
        dsn: MessageDsn::default(),
        recipient_dsn: Vec::new(),
    }
}

/// A client that has been greeted with `ehlo`.
fn greeted(ehlo: &str) -> Client {
    let mut client = client();
    assert!(said(client.step(Event::Connected)).is_empty());
    assert_eq!(said(client.step(Event::Received(b"220 mx.example\r\n"))), "EHLO mail.postern.test\r\n");
    let action = client.step(Event::Received(ehlo.as_bytes()));
    assert!(matches!(action, Action::Ready), "{action:?}");
    client
}

fn said(action: Action) -> String {
    match action {
        Action::Exchange { octets, .. } => String::from_utf8(octets).expect("text"),
        other => panic!("nothing was said: {other:?}"),
    }
}

fn hear(client: &mut Client, octets: &str) -> Action {
    client.step(Event::Received(octets.as_bytes()))
}

/// D, T (try again) or R for each recipient, and whether the connection may be used again.
fn ended(action: Action) -> (String, bool) {
    let Action::Done { outcomes, reusable } = action else { panic!("not done: {action:?}") };
    let letter = |outcome: &Outcome| match outcome {
        Outcome::Delivered(_) => 'D',
        Outcome::Deferred(_) => 'T',
        Outcome::Refused(_) => 'R',
    };
    (outcomes.iter().map(letter).collect(), reusable)
}

#[test]
fn one_command_at_a_time_without_pipelining() {
    let mut client = greeted(PLAIN);
    let first = client.step(Event::Deliver(mail(&["b@x.test", "c@x.test"])));
    assert_eq!(said(first), "MAIL FROM:<a@sender.test>\r\n");
    assert_eq!(said(hear(&mut client, "250 ok\r\n")), "RCPT TO:<b@x.test>\r\n");
    assert_eq!(said(hear(&mut client, "250 ok\r\n")), "RCPT TO:<c@x.test>\r\n");
    assert_eq!(said(hear(&mut client, "550 5.1.1 no\r\n")), "DATA\r\n");
    assert!(matches!(hear(&mut client, "354 go\r\n"), Action::SendContent));
    assert!(said(client.step(Event::ContentSent)).is_empty());
    assert_eq!(ended(hear(&mut client, "250 2.0.0 taken\r\n")), ("DR".into(), true));
    // Partial acceptance is no failure: the next mail needs no RSET.
    assert_eq!(said(client.step(Event::Deliver(mail(&["d@x.test"])))), "MAIL FROM:<a@sender.test>\r\n");
}

#[test]
fn one_group_with_pipelining_and_its_parameters() {
    let mut client = greeted(FULL);
    let group = Mail { eight_bit: true, ..mail(&["b@x.test", "c@x.test"]) };
    assert_eq!(
        said(client.step(Event::Deliver(group))),
        "MAIL FROM:<a@sender.test> SIZE=500 BODY=8BITMIME\r\nRCPT TO:<b@x.test>\r\nRCPT TO:<c@x.test>\r\nDATA\r\n"
    );
    assert!(said(hear(&mut client, "250 ok\r\n250 ok\r\n45")).is_empty());
    assert!(matches!(hear(&mut client, "0 later\r\n354 go\r\n"), Action::SendContent));
    client.step(Event::ContentSent);
    assert_eq!(ended(hear(&mut client, "250 ok\r\n")), ("DT".into(), true));
}

#[test]
fn s_92_wishes_go_on_to_hosts_that_know_them() {
    let wish = RecipientDsn {
        notify: Notify::parse("SUCCESS,DELAY"),
        original_recipient: Some("rfc822;B+2Bx@x.test".to_owned()),
    };
    let asked = Mail {
        dsn: MessageDsn { return_content: Some(ReturnContent::Headers), envelope_id: Some("id+2B7".into()) },
        recipient_dsn: vec![wish, RecipientDsn::default()],
        ..mail(&["b@x.test", "c@x.test"])
    };
    let mut client = greeted("250-mx.example\r\n250-PIPELINING\r\n250 DSN\r\n");
    assert_eq!(
        said(client.step(Event::Deliver(asked.clone()))),
        "MAIL FROM:<a@sender.test> RET=HDRS ENVID=id+2B7\r\n\
         RCPT TO:<b@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;B+2Bx@x.test\r\nRCPT TO:<c@x.test>\r\nDATA\r\n"
    );
    let mut client = greeted(PLAIN);
    assert_eq!(said(client.step(Event::Deliver(asked))), "MAIL FROM:<a@sender.test>\r\n");
}

#[test]
fn no_mail_without_tls_where_it_is_demanded() {
    for (ehlo, more) in [(PLAIN, None), ("250-mx\r\n250 STARTTLS\r\n", Some("454 4.7.0 not now\r\n"))] {
        let mut client = Client::new(Settings { require_tls: true, ..client().settings });
        client.step(Event::Connected);
        hear(&mut client, "220 mx\r\n");
        let mut action = hear(&mut client, ehlo);
        if let Some(reply) = more {
            action = hear(&mut client, reply);
        }
        assert!(matches!(action, Action::Close(Ending::TlsMissing)), "{ehlo} {action:?}");
    }
}

#[test]
fn eight_bit_content_needs_a_host_that_takes_it() {
    let eight_bit = Mail { eight_bit: true, ..mail(&["b@x.test"]) };
    let mut client = greeted(PLAIN);
    let Action::Done { outcomes, reusable } = client.step(Event::Deliver(eight_bit)) else { panic!("done") };
    assert_eq!((outcomes, reusable), (vec![Outcome::Refused(Refusal::NeedsEightBit)], true));
}

#[test]
fn no_recipient_accepted_sends_an_empty_content_and_resets() {
    let mut client = greeted(FULL);
    client.step(Event::Deliver(mail(&["b@x.test"])));
    assert_eq!(said(hear(&mut client, "250 ok\r\n550 no\r\n354 go\r\n")), ".\r\n");
    assert_eq!(ended(hear(&mut client, "554 no recipients\r\n")), ("R".into(), true));
    assert!(said(client.step(Event::Deliver(mail(&["c@x.test"])))).starts_with("RSET\r\nMAIL FROM"));
}

#[test]
fn each_stage_decides_as_the_host_says() {
    for (answers, letters, reusable) in [
        ("250 ok\r\n450 a\r\n550 b\r\n503 no rcpt\r\n", "TR", true),
        ("250 ok\r\n550 a\r\n550 b\r\n554 no rcpt\r\n", "RR", true),
        ("550 sender\r\n503 a\r\n503 b\r\n503 c\r\n", "RR", true),
        ("451 sender\r\n503 a\r\n503 b\r\n503 c\r\n", "TT", true),
        ("550 sender\r\n250 a\r\n250 b\r\n354 go\r\n", "RR", false),
        ("421 closing\r\n", "TT", false),
        ("250 ok\r\n250 ok\r\n421 closing\r\n", "TT", false),
        ("250 ok\r\n550 a\r\n421 closing\r\n", "RT", false),
        ("250 ok\r\n250 a\r\n250 b\r\n452 full\r\n", "TT", true),
        ("250 ok\r\n250 a\r\n250 b\r\n554 no\r\n", "RR", true),
        ("250 ok\r\n250 a\r\n552 too many\r\n451 x\r\n", "TT", true),
        ("250 ok\r\n250 a\r\n552 5.2.2 full\r\n451 x\r\n", "TR", true),
        ("250 ok\r\n250 a\r\nwhat?\r\n", "TT", false),
    ] {
        let mut client = greeted(FULL);
        client.step(Event::Deliver(mail(&["b@x.test", "c@x.test"])));
        assert_eq!(ended(hear(&mut client, answers)), (letters.into(), reusable), "{answers}");
    }
}

#[test]
fn answers_to_the_dot() {
    for (answer, letters, reusable) in [
        ("250 ok\r\n", "D", true),
        ("451 later\r\n", "T", true),
        ("554 spam\r\n", "R", true),
        ("421 bye\r\n", "T", false),
    ] {
        let mut client = greeted(PLAIN);
        client.step(Event::Deliver(mail(&["b@x.test"])));
        hear(&mut client, "250 ok\r\n");
        hear(&mut client, "250 ok\r\n");
        hear(&mut client, "354 ok\r\n");
        client.step(Event::ContentSent);
        assert_eq!(ended(hear(&mut client, answer)), (letters.into(), reusable), "{answer}");
    }
}

#[test]
fn an_early_answer_never_counts_as_delivered() {
    // More answers than questions, with the 354 and while the content is on its way.
    let mut client = greeted(FULL);
    client.step(Event::Deliver(mail(&["b@x.test"])));
    assert_eq!(ended(hear(&mut client, "250 a\r\n250 b\r\n354 go\r\n250 taken\r\n")), ("T".into(), false));

    let mut client = greeted(FULL);
    client.step(Event::Deliver(mail(&["b@x.test"])));
    hear(&mut client, "250 a\r\n250 b\r\n354 go\r\n");
    assert_eq!(ended(hear(&mut client, "250 taken\r\n")), ("T".into(), false));

    // A host may refuse early, though.
    let mut client = greeted(FULL);
    client.step(Event::Deliver(mail(&["b@x.test"])));
    hear(&mut client, "250 a\r\n250 b\r\n354 go\r\n");
    assert_eq!(ended(hear(&mut client, "552 5.3.4 too large\r\n")), ("R".into(), false));
}

#[test]
fn loss_and_silence_defer_at_every_stage() {
    for event in [|| Event::TimedOut, || Event::Lost, || Event::ContentBroken] {
        for answers in ["", "250 a\r\n", "250 a\r\n250 b\r\n", "250 a\r\n250 b\r\n354 go\r\n"] {
            let mut client = greeted(FULL);
            client.step(Event::Deliver(mail(&["b@x.test"])));
            hear(&mut client, answers);
            assert_eq!(ended(client.step(event())), ("T".into(), false), "{answers}");
            assert!(matches!(client.step(event()), Action::Close(Ending::Quit)));
        }
    }
}

#[test]
fn in_doubt_is_not_tried_elsewhere() {
    for stage in [Stage::Banner, Stage::Mail, Stage::Data, Stage::Content] {
        assert!(Cause::Lost(stage).is_of_the_connection());
        assert!(Cause::TimedOut(stage).is_of_the_connection());
    }
    for cause in
        [Cause::Lost(Stage::Dot), Cause::TimedOut(Stage::Dot), Cause::Garbled(Stage::Dot), Cause::OwnContent]
    {
        assert!(!cause.is_of_the_connection(), "{cause}");
    }
}

#[test]
fn what_the_offers_forbid_is_refused_here() {
    let mut client = greeted(FULL);
    let mut large = mail(&["b@x.test"]);
    large.size_bytes = 1001;
    assert_eq!(ended(client.step(Event::Deliver(large))), ("R".into(), true));

    let mut client = greeted(PLAIN);
    let line = said(client.step(Event::Deliver(mail(&["\u{fc}ser@x.test", "b@x.test"]))));
    assert_eq!(line, "MAIL FROM:<a@sender.test>\r\n");
    assert_eq!(said(hear(&mut client, "250 ok\r\n")), "RCPT TO:<b@x.test>\r\n");
}

#[test]
fn s_94_banner_and_hello() {
    let unwilling = |action: &Action| matches!(action, Action::Close(Ending::Unwilling(_)));
    let takes_none = |action: &Action| matches!(action, Action::Close(Ending::TakesNoMail(_)));
    for (banner, ending) in [
        ("421 busy\r\n", &unwilling as &dyn Fn(&Action) -> bool),
        ("554 go away\r\n", &unwilling),
        ("521 no mail here\r\n", &takes_none),
        ("556 no mail here\r\n", &takes_none),
        ("SSH-2.0-x\r\n", &unwilling),
    ] {
        let mut client = client();
        client.step(Event::Connected);
        let action = hear(&mut client, banner);
        assert!(ending(&action), "{banner} {action:?}");
    }
    let mut client = client();
    client.step(Event::Connected);
    hear(&mut client, "220 old\r\n");
    assert_eq!(said(hear(&mut client, "502 what?\r\n")), "HELO mail.postern.test\r\n");
    assert!(matches!(hear(&mut client, "250 old\r\n"), Action::Ready));
    assert_eq!(client.offers(), Offers::default());
}

#[test]
fn start_tls() {
    let offer = "250-mx.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n";
    let begun = || {
        let mut client = client();
        client.step(Event::Connected);
        hear(&mut client, "220 mx\r\n");
        assert_eq!(said(hear(&mut client, offer)), "STARTTLS\r\n");
        client
    };
    let mut client = begun();
    assert!(matches!(hear(&mut client, "220 go\r\n"), Action::StartTls));
    assert_eq!(said(client.step(Event::TlsReady)), "EHLO mail.postern.test\r\n");
    // Offered again under TLS: not taken again, and the old offers are forgotten.
    assert!(matches!(hear(&mut client, "250-mx\r\n250 STARTTLS\r\n"), Action::Ready));
    assert!(!client.offers().pipelining);

    let mut client = begun();
    assert!(matches!(hear(&mut client, "454 not now\r\n"), Action::Ready));
    let mut client = begun();
    assert!(matches!(hear(&mut client, "220 go\r\n"), Action::StartTls));
    assert!(matches!(client.step(Event::TlsFailed), Action::Close(Ending::TlsBroken)));
    let mut client = begun();
    let injected = hear(&mut client, "220 go\r\n250 injected\r\n");
    assert!(matches!(injected, Action::Close(Ending::TlsBroken)));
}

#[test]
fn null_sender_and_goodbye() {
    let mut client = greeted(PLAIN);
    let bounce = Mail { sender: ReversePath::Null, ..mail(&["b@x.test"]) };
    assert_eq!(said(client.step(Event::Deliver(bounce))), "MAIL FROM:<>\r\n");
    assert!(said(hear(&mut client, "250 ok\r\n")).starts_with("RCPT"));
    let mut client = greeted(PLAIN);
    assert_eq!(said(client.step(Event::Quit)), "QUIT\r\n");
    assert!(matches!(hear(&mut client, "221 bye\r\n"), Action::Close(Ending::Quit)));
}

#[test]
fn waiting_times_are_those_of_the_rfc() {
    let seconds = |action: Action| match action {
        Action::Exchange { timeout, .. } => timeout.as_secs(),
        other => panic!("{other:?}"),
    };
    let mut client = client();
    assert_eq!(seconds(client.step(Event::Connected)), 300);
    hear(&mut client, "220 mx\r\n");
    hear(&mut client, PLAIN);
    assert_eq!(seconds(client.step(Event::Deliver(mail(&["b@x.test"])))), 300);
    assert_eq!(seconds(hear(&mut client, "250 ok\r\n")), 300);
    assert_eq!(seconds(hear(&mut client, "250 ok\r\n")), 120);
    hear(&mut client, "354 ok\r\n");
    assert_eq!(seconds(client.step(Event::ContentSent)), 600);
}

/// Drives the machine as a driver would, over octets that a hostile host sends in pieces.
fn drive(pieces: &[Vec<u8>], recipients: usize) -> (usize, Option<Vec<Outcome>>) {
    let mut client = client();
    let to: Vec<String> = (0..recipients).map(|n| format!("r{n}@x.test")).collect();
    let to: Vec<&str> = to.iter().map(String::as_str).collect();
    let mut pieces = pieces.iter();
    let mut action = client.step(Event::Connected);
    for steps in 0..10_000 {
        action = match action {
            Action::Exchange { .. } => match pieces.next() {
                Some(piece) => client.step(Event::Received(piece)),
                None => client.step(Event::Lost),
            },
            Action::StartTls => client.step(Event::TlsReady),
            Action::Ready => client.step(Event::Deliver(mail(&to))),
            Action::SendContent => client.step(Event::ContentSent),
            Action::Done { outcomes, .. } => return (steps, Some(outcomes)),
            Action::Close(_) => return (steps, None),
        };
    }
    panic!("the talk does not end");
}

fn hostile_piece() -> impl Strategy<Value = Vec<u8>> {
    let reply = prop_oneof![
        Just("220 hi\r\n"),
        Just("250 ok\r\n"),
        Just("250-PIPELINING\r\n"),
        Just("250-STARTTLS\r\n"),
        Just("250-x\r\n250-PIPELINING\r\n250 SIZE 99999999999999999999\r\n"),
        Just("354 go\r\n"),
        Just("421 bye\r\n"),
        Just("450 no\r\n"),
        Just("550 no\r\n"),
        Just("521 no\r\n"),
        Just("25"),
        Just("0 "),
        Just("\r\n"),
        Just("\n"),
    ];
    prop_oneof![
        8 => proptest::collection::vec(reply, 1..4).prop_map(|replies| replies.concat().into_bytes()),
        1 => proptest::collection::vec(any::<u8>(), 0..20),
    ]
}

proptest! {
    #[test]
    fn every_host_comes_to_an_end(pieces in proptest::collection::vec(hostile_piece(), 0..40), recipients in 0usize..4) {
        let (_, outcomes) = drive(&pieces, recipients);
        if let Some(outcomes) = outcomes {
            prop_assert_eq!(outcomes.len(), recipients);
        }
    }

    #[test]
    fn a_well_behaved_host_gets_everything_however_its_octets_are_cut(cuts in proptest::collection::vec(1usize..9, 0..60)) {
        let whole = "220 mx\r\n250-mx\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n";
        // The host answers in turn: its octets never run ahead of the question they answer.
        let turns = ["220 mx\r\n", "250-mx\r\n250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", "250 taken\r\n"];
        prop_assert_eq!(turns.concat(), whole);
        let mut cuts = cuts.into_iter();
        let mut pieces = Vec::new();
        for turn in turns {
            let mut rest = turn.as_bytes();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(cuts.next().unwrap_or(3).min(rest.len()));
                pieces.push(piece.to_vec());
                rest = after;
            }
        }
        let (_, outcomes) = drive(&pieces, 2);
        let delivered = outcomes.expect("done").iter().all(|o| matches!(o, Outcome::Delivered(_)));
        prop_assert!(delivered);
    }
}
