//! The session as tables: what goes in, what is answered, what is wanted. No socket, no clock.

mod login;
mod transaction;

use bytes::{Buf as _, Bytes};
use proptest::prelude::*;

use super::*;
use crate::{line::LineReader, maildrop::Maildrop};

const OPEN_POLICY: Policy = Policy { plaintext_login: true, stls: true, login_delay_seconds: 0 };
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
fn p_44_p_50_p_51_capabilities() {
    let before = Table::new().line("CAPA");
    assert_eq!(
        before,
        "+OK capability list follows\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\nUTF8\r\n\
         USER\r\nSASL PLAIN LOGIN\r\nSTLS\r\nIMPLEMENTATION Postern\r\n.\r\n"
    );
    assert_eq!(Table::open(&[]).line("CAPA"), before, "also listed after login");
    let no_tls = Table::with(Policy { stls: false, ..OPEN_POLICY }).line("CAPA");
    assert!(!no_tls.contains("STLS"));
    // P-41: only where there is one.
    let delayed = Table::with(Policy { login_delay_seconds: 900, ..OPEN_POLICY }).line("CAPA");
    assert!(delayed.contains("\r\nUTF8\r\nLOGIN-DELAY 900\r\nUSER\r\n"), "{delayed}");
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
