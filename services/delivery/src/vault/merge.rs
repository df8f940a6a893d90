//! The mail of a removed mailbox into the one that has its address now: under new uids, in its order.

use super::{STEP, Vault, VaultError};

/// Both boxes by id, as everybody locks them. The rows of one mailbox each, so no row is written twice.
const MERGE: &str = "
WITH boxes AS (
    SELECT mailbox_id FROM mailboxes WHERE mailbox_id IN ($1, $2) ORDER BY mailbox_id FOR UPDATE
), gone AS (
    DELETE FROM entries WHERE mailbox_id = $1 AND EXISTS (SELECT FROM boxes) AND uid IN (
        SELECT uid FROM entries WHERE mailbox_id = $1 ORDER BY uid LIMIT $3
    ) RETURNING uid, size_bytes, message_id, accept_time, prefix, plain_size_bytes
), came AS (
    INSERT INTO entries (mailbox_id, size_bytes, message_id, accept_time, prefix, plain_size_bytes)
    SELECT $2, size_bytes, message_id, accept_time, prefix, plain_size_bytes FROM gone ORDER BY uid
), total AS (
    SELECT count(*) AS messages, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
), used AS (
    UPDATE mailboxes m SET usage_version = m.usage_version + 1,
        used_bytes = m.used_bytes + CASE m.mailbox_id WHEN $1 THEN -t.bytes ELSE t.bytes END,
        message_count = m.message_count + CASE m.mailbox_id WHEN $1 THEN -t.messages ELSE t.messages END
    FROM boxes b, total t WHERE m.mailbox_id = b.mailbox_id AND t.messages > 0
)
SELECT messages FROM total";

impl Vault {
    /// Moves all mail of one box into another, a step at a time; the count of messages.
    ///
    /// # Errors
    /// When the database is away: what moved before that stays there, and asking again moves the rest.
    pub async fn merge(&self, from: i64, to: i64) -> Result<i64, VaultError> {
        let pool = self.store.pool();
        // A box that never got mail has no row to lock.
        sqlx::query("INSERT INTO mailboxes (mailbox_id) VALUES ($1) ON CONFLICT DO NOTHING")
            .bind(to)
            .execute(pool)
            .await?;
        let mut moved = 0;
        loop {
            let step: i64 = sqlx::query_scalar(MERGE).bind(from).bind(to).bind(STEP).fetch_one(pool).await?;
            if step == 0 {
                return Ok(moved);
            }
            self.store.changed().note([from, to]);
            moved += step;
        }
    }
}
