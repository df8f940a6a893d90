//! Rows of autoresponders.

use postern_mail::{DomainName, EmailAddress};
use postern_proto::{account::v1::Autoresponder, google::Timestamp};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, etag, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

macro_rules! select_autoresponders {
    ($rest:literal) => {
        concat!(
            "select a.autoresponder_id, a.address, a.subject, a.text, a.interval_seconds, a.text_version, a.revision, \
             (extract(epoch from a.start_time) * 1000000)::bigint as start_micros, \
             (extract(epoch from a.end_time) * 1000000)::bigint as end_micros, \
             (extract(epoch from a.create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from a.update_time) * 1000000)::bigint as update_micros ",
            $rest
        )
    };
}

/// What can be set of an autoresponder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AutoresponderSettings {
    pub(crate) subject: String,
    pub(crate) text: String,
    /// Microseconds since 1970.
    pub(crate) start_micros: Option<i64>,
    /// Microseconds since 1970.
    pub(crate) end_micros: Option<i64>,
    pub(crate) interval_seconds: i64,
}

pub(crate) async fn get(pool: &PgPool, address: &EmailAddress) -> Result<Autoresponder, AccountError> {
    let key = address.to_string();
    let found = read!(
        sqlx::query(select_autoresponders!("from autoresponders a where a.address = $1"))
            .bind(&key)
            .try_map(|row| autoresponder(&row))
            .fetch_optional(pool)
    );
    found.doing("read an autoresponder")?.ok_or_else(|| not_found(address))
}

/// Reads what this transaction made of one; `None`: there is none.
pub(crate) async fn find_in(tx: &mut Tx, address: &str) -> Result<Option<Autoresponder>, AccountError> {
    sqlx::query(select_autoresponders!("from autoresponders a where a.address = $1"))
        .bind(address)
        .try_map(|row| autoresponder(&row))
        .fetch_optional(&mut **tx)
        .await
        .doing("read an autoresponder")
}

pub(crate) async fn page(
    pool: &PgPool,
    domain: &DomainName,
    page: &Page,
) -> Result<Vec<Autoresponder>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_autoresponders!(
            "from autoresponders a where a.domain = $1 and a.address >= $2 and a.address < $4 order by a.domain, a.address limit $3"
        ))
        .bind(domain.as_str())
        .bind(&from)
        .bind(page.limit())
        .bind(&until)
        .try_map(|row| autoresponder(&row))
        .fetch_all(pool)
    )
    .doing("list autoresponders")
}

/// All of a domain.
pub(crate) async fn of_domain(tx: &mut Tx, domain: &str) -> Result<Vec<Autoresponder>, AccountError> {
    sqlx::query(select_autoresponders!("from autoresponders a where a.domain = $1 order by a.address"))
        .bind(domain)
        .try_map(|row| autoresponder(&row))
        .fetch_all(&mut **tx)
        .await
        .doing("list autoresponders")
}

/// One whose time is now, with the login of the customer that owns it.
pub(crate) async fn look_up(
    pool: &PgPool,
    autoresponder_id: i64,
) -> Result<Option<(Autoresponder, String)>, AccountError> {
    let found = read!(
        sqlx::query(select_autoresponders!(
            ", c.login as customer from autoresponders a join domains d on d.domain = a.domain \
             join customers c on c.customer_id = d.customer_id where a.autoresponder_id = $1 \
             and coalesce(a.start_time <= now(), true) and coalesce(a.end_time > now(), true)"
        ))
        .bind(autoresponder_id)
        .try_map(|row: PgRow| Ok((autoresponder(&row)?, row.try_get("customer")?)))
        .fetch_optional(pool)
    );
    found.doing("look up an autoresponder")
}

