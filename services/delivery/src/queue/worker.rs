//! One job: rows of one message for one destination, sent in one attempt.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use jiff::Timestamp;
use moka::sync::Cache;
use postern_mail::{EmailAddress, MessageId};
use postern_mesh::trace_context;
use postern_smtp::dsn::RecipientDsn;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field};

use super::{
    ContentSource, ErrandOutcome, ErrandRunner, LeasedRow, Leases, QueueHandle, QueueStore, QueuedMessage,
    Schedule,
    bounces::FatedRow,
    errand,
    lanes::Lane,
    leases::JobControl,
    pace::Manners,
    record::{Note, Recorder},
    store::{Deferral, Ended, Unworked},
    upkeep,
};
use crate::{
    accept::{QueueClass, StoredContent},
    bounce::Fate,
    departure::{Departure, Departures, Leaving},
    lists::CopyFates,
    outbound::{Attempt, ContentError, Destination, Later, NEEDS_UTF8, Outbound, Outgoing},
    store::{in_time, within},
    trace::TraceState,
};

/// A job whose rows were known to be ours so long ago makes sure that they still are before it begins.
const CONFIRM_AFTER: Duration = Duration::from_secs(1);
/// Copies of lists that wait are asked for with the same question, so many, so that it is one in that time and not one for each: a copy
/// may leave so long after another replica held it.
const CONFIRM_MOST: usize = 100;
/// What is confirmed later than that may be somebody else's again.
const CONFIRM_TIME: Duration = Duration::from_secs(15);
/// Octets of an outcome that are kept in its row.
const OUTCOME_MAX_CHARS: usize = 700;

/// Posts that are kept for the next of their copies, octets, and for how long.
const POSTS_BYTES: u64 = 16 * 1024 * 1024;
const POSTS_FOR: Duration = Duration::from_secs(300);

/// A memory for them.
pub(super) fn posts() -> Cache<MessageId, Arc<QueuedMessage>> {
    let weigh = |_: &MessageId, post: &Arc<QueuedMessage>| {
        let content = match &post.content {
            StoredContent::Inline(content) => content.len(),
            StoredContent::Blob { key } => key.len(),
        };
        u32::try_from(content + post.prefix.len() + size_of::<QueuedMessage>()).unwrap_or(u32::MAX)
    };
    Cache::builder().max_capacity(POSTS_BYTES).weigher(weigh).time_to_live(POSTS_FOR).build()
}

/// Rows that travel together.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) lane: Lane,
    /// On whose behalf; empty: nobody's.
    pub(super) customer: String,
    pub(super) message_id: MessageId,
    pub(super) message: Option<Arc<QueuedMessage>>,
    pub(super) via: Option<EmailAddress>,
    pub(super) rows: Vec<LeasedRow>,
}

/// What is left to do after a job.
#[derive(Debug, Default)]
pub(super) struct JobReport {
    pub(super) message: Option<Arc<QueuedMessage>>,
    pub(super) failed: Vec<FatedRow>,
    /// Whose senders want to hear that they were handed on.
    pub(super) handed_on: Vec<FatedRow>,
    /// Whose senders are to hear that it takes long.
    pub(super) delayed: Vec<FatedRow>,
    /// How the destination behaved; `None`: nothing was sent.
    pub(super) manners: Option<Manners>,
}

/// What every job needs.
pub(super) struct Worker {
    pub(super) store: QueueStore,
    pub(super) contents: Arc<dyn ContentSource>,
    pub(super) outbound: Arc<Outbound>,
    pub(super) recorder: Recorder,
    pub(super) schedule: Schedule,
    pub(super) leases: Arc<Leases>,
    pub(super) errands: Arc<dyn ErrandRunner>,
    pub(super) departures: Departures,
    pub(super) fates: CopyFates,
    /// Messages of which copies leave.
    pub(super) posts: Cache<MessageId, Arc<QueuedMessage>>,
    /// For what errands bring about.
    pub(super) handle: QueueHandle,
}

