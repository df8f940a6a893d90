//! Postgres and Redis: do they keep what they confirm, and is the schema that of this version. The services ask at their start; a store
//! may be changed after it.

use std::{str::FromStr as _, time::Duration};

use postern_mesh::secret;
use postern_redis::Connection;
use sqlx::{AssertSqlSafe, ConnectOptions as _, PgConnection, Row as _, postgres::PgConnectOptions};

use super::{Doctor, Findings};

const TIMEOUT: Duration = Duration::from_secs(5);
/// A database this full of connections has none for the next replica.
const CONNECTIONS_CARE_PERCENT: i64 = 80;

/// Looks at those whose URL is known.
pub(super) async fn look(doctor: &Doctor, findings: &mut Findings) {
    let given = (doctor.database_url.as_deref(), doctor.database_url_file.as_deref());
    match given {
        (None, None) => {
            let advice = "name it: POSTERN_DATABASE_URL or POSTERN_DATABASE_URL_FILE";
            findings.unknown("Postgres", "not looked at, save by the services themselves", advice);
        }
        (url, file) => match secret::DATABASE_URL.read(url, file) {
            Err(error) => findings.wrong("Postgres", error.to_string(), "correct the setting"),
            Ok(url) => within("Postgres", postgres(&url, findings)).await.unwrap_or_else(|(seen, advice)| {
                findings.wrong("Postgres", seen, advice);
            }),
        },
    }
    if !doctor.redis.is_given() {
        let advice = "name it: POSTERN_REDIS_URL or POSTERN_REDIS_URL_FILE";
        findings.unknown("Redis", "not looked at, save by the services themselves", advice);
        return;
    }
    match Connection::new(&doctor.redis) {
        Err(error) => findings.wrong("Redis", error.to_string(), "correct the setting"),
        Ok(connection) => {
            within("Redis", redis(connection, findings)).await.unwrap_or_else(|(seen, advice)| {
                findings.wrong("Redis", seen, advice);
            })
        }
    }
}

/// What was seen instead, and what to do.
type Trouble = (String, &'static str);

async fn within(store: &str, looking: impl Future<Output = Result<(), String>>) -> Result<(), Trouble> {
    const ADVICE: &str = "is it up, does its URL hold, and may we reach it from here?";
    match tokio::time::timeout(TIMEOUT, looking).await {
        Ok(looked) => looked.map_err(|seen| (seen, ADVICE)),
        Err(_) => Err((format!("{store} does not answer within {TIMEOUT:?}"), ADVICE)),
    }
}

async fn postgres(url: &str, findings: &mut Findings) -> Result<(), String> {
    // The error of a URL may show its password.
    let options = PgConnectOptions::from_str(url).map_err(|_| "the URL is none".to_owned())?;
    let mut connection = options.connect().await.map_err(|e| e.to_string())?;
    promises(&mut connection, findings).await.map_err(|e| e.to_string())?;
    for (schema, wanted) in [postern_account::schema(), postern_delivery::store::schema()] {
        migrated(&mut connection, schema, wanted, findings).await.map_err(|e| e.to_string())?;
    }
    unfinished(&mut connection, findings).await.map_err(|e| e.to_string())
}

/// Have the migrations of this version run?
async fn migrated(
    connection: &mut PgConnection,
    schema: &'static str,
    wanted: i64,
    findings: &mut Findings,
) -> Result<(), sqlx::Error> {
    let subject = format!("schema {schema}");
    let table = format!("{schema}._sqlx_migrations");
    let there: Option<String> =
        sqlx::query_scalar("SELECT to_regclass($1)::text").bind(&table).fetch_one(&mut *connection).await?;
    let ran: i64 = match there {
        None => 0,
        // A name of ours, not of anybody's input.
        Some(_) => {
            let question = format!("SELECT coalesce(max(version), 0) FROM {table}");
            sqlx::query_scalar(AssertSqlSafe(question)).fetch_one(connection).await?
        }
    };
    if ran >= wanted {
        findings.good(subject, format!("at migration {ran}"));
    } else {
        let advice = "the service of this version has not started yet, or its migration waits for a table that somebody holds: its log says so";
        findings.care(subject, format!("at migration {ran}, this version has {wanted}"), advice);
    }
    Ok(())
}

/// Indexes that a migration has begun to build and nobody has ended.
async fn unfinished(connection: &mut PgConnection, findings: &mut Findings) -> Result<(), sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid \
         WHERE NOT indisvalid AND relnamespace = ANY (ARRAY[to_regnamespace($1), to_regnamespace($2)]::oid[])",
    )
    .bind(postern_account::schema().0)
    .bind(postern_delivery::store::schema().0)
    .fetch_all(connection)
    .await?;
    if !names.is_empty() {
        let advice = "it is being built, or a start was ended in the middle of it: the next start of its service begins it anew";
        findings.care("Postgres", format!("unfinished: {}", names.join(", ")), advice);
    }
    Ok(())
}

