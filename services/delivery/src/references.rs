//! The end of what refers to messages: SQL that lowers references_count by what went and removes messages at zero.
//!
//! Shared by `maildrop/delete` and `vault/destroy`, so that there is one way in which a message ends.

/// Common table expressions that follow one called `gone` with a column `message_id`, one row for each reference that went.
/// `removed` holds the blob keys of messages that ended. `held` locks the newest version of each message, by id, so the two
/// statements below it see the count that is true.
macro_rules! release_gone {
    () => {
        "freed AS (
            SELECT message_id, count(*)::int AS entries FROM gone GROUP BY message_id
        ), held AS (
            SELECT m.id, m.references_count, f.entries FROM messages m JOIN freed f ON f.message_id = m.id
            ORDER BY m.id FOR UPDATE OF m
        ), lowered AS (
            UPDATE messages m SET references_count = m.references_count - h.entries
            FROM held h WHERE m.id = h.id AND h.references_count > h.entries
        ), removed AS (
            DELETE FROM messages m USING held h WHERE m.id = h.id AND h.references_count <= h.entries
                AND NOT EXISTS (SELECT FROM queue q WHERE q.message_id = m.id)
            RETURNING m.blob_key
        )"
    };
}
pub(crate) use release_gone;

use crate::content::Blobs;

/// Removes blobs after their messages are gone.
pub(crate) async fn remove_blobs(blobs: &Blobs, keys: Vec<String>) {
    for key in keys {
        if let Err(error) = blobs.delete(&key).await {
            tracing::warn!(%error, key, "a blob is left to the sweep");
        }
    }
}
