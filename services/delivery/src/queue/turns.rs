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

const CUSTOMER: &str = "(coalesce(q.customer, '') COLLATE \"C\")";
const DOMAIN: &str = "(q.recipient_domain COLLATE \"C\")";

/// Where the turns go on: the next customer and the next destination.
#[derive(Debug, Default)]
struct Cursor(Mutex<(String, String)>);

impl Cursor {
    fn get(&self) -> (String, String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, cursor: (String, String)) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = cursor;
    }
}

/// A cursor for each kind of row.
#[derive(Debug, Default)]
pub(super) struct Cursors {
    mail: Cursor,
    copies: Cursor,
    posts: Cursor,
    errands: Cursor,
}

/// Rows of one kind, as the indexes say it.
#[derive(Clone, Copy)]
struct Kind {
    rows: &'static str,
    /// Their destinations take turns too, and the oldest go first; an errand's destination is the house.
    leaves: bool,
}

const MAIL: Kind = Kind { rows: "q.class < 2", leaves: true };
const COPIES: Kind = Kind { rows: "q.class = 2", leaves: true };
const POSTS: Kind = Kind { rows: "q.class = 3", leaves: false };
const ERRANDS: Kind = Kind { rows: "q.class > 3", leaves: false };

impl Kind {
    /// $1 owner, $2 lifetime, $3 lease, $4 domains and $10 how many of each are wanted, $9 how many of others, $5 customers that get
    /// none, $6 and $7 where the turns go on, $8 how many in all.
    fn statement(self, columns: &str) -> String {
        let (domains, looked_at) = (self.domains(), self.candidates());
        // Of one domain customers take turns, and of all that domains may have.
        format!(
            "WITH RECURSIVE customers (key, n) AS (
                {customers} FROM customers k WHERE k.key IS NOT NULL AND n < {TURNS}),
            domains (key, n) AS ({domains}),
            candidates AS MATERIALIZED ({looked_at}),
            of_pairs AS (
                SELECT c.*, coalesce(w.room, $9) AS room,
                    row_number() OVER (PARTITION BY domain, customer ORDER BY next_attempt_time, id) AS of_pair
                FROM candidates c LEFT JOIN unnest($4::text[], $10::bigint[]) AS w (name, room) ON w.name = domain
                WHERE coalesce(w.room, $9) > 0 AND customer <> ALL($5)),
            of_domains AS (
                SELECT *, row_number() OVER (PARTITION BY domain ORDER BY of_pair, next_attempt_time, id) AS of_domain
                FROM of_pairs),
            ranked AS (
                SELECT id, next_attempt_time, of_domain,
                    row_number() OVER (PARTITION BY customer ORDER BY next_attempt_time, id) AS of_customer
                FROM of_domains WHERE of_domain <= room),
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
            customers = self.keys(CUSTOMER, "$6"),
        )
    }

    fn waits(self) -> String {
        format!("q.state = 1 AND {}", self.rows)
    }

    /// A walk along an index from key to key.
    fn keys(self, key: &str, from: &str) -> String {
        let waits = self.waits();
        format!(
            "(SELECT {key}, 1 FROM queue q WHERE {waits} AND {key} >= {from} ORDER BY {key} LIMIT 1)
            UNION ALL
            SELECT (SELECT {key} FROM queue q WHERE {waits} AND {key} > k.key ORDER BY {key} LIMIT 1), n + 1"
        )
    }

    fn domains(self) -> String {
        if self.leaves {
            format!("{} FROM domains k WHERE k.key IS NOT NULL AND n < {TURNS}", self.keys(DOMAIN, "$7"))
        } else {
            "SELECT $7::text, 0 WHERE false".to_owned()
        }
    }

    /// The rows that are looked at.
    fn candidates(self) -> String {
        let waits = self.waits();
        let row = format!("q.id, {CUSTOMER} AS customer, {DOMAIN} AS domain, q.next_attempt_time");
        let of_each = |key: &str, keys: &str| {
            format!(
                "SELECT r.* FROM {keys} k CROSS JOIN LATERAL (
                    SELECT {row} FROM queue q WHERE {waits} AND {key} = k.key AND q.next_attempt_time <= now()
                    ORDER BY q.next_attempt_time LIMIT {OF_EACH}) r
                WHERE k.key IS NOT NULL"
            )
        };
        let by_customer = of_each(CUSTOMER, "customers");
        if !self.leaves {
            return by_customer;
        }
        format!(
            "SELECT * FROM (SELECT {row} FROM queue q WHERE {waits} AND q.next_attempt_time <= now()
                ORDER BY q.next_attempt_time LIMIT {OLDEST}) o
            UNION {by_customer} UNION {by_domain}",
            by_domain = of_each(DOMAIN, "domains"),
        )
    }
}

/// How many of which destinations; none of which customers.
struct Bounds<'a> {
    domains: &'a [(String, usize)],
    of_each: usize,
    busy_customers: &'a [String],
}

impl QueueStore {
    /// Leases mail that is due.
    pub(super) async fn take_due_mail(&self, wanted: &Wanted) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let bounds = Bounds {
            domains: &wanted.domains,
            of_each: wanted.of_each_domain,
            busy_customers: &wanted.busy_customers,
        };
        self.take_turns(MAIL, wanted.rows, bounds, &self.cursors.mail).await
    }

    /// Leases copies of lists that are due.
    pub(super) async fn take_due_copies(
        &self,
        count: usize,
        wanted: &Wanted,
    ) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let bounds = Bounds {
            domains: &wanted.copies_domains,
            of_each: wanted.of_each_domain,
            busy_customers: &wanted.busy_with_copies,
        };
        self.take_turns(COPIES, count, bounds, &self.cursors.copies).await
    }

    /// Leases errands that are due, posts to lists and others.
    pub(super) async fn take_due_errands(&self, wanted: &Wanted) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let mut taken = Vec::new();
        let posts = (POSTS, wanted.posts, wanted.posting_customers.as_slice(), &self.cursors.posts);
        let others: &[String] = &[];
        let others = (ERRANDS, wanted.errands, others, &self.cursors.errands);
        for (kind, count, busy_customers, cursor) in [posts, others] {
            let bounds = Bounds { domains: &[], of_each: usize::MAX, busy_customers };
            if count > 0 {
                taken.extend(self.take_turns(kind, count, bounds, cursor).await?);
            }
        }
        Ok(taken)
    }

    async fn take_turns(
        &self,
        kind: Kind,
        count: usize,
        bounds: Bounds<'_>,
        cursor: &Cursor,
    ) -> Result<Vec<LeasedRow>, sqlx::Error> {
        let (customer, domain) = cursor.get();
        let (names, rooms): (Vec<&str>, Vec<i64>) =
            bounds.domains.iter().map(|(name, room)| (name.as_str(), as_count(*room))).unzip();
        let rows = sqlx::query(sqlx::AssertSqlSafe(kind.statement(&self.leased_columns())))
            .bind(self.replica())
            .bind(self.lifetime_seconds())
            .bind(LEASE_SECONDS)
            .bind(names)
            .bind(bounds.busy_customers)
            .bind(customer)
            .bind(domain)
            .bind(as_count(count))
            .bind(as_count(bounds.of_each))
            .bind(rooms)
            .fetch_all(self.pool())
            .await?;
        if let Some(row) = rows.first() {
            // Behind the last key; no key, then the turns begin anew.
            let behind = |key: Option<String>| key.map(|key| format!("{key}\u{1}")).unwrap_or_default();
            cursor.set((behind(row.try_get("next_customer")?), behind(row.try_get("next_domain")?)));
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

fn as_count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
