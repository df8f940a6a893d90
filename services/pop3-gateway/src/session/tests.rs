//! The session as tables: what goes in, what is answered, what is wanted. No socket, no clock.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf as _, Bytes};
use proptest::prelude::*;

use super::*;
use crate::{command::Password, line::LineReader, maildrop::Maildrop};

const OPEN_POLICY: Policy = Policy { plaintext_login: true, stls: true };
const LOCK: MaildropLock = MaildropLock { mailbox_id: 7, token: 42 };

struct Table {
    session: Session,
    out: Output,
}

impl Table {
    fn with(policy: Policy) -> Self {
        let mut out = Output::default();
        let session = Session::begin(policy, false, &mut out);
        let mut table = Self { session, out };
        table.said();
        table
    }

    fn new() -> Self {
        Self::with(OPEN_POLICY)
    }

    /// Logged in, with a box of these sizes; uids are 10, 20, 30...
    fn open(sizes: &[u64]) -> Self {
        let mut table = Self::new();
        table.line("USER user@homepage.test");
        assert!(matches!(table.effect("PASS secret"), Effect::Authenticate(_)));
        table.authenticated(Ok(()));
        table.opened(sizes);
        table.said();
        table
    }

    fn said(&mut self) -> String {
        String::from_utf8(self.out.copy_to_bytes(self.out.remaining()).to_vec()).unwrap()
    }

    fn event(&mut self, event: Event) -> Effect {
        self.session.step(event, &mut self.out)
    }

    fn effect(&mut self, line: &str) -> Effect {
        self.event(Event::Line { line: Line::Text(Bytes::copy_from_slice(line.as_bytes())), more: false })
    }

    /// A command that is answered at once.
    fn line(&mut self, line: &str) -> String {
        let effect = self.effect(line);
        if let Effect::List(mut listing) = effect {
            while self.session.write_listing(&mut listing, &mut self.out) {}
        } else {
            assert_eq!(effect, Effect::Continue, "{line}");
        }
        self.said()
    }

    fn authenticated(&mut self, answer: Result<(), Reason>) -> Effect {
        let identity = Identity { login: "user@homepage.test".to_owned(), mailbox_id: LOCK.mailbox_id };
        self.event(Event::Authenticated(answer.map(|()| identity)))
    }

    fn opened(&mut self, sizes: &[u64]) -> Effect {
        let mut maildrop = Maildrop::default();
        maildrop.extend(&vec![10; sizes.len()], sizes).unwrap();
        self.event(Event::Opened(Ok(Opened { lock_token: LOCK.token, generation: 1, maildrop })))
    }

    /// A whole login attempt with this verdict.
    fn attempt(&mut self, verdict: Reason) -> (Effect, String) {
        self.line("USER user@homepage.test");
        assert!(matches!(self.effect("PASS secret"), Effect::Authenticate(_)));
        let effect = self.authenticated(Err(verdict));
        (effect, self.said())
    }
}

fn hangup(outcome: Outcome) -> Effect {
    Effect::Hangup { release: None, outcome }
}

fn credentials(login: &str, password: &str) -> Effect {
    let password = Password(Bytes::copy_from_slice(password.as_bytes()));
    Effect::Authenticate(Credentials { login: login.to_owned(), password })
}

#[test]
fn p_01_greeting() {
    let mut out = Output::default();
    Session::begin(OPEN_POLICY, false, &mut out);
    let greeting = out.copy_to_bytes(out.remaining());
    assert!(greeting.starts_with(b"+OK ") && greeting.ends_with(b"\r\n") && greeting.len() <= 512);
    assert!(!greeting.contains(&b'<'), "P-29: no timestamp, APOP is not offered");
}

#[test]
fn p_03_p_10_bad_commands_before_login() {
    let mut table = Table::new();
    assert!(table.line("HELO x").starts_with("-ERR "));
    assert!(table.line("").starts_with("-ERR "));
    assert_eq!(table.effect("STAT"), hangup(Outcome::TooManyErrors));
    assert_eq!(table.said(), "-ERR too many errors\r\n");
}

