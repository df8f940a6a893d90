//! Postfix and Dovecot from the distribution, doing the same work on the same machine in the same run: private
//! instances with folders, ports and process ids of their own; nothing of the system's own configuration is touched.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User},
};
use postern::sink::{Sink, SinkSettings};
use tempfile::TempDir;

use crate::{
    admin::PASSWORD,
    eventually,
    neighbours::{Server, folder_of, open_folder, postfix},
    platform::free_ports,
};

/// What is asked of them.
#[derive(Clone, Copy, Debug)]
pub struct RivalSettings {
    /// Boxes: `user0@homepage.test` and so on.
    pub boxes: usize,
    /// Everybody on this machine may relay.
    pub relay: bool,
}

/// Both, running; ended when dropped.
pub struct Rivals {
    folder: TempDir,
    settings: RivalSettings,
    /// Door of Postfix.
    pub smtp: SocketAddr,
    /// Door of Dovecot.
    pub pop3: SocketAddr,
    /// Names and process ids of their masters.
    pub processes: Vec<(String, u32)>,
    postfix: Option<Server>,
    dovecot: Option<u32>,
    sink: Sink,
}

/// Login of a box.
fn login_of(number: usize) -> String {
    format!("user{number}@homepage.test")
}

impl Rivals {
    /// Why this user cannot start them, if so.
    pub fn forbidden() -> Option<&'static str> {
        (!nix::unistd::geteuid().is_root()).then_some("Postfix and Dovecot can only be started by root")
    }

    /// Starts both and waits until they are there.
    pub async fn start(settings: RivalSettings) -> anyhow::Result<Self> {
        if !Path::new("/usr/sbin/postfix").exists() || !Path::new("/usr/sbin/dovecot").exists() {
            bail!("Postfix and Dovecot are not installed: run `make rivals` first");
        }
        let folder = open_folder()?;
        let ports = free_ports(2)?;
        let sink = Sink::start(SinkSettings::default()).await?;
        let (smtp, pop3) = (ports[0], ports[1]);
        let mut rivals =
            Self { folder, settings, smtp, pop3, processes: Vec::new(), postfix: None, dovecot: None, sink };
        rivals.start_postfix().await?;
        rivals.start_dovecot().await?;
        Ok(rivals)
    }

    async fn start_postfix(&mut self) -> anyhow::Result<()> {
        let boxes: Vec<_> = (0..self.settings.boxes).map(|n| (login_of(n), format!("user{n}/"))).collect();
        let sink = self.sink.address();
        let who = if self.settings.relay { "127.0.0.0/8" } else { "192.0.2.0/24" };
        // Nothing is added to a header, and who errs is not kept waiting.
        let more = format!(
            "relayhost = [{}]:{}\nmynetworks = {who}\nsmtpd_error_sleep_time = 0\nlocal_header_rewrite_clients =\n",
            sink.ip(),
            sink.port()
        );
        let server = postfix::start(&postfix::Settings {
            folder: self.folder.path(),
            door: self.smtp,
            host: "mail.rival.test",
            domain: "homepage.test",
            boxes: &boxes,
            more: &more,
        })
        .await?;
        self.processes.push(("postfix".to_owned(), server.pid()));
        self.postfix = Some(server);
        Ok(())
    }

    async fn start_dovecot(&mut self) -> anyhow::Result<()> {
        let run = folder_of(self.folder.path(), "dovecot", "root")?;
        let nobody = User::from_name("nobody")?.context("no user nobody")?;
        let users: String = (0..self.settings.boxes)
            .map(|n| {
                let home = self.mail().join(format!("user{n}"));
                let (uid, gid) = (nobody.uid, nobody.gid);
                format!("{}:{{PLAIN}}{PASSWORD}:{uid}:{gid}::{}::\n", login_of(n), home.display())
            })
            .collect();
        fs::write(run.join("users"), users)?;
        // PLAIN passwords spare it all hashing: the comparison leans to its side.
        let text = format!(
            "protocols = pop3\nlisten = 127.0.0.1\nbase_dir = {run}/base\nstate_dir = {run}/state\n\
             log_path = {run}/log\nssl = no\ndisable_plaintext_auth = no\nmail_location = maildir:~\n\
             first_valid_uid = 1\nfirst_valid_gid = 1\npop3_no_flag_updates = yes\nlogin_trusted_networks = 127.0.0.0/8\n\
             mail_max_userip_connections = 0\n\
             passdb {{\n driver = passwd-file\n args = {run}/users\n}}\n\
             userdb {{\n driver = passwd-file\n args = {run}/users\n}}\n\
             service pop3-login {{\n service_count = 0\n process_min_avail = 2\n client_limit = 4000\n\
              inet_listener pop3 {{\n  port = {port}\n }}\n inet_listener pop3s {{\n  port = 0\n }}\n}}\n\
             service pop3 {{\n service_count = 0\n}}\n\
             auth_failure_delay = 0\nservice anvil {{\n client_limit = 9000\n unix_listener anvil-auth-penalty {{\n  mode = 0\n }}\n}}\nservice auth {{\n client_limit = 9000\n}}\n",
            run = run.display(),
            port = self.pop3.port()
        );
        let file = run.join("dovecot.conf");
        fs::write(&file, text)?;
        // Its daemons keep what they inherit: reading their output to its end would wait for their end.
        let status = Command::new("/usr/sbin/dovecot")
            .arg("-c")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            bail!("dovecot did not start: {status}");
        }
        let pid = wait_for_pid(&run.join("base/master.pid")).await?;
        self.dovecot = Some(pid);
        self.processes.push(("dovecot".to_owned(), pid));
        Ok(())
    }

    /// True when Postfix has delivered everything.
    pub fn queue_is_empty(&self) -> anyhow::Result<bool> {
        let configuration = self.folder.path().join("postfix");
        let output = Command::new("/usr/sbin/postqueue").arg("-c").arg(configuration).arg("-p").output()?;
        Ok(String::from_utf8_lossy(&output.stdout).contains("queue is empty"))
    }

    /// Folder that holds the boxes as maildirs, each by the name before the @.
    pub fn mail(&self) -> PathBuf {
        self.folder.path().join("mail")
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        // Postfix is a child, and ends with what holds it; Dovecot goes into the background by itself.
        if let Some(pid) = self.dovecot.and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
    }
}

async fn wait_for_pid(file: &Path) -> anyhow::Result<u32> {
    let mut pid = None;
    let there = eventually(Duration::from_secs(10), async || {
        pid = fs::read_to_string(file).ok().and_then(|t| t.trim().parse::<u32>().ok());
        pid.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
    })
    .await;
    if !there {
        bail!("{} did not appear", file.display());
    }
    pid.context("a process id")
}
