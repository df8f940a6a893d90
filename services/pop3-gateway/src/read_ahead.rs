//! Messages on their way from delivery: one call for as many as the client has asked for by pipelining, or will ask for
//! when it takes one after the other, and as fit the read-ahead. Taken one by one.

use std::time::Duration;

use bytes::Bytes;
use postern_mail::Reason;
use postern_proto::delivery::v1::{ReadMessagesResponse, read_messages_response::Frame as WireFrame};
use tokio::time::timeout;
use tonic::Streaming;

use crate::maildrop::MessageNumber;

/// Octets that are asked for ahead of the client.
pub(crate) const READ_AHEAD_BYTES: u64 = 256 * 1024;
/// Messages of one call.
pub(crate) const READ_AHEAD_MESSAGES: usize = 1000;
/// Messages that are guessed first, and how the guess grows each time that it came true, up to a limit.
const GUESS_FIRST: usize = 4;
const GUESS_GROWTH: usize = 4;
const GUESS_MAX: usize = 64;
/// What was guessed waits so long for the client; an idle session owns no buffer, here and at delivery.
pub(crate) const GUESS_PATIENCE: Duration = Duration::from_secs(2);
/// Pause between two frames.
const FRAME_TIMEOUT: Duration = Duration::from_secs(20);

/// Next thing that is known of the message at the front.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// It is there, with so many octets.
    Size(u64),
    /// Its next octets.
    Content(Bytes),
    /// It is complete.
    End,
    /// It is not to be had, or not to its end.
    Failed(Reason),
}

/// Most mail programs take one message after the other and wait for each. From the second in a row on (or the first of
/// the box) the next ones are read with it, as file systems do.
#[derive(Debug, Default)]
pub(crate) struct Guess {
    /// Number of the message that was asked for last; 0 before the first.
    last: u32,
    ahead: usize,
}

impl Guess {
    /// The client asks for this message and it has to be read: how many behind it are probably wanted next.
    pub(crate) fn widen(&mut self, number: MessageNumber) -> usize {
        self.ahead = if number.get() == self.last + 1 {
            (self.ahead * GUESS_GROWTH).clamp(GUESS_FIRST, GUESS_MAX)
        } else {
            0
        };
        self.ahead
    }

    /// The client took this message.
    pub(crate) fn took(&mut self, number: MessageNumber) {
        self.last = number.get();
    }
}

/// One `ReadMessages` call.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    frames: Streaming<ReadMessagesResponse>,
    uids: Vec<u64>,
    /// Index of the message at the front.
    front: u32,
}

impl ReadAhead {
    /// Over a stream that answers for these uids in this order.
    #[must_use]
    pub(crate) fn new(frames: Streaming<ReadMessagesResponse>, uids: Vec<u64>) -> Self {
        Self { frames, uids, front: 0 }
    }

    /// The message whose frames come next.
    #[must_use]
    pub(crate) fn front(&self) -> Option<u64> {
        self.uids.get(self.front as usize).copied()
    }

    /// Goes on to the next message; frames of this one that are still to come are skipped.
    pub(crate) fn advance(&mut self) {
        self.front += 1;
    }

    /// Next frame of the message at the front. A stream that breaks, stalls or makes no sense has failed.
    pub(crate) async fn next(&mut self) -> Frame {
        loop {
            let answer = match timeout(FRAME_TIMEOUT, self.frames.message()).await {
                Ok(Ok(Some(answer))) => answer,
                Ok(Ok(None)) | Err(_) => return Frame::Failed(Reason::Unavailable),
                Ok(Err(status)) => {
                    tracing::warn!(%status, "stream of messages broke");
                    return Frame::Failed(postern_mesh::failure::reason_of(&status));
                }
            };
            if answer.index < self.front {
                continue;
            }
            if answer.index > self.front {
                return Frame::Failed(Reason::Unavailable);
            }
            return match answer.frame {
                Some(WireFrame::SizeBytes(size)) => Frame::Size(size),
                Some(WireFrame::Content(octets)) => Frame::Content(octets),
                Some(WireFrame::End(_)) => Frame::End,
                Some(WireFrame::Failure(failure)) => {
                    Frame::Failed(failure.reason.parse().unwrap_or(Reason::Unavailable))
                }
                None => continue,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_grow_while_they_come_true() {
        let mut guess = Guess::default();
        let mut ask = |numbers: &[u32]| -> Vec<usize> {
            let asked = numbers.iter().map(|number| {
                let number = MessageNumber::new(*number).expect("from 1");
                let ahead = guess.widen(number);
                guess.took(number);
                ahead
            });
            asked.collect()
        };
        assert_eq!(ask(&[1, 2, 3, 4, 5]), [4, 16, 64, 64, 64]);
        assert_eq!(ask(&[9, 3, 2, 3]), [0, 0, 0, 4]);
    }
}