impl Worker {
    /// Does the job. What was delivered or is to be tried again is written down; what failed for good is given back.
    pub(super) async fn work(&self, mut job: Job, control: &JobControl) -> JobReport {
        self.confirm(&mut job.rows).await;
        if job.rows.is_empty() {
            return JobReport::default();
        }
        let Some(message) = self.message(&job).await else { return JobReport::default() };
        let trace = trace_of(&job, &message);
        match job.lane.clone() {
            Lane::Ending => {
                let failed = job.rows.into_iter().map(expired).collect();
                JobReport { message: Some(message), failed, ..JobReport::default() }
            }
            Lane::Post | Lane::Errand => self.run_errands(job, message, control).instrument(trace).await,
            Lane::Mail(destination) | Lane::Copies(destination) => {
                self.send(job, &destination, message, control).instrument(trace).await
            }
        }
    }

    /// Where this row's work is done.
    pub(super) fn lane_of(&self, row: &LeasedRow) -> Lane {
        Lane::of(row, || self.outbound.destination(row.recipient.domain()))
    }

    /// Leaves the rows that are still ours: another replica may have held, removed or taken them while they waited.
    async fn confirm(&self, rows: &mut Vec<LeasedRow>) {
        let doubtful = self.leases.doubtful(rows, CONFIRM_AFTER, CONFIRM_MOST);
        if doubtful.is_empty() {
            return;
        }
        let asked = Instant::now();
        let ids: Vec<i64> = doubtful.iter().map(|(id, _)| *id).collect();
        let lost = match within(CONFIRM_TIME, self.store.confirm(&ids)).await {
            Ok(ours) => {
                self.leases.confirmed(&doubtful, &ours, asked);
                let is_lost = |row: &mut LeasedRow| ids.contains(&row.id) && !ours.contains(&row.id);
                rows.extract_if(.., is_lost).map(|row| row.id).collect::<Vec<_>>()
            }
            Err(error) => {
                tracing::warn!(%error, "leases cannot be confirmed; the rows are due again when these end");
                rows.drain(..).map(|row| row.id).collect()
            }
        };
        self.leases.end(lost);
    }

    async fn run_errands(&self, job: Job, message: Arc<QueuedMessage>, control: &JobControl) -> JobReport {
        let mut failed = Vec::new();
        for row in job.rows {
            let outcome = self.errands.run(&row, &message, &self.handle, &control.stopped).await;
            failed.extend(self.settle_errand(&message, row, outcome).await);
        }
        JobReport { message: Some(message), failed, ..JobReport::default() }
    }

    async fn settle_errand(
        &self,
        message: &QueuedMessage,
        row: LeasedRow,
        outcome: ErrandOutcome,
    ) -> Option<FatedRow> {
        let (queue_id, class) = (message.id, row.class);
        match outcome {
            ErrandOutcome::Ended => self.leases.end([row.id]),
            ErrandOutcome::Finished(why) => {
                tracing::info!(%queue_id, ?class, recipient = %row.recipient, why, "nothing to do");
                self.recorder.note(Note::Finished(Ended::quietly(row.id))).await;
            }
            ErrandOutcome::Stopped => {
                self.leases.end([row.id]);
                upkeep::give_back(self, &[Unworked { id: row.id, pause: Duration::ZERO }]).await;
            }
            ErrandOutcome::Deferred(why) => {
                tracing::info!(%queue_id, ?class, recipient = %row.recipient, why, attempts = row.attempts + 1, "deferred");
                let schedule = errand::schedule();
                if row.expired && schedule.may_expire(row.attempts + 1) {
                    return Some(expired(LeasedRow { last_outcome: why, ..row }));
                }
                self.defer_by(&schedule, &row, why).await;
            }
        }
        None
    }

