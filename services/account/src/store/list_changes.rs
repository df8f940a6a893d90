//! Rows of changes that somebody asked a mailing list for by mail: tokens, hashed, each for one use.

use postern_proto::account::v1::ListChange;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small};
use crate::error::{AccountError, Doing as _};

/// How long a token can be used, days.
pub(crate) const TOKEN_DAYS: i32 = 3;

/// A change that waits for its token.
pub(crate) struct WaitingChange {
    pub(crate) list_id: i64,
    /// In the spelling it was asked with.
    pub(crate) address: String,
    /// `postern.account.v1.ListChange`
    pub(crate) change: i32,
}

/// Changes that were asked for in the name of this canonical address within a day. Others who ask for it wait meanwhile.
pub(crate) async fn count_of_day(tx: &mut Tx, member: &str) -> Result<i64, AccountError> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('postern account list change ' || $1, 0))")
        .bind(member)
        .execute(&mut **tx)
        .await
        .doing("count the changes that were asked for")?;
    sqlx::query_scalar(
        "select count(*) from list_changes where member = $1 and create_time > now() - interval '1 day'",
    )
    .bind(member)
    .fetch_one(&mut **tx)
    .await
    .doing("count the changes that were asked for")
}

pub(crate) async fn insert(
    tx: &mut Tx,
    token_sha256: &[u8],
    member: &str,
    waiting: &WaitingChange,
) -> Result<(), AccountError> {
    sqlx::query(
        "insert into list_changes (token_sha256, list_id, member, address, change) values ($1, $2, $3, $4, $5)",
    )
    .bind(token_sha256)
    .bind(waiting.list_id)
    .bind(member)
    .bind(&waiting.address)
    .bind(small(waiting.change))
    .execute(&mut **tx)
    .await
    .doing("keep a change that was asked for")
    .map(drop)
}

/// What a token stands for; `None`: unknown, used or too old.
pub(crate) async fn find(tx: &mut Tx, token_sha256: &[u8]) -> Result<Option<WaitingChange>, AccountError> {
    sqlx::query(
        "select list_id, address, change from list_changes where token_sha256 = $1 and used_time is null \
         and create_time > now() - make_interval(days => $2)",
    )
    .bind(token_sha256)
    .bind(TOKEN_DAYS)
    .try_map(|row: PgRow| {
        Ok(WaitingChange {
            list_id: row.try_get("list_id")?,
            address: row.try_get("address")?,
            change: row.try_get::<i16, _>("change")?.into(),
        })
    })
    .fetch_optional(&mut **tx)
    .await
    .doing("look for a change that was asked for")
}

/// Uses a token up. False when another call was faster.
pub(crate) async fn use_up(tx: &mut Tx, token_sha256: &[u8]) -> Result<bool, AccountError> {
    let used = sqlx::query(
        "update list_changes set used_time = now() where token_sha256 = $1 and used_time is null",
    )
    .bind(token_sha256)
    .execute(&mut **tx)
    .await;
    Ok(used.doing("use a token up")?.rows_affected() == 1)
}

/// Forgets tokens that are too old, used or not.
pub(crate) async fn sweep(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let swept = sqlx::query("delete from list_changes where create_time < now() - make_interval(days => $1)")
        .bind(TOKEN_DAYS)
        .execute(pool)
        .await?;
    Ok(swept.rows_affected())
}

/// What a stored number of a change means.
pub(crate) fn change(number: i32) -> Result<ListChange, AccountError> {
    match ListChange::try_from(number) {
        Ok(change) if change != ListChange::Unspecified => Ok(change),
        _ => Err(AccountError::Stored("an unknown change of a mailing list is stored")),
    }
}
