//! One job: rows of one message for one destination, sent in one attempt.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use postern_mail::{EmailAddress, MessageId};

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
    bounce::Failure,
    departure::{Departure, Departures, Leaving},
    lists::CopyFates,
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
    pub(super) departures: Departures,
    pub(super) fates: CopyFates,
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
        let leaving = Leaving { rows: &job.rows, via: job.via.as_ref(), message: &message };
        let prepared = self.departures.prepare(leaving, &*self.contents).await;
        let Departure { sender, front } = match prepared {
            Ok(departure) => departure,
            Err(why) => return self.wait(job.rows, message, &why).await,
        };
        let open = || self.content(&front, &message);
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

    /// It cannot be made ready to leave now. A part of ours that is away is mostly back soon, as with errands.
    async fn wait(&self, rows: Vec<LeasedRow>, message: Arc<QueuedMessage>, why: &str) -> JobReport {
        tracing::warn!(queue_id = %message.id, why, "cannot leave now");
        let mut failed = Vec::new();
        for row in rows {
            if row.expired && self.schedule.may_expire(row.attempts + 1) {
                let is_forward = row.via.is_some();
                let row = expired(LeasedRow { last_outcome: why.to_owned(), ..row });
                failed.extend(self.told(&message, row, is_forward).await);
            } else {
                self.defer_by(&errand::schedule(), &row, why.to_owned()).await;
            }
        }
        JobReport { message: Some(message), failed }
    }

    /// What failed for good, unless nobody is to be told: a bounce for what a forward sent on would reach whoever was named as
    /// its sender (F-06).
    async fn told(&self, message: &QueuedMessage, failed: FailedRow, is_forward: bool) -> Option<FailedRow> {
        if !message.flags.unproven || !is_forward {
            return Some(failed);
        }
        let (queue_id, Failure { recipient, text, .. }) = (message.id, &failed.failure);
        tracing::info!(%queue_id, %recipient, why = text, "a forward failed, and nothing proves its sender: dropped");
        metrics::counter!("postern_bounces_without_sender_total", "why" => "unproven_sender").increment(1);
        self.recorder.note(Note::Finished(failed.id)).await;
        None
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
                self.fates.of_row(&row, true);
                self.recorder.note(Note::Finished(row.id)).await;
                None
            }
            Attempt::Deferred(why) => {
                metrics::counter!("postern_outbound_total", "outcome" => "deferred").increment(1);
                tracing::info!(%queue_id, recipient = %row.recipient, why, attempts = row.attempts + 1, "deferred");
                if row.expired && self.schedule.may_expire(row.attempts + 1) {
                    let is_forward = row.via.is_some();
                    let failed = expired(LeasedRow { last_outcome: why, ..row });
                    return self.told(message, failed, is_forward).await;
                }
                self.defer(&row, why).await;
                None
            }
            Attempt::Refused(refused) => {
                metrics::counter!("postern_outbound_total", "outcome" => "refused").increment(1);
                self.fates.of_row(&row, false);
                let is_forward = row.via.is_some();
                let failure = Failure::of_refusal(row.recipient, refused);
                self.told(message, FailedRow { id: row.id, class: row.class, failure }, is_forward).await
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
