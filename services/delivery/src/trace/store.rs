//! Reading stories back from Postgres: one message, pages of somebody's mail, and sums by the hour.
//!
//! A page is read along one index, newest first, and looks through a bounded number of lines, so that a filter that hits
//! nothing costs no more than one that hits everything.

use jiff::Timestamp;
use postern_mail::MessageId;
use sqlx::{
    AssertSqlSafe, Postgres, Row as _,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use uuid::Uuid;

use super::TraceState;
use crate::store::Store;

/// Lines that one call looks through at most.
pub(crate) const SCAN_MAX: i64 = 20_000;
/// Lines that a summary looks through at most.
const SUMMED_MAX: i64 = 5000;
/// Failures that a summary tells.
const FAILURES_TOLD: i64 = 5;
/// Lines of one story.
const STORY_MAX: i64 = 1000;
/// Attempts of one story.
const ATTEMPTS_MAX: i64 = 5000;

const COLUMNS: &str =
    "t.message_id, t.recipient, t.via, t.sender, t.customer, t.mailbox_id, t.submit_customer,
    t.submit_mailbox_id, t.login, t.peer_ip, t.size_bytes, t.state, t.outcome,
    (extract(epoch FROM t.accept_time) * 1000000)::bigint AS accept_micros,
    (extract(epoch FROM t.outcome_time) * 1000000)::bigint AS outcome_micros,
    (extract(epoch FROM t.read_time) * 1000000)::bigint AS read_micros,
    (extract(epoch FROM t.delete_time) * 1000000)::bigint AS delete_micros";

/// A line as it is kept. Times are microseconds of the Unix epoch.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) key: Key,
    pub(crate) via: Option<String>,
    pub(crate) sender: String,
    pub(crate) customer: Option<String>,
    pub(crate) mailbox_id: Option<i64>,
    pub(crate) submit_customer: Option<String>,
    pub(crate) submit_mailbox_id: Option<i64>,
    pub(crate) login: Option<String>,
    pub(crate) peer_ip: Option<String>,
    pub(crate) size_bytes: i64,
    pub(crate) state: i16,
    pub(crate) outcome: String,
    pub(crate) accept_micros: i64,
    pub(crate) outcome_micros: Option<i64>,
    pub(crate) read_micros: Option<i64>,
    pub(crate) delete_micros: Option<i64>,
}

/// Where a line stands in every list: newest first, so the greatest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) message_id: Uuid,
    pub(crate) recipient: String,
}

impl Key {
    /// Before the newest line.
    pub(crate) fn newest() -> Self {
        Self { message_id: Uuid::max(), recipient: String::new() }
    }
}

/// Whose lines; the index that a list is read along.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everybody's.
    All,
    /// A customer's.
    Customer(String),
    /// Of one box; with a customer only while it is that customer's.
    Mailbox(i64, Option<String>),
}

/// Which end of a mail is theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Received,
    Sent,
}

/// What a list shows; `None` is any.
#[derive(Clone, Debug)]
pub(crate) struct ListFilter {
    pub(crate) scope: Scope,
    pub(crate) side: Side,
    /// Lower case; of either end.
    pub(crate) address: Option<String>,
    /// Lower case; empty: the null sender.
    pub(crate) sender: Option<String>,
    pub(crate) state: Option<i16>,
    pub(crate) begin: Option<Timestamp>,
    pub(crate) end: Option<Timestamp>,
    /// Only what stands behind this one.
    pub(crate) after: Key,
    pub(crate) count: i64,
}

/// An attempt that did not end it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) recipient: String,
    pub(crate) micros: i64,
    pub(crate) outcome: String,
}

/// Which sums.
#[derive(Clone, Debug)]
pub(crate) struct TrafficFilter {
    pub(crate) customer: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) begin: Timestamp,
    pub(crate) end: Timestamp,
}

/// Sums of one hour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrafficRow {
    pub(crate) hour_seconds: i64,
    pub(crate) received: (i64, i64),
    pub(crate) sent: (i64, i64),
}

