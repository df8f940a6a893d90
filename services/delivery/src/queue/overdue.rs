//! Mail behind a destination that takes none. While hosts fail, a few rows a minute are tried, and of ten thousand that wait most would
//! be tried in no five days: their senders are told all the same that it takes long (B-04), and at the end that it was in vain (B-03).
//!
//! Only destinations that failed this process again and again, and have taken nothing since, are judged so. In a process that was just
//! started, or under a clock that jumped, everything may be old, and all of it is tried before it is given up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use postern_mail::MessageId;
use sqlx::Row as _;
use tokio::time::Instant;

use super::{
    Bounces, LeasedRow, QueueStore,
    pace::HOLD_MAX,
    store::leased_row,
    worker::{Worker, delayed},
};
use crate::store::in_time;

/// Rows that one look walks over, the oldest first, and goes on behind them.
const WALK_ROWS: i64 = 5000;
/// Rows of these that are seen to: each is a report to somebody.
const TOLD_ROWS: i64 = 200;

/// Where the walk goes on: behind this row.
#[derive(Debug, Default)]
pub(super) struct Walk(AtomicI64);

/// What a look came to.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    /// Their time is over.
    pub(super) expired: Vec<i64>,
    /// They wait on; their senders are to hear of it.
    pub(super) delayed: Vec<LeasedRow>,
}

impl QueueStore {
    /// Rows to these domains that are due, or wait only for the end of their domain's hold, and so old that their senders must hear of it.
    pub(super) async fn take_overdue(&self, domains: &[String]) -> Result<Overdue, sqlx::Error> {
        let from = self.walk.0.load(Ordering::Relaxed);
        let statement = format!(
            "WITH walk AS MATERIALIZED (
                SELECT id, create_time FROM queue WHERE id > $1 ORDER BY id LIMIT {WALK_ROWS}),
            old AS (
                SELECT {}, false AS held FROM walk JOIN queue q ON q.id = walk.id
                WHERE q.state = 1 AND q.class < 3 AND q.next_attempt_time <= now() + make_interval(secs => $5)
                    AND q.recipient_domain = ANY($3)),
            overdue AS (SELECT * FROM old WHERE expired OR (delay_due AND class < 2) ORDER BY id LIMIT {TOLD_ROWS})
            SELECT w.last_id, w.ended, o.*
            FROM (SELECT max(id) AS last_id, count(*) < {WALK_ROWS}
                    OR bool_or(create_time + make_interval(secs => least($2, $4)) > now()) AS ended
                FROM walk) w
            LEFT JOIN overdue o ON true",
            self.leased_columns()
        );
        let found = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(from)
            .bind(self.lifetime_seconds())
            .bind(domains)
            .bind(self.delay_notice_seconds())
            .bind(HOLD_MAX.as_secs_f64())
            .fetch_all(self.pool())
            .await?;
        let mut overdue = Vec::new();
        for row in &found {
            if row.try_get::<Option<i64>, _>("id")?.is_some() {
                overdue.extend(leased_row(row));
            }
        }
        let all_seen = i64::try_from(overdue.len()).unwrap_or(i64::MAX) < TOLD_ROWS;
        let next = match found.first() {
            _ if !all_seen => overdue.last().map_or(0, |row| row.id),
            // What is behind is young: from the beginning.
            Some(row) if !row.try_get::<bool, _>("ended")? => {
                row.try_get::<Option<i64>, _>("last_id")?.unwrap_or(0)
            }
            _ => 0,
        };
        self.walk.0.store(next, Ordering::Relaxed);
        let (expired, delayed): (Vec<_>, Vec<_>) = overdue.into_iter().partition(|row| row.expired);
        Ok(Overdue { expired: expired.iter().map(|row| row.id).collect(), delayed })
    }
}

/// Looks for such rows behind these domains. Those whose time is over come back, leased at the time that stands beside them; of the
/// others the senders are told.
pub(super) async fn look(
    worker: &Worker,
    bounces: &Bounces,
    domains: Vec<String>,
) -> (Vec<LeasedRow>, Instant) {
    let Overdue { expired, delayed } = match in_time(worker.store.take_overdue(&domains)).await {
        Ok(overdue) => overdue,
        Err(error) => {
            tracing::warn!(%error, "it cannot be looked for what waits behind hosts that fail");
            return (Vec::new(), Instant::now());
        }
    };
    tell(worker, bounces, delayed).await;
    // Leased last: to tell others may take longer than a lease lives.
    let asked = Instant::now();
    // Unless they are at work by now.
    let leased = worker.store.lease_to_end(&expired, "", "q.state = 1");
    let mut taken = in_time(leased).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "what waits behind hosts that fail cannot be ended now");
        Vec::new()
    });
    taken.iter_mut().for_each(say_why);
    (taken, asked)
}

/// A row that was never tried itself.
fn say_why(row: &mut LeasedRow) {
    if row.last_outcome.is_empty() {
        row.last_outcome = format!("no host of {} takes mail", row.recipient.domain());
    }
}

async fn tell(worker: &Worker, bounces: &Bounces, rows: Vec<LeasedRow>) {
    let mut by_message: BTreeMap<MessageId, Vec<LeasedRow>> = BTreeMap::new();
    for mut row in rows {
        say_why(&mut row);
        by_message.entry(row.message_id).or_default().push(row);
    }
    for (id, rows) in by_message {
        match in_time(worker.store.message(id)).await {
            Ok(Some(message)) => {
                let message = Arc::new(message);
                let until = message.accept_time + worker.store.lifetime();
                let rows = rows.iter().map(|row| delayed(row, &row.last_outcome, until)).collect();
                bounces.tell_delay(&message, rows).await;
            }
            // It left meanwhile.
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, queue_id = %id, "that it takes long is told with the next look");
            }
        }
    }
}
