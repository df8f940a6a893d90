//! How the copies of members fare: bounces counted in a row, probes, suspension. Columns of `list_members`.
//!
//! `bounce_count` grows with each bounce. The first copy that a host takes after it sets `delivered_time`; a bounce soon after
//! that is of this copy, one that comes later shows that it stayed there, and counts from one again.

use sqlx::Row as _;

use super::Tx;
use crate::error::{AccountError, Doing as _};

/// A copy that did not bounce for so long arrived, days.
pub(crate) const FORGIVE_DAYS: i32 = 3;
/// A member gets one probe in so many days; a probe that comes back later counts no more.
const PROBE_DAYS: i32 = 7;
/// A digest that is shorter names nobody, characters.
const DIGEST_MIN_CHARS: usize = 6;

/// Notes copies that were taken, for those members that have something to be forgiven.
pub(crate) async fn note_delivered(
    tx: &mut Tx,
    list_id: i64,
    members: &[String],
) -> Result<(), AccountError> {
    sqlx::query(
        "update list_members set delivered_time = now() \
         where list_id = $1 and member = any($2) and bounce_count > 0 and delivered_time is null",
    )
    .bind(list_id)
    .bind(members)
    .execute(&mut **tx)
    .await
    .doing("note delivered copies")
    .map(drop)
}

/// Counts a bounce of each, and returns those that have reached `limit` and were not probed lately.
pub(crate) async fn count(
    tx: &mut Tx,
    list_id: i64,
    members: &[String],
    limit: i32,
) -> Result<Vec<String>, AccountError> {
    sqlx::query(
        "update list_members set bounce_time = now(), delivered_time = null, bounce_count = \
         case when delivered_time < now() - make_interval(days => $3) then 1 else bounce_count + 1 end \
         where list_id = $1 and member = any($2) and suspend_time is null returning member, \
         bounce_count >= $4 and coalesce(probe_time < now() - make_interval(days => $5), true) as is_to_probe",
    )
    .bind(list_id)
    .bind(members)
    .bind(FORGIVE_DAYS)
    .bind(limit)
    .bind(PROBE_DAYS)
    .try_map(|row: sqlx::postgres::PgRow| {
        let member: String = row.try_get("member")?;
        Ok(row.try_get::<bool, _>("is_to_probe")?.then_some(member))
    })
    .fetch_all(&mut **tx)
    .await
    .doing("count bounces of a mailing list")
    .map(|rows| rows.into_iter().flatten().collect())
}

/// The member whose canonical address has a SHA-256 that begins so; `None`: nobody, or not one alone.
pub(crate) async fn by_digest(
    tx: &mut Tx,
    list_id: i64,
    digits: &str,
) -> Result<Option<String>, AccountError> {
    if digits.len() < DIGEST_MIN_CHARS || !digits.bytes().all(|c| c.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let found: Vec<String> = sqlx::query_scalar(
        "select member from list_members where list_id = $1 \
         and starts_with(encode(sha256(convert_to(member, 'UTF8')), 'hex'), $2) limit 2",
    )
    .bind(list_id)
    .bind(digits)
    .fetch_all(&mut **tx)
    .await
    .doing("look for a member of a mailing list")?;
    Ok(<[String; 1]>::try_from(found).ok().map(|[member]| member))
}

/// A probe is about to be sent.
pub(crate) async fn note_probe(
    tx: &mut Tx,
    list_id: i64,
    member: &str,
    token_sha256: &[u8],
) -> Result<(), AccountError> {
    sqlx::query(
        "update list_members set probe_token_sha256 = $3, probe_time = now() where list_id = $1 and member = $2",
    )
    .bind(list_id)
    .bind(member)
    .bind(token_sha256)
    .execute(&mut **tx)
    .await
    .doing("note a probe")
    .map(drop)
}

/// Suspends those whose probes came back, and returns them in the spelling they were added with.
pub(crate) async fn suspend(
    tx: &mut Tx,
    list_id: i64,
    tokens_sha256: &[Vec<u8>],
) -> Result<Vec<String>, AccountError> {
    sqlx::query_scalar(
        "update list_members set suspend_time = now(), probe_token_sha256 = null \
         where list_id = $1 and probe_token_sha256 = any($2) and suspend_time is null \
         and probe_time > now() - make_interval(days => $3) returning address",
    )
    .bind(list_id)
    .bind(tokens_sha256)
    .bind(PROBE_DAYS)
    .fetch_all(&mut **tx)
    .await
    .doing("suspend members of a mailing list")
}

/// Forgets all bounces of these members, suspended ones get posts again; returns how many that were.
pub(crate) async fn forgive(tx: &mut Tx, list_id: i64, members: &[String]) -> Result<u64, AccountError> {
    let forgiven = sqlx::query(
        "update list_members set bounce_count = 0, bounce_time = null, delivered_time = null, \
         probe_token_sha256 = null, probe_time = null, suspend_time = null \
         where list_id = $1 and member = any($2) and bounce_count > 0",
    )
    .bind(list_id)
    .bind(members)
    .execute(&mut **tx)
    .await;
    Ok(forgiven.doing("forgive bounces of a mailing list")?.rows_affected())
}
