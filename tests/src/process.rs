//! One service as a process: started with an environment of its own, watched until ready, ended by process id.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{eventually, usage::tree_pids};

/// A running (or killed, and then startable again) service process.
pub struct Process {
    binary: PathBuf,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    log: PathBuf,
    health: Option<SocketAddr>,
    /// Network namespace that it runs in, if not ours.
    namespace: Option<String>,
    child: Option<Child>,
}

/// Folder of the binaries that were built together with this test.
pub fn binary_folder() -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe()?;
    let mut folder = this.parent().context("a test binary lies in a folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps lies in the profile's folder")?;
    }
    Ok(folder.to_path_buf())
}

impl Process {
    /// Describes a process; nothing is started yet.
    pub fn new(
        binary: &str,
        arguments: &[&str],
        environment: BTreeMap<String, String>,
        log: &Path,
        health: Option<SocketAddr>,
    ) -> anyhow::Result<Self> {
        let path = binary_folder()?.join(binary);
        if !path.exists() {
            bail!("{} is not built: run `cargo build --workspace --bins` first", path.display());
        }
        Ok(Self {
            binary: path,
            arguments: arguments.iter().map(|s| (*s).to_owned()).collect(),
            environment,
            log: log.to_owned(),
            health,
            namespace: None,
            child: None,
        })
    }

    /// The same in a network namespace.
    #[must_use]
    pub fn inside(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// Starts the process; its log is appended to.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = match &self.namespace {
            None => Command::new(&self.binary),
            Some(namespace) => {
                // It becomes the program: the process id is the program's.
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace]).arg(&self.binary);
                command
            }
        };
        let child = command
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until `/readyz` says 200, or tells the end of the log.
    pub async fn wait_ready(&mut self, limit: Duration) -> anyhow::Result<()> {
        let Some(health) = self.health else { return Ok(()) };
        let mut ended = None;
        let ready = eventually(limit, async || {
            if let Some(child) = self.child.as_mut()
                && let Ok(Some(status)) = child.try_wait()
            {
                ended = Some(status);
                return true;
            }
            http_status(health, "/readyz").await.is_ok_and(|s| s == 200)
        })
        .await;
        if let Some(status) = ended {
            bail!("{} ended with {status}: {}", self.binary.display(), self.log_tail());
        }
        if !ready {
            bail!("{} is not ready after {limit:?}: {}", self.binary.display(), self.log_tail());
        }
        Ok(())
    }

    /// Process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid().context("the process does not run")?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        Ok(())
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for the end for at most `limit`, then SIGKILL. Returns whether it ended by itself.
    pub async fn stop(&mut self, limit: Duration) -> anyhow::Result<bool> {
        let Some(mut child) = self.child.take() else { return Ok(true) };
        kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
        let ended = eventually(limit, async || matches!(child.try_wait(), Ok(Some(_)))).await;
        if !ended {
            child.kill()?;
        }
        child.wait()?;
        Ok(ended)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Its whole log.
    pub fn log_path(&self) -> &Path {
        &self.log
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// kill -9 for a process and all that it started, by their ids, and waits for the end of the first.
pub fn end_with_all(child: &mut Child) {
    let started = tree_pids(child.id());
    // The first one first, so that it starts nothing in place of what ends.
    let _ = child.kill();
    for pid in started.into_iter().skip(1).filter_map(|pid| i32::try_from(pid).ok()) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.wait();
}

/// Status of a plain HTTP GET.
pub async fn http_status(address: SocketAddr, path: &str) -> anyhow::Result<u16> {
    let (status, _) = http_get(address, path).await?;
    Ok(status)
}

/// Status and body of a plain HTTP GET.
pub async fn http_get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let fetch = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = tokio::time::timeout(Duration::from_secs(3), fetch).await??;
    let status = answer.get(9..12).context("an HTTP status line")?.parse()?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}
