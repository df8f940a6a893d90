//! `SubmissionService`: takes a message in and answers when it is committed.
//!
//! The walk: envelope -> `content` while it streams -> `authors` (may it be written in these names?) -> `route` -> `lists` (may it be
//! posted?) -> `authenticity` (is it what it says?) -> `spam` (what does the scanner say?) -> `bounce` for those it cannot reach ->
//! `accept` -> the workers of `queue` are told.

mod authors;
mod checked;
mod envelope;
mod wishes;

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId, PeerIp, Reason, ReversePath};
use postern_mesh::{
    directory::Directory,
    failure,
    memory::{Holder, MemoryBudget, MemoryShare, NoMemory},
    trace_context,
};
use postern_proto::delivery::v1::{
    SubmitMessageRequest, SubmitMessageResponse, submission_service_server::SubmissionService,
};
use postern_smtp::dsn::ReturnContent;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    accept::{
        AcceptUnit, Acceptor, Committed, MessageFlags, NewMessage, NewQueueRow, bounce_id_of, missing_fields,
        received_field,
    },
    authenticity::Checks,
    bounce::{self, Action, Fate, Notice},
    content::{Blobs, Ingest, IngestError, IngestLimits, Ingested, plain_message_bytes},
    lists::{self, CopyFates, ListDirectory},
    owners,
    queue::{self, ContentSource, QueueHandle},
    route::{self, ListBounce, Plan},
    spam::{Scanner, SpamWishes},
    trace,
};
use checked::Checked;
use envelope::Submission;
use wishes::RecipientWishes;

/// Content of one frame, octets.
const FRAME_CONTENT_MAX_BYTES: usize = 256 * 1024;
/// When the submitter does not say how long it waits.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The door.
pub(crate) struct SubmissionDoor {
    pub(crate) acceptor: Acceptor,
    pub(crate) directory: Directory,
    pub(crate) lists: ListDirectory,
    pub(crate) blobs: Blobs,
    pub(crate) budget: MemoryBudget,
    pub(crate) limits: IngestLimits,
    pub(crate) queue: QueueHandle,
    pub(crate) mail_host: Arc<str>,
    pub(crate) checks: Checks,
    pub(crate) scanner: Option<Scanner>,
    pub(crate) fates: CopyFates,
    pub(crate) contents: Arc<dyn ContentSource>,
}

/// A message that came in whole.
struct Received {
    submission: Submission,
    content: Ingested,
    /// What its recipients' domains want done with spam; `None`: it is not scanned.
    wishes: Option<SpamWishes>,
    answer_by: Instant,
}

#[tonic::async_trait]
impl SubmissionService for SubmissionDoor {
    async fn submit_message(
        &self,
        request: Request<Streaming<SubmitMessageRequest>>,
    ) -> Result<Response<SubmitMessageResponse>, Status> {
        let received = self.receive(request.into_inner()).await?;
        let id = received.submission.id;
        self.settle(received).await?;
        Ok(Response::new(SubmitMessageResponse { queue_id: id.to_string() }))
    }
}

impl SubmissionDoor {
    /// Reads the stream to its end.
    async fn receive(&self, mut frames: Streaming<SubmitMessageRequest>) -> Result<Received, Status> {
        let Some(mut frame) = frames.message().await? else { return Err(incomplete()) };
        let given = frame.envelope.take().ok_or_else(|| invalid("envelope: missing in the first frame"))?;
        let submission = Submission::from_envelope(given)?;
        if let (Some(declared), Some(max)) = (submission.declared_bytes, self.limits.message_max_bytes)
            && declared > max
        {
            return Err(failure::status(Reason::MessageTooLarge));
        }
        let held = self.budget.share(self.holder(&submission)).giving_way();
        let mut ingest =
            Ingest::begin(submission.id, &self.blobs, held, self.limits).without_results_of(&self.mail_host);
        if submission.envelope.submitter.is_some() {
            ingest = ingest.of_submission();
        }
        if submission.flags.smtp_utf8 {
            ingest = ingest.of_smtp_utf8();
        }
        let wishes = self.wishes(&submission).await?;
        if wishes.is_some() {
            ingest = ingest.without_spam_verdicts();
        }
        loop {
            if frame.content.len() > FRAME_CONTENT_MAX_BYTES {
                return Err(invalid("content: at most 256 KiB in one frame"));
            }
            let (content, is_last, within) = (frame.content, frame.last, frame.answer_within_millis);
            if !content.is_empty() {
                ingest.push(content).await.map_err(|error| refused(&submission, &error))?;
            }
            if is_last {
                let within = if within == 0 { ANSWER_WITHIN } else { Duration::from_millis(within.into()) };
                let answer_by = Instant::now() + within;
                let content = ingest.finish().await.map_err(|error| refused(&submission, &error))?;
                return Ok(Received { submission, content, wishes, answer_by });
            }
            frame = tokio::select! {
                biased;
                () = ingest.lost() => return Err(refused(&submission, &NoMemory.into())),
                next = frames.message() => next?.ok_or_else(incomplete)?,
            };
            if frame.envelope.is_some() {
                return Err(invalid("envelope: only in the first frame"));
            }
        }
    }

