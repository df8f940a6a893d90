//! What waits to leave, as gauges: rows of the queue by class and state, and the age of the oldest. Every replica tells the
//! same numbers, those of the one queue.

use std::time::Duration;

use postern_mesh::shutdown::Shutdown;
use sqlx::Row as _;
use tokio::time::Instant;

use crate::store::Store;

/// Between two counts. They read the whole queue, so a long one is counted less often.
const EVERY: Duration = Duration::from_secs(10);
/// A count may take this share of the time.
const SHARE: u32 = 100;

const COUNT: &str = "
SELECT least(class, 3::smallint) AS class, state, count(*) AS entries,
    extract(epoch FROM now() - min(create_time))::float8 AS oldest_seconds
FROM queue GROUP BY 1, 2";

/// By the number of a class; all errands together are the last one (`migrations/0010_errands.sql`).
const CLASSES: [&str; 4] = ["mail", "bounce", "copy", "errand"];
/// By the number of a state, which begins at 1.
const STATES: [&str; 3] = ["waiting", "active", "held"];

/// Counts until shutdown.
pub(crate) async fn run(store: Store, shutdown: Shutdown) {
    loop {
        let begun = Instant::now();
        if let Err(error) = count(&store).await {
            tracing::debug!(%error, "the queue cannot be counted");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY.max(begun.elapsed() * SHARE)) => {}
            () = shutdown.triggered() => return,
        }
    }
}

async fn count(store: &Store) -> Result<(), sqlx::Error> {
    let mut entries = [[0_i64; STATES.len()]; CLASSES.len()];
    let mut oldest = [0_f64; CLASSES.len()];
    for row in store.read(|| sqlx::query(COUNT)).await? {
        let (class, state): (i16, i16) = (row.try_get("class")?, row.try_get("state")?);
        let class = usize::try_from(class).unwrap_or_default();
        let state = usize::try_from(state - 1).unwrap_or_default();
        if let (Some(states), Some(oldest)) = (entries.get_mut(class), oldest.get_mut(class))
            && let Some(entries) = states.get_mut(state)
        {
            *entries = row.try_get("entries")?;
            *oldest = oldest.max(row.try_get("oldest_seconds")?);
        }
    }
    for ((class, states), oldest) in CLASSES.into_iter().zip(entries).zip(oldest) {
        metrics::gauge!("postern_queue_oldest_seconds", "class" => class).set(oldest);
        for (state, entries) in STATES.into_iter().zip(states) {
            metrics::gauge!("postern_queue_entries", "class" => class, "state" => state).set(entries as f64);
        }
    }
    Ok(())
}
