//! The session table by table: what it says to which event in which state. No octets, no time, no network.

mod login;
mod recipients;
mod talk;

use proptest::prelude::*;

use super::*;
use talk::{Talk, answer, login, profile, right};

#[test]
fn s_03_order_of_commands() {
    for (before, line, code) in [
        (&[][..], "MAIL FROM:<>", "503"),
        (&[], "RCPT TO:<box@x.test>", "503"),
        (&[], "DATA", "503"),
        (&[], "NOOP", "250"),
        (&[], "RSET", "250"),
        (&[], "HELP", "214"),
        (&[], "VRFY x", "252"),
        (&[], "EXPN x", "502"),
        (&[], "QUIT", "221"),
        (&[], "NONSENSE", "500"),
        (&["EHLO c.test"], "RCPT TO:<box@x.test>", "503"),
        (&["EHLO c.test"], "DATA", "503"),
        (&["EHLO c.test"], "MAIL FROM:<>", "250"),
        (&["HELO c.test"], "MAIL FROM:<>", "250"),
        (&["EHLO c.test", "MAIL FROM:<>"], "MAIL FROM:<>", "503"),
        (&["EHLO c.test", "MAIL FROM:<>"], "DATA", "503"),
        (&["EHLO c.test", "MAIL FROM:<>"], "RCPT TO:<>", "501"),
        (&["EHLO c.test", "MAIL FROM:<>"], "RCPT TO:<postmaster>", "250"),
        (&["EHLO c.test", "MAIL FROM:<>"], "STARTTLS", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "EHLO c.test"], "RCPT TO:<box@x.test>", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RSET"], "RCPT TO:<box@x.test>", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<gone@x.test>"], "DATA", "554"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<gone@x.test>", "DATA"], "RCPT TO:<box@x.test>", "250"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>"], "DATA", "354"),
        (&["EHLO c.test"], "BDAT 10 LAST", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<gone@x.test>"], "BDAT 10 LAST", "554"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>"], "BDAT 10", "250"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>"], "BDAT 0 last", "250"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>", "BDAT 10"], "DATA", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>", "BDAT 10"], "MAIL FROM:<>", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>", "BDAT 10"], "RCPT TO:<box@x.test>", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>", "BDAT 10"], "STARTTLS", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>", "BDAT 10 LAST"], "BDAT 1", "503"),
        (&["EHLO c.test", "MAIL FROM:<>", "RCPT TO:<box@x.test>", "BDAT 10", "RSET"], "MAIL FROM:<>", "250"),
    ] {
        let mut talk = Talk::at(Door::Mx);
        for line in before {
            talk.says(line);
        }
        assert_eq!(talk.code(line), code, "{before:?} {line}");
    }
}

#[test]
fn s_62_chunks_that_nobody_can_measure_end_the_session() {
    for line in [
        "BDAT",
        "BDAT x",
        "BDAT -1",
        "BDAT 10 LST",
        "BDAT 10 LAST x",
        "BDAT 18446744073709551616",
        "BDAT 4001",
    ] {
        let mut talk = Talk::greeted(Door::Mx);
        talk.says("MAIL FROM:<>");
        talk.says("RCPT TO:<box@x.test>");
        let replies = talk.says(line);
        assert_eq!(replies.len(), 1, "{line}: {replies:?}");
        assert!(replies[0].starts_with('5') && talk.is_closed(), "{line}: {replies:?}");
    }
    // Of good form (RFC 3030 section 2: chunk-size is one digit or more), and nothing of it can be lost or smuggled: it is taken.
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("MAIL FROM:<>");
    talk.says("RCPT TO:<box@x.test>");
    assert_eq!(talk.code("BDAT 0"), "250");
    assert!(talk.session.is_between_chunks());
    assert_eq!(talk.code("BDAT 5 LAST"), "250");
    // A chunk that is no good ends the mail, not the session.
    let mut talk = Talk::greeted(Door::Mx);
    talk.says("MAIL FROM:<>");
    talk.says("RCPT TO:<box@x.test>");
    talk.says("BDAT 5");
    assert!(talk.session.is_between_chunks());
    assert_eq!(talk.event(Event::ChunkAnswered(Err(Reason::BadContent)))[0][..9], *"550 5.6.0");
    assert_eq!(talk.code("BDAT 5 LAST"), "503");
    assert_eq!(talk.code("MAIL FROM:<>"), "250");
}

#[test]
fn s_01_who_speaks_first_is_no_mail_server() {
    let mut session = Session::new(profile(Door::Mx));
    let effects = session.step(Event::Opened { spoke_early: true });
    assert_eq!(effects.replies, [Reply::from(Reason::Unsynchronized)]);
    assert!(matches!(effects.next, Next::Close));
}

