//! The private Postgres: what must last. Every commit is on disk before it is answered.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{
    StoresError,
    binaries::{self, PostgresBinaries},
    error::log_tail,
    keeper::{self, Child},
    leftover,
    owner::Owner,
};

/// Recovery after a crash replays up to `max_wal_size`; a slow disk needs its time.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How long a start is tried again while backends of a killed postmaster still hold its shared memory.
const AGAIN_LIMIT: Duration = Duration::from_secs(20);
/// Fast shutdown, then immediate (which is a crash that it recovers from).
const STOP_STEPS: [(Signal, Duration); 2] =
    [(Signal::SIGINT, Duration::from_secs(7)), (Signal::SIGQUIT, Duration::from_secs(2))];

/// Good for a mail store on one machine; what a site needs beyond it, it gives with POSTERN_DATABASE_URL.
const SETTINGS: &[(&str, &str)] = &[
    // Promise 1: a commit that was answered is on disk.
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    // No port; the socket's folder is closed to others.
    ("listen_addresses", ""),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "200"),
    ("shared_buffers", "256MB"),
    ("effective_cache_size", "1GB"),
    ("work_mem", "8MB"),
    ("maintenance_work_mem", "128MB"),
    // Few, slow checkpoints: a burst of mail must not wait for one.
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("wal_buffers", "16MB"),
    ("min_wal_size", "256MB"),
    ("max_wal_size", "4GB"),
    ("checkpoint_timeout", "15min"),
    ("checkpoint_completion_target", "0.9"),
    // Short statements on indexes, never a report.
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("random_page_cost", "1.1"),
    // A queue turns its rows over all day long: clean up early, a little at a time.
    ("autovacuum_naptime", "15s"),
    ("autovacuum_vacuum_scale_factor", "0.05"),
    ("autovacuum_vacuum_insert_scale_factor", "0.1"),
    ("autovacuum_analyze_scale_factor", "0.05"),
    ("autovacuum_vacuum_cost_limit", "2000"),
    // A service that died in the middle of a transaction must not hold rows for ever.
    ("idle_in_transaction_session_timeout", "60s"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
    ("log_checkpoints", "off"),
    ("log_min_messages", "warning"),
    ("cluster_name", "postern"),
];

#[derive(Debug)]
pub(super) struct Postgres {
    child: Child,
    binaries: PostgresBinaries,
    data: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    owner: Owner,
}

impl Postgres {
    pub(super) async fn start(home: &Path, sockets: &Path, owner: &Owner) -> Result<Self, StoresError> {
        let data = home.join("postgres");
        let log = home.join("postgres.log");
        let binaries = binaries::postgres(&data)?;
        owner.make_reachable(&data)?;
        if data.join("PG_VERSION").exists() {
            end_left_postmaster(&data).await;
        } else {
            initialize(&binaries, home, &data, owner).await?;
        }
        let child = spawn(&binaries, &data, sockets, &log, owner)?;
        let sockets = sockets.to_path_buf();
        let mut postgres = Self { child, binaries, data, sockets, log, owner: owner.clone() };
        postgres.wait_ready().await?;
        postgres.create_database().await?;
        Ok(postgres)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.has_ended()
    }

    pub(super) async fn restart(&mut self) -> Result<(), StoresError> {
        self.stop().await;
        self.child = spawn(&self.binaries, &self.data, &self.sockets, &self.log, &self.owner)?;
        self.wait_ready().await
    }

    pub(super) async fn stop(&mut self) {
        self.child.end(&STOP_STEPS).await;
    }