/// What became of what somebody sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Summary {
    /// By state, in their order.
    pub(crate) counts: Vec<(i16, i64)>,
    /// The last ones, newest first.
    pub(crate) failures: Vec<Row>,
    /// There were more lines than were looked at.
    pub(crate) is_partial: bool,
}

/// The stories in the database.
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    store: Store,
}

impl Traces {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// All lines of a message.
    pub(crate) async fn of_message(&self, id: MessageId) -> Result<Vec<Row>, sqlx::Error> {
        let statement =
            format!("SELECT {COLUMNS} FROM trace t WHERE t.message_id = $1 ORDER BY t.recipient LIMIT $2");
        let rows = sqlx::query(AssertSqlSafe(statement))
            .bind(id.as_uuid())
            .bind(STORY_MAX)
            .fetch_all(self.store.pool())
            .await?;
        rows.iter().map(row).collect()
    }

    /// Attempts that did not end a line of a message, oldest first.
    pub(crate) async fn attempts(&self, id: MessageId) -> Result<Vec<Attempt>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT recipient, (extract(epoch FROM attempt_time) * 1000000)::bigint AS micros, outcome
            FROM trace_attempts WHERE message_id = $1 ORDER BY attempt_time LIMIT $2",
        )
        .bind(id.as_uuid())
        .bind(ATTEMPTS_MAX)
        .fetch_all(self.store.pool())
        .await?;
        rows.iter()
            .map(|row| {
                Ok(Attempt {
                    recipient: row.try_get("recipient")?,
                    micros: row.try_get("micros")?,
                    outcome: row.try_get("outcome")?,
                })
            })
            .collect()
    }

    /// When what is queued of a message is tried next, by recipient.
    pub(crate) async fn next_attempts(&self, id: MessageId) -> Result<Vec<(String, i64)>, sqlx::Error> {
        sqlx::query_as(
            "SELECT recipient, (extract(epoch FROM next_attempt_time) * 1000000)::bigint
            FROM queue WHERE message_id = $1 LIMIT $2",
        )
        .bind(id.as_uuid())
        .bind(STORY_MAX)
        .fetch_all(self.store.pool())
        .await
    }

    /// Up to `count` lines, newest first, and how far was looked when that was not to the end.
    pub(crate) async fn list(&self, filter: &ListFilter) -> Result<(Vec<Row>, Option<Key>), sqlx::Error> {
        let statement = format!(
            "SELECT {COLUMNS} FROM ({} LIMIT $7) t
            WHERE ($8::text IS NULL OR lower(t.recipient) = $8 OR lower(t.sender) = $8 OR lower(t.via) = $8)
                AND ($9::text IS NULL OR lower(t.sender) = $9) AND ($10::smallint IS NULL OR t.state = $10)
                AND ($11::bigint IS NULL OR t.accept_time >= to_timestamp($11 / 1000000.0))
                AND ($12::bigint IS NULL OR t.accept_time < to_timestamp($12 / 1000000.0))
            ORDER BY t.message_id DESC, t.recipient DESC LIMIT $13",
            scanned(filter)
        );
        let rows = scan(statement, filter)
            .bind(SCAN_MAX)
            .bind(&filter.address)
            .bind(&filter.sender)
            .bind(filter.state)
            .bind(filter.begin.map(Timestamp::as_microsecond))
            .bind(filter.end.map(Timestamp::as_microsecond))
            .bind(filter.count)
            .fetch_all(self.store.pool())
            .await?;
        let rows: Vec<Row> = rows.iter().map(row).collect::<Result<_, _>>()?;
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) >= filter.count {
            return Ok((rows, None));
        }
        let looked = self.last_looked_at(filter).await?;
        Ok((rows, looked))
    }

    /// The last line that a scan came to when it was cut off there.
    async fn last_looked_at(&self, filter: &ListFilter) -> Result<Option<Key>, sqlx::Error> {
        let statement = format!("{} OFFSET $7 LIMIT 1", scanned(filter));
        let row = scan(statement, filter).bind(SCAN_MAX - 1).fetch_optional(self.store.pool()).await?;
        row.as_ref().map(key).transpose()
    }

    /// What became of the lines of a scope and a side, since its begin, in one look along the index.
    pub(crate) async fn summary(&self, filter: &ListFilter) -> Result<Summary, sqlx::Error> {
        let statement = format!(
            "WITH looked AS MATERIALIZED ({} LIMIT $7), recent AS (
                SELECT * FROM looked WHERE $8::bigint IS NULL OR accept_time >= to_timestamp($8 / 1000000.0))
            SELECT c.state AS counted_state, c.count, (SELECT count(*) FROM looked) AS looked_count, {COLUMNS}
            FROM (SELECT state, count(*) AS count FROM recent GROUP BY state) c
            LEFT JOIN LATERAL (
                SELECT * FROM recent r WHERE r.state = c.state AND r.state = $10
                ORDER BY r.message_id DESC, r.recipient DESC LIMIT $9) t ON true
            ORDER BY c.state, t.message_id DESC, t.recipient DESC",
            scanned(filter)
        );
        let rows = scan(statement, filter)
            .bind(SUMMED_MAX)
            .bind(filter.begin.map(Timestamp::as_microsecond))
            .bind(FAILURES_TOLD)
            .bind(TraceState::Failed.code())
            .fetch_all(self.store.pool())
            .await?;
        let mut summary = Summary::default();
        for one in &rows {
            let state = one.try_get("counted_state")?;
            if summary.counts.last().is_none_or(|(last, _)| *last != state) {
                summary.counts.push((state, one.try_get("count")?));
            }
            summary.is_partial = one.try_get::<i64, _>("looked_count")? >= SUMMED_MAX;
            // Of other states there is no line beside the count.
            if one.try_get::<Option<Uuid>, _>("message_id")?.is_some() {
                summary.failures.push(row(one)?);
            }
        }
        Ok(summary)
    }

    /// Hours with mail, in order.
    pub(crate) async fn traffic(&self, filter: &TrafficFilter) -> Result<Vec<TrafficRow>, sqlx::Error> {
        let rows = sqlx::query(
            "SELECT extract(epoch FROM hour)::bigint AS hour, sum(received_count)::bigint AS received_count,
                sum(received_bytes)::bigint AS received_bytes, sum(sent_count)::bigint AS sent_count,
                sum(sent_bytes)::bigint AS sent_bytes
            FROM traffic WHERE ($1::text IS NULL OR customer = $1) AND ($2::text IS NULL OR domain = $2)
                AND hour >= date_trunc('hour', to_timestamp($3)) AND hour < to_timestamp($4)
            GROUP BY 1 ORDER BY 1",
        )
        .bind(&filter.customer)
        .bind(&filter.domain)
        .bind(filter.begin.as_second() as f64)
        .bind(filter.end.as_second() as f64)
        .fetch_all(self.store.pool())
        .await?;
        rows.iter().map(traffic_row).collect()
    }
}

