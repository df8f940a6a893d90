//! Tells a sender what became of a message: one report for all recipients whose fate is known together (RFC 3461, RFC 3464).
//!
//! Stands behind `queue` (a remote host refused or took it, it waits for long, five days are over) and behind
//! `grpc/submission` (somebody failed in routing, or got it and the sender asked to hear of that). A report is routed and
//! accepted like any message, with the null sender, so that it never causes another one.

mod report;

use bytes::Bytes;
use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId, ReversePath};
use postern_mesh::{directory::Directory, trace_context};
use postern_proto::delivery::v1::Submitter;
use postern_smtp::dsn::{MessageDsn, RecipientDsn};
use tonic::Status;

use crate::{
    accept::{AcceptUnit, MessageFlags, NewMessage, NewQueueRow, QueueClass, StoredContent, hop_field},
    content::plain_bytes_of,
    outbound::{Refused, Taken},
    owners,
    route::{self, FailedRecipient, Plan},
    trace,
};

/// Octets of the original that a report gives back (B-03).
pub const RETURNED_MAX_BYTES: usize = 50_000;

/// What became of a message for a recipient (RFC 3464 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It was given up.
    Failed,
    /// It is still tried, until then.
    Delayed {
        /// When it is given up.
        until: Timestamp,
    },
    /// It is in a box, or given to a list.
    Delivered,
    /// A host that sends no reports of its own has it now.
    Relayed,
    /// The address led on to others, and nothing more is known here.
    Expanded,
}

/// The fate of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// Whom it was for.
    pub recipient: EmailAddress,
    /// ORCPT as it was given.
    pub original_recipient: Option<String>,
    /// What became of it.
    pub action: Action,
    /// Enhanced code (RFC 3463).
    pub code: (u8, u16, u16),
    /// How, for people; one line.
    pub text: String,
    /// The host that said so.
    pub remote_host: Option<String>,
    /// What it replied, as it came.
    pub remote_reply: Option<String>,
}

impl Fate {
    /// Without a host.
    pub(crate) fn here(
        recipient: EmailAddress,
        dsn: &RecipientDsn,
        action: Action,
        code: (u8, u16, u16),
        text: impl Into<String>,
    ) -> Self {
        Self {
            recipient,
            original_recipient: dsn.original_recipient.clone(),
            action,
            code,
            text: text.into(),
            remote_host: None,
            remote_reply: None,
        }
    }

    /// A recipient that failed in routing.
    #[must_use]
    pub fn of_routing(failed: &FailedRecipient, dsn: &RecipientDsn) -> Self {
        let reply = failed.reason.smtp_reply();
        let (_, subject, detail) = reply.enhanced.unwrap_or((5, 0, 0));
        Self::here(failed.recipient.clone(), dsn, Action::Failed, (5, subject, detail), reply.text)
    }

    /// A recipient that a host or the DNS refused.
    #[must_use]
    pub fn of_refusal(recipient: EmailAddress, dsn: &RecipientDsn, refused: Refused) -> Self {
        let Refused { code, host, reply, text } = refused;
        let fate = Self::here(recipient, dsn, Action::Failed, code, text);
        Self { remote_host: host, remote_reply: reply, ..fate }
    }

    /// A recipient that was tried for too long (RFC 5321 section 4.5.4.1).
    #[must_use]
    pub fn of_expiry(recipient: EmailAddress, dsn: &RecipientDsn, last_outcome: &str) -> Self {
        let met = if last_outcome.is_empty() { "it was never reached" } else { last_outcome };
        let text = format!("it could not be delivered in time; the last attempt ended so: {met}");
        Self::here(recipient, dsn, Action::Failed, (5, 4, 7), text)
    }

    /// A recipient that waits for long and is tried on until `until`.
    #[must_use]
    pub fn of_delay(
        recipient: EmailAddress,
        dsn: &RecipientDsn,
        last_outcome: &str,
        until: Timestamp,
    ) -> Self {
        Self::here(recipient, dsn, Action::Delayed { until }, (4, 4, 7), last_outcome)
    }

    /// A recipient whose host took it and will not tell more.
    #[must_use]
    pub fn of_relay(recipient: EmailAddress, dsn: &RecipientDsn, taken: Taken) -> Self {
        let Taken { host, reply, text, .. } = taken;
        let fate = Self::here(recipient, dsn, Action::Relayed, (2, 0, 0), text);
        Self { remote_host: Some(host), remote_reply: Some(reply), ..fate }
    }
}

/// What a report is about.
#[derive(Clone, Debug)]
pub struct Notice<'a> {
    /// Id of the report itself; the same id again is stored once.
    pub report_id: MessageId,
    /// The message.
    pub message_id: MessageId,
    /// Who sent it.
    pub sender: &'a EmailAddress,
    /// When we took it.
    pub arrival: Timestamp,
    /// ENVID as it was given.
    pub envelope_id: Option<&'a str>,
    /// Its beginning: our prefix and as much of its content as is at hand.
    pub beginning: &'a [u8],
    /// The beginning is all of it, and a report of a failure is to give it back so (RET=FULL); else only the header.
    pub give_back_all: bool,
    /// It came with SMTPUTF8: what is given back of it may be UTF-8 (RFC 6533 section 4).
    pub smtp_utf8: bool,
    /// One at least.
    pub fates: &'a [Fate],
}

/// Makes the report ready to be accepted: built, and routed to the sender of the original.
///
/// `None`: the sender cannot be reached for good either, so there is nobody to tell (never a bounce for a bounce).
///
/// # Errors
/// Temporary ones of the directory.
pub async fn compose(
    directory: &Directory,
    mail_host: &str,
    notice: &Notice<'_>,
) -> Result<Option<AcceptUnit>, Status> {
    // It is our own mail: it may leave.
    let ourselves = Submitter::default();
    let to = std::slice::from_ref(notice.sender);
    let plan = route::plan(directory, to, Some(&ourselves), &[]).await?;
    let Some(mut unit) = unit(plan, mail_host, notice, Timestamp::now()) else { return Ok(None) };
    owners::name(directory, &mut unit.queue).await;
    let routed = trace::Routed {
        recipients: to,
        entries: &unit.entries,
        queue: &unit.queue,
        ..trace::Routed::default()
    };
    unit.story = trace::begin(directory, routed).await;
    Ok(Some(unit))
}

fn unit(plan: Plan, mail_host: &str, notice: &Notice<'_>, now: Timestamp) -> Option<AcceptUnit> {
    if plan.entries.is_empty() && plan.queue.is_empty() {
        return None;
    }
    // Whether the next host knows UTF-8 is not known: what can be told in seven bits is (RFC 6533 section 4.5).
    let seven_bit = !plan.queue.is_empty() && notice.sender.is_ascii();
    let content = report::build(mail_host, notice, seven_bit, now);
    let queue_row = |remote| NewQueueRow::leaving(remote, QueueClass::Bounce);
    let prefix = hop_field(mail_host, notice.report_id, now);
    let message = NewMessage {
        id: notice.report_id,
        // RFC 3464 section 2: nothing may come back for a report.
        sender: ReversePath::Null,
        plain_bytes: plain_bytes_of(prefix.as_bytes(), &content.octets),
        prefix: Bytes::from(prefix),
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
        dsn: MessageDsn::default(),
        traceparent: trace_context::current(),
    };
    Some(AcceptUnit {
        message,
        entries: plan.entries,
        queue: plan.queue.into_iter().map(queue_row).collect(),
        finished_queue_ids: Vec::new(),
        story: trace::Story::default(),
    })
}
