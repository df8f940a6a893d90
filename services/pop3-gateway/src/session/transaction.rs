//! TRANSACTION and UPDATE: work on the open box (RFC 1939 sections 5 to 7).

use bytes::Buf as _;
use postern_mail::{Pop3Code, Reason};

use super::{Deletes, Effect, Identity, MaildropLock, Outcome, Session, State, Step};
use crate::{
    command::Command,
    line::Line,
    maildrop::{Maildrop, Message, MessageNumber, NoMessage, Uidl},
    output::Output,
};

/// A listing is written in pieces of about so many octets.
const LISTING_PIECE_BYTES: usize = 32 * 1024;

/// A box that was opened.
#[derive(Debug)]
pub(crate) struct Opened {
    /// Fencing token of its lock.
    pub(crate) lock_token: i64,
    /// Part of the UIDL.
    pub(crate) generation: u32,
    /// What it holds.
    pub(crate) maildrop: Maildrop,
}

/// The open box.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) lock: MaildropLock,
    pub(super) maildrop: Maildrop,
    generation: u32,
}

/// A message to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retrieval {
    /// Which.
    pub(crate) message: Message,
    /// How much of it.
    pub(crate) kind: TransferKind,
}

/// How much of a message is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferKind {
    /// RETR: all.
    Whole,
    /// TOP: headers, and so many lines of the body.
    Top {
        /// 0 means headers only.
        lines: u64,
    },
}

/// A multi-line LIST or UIDL that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    kind: ListingKind,
    /// Number that was written last.
    after: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ListingKind {
    Sizes,
    Uids,
}

impl Transaction {
    pub(super) fn new(identity: Identity, opened: Opened) -> Self {
        let lock = MaildropLock { mailbox_id: identity.mailbox_id, token: opened.lock_token };
        Self { lock, maildrop: opened.maildrop, generation: opened.generation }
    }

    fn uidl(&self, message: Message) -> Uidl {
        Uidl { uid: message.uid, generation: self.generation }
    }

    pub(super) fn write_listing(&self, listing: &mut Listing, out: &mut Output) -> bool {
        let enough = out.remaining() + LISTING_PIECE_BYTES;
        for message in self.maildrop.messages_after(listing.after) {
            match listing.kind {
                ListingKind::Sizes => out.line(format_args!("{} {}", message.number, message.size_bytes)),
                ListingKind::Uids => out.line(format_args!("{} {}", message.number, self.uidl(message))),
            }
            listing.after = message.number.get();
            if out.remaining() >= enough {
                return true;
            }
        }
        out.line(".");
        false
    }

    /// Looks a number up; what is not there is refused.
    fn find(&self, number: MessageNumber, out: &mut Output) -> Option<Message> {
        match self.maildrop.message(number) {
            Ok(message) => Some(message),
            Err(why) => {
                refuse_missing(why, out);
                None
            }
        }
    }

    fn list(&self, out: &mut Output) -> Effect {
        out.ok(format_args!("{} messages ({} octets)", self.maildrop.count(), self.maildrop.total_bytes()));
        Effect::List(Listing { kind: ListingKind::Sizes, after: 0 })
    }
}

fn refuse_missing(why: NoMessage, out: &mut Output) {
    let reason = match why {
        NoMessage::OutOfRange => Reason::NotFound,
        NoMessage::MarkedDeleted => Reason::MessageGone,
    };
    out.refuse_with(reason, &why.to_string());
}

