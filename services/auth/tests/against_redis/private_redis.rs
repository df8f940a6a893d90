//! A Redis of its own for a test: on a unix socket in a temporary folder, ended with the test.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

pub(crate) struct PrivateRedis {
    folder: TempDir,
    child: Option<Child>,
    policy: &'static str,
}

impl PrivateRedis {
    pub(crate) fn start() -> Self {
        Self::start_with_policy("noeviction")
    }

    pub(crate) fn start_with_policy(policy: &'static str) -> Self {
        let mut redis = Self { folder: TempDir::with_prefix("pr").unwrap(), child: None, policy };
        redis.start_again();
        redis
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn start_again(&mut self) {
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(self.socket())
            .args(["--maxmemory-policy", self.policy, "--dir"])
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed");
        self.child = Some(child);
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "Redis did not start");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// `STOP` makes it silent with its connections open, `CONT` lets it go on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    /// It is a replica from now on, of a primary that is not there.
    pub(crate) async fn demote(&self) {
        let _: String = self.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    }

    /// Who connects to the other one from now on comes here; connections that stand are left alone.
    pub(crate) fn take_address_of(&self, other: &Self) {
        std::fs::rename(self.socket(), other.socket()).unwrap();
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(word);
        });
        command.query_async(&mut connection).await.unwrap()
    }

    /// How often scripts were called so far: each is one round trip.
    pub(crate) async fn script_calls(&self) -> u64 {
        let stats: String = self.ask(&["INFO", "commandstats"]).await;
        let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        calls.and_then(|rest| rest.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
    }
}

impl Drop for PrivateRedis {
    fn drop(&mut self) {
        self.kill();
    }
}
