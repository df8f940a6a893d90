//! Rows of limits, and counts of what customers have.

use postern_proto::account::v1::{Limits, LimitsUsage};
use sqlx::{Row as _, postgres::PgRow};

use super::{Tx, etag, storage};
use crate::{
    error::{AccountError, Doing as _},
    limits::Kind,
};

/// What is set for a customer; nothing when no limits are set.
pub(crate) async fn set_for(tx: &mut Tx, customer: &str) -> Result<Limits, AccountError> {
    let found = sqlx::query(
        "select l.domains, l.mailboxes, l.forwards, l.lists, l.list_members, l.autoresponders, l.storage_bytes, \
         l.mailbox_storage_bytes, l.messages_per_hour from limits l join customers c using (customer_id) \
         where c.login = $1",
    )
    .bind(customer)
    .try_map(|row| read_limits(&row));
    Ok(found.fetch_optional(&mut **tx).await.doing("read limits")?.unwrap_or_default())
}

pub(crate) async fn etag_of(tx: &mut Tx, customer: &str) -> Result<String, AccountError> {
    let revision: Option<i64> = sqlx::query_scalar(
        "select l.revision from limits l join customers c using (customer_id) where c.login = $1",
    )
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
    .doing("read limits")?;
    Ok(etag(revision.unwrap_or(0)))
}

/// Sets all of them.
pub(crate) async fn set(tx: &mut Tx, customer_id: i64, limits: &Limits) -> Result<(), AccountError> {
    sqlx::query(
        "insert into limits (customer_id, domains, mailboxes, forwards, lists, list_members, autoresponders, storage_bytes, \
         mailbox_storage_bytes, messages_per_hour, revision) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, nextval('change_number')) \
         on conflict (customer_id) do update set domains = excluded.domains, mailboxes = excluded.mailboxes, \
         forwards = excluded.forwards, lists = excluded.lists, list_members = excluded.list_members, \
         autoresponders = excluded.autoresponders, storage_bytes = excluded.storage_bytes, \
         mailbox_storage_bytes = excluded.mailbox_storage_bytes, messages_per_hour = excluded.messages_per_hour, \
         revision = excluded.revision",
    )
    .bind(customer_id)
    .bind(limits.domains)
    .bind(limits.mailboxes)
    .bind(limits.forwards)
    .bind(limits.lists)
    .bind(limits.list_members)
    .bind(limits.autoresponders)
    .bind(limits.storage_bytes)
    .bind(limits.mailbox_storage_bytes)
    .bind(limits.messages_per_hour)
    .execute(&mut **tx)
    .await
    .doing("set limits")
    .map(drop)
}

/// Whoever counts what a customer has waits here for the one before. Keys of the row stay readable for what refers to it.
pub(crate) async fn lock_customer(tx: &mut Tx, customer: &str) -> Result<(), AccountError> {
    sqlx::query("select 1 from customers where login = $1 and removed_time is null for no key update")
        .bind(customer)
        .execute(&mut **tx)
        .await
        .doing("lock a customer")
        .map(drop)
}

macro_rules! count_of {
    ($from:literal) => {
        concat!("select count(*) from customers c join ", $from, " where c.login = $1")
    };
}

/// How many of a kind a customer has.
pub(crate) async fn count(tx: &mut Tx, customer: &str, kind: Kind) -> Result<i64, AccountError> {
    let statement = match kind {
        Kind::Domains => count_of!("domains d using (customer_id)"),
        Kind::Mailboxes => count_of!(
            "domains d using (customer_id) join mailboxes m on m.domain = d.domain and m.removed_time is null \
             and not m.default_box"
        ),
        Kind::Forwards => {
            count_of!("domains d using (customer_id) join forwards f on f.domain = d.domain")
        }
        Kind::Lists => count_of!(
            "domains d using (customer_id) join lists l on l.domain = d.domain and l.removed_time is null"
        ),
        Kind::ListMembers => count_of!(
            "domains d using (customer_id) join lists l on l.domain = d.domain and l.removed_time is null \
             join list_members lm on lm.list_id = l.list_id"
        ),
        Kind::Autoresponders => {
            count_of!("domains d using (customer_id) join autoresponders a on a.domain = d.domain")
        }
    };
    sqlx::query_scalar(statement).bind(customer).fetch_one(&mut **tx).await.doing("count what a customer has")
}

/// All counts.
pub(crate) async fn usage(tx: &mut Tx, customer: &str) -> Result<LimitsUsage, AccountError> {
    Ok(LimitsUsage {
        domains: count(tx, customer, Kind::Domains).await?,
        mailboxes: count(tx, customer, Kind::Mailboxes).await?,
        forwards: count(tx, customer, Kind::Forwards).await?,
        lists: count(tx, customer, Kind::Lists).await?,
        list_members: count(tx, customer, Kind::ListMembers).await?,
        autoresponders: count(tx, customer, Kind::Autoresponders).await?,
        storage_bytes: storage::used_by(tx, customer).await?,
    })
}

fn read_limits(row: &PgRow) -> Result<Limits, sqlx::Error> {
    Ok(Limits {
        domains: row.try_get("domains")?,
        mailboxes: row.try_get("mailboxes")?,
        forwards: row.try_get("forwards")?,
        lists: row.try_get("lists")?,
        list_members: row.try_get("list_members")?,
        autoresponders: row.try_get("autoresponders")?,
        storage_bytes: row.try_get("storage_bytes")?,
        mailbox_storage_bytes: row.try_get("mailbox_storage_bytes")?,
        messages_per_hour: row.try_get("messages_per_hour")?,
    })
}
