//! Certificates for names of their own: a folder with a pair of files for each, chosen by the name that a client asks for.
//!
//! Which names a certificate is for stands in the certificate; folders and files may be called anything. A handshake looks
//! into a map in memory and never at a file. A thread beside looks at the folder, once a second or, when looking takes long, so
//! rarely that it takes a fiftieth of a core; it reads only what changed (DECISIONS.md, 55).

mod layout;

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, Weak},
    thread,
    time::{Duration, Instant},
};

use rustls::sign::CertifiedKey;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use super::pair;
use crate::{
    StartError,
    reload::{LOOK_EVERY, Look, look_of},
};
use layout::Files;

/// The pause between two looks is at least this many times what the last one took.
const PAUSE_FACTOR: u32 = 50;
/// But no longer.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How errors call the files of a pair.
const CALLED: (&str, &str) = ("certificate", "key");

/// Certificates by the names in them.
type Names = HashMap<String, Arc<CertifiedKey>>;

/// The folder as it was last seen.
pub(super) struct ByName {
    folder: PathBuf,
    names: RwLock<Arc<Names>>,
}

/// A pair of files and the names that it is for.
struct Pair {
    key: Arc<CertifiedKey>,
    about: About,
}

/// What a certificate says of itself.
#[derive(Clone, Debug)]
pub struct About {
    /// Hosts, lower case; `*.example.net` for all names one label below.
    pub names: Vec<String>,
    /// From when it is good, seconds since 1970.
    pub begins: i64,
    /// When it ends, seconds since 1970.
    pub ends: i64,
}

impl About {
    /// Reads a pair as a door would.
    ///
    /// # Errors
    /// When a door could not use it: a file cannot be read, the two do not fit together, or no host is named.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, StartError> {
        let files = Files { certificate: certificate.to_owned(), key: key.to_owned() };
        Pair::read(&files).map(|pair| pair.about)
    }
}

/// A pair as it was last looked at.
#[derive(Default)]
struct Known {
    looks: [Look; 2],
    /// The last good reading.
    good: Option<Pair>,
    /// Why the newest one is none, as it was told.
    error: Option<String>,
}

/// What a folder holds, for whoever only wants to know.
#[derive(Debug)]
pub struct Seen {
    /// The file of the certificate.
    pub certificate: PathBuf,
    /// What it says, or why the pair cannot be used.
    pub pair: Result<About, String>,
}

/// Looks at a folder of certificates once.
///
/// # Errors
/// When the folder cannot be read.
pub fn look_at(folder: &Path) -> Result<Vec<Seen>, StartError> {
    let seen = |files: Files| {
        let pair = Pair::read(&files).map(|pair| pair.about).map_err(|e| e.to_string());
        Seen { certificate: files.certificate, pair }
    };
    Ok(layout::pairs(folder)?.into_iter().map(seen).collect())
}

