//! Rows of the audit: each is written in the transaction of the change that it tells of.

use postern_mesh::audit::{Action, Thing};
use postern_proto::account::v1::AuditEntry;
use serde::Serialize;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

/// Entries as [`entry`] reads them; with more columns, of the table `a`.
macro_rules! select_entries {
    ($more:literal, $rest:literal) => {
        concat!(
            "select a.audit_id, (extract(epoch from a.time) * 1000000)::bigint as micros, a.actor_role, a.actor, a.peer_ip, \
             a.customer, a.kind, a.name, a.action, a.before_json, a.after_json",
            $more,
            " from audit a ",
            $rest
        )
    };
}

/// What was done to which thing. `before` and `after` are messages of the gRPC face, which hold no secret.
pub(crate) struct Deed<'d> {
    /// Login of the customer whose thing it is; empty for the platform's own.
    pub(crate) customer: &'d str,
    pub(crate) kind: Thing,
    pub(crate) name: &'d str,
    pub(crate) action: Action,
}

impl Deed<'_> {
    /// Writes it down in the name of the transaction's caller, and returns the number of the entry.
    pub(crate) async fn note<B: Serialize, A: Serialize>(
        self,
        tx: &mut Tx,
        before: Option<&B>,
        after: Option<&A>,
    ) -> Result<i64, AccountError> {
        let (before, after) = (json(before)?, json(after)?);
        let caller = tx.caller.clone();
        sqlx::query_scalar(
            "insert into audit (actor_role, actor, peer_ip, customer, kind, name, action, before_json, after_json) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9) returning audit_id",
        )
        .bind(caller.role.as_str())
        .bind(&caller.subject)
        .bind(caller.peer.map(|peer| peer.to_string()).unwrap_or_default())
        .bind(self.customer)
        .bind(self.kind.as_str())
        .bind(self.name)
        .bind(self.action.as_str())
        .bind(before)
        .bind(after)
        .fetch_one(&mut **tx)
        .await
        .doing("write the audit")
    }

    pub(crate) async fn created<A: Serialize>(self, tx: &mut Tx, after: &A) -> Result<(), AccountError> {
        self.note::<A, A>(tx, None, Some(after)).await.map(drop)
    }

    pub(crate) async fn changed<T: Serialize>(
        self,
        tx: &mut Tx,
        before: &T,
        after: &T,
    ) -> Result<(), AccountError> {
        self.note(tx, Some(before), Some(after)).await.map(drop)
    }

    pub(crate) async fn removed<B: Serialize>(self, tx: &mut Tx, before: &B) -> Result<(), AccountError> {
        self.note::<B, B>(tx, Some(before), None).await.map(drop)
    }

    /// A deed that leaves nothing to show, such as a new password.
    pub(crate) async fn done(self, tx: &mut Tx) -> Result<(), AccountError> {
        self.note::<(), ()>(tx, None, None).await.map(drop)
    }
}

/// Writes down that many things of one kind were removed at once: name and thing of each.
pub(crate) async fn removed_all<B: Serialize>(
    tx: &mut Tx,
    customer: &str,
    kind: Thing,
    things: &[(String, B)],
) -> Result<(), AccountError> {
    let names: Vec<_> = things.iter().map(|(name, _)| name.as_str()).collect();
    let before = things.iter().map(|(_, thing)| json(Some(thing))).collect::<Result<Vec<_>, _>>()?;
    let caller = tx.caller.clone();
    sqlx::query(
        "insert into audit (actor_role, actor, peer_ip, customer, kind, name, action, before_json, after_json) \
         select $1, $2, $3, $4, $5, thing.name, $6, thing.before, '' \
         from unnest($7::text[], $8::text[]) thing(name, before)",
    )
    .bind(caller.role.as_str())
    .bind(&caller.subject)
    .bind(caller.peer.map(|peer| peer.to_string()).unwrap_or_default())
    .bind(customer)
    .bind(kind.as_str())
    .bind(Action::Delete.as_str())
    .bind(names)
    .bind(before)
    .execute(&mut **tx)
    .await
    .doing("write the audit")
    .map(drop)
}

/// An entry, and whether it is older than so many days; `None`: there is none.
pub(crate) async fn find_in(
    tx: &mut Tx,
    audit_id: i64,
    days: i32,
) -> Result<Option<(AuditEntry, bool)>, AccountError> {
    sqlx::query(select_entries!(
        ", a.time < now() - make_interval(days => $2) as over",
        "where a.audit_id = $1"
    ))
    .bind(audit_id)
    .bind(days)
    .try_map(|row: PgRow| Ok((entry(&row)?, row.try_get("over")?)))
    .fetch_optional(&mut **tx)
    .await
    .doing("read the audit")
}

