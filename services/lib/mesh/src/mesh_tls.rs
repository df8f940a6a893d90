//! TLS between the services: each has a certificate of the house's own authority with its name in it, shows it when it
//! calls and when it is called, and takes nothing from anybody else.
//!
//! The name is `<service>.postern.internal`, wherever the service runs: an address is found by DNS, a service by its
//! certificate. Tools have no certificate; they check the servers' ones and show a token (`guard`).

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::verify_server_name,
    crypto::ring,
    server::{ParsedCertificate, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};

use crate::{
    StartError,
    house::NAMES,
    reload::Reload,
    tls::ends::{self, Of},
};

const CA: &str = "POSTERN_MESH_TLS_CA";
const CERTIFICATE: &str = "POSTERN_MESH_TLS_CERTIFICATE";
const KEY: &str = "POSTERN_MESH_TLS_KEY";
/// HTTP/2, as gRPC needs it.
const ALPN: &[u8] = b"h2";
/// Where names of services end in certificates.
const DOMAIN: &str = "postern.internal";

/// Certificates between the services: all three or none. With them every gRPC door speaks TLS and URLs are https://.
#[derive(Args, Clone, Debug, Default)]
pub struct MeshTlsSettings {
    /// Authority of the house that signed the certificates of all services, PEM; with it gRPC is TLS, and URLs are https://
    #[arg(long, env = "POSTERN_MESH_TLS_CA", value_name = "FILE")]
    pub mesh_tls_ca: Option<PathBuf>,

    /// Certificate chain of this service, for the name <service>.postern.internal, PEM; read anew when it changes
    #[arg(long, env = "POSTERN_MESH_TLS_CERTIFICATE", value_name = "FILE")]
    pub mesh_tls_certificate: Option<PathBuf>,

    /// Private key of that certificate, PEM
    #[arg(long, env = "POSTERN_MESH_TLS_KEY", value_name = "FILE")]
    pub mesh_tls_key: Option<PathBuf>,
}

/// Who is at the other end of a connection that came over the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Without TLS: nobody has shown anything.
    Plain,
    /// TLS without a certificate: a tool.
    Unnamed,
    /// TLS with the certificate of this service.
    Service(&'static str),
}

/// What a server needs.
pub(crate) type ServerTls = Reload<Arc<ServerConfig>>;
/// What a client needs.
pub(crate) type ClientTls = Reload<Arc<ClientConfig>>;

/// The three files.
#[derive(Clone)]
struct Files {
    authority: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl MeshTlsSettings {
    /// True when gRPC is TLS here.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.mesh_tls_ca.is_some()
    }

    /// How this service answers; `None`: without TLS.
    ///
    /// # Errors
    /// When one of the three is missing, or they do not fit together.
    pub(crate) fn server(&self) -> Result<Option<ServerTls>, StartError> {
        let Some(files) = self.files()? else { return Ok(None) };
        files.watch_ends();
        Reload::new(files.all(), move || server_config(&files).map(Arc::new)).map(Some)
    }

    /// How this service calls; `None`: without TLS.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub(crate) fn client(&self) -> Result<Option<ClientTls>, StartError> {
        let Some(files) = self.files()? else { return Ok(None) };
        files.watch_ends();
        let make =
            move || client_config(&files.authority, Some((&files.certificate, &files.key))).map(Arc::new);
        let all = self.files()?.map(|files| files.all()).unwrap_or_default();
        Reload::new(all, make).map(Some)
    }

    fn files(&self) -> Result<Option<Files>, StartError> {
        match (&self.mesh_tls_ca, &self.mesh_tls_certificate, &self.mesh_tls_key) {
            (None, None, None) => Ok(None),
            (Some(authority), Some(certificate), Some(key)) => Ok(Some(Files {
                authority: authority.clone(),
                certificate: certificate.clone(),
                key: key.clone(),
            })),
            (None, ..) => Err(StartError::setting(CA, "is needed too")),
            (_, None, _) => Err(StartError::setting(CERTIFICATE, "is needed too")),
            (_, _, None) => Err(StartError::setting(KEY, "is needed too")),
        }
    }
}

impl Files {
    /// Lets the end of both certificates be told.
    fn watch_ends(&self) {
        ends::watch(Of::Authority, &self.authority);
        ends::watch(Of::Mesh, &self.certificate);
    }