#[test]
fn s_04_keywords_by_door_and_state() {
    let has = |talk: &mut Talk, word: &str| {
        let lines = talk.says("EHLO c.test");
        lines.iter().any(|line| line[4..].starts_with(word))
    };
    let mut mx = Talk::at(Door::Mx);
    for word in ["PIPELINING", "SIZE 1000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN", "STARTTLS"]
    {
        assert!(has(&mut mx, word), "{word}");
    }
    assert!(!has(&mut mx, "AUTH"));
    assert!(has(&mut Talk::at(Door::Submission), "AUTH PLAIN LOGIN"));
    let mut strict = Talk::new(Profile { plaintext_login: false, ..profile(Door::Submission) });
    assert!(!has(&mut strict, "AUTH"));
    assert_eq!(strict.code("AUTH PLAIN AGEAYg=="), "538");
    strict.says("STARTTLS");
    strict.event(Event::TlsEstablished("TLSv1.3".into()));
    assert!(has(&mut strict, "AUTH PLAIN LOGIN"));
    assert!(!has(&mut strict, "STARTTLS"));
    let mut bare = Talk::new(Profile { tls_available: false, ..profile(Door::Mx) });
    assert!(!has(&mut bare, "STARTTLS"));
    assert_eq!(bare.code("STARTTLS"), "454");
}

#[test]
fn s_91_paths_that_are_not_ascii_need_the_parameter() {
    let wide = ["RCPT TO:<\u{fc}@x.test>", "RCPT TO:<box@\u{fc}.test>"];
    let mut talk = Talk::greeted(Door::Mx);
    assert_eq!(talk.says("MAIL FROM:<\u{e4}@x.test>"), ["553 5.6.7 non-ASCII address needs SMTPUTF8"]);
    talk.says("MAIL FROM:<a@x.test>");
    for line in wide {
        assert_eq!(talk.says(line), ["553 5.6.7 non-ASCII address needs SMTPUTF8"]);
    }
    assert_eq!(talk.code("RCPT TO:<box@x.test>"), "250");
    talk.says("RSET");
    assert_eq!(talk.code("MAIL FROM:<\u{e4}@x.test> SMTPUTF8"), "250");
    for line in wide {
        assert_eq!(talk.code(line), "250", "{line}");
    }
    assert_eq!(
        talk.code("VRFY \u{fc}@x.test SMTPUTF8"),
        "252",
        "S-08: whatever is asked, and never in 8 bits"
    );
    assert_eq!(talk.code("DATA"), "354");
    let Next::Content(envelope) = &talk.next else { panic!("content") };
    assert_eq!(envelope.with_protocol, "UTF8SMTP");
    // What was written with U-labels is routed by A-labels, and told to whoever asks for whom it was.
    let recipients: Vec<String> = envelope.recipients.iter().map(ToString::to_string).collect();
    assert_eq!(recipients, ["\u{fc}@x.test", "box@xn--tda.test"]);
    let originals: Vec<_> =
        envelope.recipient_dsn.iter().map(|dsn| dsn.original_recipient.as_deref()).collect();
    assert_eq!(originals, [None, Some("utf-8;box@\\x{FC}.test")]);
}

#[test]
fn s_91_smtputf8_is_an_extension_of_ehlo() {
    let mut talk = Talk::at(Door::Mx);
    assert_eq!(talk.code("HELO c.test"), "250");
    assert_eq!(talk.code("MAIL FROM:<a@x.test> SMTPUTF8"), "555");
    assert_eq!(talk.code("MAIL FROM:<\u{e4}@x.test>"), "553");
    assert_eq!(talk.code("EHLO c.test"), "250");
    assert_eq!(talk.code("MAIL FROM:<a@x.test> SMTPUTF8"), "250");
}

#[test]
fn s_07_twenty_errors_end_a_session_and_success_between_does_not_help() {
    let mut talk = Talk::greeted(Door::Mx);
    for n in 1..20 {
        assert_eq!(talk.code("NONSENSE"), "500", "{n}");
        assert_eq!(talk.code("NOOP"), "250", "{n}");
    }
    assert_eq!(talk.says("NONSENSE"), ["500 5.5.1 command not recognized", "421 4.7.0 too many errors"]);
    assert!(talk.is_closed());
}

#[test]
fn s_07_a_sender_who_is_refused_again_and_again_ends_the_session_and_an_outage_does_not() {
    let mut talk = Talk::greeted(Door::Submission);
    for n in 1..20 {
        assert_eq!(talk.code("MAIL FROM:<u@homepage.test>"), "530", "{n}");
        assert_eq!(talk.code("MAIL FROM:<away@homepage.test>"), "451", "{n}");
    }
    assert_eq!(talk.code("MAIL FROM:<u@homepage.test>"), "421");
    assert!(talk.is_closed());
}

