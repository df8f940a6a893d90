//! A POP3 session as a plain function of (state, event): no socket, no clock, no await (RFC 1939 sections 4 to 6).
//!
//! What belongs to a state lives inside it. An event that a state cannot have ends the session without deletes.

mod login;
mod transaction;

#[cfg(test)]
mod tests;

use std::mem;

use postern_mail::{
    Reason, limits,
    sasl::{Credentials, Exchange},
};

use login::Authorization;
pub(crate) use login::Denial;
use transaction::Transaction;
pub(crate) use transaction::{Listing, Opened, Retrieval, TransferKind};

use crate::{
    line::Line,
    maildrop::{Message, MessageNumber},
    output::Output,
};

/// What is offered to everybody. UTF8 without USER: names and passwords are taken as typed, without SASLprep (RFC 6856
/// section 2.2).
const CAPABILITIES: [&str; 7] =
    ["TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8"];

/// Lock of a box, as `OpenMaildrop` gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MaildropLock {
    /// The box.
    pub(crate) mailbox_id: i64,
    /// Fencing token.
    pub(crate) token: i64,
}

/// Who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Canonical login.
    pub(crate) login: String,
    /// The box.
    pub(crate) mailbox_id: i64,
}

/// What is allowed to this peer on this door.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Passwords without TLS.
    pub(crate) plaintext_login: bool,
    /// STLS can be had.
    pub(crate) stls: bool,
    /// How long a box is left alone after a login, seconds; 0: it is not.
    pub(crate) login_delay_seconds: u32,
}

/// How a session ended, for its log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// QUIT, everything done.
    Quit,
    /// QUIT, but the deletes were not made.
    QuitFailed,
    /// The client went away.
    Disconnected,
    /// Silent for too long, or no login in time.
    Timeout,
    /// The client read too slowly.
    Stalled,
    /// Too many wrong passwords or commands.
    TooManyErrors,
    /// A message broke off within its reply.
    TransferBroken,
    /// TLS could not be begun.
    TlsFailed,
    /// Somebody else has the box now, or its owner ended the session.
    LockLost,
    /// This server goes down.
    Shutdown,
}

/// What happens to a session.
#[derive(Debug)]
pub(crate) enum Event {
    /// A line came; `more` is true when octets wait behind it.
    Line {
        /// The line.
        line: Line,
        /// Octets wait behind it.
        more: bool,
    },
    /// The TLS handshake is done.
    TlsStarted,
    /// Answer to [`Effect::Authenticate`].
    Authenticated(Result<Identity, Reason>),
    /// Answer to [`Effect::Open`].
    Opened(Result<Opened, Denial>),
    /// Answer to [`Effect::Retrieve`]: sent whole, or refused before its first octet.
    Retrieved(Result<(), Reason>),
    /// Answer to [`Effect::Close`]: how many messages were removed.
    Closed(Result<u32, Reason>),
    /// The connection is over, or must be: nothing is said any more.
    Ended(Outcome),
}

/// What a session wants done. Replies go into the output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Go on with the next line.
    Continue,
    /// Write, then do the TLS handshake.
    StartTls,
    /// Check a password.
    Authenticate(Credentials),
    /// Lock the box and read its snapshot.
    Open(Identity),
    /// Write a listing, piece by piece.
    List(Listing),
    /// Send a message.
    Retrieve(Retrieval),
    /// Delete and unlock.
    Close {
        /// Of this session.
        lock: MaildropLock,
        /// What was marked; may be none.
        deleted_uids: Vec<u64>,
    },
    /// Write, free the box without deletes if it is held, and close.
    Hangup {
        /// The box to be freed.
        release: Option<MaildropLock>,
        /// For the log.
        outcome: Outcome,
    },
}

#[derive(Debug)]
enum State {
    /// AUTHORIZATION of RFC 1939 section 4.
    Authorization(Authorization),
    /// Within AUTH.
    Sasl(Authorization, Exchange),
    /// The TLS handshake goes on.
    StartingTls(Authorization),
    /// The password is being checked.
    Authenticating(Authorization),
    /// The password was right, the box is being opened.
    Opening(Authorization, Identity),
    /// TRANSACTION of RFC 1939 section 5.
    Transaction(Box<Transaction>),
    /// A message is being sent.
    Retrieving(Box<Transaction>, TransferKind),
    /// UPDATE of RFC 1939 section 6.
    Update(MaildropLock, Deletes),
    /// Over.
    Ended,
}

/// Whether UPDATE has something to delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deletes {
    Some,
    None,
}

/// What a session did, for its log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Messages sent whole by RETR.
    pub(crate) retrieved: u32,
    /// Messages removed at QUIT.
    pub(crate) deleted: u32,
}

/// One POP3 session.
#[derive(Debug)]
pub(crate) struct Session {
    policy: Policy,
    tls: bool,
    /// The client understands UTF-8 (P-100).
    utf8: bool,
    state: State,
    tally: Tally,
}

type Step = (State, Effect);