#[test]
fn p_03_bad_commands_after_login_end_nothing() {
    let mut table = Table::open(&[1]);
    for _ in 0..50 {
        assert!(table.line("XYZZY").starts_with("-ERR "));
        assert!(table.line("").starts_with("-ERR "));
    }
    assert_eq!(table.line("noop"), "+OK nothing done\r\n");
}

#[test]
fn p_05_an_endless_line_ends_the_session_without_deletes() {
    let mut table = Table::open(&[1]);
    table.line("DELE 1");
    let effect = table.event(Event::Line { line: Line::Endless, more: true });
    assert_eq!(effect, Effect::Hangup { release: Some(LOCK), outcome: Outcome::TooManyErrors });
    assert!(table.said().starts_with("-ERR "));
}

#[test]
fn p_08_quit_before_login() {
    let mut table = Table::new();
    assert_eq!(table.effect("QUIT"), hangup(Outcome::Quit));
    assert_eq!(table.said(), "+OK goodbye\r\n");
}

#[test]
fn p_09_p_11_whoever_goes_without_quit_deletes_nothing() {
    for outcome in [Outcome::Timeout, Outcome::Disconnected, Outcome::Shutdown, Outcome::Stalled] {
        let mut table = Table::open(&[1, 2]);
        table.line("DELE 1");
        assert_eq!(table.event(Event::Ended(outcome)), Effect::Hangup { release: Some(LOCK), outcome });
        assert_eq!(table.said(), "", "without a reply");
        assert_eq!(table.session.tally().deleted, 0);
    }
}

#[test]
fn p_20_p_28_wrong_order() {
    assert!(Table::new().line("PASS secret").starts_with("-ERR bad sequence"));
    let mut table = Table::open(&[]);
    for line in ["USER x", "PASS y", "AUTH", "AUTH PLAIN", "STLS"] {
        assert!(table.line(line).starts_with("-ERR bad sequence"), "{line}");
    }
    // PASS twice: the user is forgotten after a failure.
    let mut table = Table::new();
    table.attempt(Reason::BadCredentials);
    assert!(table.line("PASS again").starts_with("-ERR bad sequence"));
}

#[test]
fn p_21_p_22_user_tells_nothing_and_passwords_are_verbatim() {
    let mut table = Table::new();
    assert_eq!(table.line("USER known@homepage.test"), table.line("USER unknown@homepage.test"));
    assert_eq!(table.effect("PASS  a:% b "), credentials("unknown@homepage.test", " a:% b "));
}

#[test]
fn p_23_p_24_wrong_passwords() {
    let mut table = Table::new();
    for _ in 0..2 {
        let (effect, said) = table.attempt(Reason::BadCredentials);
        assert_eq!((effect, said.as_str()), (Effect::Continue, "-ERR [AUTH] login or password is wrong\r\n"));
    }
    let (effect, said) = table.attempt(Reason::BadCredentials);
    assert_eq!(effect, hangup(Outcome::TooManyErrors));
    assert!(said.starts_with("-ERR [AUTH] "), "{said}");
}

#[test]
fn p_24_the_count_survives_tls() {
    let mut table = Table::new();
    table.attempt(Reason::BadCredentials);
    table.attempt(Reason::BadCredentials);
    assert_eq!(table.effect("STLS"), Effect::StartTls);
    table.event(Event::TlsStarted);
    table.said();
    assert_eq!(table.attempt(Reason::BadCredentials).0, hangup(Outcome::TooManyErrors));
}

#[test]
fn a_password_that_cannot_be_right_is_wrong_without_asking() {
    let mut table = Table::new();
    let answer = STANDARD.encode([b"\0u@x.test\0".to_vec(), vec![b'x'; 1025]].concat());
    table.line("AUTH PLAIN");
    assert!(table.line(&answer).starts_with("-ERR [AUTH] "));
}

