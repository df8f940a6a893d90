//! Tells a sender that a message could not be delivered: one report for all recipients that failed together.
//!
//! Stands behind `queue` (a remote host refused, or five days are over) and behind `grpc/submission` (somebody failed in
//! routing). A bounce is routed and accepted like any message, with the null sender, so that it never causes another one.

mod report;

use bytes::Bytes;
use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId, ReversePath};
use postern_mesh::directory::Directory;
use postern_proto::delivery::v1::Submitter;
use tonic::Status;

use crate::{
    accept::{AcceptUnit, MessageFlags, NewMessage, NewQueueRow, QueueClass, StoredContent, hop_field},
    outbound::Refused,
    route::{self, FailedRecipient, Plan},
};

/// Octets of the original's header that a bounce gives back (B-03).
pub const RETURNED_HEADER_MAX_BYTES: usize = 50_000;

/// One recipient that will never get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Whom it was for.
    pub recipient: EmailAddress,
    /// Enhanced code of class 5 (RFC 3463).
    pub code: (u8, u16, u16),
    /// Why, for people; one line.
    pub text: String,
    /// The host that refused it.
    pub remote_host: Option<String>,
    /// What it replied, as it came.
    pub remote_reply: Option<String>,
}

impl Failure {
    /// A recipient that failed in routing.
    #[must_use]
    pub fn of_routing(failed: &FailedRecipient) -> Self {
        let reply = failed.reason.smtp_reply();
        let (_, subject, detail) = reply.enhanced.unwrap_or((5, 0, 0));
        let recipient = failed.recipient.clone();
        Self {
            recipient,
            code: (5, subject, detail),
            text: reply.text.into_owned(),
            remote_host: None,
            remote_reply: None,
        }
    }

    /// A recipient that a host or the DNS refused.
    #[must_use]
    pub fn of_refusal(recipient: EmailAddress, refused: Refused) -> Self {
        let Refused { code, host, reply, text } = refused;
        Self { recipient, code, text, remote_host: host, remote_reply: reply }
    }

    /// A recipient that was tried for too long (RFC 5321 section 4.5.4.1).
    #[must_use]
    pub fn of_expiry(recipient: EmailAddress, last_outcome: &str) -> Self {
        let met = if last_outcome.is_empty() { "it was never reached" } else { last_outcome };
        let text = format!("it could not be delivered in time; the last attempt ended so: {met}");
        Self { recipient, code: (5, 4, 7), text, remote_host: None, remote_reply: None }
    }
}

/// What a bounce reports about.
#[derive(Clone, Debug)]
pub struct Undelivered<'a> {
    /// Id of the bounce itself; the same id again is stored once.
    pub bounce_id: MessageId,
    /// The message that failed.
    pub message_id: MessageId,
    /// Who sent it.
    pub sender: &'a EmailAddress,
    /// When we took it.
    pub arrival: Timestamp,
    /// Its beginning: our prefix and as much of its content as is at hand. Only the header is given back.
    pub beginning: &'a [u8],
    /// Who does not get it; one at least.
    pub failures: &'a [Failure],
}

/// Makes the bounce ready to be accepted: built, and routed to the sender of the original.
///
/// `None`: the sender cannot be reached for good either, so there is nobody to tell (never a bounce for a bounce).
///
/// # Errors
/// Temporary ones of the directory.
pub async fn compose(
    directory: &Directory,
    mail_host: &str,
    undelivered: &Undelivered<'_>,
) -> Result<Option<AcceptUnit>, Status> {
    // It is our own mail: it may leave.
    let ourselves = Submitter::default();
    let plan =
        route::plan(directory, std::slice::from_ref(undelivered.sender), Some(&ourselves), &[]).await?;
    Ok(unit(plan, mail_host, undelivered, Timestamp::now()))
}

fn unit(plan: Plan, mail_host: &str, undelivered: &Undelivered<'_>, now: Timestamp) -> Option<AcceptUnit> {
    if plan.entries.is_empty() && plan.queue.is_empty() {
        return None;
    }
    let content = report::build(mail_host, undelivered, now);
    let queue_row = |remote| NewQueueRow::leaving(remote, QueueClass::Bounce);
    let message = NewMessage {
        id: undelivered.bounce_id,
        // RFC 3464 section 2: nothing may come back for a report.
        sender: ReversePath::Null,
        prefix: Bytes::from(hop_field(mail_host, undelivered.bounce_id, now)),
        content_bytes: content.octets.len() as u64,
        checksum: crc32c::crc32c(&content.octets),
        content: StoredContent::Inline(Bytes::from(content.octets)),
        flags: MessageFlags {
            eight_bit: content.eight_bit,
            smtp_utf8: content.smtp_utf8,
            bounce: true,
            ..MessageFlags::default()
        },
        customer: None,
        login: None,
        peer_ip: None,
    };
    Some(AcceptUnit {
        message,
        entries: plan.entries,
        queue: plan.queue.into_iter().map(queue_row).collect(),
        finished_queue_ids: Vec::new(),
    })
}
