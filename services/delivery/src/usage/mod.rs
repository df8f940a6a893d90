//! Tells account what boxes hold, so that a full one is answered 452 4.2.2 at RCPT.
//!
//! The walk: `accept`, `maildrop`, `vault` and `transfer` commit a change and note its box -> here, once a second, what these
//! boxes hold is read and told -> account decides who is full. A note lives in memory only: what a crash forgot is found by
//! comparing usage_version with reported_version, at the start and once a minute.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use postern_mesh::{client::MeshChannel, failure, shutdown::Shutdown};
use postern_proto::account::v1::{
    BoxUsage, ReportBoxUsageRequest, storage_service_client::StorageServiceClient,
};
use sqlx::{Row as _, postgres::PgRow};
use thiserror::Error;
use tokio::time::Instant;
use tonic::Status;

use crate::store::{Store, begin_unhurried, in_time};

/// Between two reports.
const EVERY: Duration = Duration::from_secs(1);
/// Between two looks for what a crash, here or of another replica, forgot to tell.
const COMPARE_EVERY: Duration = Duration::from_secs(60);
/// Boxes of one report (the contract of ReportBoxUsage).
const REPORT_MAX: usize = 1000;
/// Boxes that one comparison finds at most; the next one finds the rest.
const COMPARE_MAX: i64 = 20_000;

/// What these boxes hold. The generation stands above the version: a store that was put back from a backup tells newer things
/// than the one that was lost.
const READ: &str = "
SELECT mailbox_id, used_bytes, message_count, usage_version,
    ((SELECT generation FROM store)::bigint << 40) + usage_version AS version
FROM mailboxes WHERE mailbox_id = ANY ($1) AND usage_version <> reported_version";

const COMPARE: &str =
    "SELECT mailbox_id FROM mailboxes WHERE usage_version <> reported_version ORDER BY mailbox_id LIMIT $1";

/// A box that somebody holds right now is changing: it is told again anyway. Locks by id, as `accept` does.
const CONFIRM: &str = "
UPDATE mailboxes m SET reported_version = told.version FROM (
    SELECT m.mailbox_id, t.version FROM mailboxes m
    JOIN unnest($1::bigint[], $2::bigint[]) AS t (mailbox_id, version) ON t.mailbox_id = m.mailbox_id
    WHERE m.reported_version < t.version
    ORDER BY m.mailbox_id FOR UPDATE OF m SKIP LOCKED
) AS told WHERE m.mailbox_id = told.mailbox_id";

/// Boxes whose change was committed and is still to be told. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangedBoxes(Arc<Mutex<HashSet<i64>>>);

impl ChangedBoxes {
    pub(crate) fn note(&self, mailbox_ids: impl IntoIterator<Item = i64>) {
        // A set is whole whatever its holder did.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(mailbox_ids);
    }

    fn take(&self) -> Vec<i64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

/// Why nothing was told; the next round tries again.
#[derive(Debug, Error)]
pub enum UsageError {
    /// The database is away.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Account is away.
    #[error("account did not take the report: {}", .0.message())]
    Account(#[source] Box<Status>),
}

/// Tells changes until the shutdown.
pub async fn run(store: Store, account: MeshChannel, shutdown: Shutdown) {
    let mut reporter = Reporter::new(store, account);
    let mut is_away = false;
    loop {
        let round = async {
            tokio::time::sleep(EVERY).await;
            reporter.round().await
        };
        let outcome = tokio::select! {
            outcome = round => outcome,
            () = shutdown.triggered() => return,
        };
        match outcome {
            Ok(_) => is_away = false,
            // Once: the log need not say it every second.
            Err(error) if !is_away => {
                is_away = true;
                tracing::warn!(%error, cause = ?std::error::Error::source(&error), "what boxes hold is told later");
            }
            Err(_) => {}
        }
    }
}

/// Tells account what changed.
pub struct Reporter {
    store: Store,
    account: StorageServiceClient<MeshChannel>,
    compare_at: Instant,
}

impl Reporter {
    /// Compares at the first round.
    #[must_use]
    pub fn new(store: Store, account: MeshChannel) -> Self {
        Self { store, account: StorageServiceClient::new(account), compare_at: Instant::now() }
    }

    /// Tells everything that changed; the count of boxes told.
    ///
    /// # Errors
    /// When a part is away; what was not told is kept.
    pub async fn round(&mut self) -> Result<usize, UsageError> {
        if Instant::now() >= self.compare_at {
            let compare = sqlx::query_scalar(COMPARE).bind(COMPARE_MAX);
            let forgotten: Vec<i64> = in_time(compare.fetch_all(self.store.pool())).await?;
            self.store.changed().note(forgotten);
            self.compare_at = Instant::now() + COMPARE_EVERY;
        }
        let changed = self.store.changed().take();
        let mut told = 0;
        for (number, boxes) in changed.chunks(REPORT_MAX).enumerate() {
            match self.tell(boxes).await {
                Ok(count) => told += count,
                Err(error) => {
                    let rest = changed[number * REPORT_MAX..].iter().copied();
                    self.store.changed().note(rest);
                    return Err(error);
                }
            }
        }
        Ok(told)
    }

    async fn tell(&mut self, boxes: &[i64]) -> Result<usize, UsageError> {
        let ask = || sqlx::query(READ).bind(boxes);
        let rows = self.store.read(ask).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let usage: Vec<BoxUsage> = rows.iter().map(usage).collect::<Result<_, _>>()?;
        let told = usage.len();
        let request = ReportBoxUsageRequest { boxes: usage };
        self.account.report_box_usage(request).await.map_err(|status| {
            tracing::debug!(reason = failure::reason_of(&status).name(), "a report was not taken");
            UsageError::Account(Box::new(status))
        })?;
        in_time(self.confirm(&rows)).await?;
        Ok(told)
    }

    async fn confirm(&self, rows: &[PgRow]) -> Result<(), sqlx::Error> {
        let mut told: (Vec<i64>, Vec<i64>) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
        for row in rows {
            told.0.push(row.try_get("mailbox_id")?);
            told.1.push(row.try_get("usage_version")?);
        }
        // Lost in a crash it is told once more.
        let mut tx = begin_unhurried(self.store.pool()).await?;
        sqlx::query(CONFIRM).bind(told.0).bind(told.1).execute(&mut *tx).await?;
        tx.commit().await
    }
}

fn usage(row: &PgRow) -> Result<BoxUsage, sqlx::Error> {
    Ok(BoxUsage {
        mailbox_id: row.try_get("mailbox_id")?,
        used_bytes: row.try_get("used_bytes")?,
        message_count: row.try_get("message_count")?,
        version: row.try_get("version")?,
    })
}