#[test]
fn p_25_auth_alone_lists() {
    assert_eq!(Table::new().line("AUTH"), "+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n");
}

#[test]
fn p_26_auth_plain() {
    let good = STANDARD.encode("\0user@homepage.test\0secret");
    let wanted = credentials("user@homepage.test", "secret");
    assert_eq!(Table::new().effect(&format!("AUTH PLAIN {good}")), wanted);
    let mut table = Table::new();
    assert_eq!(table.line("AUTH PLAIN"), "+ \r\n");
    assert_eq!(table.session.line_limit(), 12_288);
    assert_eq!(table.effect(&good), wanted);

    let other = STANDARD.encode("admin\0user@homepage.test\0secret");
    let forged = STANDARD.encode("\0user\r\nQUIT\0secret");
    for (answer, said) in [
        ("*", "-ERR authentication cancelled\r\n"),
        ("=", "-ERR authentication data cannot be decoded\r\n"),
        ("%%%", "-ERR authentication data cannot be decoded\r\n"),
        (&forged, "-ERR authentication data cannot be decoded\r\n"),
        (&other, "-ERR [AUTH] login or password is wrong\r\n"),
    ] {
        let mut table = Table::new();
        table.line("AUTH PLAIN");
        assert_eq!(table.line(answer), said, "{answer}");
        assert_eq!(table.line("USER x"), "+OK send PASS\r\n", "back in AUTHORIZATION");
    }
}

#[test]
fn auth_login_prompts_twice() {
    let mut table = Table::new();
    assert_eq!(table.line("AUTH LOGIN"), "+ VXNlcm5hbWU6\r\n");
    assert_eq!(table.line(&STANDARD.encode("user@homepage.test")), "+ UGFzc3dvcmQ6\r\n");
    assert_eq!(table.effect(&STANDARD.encode("secret")), credentials("user@homepage.test", "secret"));
}

#[test]
fn p_27_p_29_what_is_not_offered() {
    let mut table = Table::new();
    assert_eq!(table.line("AUTH CRAM-MD5"), "-ERR unrecognized authentication type\r\n");
    assert!(table.line("APOP user c4c9334bac560ecc979e58001b3e22fb").starts_with("-ERR "));
    let mut table = Table::new();
    let too_long = Event::Line { line: Line::TooLong, more: false };
    assert_eq!(table.event(too_long), Effect::Continue);
    assert_eq!(table.said(), "-ERR line too long\r\n");
    table.line("AUTH PLAIN");
    assert_eq!(table.event(Event::Line { line: Line::TooLong, more: false }), Effect::Continue);
    assert_eq!(table.said(), "-ERR authentication exchange line is too long\r\n");
}

#[test]
fn p_30_without_tls_no_password_is_asked_for() {
    let mut table = Table::with(Policy { plaintext_login: false, stls: true });
    let capabilities = table.line("CAPA");
    assert!(
        !capabilities.contains("USER")
            && !capabilities.contains("SASL")
            && capabilities.contains("\r\nSTLS\r\n")
    );
    for line in ["USER x", "PASS y", "AUTH PLAIN"] {
        let said = table.line(line);
        assert!(said.starts_with("-ERR encryption is required"), "{said}");
    }
    assert_eq!(table.line("AUTH"), "+OK mechanisms follow\r\n.\r\n");
    assert_eq!(table.effect("STLS"), Effect::StartTls);
    assert_eq!(table.event(Event::TlsStarted), Effect::Continue);
    table.said();
    assert!(table.line("CAPA").contains("\r\nUSER\r\nSASL PLAIN LOGIN\r\n"));
}

