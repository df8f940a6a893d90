//! Rows of keys: those that the mail of domains is signed with, and those of rewritten senders.
//!
//! States of a signing key: waiting (`begin_time` null) until DNS shows it, in use, ended (`end_time` set) and shown a while
//! longer. A domain has one in use and one waiting at most.

use postern_mail::DomainName;
use postern_proto::{account::v1::SenderKey, google::Timestamp};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, read, timestamp};
use crate::error::{AccountError, Doing as _};

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    /// Mail is signed with it.
    InUse,
    /// DNS does not show it yet, as far as is known.
    Waiting,
    /// Mail that was signed with it is still under way.
    Ended,
}

/// The public half of a key, and how old it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShownKey {
    pub(crate) selector: String,
    /// DER, SubjectPublicKeyInfo.
    pub(crate) public_spki: Vec<u8>,
    pub(crate) stage: Stage,
    /// Days in this stage.
    pub(crate) age_days: f64,
}

/// A key that was just made.
pub(crate) struct NewKey {
    pub(crate) selector: String,
    pub(crate) private_pkcs8: Vec<u8>,
    pub(crate) public_spki: Vec<u8>,
}

/// All keys of a domain: the one in use, the one that waits, those that ended.
pub(crate) async fn of_domain(pool: &PgPool, domain: &DomainName) -> Result<Vec<ShownKey>, AccountError> {
    let found = read!(
        sqlx::query(
            "select selector, public_spki, (case when begin_time is null then 1 when end_time is null then 0 else 2 end) as stage, \
             extract(epoch from now() - coalesce(end_time, begin_time, create_time))::float8 / 86400 as age_days \
             from dkim_keys where domain = $1 order by stage, create_time desc",
        )
        .bind(domain.as_str())
        .try_map(|row: PgRow| {
            Ok(ShownKey {
                selector: row.try_get("selector")?,
                public_spki: row.try_get("public_spki")?,
                stage: match row.try_get::<i32, _>("stage")? {
                    0 => Stage::InUse,
                    1 => Stage::Waiting,
                    _ => Stage::Ended,
                },
                age_days: row.try_get("age_days")?,
            })
        })
        .fetch_all(pool)
    );
    found.doing("read the keys of a domain")
}

/// The private half of the key in use, with its selector.
pub(crate) async fn in_use(
    pool: &PgPool,
    domain: &DomainName,
) -> Result<Option<(String, Vec<u8>)>, AccountError> {
    let found = read!(
        sqlx::query(
            "select selector, private_pkcs8 from dkim_keys \
             where domain = $1 and begin_time is not null and end_time is null",
        )
        .bind(domain.as_str())
        .try_map(|row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?)))
        .fetch_optional(pool)
    );
    found.doing("read a signing key")
}

/// Keeps a new key unless somebody was first: in use at once, or waiting.
pub(crate) async fn keep(
    pool: &PgPool,
    domain: &DomainName,
    key: &NewKey,
    is_in_use: bool,
) -> Result<(), AccountError> {
    sqlx::query(
        "insert into dkim_keys (domain, selector, private_pkcs8, public_spki, begin_time) \
         values ($1, $2, $3, $4, case when $5 then now() end) on conflict do nothing",
    )
    .bind(domain.as_str())
    .bind(&key.selector)
    .bind(&key.private_pkcs8)
    .bind(&key.public_spki)
    .bind(is_in_use)
    .execute(pool)
    .await
    .doing("keep a signing key")
    .map(drop)
}

/// From now on mail is signed with the key that waited. Under the lock of the domain; false when it does not wait any more.
pub(crate) async fn begin(tx: &mut Tx, domain: &str, selector: &str) -> Result<bool, AccountError> {
    const DOING: &str = "change a signing key";
    sqlx::query(
        "update dkim_keys set end_time = now() where domain = $1 and begin_time is not null and end_time is null \
         and exists (select from dkim_keys where domain = $1 and selector = $2 and begin_time is null)",
    )
    .bind(domain)
    .bind(selector)
    .execute(&mut **tx)
    .await
    .doing(DOING)?;
    let begun = sqlx::query(
        "update dkim_keys set begin_time = now() where domain = $1 and selector = $2 and begin_time is null",
    )
    .bind(domain)
    .bind(selector)
    .execute(&mut **tx)
    .await;
    Ok(begun.doing(DOING)?.rows_affected() == 1)
}

/// Forgets a key that ended.
pub(crate) async fn forget(pool: &PgPool, domain: &DomainName, selector: &str) -> Result<(), AccountError> {
    sqlx::query("delete from dkim_keys where domain = $1 and selector = $2 and end_time is not null")
        .bind(domain.as_str())
        .bind(selector)
        .execute(pool)
        .await
        .doing("forget a signing key")
        .map(drop)
}

/// Makes a key of rewritten senders unless there is one that is younger than so many days, and forgets those that are older
/// than so many.
pub(crate) async fn renew_sender_keys(
    pool: &PgPool,
    secret: &[u8],
    renew_days: i32,
    keep_days: i32,
) -> Result<(), AccountError> {
    sqlx::query(
        "with old as (delete from sender_keys where create_time < now() - make_interval(days => $3)) \
         insert into sender_keys (secret) select $1 where not exists \
         (select from sender_keys where create_time > now() - make_interval(days => $2))",
    )
    .bind(secret)
    .bind(renew_days)
    .bind(keep_days)
    .execute(pool)
    .await
    .doing("renew the keys of rewritten senders")
    .map(drop)
}

/// Keys of rewritten senders, newest first.
pub(crate) async fn sender_keys(pool: &PgPool) -> Result<Vec<SenderKey>, AccountError> {
    let found = read!(
        sqlx::query(
            "select secret, (extract(epoch from create_time) * 1000000)::bigint as create_micros \
             from sender_keys order by key_id desc",
        )
        .try_map(|row: PgRow| {
            let create_time: Option<Timestamp> = timestamp(&row, "create_micros")?;
            Ok(SenderKey { secret: row.try_get::<Vec<u8>, _>("secret")?.into(), create_time })
        })
        .fetch_all(pool)
    );
    found.doing("read the keys of rewritten senders")
}