    fn all(&self) -> Vec<PathBuf> {
        vec![self.authority.clone(), self.certificate.clone(), self.key.clone()]
    }
}

/// How a tool calls that has no certificate and only checks those of the servers.
///
/// # Errors
/// When the file holds no authority.
pub(crate) fn tool(authority: &Path) -> Result<ClientTls, StartError> {
    let file = authority.to_path_buf();
    Reload::new(vec![authority.to_path_buf()], move || client_config(&file, None).map(Arc::new))
}

/// The name in the certificate of a service.
///
/// # Errors
/// Only when `service` is no label of a DNS name.
pub(crate) fn name_of(service: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(format!("{service}.{DOMAIN}")).map_err(|error| error.to_string())
}

/// The service that an RPC belongs to: `/postern.account.v1.DomainService/GetDomain` is account's.
pub(crate) fn service_of(path: &str) -> Option<&'static str> {
    let package = path.strip_prefix("/postern.")?.split('.').next()?;
    NAMES.into_iter().find(|service| *service == package)
}

/// Whose certificate was shown. The handshake has checked that the house's authority signed it and that its time is now.
pub(crate) fn peer_of(shown: Option<&[CertificateDer<'_>]>) -> Peer {
    let Some(certificate) = shown.and_then(<[_]>::first) else { return Peer::Unnamed };
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return Peer::Unnamed };
    let bears =
        |service: &&str| name_of(service).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
    // A certificate that names none of the services is worth as much as none.
    NAMES.into_iter().find(bears).map_or(Peer::Unnamed, Peer::Service)
}

fn server_config(files: &Files) -> Result<ServerConfig, StartError> {
    let provider = Arc::new(ring::default_provider());
    let roots = Arc::new(roots(&files.authority)?);
    let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(|e| StartError::tls(CA, e))?;
    let (chain, key) = own(&files.certificate, &files.key)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| StartError::tls("TLS 1.3", e))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|e| StartError::tls(CERTIFICATE, e))?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn client_config(authority: &Path, own_files: Option<(&Path, &Path)>) -> Result<ClientConfig, StartError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .map_err(|e| StartError::tls("TLS 1.3", e))?
        .with_root_certificates(roots(authority)?);
    let mut config = match own_files {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let (chain, key) = own(certificate, key)?;
            builder.with_client_auth_cert(chain, key).map_err(|e| StartError::tls(CERTIFICATE, e))?
        }
    };
    config.alpn_protocols = vec![ALPN.to_vec()];
    // A resumed session would show the certificate of its beginning.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

fn roots(file: &Path) -> Result<RootCertStore, StartError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, CA)? {
        roots.add(certificate).map_err(|e| StartError::tls(CA, e))?;
    }
    Ok(roots)
}

fn own(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), StartError> {
    let chain = certificates(certificate, CERTIFICATE)?;
    let secret = fs::read(key).map_err(|e| StartError::file(key, e))?;
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|e| StartError::tls(KEY, e))?;
    Ok((chain, secret))
}

fn certificates(file: &Path, setting: &'static str) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let text = fs::read(file).map_err(|e| StartError::file(file, e))?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|e| StartError::tls(setting, e))?;
    if found.is_empty() {
        return Err(StartError::setting(setting, format!("{} holds no certificate", file.display())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpc_belongs_to_the_service_of_its_package() {
        assert_eq!(service_of("/postern.account.v1.DomainService/GetDomain"), Some("account"));
        assert_eq!(service_of("/postern.delivery.v1.BoxService/GetBox"), Some("delivery"));
        assert_eq!(service_of("/grpc.health.v1.Health/Check"), None);
        for row in crate::access::table().iter().filter(|row| row.path.starts_with("/postern.")) {
            assert!(service_of(row.path).is_some(), "{}", row.path);
        }
    }

    #[test]
    fn all_three_files_or_none() {
        let file = || Some(PathBuf::from("/nowhere"));
        assert!(MeshTlsSettings::default().server().expect("none").is_none());
        for (ca, certificate, key, missing) in
            [(None, file(), file(), CA), (file(), None, file(), CERTIFICATE), (file(), file(), None, KEY)]
        {
            let settings =
                MeshTlsSettings { mesh_tls_ca: ca, mesh_tls_certificate: certificate, mesh_tls_key: key };
            let error = settings.client().expect_err("incomplete").to_string();
            assert!(error.starts_with(missing), "{error}");
        }
    }
}
