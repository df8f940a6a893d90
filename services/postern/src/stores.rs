//! Private Postgres and Redis: children of this process, on unix sockets only, with their data in the data folder.
//!
//! They end with us whatever happens: [`Stores::stop`] in order, `Drop` in haste, and when we are killed the kernel tells
//! them (see `keeper`). What a killed house left behind is found and ended, by process id, before it is started anew.

mod binaries;
mod error;
mod keeper;
mod owner;
mod postgres;
mod redis;
mod sockets;

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
};

pub use error::StoresError;

use self::{owner::Owner, postgres::Postgres, redis::Redis, sockets::Sockets};

/// A running Postgres and a running Redis.
#[derive(Debug)]
pub struct Stores {
    // The order is that of going down: Redis, Postgres, then the folder of their sockets.
    redis: Redis,
    postgres: Postgres,
    sockets: Sockets,
    _lock: File,
}

impl Stores {
    /// Starts both in `home` (made when missing) and waits until they answer.
    ///
    /// # Errors
    /// When a program is not installed, the folder is in use by another house, or one of them does not come up; the error
    /// shows the end of its log.
    pub async fn start(home: &Path) -> Result<Self, StoresError> {
        fs::create_dir_all(home).map_err(|e| StoresError::file(home, e))?;
        let home = fs::canonicalize(home).map_err(|e| StoresError::file(home, e))?;
        let lock = lock(&home.join("stores.lock"))?;
        let owner = Owner::find()?;
        let sockets = Sockets::create(&home, &owner)?;
        let postgres = Postgres::start(&home, sockets.path(), &owner).await?;
        let redis = Redis::start(&home, sockets.path(), &owner).await?;
        Ok(Self { redis, postgres, sockets, _lock: lock })
    }

    /// `postgres:///postern?host=...&user=postern`
    #[must_use]
    pub fn database_url(&self) -> String {
        format!("postgres:///postern?host={}&user=postern", self.sockets.path().display())
    }

    /// `redis+unix:///...`
    #[must_use]
    pub fn redis_url(&self) -> String {
        format!("redis+unix://{}", self.redis.socket().display())
    }

    /// Process id of the postmaster.
    #[must_use]
    pub fn postgres_pid(&self) -> u32 {
        self.postgres.pid()
    }

    /// Process id of Redis.
    #[must_use]
    pub fn redis_pid(&self) -> u32 {
        self.redis.pid()
    }

    /// Starts Postgres again on the same data and socket, after it was killed; one that still runs is stopped before.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_postgres(&mut self) -> Result<(), StoresError> {
        self.postgres.restart().await
    }

    /// Starts Redis again on the same socket, empty; one that still runs is stopped before.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_redis(&mut self) -> Result<(), StoresError> {
        self.redis.restart().await
    }

    /// Starts again what has ended by itself. Returns the names of what was started.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn revive(&mut self) -> Result<Vec<&'static str>, StoresError> {
        let mut revived = Vec::new();
        if self.postgres.has_ended() {
            self.postgres.restart().await?;
            revived.push("postgres");
        }
        if self.redis.has_ended() {
            self.redis.restart().await?;
            revived.push("redis");
        }
        Ok(revived)
    }

    /// Stops Redis, then Postgres (fast mode: open transactions are rolled back, a checkpoint is written). At most 12 s.
    pub async fn stop(mut self) {
        self.redis.stop().await;
        self.postgres.stop().await;
    }
}

/// One house for one folder: the lock goes with the process, also when it is killed.
fn lock(path: &Path) -> Result<File, StoresError> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(|e| StoresError::file(path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoresError::InUse { folder: folder_of(path) }),
        Err(TryLockError::Error(error)) => Err(StoresError::file(path, error)),
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn stores_live_through_kill_and_restart_and_leave_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut stores = Stores::start(folder.path()).await.expect("start");
        let second = Stores::start(folder.path()).await.expect_err("one house for one folder");
        assert!(matches!(second, StoresError::InUse { .. }), "{second}");

        keep(&stores.database_url(), "create table kept (n int); insert into kept values (7)").await;
        let (postgres, redis) = (stores.postgres_pid(), stores.redis_pid());
        for pid in [postgres, redis] {
            keeper::signal(pid, nix::sys::signal::Signal::SIGKILL).expect("kill -9");
        }
        stores.restart_postgres().await.expect("Postgres again");
        stores.restart_redis().await.expect("Redis again");
        assert_ne!((postgres, redis), (stores.postgres_pid(), stores.redis_pid()));
        assert_eq!(count(&stores.database_url()).await, 7, "what was committed is there");

        let sockets = stores.sockets.path().to_path_buf();
        let pids = [stores.postgres_pid(), stores.redis_pid()];
        stores.stop().await;
        assert!(!sockets.exists(), "no folder left");
        assert!(pids.iter().all(|pid| !keeper::is_alive(*pid)), "no child left");

        let stores = Stores::start(folder.path()).await.expect("a second time");
        assert_eq!(count(&stores.database_url()).await, 7, "data is kept");
        let pids = [stores.postgres_pid(), stores.redis_pid()];
        drop(stores);
        assert!(pids.iter().all(|pid| !keeper::is_alive(*pid)), "no child left by a drop either");
    }

    async fn keep(url: &str, statements: &'static str) {
        use sqlx::{Connection as _, Executor as _};
        let mut connection = sqlx::PgConnection::connect(url).await.expect("connect");
        connection.execute(statements).await.expect(statements);
    }

    async fn count(url: &str) -> i32 {
        use sqlx::Connection as _;
        let mut connection = sqlx::PgConnection::connect(url).await.expect("connect");
        sqlx::query_scalar("select sum(n)::int from kept").fetch_one(&mut connection).await.expect("the row")
    }
}
