//! What a service with tables of its own does before it uses its database: it makes sure that the server keeps what it confirms, that
//! the schema exists, and that it is up to date.

mod durability;
mod migrating;
mod migrations;

use std::{str::FromStr as _, time::Duration};

use include_dir::Dir;
use postern_mesh::StartError;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// Names the database in the settings of each service.
const SETTING: &str = "POSTERN_DATABASE_URL";
/// How long the start waits for the server.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// A machine that is cut off says no goodbye: Postgres asks a connection that rests for 30 s whether it is alive, and gives it up 30 s
/// later. By itself it keeps a dead session for two hours, and whatever its transaction has locked. Means nothing on a unix socket.
const KEEPALIVE: [(&str, &str); 3] =
    [("tcp_keepalives_idle", "30"), ("tcp_keepalives_interval", "10"), ("tcp_keepalives_count", "3")];

/// How connections of this service are made: under its name, to its schema.
///
/// # Errors
/// When the URL makes no sense.
pub fn options(
    url: &str,
    service: &'static str,
    schema: &'static str,
) -> Result<PgConnectOptions, StartError> {
    let plain = PgConnectOptions::from_str(url).map_err(|error| {
        StartError::setting(SETTING, format!("not of the form postgres://user@host/database: {error}"))
    })?;
    Ok(plain.application_name(service).options(KEEPALIVE).options([("search_path", schema)]))
}

/// Refuses a server that would forget what it confirmed, makes the schema, and brings it up to date with the migrations of an
/// embedded folder (files `0001_what_it_does.sql`; one that begins with `-- no-transaction` is one statement that runs outside of any).
/// Replicas that start together wait for each other, and migrations wait for whoever holds their tables, as long as it takes. A schema
/// that is newer than the folder is left as it is.
///
/// # Errors
/// When the server is away, is not durable, or a migration fails.
pub async fn prepare(
    options: &PgConnectOptions,
    schema: &'static str,
    folder: &'static Dir<'static>,
) -> Result<(), StartError> {
    let start = PgPoolOptions::new().max_connections(1).acquire_timeout(START_TIMEOUT);
    let pool = start.connect_with(options.clone()).await.map_err(refused)?;
    if let Some(why) = durability::of(&pool).await.map_err(refused)?.refusal() {
        return Err(StartError::setting(SETTING, why));
    }
    create_schema(&pool, schema).await.map_err(refused)?;
    let all = migrations::embedded(folder).map_err(refused)?;
    let mut connection = pool.acquire().await.map_err(refused)?;
    migrating::run(&mut connection, schema, &all).await.map_err(refused)?;
    drop(connection);
    pool.close().await;
    Ok(())
}

/// The number of the last migration of an embedded folder; 0 for one without any.
#[must_use]
pub fn newest(folder: &'static Dir<'static>) -> i64 {
    migrations::embedded(folder).ok().and_then(|all| Some(all.last()?.version)).unwrap_or_default()
}

/// What Postgres said at the start.
pub fn refused(error: impl std::error::Error + Send + Sync + 'static) -> StartError {
    StartError::store("Postgres", error)
}

/// `create schema if not exists` fails when two do it at the same moment, so they do it one after the other.
async fn create_schema(pool: &PgPool, schema: &'static str) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('postern schema ' || $1, 0))")
        .bind(schema)
        .execute(&mut *tx)
        .await?;
    let statement = format!("create schema if not exists {schema}");
    // A name of ours, not of anybody's input.
    sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut *tx).await?;
    tx.commit().await
}
