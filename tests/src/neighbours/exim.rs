//! Exim.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::Context;

use super::{Server, certificate_of, file_of, folder_of};

pub(super) const DOMAIN: &str = "exim.test";
/// As whom Debian's runs.
const USER: &str = "Debian-exim";

/// Starts it in the foreground and waits until its door is open.
pub(super) async fn start(folder: &Path, door: SocketAddr, house: SocketAddr) -> anyhow::Result<Server> {
    let spool = folder_of(folder, "spool", USER)?;
    let mail = folder_of(folder, "mail", USER)?;
    let (certificate, key) = certificate_of(folder, USER)?;
    let program = file_of("usr/sbin/exim4")?;
    let text = format!(
        "exim_path = {program}\nprimary_hostname = mx.{DOMAIN}\nspool_directory = {spool}\nlog_file_path = {spool}/%slog\n\
         pid_file_path = {spool}/pid\nlocal_interfaces = {ip}\ndaemon_smtp_ports = {port}\nkeep_environment =\n\
         tls_advertise_hosts = *\ntls_certificate = {certificate}\ntls_privatekey = {key}\ndsn_advertise_hosts = *\n\
         deliver_drop_privilege = true\nacl_smtp_rcpt = recipient\nacl_smtp_data = content\n\
         begin acl\nrecipient:\n  deny domains = {DOMAIN}\n       !local_parts = alice\n       message = nobody of that name\n\
         \x20 accept hosts = 127.0.0.0/8\ncontent:\n  accept\n\
         begin routers\nhere:\n  driver = accept\n  domains = {DOMAIN}\n  transport = box\n\
         house:\n  driver = manualroute\n  route_list = homepage.test {house_ip}\n  self = send\n  transport = house\n\
         begin transports\nbox:\n  driver = appendfile\n  directory = {mail}/box\n  maildir_format\n\
         house:\n  driver = smtp\n  allow_localhost\n  port = {house_port}\n  interface = {ip}\n  hosts_try_dane =\n\
         begin retry\n* * F,1h,1s\n",
        program = program.display(),
        spool = spool.display(),
        ip = door.ip(),
        port = door.port(),
        certificate = certificate.display(),
        key = key.display(),
        house_ip = house.ip(),
        house_port = house.port(),
        mail = mail.display(),
    );
    let file = folder.join("exim.conf");
    fs::write(&file, text)?;
    let path = folder.join("log");
    let log = File::create(&path)?;
    let child = Command::new(&program)
        .arg("-C")
        .arg(&file)
        .args(["-bdf", "-q1s"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("start Exim")?;
    Server(child).open_at(door, &path).await
}
