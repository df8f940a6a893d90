//! Bringing back what was cleared: entries as they were, with their uids.

use super::{RUNNING, SILENT_SECONDS, STEP, Vault, VaultError};

/// The clearings whose days are not over and that do not run; $2 = 0: all of the box.
const OPEN: &str = "
SELECT clearing_id FROM clearings
WHERE mailbox_id = $1 AND ($2 = 0 OR clearing_id = $2) AND clear_time > now() - make_interval(days => $3)
    AND (state <> $4 OR update_time < now() - make_interval(secs => $5))
ORDER BY clearing_id";

const BACK: &str = "
WITH guard AS (
    SELECT mailbox_id FROM mailboxes WHERE mailbox_id = $1 FOR UPDATE
), gone AS (
    DELETE FROM vault WHERE mailbox_id = $1 AND clearing_id = $2 AND EXISTS (SELECT FROM guard) AND uid IN (
        SELECT uid FROM vault WHERE mailbox_id = $1 AND clearing_id = $2 ORDER BY uid LIMIT $3
    ) RETURNING uid, size_bytes, message_id, accept_time, prefix, plain_size_bytes
), back AS (
    INSERT INTO entries (mailbox_id, uid, size_bytes, message_id, accept_time, prefix, plain_size_bytes)
    SELECT $1, uid, size_bytes, message_id, accept_time, prefix, plain_size_bytes FROM gone
), total AS (
    SELECT count(*) AS messages, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
), used AS (
    UPDATE mailboxes m SET used_bytes = m.used_bytes + t.bytes, message_count = m.message_count + t.messages,
        usage_version = m.usage_version + 1
    FROM guard g, total t WHERE m.mailbox_id = g.mailbox_id AND t.messages > 0
)
SELECT messages FROM total";

/// Only one that holds nothing: another call may be bringing it back too.
const END: &str = "
DELETE FROM clearings c WHERE c.clearing_id = $1
    AND NOT EXISTS (SELECT FROM vault WHERE mailbox_id = c.mailbox_id AND clearing_id = c.clearing_id)";

impl Vault {
    /// Brings back what one clearing took, or all clearings of the box (0); the count of messages.
    ///
    /// # Errors
    /// [`VaultError::NoSuchClearing`], or the database is away: what came back before that stays.
    pub async fn restore(&self, mailbox_id: i64, clearing_id: i64) -> Result<i64, VaultError> {
        let pool = self.store.pool();
        let open: Vec<i64> = sqlx::query_scalar(OPEN)
            .bind(mailbox_id)
            .bind(clearing_id)
            .bind(self.days)
            .bind(RUNNING)
            .bind(SILENT_SECONDS)
            .fetch_all(pool)
            .await?;
        if open.is_empty() && clearing_id != 0 {
            return Err(VaultError::NoSuchClearing(clearing_id));
        }
        let mut restored = 0;
        for clearing_id in open {
            loop {
                let back: i64 = sqlx::query_scalar(BACK)
                    .bind(mailbox_id)
                    .bind(clearing_id)
                    .bind(STEP)
                    .fetch_one(pool)
                    .await?;
                if back == 0 {
                    break;
                }
                self.store.changed().note([mailbox_id]);
                restored += back;
            }
            sqlx::query(END).bind(clearing_id).execute(pool).await?;
        }
        Ok(restored)
    }
}
