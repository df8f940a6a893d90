//! Messages on their way from delivery: one call for as many pipelined RETRs as fit the read-ahead, taken one by one.

use std::time::Duration;

use bytes::Bytes;
use postern_mail::Reason;
use postern_proto::delivery::v1::{ReadMessagesResponse, read_messages_response::Frame as WireFrame};
use tokio::time::timeout;
use tonic::Streaming;

/// Octets that are asked for ahead of the client.
pub(crate) const READ_AHEAD_BYTES: u64 = 256 * 1024;
/// Messages of one call.
pub(crate) const READ_AHEAD_MESSAGES: usize = 1000;
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
