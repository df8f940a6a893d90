//! RCPT: groups of them, how many, who is let through, and what too many wrong ones lead to.

use super::*;

#[test]
fn s_13_s_42_recipients_are_answered_in_order() {
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("MAIL FROM:<a@x.test>");
    let group = ["box@x.test", "gone@x.test", "away@x.test", "far@y.test", "open@y.test"];
    let paths = group
        .iter()
        .map(|a| {
            Ok(postern_smtp::command::RcptCommand {
                path: postern_smtp::command::RcptPath::Address(a.parse().expect("address")),
                written: None,
                dsn: Default::default(),
            })
        })
        .collect();
    let mut replies = talk.event(Event::Recipients(paths));
    // Three fit into a transaction, five were named: two are not even asked for.
    assert!(replies.is_empty());
    let Next::Ask(question) = std::mem::replace(&mut talk.next, Next::Stay) else { panic!("asks") };
    replies.extend(talk.event(answer(&question)));
    let codes: Vec<&str> = replies.iter().map(|line| &line[..9]).collect();
    assert_eq!(codes, ["250 2.1.5", "550 5.1.1", "451 4.3.0", "452 4.5.3", "452 4.5.3"]);
    talk.says("DATA");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!(envelope.recipients.len(), 1);
    assert_eq!(envelope.right, None);
}

#[test]
fn s_15_over_the_limit_is_temporary_and_the_others_are_kept() {
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("MAIL FROM:<>");
    for name in ["a", "b", "c"] {
        assert_eq!(talk.code(&format!("RCPT TO:<{name}@x.test>")), "250");
    }
    assert_eq!(talk.says("RCPT TO:<d@x.test>"), ["452 4.5.3 too many recipients"]);
    talk.says("DATA");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!(envelope.recipients.len(), 3);
}

#[test]
fn s_16_the_same_recipient_twice_is_one() {
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("MAIL FROM:<>");
    assert_eq!(talk.code("RCPT TO:<a@x.test>"), "250");
    assert_eq!(talk.code("RCPT TO:<a@X.test>"), "250");
    talk.says("DATA");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!(envelope.recipients.len(), 1);
}

#[test]
fn s_18_a_relayed_mail_says_who_let_it_through() {
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("MAIL FROM:<a@homepage.test>");
    assert_eq!(talk.code("RCPT TO:<open@y.test>"), "550");
    assert_eq!(talk.code("RCPT TO:<far@y.test>"), "250");
    talk.says("DATA");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!(envelope.right, Some(right(7, false)));
}

#[test]
fn refused_recipients_end_a_session_and_temporary_ones_do_not() {
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("MAIL FROM:<>");
    for _ in 0..30 {
        assert_eq!(talk.code("RCPT TO:<away@x.test>"), "451");
    }
    for _ in 0..3 {
        assert_eq!(talk.code("RCPT TO:<gone@x.test>"), "550");
    }
    assert_eq!(
        talk.says("RCPT TO:<gone@x.test>"),
        ["550 5.1.1 no such mailbox here", "421 4.7.0 too many unknown recipients"]
    );
    assert!(talk.is_closed());
    let mut exempt = Talk::new(Profile { refused_recipients_max: None, ..profile(Door::Mx) });
    exempt.says("EHLO c.test");
    exempt.says("MAIL FROM:<>");
    for _ in 0..100 {
        assert_eq!(exempt.code("RCPT TO:<gone@x.test>"), "550");
    }
}

#[test]
fn only_strangers_are_counted_against_what_a_recipient_gets() {
    for (door, sender, expected) in
        [(Door::Mx, "a@x.test", true), (Door::Submission, "granted@homepage.test", false)]
    {
        let mut talk = Talk::greeted(door);
        assert_eq!(talk.code(&format!("MAIL FROM:<{sender}>")), "250");
        let path = postern_smtp::command::RcptCommand {
            path: postern_smtp::command::RcptPath::Address("box@x.test".parse().expect("address")),
            written: None,
            dsn: Default::default(),
        };
        talk.event(Event::Recipients(vec![Ok(path)]));
        let Next::Ask(Question::Recipients { counted, .. }) = &talk.next else { panic!("asks") };
        assert_eq!(*counted, expected, "{sender}");
    }
}
