//! Takes away what nobody refers to: blobs of submissions that never were committed, messages without entry,
//! vault row and queue row, and who got posts of lists that nobody gives on any more,
//! and policies of other domains that are over.
//!
//! Both are rare: deletes remove their messages and blobs at once. Nothing is removed that is younger than an hour, and
//! nothing on the word of references_count alone: a query proves that neither an entry nor a vault or queue row is left.

use std::{collections::HashSet, time::Duration};

use futures_util::TryStreamExt as _;
use postern_mesh::shutdown::Shutdown;
use uuid::Uuid;

use crate::{
    content::{BlobError, Blobs, message_of_key},
    store::Store,
};

/// Younger ones may belong to a submission that is still under way.
const AGE_MIN: Duration = Duration::from_secs(3600);
/// Keys or messages looked at by one query.
const STEP: usize = 1000;

/// What went wrong; the next round tries again.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The database is away.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// The blob store is away.
    #[error("the blob store failed")]
    Blobs(#[from] BlobError),
}

/// What one round took away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Blobs that no message names.
    pub blobs: u64,
    /// Messages that nobody holds.
    pub messages: u64,
    /// Notes of who got a post that ended in the middle: its list was removed, or an operator took it out of the queue.
    pub post_notes: u64,
}

/// Sweeps in rounds until the shutdown.
pub async fn run(store: Store, blobs: Blobs, every: Duration, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shutdown.triggered() => return,
        }
        tokio::select! {
            swept = sweep(&store, &blobs, AGE_MIN) => match swept {
                Ok(swept) if swept == Swept::default() => {}
                Ok(Swept { blobs, messages, post_notes }) => tracing::info!(blobs, messages, post_notes, "swept"),
                Err(error) => tracing::warn!(%error, cause = ?std::error::Error::source(&error), "the sweep stopped early"),
            },
            () = shutdown.triggered() => return,
        }
    }
}

/// One round: messages first, so that their blobs go in the same round.
///
/// # Errors
/// When a store is away; what was removed before stays removed.
pub async fn sweep(store: &Store, blobs: &Blobs, age: Duration) -> Result<Swept, SweepError> {
    let messages = sweep_messages(store, age).await?;
    let post_notes = sweep_post_notes(store).await?;
    sqlx::query("DELETE FROM mta_sts_policies WHERE end_time < now()").execute(store.pool()).await?;
    let blobs = sweep_blobs(store, blobs, age).await?;
    Ok(Swept { blobs, messages, post_notes })
}

/// Whoever begins a post writes its queue row and the first note together, so no post that goes on is met here.
async fn sweep_post_notes(store: &Store) -> Result<u64, sqlx::Error> {
    let removed = sqlx::query(
        "DELETE FROM post_recipients WHERE parent IN (
            SELECT p.parent FROM (SELECT DISTINCT parent FROM post_recipients) p
            WHERE NOT EXISTS (SELECT FROM queue q WHERE q.parent = p.parent))",
    )
    .execute(store.pool())
    .await?;
    Ok(removed.rows_affected())
}

/// Walks all messages by id, a step at a time, and removes those that are proven to be nobody's.
async fn sweep_messages(store: &Store, age: Duration) -> Result<u64, sqlx::Error> {
    let mut removed = 0;
    let mut after = Uuid::nil();
    loop {
        let step: Vec<(Uuid, bool)> = sqlx::query_as(
            "SELECT id, references_count <= 0 AND accept_time < now() - $2 * interval '1 second'
            FROM messages WHERE id > $1 ORDER BY id LIMIT $3",
        )
        .bind(after)
        .bind(age.as_secs_f64())
        .bind(STEP as i64)
        .fetch_all(store.pool())
        .await?;
        let Some((last, _)) = step.last() else { return Ok(removed) };
        after = *last;
        let suspects: Vec<Uuid> =
            step.into_iter().filter_map(|(id, is_suspect)| is_suspect.then_some(id)).collect();
        if !suspects.is_empty() {
            removed += remove_unreferenced(store, &suspects).await?;
        }
    }
}

/// Entries and the vault have no index by message: this reads all of them, and there is hardly ever a suspect.
async fn remove_unreferenced(store: &Store, suspects: &[Uuid]) -> Result<u64, sqlx::Error> {
    let removed = sqlx::query(
        "DELETE FROM messages m WHERE m.id = ANY ($1) AND m.references_count <= 0
            AND NOT EXISTS (SELECT FROM queue q WHERE q.message_id = m.id)
            AND m.id NOT IN (SELECT message_id FROM entries WHERE message_id = ANY ($1))
            AND m.id NOT IN (SELECT message_id FROM vault WHERE message_id = ANY ($1))",
    )
    .bind(suspects)
    .execute(store.pool())
    .await?
    .rows_affected();
    let kept = suspects.len() as u64 - removed;
    if kept > 0 {
        tracing::error!(
            kept,
            "messages are referred to, though their count says they are not; they are kept"
        );
    }
    Ok(removed)
}

/// Ends of copies of lists wait for no disk: a crash of the database would bring their message back, and its content would be gone.
/// A commit that does wait takes all before it along.
async fn reach_disk(store: &Store) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_logical_emit_message(true, 'postern', '')").execute(store.pool()).await.map(drop)
}

async fn sweep_blobs(store: &Store, blobs: &Blobs, age: Duration) -> Result<u64, SweepError> {
    let mut steps = std::pin::pin!(blobs.older_than(age).try_chunks(STEP));
    let mut removed = 0;
    while let Some(keys) = steps.try_next().await.map_err(|error| error.1)? {
        let named: Vec<String> =
            sqlx::query_scalar("SELECT blob_key FROM messages WHERE blob_key = ANY ($1)")
                .bind(&keys)
                .fetch_all(store.pool())
                .await?;
        let named: HashSet<String> = named.into_iter().collect();
        if keys.iter().all(|key| named.contains(key)) {
            continue;
        }
        reach_disk(store).await?;
        // A key that is none of ours is left alone.
        for key in keys.into_iter().filter(|key| message_of_key(key).is_some() && !named.contains(key)) {
            blobs.delete(&key).await?;
            removed += 1;
        }
    }
    Ok(removed)
}
