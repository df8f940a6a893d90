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
use tempfile::TempDir;

use crate::{admin::PASSWORD, eventually, platform::free_ports};

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
    sink: Sink,
}

/// Login of a box.
fn login_of(number: usize) -> String {
    format!("user{number}@homepage.test")
}

impl Rivals {
    /// Why they cannot be started here, if so.
    pub fn missing() -> Option<&'static str> {
        if !Path::new("/usr/sbin/postfix").exists() || !Path::new("/usr/sbin/dovecot").exists() {
            return Some("Postfix and Dovecot are not installed (packages postfix, dovecot-pop3d)");
        }
        (!nix::unistd::geteuid().is_root()).then_some("Postfix and Dovecot can only be started by root")
    }

    /// Starts both and waits until they are there.
    pub async fn start(settings: RivalSettings) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("rivals-").tempdir()?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
        let ports = free_ports(2)?;
        let sink = Sink::start(SinkSettings::default()).await?;
        let (smtp, pop3) = (ports[0], ports[1]);
        let mut rivals = Self { folder, settings, smtp, pop3, processes: Vec::new(), sink };
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
        let configuration = self.make_folder("postfix", "root")?;
        let queue = self.make_folder("queue", "root")?;
        let state = self.make_folder("state", "postfix")?;
        let mail = self.make_folder("mail", "nobody")?;
        let nobody = User::from_name("nobody")?.context("no user nobody")?;
        let boxes: String = (0..self.settings.boxes).map(|n| format!("{} user{n}/\n", login_of(n))).collect();
        fs::write(configuration.join("boxes"), boxes)?;
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {state}\n\
             command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\nmail_owner = postfix\n\
             setgid_group = postdrop\nmyhostname = mail.rival.test\nmydestination =\ninet_interfaces = 127.0.0.1\n\
             inet_protocols = ipv4\nmynetworks = {relay}\nrelayhost = [{sink_ip}]:{sink_port}\n\
             virtual_mailbox_domains = homepage.test\nvirtual_mailbox_base = {mail}\n\
             virtual_mailbox_maps = texthash:{configuration}/boxes\nvirtual_uid_maps = static:{uid}\n\
             virtual_gid_maps = static:{gid}\nvirtual_minimum_uid = 1\nmailbox_size_limit = 0\n\
             virtual_mailbox_limit = 0\nmaillog_file = /var/log/{log}\nmaillog_file_prefixes = /var\n\
             smtpd_client_connection_count_limit = 0\nsmtpd_error_sleep_time = 0\nlocal_header_rewrite_clients =\nsmtpd_peername_lookup = no\n\
             disable_dns_lookups = yes\nsmtp_host_lookup = native\nalias_maps =\nlocal_recipient_maps =\ndefault_process_limit = 200\n",
            queue = queue.display(),
            state = state.display(),
            mail = mail.display(),
            configuration = configuration.display(),
            sink_ip = self.sink.address().ip(),
            sink_port = self.sink.address().port(),
            uid = nobody.uid,
            gid = nobody.gid,
            log = "postern-bench-rival.log",
            relay = if self.settings.relay { "127.0.0.0/8" } else { "192.0.2.0/24" },
        );
        fs::write(configuration.join("main.cf"), main)?;
        fs::write(configuration.join("master.cf"), master_cf(self.smtp.port()))?;
        let status = Command::new("/usr/sbin/postfix").arg("-c").arg(&configuration).arg("start").output()?;
        if !status.status.success() {
            bail!("postfix: {}", String::from_utf8_lossy(&status.stderr));
        }
        let pid = wait_for_pid(&queue.join("pid/master.pid")).await?;
        self.processes.push(("postfix".to_owned(), pid));
        Ok(())
    }

    async fn start_dovecot(&mut self) -> anyhow::Result<()> {
        let run = self.make_folder("dovecot", "root")?;
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

fn master_cf(port: u16) -> String {
    let daemons = [
        ("pickup", "unix n - n 60 1 pickup"),
        ("cleanup", "unix n - n - 0 cleanup"),
        ("qmgr", "unix n - n 300 1 qmgr"),
        ("tlsmgr", "unix - - n 1000? 1 tlsmgr"),
        ("rewrite", "unix - - n - - trivial-rewrite"),
        ("bounce", "unix - - n - 0 bounce"),
        ("defer", "unix - - n - 0 bounce"),
        ("trace", "unix - - n - 0 bounce"),
        ("verify", "unix - - n - 1 verify"),
        ("flush", "unix n - n 1000? 0 flush"),
        ("proxymap", "unix - - n - - proxymap"),
        ("proxywrite", "unix - - n - 1 proxymap"),
        ("smtp", "unix - - n - - smtp"),
        ("relay", "unix - - n - - smtp"),
        ("showq", "unix n - n - - showq"),
        ("error", "unix - - n - - error"),
        ("retry", "unix - - n - - error"),
        ("discard", "unix - - n - - discard"),
        ("local", "unix - n n - - local"),
        ("virtual", "unix - n n - - virtual"),
        ("anvil", "unix - - n - 1 anvil"),
        ("scache", "unix - - n - 1 scache"),
        ("postlog", "unix-dgram n - n - 1 postlogd"),
    ];
    let mut text = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
    for (name, rest) in daemons {
        text.push_str(&format!("{name} {rest}\n"));
    }
    text
}