#[test]
fn p_30_a_domain_that_takes_no_clear_text_is_told_without_auth() {
    let mut table = Table::new();
    for _ in 0..5 {
        table.line("USER x@y.test");
        table.effect("PASS z");
        // Not the password was wrong: it is no failure of the client's.
        assert_eq!(table.authenticated(Err(Reason::EncryptionRequired)), Effect::Continue);
        let said = table.said();
        assert!(said.starts_with("-ERR encryption is required"), "{said}");
    }
}

#[test]
fn p_40_in_use_is_told_to_who_knows_the_password() {
    let mut table = Table::new();
    table.line("USER user@homepage.test");
    table.effect("PASS secret");
    assert!(matches!(table.authenticated(Ok(())), Effect::Open(_)));
    let detail = "in use since 12:03 from 203.0.113.9; it frees itself within 60 s of that session ending";
    let denial = Denial { reason: Reason::MailboxInUse, detail: Some(detail.to_owned()) };
    assert_eq!(table.event(Event::Opened(Err(denial))), Effect::Continue);
    assert_eq!(table.said(), format!("-ERR [IN-USE] can't lock account: {detail}\r\n"));
    assert!(!table.session.holds_box());
}

#[test]
fn p_41_p_42_p_43_r0_what_a_login_may_hear() {
    for reason in Reason::ALL {
        let said = Table::new().attempt(*reason).1;
        let permanent = said.starts_with("-ERR [AUTH]") || said.starts_with("-ERR [SYS/PERM]");
        // P-30: the password was not looked at.
        let coded = said.starts_with("-ERR [") || *reason == Reason::EncryptionRequired;
        assert!(coded, "without a code it would be a wrong password: {said}");
        let typed = [
            Reason::BadCredentials,
            Reason::AccountSuspended,
            Reason::TooManyFailures,
            Reason::MailboxRemoved,
            Reason::MessageDamaged,
        ];
        assert_eq!(permanent, typed.contains(reason), "{reason:?}: {said}");
    }
    assert!(Table::new().attempt(Reason::LoginThrottled).1.starts_with("-ERR [LOGIN-DELAY] "));
    assert!(Table::new().attempt(Reason::Unavailable).1.starts_with("-ERR [SYS/TEMP] "));
}

#[test]
fn p_42_a_part_that_is_away_is_no_wrong_password() {
    let mut table = Table::new();
    for _ in 0..10 {
        assert_eq!(table.attempt(Reason::Unavailable).0, Effect::Continue);
    }
}

#[test]
fn p_44_p_50_p_51_capabilities() {
    let before = Table::new().line("CAPA");
    assert_eq!(
        before,
        "+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n\
         USER\r\nSASL PLAIN LOGIN\r\nSTLS\r\nIMPLEMENTATION Postern\r\n.\r\n"
    );
    assert_eq!(Table::open(&[]).line("CAPA"), before, "also listed after login");
    let no_tls = Table::with(Policy { plaintext_login: true, stls: false }).line("CAPA");
    assert!(!no_tls.contains("STLS"));
}

#[test]
fn p_100_utf8_before_login_only() {
    let mut table = Table::new();
    assert!(!table.session.takes_utf8());
    assert!(table.line("UTF8 USER").starts_with("-ERR "), "with an argument");
    assert!(!table.session.takes_utf8());
    for _ in 0..2 {
        assert_eq!(table.line("utf8"), "+OK UTF-8 in headers\r\n");
        assert!(table.session.takes_utf8());
    }
    table.attempt(Reason::BadCredentials);
    assert!(table.session.takes_utf8(), "a wrong password changes nothing");
    let mut table = Table::open(&[1]);
    assert!(table.line("UTF8").starts_with("-ERR "), "in TRANSACTION");
    assert!(!table.session.takes_utf8());
}

