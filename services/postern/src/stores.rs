//! Private Postgres and Redis: children of this process, on unix sockets only, with their data in the data folder.
//!
//! They end with us whatever happens: [`Stores::stop`] in order, `Drop` in haste, and when we are killed the kernel tells
//! them (see `keeper`). What a killed house left behind is found and ended, by process id, before it is started anew.

mod binaries;
mod error;
mod keeper;
mod leftover;
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
    redis: Option<Redis>,
    postgres: Option<Postgres>,
    sockets: Sockets,
    _lock: File,
}

/// Which stores are to be private; the others are somewhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// A private Postgres.
    pub postgres: bool,
    /// A private Redis.
    pub redis: bool,
}

impl Stores {
    /// Starts both in `home` (made when missing) and waits until they answer.
    ///
    /// # Errors
    /// When a program is not installed, the folder is in use by another house, or one of them does not come up; the error
    /// shows the end of its log.
    pub async fn start(home: &Path) -> Result<Self, StoresError> {
        Self::start_some(home, Wanted { postgres: true, redis: true }).await
    }

    /// The same for one of them only. What belongs to the other one (its address, its process id) is empty or 0.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_some(home: &Path, wanted: Wanted) -> Result<Self, StoresError> {
        fs::create_dir_all(home).map_err(|e| StoresError::file(home, e))?;
        let home = fs::canonicalize(home).map_err(|e| StoresError::file(home, e))?;
        let lock = lock(&home.join("stores.lock"))?;
        let owner = Owner::find()?;
        let sockets = Sockets::create(&home, &owner)?;
        let postgres = match wanted.postgres {
            true => Some(Postgres::start(&home, sockets.path(), &owner).await?),
            false => None,
        };
        let redis = match wanted.redis {
            true => Some(Redis::start(&home, sockets.path(), &owner).await?),
            false => None,
        };
        Ok(Self { redis, postgres, sockets, _lock: lock })
    }

    /// `postgres:///postern?host=...&user=postern`
    #[must_use]
    pub fn database_url(&self) -> String {
        let folder = self.sockets.path().display();
        self.postgres
            .as_ref()
            .map(|_| format!("postgres:///postern?host={folder}&user=postern"))
            .unwrap_or_default()
    }

    /// `redis+unix:///...`
    #[must_use]
    pub fn redis_url(&self) -> String {
        self.redis
            .as_ref()
            .map(|redis| format!("redis+unix://{}", redis.socket().display()))
            .unwrap_or_default()
    }

    /// Process id of the postmaster.
    #[must_use]
    pub fn postgres_pid(&self) -> u32 {
        self.postgres.as_ref().map_or(0, Postgres::pid)
    }

    /// Process id of Redis.
    #[must_use]
    pub fn redis_pid(&self) -> u32 {
        self.redis.as_ref().map_or(0, Redis::pid)
    }

    /// Starts Postgres again on the same data and socket, after it was killed; one that still runs is stopped before.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_postgres(&mut self) -> Result<(), StoresError> {
        match &mut self.postgres {
            Some(postgres) => postgres.restart().await,
            None => Ok(()),
        }
    }

    /// Starts Redis again on the same socket, empty; one that still runs is stopped before.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn restart_redis(&mut self) -> Result<(), StoresError> {
        match &mut self.redis {
            Some(redis) => redis.restart().await,
            None => Ok(()),
        }
    }

    /// Starts again what has ended by itself. Returns the names of what was started.
    ///
    /// # Errors
    /// When one does not come up.
    pub async fn revive(&mut self) -> Result<Vec<&'static str>, StoresError> {
        let mut revived = Vec::new();
        // Redis first: it is there at once, while Postgres may have to recover.
        if let Some(redis) = &mut self.redis
            && redis.has_ended()
        {
            redis.restart().await?;
            revived.push("redis");
        }
        if let Some(postgres) = &mut self.postgres
            && postgres.has_ended()
        {
            postgres.restart().await?;
            revived.push("postgres");
        }
        Ok(revived)
    }

    /// Stops Redis, then Postgres (fast mode: open transactions are rolled back, a checkpoint is written). At most 12 s.
    pub async fn stop(mut self) {
        if let Some(redis) = &mut self.redis {
            redis.stop().await;
        }
        if let Some(postgres) = &mut self.postgres {
            postgres.stop().await;
        }
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
