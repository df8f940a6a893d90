//! Debian's rspamd on loopback, with what it knows without the internet: no DNS, no maps, no statistics, and its test patterns.

use std::{
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, geteuid},
};
use tempfile::TempDir;

use crate::{eventually, platform::free_ports, process::http_status};

/// What rspamd rejects in a test (GTUBE), wants marked, and wants marked in the subject.
pub const REJECTED: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
/// See [`REJECTED`].
pub const MARKED: &str = "YJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
/// See [`REJECTED`].
pub const REWRITTEN: &str = "ZJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// A running scanner. It ends with this.
pub struct Rspamd {
    child: Child,
    /// Where it is asked.
    pub address: SocketAddr,
    folder: TempDir,
}

impl Rspamd {
    /// Starts it and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        let address = free_ports(1)?[0];
        let folder = tempfile::Builder::new().prefix("postern-rspamd-").tempdir()?;
        let place = folder.path().display();
        std::fs::write(folder.path().join("suffixes"), "com\ntest\n")?;
        std::fs::write(folder.path().join("rules.lua"), "")?;
        let config = format!(
            "options {{ pidfile = \"{place}/pid\"; filters = \"\"; tempdir = \"{place}\"; hs_cache_dir = \"{place}\";\n\
             cache_file = \"{place}/symbols\"; history_file = \"{place}/history\"; dynamic_conf = \"{place}/dynamic\";\n\
             control_socket = \"{place}/control mode=0600\"; url_tld = \"{place}/suffixes\"; disable_hyperscan = true;\n\
             enable_test_patterns = true; dns {{ nameserver = [\"127.0.0.1:1:1\"]; timeout = 0.1s; retransmits = 1; }} }}\n\
             logging {{ type = \"console\"; level = \"warning\"; }}\n\
             actions {{ reject = 15; \"add header\" = 6; greylist = 4; }}\n\
             worker \"normal\" {{ bind_socket = \"{address}\"; count = 1; mime = true; }}\n\
             lua = \"{place}/rules.lua\";\n"
        );
        let path = folder.path().join("rspamd.conf");
        std::fs::write(&path, config)?;
        let log = File::create(folder.path().join("log"))?;
        let mut command = Command::new("rspamd");
        command.arg("-f").arg("-c").arg(&path);
        if geteuid().is_root() {
            command.arg("--insecure");
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("rspamd (a Debian package; `make test` installs it)")?;
        let scanner = Self { child, address, folder };
        let there =
            eventually(Duration::from_secs(30), async || http_status(address, "/ping").await.is_ok()).await;
        let log = std::fs::read_to_string(scanner.folder.path().join("log")).unwrap_or_default();
        anyhow::ensure!(there, "rspamd does not answer: {log}");
        Ok(scanner)
    }
}

impl Drop for Rspamd {
    fn drop(&mut self) {
        // It ends its workers when it is asked to; killed, it would leave them.
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}
