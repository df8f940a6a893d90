//! RETR and TOP on a connection: asks ahead for what is pipelined or likely to come next, writes while it streams in
//! (P-45, P-46, P-73).

use bytes::{Buf as _, Bytes};
use postern_mail::Reason;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Connection, NotSent, WRITE_BYTES};
use crate::{
    command::Command,
    maildrop::Message,
    output::Output,
    read_ahead::{Frame, READ_AHEAD_BYTES, READ_AHEAD_MESSAGES, ReadAhead},
    session::{Event, Outcome, Retrieval, TransferKind},
    transfer::MessageWriter,
};

/// A message of up to so many octets is read to its end before `+OK`, so that damage is told instead of sent.
const HOLD_MAX_BYTES: u64 = 64 * 1024;
/// Messages of one session that are told as retrieved; a client that goes on for ever fills no memory.
const RETRIEVED_MAX: usize = 100_000;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    pub(super) async fn retrieve(&mut self, retrieval: Retrieval) -> Event {
        let result = self.send_from_anywhere(retrieval).await;
        self.guess.took(retrieval.message.number);
        if result.is_ok() && retrieval.kind == TransferKind::Whole && self.retrieved.len() < RETRIEVED_MAX {
            self.retrieved.push(retrieval.message.uid);
        }
        match result {
            Ok(()) => Event::Retrieved(Ok(())),
            Err(NotSent::Refused(reason)) => Event::Retrieved(Err(reason)),
            Err(NotSent::Ended(outcome)) => Event::Ended(outcome),
        }
    }

    /// From what was asked for before, or by a call of its own.
    async fn send_from_anywhere(&mut self, retrieval: Retrieval) -> Result<(), NotSent> {
        let asked_before = self.ahead.take().filter(|ahead| ahead.front() == Some(retrieval.message.uid));
        if let Some(ahead) = asked_before {
            match self.send(ahead, retrieval).await {
                // What was asked for earlier may have broken meanwhile: that says nothing about the message.
                Err(NotSent::Refused(Reason::Unavailable)) => {}
                result => return result,
            }
        }
        let ahead = self.ask(retrieval.message).await.map_err(NotSent::Refused)?;
        self.send(ahead, retrieval).await
    }

    /// One call for this message and those behind it.
    async fn ask(&mut self, first: Message) -> Result<Box<ReadAhead>, Reason> {
        let mut uids = self.wanted(first);
        if uids.len() == 1 {
            uids = self.guessed(first);
        }
        let Some(identity) = &self.identity else { return Err(Reason::Unavailable) };
        let frames = self
            .gateway
            .upstream
            .read(identity.mailbox_id, uids.clone(), &self.session_id, self.session.takes_utf8())
            .await?;
        Ok(Box::new(ReadAhead::new(frames, uids)))
    }

    /// This message, and those of the commands that came with it, as far as they fit the read-ahead.
    fn wanted(&self, first: Message) -> Vec<u64> {
        let mut uids = vec![first.uid];
        let mut octets = first.size_bytes;
        for line in self.reader.waiting() {
            let number = match Command::parse(line) {
                Ok(Command::Retr(number) | Command::Top(number, _)) => number,
                Ok(
                    Command::Dele(_) | Command::Noop | Command::Stat | Command::List(_) | Command::Uidl(_),
                ) => continue,
                _ => break,
            };
            let Some(message) = self.session.message(number) else { break };
            octets = octets.saturating_add(message.size_bytes);
            if octets > READ_AHEAD_BYTES || uids.len() == READ_AHEAD_MESSAGES || uids.contains(&message.uid) {
                break;
            }
            uids.push(message.uid);
        }
        uids
    }

    /// This message, and those that the client will probably ask for next, as far as they fit the read-ahead.
    fn guessed(&mut self, first: Message) -> Vec<u64> {
        let ahead = self.guess.widen(first.number);
        let mut octets = 0u64;
        let behind = self.session.messages_from(first.number).take(1 + ahead);
        let fitting = behind.take_while(|message| {
            octets = octets.saturating_add(message.size_bytes);
            message.uid == first.uid || octets <= READ_AHEAD_BYTES
        });
        fitting.map(|message| message.uid).collect()
    }

    /// Sends the message at the front; keeps what was asked for behind it.
    async fn send(&mut self, mut ahead: Box<ReadAhead>, retrieval: Retrieval) -> Result<(), NotSent> {
        let sent = self.copy(&mut ahead, retrieval).await;
        ahead.advance();
        let keep = match &sent {
            // The rest of a message that TOP cut is skipped when small, else the call is given up.
            Ok(()) => retrieval.kind == TransferKind::Whole || retrieval.message.size_bytes <= HOLD_MAX_BYTES,
            Err(NotSent::Refused(reason)) => *reason != Reason::Unavailable,
            Err(NotSent::Ended(_)) => false,
        };
        self.ahead = (keep && ahead.front().is_some()).then_some(ahead);
        sent
    }

    async fn copy(&mut self, ahead: &mut ReadAhead, retrieval: Retrieval) -> Result<(), NotSent> {
        let size_bytes = match ahead.next().await {
            Frame::Size(size_bytes) => size_bytes,
            Frame::Failed(reason) => return Err(NotSent::Refused(reason)),
            Frame::Content(_) | Frame::End => return Err(NotSent::Refused(Reason::Unavailable)),
        };
        if size_bytes <= HOLD_MAX_BYTES {
            let content = hold(ahead, size_bytes).await.map_err(NotSent::Refused)?;
            let mut writer = begin(retrieval.kind, size_bytes, &mut self.out);
            for octets in content {
                if !writer.content(octets, &mut self.out) {
                    break;
                }
            }
            writer.end(&mut self.out);
            return Ok(());
        }
        self.stream(ahead, retrieval.kind, size_bytes).await
    }

    /// A large message: written while it comes in.
    async fn stream(
        &mut self,
        ahead: &mut ReadAhead,
        kind: TransferKind,
        size_bytes: u64,
    ) -> Result<(), NotSent> {
        let mut octets = match ahead.next().await {
            Frame::Content(octets) => octets,
            Frame::Failed(reason) => return Err(NotSent::Refused(reason)),
            Frame::Size(_) | Frame::End => return Err(NotSent::Refused(Reason::Unavailable)),
        };
        let mut writer = begin(kind, size_bytes, &mut self.out);
        while writer.content(octets, &mut self.out) {
            if self.ended.is_cancelled() {
                return Err(self.why_ended().into());
            }
            if self.out.remaining() >= WRITE_BYTES {
                self.flush().await?;
            }
            octets = match ahead.next().await {
                Frame::Content(octets) => octets,
                Frame::End => break,
                // P-46: without the dot the client knows that it has not all.
                Frame::Failed(_) | Frame::Size(_) => return Err(NotSent::Ended(Outcome::TransferBroken)),
            };
        }
        writer.end(&mut self.out);
        Ok(())
    }
}

/// Reads a small message to its end.
async fn hold(ahead: &mut ReadAhead, size_bytes: u64) -> Result<Vec<Bytes>, Reason> {
    let mut content = Vec::with_capacity(1);
    let mut held: u64 = 0;
    loop {
        match ahead.next().await {
            Frame::Content(octets) => {
                held += octets.len() as u64;
                if held > size_bytes {
                    return Err(Reason::Unavailable);
                }
                content.push(octets);
            }
            Frame::End => return Ok(content),
            Frame::Failed(reason) => return Err(reason),
            Frame::Size(_) => return Err(Reason::Unavailable),
        }
    }
}

fn begin(kind: TransferKind, size_bytes: u64, out: &mut Output) -> MessageWriter {
    match kind {
        TransferKind::Whole => MessageWriter::whole(size_bytes, out),
        TransferKind::Top { lines } => MessageWriter::top(lines, out),
    }
}
