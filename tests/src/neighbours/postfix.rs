//! Postfix.

use std::{
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;
use nix::unistd::{Group, User, chown};

use super::{Server, file_of, folder_of};

/// What a Postfix is to be.
pub struct Settings<'a> {
    /// Where everything of it lies, open to all users: `mail` has its boxes.
    pub folder: &'a Path,
    /// Its only door.
    pub door: SocketAddr,
    /// Its own name.
    pub host: &'a str,
    /// The domain that it has boxes of.
    pub domain: &'a str,
    /// Addresses and their folders below `mail`; a folder ends with a slash.
    pub boxes: &'a [(String, String)],
    /// More lines of main.cf.
    pub more: &'a str,
}

/// Folders of the queue, but for those that senders on the same machine reach.
const QUEUE: [&str; 12] = [
    "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved",
    "trace", "pid",
];

/// Starts it in the foreground and waits until its door is open.
pub async fn start(settings: &Settings<'_>) -> anyhow::Result<Server> {
    let Settings { folder, door, host, domain, boxes, more } = settings;
    let program = file_of("usr/lib/postfix/sbin/master")?;
    let daemons = program.parent().context("a folder")?;
    let libraries = daemons.parent().context("a folder")?;
    let configuration = folder_of(folder, "postfix", "root")?;
    let queue = queue_of(folder)?;
    let state = folder_of(folder, "state", "postfix")?;
    let mail = folder_of(folder, "mail", "nobody")?;
    let nobody = User::from_name("nobody")?.context("no user nobody")?;
    let lines: String = boxes.iter().map(|(address, place)| format!("{address} {place}\n")).collect();
    fs::write(configuration.join("boxes"), lines)?;
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {queue}\ndata_directory = {state}\ncommand_directory = /usr/sbin\n\
         daemon_directory = {daemons}\nshlib_directory = {libraries}\nimport_environment = MAIL_CONFIG TZ LANG=C POSTLOG_SERVICE POSTLOG_HOSTNAME LD_LIBRARY_PATH={libraries}\n\
         mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = {host}\nmydestination =\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nmynetworks = 127.0.0.0/8\nvirtual_mailbox_domains = {domain}\n\
         virtual_mailbox_base = {mail}\nvirtual_mailbox_maps = texthash:{configuration}/boxes\n\
         virtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\nvirtual_minimum_uid = 1\n\
         mailbox_size_limit = 0\nvirtual_mailbox_limit = 0\nmaillog_file = /dev/stdout\n\
         smtpd_client_connection_count_limit = 0\nsmtpd_peername_lookup = no\ndisable_dns_lookups = yes\n\
         smtp_host_lookup = native\nalias_maps =\nlocal_recipient_maps =\ndefault_process_limit = 200\n{more}",
        queue = queue.display(),
        state = state.display(),
        daemons = daemons.display(),
        libraries = libraries.display(),
        mail = mail.display(),
        configuration = configuration.display(),
        uid = nobody.uid,
        gid = nobody.gid,
    );
    fs::write(configuration.join("main.cf"), main)?;
    fs::write(configuration.join("master.cf"), master_cf(*door))?;
    let path = folder.join("log");
    let log = File::create(&path)?;
    let child = Command::new(&program)
        .arg("-c")
        .arg(&configuration)
        // In the foreground.
        .arg("-s")
        .env("LD_LIBRARY_PATH", libraries)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start Postfix")?;
    Server(child).open_at(*door, &path).await
}

/// The queue as an installation lays it out.
fn queue_of(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let queue = folder_of(folder, "queue", "root")?;
    for name in QUEUE {
        let path = folder_of(&queue, name, if name == "pid" { "root" } else { "postfix" })?;
        fs::set_permissions(path, fs::Permissions::from_mode(if name == "pid" { 0o755 } else { 0o700 }))?;
    }
    let droppers = Group::from_name("postdrop")?.context("no group postdrop")?;
    for (name, mode) in [("public", 0o710), ("maildrop", 0o730)] {
        let path = folder_of(&queue, name, "postfix")?;
        chown(&path, None, Some(droppers.gid))?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(queue)
}

fn master_cf(door: SocketAddr) -> String {
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
    let mut text = format!("{door} inet n - n - - smtpd\n");
    for (name, rest) in daemons {
        text.push_str(&format!("{name} {rest}\n"));
    }
    text
}
