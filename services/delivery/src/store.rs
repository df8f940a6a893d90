//! Postgres, schema `mail`: connecting. What the server must promise first is in `postern_postgres`.
//!
//! Used by everything below `grpc`; the accept path has connections of its own, opened with the same options.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use include_dir::{Dir, include_dir};
use postern_mesh::StartError;
use sqlx::{
    ConnectOptions as _, Connection as _, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
    query::Query,
};
use tokio::sync::Semaphore;

use crate::{
    trace::{BoxNotes, Traffic},
    usage::ChangedBoxes,
};

/// Waiting for a free connection, seconds. A caller that waits longer is better told to try again.
const ACQUIRE_SECONDS: u64 = 3;
/// A transaction whose client says nothing for so long is given up, with its connection.
const TRANSACTION_IDLE: &str = "3s";
/// What is not answered for so long is not answered any more ([`in_time`]).
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The same for a connection that comes back to the pool, whose statements are over.
const RETURN_MAX: Duration = Duration::from_secs(5);
static MIGRATIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/migrations");
const SCHEMA: &str = "mail";

/// A statement with its arguments.
pub(crate) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// The database of this service. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    options: PgConnectOptions,
    lanes: Arc<Lanes>,
    changed: ChangedBoxes,
    notes: BoxNotes,
    traffic: Traffic,
}

/// Connections of the read path. A pool of sqlx asks the server a second time whenever a connection comes back; here a
/// connection that just answered is taken as good, and one that is not is found out by its next use.
#[derive(Debug)]
struct Lanes {
    idle: Mutex<Vec<PgConnection>>,
    places: Semaphore,
}

impl Lanes {
    fn idle(&self) -> MutexGuard<'_, Vec<PgConnection>> {
        // Nothing that holds the lock can panic half way; a list of connections is good in any case.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<PgConnection> {
        self.idle().pop()
    }

    fn put_back(&self, connection: PgConnection) {
        self.idle().push(connection);
    }

    fn give_up_all(&self) {
        self.idle().clear();
    }
}

/// The schema in Postgres, and the number of its last migration in this version.
#[must_use]
pub fn schema() -> (&'static str, i64) {
    (SCHEMA, postern_postgres::newest(&MIGRATIONS))
}

impl Store {
    /// Connects, checks that the server keeps what it confirms, and migrates schema `mail`.
    ///
    /// # Errors
    /// When the URL makes no sense, the server is away or not durable, or a migration fails.
    pub async fn open(url: &str, connections: u32) -> Result<Self, StartError> {
        let plain = postern_postgres::options(url, "postern-delivery", SCHEMA)?;
        postern_postgres::prepare(&plain, SCHEMA, &MIGRATIONS).await?;
        // Our transactions never wait for anybody else. One that does was begun by a replica that is cut off or hangs, and may hold
        // the rows of boxes that the others deliver to.
        let options = plain.options([("idle_in_transaction_session_timeout", TRANSACTION_IDLE)]);

        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS))
            // A ping before each use would double the round trips; a dead connection is an error that is retried.
            .test_before_acquire(false)
            // One whose statement was given up may be silent for good: it must not keep its place.
            .after_release(|connection, _| {
                Box::pin(async move { within(RETURN_MAX, connection.ping()).await.map(|()| true) })
            })
            .connect_with(options.clone())
            .await
            .map_err(postern_postgres::refused)?;
        let places = Semaphore::new(connections as usize);
        Ok(Self {
            pool,
            options,
            lanes: Arc::new(Lanes { idle: Mutex::default(), places }),
            changed: ChangedBoxes::default(),
            notes: BoxNotes::default(),
            traffic: Traffic::default(),
        })
    }

    /// The shared connections.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Boxes that this process changed; whoever commits a change notes it here.
    pub(crate) fn changed(&self) -> &ChangedBoxes {
        &self.changed
    }

    /// What was read and deleted, for the stories of messages.
    pub(crate) fn notes(&self) -> &BoxNotes {
        &self.notes
    }

    /// How much mail this process accepts.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// A connection of one's own, outside the pool.
    ///
    /// # Errors
    /// When the server is away.
    pub async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        self.options.connect().await
    }

    /// Asks on a connection of the read path. When that connection turns out to be dead, all idle ones are given up and
    /// a fresh one is asked once more: only for what is harmless to do twice.
    ///
    /// # Errors
    /// What the statement met; [`sqlx::Error::PoolTimedOut`] when all connections were busy for too long.
    pub(crate) async fn read<'q>(&self, query: impl Fn() -> PgQuery<'q>) -> Result<Vec<PgRow>, sqlx::Error> {
        let wait = Duration::from_secs(ACQUIRE_SECONDS);
        let place = tokio::time::timeout(wait, self.lanes.places.acquire()).await;
        let Ok(Ok(_place)) = place else { return Err(sqlx::Error::PoolTimedOut) };
        if let Some(mut connection) = self.lanes.take() {
            match in_time(query().fetch_all(&mut connection)).await {
                Err(error) if Fault::of(&error) == Fault::Unknown => self.lanes.give_up_all(),
                outcome => {
                    self.lanes.put_back(connection);
                    return outcome;
                }
            }
        }
        let connected = tokio::time::timeout(wait, self.connect()).await;
        let mut connection = connected.map_err(|_| sqlx::Error::PoolTimedOut)??;
        let outcome = in_time(query().fetch_all(&mut connection)).await;
        if outcome.is_ok() {
            self.lanes.put_back(connection);
        }
        outcome
    }

    /// The same for a statement that answers with one row.
    ///
    /// # Errors
    /// As [`Self::read`], and when there is no row.
    pub(crate) async fn read_one<'q>(&self, query: impl Fn() -> PgQuery<'q>) -> Result<PgRow, sqlx::Error> {
        self.read(query).await?.pop().ok_or(sqlx::Error::RowNotFound)
    }

    /// True when the database answers.
    pub async fn is_ready(&self) -> bool {
        sqlx::query("SELECT 1").execute(&self.pool).await.is_ok()
    }
}