async fn promises(connection: &mut PgConnection, findings: &mut Findings) -> Result<(), sqlx::Error> {
    let row = sqlx::query(
        "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, \
         current_setting('synchronous_commit') AS synchronous_commit, \
         current_setting('synchronous_standby_names') AS standbys, \
         current_setting('server_version') AS version, current_setting('max_connections')::bigint AS most, \
         (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used",
    )
    .fetch_one(connection)
    .await?;
    let mut keeps = true;
    for (name, good) in [
        ("fsync", &["on"][..]),
        ("full_page_writes", &["on"]),
        ("synchronous_commit", &["on", "remote_apply"]),
    ] {
        let value: String = row.try_get(name)?;
        if !good.contains(&value.as_str()) {
            keeps = false;
            let advice = format!("accepted mail is not safe: set {name} = on and restart the server");
            findings.wrong("Postgres", format!("{name} = {value}"), advice);
        }
    }
    let (version, standbys): (String, String) = (row.try_get("version")?, row.try_get("standbys")?);
    if keeps {
        findings.good("Postgres", format!("version {version}, keeps what it confirms"));
    }
    if standbys.is_empty() {
        let advice =
            "accepted mail is on one machine: give it a synchronous standby where that is not enough";
        findings.care("Postgres", "no synchronous standby", advice);
    }
    let (used, most): (i64, i64) = (row.try_get("used")?, row.try_get("most")?);
    if used * 100 > most * CONNECTIONS_CARE_PERCENT {
        let advice = "raise max_connections, or lower POSTERN_DATABASE_CONNECTIONS of the replicas";
        findings.care("Postgres", format!("{used} of {most} connections are taken"), advice);
    }
    Ok(())
}

async fn redis(mut connection: Connection, findings: &mut Findings) -> Result<(), String> {
    match redis::cmd("INFO").query_async::<String>(&mut connection).await {
        Ok(info) => redis_promises(&info, findings),
        // It answered, and services do not take it.
        Err(error) if matches!(error.kind(), redis::ErrorKind::Server(redis::ServerErrorKind::ReadOnly)) => {
            let advice = "it is no primary (any more): let its address lead to the one that is, services follow by themselves";
            findings.wrong("Redis", error.to_string(), advice);
        }
        Err(error) => return Err(error.to_string()),
    }
    Ok(())
}

fn redis_promises(info: &str, findings: &mut Findings) {
    let value = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    match value("maxmemory_policy") {
        Some("noeviction") => {
            let version = value("redis_version").unwrap_or("unknown");
            findings.good("Redis", format!("version {version}, does not evict"));
        }
        Some(policy) => {
            let advice =
                "set maxmemory-policy noeviction: grants, locks and throttles must not vanish by themselves";
            findings.wrong("Redis", format!("maxmemory-policy is {policy}"), advice);
        }
        None => findings.unknown("Redis", "does not tell its policy", "make sure it is noeviction"),
    }
    let number = |name: &str| value(name).and_then(|text| text.parse::<u64>().ok());
    if let (Some(used), Some(most @ 1..)) = (number("used_memory"), number("maxmemory"))
        && used > most / 10 * 8
    {
        let advice = "raise maxmemory: a full Redis refuses logins";
        findings.care("Redis", format!("{used} of {most} octets are taken"), advice);
    }
}
