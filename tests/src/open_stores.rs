//! Postgres and Redis as a site has them: on a machine of the network, with doors of TCP, and with Debian's own settings.

use std::{
    fs,
    net::Ipv4Addr,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown},
};
use sqlx::{Connection as _, Executor as _, PgConnection};
use tempfile::TempDir;

use crate::{eventually, neighbours::open_folder};

const START_LIMIT: Duration = Duration::from_secs(60);

/// Both, running; they end with it.
pub struct OpenStores {
    address: Ipv4Addr,
    postgres: Child,
    redis: Child,
    _folder: TempDir,
}

impl OpenStores {
    /// Starts both at this address, for everybody who reaches it, and waits until they answer.
    pub async fn start(address: Ipv4Addr) -> anyhow::Result<Self> {
        let folder = open_folder()?;
        let user = User::from_name("postgres")?.context("no user postgres")?;
        let data = folder.path().join("postgres");
        fs::create_dir(&data)?;
        chown(&data, Some(user.uid), Some(user.gid))?;
        let programs = programs()?;
        let as_postgres = |program: &str| {
            let mut command = Command::new(programs.join(program));
            command.arg("-D").arg(&data).uid(user.uid.as_raw()).gid(user.gid.as_raw()).current_dir("/");
            command.stdin(Stdio::null());
            command
        };
        let made = as_postgres("initdb").args(["-U", "postern", "-A", "trust", "-E", "UTF8"]).output()?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let rules = data.join("pg_hba.conf");
        fs::write(&rules, fs::read_to_string(&rules)? + "host all all all trust\n")?;
        let log = |name: &str| fs::File::create(folder.path().join(name));
        let postgres = as_postgres("postgres")
            .args(["-c", &format!("listen_addresses={address}"), "-c", "max_connections=200"])
            .args(["-c", &format!("unix_socket_directories={}", data.display())])
            .stdout(Stdio::null())
            .stderr(log("postgres.log")?)
            .spawn()?;
        let redis = Command::new("redis-server")
            .args(["--bind", &address.to_string(), "--protected-mode", "no", "--save", ""])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log("redis.log")?)
            .spawn()?;
        let stores = Self { address, postgres, redis, _folder: folder };
        let ready = eventually(START_LIMIT, async || stores.create_database().await.is_ok());
        ensure!(ready.await, "Postgres does not answer");
        let client = redis::Client::open(stores.redis_url())?;
        let ready = eventually(START_LIMIT, async || client.get_multiplexed_async_connection().await.is_ok());
        ensure!(ready.await, "Redis does not answer");
        Ok(stores)
    }

    async fn create_database(&self) -> Result<(), sqlx::Error> {
        let mut connection =
            PgConnection::connect(&format!("postgres://postern@{}/postgres", self.address)).await?;
        connection.execute("create database postern").await?;
        connection.close().await
    }

    /// `postgres://...`
    pub fn database_url(&self) -> String {
        format!("postgres://postern@{}/postern", self.address)
    }

    /// `redis://...`
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.address)
    }
}

impl Drop for OpenStores {
    fn drop(&mut self) {
        // At once, since nothing of it is needed again. Postgres takes its own children along by SIGQUIT; Redis has none, and would
        // ignore that signal in a run behind a shell's `&`.
        let _ = kill(Pid::from_raw(self.postgres.id().cast_signed()), Signal::SIGQUIT);
        let _ = self.redis.kill();
        let _ = self.postgres.wait();
        let _ = self.redis.wait();
    }
}

/// Where the newest Postgres of Debian has its programs.
fn programs() -> anyhow::Result<PathBuf> {
    let versions =
        fs::read_dir("/usr/lib/postgresql").context("Postgres is not installed: run `make stores`")?;
    let mut found: Vec<_> = versions.flatten().map(|version| version.path().join("bin")).collect();
    found.retain(|folder| Path::new(&folder.join("initdb")).exists());
    found.sort();
    found.pop().context("Postgres is not installed: run `make stores`")
}