/// Adds one; `text_version`: how its subject and text are known to who has answered with them.
pub(crate) async fn insert(
    tx: &mut Tx,
    address: &EmailAddress,
    settings: &AutoresponderSettings,
    text_version: i64,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "insert into autoresponders (address, domain, subject, text, start_time, end_time, interval_seconds, text_version, \
         revision) values ($1, $2, $3, $4, 'epoch'::timestamptz + $5 * interval '1 microsecond', \
         'epoch'::timestamptz + $6 * interval '1 microsecond', $7, $8, $9)",
    )
    .bind(address.to_string())
    .bind(address.domain().as_str())
    .bind(&settings.subject)
    .bind(&settings.text)
    .bind(settings.start_micros)
    .bind(settings.end_micros)
    .bind(settings.interval_seconds)
    .bind(text_version)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("add an autoresponder")?;
    set_next_turn(tx, address.to_string().as_str()).await
}

pub(crate) async fn update(
    tx: &mut Tx,
    address: &EmailAddress,
    settings: &AutoresponderSettings,
    text_version: i64,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "update autoresponders set subject = $2, text = $3, \
         start_time = 'epoch'::timestamptz + $4 * interval '1 microsecond', \
         end_time = 'epoch'::timestamptz + $5 * interval '1 microsecond', \
         interval_seconds = $6, text_version = $7, revision = $8, update_time = now() where address = $1",
    )
    .bind(address.to_string())
    .bind(&settings.subject)
    .bind(&settings.text)
    .bind(settings.start_micros)
    .bind(settings.end_micros)
    .bind(settings.interval_seconds)
    .bind(text_version)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("change an autoresponder")?;
    set_next_turn(tx, address.to_string().as_str()).await
}

async fn set_next_turn(tx: &mut Tx, address: &str) -> Result<(), AccountError> {
    sqlx::query(
        "update autoresponders set next_turn_time = case when start_time > now() then start_time \
         when end_time > now() then end_time end where address = $1",
    )
    .bind(address)
    .execute(&mut **tx)
    .await
    .doing("note when an autoresponder begins or ends")
    .map(drop)
}

/// False when there was none.
pub(crate) async fn remove(tx: &mut Tx, address: &str) -> Result<bool, AccountError> {
    let removed =
        sqlx::query("delete from autoresponders where address = $1").bind(address).execute(&mut **tx).await;
    Ok(removed.doing("remove an autoresponder")?.rows_affected() == 1)
}

/// Domains of those that began or ended and whose domain was not told yet.
pub(crate) async fn domains_with_turns(pool: &PgPool) -> Result<Vec<String>, AccountError> {
    read!(
        sqlx::query_scalar(
            "select distinct domain from autoresponders where next_turn_time <= now() order by domain"
        )
        .fetch_all(pool)
    )
    .doing("look for autoresponders that begin or end")
}

/// Notes for those of a domain that what began or ended is told with this transaction. True when there were some.
pub(crate) async fn take_turns(tx: &mut Tx, domain: &str) -> Result<bool, AccountError> {
    let turned = sqlx::query(
        "update autoresponders set next_turn_time = case when start_time > now() then start_time \
         when end_time > now() then end_time end where domain = $1 and next_turn_time <= now()",
    )
    .bind(domain)
    .execute(&mut **tx)
    .await;
    Ok(turned.doing("note that autoresponders began or ended")?.rows_affected() > 0)
}

fn autoresponder(row: &PgRow) -> Result<Autoresponder, sqlx::Error> {
    Ok(Autoresponder {
        address: row.try_get("address")?,
        subject: row.try_get("subject")?,
        text: row.try_get("text")?,
        start_time: moment(row, "start_micros")?,
        end_time: moment(row, "end_micros")?,
        interval_seconds: row.try_get("interval_seconds")?,
        text_version: row.try_get("text_version")?,
        create_time: timestamp(row, "create_micros")?,
        update_time: timestamp(row, "update_micros")?,
        etag: etag(row.try_get("revision")?),
    })
}

/// The same as `timestamp`, of a moment that may be absent.
fn moment(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    match row.try_get::<Option<i64>, _>(column)? {
        None => Ok(None),
        Some(_) => timestamp(row, column),
    }
}

pub(crate) fn not_found(address: &EmailAddress) -> AccountError {
    AccountError::NotFound(format!("there is no autoresponder at {address}"))
}
