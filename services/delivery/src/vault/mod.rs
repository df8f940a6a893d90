//! The vault: what was cleared from boxes, kept apart until its days are over. A removed mailbox needs no vault of its own: its
//! box simply stays until account says that its days are over.
//!
//! The walk: `grpc/box` -> here -> `clear` and `restore` (Postgres, a step at a time, so that no box is too large);
//! the sweep's neighbour -> `destroy`. A step locks the row of the box first, as everything that changes a box does.

mod clear;
pub mod destroy;
mod merge;
mod restore;

use postern_mail::Reason;
use sqlx::{Row as _, postgres::PgRow};
use thiserror::Error;

use crate::{content::Blobs, maildrop::Maildrops, store::Store};

pub use clear::{Begun, Cleared, Scope};

/// Messages that one statement moves.
const STEP: i64 = 2000;
/// Clearings of one listing (the contract of ListClearings).
const LIST_MAX: i64 = 1000;

/// postern.delivery.v1.ClearingState
const RUNNING: i16 = 1;
const DONE: i16 = 2;
const STOPPED: i16 = 3;
/// Which has not been heard of for so long has stopped without a word: its replica went down.
const SILENT_SECONDS: f64 = 180.0;

/// Only what holds messages, or what holds none too ($4), and whose days are not over. $2: days.
const LIST: &str = "
SELECT c.clearing_id, c.scope, v.messages, v.bytes, c.total_count, c.checked_count, c.cleared_count,
    CASE WHEN c.state = $5 AND c.update_time < now() - make_interval(secs => $6) THEN $7 ELSE c.state END AS state,
    (extract(epoch FROM c.clear_time) * 1000000)::bigint AS clear_micros,
    (extract(epoch FROM c.clear_time + make_interval(days => $2)) * 1000000)::bigint AS until_micros
FROM clearings c CROSS JOIN LATERAL (
    SELECT count(*) AS messages, coalesce(sum(size_bytes), 0)::bigint AS bytes
    FROM vault WHERE mailbox_id = c.mailbox_id AND clearing_id = c.clearing_id
) AS v
WHERE c.mailbox_id = $1 AND c.clear_time > now() - make_interval(days => $2) AND ($4 OR v.messages > 0)
ORDER BY c.clearing_id DESC LIMIT $3";

/// Why the vault did not do it.
#[derive(Debug, Error)]
pub enum VaultError {
    /// The vault has no such clearing of this box (any more).
    #[error("the vault holds no clearing {0} of this box")]
    NoSuchClearing(i64),
    /// It ended before it was through.
    #[error("it ended early")]
    Stopped,
    /// The database is away.
    #[error("the database is away")]
    Database(#[from] sqlx::Error),
}

impl VaultError {
    /// The row of the failure table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoSuchClearing(_) => Reason::NotFound,
            Self::Stopped | Self::Database(_) => Reason::Unavailable,
        }
    }
}

/// Something that was cleared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clearing {
    /// Names it.
    pub id: i64,
    /// What it took.
    pub scope: Scope,
    /// Messages of it that the vault holds.
    pub messages: i64,
    /// Octets of them.
    pub bytes: i64,
    /// When, microseconds of the Unix epoch.
    pub clear_micros: i64,
    /// Until when it can be brought back, microseconds of the Unix epoch.
    pub until_micros: i64,
    /// postern.delivery.v1.ClearingState
    pub state: i16,
    /// Messages of the box when it began, those it has looked at, and those that went.
    pub counts: (i64, i64, i64),
}

/// The vault. Clones are the same one.
#[derive(Clone)]
pub struct Vault {
    store: Store,
    blobs: Blobs,
    maildrops: Maildrops,
    /// How long it keeps things.
    days: i32,
}

impl Vault {
    /// Over these stores; things are kept for so many days.
    #[must_use]
    pub fn new(store: Store, blobs: Blobs, maildrops: Maildrops, days: u16) -> Self {
        Self { store, blobs, maildrops, days: i32::from(days) }
    }

    /// What was cleared from a box and can be brought back, newest first. `with_empty`: also what holds nothing, or nothing yet.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn clearings(&self, mailbox_id: i64, with_empty: bool) -> Result<Vec<Clearing>, VaultError> {
        let ask = || {
            sqlx::query(LIST)
                .bind(mailbox_id)
                .bind(self.days)
                .bind(LIST_MAX)
                .bind(with_empty)
                .bind(RUNNING)
                .bind(SILENT_SECONDS)
                .bind(STOPPED)
        };
        let rows = self.store.read(ask).await?;
        Ok(rows.iter().map(clearing).collect::<Result<_, _>>()?)
    }
}

fn clearing(row: &PgRow) -> Result<Clearing, sqlx::Error> {
    let scope: i16 = row.try_get("scope")?;
    Ok(Clearing {
        id: row.try_get("clearing_id")?,
        scope: if scope == Scope::All.code() { Scope::All } else { Scope::Damaged },
        messages: row.try_get("messages")?,
        bytes: row.try_get("bytes")?,
        clear_micros: row.try_get("clear_micros")?,
        until_micros: row.try_get("until_micros")?,
        state: row.try_get("state")?,
        counts: (row.try_get("total_count")?, row.try_get("checked_count")?, row.try_get("cleared_count")?),
    })
}
