//! One job: rows of one message for one destination, sent in one attempt.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use postern_mail::{EmailAddress, MessageId, ReversePath};

use super::{
    ContentSource, ErrandOutcome, ErrandRunner, LeasedRow, Leases, QueueHandle, QueueStore, QueuedMessage,
    Schedule,
    bounces::FailedRow,
    errand,
    lanes::Lane,
    leases::JobControl,
    record::{Note, Recorder},
    store::Deferral,
};
use crate::{
    accept::QueueClass,
    bounce::Failure,
    lists::copy_sender,
    outbound::{Attempt, ContentError, Destination, Outbound, Outgoing},
};

/// Octets of an outcome that are kept in its row.
const OUTCOME_MAX_CHARS: usize = 700;

/// Rows that travel together.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) lane: Lane,
    pub(super) message_id: MessageId,
    pub(super) message: Option<Arc<QueuedMessage>>,
    pub(super) via: Option<EmailAddress>,
    /// They are to be ended, not tried.
    pub(super) held: bool,
    pub(super) rows: Vec<LeasedRow>,
}

/// What is left to do after a job.
#[derive(Debug, Default)]
pub(super) struct JobReport {
    pub(super) message: Option<Arc<QueuedMessage>>,
    pub(super) failed: Vec<FailedRow>,
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
    /// For what errands bring about.
    pub(super) handle: QueueHandle,
}

impl Worker {
    /// Does the job. What was delivered or is to be tried again is written down; what failed for good is given back.
    pub(super) async fn work(&self, job: Job, control: &JobControl) -> JobReport {
        let Some(message) = self.message(&job).await else { return JobReport::default() };
        if job.held {
            let failed = job.rows.into_iter().map(expired).collect();
            return JobReport { message: Some(message), failed };
        }
        match job.lane.clone() {
            Lane::Errand => self.run_errands(job, message, control).await,
            Lane::Mail(destination) | Lane::Copies(destination) => {
                self.send(job, &destination, message, control).await
            }
        }
    }

    async fn run_errands(&self, job: Job, message: Arc<QueuedMessage>, control: &JobControl) -> JobReport {
        let mut failed = Vec::new();
        for row in job.rows {
            let outcome = self.errands.run(&row, &message, &self.handle, &control.stopped).await;
            failed.extend(self.settle_errand(&message, row, outcome).await);
        }
        JobReport { message: Some(message), failed }
    }

    async fn settle_errand(
        &self,
        message: &QueuedMessage,
        row: LeasedRow,
        outcome: ErrandOutcome,
    ) -> Option<FailedRow> {
        let (queue_id, class) = (message.id, row.class);
        match outcome {
            ErrandOutcome::Ended => self.leases.end([row.id]),
            ErrandOutcome::Finished(why) => {
                tracing::info!(%queue_id, ?class, recipient = %row.recipient, why, "nothing to do");
                self.recorder.note(Note::Finished(row.id)).await;
            }
            ErrandOutcome::Stopped => {
                self.leases.end([row.id]);
                if let Err(error) = self.store.release(&[row.id]).await {
                    tracing::warn!(%error, "a lease cannot be given back; it runs out by itself");
                }
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
        let front = front(job.via.as_ref(), &message);
        let open = || self.content(&front, &message);
        let sender = sender(&job.rows, &message);
        let outgoing = Outgoing {
            sender: &sender,
            recipients: &recipients,
            size_bytes: front.len() as u64 + message.content_bytes,
            eight_bit: message.flags.eight_bit,
            smtp_utf8: message.flags.smtp_utf8,
            content: &open,
        };
        let attempts = tokio::select! {
            attempts = self.outbound.send(destination, &outgoing, &control.transit) => attempts,
            () = control.stopped.cancelled() => {
                tracing::info!(queue_id = %message.id, "stopped: the rows are not ours any more");
                self.leases.end(job.rows.iter().map(|row| row.id));
                return JobReport::default();
            }
        };
        let mut failed = Vec::new();
        for (row, attempt) in job.rows.into_iter().zip(attempts) {
            failed.extend(self.settle(&message, row, attempt).await);
        }
        JobReport { message: Some(message), failed }
    }

    async fn message(&self, job: &Job) -> Option<Arc<QueuedMessage>> {
        if let Some(message) = &job.message {
            return Some(Arc::clone(message));
        }
        match self.store.message(job.message_id).await {
            Ok(Some(message)) => Some(Arc::new(message)),
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

    async fn settle(&self, message: &QueuedMessage, row: LeasedRow, attempt: Attempt) -> Option<FailedRow> {
        let queue_id = message.id;
        match attempt {
            Attempt::Delivered(said) => {
                metrics::counter!("postern_outbound_total", "outcome" => "delivered").increment(1);
                tracing::info!(%queue_id, recipient = %row.recipient, said, "left");
                self.recorder.note(Note::Finished(row.id)).await;
                None
            }
            Attempt::Deferred(why) => {
                metrics::counter!("postern_outbound_total", "outcome" => "deferred").increment(1);
                tracing::info!(%queue_id, recipient = %row.recipient, why, attempts = row.attempts + 1, "deferred");
                if row.expired && self.schedule.may_expire(row.attempts + 1) {
                    return Some(expired(LeasedRow { last_outcome: why, ..row }));
                }
                self.defer(&row, why).await;
                None
            }
            Attempt::Refused(refused) => {
                metrics::counter!("postern_outbound_total", "outcome" => "refused").increment(1);
                Some(FailedRow {
                    id: row.id,
                    class: row.class,
                    failure: Failure::of_refusal(row.recipient, refused),
                })
            }
        }
    }

    async fn defer(&self, row: &LeasedRow, why: String) {
        self.defer_by(&self.schedule, row, why).await;
    }

    async fn defer_by(&self, schedule: &Schedule, row: &LeasedRow, why: String) {
        let pause = schedule.pause_after(row.attempts + 1, rand::random());
        let outcome = why.chars().take(OUTCOME_MAX_CHARS).collect();
        self.recorder.note(Note::Deferred(Deferral { id: row.id, pause, outcome })).await;
    }
}

fn expired(row: LeasedRow) -> FailedRow {
    FailedRow { id: row.id, class: row.class, failure: Failure::of_expiry(row.recipient, &row.last_outcome) }
}

/// Each member's copy of a list has a sender that tells whose it was when it comes back.
fn sender(rows: &[LeasedRow], message: &QueuedMessage) -> ReversePath {
    match (rows, &message.sender) {
        ([row], ReversePath::Address(bounces)) if row.class == QueueClass::ListCopy => {
            let member = row.note.as_deref().and_then(|note| note.parse().ok());
            ReversePath::Address(copy_sender(bounces, member.as_ref().unwrap_or(&row.recipient)))
        }
        (_, sender) => sender.clone(),
    }
}

/// What stands before the content of a copy that leaves: no Return-Path (RFC 5321 section 4.4), but the mark of the
/// forward that sends it, by which a loop is known when it comes back.
fn front(via: Option<&EmailAddress>, message: &QueuedMessage) -> Bytes {
    match via {
        None => message.prefix.clone(),
        Some(via) => {
            let mut front = format!("Delivered-To: {via}\r\n").into_bytes();
            front.extend_from_slice(&message.prefix);
            Bytes::from(front)
        }
    }
}
