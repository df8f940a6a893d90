//! Creates that were answered already, by the id of their request.

use std::time::Duration;

use sqlx::{PgPool, Row as _};

use super::Tx;
use crate::error::{AccountError, Doing as _};

/// How long an answer is kept, hours.
const KEPT_HOURS: i32 = 24;
/// How often old ones are swept away.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// Makes this create the one that is done under its id. Returns the encoded answer when it was done before; waits for
/// one that is being done.
pub(crate) async fn claim(
    tx: &mut Tx,
    kind: &'static str,
    request_id: Option<&str>,
    subject: &str,
) -> Result<Option<Vec<u8>>, AccountError> {
    let Some(request_id) = request_id.map(|id| own(tx, id)) else { return Ok(None) };
    let claimed = sqlx::query(
        "insert into requests (kind, request_id, subject) values ($1, $2, $3) on conflict do nothing",
    )
    .bind(kind)
    .bind(&request_id)
    .bind(subject)
    .execute(&mut **tx)
    .await
    .doing("claim a request id")?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    let row = sqlx::query("select subject, answer from requests where kind = $1 and request_id = $2")
        .bind(kind)
        .bind(&request_id)
        .fetch_one(&mut **tx)
        .await
        .doing("read the answer of a request")?;
    let first: String = row.try_get("subject").doing("read the answer of a request")?;
    if first != subject {
        return Err(AccountError::Invalid(format!("request_id: was used for another {kind} before")));
    }
    row.try_get("answer").doing("read the answer of a request")
}

/// Keeps the encoded answer.
pub(crate) async fn answer(
    tx: &mut Tx,
    kind: &'static str,
    request_id: Option<&str>,
    answer: &[u8],
) -> Result<(), AccountError> {
    let Some(request_id) = request_id.map(|id| own(tx, id)) else { return Ok(()) };
    sqlx::query("update requests set answer = $3 where kind = $1 and request_id = $2")
        .bind(kind)
        .bind(request_id)
        .bind(answer)
        .execute(&mut **tx)
        .await
        .doing("keep the answer of a request")
        .map(drop)
}

/// Each customer has ids of its own: nobody can ask for the answer of another one.
fn own(tx: &Tx, request_id: &str) -> String {
    format!("{}/{request_id}", tx.caller.customer)
}

/// Removes what nobody will ask for any more.
pub(crate) async fn sweep(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let swept = sqlx::query("delete from requests where create_time < now() - make_interval(hours => $1)")
        .bind(KEPT_HOURS)
        .execute(pool)
        .await?;
    Ok(swept.rows_affected())
}
