//! Postgres, schema `account`: the pool, the migrations, and what a database must promise before we use it.
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
    str::FromStr as _,
    time::Duration,
};

use postern_mesh::{StartError, database, identity::Caller};
use postern_proto::google::Timestamp;
use sqlx::{
    PgConnection, PgPool, Postgres, Row as _, Transaction,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions, PgRow},
};
use thiserror::Error;

use crate::error::{AccountError, Doing as _};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the start waits for the database.
const START_TIMEOUT: Duration = Duration::from_secs(15);
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

/// Why a database is not used.
#[derive(Debug, Error)]
#[error("{0}")]
struct Refused(String);

/// The connections to the database.
#[derive(Clone)]
pub(crate) struct Store {
    pool: PgPool,
    options: PgConnectOptions,
}

impl Store {
    /// Connects, checks the promises of the database, and brings the schema up to date.
    pub(crate) async fn open(url: &str, connections: u32) -> Result<Self, StartError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| {
                StartError::setting("POSTERN_DATABASE_URL", "not of the form postgres://user@host/database")
            })?
            .application_name("postern-account")
            .options(database::SESSION)
            .options([("search_path", "account")]);
        prepare(&options).await.map_err(|source| StartError::store("Postgres", source))?;

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
            .map_err(|source| StartError::store("Postgres", source))?;
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

async fn prepare(options: &PgConnectOptions) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let start = PgPoolOptions::new().max_connections(1).acquire_timeout(START_TIMEOUT);
    let pool = start.connect_with(options.clone()).await?;
    let row = sqlx::query(
        "select current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
         pg_is_in_recovery()",
    )
    .fetch_one(&pool)
    .await?;
    let promises = Promises {
        fsync: row.try_get(0)?,
        full_page_writes: row.try_get(1)?,
        synchronous_commit: row.try_get(2)?,
        standby: row.try_get(3)?,
    };
    if let Some(why) = promises.refusal() {
        return Err(Refused(why).into());
    }
    create_schema(&pool).await?;
    // Replicas that start together wait for each other: the migrator takes an advisory lock.
    MIGRATIONS.run(&pool).await?;
    pool.close().await;
    Ok(())
}

/// `create schema if not exists` fails when two do it at the same moment, so they do it one after the other.
async fn create_schema(pool: &PgPool) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('postern schema account', 0))")
        .execute(&mut *tx)
        .await?;
    sqlx::query("create schema if not exists account").execute(&mut *tx).await?;
    tx.commit().await
}

/// Settings of the database that decide whether what we call durable is.
struct Promises {
    fsync: String,
    full_page_writes: String,
    synchronous_commit: String,
    standby: bool,
}

impl Promises {
    /// Why a database with these settings is not used, in words for its operator.
    fn refusal(&self) -> Option<String> {
        let must = |name, is: &str, risk| {
            format!("this database has {name} = {is}, so {risk}; set {name} = on and start again")
        };
        if self.fsync != "on" {
            return Some(must("fsync", &self.fsync, "a power cut can destroy it"));
        }
        if self.full_page_writes != "on" {
            return Some(must("full_page_writes", &self.full_page_writes, "a power cut can destroy it"));
        }
        if !matches!(self.synchronous_commit.as_str(), "on" | "remote_apply") {
            return Some(must(
                "synchronous_commit",
                &self.synchronous_commit,
                "it confirms what a crash can still take back",
            ));
        }
        self.standby.then(|| "this database is a read-only standby; name the primary".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_can_lose_what_it_confirmed_is_refused() {
        for (fsync, pages, commit, standby, word) in [
            ("on", "on", "on", false, None),
            ("on", "on", "remote_apply", false, None),
            ("off", "on", "on", false, Some("fsync = off")),
            ("on", "off", "on", false, Some("full_page_writes = off")),
            ("on", "on", "off", false, Some("synchronous_commit = off")),
            ("on", "on", "local", false, Some("synchronous_commit = local")),
            ("on", "on", "remote_write", false, Some("synchronous_commit = remote_write")),
            ("on", "on", "on", true, Some("standby")),
        ] {
            let promises = Promises {
                fsync: fsync.into(),
                full_page_writes: pages.into(),
                synchronous_commit: commit.into(),
                standby,
            };
            match (promises.refusal(), word) {
                (None, None) => {}
                (Some(why), Some(word)) => assert!(why.contains(word), "{why}"),
                (got, wanted) => panic!("{got:?} instead of {wanted:?}"),
            }
        }
    }
}
