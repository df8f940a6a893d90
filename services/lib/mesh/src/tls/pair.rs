//! A certificate chain and its key, read from two files.

use std::{fs, path::Path};

use rustls::{crypto::ring, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

use crate::StartError;

/// Reads a pair and checks that the key belongs to the certificate. `called` is what errors call the two.
///
/// # Errors
/// When a file cannot be read, is no PEM, or the two do not fit together.
pub(super) fn load(
    certificate: &Path,
    key: &Path,
    called: (&'static str, &'static str),
) -> Result<CertifiedKey, StartError> {
    let chain = fs::read(certificate).map_err(|e| StartError::file(certificate, e))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|e| StartError::tls(called.0, e))?;
    if chain.is_empty() {
        return Err(StartError::setting(called.0, "the file holds no certificate"));
    }
    let secret = fs::read(key).map_err(|e| StartError::file(key, e))?;
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|e| StartError::tls(called.1, e))?;
    CertifiedKey::from_der(chain, secret, &ring::default_provider())
        .map_err(|e| StartError::tls("certificate and key", e))
}
