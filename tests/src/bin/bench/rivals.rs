//! Postfix and Dovecot from the distribution, doing the same work on the same machine in the same run: private
//! instances with folders, ports and process ids of their own; nothing of the system's own configuration is touched.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown},
};
use postern::sink::{Sink, SinkSettings};
use postern_tests::{
    admin::PASSWORD,
    eventually,
    neighbours::{Server, postfix},
    platform::free_ports,
};
use tempfile::TempDir;

use crate::{
    BOXES, Settings, box_login,
    cpu::memory_mib,
    figure,
    load::{Operation, Target},
    operations,
    report::Report,
};

const SHAPE: &str = "Postfix + Dovecot";

struct Rivals {
    folder: TempDir,
    smtp: SocketAddr,
    pop3: SocketAddr,
    processes: Vec<(String, u32)>,
    postfix: Option<Server>,
    sink: Sink,
}

/// Measures them, or says why not.
pub(crate) async fn measure(settings: &Settings, report: &mut Report) -> anyhow::Result<()> {
    if !Path::new("/usr/sbin/postfix").exists() || !Path::new("/usr/sbin/dovecot").exists() {
        eprintln!("{SHAPE} are not installed (packages postfix, dovecot-pop3d): not measured");
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() {
        eprintln!("{SHAPE} can only be started by root: not measured");
        return Ok(());
    }
    let rivals = Rivals::start().await?;
    report.memory(SHAPE, "idle", memory_mib(&rivals.processes));
    let target = Target {
        smtp: rivals.smtp,
        pop3: rivals.pop3,
        login: box_login,
        sender: "user0@homepage.test",
        outside: "outside.test",
    };
    for (name, operation) in operations() {
        for sessions in &settings.sessions {
            rivals.prepare(&operation)?;
            report
                .row(figure(settings, SHAPE, name, &operation, *sessions, &target, &rivals.processes).await);
        }
    }
    let many = Operation::DeliverMany { bytes: 10 * 1024, recipients: 50 };
    report.row(
        figure(settings, SHAPE, "deliver 10 KiB to 50 boxes", &many, 10, &target, &rivals.processes).await,
    );
    Ok(())
}

impl Rivals {
    async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rivals-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let ports = free_ports(2)?;
        let sink = Sink::start(SinkSettings::default()).await?;
        let mut rivals =
            Self { folder, smtp: ports[0], pop3: ports[1], processes: Vec::new(), postfix: None, sink };
        rivals.start_postfix().await?;
        rivals.start_dovecot().await?;
        Ok(rivals)
    }

    fn make_folder(&self, name: &str, owner: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.path().join(name);
        fs::create_dir_all(&path)?;
        let user = User::from_name(owner)?.with_context(|| format!("no user {owner}"))?;
        chown(&path, Some(user.uid), Some(user.gid))?;
        Ok(path)
    }

    async fn start_postfix(&mut self) -> anyhow::Result<()> {
        let boxes: Vec<_> = (0..BOXES).map(|n| (box_login(n), format!("user{n}/"))).collect();
        let sink = self.sink.address();
        let more = format!("relayhost = [{}]:{}\n", sink.ip(), sink.port());
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
        let run = self.make_folder("dovecot", "root")?;
        let nobody = User::from_name("nobody")?.context("no user nobody")?;
        let users: String = (0..BOXES)
            .map(|n| {
                let home = self.folder.path().join("mail").join(format!("user{n}"));
                let (uid, gid) = (nobody.uid, nobody.gid);
                format!("{}:{{PLAIN}}{PASSWORD}:{uid}:{gid}::{}::\n", box_login(n), home.display())
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
             service anvil {{\n client_limit = 9000\n}}\nservice auth {{\n client_limit = 9000\n}}\n",
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
        self.processes.push(("dovecot".to_owned(), pid));
        Ok(())
    }

    /// Readers find at most 20 messages, as in the other shapes.
    fn prepare(&self, operation: &Operation) -> anyhow::Result<()> {
        if !matches!(operation, Operation::Read | Operation::Poll) {
            return Ok(());
        }
        for number in 0..BOXES {
            let home = self.folder.path().join("mail").join(format!("user{number}"));
            let mut kept = 0;
            for part in ["cur", "new"] {
                for entry in fs::read_dir(home.join(part)).into_iter().flatten().flatten() {
                    kept += 1;
                    if kept > 20 {
                        fs::remove_file(entry.path())?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Drop for Rivals {
    fn drop(&mut self) {
        for (_, pid) in &self.processes {
            if let Ok(pid) = i32::try_from(*pid) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
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
