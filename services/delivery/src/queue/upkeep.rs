//! What the loop (`dispatch`) has done beside jobs: it looks for what is due, renews leases, and gives back what did not begin.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::{
    LeasedRow,
    store::{LEASE_SECONDS, Unworked, Wanted},
    worker::Worker,
};
use crate::store::{in_time, within};

/// Rows are given back in such a time or not at all: later their leases may be somebody else's.
const GIVE_BACK_TIME: Duration = Duration::from_secs(20);

/// How often leases are renewed.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(20);
/// An answer that comes later helps nobody: the next question is due.
const RENEWAL_TIME: Duration = Duration::from_secs(10);

/// What a poll came to.
pub(super) struct Found {
    pub(super) rows: Vec<LeasedRow>,
    /// When the leases of these rows were asked for.
    pub(super) leased: Instant,
    /// What was asked for.
    pub(super) wanted: Wanted,
    /// There may be more mail.
    pub(super) more_mail: bool,
    /// Copies of lists were among them: there may be more, also where there was room for more than came, since no poll looks at all rows.
    pub(super) more_copies: bool,
}

impl Found {
    pub(super) fn nothing() -> Self {
        Self {
            rows: Vec::new(),
            leased: Instant::now(),
            wanted: Wanted::default(),
            more_mail: false,
            more_copies: false,
        }
    }
}

/// Looks for what is due. Without the database nothing is.
pub(super) async fn poll(worker: &Worker, wanted: Wanted, held_too: bool) -> Found {
    let leased = Instant::now();
    let take = async {
        worker.store.reap().await?;
        let mut rows = worker.store.take_due(&wanted).await?;
        let mail = rows.iter().filter(|row| !row.class.is_errand()).count();
        let more_mail = wanted.rows > 0 && mail >= wanted.rows;
        let mut more_copies = false;
        // Copies of lists have what mail left over.
        let copies = wanted.copies.min(wanted.rows.saturating_sub(mail));
        if copies > 0 {
            let due = worker.store.take_due_copies(copies, &wanted).await?;
            more_copies = !due.is_empty();
            rows.extend(due);
        }
        if held_too {
            rows.extend(worker.store.take_expired_held().await?);
        }
        Ok::<_, sqlx::Error>((rows, more_mail, more_copies))
    };
    match in_time(take).await {
        Ok((rows, more_mail, more_copies)) => Found { rows, leased, wanted, more_mail, more_copies },
        Err(error) => {
            tracing::warn!(%error, "the queue cannot be polled");
            Found::nothing()
        }
    }
}

/// Renews all leases; work on rows that are not ours any more is stopped.
pub(super) async fn renew(worker: &Worker) {
    let ids = worker.leases.ids();
    if ids.is_empty() {
        return;
    }
    let asked = Instant::now();
    match within(RENEWAL_TIME, worker.store.renew(&ids)).await {
        Ok(renewed) => {
            worker.leases.renewed(renewed.iter().copied(), asked);
            let renewed: HashSet<i64> = renewed.into_iter().collect();
            let lost: Vec<i64> =
                ids.into_iter().filter(|id| !renewed.contains(id) && worker.leases.contains(*id)).collect();
            if !lost.is_empty() {
                let in_doubt = worker.leases.stop(&lost);
                tracing::warn!(lost = lost.len(), in_doubt = in_doubt.len(), "leases were lost");
            }
        }
        // The database may be away for us alone: what could be somebody else's before the next renewal does not go on.
        Err(error) => {
            let old = worker.leases.older_than(Duration::from_secs_f64(LEASE_SECONDS) - RENEW_EVERY);
            let in_doubt = worker.leases.stop(&old);
            tracing::warn!(%error, stopped = old.len(), in_doubt = in_doubt.len(), "leases cannot be renewed");
        }
    }
}

/// Gives rows back that are not in `leases` any more.
pub(super) async fn give_back(worker: &Worker, rows: &[Unworked]) {
    if let Err(error) = within(GIVE_BACK_TIME, worker.store.give_back(rows)).await {
        tracing::warn!(%error, "leases cannot be given back; they run out by themselves");
    }
}
