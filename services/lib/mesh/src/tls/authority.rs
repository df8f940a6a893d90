//! A local authority that makes a certificate for whatever name the client asks for; for trying things out.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};

use crate::StartError;

/// Names whose certificates are kept.
const LEAVES_MAX: u64 = 1000;
/// Life of a leaf certificate. Mail programs refuse more than 825 days.
const LEAF_DAYS: u32 = 397;
/// Life of the local authority.
const AUTHORITY_DAYS: u32 = 3650;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_FILE: &str = "ca.pem";
const AUTHORITY_KEY_FILE: &str = "ca-key.pem";
const LOCK_FILE: &str = "ca.lock";

/// A local authority: its certificate may be given to a mail program or browser to trust.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    leaves: moka::sync::Cache<String, Arc<CertifiedKey>>,
    /// For clients that name nobody.
    pub(super) fallback: Arc<CertifiedKey>,
}

impl Authority {
    /// Opens it, or makes it the first time.
    ///
    /// # Errors
    /// When its files cannot be read or written.
    pub(super) fn open(folder: &Path) -> Result<Self, StartError> {
        fs::create_dir_all(folder).map_err(|e| StartError::file(folder, e))?;
        let (certificate_file, key_file) = (folder.join(AUTHORITY_FILE), folder.join(AUTHORITY_KEY_FILE));
        // The doors of a house are several processes that share the folder and begin at once: one makes the pair, the others wait.
        let lock_file = folder.join(LOCK_FILE);
        let lock = fs::File::create(&lock_file).and_then(|lock| lock.lock().map(|()| lock));
        let lock = lock.map_err(|e| StartError::file(&lock_file, e))?;
        if !(certificate_file.exists() && key_file.exists()) {
            make_authority(&certificate_file, &key_file)?;
        }
        let key = fs::read_to_string(&key_file).map_err(|e| StartError::file(&key_file, e))?;
        let key = KeyPair::from_pem(&key).map_err(|e| StartError::tls("key of the local authority", e))?;
        let text = fs::read(&certificate_file).map_err(|e| StartError::file(&certificate_file, e))?;
        let certificate = CertificateDer::from_pem_slice(&text)
            .map_err(|e| StartError::tls("certificate of the local authority", e))?;
        drop(lock);
        let issuer = Issuer::new(authority_params(), key);
        let fallback = make_leaf(&issuer, &certificate, "localhost")
            .map_err(|e| StartError::tls("default certificate of the local authority", e))?;
        Ok(Self {
            issuer,
            certificate,
            leaves: moka::sync::Cache::new(LEAVES_MAX),
            fallback: Arc::new(fallback),
        })
    }

    /// The certificate of a name, made when first asked for. rustls has checked that it is a DNS name.
    pub(super) fn leaf(&self, name: &str) -> Arc<CertifiedKey> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.leaves.get_with_by_ref(name.as_str(), || {
            match make_leaf(&self.issuer, &self.certificate, &name) {
                Ok(leaf) => Arc::new(leaf),
                Err(error) => {
                    tracing::warn!(name, %error, "no certificate can be made for this name");
                    Arc::clone(&self.fallback)
                }
            }
        })
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Postern local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY * AUTHORITY_DAYS).into();
    params
}

fn make_authority(certificate_file: &Path, key_file: &Path) -> Result<(), StartError> {
    let made = |error: rcgen::Error| StartError::tls("making a local authority", error);
    let key = KeyPair::generate().map_err(made)?;
    let certificate = authority_params().self_signed(&key).map_err(made)?;
    // The key first: without it the certificate is made anew.
    write_file(key_file, &key.serialize_pem(), 0o600).map_err(|e| StartError::file(key_file, e))?;
    write_file(certificate_file, &certificate.pem(), 0o644).map_err(|e| StartError::file(certificate_file, e))
}

/// Whole or not at all, and never readable by others in between.
fn write_file(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let temporary = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

fn make_leaf(
    issuer: &Issuer<'static, KeyPair>,
    authority: &CertificateDer<'static>,
    name: &str,
) -> Result<CertifiedKey, Box<dyn std::error::Error + Send + Sync>> {
    let mut names = vec![name.to_owned()];
    if name == "localhost" {
        names.extend(["127.0.0.1".to_owned(), "::1".to_owned()]);
    }
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // A day back, for clients whose clock is behind.
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY * LEAF_DAYS).into();
    let key = KeyPair::generate()?;
    let leaf = params.signed_by(&key, issuer)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let chain = vec![leaf.der().clone(), authority.clone()];
    Ok(CertifiedKey::from_der(chain, key, &ring::default_provider())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_begin_at_once_have_one_authority() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin = std::sync::Barrier::new(8);
        let open = || {
            begin.wait();
            let authority = Authority::open(folder.path()).expect("opened");
            (authority.certificate.clone(), authority.issuer.key().serialize_der())
        };
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        assert!(opened.iter().all(|pair| *pair == opened[0]));
    }
}
