//! Errands: rows whose work stays in the house (a post to a list, a list's commands, autoreplies). The queue gives them
//! their turn, their lease and another try; what is to be done is known elsewhere (`errands`).

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{LeasedRow, QueueHandle, QueuedMessage, Schedule};

/// Pauses between tries, seconds; a part that was away is mostly back soon.
const PAUSES_SECONDS: [u64; 6] = [2, 5, 15, 60, 300, 900];

/// How an errand went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrandOutcome {
    /// Done, and its row is gone in the same transaction.
    Ended,
    /// There is nothing to do, for this reason.
    Finished(&'static str),
    /// Later, for this reason.
    Deferred(String),
    /// Somebody else has the row, this process goes down, or its turn is over: its work goes on from where it is.
    Stopped,
}

/// Who does errands.
pub trait ErrandRunner: Send + Sync {
    /// Does one, or the rest of it. Whatever happens, doing it again must be harmless.
    fn run<'a>(
        &'a self,
        row: &'a LeasedRow,
        message: &'a QueuedMessage,
        queue: &'a QueueHandle,
        stopped: &'a CancellationToken,
    ) -> BoxFuture<'a, ErrandOutcome>;
}

/// When an errand is tried again.
pub(super) fn schedule() -> Schedule {
    Schedule::new(PAUSES_SECONDS.map(Duration::from_secs).to_vec())
}
