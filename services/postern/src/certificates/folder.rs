//! The folder that the doors read certificates from by name, and in it what is ours: a link `<host>.acme` for each host, to its pair
//! in the hidden `.acme`, so that certificate and key change in one step. Whoever else puts pairs there is left alone.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use postern_mesh::{
    StartError,
    tls::{self, About},
};

use super::authority::Issued;
use crate::whole_file;

/// What is not for the doors: pairs, the account at the authority, what was tried. They read no hidden folder.
const OWN: &str = ".acme";
/// How our links end.
const LINK: &str = "acme";
/// As certbot calls them, and the doors know them.
const CERTIFICATE: &str = "fullchain.pem";
const KEY: &str = "privkey.pem";
/// A certificate is shown to everybody, its key to the doors: the same user, or one of the folder's group.
const CERTIFICATE_MODE: u32 = 0o644;
const KEY_MODE: u32 = 0o640;
const PAIR_MODE: u32 = 0o750;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

/// What there is for one host.
#[derive(Clone, Debug, Default)]
pub(super) struct Standing {
    /// Our own.
    pub(super) ours: Option<About>,
    /// The one of others that ends last; it may be for more hosts.
    pub(super) others: Option<About>,
}

/// What is in the folder, by host. Wildcards stand under their own name.
#[derive(Debug, Default)]
pub(super) struct Stock(BTreeMap<String, Standing>);

impl Folder {
    /// Names it.
    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What is ours in it.
    pub(crate) fn own(&self) -> PathBuf {
        self.0.join(OWN)
    }

    /// Makes the hidden part.
    ///
    /// # Errors
    /// When there is no such folder, or it cannot be written.
    pub(super) fn prepare(&self) -> Result<(), StartError> {
        let own = self.own();
        match fs::create_dir(&own) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(StartError::file(own, error)),
            _ => Ok(()),
        }
    }

    /// One process for one folder; `None`: another one has it.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(super) fn lock(&self) -> io::Result<Option<File>> {
        whole_file::lock(&self.own().join("lock"))
    }

    /// Takes away pairs that no link leads to: left by a process that was killed. For whoever has the lock.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(super) fn sweep(&self) -> io::Result<()> {
        let links = fs::read_dir(&self.0)?.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        let in_use: Vec<PathBuf> = links.map(|target| self.0.join(target)).collect();
        for entry in fs::read_dir(self.own())? {
            let path = entry?.path();
            if path.is_dir() && !in_use.contains(&path) {
                fs::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    /// Reads all pairs, as the doors do.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn stock(&self) -> Result<Stock, StartError> {
        let mut stock = Stock::default();
        for seen in tls::look_at(&self.0)? {
            // What cannot be used is told by the doors and by the doctor; here it is as good as none.
            let Ok(about) = seen.pair else { continue };
            match self.host_of(&seen.certificate) {
                Some(host) => stock.0.entry(host).or_default().ours = Some(about),
                None => {
                    for name in &about.names {
                        let others = &mut stock.0.entry(name.clone()).or_default().others;
                        if others.as_ref().is_none_or(|known| known.ends < about.ends) {
                            *others = Some(about.clone());
                        }
                    }
                }
            }
        }
        Ok(stock)
    }

    /// Puts a pair in place of the one before, in one step.
    ///
    /// # Errors
    /// When it cannot be written, or is not one that the doors could use for this host; the one before is used on.
    pub(super) fn put(&self, host: &str, issued: &Issued) -> Result<About, StartError> {
        let own = self.own();
        let failed = |error| StartError::file(&own, error);
        let pair = tempfile::Builder::new()
            .prefix(&format!("{host}-"))
            .permissions(Permissions::from_mode(PAIR_MODE))
            .tempdir_in(&own)
            .map_err(failed)?;
        let (certificate, key) = (pair.path().join(CERTIFICATE), pair.path().join(KEY));
        whole_file::write(&certificate, &issued.chain, CERTIFICATE_MODE).map_err(failed)?;
        whole_file::write(&key, &issued.key, KEY_MODE).map_err(failed)?;
        let about = About::read(&certificate, &key)?;
        if !about.names.iter().any(|name| name == host) {
            let why = format!("what was issued for {host} is for {}", about.names.join(", "));
            return Err(StartError::setting("certificate", why));
        }
        sync(pair.path()).map_err(failed)?;
        let link = self.link(host);
        let before = fs::read_link(&link).ok();
        // Relative: the folder is mounted elsewhere by the doors.
        let target = Path::new(OWN).join(pair.path().file_name().unwrap_or_default());
        let new = own.join(format!("{host}.new"));
        remove(&new).map_err(failed)?;
        symlink(target, &new).and_then(|()| fs::rename(&new, &link)).map_err(failed)?;
        // From here on it is in use.
        let _stays = pair.keep();
        sync(&self.0).map_err(failed)?;
        self.remove_pair(before);
        Ok(about)
    }

    /// Takes the pair of a host away.
    ///
    /// # Errors
    /// When the link cannot be removed.
    pub(super) fn remove(&self, host: &str) -> io::Result<()> {
        let link = self.link(host);
        let pair = fs::read_link(&link).ok();
        fs::remove_file(link)?;
        self.remove_pair(pair);
        Ok(())
    }

    /// A pair that no link leads to any more; what is left of it goes at the next start.
    fn remove_pair(&self, target: Option<PathBuf>) {
        let Some(target) = target.filter(|target| target.starts_with(OWN)) else { return };
        let path = self.0.join(target);
        if let Err(error) = fs::remove_dir_all(&path) {
            tracing::warn!(pair = %path.display(), %error, "a pair that is not used any more cannot be removed");
        }
    }

    fn link(&self, host: &str) -> PathBuf {
        self.0.join(format!("{host}.{LINK}"))
    }

    /// The host of one of our certificates.
    fn host_of(&self, certificate: &Path) -> Option<String> {
        let link = certificate.parent().filter(|link| link.extension() == Some(OsStr::new(LINK)))?;
        let is_ours = fs::read_link(link).is_ok_and(|target| target.starts_with(OWN));
        is_ours.then(|| link.file_stem()?.to_str().map(str::to_owned)).flatten()
    }
}

impl Stock {
    /// What there is for a host.
    pub(super) fn of(&self, host: &str) -> Standing {
        let own = self.0.get(host).cloned().unwrap_or_default();
        let wildcard = host.split_once('.').and_then(|(_, domain)| self.0.get(&format!("*.{domain}")));
        let others = own.others.into_iter().chain(wildcard.and_then(|standing| standing.others.clone()));
        Standing { ours: own.ours, others: others.max_by_key(|about| about.ends) }
    }

    /// All of ours.
    pub(super) fn ours(&self) -> impl Iterator<Item = (&str, &About)> {
        self.0.iter().filter_map(|(host, standing)| Some((host.as_str(), standing.ours.as_ref()?)))
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn remove(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
