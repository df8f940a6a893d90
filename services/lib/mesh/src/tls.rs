//! Certificates of the doors: one pair of files, or (for trying things out) a local authority that makes a certificate
//! for whatever name the client asks for. Beside either of them a folder with certificates for names of their own.

mod authority;
mod by_name;
pub(crate) mod ends;
mod pair;
mod unjudged;

use std::{fmt, path::PathBuf, sync::Arc};

use clap::Args;
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio_rustls::TlsAcceptor;

pub use by_name::{About, Seen, look_at};
pub use unjudged::unjudged;

use crate::{StartError, reload::Reload};
use authority::Authority;
use by_name::ByName;

const CERTIFICATE: &str = "POSTERN_TLS_CERTIFICATE";
const KEY: &str = "POSTERN_TLS_KEY";

/// Where the certificates of the doors come from.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsSettings {
    /// Certificate chain of the doors, PEM; read anew when it changes
    #[arg(long, env = "POSTERN_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// Private key of that certificate, PEM
    #[arg(long, env = "POSTERN_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// Folder of certificates for clients that ask for a name in one of them, as certbot (live/NAME), cert-manager
    /// (NAME/tls.crt and tls.key) or anybody (NAME.pem and NAME.key) lays them down; looked at anew every second
    #[arg(long, env = "POSTERN_TLS_CERTIFICATES", value_name = "FOLDER")]
    pub tls_certificates: Option<PathBuf>,

    /// Folder of a local authority that is made once and signs a certificate for any name asked for; for development
    #[arg(long, env = "POSTERN_TLS_SELF_SIGNED", value_name = "FOLDER")]
    pub tls_self_signed: Option<PathBuf>,
}

impl TlsSettings {
    /// Reads or makes the certificates; `None` when nothing is set.
    ///
    /// # Errors
    /// When files are missing, cannot be read, or do not fit together.
    pub fn load(&self) -> Result<Option<TlsIdentity>, StartError> {
        let Some(others) = self.load_for_others()? else {
            return match &self.tls_certificates {
                None => Ok(None),
                Some(_) => {
                    Err(StartError::setting(CERTIFICATE, "is needed too, for clients that ask for no name"))
                }
            };
        };
        let by_name = self.tls_certificates.as_deref().map(ByName::open).transpose()?;
        Ok(Some(TlsIdentity { resolver: Arc::new(Certificates { by_name, others }) }))
    }

    fn load_for_others(&self) -> Result<Option<Others>, StartError> {
        match (&self.tls_certificate, &self.tls_key, &self.tls_self_signed) {
            (Some(_), _, Some(_)) => {
                let why = "cannot be set together with POSTERN_TLS_CERTIFICATE";
                Err(StartError::setting("POSTERN_TLS_SELF_SIGNED", why))
            }
            (Some(certificate), Some(key), None) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                ends::watch(ends::Of::Doors, &certificate);
                let files = vec![certificate.clone(), key.clone()];
                let made = Reload::new(files, move || pair::load(&certificate, &key, (CERTIFICATE, KEY)))?;
                Ok(Some(Others::Files(made)))
            }
            (Some(_), None, _) => Err(StartError::setting(KEY, "is needed too")),
            (None, Some(_), _) => Err(StartError::setting(CERTIFICATE, "is needed too")),
            (None, None, Some(folder)) => Ok(Some(Others::Authority(Box::new(Authority::open(folder)?)))),
            (None, None, None) => Ok(None),
        }
    }
}

/// The certificates of the doors, chosen by the name that the client asks for (SNI).
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    resolver: Arc<Certificates>,
}

impl TlsIdentity {
    /// An acceptor for TLS 1.2 and 1.3 that offers these application protocols.
    #[must_use]
    pub fn acceptor(&self, alpn: &[&[u8]]) -> TlsAcceptor {
        TlsAcceptor::from(Arc::new(self.server_config(alpn)))
    }

    fn server_config(&self, alpn: &[&[u8]]) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        #[expect(clippy::expect_used, reason = "the ring provider has suites for both versions")]
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .expect("ring offers TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.resolver) as Arc<dyn ResolvesServerCert>);
        match ring::Ticketer::new() {
            Ok(ticketer) => config.ticketer = ticketer,
            Err(error) => tracing::warn!(%error, "TLS sessions cannot be resumed by ticket"),
        }
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config
    }
}

#[derive(Debug)]
struct Certificates {
    by_name: Option<Arc<ByName>>,
    /// For clients that ask for no name, or for one that has no certificate of its own.
    others: Others,
}

enum Others {
    /// A pair of files, read anew when they change.
    Files(Reload<CertifiedKey>),
    Authority(Box<Authority>),
}

impl fmt::Debug for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files(_) => "Files",
            Self::Authority(_) => "Authority",
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        let own = self.by_name.as_ref().zip(name).and_then(|(by_name, name)| by_name.find(name));
        Some(own.unwrap_or_else(|| match (&self.others, name) {
            (Others::Files(files), _) => files.current(),
            (Others::Authority(authority), Some(name)) => authority.leaf(name),
            (Others::Authority(authority), None) => Arc::clone(&authority.fallback),
        }))
    }
}