impl Session {
    pub(super) fn transaction(&self, mut open: Box<Transaction>, line: Line, out: &mut Output) -> Step {
        let command = match line {
            Line::Text(text) => Command::parse(&text),
            Line::TooLong | Line::Endless => Err(Reason::LineTooLong),
        };
        let effect = match command {
            Ok(Command::Retr(number)) => return Self::retrieve(open, number, TransferKind::Whole, out),
            Ok(Command::Top(number, lines)) => {
                return Self::retrieve(open, number, TransferKind::Top { lines }, out);
            }
            Ok(Command::Quit) => return quit(&open),
            Ok(Command::Dele(number)) => {
                match open.maildrop.delete(number) {
                    Ok(()) => out.ok(format_args!("message {number} marked deleted")),
                    Err(why) => refuse_missing(why, out),
                }
                Effect::Continue
            }
            Ok(Command::Stat) => {
                out.ok(format_args!("{} {}", open.maildrop.count(), open.maildrop.total_bytes()));
                Effect::Continue
            }
            Ok(Command::List(None)) => open.list(out),
            Ok(Command::List(Some(number))) => {
                if let Some(message) = open.find(number, out) {
                    out.ok(format_args!("{number} {}", message.size_bytes));
                }
                Effect::Continue
            }
            Ok(Command::Uidl(None)) => {
                out.ok("unique ids follow");
                Effect::List(Listing { kind: ListingKind::Uids, after: 0 })
            }
            Ok(Command::Uidl(Some(number))) => {
                if let Some(message) = open.find(number, out) {
                    out.ok(format_args!("{number} {}", open.uidl(message)));
                }
                Effect::Continue
            }
            Ok(Command::Rset) => {
                open.maildrop.reset();
                out.ok(format_args!("{} messages", open.maildrop.count()));
                Effect::Continue
            }
            Ok(Command::Noop) => {
                out.ok("nothing done");
                Effect::Continue
            }
            Ok(Command::Capa) => {
                self.capabilities(out);
                Effect::Continue
            }
            // P-28, P-91, P-100: only before login.
            Ok(
                Command::User(_)
                | Command::Pass(_)
                | Command::AuthList
                | Command::Auth(..)
                | Command::Stls
                | Command::Utf8,
            ) => {
                out.refuse(Reason::BadSequence);
                Effect::Continue
            }
            Err(reason) => {
                out.refuse(reason);
                Effect::Continue
            }
        };
        (State::Transaction(open), effect)
    }

    fn retrieve(open: Box<Transaction>, number: MessageNumber, kind: TransferKind, out: &mut Output) -> Step {
        match open.find(number, out) {
            Some(message) => (State::Retrieving(open, kind), Effect::Retrieve(Retrieval { message, kind })),
            None => (State::Transaction(open), Effect::Continue),
        }
    }

    pub(super) fn retrieved(
        &mut self,
        open: Box<Transaction>,
        kind: TransferKind,
        result: Result<(), Reason>,
        out: &mut Output,
    ) -> Step {
        match result {
            Ok(()) if kind == TransferKind::Whole => {
                self.tally.retrieved = self.tally.retrieved.saturating_add(1)
            }
            Ok(()) => {}
            Err(reason) => out.refuse(at_retrieval(reason)),
        }
        (State::Transaction(open), Effect::Continue)
    }

    pub(super) fn closed(
        &mut self,
        lock: MaildropLock,
        deletes: Deletes,
        result: Result<u32, Reason>,
        out: &mut Output,
    ) -> Step {
        let hangup = |release, outcome| (State::Ended, Effect::Hangup { release, outcome });
        match (result, deletes) {
            (Ok(deleted), _) => {
                self.tally.deleted = deleted;
                out.ok(format_args!("goodbye, {deleted} messages removed"));
                hangup(None, Outcome::Quit)
            }
            // There was nothing to lose: the lock frees itself.
            (Err(_), Deletes::None) => {
                out.ok("goodbye");
                hangup(None, Outcome::Quit)
            }
            (Err(reason @ (Reason::LockLost | Reason::MailboxRemoved)), Deletes::Some) => {
                out.refuse(reason);
                hangup(None, Outcome::QuitFailed)
            }
            // Whatever else went wrong is temporary (R0); RFC 1939 section 6 names the words.
            (Err(_), Deletes::Some) => {
                out.line(format_args!(
                    "-ERR {}some deleted messages not removed",
                    Pop3Code::SysTemp.as_str()
                ));
                hangup(Some(lock), Outcome::QuitFailed)
            }
        }
    }
}

/// QUIT: deletes, then unlocks, then answers (P-80, P-81).
fn quit(open: &Transaction) -> Step {
    let deleted_uids = open.maildrop.deleted_uids();
    let deletes = if deleted_uids.is_empty() { Deletes::None } else { Deletes::Some };
    (State::Update(open.lock, deletes), Effect::Close { lock: open.lock, deleted_uids })
}

/// A message that is gone or damaged harms only itself; whatever else was not typed for this place is temporary (R0).
fn at_retrieval(reason: Reason) -> Reason {
    match reason {
        Reason::MessageGone | Reason::MessageDamaged | Reason::MailboxRemoved => reason,
        other if other.pop3_code() == Pop3Code::SysTemp => other,
        _ => Reason::Unavailable,
    }
}
