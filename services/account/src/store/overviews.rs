//! What a first page shows of a domain and of a box: few rows, of a bounded look.

use std::sync::LazyLock;

use postern_proto::account::v1::{DomainOverview, Mailbox, MailboxDay, SuspendedMember};
use sqlx::{AssertSqlSafe, PgPool, Row as _, postgres::PgRow};

use super::{
    mailboxes::{NO_QUOTA, mailbox, select_mailboxes},
    read, timestamp,
};
use crate::error::{AccountError, Doing as _};

/// Boxes of a domain that are looked at.
const LOOKED_AT_MAX: i64 = 10_000;
/// Boxes, and members, that are named.
const NAMED_MAX: i64 = 10;
/// Largest boxes that are named.
const LARGEST_MAX: i64 = 5;
/// Suspended members that are counted.
const COUNTED_MAX: i64 = 1000;
/// Days that are kept of what a box held.
pub(crate) const DAYS_MAX: i32 = 92;

/// Each part of the answer with the count of its whole. All boxes are looked at by what decides, and only those that are named
/// are read; their places are numbered behind the limits, so that no more than these are sorted to the end. $2: what a box may
/// hold by the platform's default. The bounds stand in the text: a plan that does not know them takes them for a tenth of the
/// rows, and looks for each box by itself.
static BOXES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "with boxes as materialized ( \
            select mailbox_id, login, state = 2 as is_suspended, over_quota, coalesce(used_bytes, 0) as used, \
                nullif(coalesce(quota_bytes, l.mailbox_storage_bytes, $2), -1) as room \
            from mailboxes m left join box_usage using (mailbox_id) left join limits l on l.customer_id = m.customer_id \
            where domain = $1 and removed_time is null limit {LOOKED_AT_MAX} \
         ), judged as ( \
            select *, used::float8 / nullif(room, 0) as fill, \
                over_quota or coalesce(used >= room - room / 10, false) as is_nearly_full from boxes \
         ), named as ( \
            select 1 as part, whole, row_number() over () as place, mailbox_id from ( \
                select count(*) over () as whole, mailbox_id from judged where is_nearly_full \
                order by over_quota desc, coalesce(fill, 0) desc, login limit {NAMED_MAX}) nearly_full \
            union all select 2, whole, row_number() over (), mailbox_id from ( \
                select count(*) over () as whole, mailbox_id from judged where is_suspended \
                order by login limit {NAMED_MAX}) suspended \
            union all select 3, 0, row_number() over (), mailbox_id from ( \
                select mailbox_id from judged where used > 0 order by used desc, login limit {LARGEST_MAX}) largest \
         ) select n.part, n.whole, b.* from named n cross join lateral ({ONE_BOX}) b order by n.part, n.place"
    )
});
const ONE_BOX: &str = select_mailboxes!("mailbox_id = n.mailbox_id limit 1");

/// What needs somebody at a domain. `room_bytes`: what a box may hold by the platform's default.
pub(crate) async fn of_domain(
    pool: &PgPool,
    domain: &str,
    room_bytes: Option<i64>,
) -> Result<DomainOverview, AccountError> {
    let (parts, members) =
        tokio::try_join!(boxes(pool, domain, room_bytes), suspended_members(pool, domain))?;
    let mut overview = DomainOverview::default();
    for (part, whole, mailbox) in parts {
        let whole = i32::try_from(whole).unwrap_or(i32::MAX);
        match part {
            1 => {
                overview.nearly_full_count = whole;
                overview.nearly_full_mailboxes.push(mailbox);
            }
            2 => {
                overview.suspended_count = whole;
                overview.suspended_mailboxes.push(mailbox);
            }
            _ => overview.largest_mailboxes.push(mailbox),
        }
    }
    overview.suspended_member_count =
        members.first().map_or(0, |(whole, _)| i32::try_from(*whole).unwrap_or(i32::MAX));
    overview.suspended_members = members.into_iter().map(|(_, member)| member).collect();
    Ok(overview)
}

/// Part of the answer, count of its whole, box.
async fn boxes(
    pool: &PgPool,
    domain: &str,
    room_bytes: Option<i64>,
) -> Result<Vec<(i32, i64, Mailbox)>, AccountError> {
    read!(
        sqlx::query(AssertSqlSafe(BOXES.as_str()))
            .bind(domain)
            .bind(room_bytes.unwrap_or(NO_QUOTA))
            .try_map(|row: PgRow| Ok((row.try_get("part")?, row.try_get("whole")?, mailbox(&row)?)))
            .fetch_all(pool)
    )
    .doing("look at the boxes of a domain")
}

/// Each with the count of all.
async fn suspended_members(pool: &PgPool, domain: &str) -> Result<Vec<(i64, SuspendedMember)>, AccountError> {
    let member = |row: PgRow| {
        let suspend_time = timestamp(&row, "suspend_micros")?;
        let (list, address) = (row.try_get("list")?, row.try_get("address")?);
        Ok((row.try_get("whole")?, SuspendedMember { list, address, suspend_time }))
    };
    read!(
        sqlx::query(
            "select count(*) over () as whole, s.* from ( \
                select l.address as list, m.address, \
                    (extract(epoch from m.suspend_time) * 1000000)::bigint as suspend_micros \
                from lists l join list_members m on m.list_id = l.list_id and m.suspend_time is not null \
                where l.domain = $1 and l.removed_time is null limit $2) s \
             order by suspend_micros desc, list, address limit $3"
        )
        .bind(domain)
        .bind(COUNTED_MAX)
        .bind(NAMED_MAX)
        .try_map(member)
        .fetch_all(pool)
    )
    .doing("look for suspended members")
}

/// What a box held day by day, oldest first, of the days that are kept.
pub(crate) async fn days_of(pool: &PgPool, mailbox_id: i64) -> Result<Vec<MailboxDay>, AccountError> {
    let day = |row: PgRow| {
        Ok(MailboxDay {
            begin_time: timestamp(&row, "day_micros")?,
            used_bytes: row.try_get("used_bytes")?,
            message_count: row.try_get("message_count")?,
        })
    };
    read!(
        sqlx::query(
            "select used_bytes, message_count, \
                (extract(epoch from day::timestamp at time zone 'UTC') * 1000000)::bigint as day_micros \
             from box_usage_days where mailbox_id = $1 and day > (now() at time zone 'UTC')::date - $2::int order by day"
        )
        .bind(mailbox_id)
        .bind(DAYS_MAX)
        .try_map(day)
        .fetch_all(pool)
    )
    .doing("read what a box held")
}

/// Forgets what is older than the days that are kept; the count of rows that went.
pub(crate) async fn sweep(pool: &PgPool) -> Result<u64, sqlx::Error> {
    let swept =
        sqlx::query("delete from box_usage_days where day <= (now() at time zone 'UTC')::date - $1::int")
            .bind(DAYS_MAX)
            .execute(pool)
            .await;
    swept.map(|done| done.rows_affected())
}
