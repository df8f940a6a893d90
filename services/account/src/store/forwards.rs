//! Rows of forwards.

use postern_mail::{DomainName, EmailAddress};
use postern_proto::account::v1::Forward;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, etag, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

macro_rules! select_forwards {
    ($rest:literal) => {
        concat!(
            "select address, targets, keep_copy, revision, \
             (extract(epoch from create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from update_time) * 1000000)::bigint as update_micros from forwards where ",
            $rest
        )
    };
}

pub(crate) async fn get(pool: &PgPool, address: &EmailAddress) -> Result<Forward, AccountError> {
    let key = address.to_string();
    let found = read!(
        sqlx::query(select_forwards!("address = $1"))
            .bind(&key)
            .try_map(|row| forward(&row))
            .fetch_optional(pool)
    );
    found.doing("read a forward")?.ok_or_else(|| not_found(address))
}

/// Reads what this transaction made of a forward; `None`: there is none.
pub(crate) async fn find_in(tx: &mut Tx, address: &EmailAddress) -> Result<Option<Forward>, AccountError> {
    let found =
        sqlx::query(select_forwards!("address = $1")).bind(address.to_string()).try_map(|row| forward(&row));
    found.fetch_optional(&mut **tx).await.doing("read a forward")
}

pub(crate) async fn list(
    pool: &PgPool,
    domain: &DomainName,
    page: &Page,
) -> Result<Vec<Forward>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_forwards!(
            "domain = $1 and address >= $2 and address < $4 order by domain, address limit $3"
        ))
        .bind(domain.as_str())
        .bind(&from)
        .bind(page.limit())
        .bind(&until)
        .try_map(|row| forward(&row))
        .fetch_all(pool)
    )
    .doing("list forwards")
}

pub(crate) async fn insert(
    tx: &mut Tx,
    address: &EmailAddress,
    targets: &[EmailAddress],
    keep_copy: bool,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "insert into forwards (address, domain, targets, target_keys, keep_copy, revision) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(address.to_string())
    .bind(address.domain().as_str())
    .bind(shown(targets))
    .bind(keys(targets))
    .bind(keep_copy)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("add a forward")
    .map(drop)
}

/// `targets` absent: they stay.
pub(crate) async fn update(
    tx: &mut Tx,
    address: &EmailAddress,
    targets: Option<&[EmailAddress]>,
    keep_copy: bool,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "update forwards set targets = coalesce($2, targets), target_keys = coalesce($3, target_keys), keep_copy = $4, \
         revision = $5, update_time = now() where address = $1",
    )
    .bind(address.to_string())
    .bind(targets.map(shown))
    .bind(targets.map(keys))
    .bind(keep_copy)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("change a forward")
    .map(drop)
}

fn shown(targets: &[EmailAddress]) -> Vec<String> {
    targets.iter().map(EmailAddress::to_string).collect()
}

fn keys(targets: &[EmailAddress]) -> Vec<String> {
    targets.iter().map(|target| target.canonical().to_string()).collect()
}

/// All of a domain.
pub(crate) async fn of_domain(tx: &mut Tx, domain: &str) -> Result<Vec<Forward>, AccountError> {
    sqlx::query(select_forwards!("domain = $1 order by address"))
        .bind(domain)
        .try_map(|row| forward(&row))
        .fetch_all(&mut **tx)
        .await
        .doing("list forwards")
}

/// False when there was none.
pub(crate) async fn remove(tx: &mut Tx, address: &str) -> Result<bool, AccountError> {
    let removed =
        sqlx::query("delete from forwards where address = $1").bind(address).execute(&mut **tx).await;
    Ok(removed.doing("remove a forward")?.rows_affected() == 1)
}

fn forward(row: &PgRow) -> Result<Forward, sqlx::Error> {
    Ok(Forward {
        address: row.try_get("address")?,
        targets: row.try_get("targets")?,
        keep_copy: row.try_get("keep_copy")?,
        create_time: timestamp(row, "create_micros")?,
        update_time: timestamp(row, "update_micros")?,
        etag: etag(row.try_get("revision")?),
    })
}

pub(crate) fn not_found(address: &EmailAddress) -> AccountError {
    AccountError::NotFound(format!("there is no forward {address}"))
}
