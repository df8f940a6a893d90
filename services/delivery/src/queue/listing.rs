//! What operators see of the queue, and what they change in it.

use sqlx::{Row as _, postgres::PgRow};
use uuid::Uuid;

use super::QueueStore;

/// Which rows; `None` is any.
#[derive(Clone, Debug, Default)]
pub(crate) struct EntryFilter {
    pub(crate) customer: Option<String>,
    pub(crate) domain: Option<String>,
    pub(crate) message: Option<Uuid>,
    /// 1 waits, 2 at work, 3 held.
    pub(crate) state: Option<i16>,
    /// Only ids greater than this one.
    pub(crate) after: i64,
}

/// A row as it is shown.
#[derive(Clone, Debug)]
pub(crate) struct EntryRow {
    pub(crate) id: i64,
    pub(crate) message_id: Uuid,
    pub(crate) sender: String,
    pub(crate) recipient: String,
    pub(crate) state: i16,
    pub(crate) attempts: i32,
    pub(crate) create_micros: i64,
    pub(crate) next_attempt_micros: i64,
    pub(crate) expire_micros: i64,
    pub(crate) last_outcome: String,
    pub(crate) size_bytes: i64,
    pub(crate) customer: Option<String>,
}

const COLUMNS: &str = "SELECT q.id, q.message_id, q.recipient, q.attempts, q.last_outcome, q.customer,
        CASE WHEN q.state <> 2 OR q.lease_until >= now() THEN q.state
            WHEN q.ends_only THEN 3::smallint ELSE 1::smallint END AS state,
        (extract(epoch FROM q.create_time) * 1000000)::bigint AS create_micros,
        (extract(epoch FROM q.next_attempt_time) * 1000000)::bigint AS next_attempt_micros,
        (extract(epoch FROM q.create_time + make_interval(secs => $1)) * 1000000)::bigint AS expire_micros,
        coalesce(m.sender, '') AS sender,
        coalesce(m.content_bytes + octet_length(m.prefix), 0)::bigint AS size_bytes
    FROM queue q LEFT JOIN messages m ON m.id = q.message_id";

impl QueueStore {
    /// One row.
    pub(crate) async fn entry(&self, id: i64) -> Result<Option<EntryRow>, sqlx::Error> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE q.id = $2")))
            .bind(self.lifetime_seconds())
            .bind(id)
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(entry_row).transpose()
    }

    /// Those of these rows that exist.
    pub(crate) async fn entries(&self, ids: &[i64]) -> Result<Vec<EntryRow>, sqlx::Error> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE q.id = ANY($2) ORDER BY q.id")))
            .bind(self.lifetime_seconds())
            .bind(ids)
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(entry_row).collect()
    }

    /// Up to `count` rows, oldest first. Only filters that are given stand in the statement, so that each has its index.
    pub(crate) async fn list(&self, filter: &EntryFilter, count: i64) -> Result<Vec<EntryRow>, sqlx::Error> {
        let mut query = sqlx::QueryBuilder::new(COLUMNS.replace("$1", &self.lifetime_seconds().to_string()));
        // Rows at work are few, and the walk along the ids would pass all the others.
        if filter.state == Some(2) {
            query.push(
                " JOIN (SELECT id FROM queue WHERE state = 2 AND lease_until >= now() OFFSET 0) s ON s.id = q.id",
            );
        }
        query.push(" WHERE q.id > ").push_bind(filter.after);
        match filter.state {
            Some(1) => {
                query.push(
                    " AND (q.state = 1 OR (q.state = 2 AND q.lease_until < now() AND NOT q.ends_only))",
                );
            }
            Some(3) => {
                query.push(" AND q.state = 3");
            }
            _ => {}
        }
        if let Some(customer) = &filter.customer {
            query.push(" AND q.customer = ").push_bind(customer);
        }
        if let Some(domain) = &filter.domain {
            query.push(" AND q.recipient_domain = ").push_bind(domain);
        }
        if let Some(message) = filter.message {
            query.push(" AND q.message_id = ").push_bind(message);
        }
        query.push(" ORDER BY q.id LIMIT ").push_bind(count);
        let rows = query.build().fetch_all(self.pool()).await?;
        rows.iter().map(entry_row).collect()
    }

    /// Those of `ids` that exist, or all rows of `message`.
    pub(crate) async fn existing(&self, ids: &[i64], message: Option<Uuid>) -> Result<Vec<i64>, sqlx::Error> {
        sqlx::query_scalar("SELECT id FROM queue WHERE id = ANY($1) OR message_id = $2 ORDER BY id")
            .bind(ids)
            .bind(message)
            .fetch_all(self.pool())
            .await
    }

    /// Makes rows due now, held ones too. Those at work are left alone.
    pub(crate) async fn retry(&self, ids: &[i64]) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "UPDATE queue SET state = 1, ends_only = false, next_attempt_time = now(), lease_owner = NULL,
                lease_until = NULL
            WHERE id = ANY($1) AND (state <> 2 OR lease_until < now())",
        )
        .bind(ids)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }

    /// Stops attempts. A worker that has one loses its lease.
    pub(crate) async fn hold(&self, ids: &[i64]) -> Result<u64, sqlx::Error> {
        let done = sqlx::query(
            "UPDATE queue SET state = 3, ends_only = false, lease_owner = NULL, lease_until = NULL
            WHERE id = ANY($1)",
        )
        .bind(ids)
        .execute(self.pool())
        .await?;
        Ok(done.rows_affected())
    }
}

fn entry_row(row: &PgRow) -> Result<EntryRow, sqlx::Error> {
    Ok(EntryRow {
        id: row.try_get("id")?,
        message_id: row.try_get("message_id")?,
        sender: row.try_get("sender")?,
        recipient: row.try_get("recipient")?,
        state: row.try_get("state")?,
        attempts: row.try_get("attempts")?,
        create_micros: row.try_get("create_micros")?,
        next_attempt_micros: row.try_get("next_attempt_micros")?,
        expire_micros: row.try_get("expire_micros")?,
        last_outcome: row.try_get("last_outcome")?,
        size_bytes: row.try_get("size_bytes")?,
        customer: row.try_get("customer")?,
    })
}