    /// Waits until it takes connections. Backends of a killed postmaster need a moment to notice, and hold its shared
    /// memory until then: a start that failed for that is tried again.
    async fn wait_ready(&mut self) -> Result<(), StoresError> {
        let begin = Instant::now();
        loop {
            let url = self.url("postgres");
            let connect = tokio::time::timeout(Duration::from_secs(5), PgConnection::connect(&url)).await;
            if let Ok(Ok(connection)) = connect {
                let _ = connection.close().await;
                return Ok(());
            }
            if self.child.has_ended() {
                let log = log_tail(&self.log);
                let may_pass = log.contains("shared memory block") || log.contains("lock file");
                if !may_pass || begin.elapsed() > AGAIN_LIMIT {
                    return Err(StoresError::Failed {
                        program: "Postgres",
                        what: "ended at once".to_owned(),
                        log,
                    });
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
                end_left_postmaster(&self.data).await;
                self.child = spawn(&self.binaries, &self.data, &self.sockets, &self.log, &self.owner)?;
            }
            if begin.elapsed() > START_LIMIT {
                let what = format!("does not answer after {START_LIMIT:?}");
                return Err(StoresError::Failed { program: "Postgres", what, log: log_tail(&self.log) });
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    async fn create_database(&self) -> Result<(), StoresError> {
        let create = async {
            let mut connection = PgConnection::connect(&self.url("postgres")).await?;
            let exists: Option<i32> =
                sqlx::query_scalar("select 1 from pg_database where datname = 'postern'")
                    .fetch_optional(&mut connection)
                    .await?;
            if exists.is_none() {
                connection.execute("create database postern").await?;
            }
            connection.close().await
        };
        create.await.map_err(|source| StoresError::Database { source })
    }

    fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=postern", self.sockets.display())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Immediate mode: what was committed is in the log, the next start replays it.
        self.child.end_in_haste(Signal::SIGQUIT, Duration::from_secs(5));
    }
}

/// Makes the data folder. It gets its name only when it is whole, so that a start that was interrupted begins anew.
async fn initialize(
    binaries: &PostgresBinaries,
    home: &Path,
    data: &Path,
    owner: &Owner,
) -> Result<(), StoresError> {
    let fresh = home.join("postgres.new");
    if fresh.exists() {
        fs::remove_dir_all(&fresh).map_err(|e| StoresError::file(&fresh, e))?;
    }
    owner.private_folder(&fresh)?;
    let mut command = Command::new(binaries.initdb());
    command.arg("-D").arg(&fresh).args([
        "--username=postern",
        "--encoding=UTF8",
        "--locale=C",
        "--auth-local=trust",
        "--auth-host=reject",
        "--data-checksums",
    ]);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
    command.current_dir("/");
    owner.dress(&mut command);
    let run = tokio::task::spawn_blocking(move || command.output()).await;
    let spawn_error = |source| StoresError::Spawn { program: "initdb", source };
    let output = run.map_err(std::io::Error::other).and_then(|output| output).map_err(spawn_error)?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(StoresError::Failed {
            program: "initdb",
            what: format!("failed: {}", output.status),
            log,
        });
    }
    fs::rename(&fresh, data).map_err(|e| StoresError::file(data, e))
}

fn spawn(
    binaries: &PostgresBinaries,
    data: &Path,
    sockets: &Path,
    log: &Path,
    owner: &Owner,
) -> Result<Child, StoresError> {
    let mut arguments = vec!["-D".to_owned(), data.display().to_string()];
    let mut set = |name: &str, value: &str| arguments.extend(["-c".to_owned(), format!("{name}={value}")]);
    for (name, value) in SETTINGS {
        set(name, value);
    }
    set("unix_socket_directories", &sockets.display().to_string());
    if binaries.major >= 15 && binaries.has_lz4() {
        set("wal_compression", "lz4");
        set("default_toast_compression", "lz4");
    } else {
        set("wal_compression", "on");
    }
    Child::spawn(&binaries.postgres(), &arguments, owner, log, Signal::SIGINT)
        .map_err(|source| StoresError::Spawn { program: "Postgres", source })
}

/// Ends the postmaster of a house that was killed, if it still runs. We hold the lock of the folder, so nobody else may
/// have it. A number in `postmaster.pid` that belongs to some other process by now is not ours to touch; Postgres would
/// take it for a rival, so the file goes.
async fn end_left_postmaster(data: &Path) {
    let file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&file) else { return };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok()) else { return };
    if keeper::is_alive(pid) && !leftover::end(pid, data, &STOP_STEPS).await {
        let _ = fs::remove_file(&file);
    }
}
