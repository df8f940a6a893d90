//! Group commit: while one commit is in flight the next batch gathers. No timer: a lone message does not wait.
//!
//! A batch that a bad row spoils is halved until the bad one is alone, so it never fails its neighbours. A commit
//! whose outcome is unknown is written again over a new connection: the message ids make that harmless, and the
//! database itself waits for the first attempt where that one still runs.

use std::{collections::HashSet, sync::Arc, time::Duration};

use sqlx::PgConnection;
use tokio::{
    sync::{Mutex, mpsc},
    time::Instant,
};
use uuid::Uuid;

use super::{AcceptError, Committed, Job, write};
use crate::store::{Fault, Store};

/// Jobs of one statement.
const BATCH_JOBS_MAX: usize = 256;
/// Content of one statement, octets; a single job may be larger.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// After so long a commit counts as lost with its connection. It is not cancelled: it may still happen.
const COMMIT_DEADLINE: Duration = Duration::from_secs(30);
/// So long the outcome of a lost commit is asked for (fault matrix, "commit outcome unknown").
const DOUBT_DEADLINE: Duration = Duration::from_secs(10);
/// So long a database that cannot be reached is waited for: a restart passes unnoticed.
const RECONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Pause between two attempts to reach the database.
const RECONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Deadlocks and the like in a row before giving up.
const COLLISIONS_MAX: u32 = 5;

/// What became of one attempt.
enum Attempt {
    Done(Vec<Vec<Committed>>),
    Failed(Fault, String),
    /// Nothing was sent: the database cannot be reached.
    Unreachable,
}

pub(super) struct Committer {
    store: Store,
    lease_owner: Uuid,
    connection: Option<PgConnection>,
    /// Taken from the line, but did not fit into the batch.
    carried: Option<Job>,
}

impl Committer {
    pub(super) fn new(store: Store, lease_owner: Uuid) -> Self {
        Self { store, lease_owner, connection: None, carried: None }
    }

    /// Runs until nobody can send a job any more.
    pub(super) async fn run(mut self, waiting: Arc<Mutex<mpsc::Receiver<Job>>>) {
        loop {
            let batch = self.gather(&waiting).await;
            if batch.is_empty() {
                return;
            }
            metrics::histogram!("postern_accept_batch_jobs").record(batch.len() as f64);
            self.commit_all(batch).await;
        }
    }

    /// The next batch: whoever waits now, within the bounds. Empty when the line is closed.
    async fn gather(&mut self, waiting: &Mutex<mpsc::Receiver<Job>>) -> Vec<Job> {
        // One committer at a time stands at the line; the other one is committing.
        let mut waiting = waiting.lock().await;
        let first = match self.carried.take() {
            Some(job) => Some(job),
            None => waiting.recv().await,
        };
        let Some(first) = first else { return Vec::new() };
        let mut ids: HashSet<_> = first.units.iter().map(|unit| unit.message.id).collect();
        let mut ended: HashSet<i64> = rows_ended_by(&first).collect();
        let mut bytes = first.content_bytes();
        let mut batch = vec![first];
        while batch.len() < BATCH_JOBS_MAX {
            let Ok(job) = waiting.try_recv() else { break };
            bytes += job.content_bytes();
            // The same id twice in one statement would be given two sets of entries, the same row two bounces.
            let repeated = job.units.iter().any(|unit| !ids.insert(unit.message.id))
                || rows_ended_by(&job).any(|id| !ended.insert(id));
            if repeated || bytes > BATCH_BYTES_MAX {
                self.carried = Some(job);
                break;
            }
            batch.push(job);
        }
        batch
    }

    async fn commit_all(&mut self, batch: Vec<Job>) {
        let mut parts = vec![batch];
        let mut collisions = 0;
        while let Some(part) = parts.pop() {
            let mut part = without_late_ones(part);
            if part.is_empty() {
                continue;
            }
            match self.attempt(&part, COMMIT_DEADLINE).await {
                Attempt::Done(outcomes) => answer_all(part, outcomes),
                Attempt::Failed(Fault::Collision, _) if collisions < COLLISIONS_MAX => {
                    collisions += 1;
                    parts.push(part);
                }
                Attempt::Failed(Fault::Refused | Fault::Collision, code) => {
                    if part.len() == 1 {
                        tracing::error!(code, ids = ?ids_of(&part), "the database refuses a message");
                        fail_all(part, &AcceptError::Refused { code });
                    } else {
                        let second = part.split_off(part.len() / 2);
                        parts.push(second);
                        parts.push(part);
                    }
                }
                Attempt::Failed(Fault::Full, code) => {
                    tracing::error!(code, "the database is out of space or connections");
                    fail_all(part, &AcceptError::InsufficientStorage);
                }
                Attempt::Failed(Fault::Unknown, _) => {
                    tracing::warn!(ids = ?ids_of(&part), "commit in doubt, asking again over a new connection");
                    self.persist(part, DOUBT_DEADLINE, true).await;
                }
                Attempt::Unreachable => self.persist(part, RECONNECT_DEADLINE, false).await,
            }
        }
    }

