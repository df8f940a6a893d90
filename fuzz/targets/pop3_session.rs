//! A POP3 session from octets to replies, with a world that answers as it likes: whole lines, one answer for each command,
//! the same however the octets are cut, and nothing is deleted but by QUIT.

#![no_main]

use bytes::Buf as _;
use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_mail::Reason;

#[path = "../../services/pop3-gateway/src"]
mod gateway {
    pub mod command;
    pub mod line;
    pub mod maildrop;
    pub mod output;
    pub mod session;
}
use gateway::{command, line, maildrop, output, session};
use line::{Line, LineReader};
use maildrop::Maildrop;
use output::Output;
use session::{Denial, Effect, Event, Identity, MaildropLock, Opened, Outcome, Policy, Session};

const LOCK: MaildropLock = MaildropLock { mailbox_id: 7, token: 42 };

/// What a failing part of the house can say.
fn trouble(dice: &mut Dice<'_>) -> Reason {
    Reason::ALL[dice.roll(256) % Reason::ALL.len()]
}

/// The world's answer to what the session wants; `None` when it goes on with the next line or is over.
fn answer(effect: Effect, session: &Session, dice: &mut Dice<'_>, out: &mut Output) -> Option<Event> {
    let fails = dice.roll(5) == 0;
    match effect {
        Effect::Continue => None,
        Effect::StartTls => Some(if fails { Event::Ended(Outcome::TlsFailed) } else { Event::TlsStarted }),
        Effect::Authenticate(credentials) => {
            assert!(credentials.login.len() <= 320 && credentials.password.0.len() <= 1024);
            let identity = Identity { login: credentials.login, mailbox_id: LOCK.mailbox_id };
            Some(Event::Authenticated(if fails { Err(trouble(dice)) } else { Ok(identity) }))
        }
        Effect::Open(_) if fails => {
            let detail = dice.coin().then(|| "in use since 12:03".to_owned());
            Some(Event::Opened(Err(Denial { reason: trouble(dice), detail })))
        }
        Effect::Open(_) => {
            let sizes = [10, 0, u64::from(u32::MAX), 77];
            let mut maildrop = Maildrop::default();
            maildrop.extend(&[5, 1, 1, 9], &sizes).expect("a good snapshot");
            Some(Event::Opened(Ok(Opened { lock_token: LOCK.token, generation: 3, maildrop })))
        }
        Effect::List(mut listing) => {
            while session.write_listing(&mut listing, out) {}
            None
        }
        // What a message holds is not the session's: only its first line and its end are written here.
        Effect::Retrieve(_) if fails => Some(Event::Retrieved(Err(trouble(dice)))),
        Effect::Retrieve(_) => {
            out.ok("message follows");
            out.line(".");
            Some(Event::Retrieved(Ok(())))
        }
        Effect::Close { lock, deleted_uids } => {
            assert_eq!(lock, LOCK);
            assert!(deleted_uids.windows(2).all(|pair| pair[0] < pair[1]), "each once, in order");
            assert!(deleted_uids.iter().all(|uid| [5, 6, 7, 16].contains(uid)), "only what is there");
            let count = u32::try_from(deleted_uids.len()).expect("few");
            Some(Event::Closed(if fails { Err(trouble(dice)) } else { Ok(count) }))
        }
        Effect::Hangup { release, .. } => {
            assert!(release.is_none_or(|lock| lock == LOCK));
            None
        }
    }
}

/// What the session said to each line, and whether octets behind STLS ended it, which depends on how they came.
fn talk(pieces: &[&[u8]], mut dice: Dice<'_>) -> (Vec<String>, bool) {
    let policy = Policy { plaintext_login: dice.coin(), stls: dice.coin(), login_delay_seconds: 0 };
    let mut out = Output::default();
    let mut session = Session::begin(policy, false, &mut out);
    let mut reader = LineReader::default();
    let mut said = vec![text(&mut out)];
    for piece in pieces {
        reader.feed(piece);
        while let Some(line) = reader.next_line(session.line_limit()) {
            assert!(!matches!(line, Line::Text(ref text) if text.len() > 12_288));
            let held = session.holds_box();
            let mut effect = session.step(Event::Line { line, more: !reader.is_empty() }, &mut out);
            let mut over = None;
            loop {
                if let Effect::Hangup { release, outcome } = &effect {
                    over = Some(*outcome);
                    assert!(
                        held || release.is_none() || *outcome == Outcome::QuitFailed,
                        "a lock is freed once"
                    );
                }
                match answer(effect, &session, &mut dice, &mut out) {
                    Some(event) => effect = session.step(event, &mut out),
                    None => break,
                }
            }
            said.push(text(&mut out));
            if let Some(outcome) = over {
                assert!(outcome == Outcome::Quit || session.tally().deleted == 0, "deletes only by QUIT");
                assert!(!session.holds_box());
                return (said, outcome == Outcome::TlsFailed);
            }
        }
    }
    (said, false)
}

/// Everything that was said, which is whole lines that begin as they must.
fn text(out: &mut Output) -> String {
    let octets = out.copy_to_bytes(out.remaining());
    assert!(octets.len() < 4096, "memory is bounded");
    let text = String::from_utf8(octets.to_vec()).expect("text");
    assert!(text.is_empty() || text.ends_with("\r\n"));
    assert!(
        text.split_terminator("\r\n").all(|line| line.len() <= 510 && !line.chars().any(char::is_control))
    );
    assert!(
        text.is_empty() || ["+OK ", "-ERR ", "+ "].iter().any(|begin| text.starts_with(begin)),
        "{text:?}"
    );
    let is_listing = text.ends_with("\r\n.\r\n");
    assert!(is_listing || text.matches("\r\n").count() <= 1, "one answer for one command: {text:?}");
    text
}

fuzz_target!(|input: &[u8]| {
    let (dice, sent) = Dice::part(input);
    let cut = dice.clone().pieces(sent);
    let (whole, unsynchronized) = talk(&[sent], dice.clone());
    let (pieces, unsynchronized_too) = talk(&cut, dice);
    if !unsynchronized && !unsynchronized_too {
        assert_eq!(pieces, whole, "cuts change nothing");
    }
});