/// The lines of a scope along its index, newest first. $1 and $2: the key before the first one; $3 and $4: ids; $5: the
/// customer; $6: the box.
fn scanned(filter: &ListFilter) -> String {
    let mine = match (&filter.scope, filter.side) {
        (Scope::All, Side::Received) => {
            "t.submit_customer IS NULL AND ($5::text IS NULL AND $6::bigint IS NULL)"
        }
        (Scope::All, Side::Sent) => {
            "t.submit_customer IS NOT NULL AND ($5::text IS NULL AND $6::bigint IS NULL)"
        }
        (Scope::Customer(_), Side::Received) => "t.customer = $5 AND $6::bigint IS NULL",
        (Scope::Customer(_), Side::Sent) => "t.submit_customer = $5 AND $6::bigint IS NULL",
        (Scope::Mailbox(..), Side::Received) => "t.mailbox_id = $6 AND ($5::text IS NULL OR t.customer = $5)",
        (Scope::Mailbox(..), Side::Sent) => {
            "t.submit_mailbox_id = $6 AND ($5::text IS NULL OR t.submit_customer = $5)"
        }
    };
    format!(
        "SELECT t.* FROM trace t WHERE {mine} AND t.message_id <= $1 AND t.message_id >= $3 AND t.message_id <= $4
            AND (t.message_id, t.recipient) < ($1, $2 COLLATE \"C\")
        ORDER BY t.message_id DESC, t.recipient DESC"
    )
}

/// A statement around [`scanned`], with the values that that one asks for. Those of its own begin with $7.
fn scan(statement: String, filter: &ListFilter) -> Query<'_, Postgres, PgArguments> {
    let (customer, mailbox_id) = scope_values(&filter.scope);
    let (lowest, highest) = id_range(filter);
    sqlx::query(AssertSqlSafe(statement))
        .bind(filter.after.message_id)
        .bind(&filter.after.recipient)
        .bind(lowest)
        .bind(highest)
        .bind(customer)
        .bind(mailbox_id)
}

