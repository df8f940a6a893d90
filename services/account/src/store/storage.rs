//! Rows of what boxes hold, and who holds as much as it may.

use postern_proto::account::v1::{BoxUsage, Limits};
use sqlx::PgPool;

use super::{Tx, mailboxes::NO_QUOTA, read};
use crate::error::{AccountError, Doing as _};

/// Boxes and whether they hold as much as they may: by a quota of their own, by the limit of their customer for each box, or
/// because all boxes of the customer together hold as much as they may. $1 and $2: what holds for a box and for all boxes of a
/// customer by the platform's defaults, -1 is no bound.
macro_rules! with_rooms {
    ($customers:literal, $boxes:literal, $finish:literal) => {
        concat!(
            "with customer_room as ( \
                select c.customer_id, nullif(coalesce(l.mailbox_storage_bytes, $1), -1) as box_bytes, \
                    nullif(coalesce(l.storage_bytes, $2), -1) as all_bytes \
                from (",
            $customers,
            ") c left join limits l using (customer_id) \
            ), customer_fill as ( \
                select r.customer_id, coalesce(sum(u.used_bytes) >= r.all_bytes, false) as is_full from customer_room r \
                join mailboxes m on m.customer_id = r.customer_id and m.removed_time is null \
                join box_usage u on u.mailbox_id = m.mailbox_id \
                where r.all_bytes is not null group by r.customer_id, r.all_bytes \
            ), room as ( \
                select m.mailbox_id, m.domain, m.over_quota, coalesce(f.is_full, false) or coalesce( \
                    coalesce(u.used_bytes, 0) >= nullif(coalesce(m.quota_bytes, r.box_bytes), -1), false) as is_full \
                from mailboxes m join customer_room r using (customer_id) left join customer_fill f using (customer_id) \
                left join box_usage u on u.mailbox_id = m.mailbox_id where m.removed_time is null and (",
            $boxes,
            ")) ",
            $finish
        )
    };
}

/// Domains with boxes that are not marked as they should be. $3: boxes that were reported; $4: a customer all of whose boxes
/// are looked at, or null. Where all boxes of a customer share a bound, all of them are looked at.
const MISJUDGED_DOMAINS: &str = with_rooms!(
    "select customer_id from mailboxes where mailbox_id = any($3) and removed_time is null \
     union select $4 where $4 is not null",
    "m.mailbox_id = any($3) or m.customer_id = $4 or r.all_bytes is not null",
    "select distinct domain from room where over_quota <> is_full order by domain"
);

/// The boxes of one domain ($3), marked; under the lock of that domain.
const JUDGE: &str = with_rooms!(
    "select customer_id from domains where domain = $3",
    "m.domain = $3",
    "update mailboxes m set over_quota = r.is_full from room r \
     where r.mailbox_id = m.mailbox_id and m.over_quota <> r.is_full"
);

/// Keeps what delivery told, as far as it is news, and what it told first on this day. Rows are locked by id, so that two
/// reports cannot stand in each other's way.
pub(crate) async fn keep(pool: &PgPool, boxes: &[BoxUsage]) -> Result<(), AccountError> {
    let column = |of: fn(&BoxUsage) -> i64| -> Vec<i64> { boxes.iter().map(of).collect() };
    sqlx::query(
        "with newest as materialized ( \
            select distinct on (mailbox_id) * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) \
            as told (mailbox_id, used_bytes, message_count, version) order by mailbox_id, version desc \
         ), days as ( \
            insert into box_usage_days (mailbox_id, day, used_bytes, message_count) \
            select mailbox_id, (now() at time zone 'UTC')::date, used_bytes, message_count from newest \
            order by mailbox_id on conflict do nothing \
         ) \
         insert into box_usage as u (mailbox_id, used_bytes, message_count, version) \
         select * from newest order by mailbox_id \
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
    defaults: &Limits,
    mailbox_ids: &[i64],
    customer_id: Option<i64>,
) -> Result<Vec<String>, AccountError> {
    let (for_box, for_all) = bounds(defaults);
    read!(
        sqlx::query_scalar(MISJUDGED_DOMAINS)
            .bind(for_box)
            .bind(for_all)
            .bind(mailbox_ids)
            .bind(customer_id)
            .fetch_all(pool)
    )
    .doing("look for full boxes")
}

/// Marks the boxes of a domain, whose lock is held, as full or free; the count of those that changed.
pub(crate) async fn judge(tx: &mut Tx, defaults: &Limits, domain: &str) -> Result<u64, AccountError> {
    let (for_box, for_all) = bounds(defaults);
    let judged = sqlx::query(JUDGE).bind(for_box).bind(for_all).bind(domain).execute(&mut **tx).await;
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
    .doing("forget what destroyed mailboxes held")?;
    sqlx::query(
        "delete from box_usage_days d using mailboxes m \
         where d.mailbox_id = any($1) and m.mailbox_id = d.mailbox_id and m.destroyed_time is not null",
    )
    .bind(mailbox_ids)
    .execute(&mut **tx)
    .await
    .doing("forget what destroyed mailboxes held before")
    .map(drop)
}

/// The platform's defaults as the statements take them.
fn bounds(defaults: &Limits) -> (i64, i64) {
    (defaults.mailbox_storage_bytes.unwrap_or(NO_QUOTA), defaults.storage_bytes.unwrap_or(NO_QUOTA))
}
