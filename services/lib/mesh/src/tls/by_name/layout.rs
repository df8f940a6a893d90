//! Where programs that fetch certificates lay them down.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::StartError;

/// certbot, and cert-manager as Kubernetes mounts its secrets: a folder for each certificate.
const IN_FOLDERS: [(&str, &str); 2] = [("fullchain.pem", "privkey.pem"), ("tls.crt", "tls.key")];
/// Where certbot keeps what is in use, within its own folder.
const CERTBOT_LIVE: &str = "live";

/// The two files of a pair.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Files {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

/// All pairs of a folder.
///
/// # Errors
/// When the folder cannot be read.
pub(super) fn pairs(folder: &Path) -> Result<Vec<Files>, StartError> {
    let mut found = Vec::new();
    collect(folder, &mut found).map_err(|e| StartError::file(folder, e))?;
    let live = folder.join(CERTBOT_LIVE);
    if live.is_dir() {
        collect(&live, &mut found).map_err(|e| StartError::file(&live, e))?;
    }
    Ok(found)
}

fn collect(folder: &Path, found: &mut Vec<Files>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        // Kubernetes turns a hidden link when a secret changes; programs hide what they are still writing.
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            let key = path.with_extension("key");
            // An authority's certificate may lie beside; it has no key here.
            if is_there(&key) {
                found.push(Files { certificate: path, key });
            }
        } else if !entry.file_type()?.is_file() {
            let here = IN_FOLDERS.map(|(certificate, key)| (path.join(certificate), path.join(key)));
            let pairs = here.into_iter().map(|(certificate, key)| Files { certificate, key });
            found.extend(pairs.filter(|pair| is_there(&pair.certificate)));
        }
    }
    Ok(())
}

/// What cannot be looked at is there, so that reading it tells why.
fn is_there(path: &Path) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    fs::metadata(path)
        .map_or_else(|error| !matches!(error.kind(), NotFound | NotADirectory), |about| about.is_file())
}