    async fn send(
        &self,
        job: Job,
        destination: &Destination,
        message: Arc<QueuedMessage>,
        control: &JobControl,
    ) -> JobReport {
        let recipients: Vec<EmailAddress> = job.rows.iter().map(|row| row.recipient.clone()).collect();
        let leaving = Leaving { rows: &job.rows, via: job.via.as_ref(), message: &message };
        let prepared = self.departures.prepare(leaving, &*self.contents).await;
        let Departure { sender, front } = match prepared {
            Ok(departure) => departure,
            Err(why) => return self.wait(job.rows, message, &why).await,
        };
        let open = || self.content(&front, &message);
        let dsn: Vec<RecipientDsn> = job.rows.iter().map(|row| row.dsn.clone()).collect();
        let outgoing = Outgoing {
            sender: &sender,
            recipients: &recipients,
            size_bytes: front.len() as u64 + message.content_bytes,
            eight_bit: message.flags.eight_bit,
            // The address that forwards it stands in the header too.
            smtp_utf8: message.flags.smtp_utf8 || job.via.as_ref().is_some_and(|via| !via.is_ascii()),
            dsn: &message.dsn,
            recipient_dsn: &dsn,
            content: &open,
        };
        let attempts = tokio::select! {
            // First of all: else one more step of the attempt could be the dot that ends the message.
            biased;
            () = control.stopped.cancelled() => {
                tracing::info!(queue_id = %message.id, "stopped: the rows are not ours any more");
                self.leases.end(job.rows.iter().map(|row| row.id));
                return JobReport::default();
            }
            attempts = self.outbound.send(destination, &outgoing, &control.transit) => attempts,
        };
        if let Some(first) = attempts.first() {
            Span::current().record("outcome", first.name());
        }
        let mut report = JobReport { manners: Manners::of(&attempts), ..JobReport::default() };
        for (row, attempt) in job.rows.into_iter().zip(attempts) {
            self.settle(&message, row, attempt, &mut report).await;
        }
        report.message = Some(message);
        report
    }

    /// It cannot be made ready to leave now. A part of ours that is away is mostly back soon, as with errands.
    async fn wait(&self, rows: Vec<LeasedRow>, message: Arc<QueuedMessage>, why: &str) -> JobReport {
        tracing::warn!(queue_id = %message.id, why, "cannot leave now");
        let mut failed = Vec::new();
        for row in rows {
            if row.expired && self.schedule.may_expire(row.attempts + 1) {
                failed.push(expired(LeasedRow { last_outcome: why.to_owned(), ..row }));
            } else {
                self.defer_by(&errand::schedule(), &row, why.to_owned()).await;
            }
        }
        JobReport { message: Some(message), failed, ..JobReport::default() }
    }

    async fn message(&self, job: &Job) -> Option<Arc<QueuedMessage>> {
        if let Some(message) = &job.message {
            return Some(Arc::clone(message));
        }
        let is_copy = matches!(job.lane, Lane::Copies(_));
        if is_copy && let Some(message) = self.posts.get(&job.message_id) {
            return Some(message);
        }
        match in_time(self.store.message(job.message_id)).await {
            Ok(Some(message)) => {
                let message = Arc::new(message);
                if is_copy {
                    self.posts.insert(message.id, Arc::clone(&message));
                }
                Some(message)
            }
            Ok(None) => {
                tracing::error!(queue_id = %job.message_id, "queue rows without their message");
                for row in &job.rows {
                    self.defer(row, "the message itself is missing in the store".to_owned()).await;
                }
                None
            }
            Err(error) => {
                tracing::warn!(queue_id = %job.message_id, %error, "a message cannot be read now");
                // No attempt was made: they are due again when their lease ends.
                self.leases.end(job.rows.iter().map(|row| row.id));
                None
            }
        }
    }

