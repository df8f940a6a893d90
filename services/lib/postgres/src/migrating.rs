//! Runs migrations beside a house that works. Replicas that start together take turns; nobody who writes waits long for a migration; and
//! a program finds the schema of a newer one and works with it, for migrations only add.

use std::{collections::BTreeMap, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection,
    migrate::{Migrate as _, MigrateError, Migration},
};
use tokio::time::{Instant, sleep};

/// Where what ran is written down, as sqlx has it.
const TABLE: &str = "_sqlx_migrations";
/// Longest wait for a lock on a table. Whoever writes there waits behind a migration that waits, so it gives way. Longer than Postgres'
/// `deadlock_timeout` (1 s), after which an autovacuum gives way to us.
const LOCK_WAIT: &str = "2s";
/// Between two tries: what waited behind us is through by then.
const PAUSE: Duration = Duration::from_secs(3);
/// Between two looks whether it is our turn. Waiting inside Postgres would be a transaction, for whose end an index that another replica
/// builds would wait in turn.
const TURN_EVERY: Duration = Duration::from_millis(200);
/// A lock was not to be had in time; or two waited for each other, and this was the one that was ended.
const GAVE_WAY: [&str; 2] = ["55P03", "40P01"];

/// Runs those of `all` that the schema of the connection has not yet, one replica at a time. Migrations that it has and that are not
/// among `all` are those of a newer program.
///
/// # Errors
/// When one fails, or is not what once ran under its number.
pub(crate) async fn run(
    connection: &mut PgConnection,
    schema: &'static str,
    all: &[Migration],
) -> Result<(), MigrateError> {
    take_turn(connection, schema).await?;
    let done = run_pending(connection, schema, all).await;
    // A connection that was lost has lost its turn, too.
    let _ = sqlx::query("select pg_advisory_unlock(hashtextextended('postern migrations ' || $1, 0))")
        .bind(schema)
        .execute(connection)
        .await;
    done
}

async fn take_turn(connection: &mut PgConnection, schema: &'static str) -> Result<(), sqlx::Error> {
    let mut told = false;
    loop {
        let ours: bool = sqlx::query_scalar(
            "select pg_try_advisory_lock(hashtextextended('postern migrations ' || $1, 0))",
        )
        .bind(schema)
        .fetch_one(&mut *connection)
        .await?;
        if ours {
            return Ok(());
        }
        if !told {
            tracing::info!(schema, "another replica migrates the schema: waiting for it");
            told = true;
        }
        sleep(TURN_EVERY).await;
    }
}

async fn run_pending(
    connection: &mut PgConnection,
    schema: &'static str,
    all: &[Migration],
) -> Result<(), MigrateError> {
    connection.ensure_migrations_table(TABLE).await?;
    if let Some(version) = connection.dirty_version(TABLE).await? {
        return Err(MigrateError::Dirty(version));
    }
    let ran = connection.list_applied_migrations(TABLE).await?;
    let ran: BTreeMap<_, _> = ran.into_iter().map(|one| (one.version, one.checksum)).collect();
    let newest = all.last().map(|migration| migration.version);
    if let Some(theirs) = ran.keys().next_back().filter(|theirs| Some(**theirs) > newest) {
        tracing::info!(schema, migration = theirs, "the schema is that of a newer version");
    }
    for migration in all {
        match ran.get(&migration.version) {
            None if migration.no_tx => run_alongside(connection, migration).await?,
            None => run_whole(connection, migration).await?,
            Some(checksum) if *checksum == migration.checksum => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
        }
    }
    Ok(())
}

/// In one transaction, begun anew whenever a table is not to be had at once.
async fn run_whole(connection: &mut PgConnection, migration: &Migration) -> Result<(), MigrateError> {
    bound_waiting(connection, LOCK_WAIT).await?;
    let began = Instant::now();
    loop {
        match connection.apply(TABLE, migration).await {
            Err(error) if gave_way(&error) => {
                let holder = oldest_transaction(connection).await?.unwrap_or_default();
                tracing::warn!(
                    migration = migration.version,
                    waited_seconds = began.elapsed().as_secs(),
                    oldest_transaction = holder,
                    "a migration waits for a table that somebody holds (a backup, a long query); mail goes on meanwhile"
                );
                sleep(PAUSE).await;
            }
            done => return done.map(drop),
        }
    }
}

/// A statement that waits for others and lets them write meanwhile, for as long as it takes. What a try before left unfinished is
/// taken away first.
async fn run_alongside(connection: &mut PgConnection, migration: &Migration) -> Result<(), MigrateError> {
    bound_waiting(connection, "0").await?;
    let unfinished: Vec<(String, String)> = sqlx::query_as(
        "select c.relname::text, quote_ident(c.relname) from pg_index i join pg_class c on c.oid = i.indexrelid \
         where not i.indisvalid and c.relnamespace = current_schema()::regnamespace",
    )
    .fetch_all(&mut *connection)
    .await?;
    for (name, quoted) in unfinished {
        let mut words = migration.sql.as_str().split(|c: char| !(c.is_alphanumeric() || c == '_'));
        if words.any(|word| word == name) {
            // A name of ours: it stands in the migration.
            let statement = format!("drop index concurrently if exists {quoted}");
            sqlx::query(AssertSqlSafe(statement)).execute(&mut *connection).await?;
        }
    }
    tracing::info!(
        migration = migration.version,
        "a migration runs beside what goes on; on a large house it takes long"
    );
    connection.apply(TABLE, migration).await.map(drop)
}

/// How long a statement waits for a lock; how long it then runs is not bounded, whatever the role has been told.
async fn bound_waiting(connection: &mut PgConnection, lock_timeout: &str) -> Result<(), sqlx::Error> {
    sqlx::query("select set_config('lock_timeout', $1, false), set_config('statement_timeout', '0', false)")
        .bind(lock_timeout)
        .execute(connection)
        .await
        .map(drop)
}

fn gave_way(error: &MigrateError) -> bool {
    let (MigrateError::Execute(cause) | MigrateError::ExecuteMigration(cause, _)) = error else {
        return false;
    };
    let code = cause.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| GAVE_WAY.contains(&&*code))
}

/// Who may be the one that holds the table: name and process id.
async fn oldest_transaction(connection: &mut PgConnection) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar(
        "select coalesce(nullif(application_name, ''), 'a client') || ', process ' || pid from pg_stat_activity \
         where datname = current_database() and pid <> pg_backend_pid() and xact_start is not null \
         order by xact_start limit 1",
    )
    .fetch_optional(connection)
    .await
}