impl ByName {
    /// Reads the folder for the first time, and looks at it on until this is dropped. A pair that cannot be used is told, and keeps
    /// nobody else from starting.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(super) fn open(folder: &Path) -> Result<Arc<Self>, StartError> {
        let by_name = Arc::new(Self { folder: folder.to_owned(), names: RwLock::default() });
        let mut known = BTreeMap::new();
        by_name.look(&mut known)?;
        let watched = Arc::downgrade(&by_name);
        thread::Builder::new()
            .name("certificates".to_owned())
            .spawn(move || watch(&watched, known))
            .map_err(|e| StartError::file(folder, e))?;
        Ok(by_name)
    }

    /// The certificate for a name as a client asks for it, in any case; the name itself goes before a wildcard.
    pub(super) fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let names = Arc::clone(&self.names.read().unwrap_or_else(PoisonError::into_inner));
        let wildcard = || names.get(&format!("*.{}", name.split_once('.')?.1));
        names.get(&name).or_else(wildcard).cloned()
    }

    /// Looks at all files and reads those that changed.
    fn look(&self, known: &mut BTreeMap<Files, Known>) -> Result<(), StartError> {
        let found = layout::pairs(&self.folder)?;
        let mut before = std::mem::take(known);
        let mut changed = false;
        for files in found {
            let mut one = before.remove(&files).unwrap_or_default();
            changed |= one.look(&files);
            known.insert(files, one);
        }
        for files in before.into_keys() {
            tracing::info!(certificate = %files.certificate.display(), "a certificate is gone");
            changed = true;
        }
        if changed {
            self.take(known);
        }
        Ok(())
    }

    /// From now on handshakes find these.
    fn take(&self, known: &BTreeMap<Files, Known>) {
        let mut pairs: Vec<&Pair> = known.values().filter_map(|known| known.good.as_ref()).collect();
        // Of two for one name the one that ends later.
        pairs.sort_by_key(|pair| pair.about.ends);
        let named = pairs.iter().flat_map(|pair| pair.about.names.iter().map(move |name| (name, *pair)));
        let in_use: HashMap<&String, &Pair> = named.collect();
        let broken = known.values().filter(|known| known.error.is_some()).count();
        let first_end = in_use.values().map(|pair| pair.about.ends).min().unwrap_or(0);
        let names: Names =
            in_use.into_iter().map(|(name, pair)| (name.clone(), Arc::clone(&pair.key))).collect();
        tracing::info!(certificates = pairs.len(), names = names.len(), broken, "certificates by name");
        metrics::gauge!("postern_tls_certificates").set(pairs.len() as f64);
        metrics::gauge!("postern_tls_certificates_broken").set(broken as f64);
        metrics::gauge!("postern_tls_certificates_first_end_seconds").set(first_end as f64);
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(names);
    }
}

impl Known {
    /// Reads the pair if it changed; true when there is something new to be used or told.
    fn look(&mut self, files: &Files) -> bool {
        let looks = [look_of(&files.certificate), look_of(&files.key)];
        // What could not be read is tried again each time: the writer may have been half way.
        if looks == self.looks && self.error.is_none() {
            return false;
        }
        match Pair::read(files) {
            Ok(pair) => {
                *self = Self { looks, good: Some(pair), error: None };
                true
            }
            Err(error) => {
                let error = error.to_string();
                let is_new = looks != self.looks || self.error.as_ref() != Some(&error);
                if is_new {
                    let goes_on =
                        if self.good.is_some() { "the one before is used on" } else { "it is left out" };
                    tracing::warn!(certificate = %files.certificate.display(), error, "a pair is no good, {goes_on}");
                }
                (self.looks, self.error) = (looks, Some(error));
                is_new
            }
        }
    }
}

impl Pair {
    fn read(files: &Files) -> Result<Self, StartError> {
        let key = pair::load(&files.certificate, &files.key, CALLED)?;
        let (_, certificate) = key
            .cert
            .first()
            .ok_or(())
            .and_then(|first| parse_x509_certificate(first).map_err(|_| ()))
            .map_err(|()| StartError::setting(CALLED.0, "cannot be read"))?;
        let alternative = certificate.subject_alternative_name().map_err(|e| StartError::tls(CALLED.0, e))?;
        let names: Vec<_> = alternative
            .iter()
            .flat_map(|names| &names.value.general_names)
            .filter_map(|name| match name {
                GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
                _ => None,
            })
            .collect();
        if names.is_empty() {
            return Err(StartError::setting(CALLED.0, "names no host (subject alternative name)"));
        }
        let validity = certificate.validity();
        let (begins, ends) = (validity.not_before.timestamp(), validity.not_after.timestamp());
        Ok(Self { key: Arc::new(key), about: About { names, begins, ends } })
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByName").field(&self.folder).finish()
    }
}

/// Looks at the folder until nobody needs it any more.
fn watch(watched: &Weak<ByName>, mut known: BTreeMap<Files, Known>) {
    let mut pause = LOOK_EVERY;
    loop {
        thread::sleep(pause);
        let Some(by_name) = watched.upgrade() else { return };
        let begun = Instant::now();
        if let Err(error) = by_name.look(&mut known) {
            tracing::warn!(%error, "the certificates are used on as they were");
        }
        pause = (begun.elapsed() * PAUSE_FACTOR).clamp(LOOK_EVERY, PAUSE_MAX);
    }
}