#[test]
fn s_19_the_word_about_content() {
    for (answer, line, closed) in [
        (Ok(()), "250 2.0.0 queued as 0193c2a1b4c97f3e8d4a5b6c7d8e9f00", false),
        (Err(Reason::Unavailable), "451 4.3.0 temporary failure on our side, please try again later", false),
        (Err(Reason::BadContent), "550 5.6.0 message has a bare CR, a bare LF or a NUL", false),
        (Err(Reason::MessageTooLarge), "552 5.3.4 message is too large", false),
        (Err(Reason::ShuttingDown), "421 4.3.2 service is closing down, please try again", true),
    ] {
        let mut talk = Talk::greeted(Door::Mx);
        talk.says("MAIL FROM:<>");
        talk.says("RCPT TO:<box@x.test>");
        talk.says("DATA");
        assert_eq!(talk.event(Event::ContentAnswered(answer)), [line]);
        assert_eq!(talk.is_closed(), closed);
        if !closed {
            // The next mail is a new one (S-29).
            assert_eq!(talk.code("RCPT TO:<box@x.test>"), "503");
            assert_eq!(talk.code("MAIL FROM:<>"), "250");
        }
    }
}

#[test]
fn s_41_nothing_may_stand_behind_what_ends_a_group() {
    for line in ["EHLO c.test", "HELO c.test", "DATA", "STARTTLS", "AUTH PLAIN"] {
        let mut talk = Talk::greeted(Door::Submission);
        assert_eq!(talk.line(line, true), ["554 5.5.0 protocol synchronization error"], "{line}");
        assert!(talk.is_closed(), "{line}");
    }
    for line in ["NOOP", "RSET", "VRFY x"] {
        let mut talk = Talk::greeted(Door::Mx);
        talk.line(line, true);
        assert!(!talk.is_closed(), "{line}");
    }
}

#[test]
fn s_50_declared_size() {
    let mut talk = Talk::greeted(Door::Mx);
    assert_eq!(talk.says("MAIL FROM:<> SIZE=1001"), ["552 5.3.4 message is too large"]);
    assert_eq!(talk.code("MAIL FROM:<> SIZE=1000"), "250");
}

#[test]
fn s_28_time_and_shutdown_end_it() {
    let mut talk = Talk::greeted(Door::Mx);
    assert_eq!(talk.event(Event::Idle), ["421 4.4.2 timeout, closing connection"]);
    assert!(talk.is_closed());
    let mut talk = Talk::greeted(Door::Mx);
    assert_eq!(talk.event(Event::ShuttingDown), ["421 4.3.2 service is closing down, please try again"]);
    assert!(talk.is_closed());
    let mut talk = Talk::greeted(Door::Mx);
    assert_eq!(talk.event(Event::BrokenLine(Reason::BadCharacter))[0][..3], *"500");
    assert!(talk.is_closed());
}

proptest! {
    /// Any order of commands: exactly one reply each (but for a closing 421), positive ones only in order.
    #[test]
    fn any_order_gets_one_reply_each(lines in proptest::collection::vec(prop_oneof![
        Just("EHLO c.test"), Just("HELO c.test"), Just("MAIL FROM:<>"), Just("MAIL FROM:<granted@homepage.test>"),
        Just("RCPT TO:<box@x.test>"), Just("RCPT TO:<gone@x.test>"), Just("RCPT TO:<far@x.test>"), Just("RCPT TO:<bad"),
        Just("DATA"), Just("RSET"), Just("NOOP"), Just("STARTTLS"), Just("AUTH PLAIN AHUAcmlnaHQ="), Just("X"),
        Just("BDAT 1"), Just("BDAT 1 LAST"), Just("AUTH PLAIN"), Just("AUTH LOGIN"), Just("AUTH CRAM-MD5"), Just("dXNlcg=="),
        Just("cmlnaHQ="), Just("*"),
    ], 0..60)) {
        let mut talk = Talk::at(Door::Submission);
        let (mut open, mut good) = (false, 0);
        for line in lines {
            let in_auth = matches!(talk.next, Next::SaslLine);
            let replies = talk.says(line);
            prop_assert!(!replies.is_empty());
            let first = replies[0].clone();
            let positive = first.starts_with('2') || first.starts_with('3');
            let ends = replies.last().is_some_and(|last| last.starts_with("421"));
            if !line.starts_with("EHLO") {
                prop_assert_eq!(replies.len(), 1 + usize::from(ends && !first.starts_with("421")));
            }
            if talk.is_closed() {
                return Ok(());
            }
            match line {
                _ if !positive || in_auth => {}
                _ if line.starts_with("MAIL") => { prop_assert!(!open); open = true; good = 0; }
                _ if line.starts_with("RCPT") => { prop_assert!(open); good += 1; }
                "DATA" => {
                    prop_assert!(open && good > 0);
                    open = false;
                    let done = talk.event(Event::ContentAnswered(Ok(())));
                    prop_assert!(done[0].starts_with("250 2.0.0 queued as "));
                }
                "STARTTLS" => { talk.event(Event::TlsEstablished("T".into())); open = false; }
                "RSET" | "EHLO c.test" | "HELO c.test" => open = false,
                "BDAT 1" | "BDAT 1 LAST" => { prop_assert!(open && good > 0); open = line == "BDAT 1"; }
                _ => {}
            }
        }
    }
}
