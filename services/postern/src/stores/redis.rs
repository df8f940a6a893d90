//! The private Redis: locks, grants, throttles. All of it may be lost, so nothing is written to disk; nothing is evicted,
//! because a lock that disappears by memory pressure would be worse than a refusal.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
};

use super::{StoresError, binaries, error::log_tail, keeper::Child, leftover, owner::Owner};

const START_LIMIT: Duration = Duration::from_secs(20);
const STOP_LIMIT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Redis {
    child: Child,
    program: PathBuf,
    socket: PathBuf,
    log: PathBuf,
    /// Process id and socket, for the house that comes after a kill.
    note: PathBuf,
    owner: Owner,
}

impl Redis {
    pub(super) async fn start(home: &Path, sockets: &Path, owner: &Owner) -> Result<Self, StoresError> {
        let program = binaries::redis()?;
        let socket = sockets.join("redis.sock");
        let log = home.join("redis.log");
        let note = home.join("redis.pid");
        end_left_redis(&note).await;
        let child = spawn(&program, &socket, &log, owner)?;
        let mut redis = Self { child, program, socket, log, note, owner: owner.clone() };
        redis.wait_ready().await?;
        Ok(redis)
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        self.child.has_ended()
    }

    pub(super) async fn restart(&mut self) -> Result<(), StoresError> {
        self.stop().await;
        self.child = spawn(&self.program, &self.socket, &self.log, &self.owner)?;
        self.wait_ready().await
    }

    pub(super) async fn stop(&mut self) {
        self.child.end(&[(Signal::SIGTERM, STOP_LIMIT)]).await;
    }

    async fn wait_ready(&mut self) -> Result<(), StoresError> {
        let note = format!("{}\n{}\n", self.child.pid(), self.socket.display());
        fs::write(&self.note, note).map_err(|e| StoresError::file(&self.note, e))?;
        let begin = Instant::now();
        loop {
            if ping(&self.socket).await.is_ok() {
                return Ok(());
            }
            let what = match () {
                () if self.child.has_ended() => "ended at once".to_owned(),
                () if begin.elapsed() > START_LIMIT => format!("does not answer after {START_LIMIT:?}"),
                () => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            return Err(StoresError::Failed { program: "Redis", what, log: log_tail(&self.log) });
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.child.end_in_haste(Signal::SIGTERM, STOP_LIMIT);
        let _ = fs::remove_file(&self.note);
    }
}

/// Where the kernel does not tell a child that its parent was killed, a Redis may be left; nobody can reach it any more.
async fn end_left_redis(note: &Path) {
    let text = fs::read_to_string(note).unwrap_or_default();
    let mut lines = text.lines();
    if let (Some(Ok(pid)), Some(socket)) = (lines.next().map(str::parse), lines.next()) {
        leftover::end(
            pid,
            Path::new(socket),
            &[(Signal::SIGTERM, STOP_LIMIT), (Signal::SIGKILL, STOP_LIMIT)],
        )
        .await;
    }
}

fn spawn(program: &Path, socket: &Path, log: &Path, owner: &Owner) -> Result<Child, StoresError> {
    let socket = socket.display().to_string();
    let arguments = [
        ["--port", "0"],
        ["--unixsocket", &socket],
        ["--unixsocketperm", "700"],
        ["--save", ""],
        ["--appendonly", "no"],
        ["--maxmemory-policy", "noeviction"],
        ["--daemonize", "no"],
        ["--loglevel", "notice"],
        ["--timeout", "0"],
    ];
    let arguments: Vec<String> = arguments.iter().flatten().map(|s| (*s).to_owned()).collect();
    Child::spawn(program, &arguments, owner, log, Signal::SIGTERM)
        .map_err(|source| StoresError::Spawn { program: "Redis", source })
}

async fn ping(socket: &Path) -> std::io::Result<()> {
    let ask = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(b"PING\r\n").await?;
        let mut answer = [0_u8; 7];
        stream.read_exact(&mut answer).await?;
        if &answer == b"+PONG\r\n" { Ok(()) } else { Err(std::io::Error::other("no PONG")) }
    };
    tokio::time::timeout(Duration::from_secs(1), ask).await?
}
