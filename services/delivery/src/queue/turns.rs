//! Taking due rows by turns: some of the oldest, and some of each customer and each destination whose turn it is.
//!
//! Every step reads a bounded number of rows along an index, so a poll costs the same with a hundred rows as with a million, and
//! whoever has few rows is found however many the others have.

use std::sync::{Mutex, PoisonError};

use sqlx::Row as _;

use super::{
    LeasedRow,
    store::{LEASE_SECONDS, QueueStore, Wanted, leased_row},
};

/// The oldest due rows that are looked at.
const OLDEST: i64 = 1000;
/// Customers, and destinations, whose turn it is in one poll.
const TURNS: i64 = 32;
/// Rows that are looked at of each of them.
const OF_EACH: i64 = 16;

/// Where the turns go on: the next customer and the next destination.
#[derive(Debug, Default)]
pub(super) struct Cursors(Mutex<(String, String)>);

impl Cursors {
    fn get(&self) -> (String, String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, cursors: (String, String)) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cursors;
    }
}

/// `$kind`: which rows, as the indexes say it.
fn statement(kind: &str, columns: &str) -> String {
    const CUSTOMER: &str = "(coalesce(q.customer, '') COLLATE \"C\")";
    const DOMAIN: &str = "(q.recipient_domain COLLATE \"C\")";
    let waits = format!("q.state = 1 AND {kind}");
    // A walk along an index from key to key.
    let keys = |key: &str, from: &str| {
        format!(
            "(SELECT {key}, 1 FROM queue q WHERE {waits} AND {key} >= {from} ORDER BY {key} LIMIT 1)
            UNION ALL
            SELECT (SELECT {key} FROM queue q WHERE {waits} AND {key} > k.key ORDER BY {key} LIMIT 1), n + 1"
        )
    };
    let row = format!("q.id, {CUSTOMER} AS customer, {DOMAIN} AS domain, q.next_attempt_time");
    let of_each = |key: &str, keys: &str| {
        format!(
            "SELECT r.* FROM {keys} k CROSS JOIN LATERAL (
                SELECT {row} FROM queue q WHERE {waits} AND {key} = k.key AND q.next_attempt_time <= now()
                ORDER BY q.next_attempt_time LIMIT {OF_EACH}) r
            WHERE k.key IS NOT NULL"
        )
    };
    format!(
        "WITH RECURSIVE customers (key, n) AS (
            {customers} FROM customers k WHERE k.key IS NOT NULL AND n < {TURNS}),
        domains (key, n) AS (
            {domains} FROM domains k WHERE k.key IS NOT NULL AND n < {TURNS}),
        candidates AS MATERIALIZED (
            SELECT * FROM (SELECT {row} FROM queue q WHERE {waits} AND q.next_attempt_time <= now()
                ORDER BY q.next_attempt_time LIMIT {OLDEST}) o
            UNION {by_customer} UNION {by_domain}),
        ranked AS (
            SELECT id, next_attempt_time,
                row_number() OVER (PARTITION BY customer ORDER BY next_attempt_time, id) AS of_customer,
                row_number() OVER (PARTITION BY domain ORDER BY next_attempt_time, id) AS of_domain
            FROM candidates WHERE domain <> ALL($4) AND customer <> ALL($5)),
        first AS MATERIALIZED (
            SELECT id FROM ranked ORDER BY of_customer, of_domain, next_attempt_time, id LIMIT $8),
        chosen AS MATERIALIZED (
            SELECT q.id FROM queue q JOIN first f ON q.id = f.id WHERE q.state = 1
            FOR UPDATE OF q SKIP LOCKED),
        taken AS (
            UPDATE queue q SET state = 2, lease_owner = $1, lease_until = now() + make_interval(secs => $3),
                expire_time = q.create_time + make_interval(secs => $2)
            FROM chosen WHERE q.id = chosen.id RETURNING {columns}, false AS held)
        SELECT c.key AS next_customer, d.key AS next_domain, t.*
        FROM (SELECT max(key) AS key FROM customers WHERE n = {TURNS}) c
        CROSS JOIN (SELECT max(key) AS key FROM domains WHERE n = {TURNS}) d
        LEFT JOIN taken t ON true",
        customers = keys(CUSTOMER, "$6"),
        domains = keys(DOMAIN, "$7"),
        by_customer = of_each(CUSTOMER, "customers"),
        by_domain = of_each(DOMAIN, "domains"),
    )
}

impl QueueStore {
    /// Leases mail that is due.
    pub(super) async fn take_due_mail(&self, wanted: &Wanted) -> Result<Vec<LeasedRow>, sqlx::Error> {
        self.take_turns("q.class < 2", wanted.rows, wanted, &self.mail_cursors).await
    }

    /// Leases copies of lists that are due.
    pub(super) async fn take_due_copies(
        &self,
        count: usize,
        wanted: &Wanted,
    ) -> Result<Vec<LeasedRow>, sqlx::Error> {
        self.take_turns("q.class = 2", count, wanted, &self.copies_cursors).await
    }

    async fn take_turns(
        &self,
        kind: &str,
        count: usize,
        wanted: &Wanted,
        cursors: &Cursors,
    ) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let (customer, domain) = cursors.get();
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement(kind, &self.leased_columns())))
            .bind(self.replica())
            .bind(self.lifetime_seconds())
            .bind(LEASE_SECONDS)
            .bind(&wanted.busy_domains)
            .bind(&wanted.busy_customers)
            .bind(customer)
            .bind(domain)
            .bind(i64::try_from(count).unwrap_or(i64::MAX))
            .fetch_all(self.pool())
            .await?;
        if let Some(row) = rows.first() {
            // Behind the last key; no key, then the turns begin anew.
            let behind = |key: Option<String>| key.map(|key| format!("{key}\u{1}")).unwrap_or_default();
            cursors.set((behind(row.try_get("next_customer")?), behind(row.try_get("next_domain")?)));
        }
        let mut taken = Vec::with_capacity(rows.len());
        for row in rows {
            if row.try_get::<Option<i64>, _>("id")?.is_some() {
                taken.extend(leased_row(&row));
            }
        }
        Ok(taken)
    }
}