#[test]
fn p_102_behind_utf8_no_stls_and_no_password_in_other_octets() {
    let mut table = Table::new();
    table.line("UTF8");
    assert!(table.line("STLS").starts_with("-ERR "));
    assert!(!table.line("CAPA").contains("STLS"), "and it is not offered");
    table.line("USER user@homepage.test");
    let pass =
        |octets: &'static [u8]| Event::Line { line: Line::Text(Bytes::from_static(octets)), more: false };
    assert_eq!(table.event(pass(b"PASS \xe9\xff")), Effect::Continue);
    assert!(table.said().starts_with("-ERR "));
    assert_eq!(table.event(pass(b"USER \xff")), hangup(Outcome::TooManyErrors), "the third bad command");
    let mut table = Table::new();
    table.line("UTF8");
    table.line("USER user@homepage.test");
    assert_eq!(table.effect("PASS p\u{e4}ss"), credentials("user@homepage.test", "p\u{e4}ss"));
}

#[test]
fn p_60_p_61_stat_and_list() {
    let mut table = Table::open(&[100, 20, 3]);
    assert_eq!(table.line("STAT"), "+OK 3 123\r\n");
    assert_eq!(table.line("LIST"), "+OK 3 messages (123 octets)\r\n1 100\r\n2 20\r\n3 3\r\n.\r\n");
    assert_eq!(table.line("LIST 2"), "+OK 2 20\r\n");
    table.line("DELE 2");
    assert_eq!(table.line("STAT"), "+OK 2 103\r\n");
    assert_eq!(table.line("LIST"), "+OK 2 messages (103 octets)\r\n1 100\r\n3 3\r\n.\r\n");
    for line in ["LIST 0", "LIST -1", "LIST 99999999999999999999", "LIST 1x", "LIST 1 2", "LIST 4"] {
        assert!(table.line(line).starts_with("-ERR "), "{line}");
    }
    assert_eq!(Table::open(&[]).line("LIST"), "+OK 0 messages (0 octets)\r\n.\r\n");
}

#[test]
fn a_listing_of_a_full_box_comes_in_pieces() {
    let mut table = Table::open(&vec![1_000; 100_000]);
    let Effect::List(mut listing) = table.effect("LIST") else { panic!("a listing") };
    let (mut pieces, mut said) = (0, String::new());
    while table.session.write_listing(&mut listing, &mut table.out) {
        assert!(table.out.remaining() < 40_000);
        said.push_str(&table.said());
        pieces += 1;
    }
    said.push_str(&table.said());
    assert!(pieces > 10);
    assert_eq!(said.lines().count(), 100_002);
    assert!(said.ends_with("100000 1000\r\n.\r\n"));
}

#[test]
fn p_65_what_is_marked_deleted_is_gone() {
    let mut table = Table::open(&[1, 2]);
    assert!(table.line("DELE 1").starts_with("+OK "));
    for line in ["DELE 1", "RETR 1", "TOP 1 0", "LIST 1", "UIDL 1", "DELE 3", "RETR 3"] {
        assert!(table.line(line).starts_with("-ERR "), "{line}");
    }
}

#[test]
fn p_66_top_zero_is_a_number() {
    let mut table = Table::open(&[500]);
    let Effect::Retrieve(retrieval) = table.effect("TOP 1 0") else { panic!("a retrieval") };
    assert_eq!(retrieval.kind, TransferKind::Top { lines: 0 });
    table.event(Event::Retrieved(Ok(())));
    assert_eq!(table.session.tally().retrieved, 0);
    for line in ["TOP", "TOP 1", "TOP 1 -1", "TOP 1xyz 2", "TOP 1 2xyz", "TOP 1 2 3"] {
        assert!(table.line(line).starts_with("-ERR "), "{line}");
    }
}

#[test]
fn p_68_uidl() {
    let mut table = Table::open(&[1, 1]);
    assert_eq!(table.line("UIDL"), "+OK unique ids follow\r\n1 a.1\r\n2 k.1\r\n.\r\n");
    assert_eq!(table.line("UIDL 2"), "+OK 2 k.1\r\n");
}

