//! Postgres, schema `account`: the pool and the migrations. What a database must promise before it is used is in `postern_postgres`.
//!
//! The files below hold all SQL of the service. Locks are taken in one order: a customer, the graph of forwards, then
//! the domains by name; second names of a domain are locked by the lock of that domain.

pub(crate) mod api_tokens;
pub(crate) mod app_passwords;
pub(crate) mod audit;
pub(crate) mod autoresponders;
pub(crate) mod checks;
pub(crate) mod claims;
pub(crate) mod customers;
pub(crate) mod directory;
pub(crate) mod dns_findings;
pub(crate) mod domains;
pub(crate) mod forwards;
pub(crate) mod limits;
pub(crate) mod list_additions;
pub(crate) mod list_bounces;
pub(crate) mod list_changes;
pub(crate) mod list_members;
pub(crate) mod lists;
pub(crate) mod logins;
pub(crate) mod mail_keys;
pub(crate) mod mailboxes;
pub(crate) mod overviews;
pub(crate) mod references;
pub(crate) mod removals;
pub(crate) mod removed;
pub(crate) mod requests;
pub(crate) mod second_factors;
pub(crate) mod standing;
pub(crate) mod storage;
pub(crate) mod versions;

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use include_dir::{Dir, include_dir};
use postern_mesh::{StartError, identity::Caller};
use postern_proto::google::Timestamp;
use sqlx::{
    PgConnection, PgPool, Postgres, Row as _, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};

use crate::error::{AccountError, Doing as _};

static MIGRATIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/migrations");
const SCHEMA: &str = "account";

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Dead connections that one request passes over: after a restart of the database all that rested are dead.
const DEAD_CONNECTIONS_MAX: usize = 32;
/// A connection that rested for longer is tried before it is used.
const TRUSTED_IDLE: Duration = Duration::from_millis(500);

/// Runs what changes nothing, once more for each dead connection that it was given.
macro_rules! read {
    ($query:expr) => {{
        let mut dead = 0;
        loop {
            match $query.await {
                Err(error)
                    if $crate::store::is_lost(&error) && dead < $crate::store::DEAD_CONNECTIONS_MAX =>
                {
                    dead += 1
                }
                done => break done,
            }
        }
    }};
}
pub(crate) use read;

/// One write: all of it or nothing, in the name of somebody. Whoever locks a customer or a domain with it has been asked
/// whose it is.
#[derive(Debug)]
pub(crate) struct Tx {
    inner: Transaction<'static, Postgres>,
    /// In whose name.
    pub(crate) caller: Caller,
}

impl Tx {
    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        self.inner.commit().await
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

/// The connections to the database.
#[derive(Clone)]
pub(crate) struct Store {
    pool: PgPool,
    options: PgConnectOptions,
}

/// The schema in Postgres, and the number of its last migration in this version.
#[must_use]
pub fn schema() -> (&'static str, i64) {
    (SCHEMA, postern_postgres::newest(&MIGRATIONS))
}

impl Store {
    /// Connects, checks the promises of the database, and brings the schema up to date.
    pub(crate) async fn open(url: &str, connections: u32) -> Result<Self, StartError> {
        let options = postern_postgres::options(url, "postern-account", SCHEMA)?;
        postern_postgres::prepare(&options, SCHEMA, &MIGRATIONS).await?;

        let limited = options.clone().options([
            ("statement_timeout", "10s"),
            ("lock_timeout", "5s"),
            ("idle_in_transaction_session_timeout", "10s"),
            // Our statements are few and go by index; planning them anew for each call costs more than running them.
            ("plan_cache_mode", "force_generic_plan"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_IDLE {
                        sqlx::Connection::ping(connection).await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(limited)
            .await
            .map_err(postern_postgres::refused)?;
        Ok(Self { pool, options })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How a connection of its own is made, without the limits of requests.
    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Begins a write in somebody's name. Connections that died while they rested are passed over: nothing was done on them
    /// yet.
    pub(crate) async fn begin(&self, caller: &Caller) -> Result<Tx, AccountError> {
        let inner = read!(self.pool.begin()).doing("begin a transaction")?;
        Ok(Tx { inner, caller: caller.clone() })
    }
}

/// True when the connection died rather than the statement.
pub(crate) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        // Class 57P: the server was shut down or is starting; class 08: the connection broke.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
        }
        _ => false,
    }
}

/// A `bigint` column of microseconds since 1970.
fn timestamp(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    let micros: i64 = row.try_get(column)?;
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default();
    Ok(Some(Timestamp { seconds: micros.div_euclid(1_000_000), nanos }))
}

/// The same where there may be none.
fn optional_timestamp(row: &PgRow, column: &str) -> Result<Option<Timestamp>, sqlx::Error> {
    match row.try_get::<Option<i64>, _>(column)? {
        Some(_) => timestamp(row, column),
        None => Ok(None),
    }
}

/// A `smallint` column that holds the number of an enum.
fn number(row: &PgRow, column: &str) -> Result<i32, sqlx::Error> {
    row.try_get::<i16, _>(column).map(i32::from)
}

/// A revision as an etag.
pub(crate) fn etag(revision: i64) -> String {
    format!("r{revision:x}")
}
