//! Rows of API tokens.

use postern_proto::account::v1::ApiToken;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, number, read, timestamp};
use crate::{
    api_tokens::NewToken,
    error::{AccountError, Doing as _},
    paging::Page,
};

/// A use is written down at most so often, minutes.
const USE_NOTED_EVERY: i32 = 5;

macro_rules! select_tokens {
    ($rest:literal) => {
        concat!(
            "select t.token_id, t.role, coalesce(c.login, '') as customer, t.display_name, t.scopes, t.secret_sha256, \
             (extract(epoch from t.create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from t.expire_time) * 1000000)::bigint as expire_micros, \
             (extract(epoch from t.last_use_time) * 1000000)::bigint as use_micros, t.last_use_time is null as unused \
             from api_tokens t left join customers c using (customer_id) where ",
            $rest
        )
    };
}

pub(crate) async fn insert(
    tx: &mut Tx,
    new: &NewToken,
    customer_id: Option<i64>,
    secret_sha256: &[u8],
) -> Result<ApiToken, AccountError> {
    let token_id: i64 = sqlx::query_scalar(
        "insert into api_tokens (role, customer_id, display_name, scopes, secret_sha256, expire_time) \
         values ($1, $2, $3, $4, $5, to_timestamp($6)) returning token_id",
    )
    .bind(small(new.role.into()))
    .bind(customer_id)
    .bind(&new.display_name)
    .bind(&new.scopes)
    .bind(secret_sha256)
    .bind(new.expires.as_second() as f64)
    .fetch_one(&mut **tx)
    .await
    .doing("add an API token")?;
    let made = sqlx::query(select_tokens!("t.token_id = $1")).bind(token_id).try_map(|row| token(&row));
    made.fetch_one(&mut **tx).await.doing("read an API token")
}

/// Newest first; `customer` `None`: all.
pub(crate) async fn list(
    pool: &PgPool,
    customer: Option<&str>,
    page: &Page,
) -> Result<Vec<ApiToken>, AccountError> {
    let below = page.below()?;
    read!(
        sqlx::query(select_tokens!(
            "($1::text is null or c.login = $1) and t.token_id < $2 order by t.token_id desc limit $3"
        ))
        .bind(customer)
        .bind(below)
        .bind(page.limit())
        .try_map(|row| token(&row))
        .fetch_all(pool)
    )
    .doing("list API tokens")
}

/// A token that has not ended and whose customer may act, with the hash of its secret.
pub(crate) async fn live(pool: &PgPool, token_id: i64) -> Result<Option<(ApiToken, Vec<u8>)>, AccountError> {
    read!(
        sqlx::query(select_tokens!(
            "t.token_id = $1 and t.expire_time > now() \
             and (t.customer_id is null or (c.state = 1 and c.removed_time is null))"
        ))
        .bind(token_id)
        .try_map(|row: PgRow| Ok((token(&row)?, row.try_get("secret_sha256")?)))
        .fetch_optional(pool)
    )
    .doing("look up an API token")
}

pub(crate) async fn note_use(pool: &PgPool, token_id: i64) -> Result<(), AccountError> {
    sqlx::query(
        "update api_tokens set last_use_time = now() where token_id = $1 \
         and (last_use_time is null or last_use_time < now() - make_interval(mins => $2))",
    )
    .bind(token_id)
    .bind(USE_NOTED_EVERY)
    .execute(pool)
    .await
    .doing("note the use of an API token")
    .map(drop)
}

/// What was removed; `None`: there is no such token, or it is not this owner's.
pub(crate) async fn remove(
    tx: &mut Tx,
    token_id: i64,
    owner: Option<&str>,
) -> Result<Option<ApiToken>, AccountError> {
    let found =
        sqlx::query(select_tokens!("t.token_id = $1 and ($2::text is null or c.login = $2) for update of t"))
            .bind(token_id)
            .bind(owner)
            .try_map(|row| token(&row))
            .fetch_optional(&mut **tx)
            .await
            .doing("read an API token")?;
    if found.is_some() {
        sqlx::query("delete from api_tokens where token_id = $1")
            .bind(token_id)
            .execute(&mut **tx)
            .await
            .doing("remove an API token")?;
    }
    Ok(found)
}

fn token(row: &PgRow) -> Result<ApiToken, sqlx::Error> {
    let unused: bool = row.try_get("unused")?;
    Ok(ApiToken {
        token_id: row.try_get("token_id")?,
        role: number(row, "role")?,
        customer: row.try_get("customer")?,
        display_name: row.try_get("display_name")?,
        scopes: row.try_get("scopes")?,
        create_time: timestamp(row, "create_micros")?,
        expire_time: timestamp(row, "expire_micros")?,
        last_use_time: if unused { None } else { timestamp(row, "use_micros")? },
    })
}
