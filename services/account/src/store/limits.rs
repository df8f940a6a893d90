//! Rows of limits, and counts of what customers have.

use postern_proto::account::v1::{Limits, LimitsUsage};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, etag, read};
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

/// How many of a kind a customer has; `$whose` is its id.
macro_rules! count_of {
    (domains, $whose:literal) => {
        concat!("select count(*) from domains d where d.customer_id = ", $whose)
    };
    (mailboxes, $whose:literal) => {
        concat!(
            "select count(*) from mailboxes m where m.removed_time is null and not m.default_box and m.customer_id = ",
            $whose
        )
    };
    (forwards, $whose:literal) => {
        count_of!(@ "forwards f on f.domain = d.domain", $whose)
    };
    (lists, $whose:literal) => {
        count_of!(@ "lists l on l.domain = d.domain and l.removed_time is null", $whose)
    };
    (list_members, $whose:literal) => {
        // Each list keeps its count: nobody walks the members of large lists for this.
        concat!(
            "select coalesce(sum(l.member_count), 0)::bigint from domains d \
             join lists l on l.domain = d.domain and l.removed_time is null where d.customer_id = ",
            $whose
        )
    };
    (autoresponders, $whose:literal) => {
        count_of!(@ "autoresponders a on a.domain = d.domain", $whose)
    };
    (@ $things:literal, $whose:literal) => {
        concat!("select count(*) from domains d join ", $things, " where d.customer_id = ", $whose)
    };
}

/// The same for the customer with login $1.
macro_rules! count_for_login {
    ($kind:ident) => {
        count_of!($kind, "(select customer_id from customers where login = $1)")
    };
}

/// How many of a kind a customer has.
pub(crate) async fn count(tx: &mut Tx, customer: &str, kind: Kind) -> Result<i64, AccountError> {
    let statement = match kind {
        Kind::Domains => count_for_login!(domains),
        Kind::Mailboxes => count_for_login!(mailboxes),
        Kind::Forwards => count_for_login!(forwards),
        Kind::Lists => count_for_login!(lists),
        Kind::ListMembers => count_for_login!(list_members),
        Kind::Autoresponders => count_for_login!(autoresponders),
    };
    sqlx::query_scalar(statement).bind(customer).fetch_one(&mut **tx).await.doing("count what a customer has")
}

/// What a customer may have, and has.
pub(crate) struct Allowance {
    pub(crate) set: Limits,
    pub(crate) usage: LimitsUsage,
    /// Of what is set.
    pub(crate) etag: String,
}

/// All of it in one look.
const ALLOWANCE: &str = concat!(
    "select l.domains, l.mailboxes, l.forwards, l.lists, l.list_members, l.autoresponders, l.storage_bytes, \
     l.mailbox_storage_bytes, l.messages_per_hour, coalesce(l.revision, 0) as revision, (",
    count_of!(domains, "c.customer_id"),
    ") as used_domains, (",
    count_of!(mailboxes, "c.customer_id"),
    ") as used_mailboxes, (",
    count_of!(forwards, "c.customer_id"),
    ") as used_forwards, (",
    count_of!(lists, "c.customer_id"),
    ") as used_lists, (",
    count_of!(list_members, "c.customer_id"),
    ") as used_list_members, (",
    count_of!(autoresponders, "c.customer_id"),
    ") as used_autoresponders, ( \
        select coalesce(sum(u.used_bytes), 0)::bigint from mailboxes m join box_usage u using (mailbox_id) \
        where m.customer_id = c.customer_id and m.removed_time is null) as used_bytes \
     from customers c left join limits l using (customer_id) where c.login = $1 and c.removed_time is null"
);

/// Of a customer; `None`: there is none.
pub(crate) async fn allowance(pool: &PgPool, customer: &str) -> Result<Option<Allowance>, AccountError> {
    read!(sqlx::query(ALLOWANCE).bind(customer).try_map(read_allowance).fetch_optional(pool))
        .doing("read what a customer may have and has")
}

/// The same within a write.
pub(crate) async fn allowance_in(tx: &mut Tx, customer: &str) -> Result<Option<Allowance>, AccountError> {
    let found = sqlx::query(ALLOWANCE).bind(customer).try_map(read_allowance).fetch_optional(&mut **tx);
    found.await.doing("read what a customer may have and has")
}

fn read_allowance(row: PgRow) -> Result<Allowance, sqlx::Error> {
    let usage = LimitsUsage {
        domains: row.try_get("used_domains")?,
        mailboxes: row.try_get("used_mailboxes")?,
        forwards: row.try_get("used_forwards")?,
        lists: row.try_get("used_lists")?,
        list_members: row.try_get("used_list_members")?,
        autoresponders: row.try_get("used_autoresponders")?,
        storage_bytes: row.try_get("used_bytes")?,
    };
    Ok(Allowance { set: read_limits(&row)?, usage, etag: etag(row.try_get("revision")?) })
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