fn scope_values(scope: &Scope) -> (Option<&str>, Option<i64>) {
    match scope {
        Scope::All => (None, None),
        Scope::Customer(customer) => (Some(customer), None),
        Scope::Mailbox(mailbox_id, customer) => (customer.as_deref(), Some(*mailbox_id)),
    }
}

/// Ids are made at MAIL: up to an hour before the message is accepted, by a clock that may be some minutes ahead of ours.
fn id_range(filter: &ListFilter) -> (Uuid, Uuid) {
    const HOUR: i64 = 3600;
    let moved = |time: Timestamp, seconds: i64| {
        Timestamp::from_second(time.as_second().saturating_add(seconds)).unwrap_or(time)
    };
    let lowest = filter.begin.map_or(Uuid::nil(), |begin| first_id_of(moved(begin, -HOUR)));
    let highest = filter.end.map_or(Uuid::max(), |end| first_id_of(moved(end, HOUR)));
    (lowest, highest)
}

/// The least id that is made at this time or later (RFC 9562 section 5.7).
pub(super) fn first_id_of(time: Timestamp) -> Uuid {
    let millis = u128::try_from(time.as_millisecond().max(0)).unwrap_or_default();
    Uuid::from_u128(millis << 80)
}

fn key(row: &PgRow) -> Result<Key, sqlx::Error> {
    Ok(Key { message_id: row.try_get("message_id")?, recipient: row.try_get("recipient")? })
}

fn row(row: &PgRow) -> Result<Row, sqlx::Error> {
    Ok(Row {
        key: key(row)?,
        via: row.try_get("via")?,
        sender: row.try_get("sender")?,
        customer: row.try_get("customer")?,
        mailbox_id: row.try_get("mailbox_id")?,
        submit_customer: row.try_get("submit_customer")?,
        submit_mailbox_id: row.try_get("submit_mailbox_id")?,
        login: row.try_get("login")?,
        peer_ip: row.try_get("peer_ip")?,
        size_bytes: row.try_get("size_bytes")?,
        state: row.try_get("state")?,
        outcome: row.try_get("outcome")?,
        accept_micros: row.try_get("accept_micros")?,
        outcome_micros: row.try_get("outcome_micros")?,
        read_micros: row.try_get("read_micros")?,
        delete_micros: row.try_get("delete_micros")?,
    })
}

fn traffic_row(row: &PgRow) -> Result<TrafficRow, sqlx::Error> {
    Ok(TrafficRow {
        hour_seconds: row.try_get("hour")?,
        received: (row.try_get("received_count")?, row.try_get("received_bytes")?),
        sent: (row.try_get("sent_count")?, row.try_get("sent_bytes")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_made_later_are_not_less() {
        let before = first_id_of(Timestamp::now());
        let id = MessageId::new().as_uuid();
        assert!(before <= id, "{before} {id}");
        assert!(first_id_of(Timestamp::now() + jiff::SignedDuration::from_secs(1)) > id);
    }
}