    fn content(
        &self,
        front: &Bytes,
        message: &QueuedMessage,
    ) -> BoxStream<'static, Result<Bytes, ContentError>> {
        stream::iter([Ok(front.clone())]).chain(self.contents.open(message)).boxed()
    }

    async fn settle(
        &self,
        message: &QueuedMessage,
        row: LeasedRow,
        attempt: Attempt,
        report: &mut JobReport,
    ) {
        let queue_id = message.id;
        metrics::counter!("postern_outbound_total", "outcome" => attempt.name()).increment(1);
        match attempt {
            Attempt::Delivered(taken) => {
                tracing::info!(%queue_id, recipient = %row.recipient, said = taken.text, "left");
                let took = Timestamp::now().duration_since(message.accept_time).as_secs_f64();
                metrics::histogram!("postern_outbound_delivery_seconds").record(took.max(0.0));
                self.fates.of_row(&row, true);
                let outcome = shortened(&taken.text);
                let is_copy = row.class == QueueClass::ListCopy;
                let ended = Ended { id: row.id, state: Some(TraceState::Sent), outcome, is_copy };
                self.recorder.note(Note::Finished(ended)).await;
                // A host that was told what the sender wants to hear tells it by itself.
                if row.dsn.wants_success() && !taken.tells_sender {
                    report
                        .handed_on
                        .push(fated(&row, Fate::of_relay(row.recipient.clone(), &row.dsn, taken)));
                }
            }
            Attempt::Deferred(Later { text: why, .. }) => {
                tracing::info!(%queue_id, recipient = %row.recipient, why, attempts = row.attempts + 1, "deferred");
                if row.expired && self.schedule.may_expire(row.attempts + 1) {
                    report.failed.push(expired(LeasedRow { last_outcome: why, ..row }));
                    return;
                }
                if row.delay_due {
                    report.delayed.push(delayed(&row, &why, message.accept_time + self.store.lifetime()));
                }
                self.defer(&row, why).await;
            }
            Attempt::Refused(refused) => {
                // A host that knows no SMTPUTF8 says nothing about a member whose own address needs none.
                if refused.code != NEEDS_UTF8 || !row.recipient.is_ascii() {
                    self.fates.of_row(&row, false);
                }
                report.failed.push(fated(&row, Fate::of_refusal(row.recipient.clone(), &row.dsn, refused)));
            }
        }
    }

    async fn defer(&self, row: &LeasedRow, why: String) {
        self.defer_by(&self.schedule, row, why).await;
    }

    async fn defer_by(&self, schedule: &Schedule, row: &LeasedRow, why: String) {
        let pause = schedule.pause_after(row.attempts + 1, rand::random());
        let outcome = shortened(&why);
        self.recorder.note(Note::Deferred(Deferral { id: row.id, pause, outcome })).await;
    }
}

/// An attempt goes on with the trace that its message was accepted in.
fn trace_of(job: &Job, message: &QueuedMessage) -> Span {
    trace_context::resume(message.traceparent.as_deref(), || {
        let (name, kind, destination) = match &job.lane {
            Lane::Post | Lane::Errand | Lane::Ending => ("errand", "internal", String::new()),
            Lane::Mail(destination) | Lane::Copies(destination) => {
                ("outside attempt", "client", destination.to_string())
            }
        };
        tracing::info_span!(
            parent: None,
            "attempt",
            otel.name = name,
            otel.kind = kind,
            queue_id = %message.id,
            destination,
            recipients = job.rows.len(),
            attempt = job.rows.iter().map(|row| row.attempts + 1).max(),
            outcome = field::Empty,
        )
    })
}

fn expired(row: LeasedRow) -> FatedRow {
    let fate = Fate::of_expiry(row.recipient.clone(), &row.dsn, &row.last_outcome);
    fated(&row, fate)
}

/// A row that is tried on until `until`.
pub(super) fn delayed(row: &LeasedRow, why: &str, until: Timestamp) -> FatedRow {
    fated(row, Fate::of_delay(row.recipient.clone(), &row.dsn, why, until))
}

fn fated(row: &LeasedRow, fate: Fate) -> FatedRow {
    FatedRow { id: row.id, class: row.class, is_forward: row.via.is_some(), dsn: row.dsn.clone(), fate }
}

fn shortened(outcome: &str) -> String {
    outcome.chars().take(OUTCOME_MAX_CHARS).collect()
}