#[test]
fn p_70_rset() {
    let mut table = Table::open(&[1, 2]);
    table.line("DELE 1");
    assert_eq!(table.line("RSET"), "+OK 2 messages\r\n");
    assert_eq!(table.line("STAT"), "+OK 2 3\r\n");
}

#[test]
fn p_45_a_message_that_is_not_to_be_had_harms_only_itself() {
    for (reason, said) in [
        (Reason::MessageDamaged, "-ERR [SYS/PERM] "),
        (Reason::MessageGone, "-ERR this message is gone"),
        (Reason::Unavailable, "-ERR [SYS/TEMP] "),
        (Reason::BadCredentials, "-ERR [SYS/TEMP] "),
        (Reason::NoSuchMailbox, "-ERR [SYS/TEMP] "),
    ] {
        let mut table = Table::open(&[1, 2]);
        assert!(matches!(table.effect("RETR 1"), Effect::Retrieve(_)));
        assert_eq!(table.event(Event::Retrieved(Err(reason))), Effect::Continue);
        assert!(table.said().starts_with(said), "{reason:?}");
        assert_eq!(table.line("STAT"), "+OK 2 3\r\n");
    }
}

#[test]
fn p_80_quit_deletes_then_answers() {
    let mut table = Table::open(&[1, 2, 3]);
    table.line("DELE 3");
    table.line("DELE 1");
    assert_eq!(table.effect("QUIT"), Effect::Close { lock: LOCK, deleted_uids: vec![10, 30] });
    assert_eq!(table.said(), "", "nothing is answered before it is done");
    assert_eq!(table.event(Event::Closed(Ok(2))), hangup(Outcome::Quit));
    assert!(table.said().starts_with("+OK "));
    assert_eq!(table.session.tally().deleted, 2);
}

#[test]
fn p_80_p_83_quit_that_fails() {
    for (reason, said, release) in [
        (Reason::Unavailable, "-ERR [SYS/TEMP] some deleted messages not removed", Some(LOCK)),
        (Reason::LockLost, "-ERR [SYS/TEMP] some deleted messages not removed", None),
        (Reason::MailboxRemoved, "-ERR [SYS/PERM] ", None),
        (Reason::BadCredentials, "-ERR [SYS/TEMP] some deleted messages not removed", Some(LOCK)),
    ] {
        let mut table = Table::open(&[1]);
        table.line("DELE 1");
        table.effect("QUIT");
        let effect = table.event(Event::Closed(Err(reason)));
        assert_eq!(effect, Effect::Hangup { release, outcome: Outcome::QuitFailed }, "{reason:?}");
        assert!(table.said().starts_with(said), "{reason:?}");
        assert_eq!(table.session.tally().deleted, 0);
    }
}

#[test]
fn quit_without_deletes_is_ok_whatever_happens() {
    let mut table = Table::open(&[1]);
    assert_eq!(table.effect("QUIT"), Effect::Close { lock: LOCK, deleted_uids: Vec::new() });
    assert_eq!(table.event(Event::Closed(Err(Reason::Unavailable))), hangup(Outcome::Quit));
    assert_eq!(table.said(), "+OK goodbye\r\n");
}

#[test]
fn p_91_p_93_stls() {
    let mut table = Table::new();
    table.line("USER x");
    assert!(table.line("STLS now").starts_with("-ERR "));
    assert_eq!(table.effect("STLS"), Effect::StartTls);
    assert_eq!(table.said(), "+OK begin TLS\r\n");
    table.event(Event::TlsStarted);
    assert!(table.line("PASS y").starts_with("-ERR bad sequence"), "USER is forgotten");
    let mut table = Table::new();
    table.effect("STLS");
    table.event(Event::TlsStarted);
    table.said();
    assert!(table.line("STLS").starts_with("-ERR "), "not twice");
    assert!(!table.line("CAPA").contains("STLS"));
    let mut none = Table::with(Policy { plaintext_login: true, stls: false });
    assert_eq!(none.line("STLS"), "-ERR command not implemented\r\n");
}

