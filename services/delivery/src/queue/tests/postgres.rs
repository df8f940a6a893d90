//! A private Postgres on a unix socket, ended with the test.

use std::{
    os::unix::fs::chown,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::store::Store;

pub(crate) struct Postgres {
    server: Child,
    folder: TempDir,
}

impl Postgres {
    pub(crate) async fn start() -> (Self, Store) {
        let folder = tempfile::Builder::new().prefix("pq").tempdir_in("/tmp").expect("folder");
        give_away(folder.path());
        let data = folder.path().join("data");
        let made = as_postgres("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postern",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "-D",
            ])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .expect("initdb");
        assert!(made.success());
        let log = std::fs::File::create(folder.path().join("log")).expect("log");
        let server = as_postgres("postgres")
            .arg("-D")
            .arg(&data)
            .arg("-k")
            .arg(folder.path())
            .args(["-c", "listen_addresses="])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("postgres");
        let postgres = Self { server, folder };
        let url = format!("postgres:///postgres?host={}&user=postern", postgres.folder.path().display());
        let until = Instant::now() + Duration::from_secs(30);
        loop {
            match Store::open(&url, 8).await {
                Ok(store) => return (postgres, store),
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-QUIT", &self.server.id().to_string()]).status();
        let _ = self.server.wait();
    }
}

/// Postgres refuses to run as root.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

fn as_postgres(tool: &str) -> Command {
    let installed = format!("/usr/lib/postgresql/15/bin/{tool}");
    let program = if Path::new(&installed).exists() { installed } else { tool.to_owned() };
    let mut command = if is_root() {
        // It becomes the program itself, so that a signal reaches it.
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--", &program]);
        command
    } else {
        Command::new(&program)
    };
    command.current_dir("/");
    command
}

fn give_away(folder: &Path) {
    if is_root() {
        let id = |flag| {
            let output = Command::new("id").args([flag, "postgres"]).output().expect("id");
            String::from_utf8_lossy(&output.stdout).trim().parse().ok()
        };
        chown(folder, id("-u"), id("-g")).expect("chown");
    }
}