/// The removals of the forward and the autoresponder that went with this removed mailbox: written in the transaction that removed
/// it, so at the same time.
pub(crate) async fn removed_with_mailbox(
    tx: &mut Tx,
    mailbox_id: i64,
) -> Result<Vec<AuditEntry>, AccountError> {
    sqlx::query(select_entries!(
        "",
        "join customers c on c.login = a.customer join mailboxes m on m.customer_id = c.customer_id \
         and m.login = a.name and m.removed_time = a.time \
         where m.mailbox_id = $1 and a.kind in ('forward', 'autoresponder') and a.action = 'delete' order by a.kind desc"
    ))
    .bind(mailbox_id)
    .try_map(|row: PgRow| entry(&row))
    .fetch_all(&mut **tx)
    .await
    .doing("read the audit")
}

fn entry(row: &PgRow) -> Result<AuditEntry, sqlx::Error> {
    Ok(AuditEntry {
        audit_id: row.try_get("audit_id")?,
        time: timestamp(row, "micros")?,
        actor_role: row.try_get("actor_role")?,
        actor: row.try_get("actor")?,
        peer_ip: row.try_get("peer_ip")?,
        customer: row.try_get("customer")?,
        kind: row.try_get("kind")?,
        name: row.try_get("name")?,
        action: row.try_get("action")?,
        before_json: row.try_get("before_json")?,
        after_json: row.try_get("after_json")?,
    })
}

fn json<T: Serialize>(thing: Option<&T>) -> Result<String, AccountError> {
    match thing {
        None => Ok(String::new()),
        Some(thing) => {
            serde_json::to_string(thing).map_err(|_| AccountError::Stored("a thing has no JSON form"))
        }
    }
}

/// Which entries; `None` is any.
#[derive(Debug, Default)]
pub(crate) struct EntryFilter {
    pub(crate) customer: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) action: Option<String>,
    pub(crate) actor: Option<String>,
    /// Microseconds since 1970, from then on.
    pub(crate) start_micros: Option<i64>,
    /// Before then.
    pub(crate) end_micros: Option<i64>,
}

/// Those that begin within so many octets ($10) of things before and after, and one more, which tells of a next page.
const ENTRIES: &str = select_entries!(
    "",
    "join (select audit_id, coalesce(sum(bytes) over ( \
            order by audit_id desc rows between unbounded preceding and 2 preceding), 0) as bytes_before_last from ( \
        select audit_id, octet_length(before_json) + octet_length(after_json) as bytes from audit \
        where audit_id < $1 and ($2::text is null or customer = $2) and ($3::text is null or kind = $3) \
        and ($4::text is null or name = $4) and ($5::text is null or action = $5) and ($6::text is null or actor = $6) \
        and ($7::bigint is null or time >= to_timestamp($7 / 1000000.0)) \
        and ($8::bigint is null or time < to_timestamp($8 / 1000000.0)) order by audit_id desc limit $9) wanted) w \
     on w.audit_id = a.audit_id where w.bytes_before_last <= $10 order by a.audit_id desc"
);

/// Newest first: those that begin within so many octets, and one more.
pub(crate) async fn list(
    pool: &PgPool,
    filter: &EntryFilter,
    page: &Page,
    max_bytes: usize,
) -> Result<Vec<AuditEntry>, AccountError> {
    let below = page.below()?;
    let max_bytes = i64::try_from(max_bytes).unwrap_or(i64::MAX);
    read!(
        sqlx::query(ENTRIES)
            .bind(below)
            .bind(&filter.customer)
            .bind(&filter.kind)
            .bind(&filter.name)
            .bind(&filter.action)
            .bind(&filter.actor)
            .bind(filter.start_micros)
            .bind(filter.end_micros)
            .bind(page.limit())
            .bind(max_bytes)
            .try_map(|row| entry(&row))
            .fetch_all(pool)
    )
    .doing("list the audit")
}

/// Writes down a deed of another service, as it tells it.
pub(crate) async fn record(pool: &PgPool, entry: &AuditEntry) -> Result<(), AccountError> {
    sqlx::query(
        "insert into audit (actor_role, actor, peer_ip, customer, kind, name, action, before_json, after_json) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&entry.actor_role)
    .bind(&entry.actor)
    .bind(&entry.peer_ip)
    .bind(&entry.customer)
    .bind(&entry.kind)
    .bind(&entry.name)
    .bind(&entry.action)
    .bind(&entry.before_json)
    .bind(&entry.after_json)
    .execute(pool)
    .await
    .doing("write the audit")
    .map(drop)
}

/// Removes what is older than so many days.
pub(crate) async fn sweep(pool: &PgPool, days: i32) -> Result<u64, sqlx::Error> {
    let swept = sqlx::query("delete from audit where time < now() - make_interval(days => $1)")
        .bind(days)
        .execute(pool)
        .await?;
    Ok(swept.rows_affected())
}
