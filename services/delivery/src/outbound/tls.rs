//! TLS towards foreign MX hosts: opportunistic (RFC 7435) as a rule. Their names prove nothing (they come from plain DNS), so the
//! certificate is not judged; encryption without proof is better than none. Where a policy says whom to expect (MTA-STS, or
//! the operator), it is judged.

use std::{path::Path, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

/// The configuration for hosts that must prove their names: the public authorities, and those of a file.
///
/// # Errors
/// The provider knows none of the TLS versions asked for, or the file holds no certificates.
pub(super) fn proving(
    authorities: Option<&Path>,
) -> Result<Arc<ClientConfig>, Box<dyn std::error::Error + Send + Sync>> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(file) = authorities {
        for certificate in CertificateDer::pem_file_iter(file)? {
            roots.add(certificate?)?;
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
