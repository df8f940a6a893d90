//! DATA: content from the client to delivery while it comes in, with bounded memory, to its true end.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf as _, BytesMut};
use postern_mail::Reason;
use postern_mesh::memory::MemoryShare;
use postern_proto::{delivery::v1 as wire, google::Timestamp};
use postern_smtp::{
    data::DataReader,
    dsn::{RecipientDsn, ReturnContent},
};
use tokio::time::{Instant, timeout};

use super::{Connection, Gone, count_cut, hear, read};
use crate::{
    session::{Envelope, Event},
    upstream::{FRAME_BYTES, Submission},
};

/// Octets read at once.
const CONTENT_READ_BYTES: usize = 64 * 1024;

/// Whoever sends less than this holds a session for nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slowest {
    /// 0: no limit.
    pub(crate) bytes_per_second: u64,
    /// Averaged over so much time of waiting.
    pub(crate) window: Duration,
}

impl Connection {
    /// Reads to the true end, whatever happens on the way; the session hears one word about it.
    pub(super) async fn content(&mut self, envelope: Envelope) -> Result<Event, Gone> {
        self.flush().await?;
        let mut reader = DataReader::new(self.gateway.data_limits);
        let mut way = self.way(&envelope);
        let mut pace = Pace::default();
        loop {
            let progress = reader.feed(&self.input, |content| way.push(content));
            self.input.advance(progress.consumed);
            if let Some(flaw) = reader.flaw() {
                way.give_up(flaw);
            }
            if progress.ended {
                break;
            }
            self.free_input();
            way.send_ahead().await;
            tokio::select! {
                biased;
                () = way.lost() => way.give_up(Reason::InsufficientStorage),
                more = self.more_content(&mut pace) => if let Some(event) = more? {
                    return Ok(event);
                },
            }
        }
        let answer = way.finish(&self.session_id).await;
        self.log(&envelope, reader.size_bytes(), answer);
        Ok(Event::ContentAnswered(answer))
    }

    /// Reads on within content; an event when that ends the session.
    pub(super) async fn more_content(&mut self, pace: &mut Pace) -> Result<Option<Event>, Gone> {
        self.free_input();
        let read = read::<CONTENT_READ_BYTES>(&mut *self.stream, &mut self.input);
        let before = Instant::now();
        tokio::select! {
            biased;
            revocation = hear(&mut self.revocations, &self.session) => Ok(Some(Event::Revoked(revocation))),
            () = self.gateway.content_end.cancelled() => Ok(Some(Event::ShuttingDown)),
            read = timeout(self.gateway.idle, read) => {
                let Ok(read) = read else {
                    count_cut("idle");
                    return Ok(Some(Event::Idle));
                };
                let count = read?;
                if count == 0 {
                    // No end, no message (RFC 5321 section 4.1.1.4): what was sent ahead is dropped (S-20).
                    return Err(Gone);
                }
                if pace.is_too_slow(count, before.elapsed(), self.gateway.slowest) {
                    count_cut("slow");
                    return Ok(Some(Event::Idle));
                }
                Ok(None)
            }
        }
    }

    /// One line for each message.
    pub(super) fn log(&self, envelope: &Envelope, size_bytes: u64, answer: Result<(), Reason>) {
        let outcome = match answer {
            Ok(()) => "accepted",
            Err(reason) => reason.name(),
        };
        metrics::counter!("postern_smtp_messages_total", "outcome" => outcome).increment(1);
        tracing::info!(
            session_id = self.session_id,
            queue_id = %envelope.stamp.message_id,
            peer = %self.peer,
            door = self.door.name(),
            sender = %envelope.mail.sender,
            recipients = envelope.recipients.len(),
            size_bytes,
            login = envelope.right.as_ref().map(|right| right.login.as_str()),
            outcome,
            "message"
        );
    }

    /// Opens the way for a message.
    pub(super) fn way(&self, envelope: &Envelope) -> Way {
        Way {
            submission: Ok(self.gateway.upstream.submission(self.wire_envelope(envelope))),
            frame: BytesMut::new(),
            held: self.gateway.content_memory.share(self.place.holder()).giving_way(),
        }
    }

