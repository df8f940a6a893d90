//! Private stores of this test process, and a fresh database for each test.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use postern_delivery::{
    accept::{AcceptUnit, Acceptor, MessageFlags, NewMessage, StoredContent},
    content::Blobs,
    lock::{Holder, Locks},
    maildrop::Maildrops,
    route::PlannedEntry,
    store::Store,
    trace::{Story, TraceLine, TraceState},
    vault::{Cleared, Scope, Vault, VaultError},
};
use postern_mail::{MessageId, ReversePath};
use postern_mesh::{
    client::MeshChannel, directory::Directory, identity::MeshKey, settings::MeshSettings, shutdown::Shutdown,
};
use postern_redis::RedisSettings;
use postern_smtp::dsn::MessageDsn;
use sqlx::{Connection as _, PgConnection, PgPool};
use tempfile::TempDir;
use uuid::Uuid;

use crate::directory::FakeDirectory;

/// Both servers, kept by a shell that waits for our end (also a violent one), stops them and clears their folder.
struct Servers {
    folder: PathBuf,
    _keeper: Child,
}

const KEEPER: &str = r#"
$AS_POSTGRES "$BIN/postgres" -D "$DIR/pg" -c listen_addresses= -c unix_socket_directories="$DIR" \
    -c max_connections=200 -c shared_buffers=64MB -c log_min_messages=fatal >"$DIR/postgres.log" 2>&1 & pg=$!
redis-server --port 0 --unixsocket "$DIR/redis.sock" --save '' --appendonly no --dir "$DIR" \
    --maxmemory-policy noeviction >"$DIR/redis.log" 2>&1 & redis=$!
cat >/dev/null
kill -INT $pg $redis
wait
rm -rf "$DIR"
"#;

fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        // Short: a unix socket path holds 107 octets.
        let folder = tempfile::Builder::new().prefix("pd").tempdir_in("/tmp").expect("a folder").keep();
        let bin = postgres_bin();
        let is_root =
            String::from_utf8_lossy(&Command::new("id").arg("-u").output().expect("id").stdout).trim() == "0";
        let as_postgres =
            if is_root { "setpriv --reuid=postgres --regid=postgres --clear-groups" } else { "" };
        if is_root {
            let done = Command::new("chown").arg("postgres").arg(&folder).status().expect("chown");
            assert!(done.success());
        }
        let initdb = format!(
            "{as_postgres} {}/initdb -D {}/pg -U postern --auth=trust --no-sync -E UTF8 --locale=C",
            bin.display(),
            folder.display()
        );
        let done = Command::new("sh").arg("-c").arg(initdb).stdout(Stdio::null()).status().expect("initdb");
        assert!(done.success(), "initdb");
        let keeper = Command::new("sh")
            .arg("-c")
            .arg(KEEPER)
            .env("AS_POSTGRES", as_postgres)
            .env("BIN", &bin)
            .env("DIR", &folder)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the keeper");
        let begin = Instant::now();
        for socket in [".s.PGSQL.5432", "redis.sock"] {
            while !folder.join(socket).exists() {
                assert!(begin.elapsed() < Duration::from_secs(30), "{socket} does not come up");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Servers { folder, _keeper: keeper }
    })
}

/// Where the data of our Postgres is.
pub(crate) fn postgres_folder() -> PathBuf {
    servers().folder.join("pg")
}

fn postgres_bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("Postgres is installed under /usr/lib/postgresql")
}

/// One service's worth of stores.
pub(crate) struct House {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) locks: Locks,
    pub(crate) maildrops: Maildrops,
    pub(crate) vault: Vault,
    pub(crate) directory: Directory,
    pub(crate) acceptor: Acceptor,
    pub(crate) replica: Uuid,
    pub(crate) fake: FakeDirectory,
    pub(crate) database_url: String,
    pub(crate) redis_url: String,
    pub(crate) blob_folder: TempDir,
    pub(crate) shutdown: Shutdown,
}

impl House {
    pub(crate) async fn new() -> Self {
        let database_url = fresh_database().await;
        let redis_url = format!("redis+unix://{}/redis.sock", servers().folder.display());
        let blob_folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&database_url, 16).await.expect("Postgres");
        let blobs = Blobs::open(&format!("file://{}", blob_folder.path().display())).expect("blobs");
        let locks = Locks::open(&RedisSettings::at(&redis_url)).await.expect("Redis");
        let (fake, shutdown) = (FakeDirectory::default(), Shutdown::new());
        let directory = Directory::new(fake.channel(), &shutdown);
        let maildrops = Maildrops::new(store.clone(), locks.clone(), blobs.clone(), directory.clone());
        let vault = Vault::new(store.clone(), blobs.clone(), maildrops.clone(), 30);
        let replica = Uuid::new_v4();
        let acceptor = Acceptor::start(&store, replica);
        Self {
            store,
            blobs,
            locks,
            maildrops,
            vault,
            directory,
            acceptor,
            replica,
            fake,
            database_url,
            redis_url,
            blob_folder,
            shutdown,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.store.pool()
    }

