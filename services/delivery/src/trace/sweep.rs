//! The end of stories: what is older than POSTERN_TRACE_DAYS goes, in steps that keep nobody waiting.

use std::time::Duration;

use jiff::Timestamp;
use postern_mesh::shutdown::Shutdown;
use uuid::Uuid;

use crate::store::Store;

use super::store::first_id_of;

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(600);
/// Rows of one statement.
const STEP: i64 = 5000;
/// Between two statements of a round.
const PAUSE: Duration = Duration::from_millis(100);

/// Ids begin with the time, so the oldest are found at one end of an index; accept_time is the proof.
const LINES: &str = "
WITH old AS MATERIALIZED (
    SELECT ctid FROM trace WHERE message_id < $1 AND accept_time < now() - make_interval(days => $2)
    ORDER BY message_id LIMIT $3
) DELETE FROM trace t USING old WHERE t.ctid = old.ctid";

const ATTEMPTS: &str = "
WITH old AS MATERIALIZED (
    SELECT ctid FROM trace_attempts WHERE message_id < $1 AND attempt_time < now() - make_interval(days => $2)
    ORDER BY message_id LIMIT $3
) DELETE FROM trace_attempts t USING old WHERE t.ctid = old.ctid";

const TRAFFIC: &str = "
WITH old AS MATERIALIZED (
    SELECT ctid FROM traffic WHERE hour < now() - make_interval(days => $2) AND $1::uuid IS NOT NULL
    ORDER BY hour LIMIT $3
) DELETE FROM traffic t USING old WHERE t.ctid = old.ctid";

/// Sweeps in rounds until the shutdown.
pub(crate) async fn run(store: Store, days: u16, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.triggered() => return,
        }
        tokio::select! {
            swept = sweep(&store, days) => match swept {
                Ok(0) => {}
                Ok(rows) => tracing::info!(rows, "old stories of messages are gone"),
                Err(error) => tracing::warn!(%error, "old stories of messages stay for now"),
            },
            () = shutdown.triggered() => return,
        }
    }
}

/// One round; the count of rows that went.
///
/// # Errors
/// When the database is away; what was removed before stays removed.
pub async fn sweep(store: &Store, days: u16) -> Result<u64, sqlx::Error> {
    let age = Duration::from_secs(u64::from(days) * 86_400);
    let before: Uuid = first_id_of(Timestamp::now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH));
    let mut removed = 0;
    for statement in [LINES, ATTEMPTS, TRAFFIC] {
        loop {
            let gone = sqlx::query(statement)
                .bind(before)
                .bind(i32::from(days))
                .bind(STEP)
                .execute(store.pool())
                .await?
                .rows_affected();
            removed += gone;
            if gone < STEP.unsigned_abs() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(removed)
}