/// A transaction whose end does not wait for the disk, nor makes others wait for it: for what may be undone by a crash of the
/// database (the last second, in order, so that nothing that is kept relies on what is lost) without a message being lost.
pub(crate) async fn begin_unhurried(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    pool.begin_with("BEGIN; SET LOCAL synchronous_commit = off").await
}

/// For a task that writes one statement after the other, each about rows whose numbers it gives: a connection of its own. A pool would
/// ask the server once more for each of them, whether the connection is still good, and twice where it is to wait for no disk.
#[derive(Debug)]
pub(crate) struct OwnConnection {
    options: PgConnectOptions,
    /// One whose last statement came to its end.
    idle: Option<PgConnection>,
}

/// To look for the best way to rows whose numbers are given would cost more than to go it. A plan that is kept may have been made while
/// a table was empty: it must not read all of it then. Statements say `= ANY` of the numbers besides, for the same reason.
const BY_NUMBER: [(&str, &str); 2] = [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off")];

impl OwnConnection {
    /// To the database of this pool; connects when it is needed.
    pub(crate) fn beside(pool: &PgPool) -> Self {
        let options = (*pool.connect_options()).clone().options(BY_NUMBER);
        Self { options, idle: None }
    }

    /// The same, whose commits wait for no disk, as with [`begin_unhurried`].
    pub(crate) fn unhurried_beside(pool: &PgPool) -> Self {
        let Self { options, idle } = Self::beside(pool);
        Self { options: options.options([("synchronous_commit", "off")]), idle }
    }

    /// One statement, committed by itself. One that fails, or is given up half way, takes its connection along.
    ///
    /// # Errors
    /// What the statement met, or that the server is away.
    pub(crate) async fn execute(&mut self, statement: PgQuery<'_>) -> Result<(), sqlx::Error> {
        let mut connection = match self.idle.take() {
            Some(connection) => connection,
            None => self.options.connect().await?,
        };
        statement.execute(&mut connection).await?;
        self.idle = Some(connection);
        Ok(())
    }
}

/// For what tasks do that nobody waits for. A machine that was cut off hears nothing of the end of its connections: what was under
/// way would be waited for until the process ends.
///
/// # Errors
/// What the work met; after a minute that it was silent, which leaves open whether it was done.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    within(SILENCE_MAX, work).await
}

/// The same, for work whose outcome is of no use after `time`.
///
/// # Errors
/// What the work met; silence.
pub(crate) async fn within<T>(
    time: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = |_| Err(sqlx::Error::Io(io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(time, work).await.unwrap_or_else(silent)
}

/// What a failure of the database means to whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection broke: the statement may have been committed or not.
    Unknown,
    /// Disk or memory of the server is short (SQLSTATE class 53); nothing was done.
    Full,
    /// Two transactions stood in each other's way; nothing was done, again is right.
    Collision,
    /// This statement was refused, nothing was done; another one may be taken.
    Refused,
}

impl Fault {
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let Some(code) = error.as_database_error().and_then(|database| database.code()) else {
            return match error {
                // Refused before anything was sent.
                sqlx::Error::Encode(_) | sqlx::Error::PoolTimedOut => Self::Refused,
                _ => Self::Unknown,
            };
        };
        match code.as_ref() {
            "40001" | "40P01" | "55P03" => Self::Collision,
            // The server is going down, was killed or is coming up: the commit may have happened.
            "57P01" | "57P02" | "57P03" | "57014" | "40003" => Self::Unknown,
            code if code.starts_with("53") => Self::Full,
            code if code.starts_with("08") => Self::Unknown,
            _ => Self::Refused,
        }
    }
}