    pub(crate) async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.pool()).await.expect(query)
    }

    pub(crate) async fn run(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(self.pool()).await.expect(statement);
    }

    pub(crate) async fn commit(&self, unit: AcceptUnit) {
        self.acceptor.commit(unit, soon()).await.expect("committed");
    }

    /// Uids of a box, by a look past the lock.
    /// A clearing from its begin to its end.
    pub(crate) async fn clear(&self, mailbox_id: i64, scope: Scope) -> Result<Cleared, VaultError> {
        let begun = self.vault.begin_clearing(mailbox_id, scope).await?;
        self.vault.run_clearing(begun, false).await
    }

    pub(crate) async fn uids(&self, mailbox_id: i64) -> Vec<i64> {
        sqlx::query_scalar("SELECT uid FROM entries WHERE mailbox_id = $1 ORDER BY uid")
            .bind(mailbox_id)
            .fetch_all(self.pool())
            .await
            .expect("uids")
    }
}

/// A database of its own; its settings can be spoilt without harm to other tests.
pub(crate) async fn fresh_database() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let folder = servers().folder.display().to_string();
    let maintenance = format!("postgres:///postgres?host={folder}&user=postern");
    let begin = Instant::now();
    let mut connection = loop {
        match PgConnection::connect(&maintenance).await {
            Ok(connection) => break connection,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(30), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let name = format!("test{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::raw_sql(create).execute(&mut connection).await.expect("a database");
    format!("postgres:///{name}?host={folder}&user=postern")
}

/// Boxes that no other test uses: Redis is shared.
pub(crate) fn new_box() -> i64 {
    static NEXT: AtomicI64 = AtomicI64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(20)
}

pub(crate) fn holder(session_id: &str) -> Holder {
    Holder { peer_ip: "203.0.113.9".to_owned(), gateway: "g1".to_owned(), session_id: session_id.to_owned() }
}

/// A small message for these boxes.
pub(crate) fn unit(content: &[u8], boxes: &[i64]) -> AcceptUnit {
    unit_with(StoredContent::Inline(Bytes::copy_from_slice(content)), content, boxes)
}

/// The same with its content in a blob.
pub(crate) async fn blob_unit(blobs: &Blobs, content: &[u8], boxes: &[i64]) -> AcceptUnit {
    let mut writer = blobs.begin(MessageId::new()).await.expect("begun");
    writer.write(Bytes::copy_from_slice(content)).await.expect("written");
    let key = writer.finish().await.expect("finished");
    unit_with(StoredContent::Blob { key }, content, boxes)
}

fn unit_with(stored: StoredContent, content: &[u8], boxes: &[i64]) -> AcceptUnit {
    let entry = |id: &i64| PlannedEntry { mailbox_id: *id, delivered_to: format!("box{id}@local.test") };
    AcceptUnit {
        message: NewMessage {
            id: MessageId::new(),
            sender: "sender@remote.test".parse::<ReversePath>().expect("a sender"),
            prefix: Bytes::from_static(b"Received: from test\r\n"),
            content: stored,
            content_bytes: content.len() as u64,
            plain_bytes: None,
            checksum: crc32c::crc32c(content),
            flags: MessageFlags::default(),
            customer: None,
            login: None,
            peer_ip: None,
            dsn: MessageDsn::default(),
            traceparent: None,
        },
        entries: boxes.iter().map(entry).collect(),
        queue: Vec::new(),
        finished_queue_ids: Vec::new(),
        story: Story {
            lines: boxes
                .iter()
                .map(|id| TraceLine {
                    recipient: format!("box{id}@local.test"),
                    via: None,
                    customer: Some("me".to_owned()),
                    mailbox_id: Some(*id),
                    state: TraceState::Delivered,
                    outcome: String::new(),
                })
                .collect(),
            ..Story::default()
        },
    }
}

pub(crate) fn mesh_settings() -> MeshSettings {
    MeshSettings::with_key(MeshKey::random())
}

pub(crate) fn local(routes: tonic::service::Routes) -> MeshChannel {
    MeshChannel::local(routes, "test", &mesh_settings())
}

/// Says something also when the test passes.
pub(crate) fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Files below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(files(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}
