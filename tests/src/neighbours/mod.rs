//! Mail servers of others on loopback, as the distribution builds them: private instances with folders, addresses and process
//! ids of their own. Nothing of the system's own configuration is touched, and nothing of theirs leaves the machine.

pub mod exim;
pub mod postfix;

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use anyhow::Context;
use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, User, chown, geteuid},
};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{eventually, process::binary_folder};

/// How long a server may take to open its door.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// A neighbour: the mail server of a domain, with a box for `alice` and for nobody else. It ends with this.
pub struct Neighbour {
    /// Its domain.
    pub domain: &'static str,
    /// Its door.
    pub door: SocketAddr,
    _server: Server,
    folder: TempDir,
}

impl Neighbour {
    /// True when this user can start one: mail servers begin as root.
    pub fn can_start() -> bool {
        geteuid().is_root()
    }

    /// Postfix for `postfix.test` at this address; it finds the domains of the house at `house`.
    pub async fn postfix(door: SocketAddr, house: SocketAddr) -> anyhow::Result<Self> {
        let (domain, folder) = ("postfix.test", open_folder()?);
        let (certificate, key) = certificate_of(folder.path(), "root")?;
        let more = format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_received_header = yes\nsmtpd_tls_chain_files = {key} {certificate}\n\
             smtp_tls_security_level = may\nsmtp_bind_address = {own}\ndefault_transport = error:5.1.2 nothing leaves this machine\n\
             transport_maps = inline:{{ homepage.test=smtp:[{house}]:{port} }}\nlocal_transport = error:5.1.1 nobody\n",
            key = key.display(),
            certificate = certificate.display(),
            own = door.ip(),
            house = house.ip(),
            port = house.port(),
        );
        let boxes = [("alice@postfix.test".to_owned(), "box/".to_owned())];
        let settings = postfix::Settings {
            folder: folder.path(),
            door,
            host: "mx.postfix.test",
            domain,
            boxes: &boxes,
            more: &more,
        };
        let server = postfix::start(&settings).await?;
        Ok(Self { domain, door, _server: server, folder })
    }

    /// Exim for `exim.test` at this address; it finds the domains of the house at `house`.
    pub async fn exim(door: SocketAddr, house: SocketAddr) -> anyhow::Result<Self> {
        let folder = open_folder()?;
        let server = exim::start(folder.path(), door, house).await?;
        Ok(Self { domain: exim::DOMAIN, door, _server: server, folder })
    }

    /// What is in its box, with the line ends of the wire.
    pub fn mail(&self) -> Vec<Vec<u8>> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.folder.path().join("mail/box/new"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|file| file.path())
            .collect();
        files.sort();
        files.iter().filter_map(|file| fs::read(file).ok()).map(|octets| with_crlf(&octets)).collect()
    }

    /// What it wrote down.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(octets.len() + octets.len() / 32);
    for octet in octets {
        if *octet == b'\n' {
            wire.push(b'\r');
        }
        wire.push(*octet);
    }
    wire
}

/// A running server; it is asked to end when this goes.
pub struct Server(Child);

impl Server {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until the door is open.
    async fn open_at(mut self, door: SocketAddr, log: &Path) -> anyhow::Result<Self> {
        let mut ended = None;
        let open = eventually(READY_LIMIT, async || {
            ended = self.0.try_wait().ok().flatten();
            ended.is_some() || TcpStream::connect(door).await.is_ok()
        })
        .await;
        let told = fs::read_to_string(log).unwrap_or_default();
        anyhow::ensure!(open && ended.is_none(), "the mail server at {door} does not open: {ended:?} {told}");
        Ok(self)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It ends its helpers when it is asked to; killed, it would leave them.
        if let Ok(pid) = i32::try_from(self.0.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let _ = self.0.wait();
    }
}

/// Where a file of a package is: installed, or unpacked by scripts/unpack-packages.
fn file_of(path: &str) -> anyhow::Result<PathBuf> {
    let installed = Path::new("/").join(path);
    if installed.exists() {
        return Ok(installed);
    }
    let built = binary_folder()?;
    let unpacked = built.parent().context("a folder of builds")?.join("mail-servers").join(path);
    anyhow::ensure!(unpacked.exists(), "there is no {path}: run `make mail-servers` first");
    Ok(unpacked)
}

/// A folder that the users of mail servers can enter.
pub(crate) fn open_folder() -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("postern-neighbour-").tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// A new folder of this user.
pub(crate) fn folder_of(parent: &Path, name: &str, owner: &str) -> anyhow::Result<PathBuf> {
    let path = parent.join(name);
    fs::create_dir_all(&path)?;
    give(&path, owner)?;
    Ok(path)
}

fn give(path: &Path, owner: &str) -> anyhow::Result<()> {
    let user = User::from_name(owner)?.with_context(|| format!("no user {owner}"))?;
    chown(path, Some(user.uid), Some(user.gid))?;
    Ok(())
}

/// Certificate and key that nobody signed, as most mail hosts had them for long.
fn certificate_of(folder: &Path, owner: &str) -> anyhow::Result<(PathBuf, PathBuf)> {
    let made = rcgen::generate_simple_self_signed(vec!["mx.neighbour.test".to_owned()])?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    fs::write(&certificate, made.cert.pem())?;
    fs::write(&key, made.signing_key.serialize_pem())?;
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
    give(&key, owner)?;
    Ok((certificate, key))
}