impl Session {
    /// A new session; greets (P-01: no `<...>`, APOP is not offered).
    pub(crate) fn begin(policy: Policy, tls: bool, out: &mut Output) -> Self {
        out.ok("POP3 ready");
        let state = State::Authorization(Authorization::default());
        Self { policy, tls, utf8: false, state, tally: Tally::default() }
    }

    /// Octets that the next line may have with its CRLF.
    #[must_use]
    pub(crate) fn line_limit(&self) -> usize {
        match self.state {
            State::Sasl(..) => limits::SASL_LINE_MAX_BYTES,
            _ => limits::POP3_LINE_MAX_BYTES,
        }
    }

    /// True from login to QUIT.
    #[must_use]
    pub(crate) fn holds_box(&self) -> bool {
        self.lock().is_some()
    }

    /// True when headers may be UTF-8.
    #[must_use]
    pub(crate) fn takes_utf8(&self) -> bool {
        self.utf8
    }

    /// What was done so far.
    #[must_use]
    pub(crate) fn tally(&self) -> Tally {
        self.tally
    }

    /// A message that RETR would send now, to ask ahead for it.
    #[must_use]
    pub(crate) fn message(&self, number: MessageNumber) -> Option<Message> {
        self.open_box()?.maildrop.message(number).ok()
    }

    /// This message and those behind it, without the marked ones.
    pub(crate) fn messages_from(&self, number: MessageNumber) -> impl Iterator<Item = Message> {
        self.open_box().into_iter().flat_map(move |open| open.maildrop.messages_after(number.get() - 1))
    }

    fn open_box(&self) -> Option<&Transaction> {
        match &self.state {
            State::Transaction(open) | State::Retrieving(open, _) => Some(open),
            _ => None,
        }
    }

    /// Writes the next piece of a listing. False when it is complete.
    pub(crate) fn write_listing(&self, listing: &mut Listing, out: &mut Output) -> bool {
        match &self.state {
            State::Transaction(open) => open.write_listing(listing, out),
            _ => false,
        }
    }

    /// One step: replies into `out`, the rest as an effect.
    pub(crate) fn step(&mut self, event: Event, out: &mut Output) -> Effect {
        let release = self.lock();
        let state = mem::replace(&mut self.state, State::Ended);
        let (state, effect) = match (state, event) {
            (_, Event::Ended(outcome)) => (State::Ended, Effect::Hangup { release, outcome }),
            (_, Event::Line { line: Line::Endless, .. }) => {
                out.refuse(Reason::LineTooLong);
                (State::Ended, Effect::Hangup { release, outcome: Outcome::TooManyErrors })
            }
            (State::Authorization(login), Event::Line { line, more }) => {
                self.authorization(login, line, more, out)
            }
            (State::Sasl(login, exchange), Event::Line { line, .. }) => {
                login::sasl_line(login, exchange, line, out)
            }
            (State::StartingTls(login), Event::TlsStarted) => {
                self.tls = true;
                // What was said before TLS is forgotten, the count of failures is not (P-93, RFC 2595 section 4).
                (State::Authorization(login.without_user()), Effect::Continue)
            }
            (State::Authenticating(login), Event::Authenticated(answer)) => login.authenticated(answer, out),
            (State::Opening(login, identity), Event::Opened(answer)) => login.opened(identity, answer, out),
            (State::Transaction(open), Event::Line { line, .. }) => self.transaction(open, line, out),
            (State::Retrieving(open, kind), Event::Retrieved(result)) => {
                self.retrieved(open, kind, result, out)
            }
            (State::Update(lock, deletes), Event::Closed(result)) => self.closed(lock, deletes, result, out),
            (_, _) => (State::Ended, Effect::Hangup { release, outcome: Outcome::Disconnected }),
        };
        self.state = state;
        effect
    }

    fn lock(&self) -> Option<MaildropLock> {
        match &self.state {
            State::Transaction(open) | State::Retrieving(open, _) => Some(open.lock),
            State::Update(lock, _) => Some(*lock),
            _ => None,
        }
    }

    /// CAPA of RFC 2449 section 5; whatever is offered before login is listed after it too (P-50).
    fn capabilities(&self, out: &mut Output) {
        out.ok("capability list follows");
        for capability in CAPABILITIES {
            out.line(capability);
        }
        if self.policy.login_delay_seconds > 0 {
            out.line(format_args!("LOGIN-DELAY {}", self.policy.login_delay_seconds));
        }
        if self.may_log_in() {
            out.line("USER");
            out.line("SASL PLAIN LOGIN");
        }
        if self.may_start_tls() {
            out.line("STLS");
        }
        out.line("IMPLEMENTATION Postern");
        out.line(".");
    }

    fn may_log_in(&self) -> bool {
        self.tls || self.policy.plaintext_login
    }

    fn may_start_tls(&self) -> bool {
        // RFC 6856 section 2.1: no STLS behind UTF8.
        !self.tls && !self.utf8 && self.policy.stls
    }
}

/// QUIT before login: there is nothing to delete (P-08).
fn goodbye(out: &mut Output) -> Step {
    out.ok("goodbye");
    (State::Ended, Effect::Hangup { release: None, outcome: Outcome::Quit })
}
