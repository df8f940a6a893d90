//! What is done from time to time without being asked: old answers, tokens and removed lists are forgotten, and who keeps
//! answers hears when an autoresponder begins or ends. Each replica does it; twice is harmless.

use std::{fmt::Display, time::Duration};

use postern_mesh::shutdown::Shutdown;
use tokio::time::MissedTickBehavior;

use crate::{
    autoresponders,
    store::{Store, list_additions, list_changes, lists, overviews, requests},
};

/// Begins all of them; they end with the process.
pub(crate) fn begin(store: &Store, vault_days: i32, shutdown: &Shutdown) {
    let pool = store.pool().clone();
    repeat(shutdown, "old request ids", requests::SWEEP_EVERY, move || {
        let pool = pool.clone();
        async move { requests::sweep(&pool).await.map(drop) }
    });
    let pool = store.pool().clone();
    repeat(shutdown, "removed mailing lists, old tokens and days", requests::SWEEP_EVERY, move || {
        let pool = pool.clone();
        async move {
            list_changes::sweep(&pool).await?;
            list_additions::sweep(&pool).await?;
            overviews::sweep(&pool).await?;
            lists::sweep(&pool, vault_days).await.map(drop)
        }
    });
    let store = store.clone();
    repeat(shutdown, "the times of autoresponders", autoresponders::TURNS_EVERY, move || {
        let store = store.clone();
        async move { autoresponders::tell_turns(&store).await }
    });
}

fn repeat<E, F>(
    shutdown: &Shutdown,
    what: &'static str,
    every: Duration,
    deed: impl Fn() -> F + Send + Sync + 'static,
) where
    E: Display + Send,
    F: Future<Output = Result<(), E>> + Send,
{
    let ending = shutdown.clone();
    let repeating = async move {
        let mut times = tokio::time::interval(every);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            if let Err(error) = deed().await {
                tracing::warn!(%error, "{what} cannot be looked after; trying again later");
            }
        }
    };
    shutdown.spawn(async move {
        tokio::select! {
            () = repeating => {}
            () = ending.triggered() => {}
        }
    });
}