    /// Whose memory it is held in. Mail servers whose mail is not looked at pass it on for many: they are not one client.
    fn holder(&self, submission: &Submission) -> Holder {
        let client = submission.peer.filter(|peer| !self.checks.exempts(*peer));
        Holder {
            stranger: submission.peer.is_some() && submission.envelope.submitter.is_none(),
            client: client.map(PeerIp::client_key),
        }
    }

    /// Finds out where it goes and makes that durable.
    async fn settle(&self, received: Received) -> Result<(), Status> {
        let Received { mut submission, content, wishes, answer_by } = received;
        self.check_names(&submission, &content.found).await?;
        let mut plan = self.plan(&submission, &submission.recipients, &content).await?;
        let arrival = Timestamp::now();
        let Checked { fields: mut prefix, note, put_aside } =
            self.checked(&mut submission, &content, wishes.as_ref()).await?;
        if let Some(instead) = put_aside {
            plan = self.plan(&submission, &instead, &content).await?;
        }
        prefix.push_str(&received_field(&submission.envelope, submission.id, submission.peer, arrival));
        if submission.envelope.submitter.is_some() {
            prefix.push_str(&missing_fields(&content.found, submission.id, &self.mail_host, arrival));
        }
        for ListBounce { list_id, member } in &plan.list_bounces {
            metrics::counter!("postern_list_bounces_total").increment(1);
            tracing::info!(queue_id = %submission.id, list_id, member, "a member's copy came back");
            if submission.sender == ReversePath::Null && lists::is_failure(&content.beginning) {
                self.fates.of_report(*list_id, member);
            }
        }
        let Plan { entries, queue, failed, errands, discarded, .. } = plan;
        let dsn = RecipientWishes::of(&submission);
        let mut queue: Vec<NewQueueRow> = queue
            .into_iter()
            .map(|remote| dsn.leaving(remote))
            .chain(errands.into_iter().map(NewQueueRow::from))
            .collect();
        owners::name(&self.directory, &mut queue).await;
        let mut fates = dsn.fates(&failed, &entries, &queue);
        if submission.flags.unproven {
            fates.retain(|fate| may_be_told(&submission, fate));
        }
        let report = self.report(&submission, &prefix, &content, &fates, arrival).await?;
        let routed = trace::Routed {
            recipients: &submission.recipients,
            entries: &entries,
            queue: &queue,
            failed: &failed,
            submit_mailbox_id: submission.envelope.submitter.as_ref().map(|submitter| submitter.mailbox_id),
            note: &note,
        };
        let story = trace::begin(&self.directory, routed).await;
        let recipients = entries.len() + queue.len();
        let (mut unit, _held) = unit_of(&submission, content, prefix, entries, queue);
        unit.story = story;
        tracing::info!(
            queue_id = %submission.id,
            peer = submission.envelope.peer_ip,
            login = unit.message.login.as_deref().unwrap_or(""),
            bytes = unit.message.content_bytes,
            mailboxes = unit.entries.len(),
            queued = unit.queue.len(),
            failed = failed.len(),
            discarded,
            "message taken in"
        );
        let mut units = Vec::with_capacity(2);
        // With nobody but discarding owners there is nothing to keep.
        if recipients > 0 {
            units.push(unit);
        }
        units.extend(report);
        self.commit(units, answer_by).await
    }

    /// Where it goes for these recipients.
    async fn plan(
        &self,
        submission: &Submission,
        recipients: &[EmailAddress],
        content: &Ingested,
    ) -> Result<Plan, Status> {
        let submitter = submission.envelope.submitter.as_ref();
        let mut plan =
            route::plan(&self.directory, recipients, submitter, &content.found.delivered_to).await?;
        if !plan.errands.is_empty() {
            lists::admit(&self.lists, &mut plan, &submission.sender, content.content_bytes).await?;
        }
        match nobody_gets_it(&plan) {
            Some(refusal) => Err(refusal),
            None => Ok(plan),
        }
    }

    async fn commit(&self, units: Vec<AcceptUnit>, answer_by: Instant) -> Result<(), Status> {
        if units.is_empty() {
            return Ok(());
        }
        let ids: Vec<MessageId> = units.iter().map(|unit| unit.message.id).collect();
        // What the workers need, kept aside; content is shared, not copied.
        let outgoing: Vec<Option<(NewMessage, Vec<NewQueueRow>)>> = units
            .iter()
            .map(|unit| (!unit.queue.is_empty()).then(|| (unit.message.clone(), unit.queue.clone())))
            .collect();
        let committed = self.acceptor.commit_together(units, answer_by).await.map_err(|error| {
            tracing::warn!(%error, ?ids, "not confirmed");
            failure::status_with(error.reason(), error.to_string())
        })?;
        for (outgoing, Committed { queue_ids, .. }) in outgoing.iter().zip(committed) {
            if let Some((message, rows)) = outgoing
                && !queue_ids.is_empty()
            {
                self.queue.offer(queue::born(message, rows, &queue_ids));
            }
        }
        Ok(())
    }