#[test]
fn p_92_what_is_sent_behind_stls_is_never_read() {
    let mut table = Table::new();
    let line = Line::Text(Bytes::from_static(b"STLS"));
    assert_eq!(table.event(Event::Line { line, more: true }), hangup(Outcome::TlsFailed));
    assert!(table.said().starts_with("-ERR "));
}

#[test]
fn an_event_at_the_wrong_time_ends_the_session_without_deletes() {
    let mut table = Table::open(&[1]);
    table.line("DELE 1");
    let effect = table.event(Event::Closed(Ok(1)));
    assert_eq!(effect, Effect::Hangup { release: Some(LOCK), outcome: Outcome::Disconnected });
    assert_eq!(table.effect("STAT"), hangup(Outcome::Disconnected), "over is over");
}

/// Answers what the session wants, as a world in which everything works.
fn answer(table: &mut Table, effect: Effect) -> Option<Event> {
    match effect {
        Effect::Continue => None,
        Effect::StartTls => Some(Event::TlsStarted),
        Effect::Authenticate(_) => {
            Some(Event::Authenticated(Ok(Identity { login: "u".to_owned(), mailbox_id: LOCK.mailbox_id })))
        }
        Effect::Open(_) => {
            let mut maildrop = Maildrop::default();
            maildrop.extend(&[1, 1, 1], &[10, 20, 30]).unwrap();
            Some(Event::Opened(Ok(Opened { lock_token: LOCK.token, generation: 0, maildrop })))
        }
        Effect::List(mut listing) => {
            while table.session.write_listing(&mut listing, &mut table.out) {}
            None
        }
        Effect::Retrieve(_) => Some(Event::Retrieved(Ok(()))),
        Effect::Close { .. } => Some(Event::Closed(Ok(1))),
        Effect::Hangup { .. } => Some(Event::Ended(Outcome::Quit)),
    }
}

fn script() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let words = prop::sample::select(vec![
        "USER u",
        "PASS p",
        "AUTH PLAIN",
        "AUTH LOGIN",
        "AHUAcA==",
        "*",
        "STLS",
        "CAPA",
        "STAT",
        "LIST",
        "LIST 2",
        "UIDL",
        "RETR 1",
        "RETR 9",
        "TOP 1 0",
        "DELE 1",
        "DELE 2",
        "RSET",
        "NOOP",
        "QUIT",
        "",
        "XYZZY 1",
    ]);
    let line = prop_oneof![
        9 => words.prop_map(|word| format!("{word}\r\n").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..600),
    ];
    prop::collection::vec(line, 0..60)
}

proptest! {
    /// Any octets in any order: no panic, every answer is whole lines that begin as they must, little memory.
    #[test]
    fn any_octets_are_answered_well(script in script(), cut in 1usize..700) {
        let mut table = Table::new();
        let mut reader = LineReader::default();
        for octets in script.concat().chunks(cut) {
            reader.feed(octets);
            while let Some(line) = reader.next_line(table.session.line_limit()) {
                let mut effect = table.event(Event::Line { line, more: !reader.is_empty() });
                let mut over = false;
                loop {
                    over |= matches!(effect, Effect::Hangup { .. });
                    let Some(event) = answer(&mut table, effect).filter(|_| !over) else { break };
                    effect = table.event(event);
                }
                let said = table.said();
                prop_assert!(said.is_empty() || said.ends_with("\r\n"));
                let good = said.is_empty() || ["+OK ", "-ERR ", "+ "].iter().any(|begin| said.starts_with(begin));
                prop_assert!(good, "{}", said);
                prop_assert!(said.len() < 2000);
                if over {
                    return Ok(());
                }
            }
        }
    }
}
