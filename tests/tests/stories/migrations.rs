//! An upgrade beside a house that works, and back: migrations let mail through, replicas take turns, and the version before starts on
//! what the newer one made.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::ensure;
use include_dir::{Dir, DirEntry, File};
use postern::stores::Stores;
use postern_tests::{
    admin::PASSWORD,
    eventually,
    platform::{Blueprint, Service},
    pop3::Pop3,
    smtp::{self, message},
};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

const LIMIT: Duration = Duration::from_secs(30);
const USER: &str = "user@homepage.test";
/// The last migrations that were written before the rule of [`indexes_are_built_while_others_write`].
const OLDER: [(&str, u32); 2] = [("account", 79), ("delivery", 79)];

/// Migrations as a program carries them: names of files and their text.
fn folder(files: &[(&'static str, &'static str)]) -> &'static Dir<'static> {
    let entries = files.iter().map(|(name, text)| DirEntry::File(File::new(name, text.as_bytes())));
    let entries: &'static [DirEntry<'static>] = Box::leak(entries.collect());
    Box::leak(Box::new(Dir::new("", entries)))
}

fn options(stores: &Stores, schema: &'static str) -> PgConnectOptions {
    postern_postgres::options(&stores.database_url(), "trial", schema).expect("a URL")
}

async fn number(connection: &mut PgConnection, question: &'static str) -> i64 {
    sqlx::query_scalar(question).fetch_one(connection).await.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_before_starts_on_a_newer_schema() -> anyhow::Result<()> {
    let mut house = Blueprint::new().start().await?;
    let admin = house.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(USER).await?;
    // What the version after this one leaves behind.
    for schema in ["account", "mail"] {
        let later = folder(&[("9000_later.sql", "CREATE TABLE later (one int)")]);
        postern_postgres::prepare(&options(&house.stores, schema), schema, later).await?;
    }
    for service in [Service::Account, Service::Delivery] {
        let replica = house.replica(service, 0);
        replica.process.stop(LIMIT).await?;
        replica.process.spawn()?;
        house.wait_ready(service).await?;
    }
    let arrived = eventually(LIMIT, async || {
        let sent = smtp::send(house.smtp(0), "a@outside.test", &[USER], &message("back", 500)).await;
        sent.is_ok_and(|reply| reply.starts_with("250 "))
    });
    assert!(arrived.await, "mail goes on with the version before");
    // A file that was changed after it ran is a mistake, whatever is newer.
    let changed = folder(&[("9000_later.sql", "CREATE TABLE later (one bigint)")]);
    let refused = postern_postgres::prepare(&options(&house.stores, "mail"), "mail", changed).await;
    assert!(refused.expect_err("refused").to_string().contains("9000"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_goes_on_while_a_migration_waits_for_a_backup() -> anyhow::Result<()> {
    let house = Blueprint::new().start().await?;
    let admin = house.admin()?;
    admin.domain("homepage", "homepage.test").await?;
    admin.mailbox(USER).await?;
    // As pg_dump does, for as long as it runs.
    let mut backup = PgConnection::connect(&house.stores.database_url()).await?;
    let mut reading = backup.begin().await?;
    sqlx::query("LOCK TABLE mail.entries IN ACCESS SHARE MODE").execute(&mut *reading).await?;

    let later = folder(&[("9000_later.sql", "ALTER TABLE entries ADD COLUMN later int")]);
    let wanted = options(&house.stores, "mail");
    let migrating = tokio::spawn(async move { postern_postgres::prepare(&wanted, "mail", later).await });
    let mut watch = PgConnection::connect(&house.stores.database_url()).await?;
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' \
                 AND relation = 'mail.entries'::regclass";
    assert!(eventually(LIMIT, async || number(&mut watch, waits).await == 1).await, "it waits for the table");
    // Two waits of the migration later at the most.
    let began = Instant::now();
    for number in 0..5 {
        let content = message(&format!("beside-{number}"), 500);
        let reply = smtp::send(house.smtp(0), "a@outside.test", &[USER], &content).await?;
        ensure!(reply.starts_with("250 "), "{reply}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "mail waited for {:?}", began.elapsed());
    let mut session = Pop3::login(house.pop3(0), USER, PASSWORD).await?;
    assert_eq!(session.uidl().await?.len(), 5);
    session.quit().await?;
    assert!(!migrating.is_finished(), "the backup still holds the table");

    reading.rollback().await?;
    tokio::time::timeout(LIMIT, migrating).await???;
    let there = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'mail' \
                 AND table_name = 'entries' AND column_name = 'later'";
    assert_eq!(number(&mut watch, there).await, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_built_beside_writers_and_begun_anew_after_a_crash() -> anyhow::Result<()> {
    let place = tempfile::tempdir()?;
    let stores = Stores::start(place.path()).await?;
    let one = ("0001_one.sql", "CREATE TABLE one (n int)");
    let index =
        ("0002_index.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS one_n ON one (n)");
    let before = folder(&[one]);
    let after = folder(&[one, index]);
    postern_postgres::prepare(&options(&stores, "trial"), "trial", before).await?;

    // Somebody who writes, and does not end yet.
    let mut writer = PgConnection::connect(&stores.database_url()).await?;
    let mut writing = writer.begin().await?;
    sqlx::query("INSERT INTO trial.one VALUES (1)").execute(&mut *writing).await?;
    let wanted = options(&stores, "trial");
    let killed = tokio::spawn(async move { postern_postgres::prepare(&wanted, "trial", after).await });
    let mut watch = PgConnection::connect(&stores.database_url()).await?;
    let building =
        "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass('trial.one_n') AND NOT indisvalid";
    assert!(eventually(LIMIT, async || number(&mut watch, building).await == 1).await, "it is being built");
    // Others write on beside it.
    sqlx::query("INSERT INTO trial.one VALUES (2)").execute(&mut watch).await?;
    // The replica vanishes in the middle.
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trial'")
        .execute(&mut watch)
        .await?;
    assert!(tokio::time::timeout(LIMIT, killed).await??.is_err());
    assert_eq!(number(&mut watch, building).await, 1, "half an index is left");
    writing.commit().await?;

    // Two replicas of the new version, at once.
    let (first, second) = (options(&stores, "trial"), options(&stores, "trial"));
    let (first, second) = tokio::join!(
        postern_postgres::prepare(&first, "trial", after),
        postern_postgres::prepare(&second, "trial", after)
    );
    first?;
    second?;
    let good = "SELECT count(*) FROM pg_index WHERE indexrelid = 'trial.one_n'::regclass AND indisvalid";
    assert_eq!(number(&mut watch, good).await, 1);
    assert_eq!(number(&mut watch, "SELECT count(*) FROM trial._sqlx_migrations").await, 2);
    Ok(())
}

/// The words of an SQL text, without comments.
fn statements(text: &str) -> Vec<Vec<String>> {
    let code: String = text.lines().filter_map(|line| line.split("--").next()).collect::<Vec<_>>().join(" ");
    let words = |statement: &str| {
        let words = statement.split(|c: char| c.is_whitespace() || c == '(').filter(|word| !word.is_empty());
        words.map(str::to_lowercase).collect::<Vec<_>>()
    };
    code.split(';').map(words).filter(|words| !words.is_empty()).collect()
}

/// What a migration must not do: an index that is built inside a transaction keeps all writers of its table out until it is done. On a
/// table that the same file makes there are none.
fn fault(text: &str) -> Option<String> {
    let all = statements(text);
    let made = |table: &String| {
        all.iter().any(|words| {
            words[0] == "create" && words.get(1).is_some_and(|word| word == "table") && words.contains(table)
        })
    };
    for words in &all {
        let is_index = words[0] == "create" && words.iter().take(3).any(|word| word == "index");
        if !is_index {
            continue;
        }
        let table = words.iter().skip_while(|word| *word != "on").nth(1)?;
        let alongside = words.iter().any(|word| word == "concurrently");
        if alongside && !(text.starts_with("-- no-transaction") && all.len() == 1) {
            return Some("CONCURRENTLY wants `-- no-transaction` above it, and a file of its own".to_owned());
        }
        if alongside && !words.iter().any(|word| word == "exists") {
            return Some("without IF NOT EXISTS a start after a crash fails".to_owned());
        }
        if !alongside && !made(table) {
            return Some(format!("CREATE INDEX on {table} keeps its writers out: CONCURRENTLY"));
        }
    }
    None
}

#[test]
fn indexes_are_built_while_others_write() {
    for (service, older) in OLDER {
        let migrations =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../services").join(service).join("migrations");
        let mut seen = 0;
        for entry in fs::read_dir(migrations).expect("a folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let number: u32 = name.split('_').next().and_then(|n| n.parse().ok()).expect("a number");
            seen += 1;
            if number > older {
                let text = fs::read_to_string(entry.path()).expect("a migration");
                assert_eq!(fault(&text), None, "{service}: {name}");
            }
        }
        assert!(seen > 5, "{service}: {seen}");
    }
}

#[test]
fn an_index_that_keeps_writers_out_is_found() {
    for (text, good) in [
        ("CREATE INDEX entries_later ON entries (later);", false),
        ("ALTER TABLE entries ADD COLUMN later int;\ncreate unique index x on entries(later);", false),
        ("CREATE TABLE later (n int);\nCREATE INDEX later_n ON later (n);", true),
        ("CREATE INDEX CONCURRENTLY IF NOT EXISTS x ON entries (later);", false),
        ("-- no-transaction\nCREATE INDEX CONCURRENTLY x ON entries (later);", false),
        ("-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS x ON entries (later); SELECT 1;", false),
        (
            "-- no-transaction\n-- Of what is to come.\nCREATE INDEX CONCURRENTLY IF NOT EXISTS x ON entries (later);",
            true,
        ),
        ("ALTER TABLE entries ADD COLUMN later int; -- CREATE INDEX comes later", true),
    ] {
        assert_eq!(fault(text).is_none(), good, "{text}: {:?}", fault(text));
    }
}