    /// The report about those that cannot be reached while others can, and those whose arrival the sender asked to hear of.
    async fn report(
        &self,
        submission: &Submission,
        prefix: &str,
        content: &Ingested,
        fates: &[Fate],
        arrival: Timestamp,
    ) -> Result<Option<AcceptUnit>, Status> {
        if fates.is_empty() {
            return Ok(None);
        }
        let Some(sender) = submission.sender.address() else {
            tracing::info!(queue_id = %submission.id, ?fates, "no report to the null sender");
            return Ok(None);
        };
        let mut whole = BytesMut::with_capacity(prefix.len() + content.beginning.len());
        whole.extend_from_slice(prefix.as_bytes());
        whole.extend_from_slice(&content.beginning);
        let is_all = content.beginning.len() as u64 == content.content_bytes
            && whole.len() <= bounce::RETURNED_MAX_BYTES;
        let notice = Notice {
            report_id: bounce_id_of(submission.id),
            message_id: submission.id,
            sender,
            arrival,
            envelope_id: submission.dsn.envelope_id.as_deref(),
            beginning: &whole,
            give_back_all: is_all && submission.dsn.return_content == Some(ReturnContent::Full),
            smtp_utf8: submission.flags.smtp_utf8,
            fates,
        };
        let report = bounce::compose(&self.directory, &self.mail_host, &notice).await?;
        if report.is_none() {
            tracing::info!(queue_id = %submission.id, ?fates, "the sender cannot be told either");
        }
        Ok(report)
    }
}

fn unit_of(
    submission: &Submission,
    content: Ingested,
    prefix: String,
    entries: Vec<route::PlannedEntry>,
    queue: Vec<NewQueueRow>,
) -> (AcceptUnit, MemoryShare) {
    let submitter = submission.envelope.submitter.as_ref();
    let named = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let plain_bytes = submission
        .flags
        .smtp_utf8
        .then(|| plain_message_bytes(prefix.as_bytes(), content.content_bytes, content.plain_growth))
        .flatten();
    let message = NewMessage {
        id: submission.id,
        sender: submission.sender.clone(),
        plain_bytes,
        content: content.content,
        content_bytes: content.content_bytes,
        checksum: content.checksum,
        flags: MessageFlags {
            eight_bit: content.eight_bit || !prefix.is_ascii(),
            // Said of what is ASCII throughout, it hinders nobody from taking it (RFC 6531 section 3.4).
            smtp_utf8: plain_bytes.is_some(),
            ..submission.flags
        },
        customer: submitter.and_then(|submitter| named(&submitter.customer)),
        login: submitter.and_then(|submitter| named(&submitter.login)),
        peer_ip: submission.peer.map(|peer| peer.ip()),
        dsn: submission.dsn.clone(),
        prefix: Bytes::from(prefix),
        // Only what leaves goes on with it.
        traceparent: if queue.is_empty() { None } else { trace_context::current() },
    };
    let unit = AcceptUnit {
        message,
        entries,
        queue,
        finished_queue_ids: Vec::new(),
        story: trace::Story::default(),
    };
    (unit, content.held)
}

/// To a sender that is most likely somebody else a report would be backscatter (F-06). What failed of the envelope itself it hears
/// all the same: nobody else would.
fn may_be_told(submission: &Submission, fate: &Fate) -> bool {
    let told = fate.action == Action::Failed && submission.recipients.contains(&fate.recipient);
    if !told {
        metrics::counter!("postern_bounces_without_sender_total", "why" => "unproven_sender").increment(1);
        tracing::info!(queue_id = %submission.id, ?fate, "no report to a sender that nothing proves");
    }
    told
}

/// Nothing is stored when every recipient failed: the sender is told at once, by the first one's reason.
fn nobody_gets_it(plan: &Plan) -> Option<Status> {
    if !plan.leads_nowhere() {
        return None;
    }
    let Some(first) = plan.failed.first() else {
        return Some(failure::status_with(Reason::Unavailable, "no recipient could be planned"));
    };
    let who: Vec<String> = plan.failed.iter().take(10).map(|failed| failed.recipient.to_string()).collect();
    Some(failure::status_with(first.reason, format!("{}: {}", first.reason, who.join(", "))))
}

fn refused(submission: &Submission, error: &IngestError) -> Status {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::info!(queue_id = %submission.id, %error, cause, "message not taken in");
    failure::status_with(error.reason(), error.to_string())
}

fn incomplete() -> Status {
    invalid("last: the stream ended before the message was complete")
}

fn invalid(detail: impl Into<String>) -> Status {
    failure::status_with(Reason::InvalidArgument, detail)
}
