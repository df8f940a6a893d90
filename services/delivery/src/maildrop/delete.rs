//! Deleting messages of a box: one statement, all named ones or none, and only while no newer session has deleted.
//!
//! Rows are locked in the order that `accept` uses: the mailbox, then messages by id.

use std::time::Duration;

use sqlx::Row as _;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    references::release_gone,
    store::{Fault, Store},
};

use super::MaildropError;

/// A statement that takes longer counts as lost with its connection.
const DELETE_DEADLINE: Duration = Duration::from_secs(30);
/// So long the outcome of a lost commit is asked for.
const DOUBT_DEADLINE: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Deadlocks and the like in a row before giving up.
const COLLISIONS_MAX: u32 = 5;

/// The guard takes the row of the box, or makes it, and refuses a token below the last one.
const DELETE: &str = concat!(
    "WITH guard AS (
        SELECT mailbox_id FROM mailboxes WHERE mailbox_id = $1 AND last_delete_token <= $2 FOR UPDATE
    ), gone AS (
        DELETE FROM entries WHERE mailbox_id = $1 AND uid = ANY ($3) AND EXISTS (SELECT FROM guard)
        RETURNING message_id, size_bytes
    ), total AS (
        SELECT count(*) AS messages, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
    ), used AS (
        UPDATE mailboxes m SET used_bytes = m.used_bytes - t.bytes, message_count = m.message_count - t.messages,
            usage_version = m.usage_version + 1, last_delete_token = $2
        FROM guard g, total t WHERE m.mailbox_id = g.mailbox_id
    ), ",
    release_gone!(),
    "SELECT EXISTS (SELECT FROM guard) AS guarded, (SELECT messages FROM total) AS deleted,
        ARRAY (SELECT blob_key FROM removed WHERE blob_key IS NOT NULL) AS blob_keys,
        ARRAY (SELECT message_id FROM gone) AS message_ids"
);

/// What a deletion did.
#[derive(Debug, Default)]
pub(super) struct Deleted {
    pub(super) count: u64,
    /// Blobs that nobody refers to any more.
    pub(super) blob_keys: Vec<String>,
    /// What was deleted, as far as this attempt did it.
    pub(super) message_ids: Vec<Uuid>,
}

/// Deletes, and learns the outcome also when the connection is lost meanwhile.
pub(super) async fn delete(
    store: &Store,
    mailbox_id: i64,
    token: i64,
    uids: &[i64],
) -> Result<Deleted, MaildropError> {
    let mut give_up = Instant::now() + DELETE_DEADLINE;
    let (mut in_doubt, mut collisions) = (false, 0);
    loop {
        let attempt = tokio::time::timeout_at(give_up, attempt(store, mailbox_id, token, uids)).await;
        let error = match attempt {
            Ok(Ok(Some(deleted))) if in_doubt && deleted.count == 0 => {
                // The attempt that was lost had done it.
                return Ok(Deleted { count: uids.len() as u64, ..deleted });
            }
            Ok(Ok(Some(deleted))) => return Ok(deleted),
            Ok(Ok(None)) if in_doubt => return settled(store, mailbox_id, uids).await,
            Ok(Ok(None)) => return Err(MaildropError::LockLost),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        match Fault::of(&error) {
            Fault::Collision if collisions < COLLISIONS_MAX => collisions += 1,
            Fault::Unknown if Instant::now() < give_up => {
                if !in_doubt {
                    tracing::warn!(%error, mailbox_id, "commit of deletes in doubt, asking again");
                    give_up = Instant::now() + DOUBT_DEADLINE;
                }
                in_doubt = true;
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            _ => return Err(error.into()),
        }
    }
}

/// One attempt; `None` when the guard refused the token.
async fn attempt(
    store: &Store,
    mailbox_id: i64,
    token: i64,
    uids: &[i64],
) -> Result<Option<Deleted>, sqlx::Error> {
    let row = sqlx::query(DELETE).bind(mailbox_id).bind(token).bind(uids).fetch_one(store.pool()).await?;
    if row.try_get::<bool, _>("guarded")? {
        let count = row.try_get::<i64, _>("deleted")?.max(0).cast_unsigned();
        let (blob_keys, message_ids) = (row.try_get("blob_keys")?, row.try_get("message_ids")?);
        return Ok(Some(Deleted { count, blob_keys, message_ids }));
    }
    let known: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM mailboxes WHERE mailbox_id = $1)")
        .bind(mailbox_id)
        .fetch_one(store.pool())
        .await?;
    // A box that never got mail has no row, and nothing to delete.
    Ok((!known).then(Deleted::default))
}

/// A newer session has deleted since: was it we who removed these before it came?
async fn settled(store: &Store, mailbox_id: i64, uids: &[i64]) -> Result<Deleted, MaildropError> {
    let left: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM entries WHERE mailbox_id = $1 AND uid = ANY ($2))")
            .bind(mailbox_id)
            .bind(uids)
            .fetch_one(store.pool())
            .await?;
    if left {
        Err(MaildropError::LockLost)
    } else {
        Ok(Deleted { count: uids.len() as u64, ..Deleted::default() })
    }
}
