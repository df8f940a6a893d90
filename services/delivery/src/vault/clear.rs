//! Clearing a box: messages go to the vault with their uids. A session that has the box open meanwhile hears that such a
//! message is gone, and its QUIT deletes nothing else (P-72). How far a clearing is stands in its row with each step.

use sqlx::Row as _;

use super::{DONE, RUNNING, STEP, STOPPED, Vault, VaultError};
use crate::maildrop::Form;

/// Messages that are checked together.
const CHECK_STEP: i64 = 500;

const PAGE: &str = "
SELECT uid, size_bytes FROM entries WHERE mailbox_id = $1 AND uid > $2 AND uid <= $3 ORDER BY uid LIMIT $4";

const BEGIN: &str = "
INSERT INTO clearings (mailbox_id, scope, state, total_count)
SELECT $1, $2, $4, count(*) FROM entries WHERE mailbox_id = $1 AND uid <= $5
RETURNING clearing_id, (extract(epoch FROM clear_time + make_interval(days => $3)) * 1000000)::bigint AS until_micros";

const NOTE: &str = "
UPDATE clearings SET state = $2, checked_count = $3, cleared_count = $4, update_time = now() WHERE clearing_id = $1";

/// One that took nothing.
const FORGET: &str = "
DELETE FROM clearings c WHERE c.clearing_id = $1
    AND NOT EXISTS (SELECT FROM vault WHERE mailbox_id = c.mailbox_id AND clearing_id = c.clearing_id)";

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

/// A clearing that is written down and runs next.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    mailbox_id: i64,
    scope: Scope,
    /// The newest message that it takes.
    newest: i64,
    /// Names it.
    pub clearing_id: i64,
    /// Until when it can be brought back, microseconds of the Unix epoch.
    pub until_micros: i64,
}

/// A message of the listing.
struct Listed {
    uid: i64,
    size_bytes: i64,
}

impl Vault {
    /// Says what a clearing would take.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn would_clear(&self, mailbox_id: i64, scope: Scope) -> Result<Cleared, VaultError> {
        let newest = self.newest(mailbox_id).await?;
        let (mut cleared, mut after) = (Cleared::default(), 0);
        while let Some(going) = self.next(mailbox_id, scope, &mut after, newest, &mut cleared.checked).await?
        {
            cleared.messages += going.len() as i64;
            cleared.bytes += going.iter().map(|listed| listed.size_bytes).sum::<i64>();
        }
        Ok(cleared)
    }

    /// Writes down that a clearing begins: of what the box holds now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin_clearing(&self, mailbox_id: i64, scope: Scope) -> Result<Begun, VaultError> {
        let newest = self.newest(mailbox_id).await?;
        let row = sqlx::query(BEGIN)
            .bind(mailbox_id)
            .bind(scope.code())
            .bind(self.days)
            .bind(RUNNING)
            .bind(newest)
            .fetch_one(self.store.pool())
            .await?;
        let (clearing_id, until_micros) = (row.try_get("clearing_id")?, row.try_get("until_micros")?);
        Ok(Begun { mailbox_id, scope, newest, clearing_id, until_micros })
    }

    /// Moves messages of a box to the vault, a step at a time, and writes down how far it is. What a crash interrupts has
    /// stopped, and is begun again by another one. `is_watched`: it stays written down when nothing went.
    ///
    /// # Errors
    /// When the database is away: what went before that stays in the vault.
    pub async fn run_clearing(&self, begun: Begun, is_watched: bool) -> Result<Cleared, VaultError> {
        let mut cleared = Cleared::default();
        let ran = self.take_all(begun, &mut cleared).await;
        let state = if ran.is_ok() { DONE } else { STOPPED };
        let ended = if cleared.messages > 0 || is_watched {
            note(self.store.pool(), begun, state, &cleared).await.map(drop)
        } else {
            sqlx::query(FORGET).bind(begun.clearing_id).execute(self.store.pool()).await.map(drop)
        };
        if let Err(error) = ended {
            tracing::warn!(%error, clearing = begun.clearing_id, "that a clearing ended cannot be written down now");
        }
        if cleared.messages > 0 || is_watched {
            (cleared.clearing_id, cleared.until_micros) = (begun.clearing_id, Some(begun.until_micros));
        }
        ran.map(|()| cleared).map_err(VaultError::from)
    }

    async fn take_all(&self, begun: Begun, cleared: &mut Cleared) -> Result<(), sqlx::Error> {
        let Begun { mailbox_id, scope, newest, .. } = begun;
        let mut after = 0;
        while let Some(going) = self.next(mailbox_id, scope, &mut after, newest, &mut cleared.checked).await?
        {
            let goes_on = if going.is_empty() {
                note(self.store.pool(), begun, RUNNING, cleared).await?
            } else {
                self.take(begun, &going, cleared).await?
            };
            if !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn newest(&self, mailbox_id: i64) -> Result<i64, sqlx::Error> {
        let newest: Option<i64> = sqlx::query_scalar("SELECT max(uid) FROM entries WHERE mailbox_id = $1")
            .bind(mailbox_id)
            .fetch_one(self.store.pool())
            .await?;
        Ok(newest.unwrap_or(0))
    }

    /// What goes of the next page; `None`: that was all.
    async fn next(
        &self,
        mailbox_id: i64,
        scope: Scope,
        after: &mut i64,
        newest: i64,
        checked: &mut i64,
    ) -> Result<Option<Vec<Listed>>, sqlx::Error> {
        let page = self.page(mailbox_id, *after, newest, scope).await?;
        let Some(last) = page.last() else { return Ok(None) };
        *after = last.uid;
        Ok(Some(match scope {
            Scope::All => {
                *checked += page.len() as i64;
                page
            }
            Scope::Damaged => self.damaged_of(mailbox_id, page, checked).await,
        }))
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

    /// False: the clearing is not there any more.
    async fn take(&self, begun: Begun, going: &[Listed], cleared: &mut Cleared) -> Result<bool, sqlx::Error> {
        let uids: Vec<i64> = going.iter().map(|listed| listed.uid).collect();
        let mut tx = self.store.pool().begin().await?;
        let (mailbox_id, clearing_id) = (begun.mailbox_id, begun.clearing_id);
        let row = sqlx::query(MOVE).bind(mailbox_id).bind(clearing_id).bind(uids).fetch_one(&mut *tx).await?;
        // Fewer than were listed: the owner deleted some meanwhile.
        let taken = Cleared {
            messages: cleared.messages + row.try_get::<i64, _>("messages")?,
            bytes: cleared.bytes + row.try_get::<i64, _>("bytes")?,
            ..*cleared
        };
        if !note(&mut *tx, begun, RUNNING, &taken).await? {
            tx.rollback().await?;
            return Ok(false);
        }
        tx.commit().await?;
        self.store.changed().note([mailbox_id]);
        *cleared = taken;
        Ok(true)
    }
}

/// False: the clearing is not there any more.
async fn note(
    executor: impl sqlx::PgExecutor<'_>,
    begun: Begun,
    state: i16,
    cleared: &Cleared,
) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query(NOTE)
        .bind(begun.clearing_id)
        .bind(state)
        .bind(cleared.checked)
        .bind(cleared.messages)
        .execute(executor)
        .await?;
    Ok(noted.rows_affected() > 0)
}