    /// Tries over new connections to learn or to make the outcome. `in_doubt`: it may be stored already.
    async fn persist(&mut self, mut part: Vec<Job>, patience: Duration, mut in_doubt: bool) {
        let mut give_up = Instant::now() + patience;
        while Instant::now() < give_up {
            tokio::time::sleep(RECONNECT_PAUSE).await;
            let (late, in_time): (Vec<_>, Vec<_>) =
                part.into_iter().partition(|job| job.answer_by <= Instant::now());
            self.give_answer(late, in_doubt).await;
            part = in_time;
            if part.is_empty() {
                return;
            }
            match self.attempt(&part, give_up.saturating_duration_since(Instant::now())).await {
                Attempt::Done(outcomes) => return answer_all(part, outcomes),
                // It is settled that nothing of this part is stored; the usual way goes on from here.
                Attempt::Failed(Fault::Refused | Fault::Collision | Fault::Full, _) => {
                    return Box::pin(self.commit_all(part)).await;
                }
                Attempt::Failed(Fault::Unknown, _) if !in_doubt => {
                    in_doubt = true;
                    give_up = Instant::now() + DOUBT_DEADLINE;
                }
                Attempt::Failed(Fault::Unknown, _) | Attempt::Unreachable => {}
            }
        }
        self.give_answer(part, in_doubt).await;
    }

    async fn give_answer(&mut self, jobs: Vec<Job>, in_doubt: bool) {
        if in_doubt {
            self.answer_what_is_found(jobs).await
        } else {
            fail_all(jobs, &AcceptError::Unreachable)
        }
    }

    /// For those whose time is over: nothing may be written any more, but it can be looked up.
    async fn answer_what_is_found(&mut self, jobs: Vec<Job>) {
        if jobs.is_empty() {
            return;
        }
        let Ok(found) = write::look_up(self.store.pool(), &jobs).await else {
            tracing::warn!(ids = ?ids_of(&jobs), "commit in doubt, answered as unavailable");
            return fail_all(jobs, &AcceptError::Unknown);
        };
        for (job, outcome) in jobs.into_iter().zip(found) {
            match outcome {
                Some(committed) => job.answer(Ok(committed)),
                None => job.answer(Err(AcceptError::Unknown)),
            }
        }
    }

    async fn attempt(&mut self, jobs: &[Job], deadline: Duration) -> Attempt {
        let give_up = Instant::now() + deadline;
        let connected = match self.connection.take() {
            Some(connection) => Ok(connection),
            None => match tokio::time::timeout_at(give_up, self.store.connect()).await {
                Ok(outcome) => outcome,
                Err(_) => return Attempt::Unreachable,
            },
        };
        let mut connection = match connected {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "the accept path cannot reach the database");
                return Attempt::Unreachable;
            }
        };
        match tokio::time::timeout_at(give_up, write::write(&mut connection, jobs, self.lease_owner)).await {
            Ok(Ok(outcomes)) => {
                self.connection = Some(connection);
                self.store.changed().note(boxes_of(jobs));
                self.store.traffic().count(fresh_units(jobs, &outcomes));
                Attempt::Done(outcomes)
            }
            Ok(Err(error)) => {
                let fault = Fault::of(&error);
                let code =
                    error.as_database_error().and_then(|e| e.code()).map(String::from).unwrap_or_default();
                if fault == Fault::Unknown {
                    tracing::warn!(%error, "the accept path lost its connection");
                } else {
                    self.connection = Some(connection);
                }
                Attempt::Failed(fault, code)
            }
            // Dropping the connection does not cancel the statement: a commit that waits for its standby goes on.
            Err(_) => Attempt::Failed(Fault::Unknown, String::new()),
        }
    }
}

fn rows_ended_by(job: &Job) -> impl Iterator<Item = i64> {
    job.units.iter().flat_map(|unit| unit.finished_queue_ids.iter().copied())
}

/// No commit starts after `answer_by`; checked last.
fn without_late_ones(jobs: Vec<Job>) -> Vec<Job> {
    let now = Instant::now();
    let (late, in_time): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.answer_by <= now);
    fail_all(late, &AcceptError::TooLate);
    in_time
}

fn answer_all(jobs: Vec<Job>, outcomes: Vec<Vec<Committed>>) {
    for (job, outcome) in jobs.into_iter().zip(outcomes) {
        job.answer(Ok(outcome));
    }
}

fn fail_all(jobs: Vec<Job>, error: &AcceptError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}

fn boxes_of(jobs: &[Job]) -> impl Iterator<Item = i64> {
    jobs.iter().flat_map(|job| &job.units).flat_map(|unit| &unit.entries).map(|entry| entry.mailbox_id)
}

/// Units that this commit stored; a repeated one was counted when it was stored.
fn fresh_units<'a>(
    jobs: &'a [Job],
    outcomes: &'a [Vec<Committed>],
) -> impl Iterator<Item = &'a super::AcceptUnit> {
    jobs.iter()
        .zip(outcomes)
        .flat_map(|(job, committed)| job.units.iter().zip(committed))
        .filter(|(_, committed)| !committed.repeated)
        .map(|(unit, _)| unit)
}

fn ids_of(jobs: &[Job]) -> Vec<String> {
    jobs.iter().flat_map(|job| &job.units).map(|unit| unit.message.id.to_string()).collect()
}
