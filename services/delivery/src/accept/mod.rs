//! The one durable step: a message, its entries and its queue rows become true in one Postgres COMMIT.
//!
//! The walk: `grpc/submission` or `bounce` -> here -> `committer` (gathers a batch) -> `write` (one statement). An errand
//! of the queue uses `write` within a transaction of its own, which also says that the errand is done.

mod committer;
mod prefix;
mod unit;
mod write;

use postern_mail::{MessageId, Reason};
use thiserror::Error;
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::Instant,
};
use uuid::Uuid;

use crate::store::Store;

use std::{sync::Arc, time::Duration};

pub(crate) use prefix::hop_field;
pub use prefix::{delivery_prefix, missing_fields, received_field};
pub(crate) use write::{return_code, write_units};

pub use unit::{AcceptUnit, Committed, MessageFlags, NewMessage, NewQueueRow, QueueClass, StoredContent};

/// Units that wait for a commit; more wait at the door.
const WAITING_MAX: usize = 4096;
/// Connections that commit. With two, the batches are smaller: with 10 senders Postgres spent 0.10 to 0.14 ms of CPU on a
/// message instead of 0.08 to 0.09 (three runs each). Rates could not be compared on that busy machine, and where a
/// commit waits for a standby in the network nothing was measured.
const COMMITTERS: usize = 1;
/// A queue row belongs to the replica that accepted it for so long, then anybody may take it.
pub const BIRTH_LEASE: Duration = Duration::from_secs(60);

/// Why nothing was confirmed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum AcceptError {
    /// `answer_by` had passed before the commit could begin: nothing was stored.
    #[error("the submitter stopped waiting before the commit could begin")]
    TooLate,
    /// Disk or memory is short: nothing was stored.
    #[error("the database is out of space or connections")]
    InsufficientStorage,
    /// The database refused it: nothing was stored.
    #[error("the database refused the message (SQLSTATE {code})")]
    Refused {
        /// What it said.
        code: String,
    },
    /// The database is away: nothing was stored.
    #[error("the database cannot be reached")]
    Unreachable,
    /// The database is away; whether this was stored could not be learned.
    #[error("the database is away and the outcome of the commit is unknown")]
    Unknown,
}

impl AcceptError {
    /// The row of the failure table: always a temporary one.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::InsufficientStorage => Reason::InsufficientStorage,
            Self::TooLate | Self::Refused { .. } | Self::Unreachable | Self::Unknown => Reason::Unavailable,
        }
    }
}

/// Units that are committed together or not at all, and who waits for that.
struct Job {
    units: Vec<AcceptUnit>,
    answer_by: Instant,
    answer: oneshot::Sender<Result<Vec<Committed>, AcceptError>>,
}

impl Job {
    fn content_bytes(&self) -> usize {
        self.units.iter().map(AcceptUnit::carried_bytes).sum()
    }

    fn answer(self, outcome: Result<Vec<Committed>, AcceptError>) {
        // Whoever asked may have gone; what is committed stays committed.
        let _ = self.answer.send(outcome);
    }
}

/// The door to the one durable step. Clones are the same door; the committers end when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Acceptor {
    jobs: mpsc::Sender<Job>,
}

impl Acceptor {
    /// Starts the committers. New queue rows are born leased to `lease_owner`, the workers of this replica.
    #[must_use]
    pub fn start(store: &Store, lease_owner: Uuid) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..COMMITTERS {
            tokio::spawn(committer::Committer::new(store.clone(), lease_owner).run(Arc::clone(&waiting)));
        }
        Self { jobs }
    }

    /// Commits one message. No commit begins after `answer_by`. A message whose id was stored before is answered, not
    /// stored again, also when it has left meanwhile: its story tells.
    ///
    /// # Errors
    /// All temporary; only [`AcceptError::Unknown`] leaves open whether it was stored.
    pub async fn commit(&self, unit: AcceptUnit, answer_by: Instant) -> Result<Committed, AcceptError> {
        let committed = self.commit_together(vec![unit], answer_by).await?;
        committed.into_iter().next().ok_or(AcceptError::Unknown)
    }

    /// Commits several messages in one transaction: all of them or none.
    ///
    /// # Errors
    /// As [`Self::commit`].
    pub async fn commit_together(
        &self,
        units: Vec<AcceptUnit>,
        answer_by: Instant,
    ) -> Result<Vec<Committed>, AcceptError> {
        let (answer, answered) = oneshot::channel();
        let job = Job { units, answer_by, answer };
        match tokio::time::timeout_at(answer_by, self.jobs.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Err(AcceptError::TooLate),
        }
        answered.await.unwrap_or(Err(AcceptError::Unknown))
    }
}

/// The id of the bounce that is committed together with a message: always the same, so that a submission that is
/// repeated does not bounce twice.
#[must_use]
pub fn bounce_id_of(message: MessageId) -> MessageId {
    let mut octets = *message.as_bytes();
    // The random part (RFC 9562 section 5.7), not the variant bits.
    for octet in &mut octets[9..] {
        *octet = !*octet;
    }
    MessageId::try_from(&octets[..]).unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounce_of_a_message_has_one_id_of_its_own() {
        let id = MessageId::new();
        assert_ne!(bounce_id_of(id), id);
        assert_eq!(bounce_id_of(id), bounce_id_of(id));
        assert_eq!(bounce_id_of(bounce_id_of(id)), id);
    }

    #[test]
    fn no_failure_of_the_commit_is_permanent() {
        for error in [
            AcceptError::TooLate,
            AcceptError::InsufficientStorage,
            AcceptError::Refused { code: "22021".to_owned() },
            AcceptError::Unreachable,
            AcceptError::Unknown,
        ] {
            assert_eq!(error.reason().verdict(), postern_mail::Verdict::Temporary);
        }
    }
}
