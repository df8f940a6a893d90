//! How many clients may send because their mail was checked, as a gauge. Every replica tells the same number, that of the one Redis.

use std::time::Duration;

use postern_mesh::shutdown::Shutdown;
use tokio::time::Instant;

use crate::redis_store::{RedisStore, StoreError};

/// Between two counts. Each walks over all keys, a thousand at a time, so many are counted less often.
const EVERY: Duration = Duration::from_secs(15);
/// A count may take this share of the time.
const SHARE: u32 = 100;

/// Counts until shutdown.
pub(crate) fn begin(store: RedisStore, shutdown: &Shutdown) {
    let ending = shutdown.clone();
    shutdown.spawn(async move {
        loop {
            let begun = Instant::now();
            let counted = tokio::select! {
                counted = count(&store) => counted,
                () = ending.triggered() => return,
            };
            match counted {
                Ok(clients) => metrics::gauge!("postern_auth_grant_clients").set(clients as f64),
                Err(error) => tracing::debug!(%error, "grants cannot be counted"),
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY.max(begun.elapsed() * SHARE)) => {}
                () = ending.triggered() => return,
            }
        }
    });
}

async fn count(store: &RedisStore) -> Result<usize, StoreError> {
    let (mut clients, mut cursor) = (0, 0);
    loop {
        let (next, found) = store.scan_clients(cursor).await?;
        // A key that Redis moves meanwhile may be seen twice: an operator looks at the size of the number.
        clients += found.len();
        if next == 0 {
            return Ok(clients);
        }
        cursor = next;
    }
}
