//! Rows of what boxes hold, and who holds as much as it may.

use postern_proto::account::v1::BoxUsage;
use sqlx::{PgPool, Row as _};

use super::{Tx, read};
use crate::error::{AccountError, Doing as _};

/// Boxes that are not marked as they should be, by domain. $1: boxes that were reported; $2: a customer all of whose boxes are
/// looked at, or null.
const MISJUDGED_DOMAINS: &str = "\
    select distinct domain from box_room \
    where (mailbox_id = any($1) or customer_id = $2) \
        and over_quota <> coalesce(used_bytes >= quota_bytes, false) order by domain";

/// The same boxes of one domain, marked; under the lock of that domain.
const JUDGE: &str = "\
    update mailboxes m set over_quota = not m.over_quota from box_room r \
    where r.mailbox_id = m.mailbox_id and r.domain = $1 and m.over_quota <> coalesce(r.used_bytes >= r.quota_bytes, false)";

/// Keeps what delivery told, as far as it is news. Rows are locked by id, so that two reports cannot stand in each other's way.
pub(crate) async fn keep(pool: &PgPool, boxes: &[BoxUsage]) -> Result<(), AccountError> {
    let column = |of: fn(&BoxUsage) -> i64| -> Vec<i64> { boxes.iter().map(of).collect() };
    sqlx::query(
        "insert into box_usage as u (mailbox_id, used_bytes, message_count, version) \
         select * from (select distinct on (mailbox_id) * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) \
            as told (mailbox_id, used_bytes, message_count, version) order by mailbox_id, version desc) as newest \
         order by mailbox_id \
         on conflict (mailbox_id) do update set used_bytes = excluded.used_bytes, \
            message_count = excluded.message_count, version = excluded.version where u.version < excluded.version",
    )
    .bind(column(|told| told.mailbox_id))
    .bind(column(|told| told.used_bytes))
    .bind(column(|told| told.message_count))
    .bind(column(|told| told.version))
    .execute(pool)
    .await
    .doing("keep what boxes hold")
    .map(drop)
}

/// Domains with boxes among these, or of this customer, that became full or free.
pub(crate) async fn misjudged_domains(
    pool: &PgPool,
    mailbox_ids: &[i64],
    customer_id: Option<i64>,
) -> Result<Vec<String>, AccountError> {
    read!(sqlx::query_scalar(MISJUDGED_DOMAINS).bind(mailbox_ids).bind(customer_id).fetch_all(pool))
        .doing("look for full boxes")
}

/// Marks the boxes of a domain, whose lock is held, as full or free; the count of those that changed.
pub(crate) async fn judge(tx: &mut Tx, domain: &str) -> Result<u64, AccountError> {
    let judged = sqlx::query(JUDGE).bind(domain).execute(&mut **tx).await;
    judged.map(|done| done.rows_affected()).doing("mark full boxes")
}

/// Removed mailboxes whose days are over and whose mail is still there. From now on they cannot be restored.
pub(crate) async fn expire(pool: &PgPool, vault_days: i32, limit: i64) -> Result<Vec<i64>, AccountError> {
    read!(
        sqlx::query_scalar(
            "update mailboxes set expired_time = coalesce(expired_time, now()) where mailbox_id in ( \
                select mailbox_id from mailboxes where removed_time is not null and destroyed_time is null \
                and (expired_time is not null or removed_time <= now() - make_interval(days => $1)) \
                order by removed_time limit $2) returning mailbox_id"
        )
        .bind(vault_days)
        .bind(limit)
        .fetch_all(pool)
    )
    .doing("look for expired mailboxes")
}

/// Their mail is gone: so is what would open them again.
pub(crate) async fn forget(tx: &mut Tx, mailbox_ids: &[i64]) -> Result<(), AccountError> {
    sqlx::query(
        "update mailboxes set destroyed_time = now(), password_phc = null \
         where mailbox_id = any($1) and expired_time is not null and destroyed_time is null",
    )
    .bind(mailbox_ids)
    .execute(&mut **tx)
    .await
    .doing("forget destroyed mailboxes")?;
    sqlx::query(
        "delete from box_usage u using mailboxes m \
         where u.mailbox_id = any($1) and m.mailbox_id = u.mailbox_id and m.destroyed_time is not null",
    )
    .bind(mailbox_ids)
    .execute(&mut **tx)
    .await
    .doing("forget what destroyed mailboxes held")
    .map(drop)
}

/// Octets that all boxes of a customer hold together.
#[expect(dead_code, reason = "for LimitsService, which shows it")]
pub(crate) async fn used_by_customer(pool: &PgPool, customer_id: i64) -> Result<i64, AccountError> {
    let row = read!(
        sqlx::query(
            "select coalesce(sum(used_bytes), 0)::bigint as used from box_room where customer_id = $1"
        )
        .bind(customer_id)
        .fetch_one(pool)
    );
    row.and_then(|row| row.try_get("used")).doing("add up what a customer holds")
}