    fn wire_envelope(&self, envelope: &Envelope) -> wire::Envelope {
        wire::Envelope {
            message_id: envelope.stamp.message_id.as_bytes().to_vec().into(),
            sender: envelope.mail.sender.to_string(),
            recipients: envelope.recipients.iter().map(ToString::to_string).collect(),
            peer_ip: self.peer.to_string(),
            helo: envelope.client_name.as_str().to_owned(),
            with_protocol: envelope.with_protocol.to_owned(),
            tls: envelope.tls.clone(),
            submitter: envelope.right.as_ref().map(|right| wire::Submitter {
                login: right.login.clone(),
                mailbox_id: right.mailbox_id,
                customer: right.customer.clone(),
                authenticated: right.authenticated,
            }),
            eight_bit: envelope.mail.eight_bit || envelope.mail.smtp_utf8,
            smtp_utf8: envelope.mail.smtp_utf8,
            declared_size_bytes: envelope.mail.declared_size_bytes.and_then(|size| i64::try_from(size).ok()),
            by_host: self.gateway.upstream.mail_host().to_owned(),
            receive_time: Some(timestamp(envelope.stamp.time)),
            return_content: match envelope.mail.dsn.return_content {
                None => wire::ReturnContent::Unspecified,
                Some(ReturnContent::Full) => wire::ReturnContent::Full,
                Some(ReturnContent::Headers) => wire::ReturnContent::Headers,
            }
            .into(),
            envelope_id: envelope.mail.dsn.envelope_id.clone().unwrap_or_default(),
            notifications: notifications(&envelope.recipient_dsn),
        }
    }
}

/// Nothing when the client said nothing: most do.
fn notifications(wishes: &[RecipientDsn]) -> Vec<wire::RecipientNotification> {
    if wishes.iter().all(|wish| *wish == RecipientDsn::default()) {
        return Vec::new();
    }
    let one = |wish: &RecipientDsn| wire::RecipientNotification {
        notify: wish.notify.map(|notify| notify.to_string()).unwrap_or_default(),
        original_recipient: wish.original_recipient.clone().unwrap_or_default(),
    };
    wishes.iter().map(one).collect()
}

/// The way of one message to delivery, or why it has none any more.
pub(super) struct Way {
    submission: Result<Submission, Reason>,
    /// Content that was not sent yet: less than a frame and one read.
    frame: BytesMut,
    /// The memory of the frame.
    held: MemoryShare,
}

impl Way {
    /// Nothing of this message is to be kept. The first reason stays.
    pub(super) fn give_up(&mut self, reason: Reason) {
        if self.submission.is_ok() {
            self.submission = Err(reason);
        }
        self.frame = BytesMut::new();
        self.hold();
    }

    pub(super) async fn send_ahead(&mut self) {
        if self.frame.len() < FRAME_BYTES {
            return;
        }
        let content = std::mem::take(&mut self.frame).freeze();
        let held = self.held.part();
        if let Ok(submission) = &mut self.submission
            && let Err(reason) = submission.send(content, held).await
        {
            self.give_up(reason);
        }
    }

    /// Ends when the memory of this message was given to faster ones: then it is to be given up.
    pub(super) async fn lost(&self) {
        if self.submission.is_err() {
            return std::future::pending().await;
        }
        self.held.lost().await;
    }

    pub(super) async fn finish(self, session_id: &str) -> Result<(), Reason> {
        let Self { submission, frame, mut held } = self;
        let _until_answered = held.part();
        submission?.finish(frame.freeze(), session_id).await
    }

    /// Takes content, until the message is given up: by others, or here when all messages together hold too much.
    pub(super) fn push(&mut self, content: &[u8]) {
        if self.submission.is_err() {
            return;
        }
        self.frame.extend_from_slice(content);
        self.held.came(content.len());
        if !self.hold() {
            self.give_up(Reason::InsufficientStorage);
        }
    }

    /// False when there is no memory for the frame. To give back never fails.
    fn hold(&mut self) -> bool {
        self.held.hold(self.frame.capacity()).is_ok()
    }
}

/// How fast content comes in, while we wait for it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    waited: Duration,
    read_bytes: u64,
}

impl Pace {
    /// Content that came while nobody waited for it.
    pub(super) fn came(&mut self, bytes: usize) {
        self.read_bytes += bytes as u64;
    }

    pub(super) fn is_too_slow(&mut self, read_bytes: usize, waited: Duration, slowest: Slowest) -> bool {
        self.waited += waited;
        self.read_bytes += read_bytes as u64;
        if self.waited < slowest.window {
            return false;
        }
        let slow = self.read_bytes < slowest.bytes_per_second.saturating_mul(slowest.window.as_secs());
        *self = Self::default();
        slow
    }
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
    }
}
