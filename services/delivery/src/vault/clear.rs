//! Clearing a box: messages go to the vault with their uids. A session that has the box open meanwhile hears that such a
//! message is gone, and its QUIT deletes nothing else (P-72).

use sqlx::Row as _;

use super::{STEP, Vault, VaultError};
use crate::maildrop::Form;

/// Messages that are checked together.
const CHECK_STEP: i64 = 500;

const PAGE: &str = "
SELECT uid, size_bytes FROM entries WHERE mailbox_id = $1 AND uid > $2 AND uid <= $3 ORDER BY uid LIMIT $4";

const BEGIN: &str = "
INSERT INTO clearings (mailbox_id, scope) VALUES ($1, $2)
RETURNING clearing_id, (extract(epoch FROM clear_time + make_interval(days => $3)) * 1000000)::bigint AS until_micros";

/// The reference of the entry becomes that of the vault row: no count changes.
const MOVE: &str = "
WITH guard AS (
    SELECT mailbox_id FROM mailboxes WHERE mailbox_id = $1 FOR UPDATE
), gone AS (
    DELETE FROM entries WHERE mailbox_id = $1 AND uid = ANY ($3) AND EXISTS (SELECT FROM guard)
    RETURNING uid, size_bytes, message_id, accept_time, prefix, plain_size_bytes
), kept AS (
    INSERT INTO vault (mailbox_id, clearing_id, uid, size_bytes, message_id, accept_time, prefix, plain_size_bytes)
    SELECT $1, $2, uid, size_bytes, message_id, accept_time, prefix, plain_size_bytes FROM gone
), total AS (
    SELECT count(*) AS messages, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
), used AS (
    UPDATE mailboxes m SET used_bytes = m.used_bytes - t.bytes, message_count = m.message_count - t.messages,
        usage_version = m.usage_version + 1
    FROM guard g, total t WHERE m.mailbox_id = g.mailbox_id AND t.messages > 0
)
SELECT messages, bytes FROM total";

/// What a clearing takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What does not match its checksum, or is not there.
    Damaged,
    /// Everything that is in the box at the begin.
    All,
}

impl Scope {
    /// As `clearings.scope` holds it: postern.delivery.v1.ClearScope.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Damaged => 1,
            Self::All => 2,
        }
    }
}

/// What a clearing did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Messages that were looked at.
    pub checked: i64,
    /// Messages that went.
    pub messages: i64,
    /// Octets of them.
    pub bytes: i64,
    /// The clearing; 0 when nothing went.
    pub clearing_id: i64,
    /// Until when it can be brought back, microseconds of the Unix epoch.
    pub until_micros: Option<i64>,
}

/// A message of the listing.
struct Listed {
    uid: i64,
    size_bytes: i64,
}

impl Vault {
    /// Moves messages of a box to the vault, a step at a time: what a crash interrupts is begun again. `dry`: only says what it
    /// would do.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn clear(&self, mailbox_id: i64, scope: Scope, dry: bool) -> Result<Cleared, VaultError> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(uid) FROM entries WHERE mailbox_id = $1")
            .bind(mailbox_id)
            .fetch_one(self.store.pool())
            .await?;
        let mut cleared = Cleared::default();
        let (mut after, newest) = (0, newest.unwrap_or(0));
        loop {
            let page = self.page(mailbox_id, after, newest, scope).await?;
            let Some(last) = page.last() else { return Ok(cleared) };
            after = last.uid;
            let going = match scope {
                Scope::All => {
                    cleared.checked += page.len() as i64;
                    page
                }
                Scope::Damaged => self.damaged_of(mailbox_id, page, &mut cleared.checked).await,
            };
            if dry {
                cleared.messages += going.len() as i64;
                cleared.bytes += going.iter().map(|listed| listed.size_bytes).sum::<i64>();
            } else if !going.is_empty() {
                self.take(mailbox_id, scope, &going, &mut cleared).await?;
            }
        }
    }

    async fn page(
        &self,
        mailbox_id: i64,
        after: i64,
        newest: i64,
        scope: Scope,
    ) -> Result<Vec<Listed>, sqlx::Error> {
        let step = if scope == Scope::All { STEP } else { CHECK_STEP };
        let ask = || sqlx::query(PAGE).bind(mailbox_id).bind(after).bind(newest).bind(step);
        let rows = self.store.read(ask).await?;
        rows.iter()
            .map(|row| Ok(Listed { uid: row.try_get("uid")?, size_bytes: row.try_get("size_bytes")? }))
            .collect()
    }

    /// Those that are damaged. One that cannot be read now (its store is away) is not called damaged, and not counted as checked.
    async fn damaged_of(&self, mailbox_id: i64, page: Vec<Listed>, checked: &mut i64) -> Vec<Listed> {
        let uids: Vec<i64> = page.iter().map(|listed| listed.uid).collect();
        let found = self.maildrops.reader(mailbox_id, Form::Stored).check(&uids).await;
        *checked += found.checked;
        page.into_iter().filter(|listed| found.damaged.contains(&listed.uid)).collect()
    }

    async fn take(
        &self,
        mailbox_id: i64,
        scope: Scope,
        going: &[Listed],
        cleared: &mut Cleared,
    ) -> Result<(), sqlx::Error> {
        let uids: Vec<i64> = going.iter().map(|listed| listed.uid).collect();
        let mut tx = self.store.pool().begin().await?;
        let (clearing_id, until_micros) = if cleared.clearing_id == 0 {
            let row = sqlx::query(BEGIN)
                .bind(mailbox_id)
                .bind(scope.code())
                .bind(self.days)
                .fetch_one(&mut *tx)
                .await?;
            (row.try_get("clearing_id")?, Some(row.try_get("until_micros")?))
        } else {
            (cleared.clearing_id, cleared.until_micros)
        };
        let row = sqlx::query(MOVE).bind(mailbox_id).bind(clearing_id).bind(uids).fetch_one(&mut *tx).await?;
        let messages: i64 = row.try_get("messages")?;
        if messages == 0 {
            // The owner deleted them meanwhile: no clearing without messages.
            return tx.rollback().await;
        }
        tx.commit().await?;
        self.store.changed().note([mailbox_id]);
        cleared.messages += messages;
        cleared.bytes += row.try_get::<i64, _>("bytes")?;
        (cleared.clearing_id, cleared.until_micros) = (clearing_id, until_micros);
        Ok(())
    }
}
