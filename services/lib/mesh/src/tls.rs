//! Certificates of the doors: one pair of files, or (for trying things out) a local authority that makes a certificate
//! for whatever name the client asks for.

mod unjudged;

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use tokio_rustls::TlsAcceptor;

pub use unjudged::unjudged;

use crate::{StartError, reload::Reload};

/// Names whose certificates are kept.
const LEAVES_MAX: u64 = 1000;
/// Life of a leaf certificate. Mail programs refuse more than 825 days.
const LEAF_DAYS: u32 = 397;
/// Life of the local authority.
const AUTHORITY_DAYS: u32 = 3650;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const AUTHORITY_FILE: &str = "ca.pem";
const AUTHORITY_KEY_FILE: &str = "ca-key.pem";

/// Where the certificates of the doors come from.
#[derive(Args, Clone, Debug, Default)]
pub struct TlsSettings {
    /// Certificate chain of the doors, PEM; read anew when it changes
    #[arg(long, env = "POSTERN_TLS_CERTIFICATE", value_name = "FILE")]
    pub tls_certificate: Option<PathBuf>,

    /// Private key of that certificate, PEM
    #[arg(long, env = "POSTERN_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

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
        let files = match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(reload_files(certificate, key)?),
            (None, None) => None,
            (Some(_), None) => return Err(StartError::setting("POSTERN_TLS_KEY", "is needed too")),
            (None, Some(_)) => return Err(StartError::setting("POSTERN_TLS_CERTIFICATE", "is needed too")),
        };
        let authority = match &self.tls_self_signed {
            Some(folder) if files.is_none() => Some(Authority::open(folder)?),
            Some(_) => {
                let why = "cannot be set together with POSTERN_TLS_CERTIFICATE";
                return Err(StartError::setting("POSTERN_TLS_SELF_SIGNED", why));
            }
            None => None,
        };
        Ok(match (files, authority) {
            (Some(files), _) => Some(TlsIdentity { resolver: Arc::new(Certificates::Files(files)) }),
            (None, Some(authority)) => {
                Some(TlsIdentity { resolver: Arc::new(Certificates::Authority(Box::new(authority))) })
            }
            (None, None) => None,
        })
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

enum Certificates {
    /// A pair of files, read anew when they change.
    Files(Reload<CertifiedKey>),
    Authority(Box<Authority>),
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Files(_) => "Certificates::Files",
            Self::Authority(_) => "Certificates::Authority",
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        match self {
            Self::Files(files) => Some(files.current()),
            Self::Authority(authority) => Some(match hello.server_name() {
                Some(name) => authority.leaf(name),
                None => Arc::clone(&authority.fallback),
            }),
        }
    }
}

/// A local authority: its certificate may be given to a mail program or browser to trust.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    leaves: moka::sync::Cache<String, Arc<CertifiedKey>>,
    /// For clients that name nobody.
    fallback: Arc<CertifiedKey>,
}

impl Authority {
    fn open(folder: &Path) -> Result<Self, StartError> {
        fs::create_dir_all(folder).map_err(|e| StartError::file(folder, e))?;
        let (certificate_file, key_file) = (folder.join(AUTHORITY_FILE), folder.join(AUTHORITY_KEY_FILE));
        if !(certificate_file.exists() && key_file.exists()) {
            make_authority(&certificate_file, &key_file)?;
        }
        let key = fs::read_to_string(&key_file).map_err(|e| StartError::file(&key_file, e))?;
        let key = KeyPair::from_pem(&key).map_err(|e| StartError::tls("key of the local authority", e))?;
        let text = fs::read(&certificate_file).map_err(|e| StartError::file(&certificate_file, e))?;
        let certificate = CertificateDer::from_pem_slice(&text)
            .map_err(|e| StartError::tls("certificate of the local authority", e))?;
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
    fn leaf(&self, name: &str) -> Arc<CertifiedKey> {
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

fn reload_files(certificate: &Path, key: &Path) -> Result<Reload<CertifiedKey>, StartError> {
    let (certificate, key) = (certificate.to_path_buf(), key.to_path_buf());
    Reload::new(vec![certificate.clone(), key.clone()], move || load_files(&certificate, &key))
}

fn load_files(certificate: &Path, key: &Path) -> Result<CertifiedKey, StartError> {
    let chain = fs::read(certificate).map_err(|e| StartError::file(certificate, e))?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&chain)
        .collect::<Result<_, _>>()
        .map_err(|e| StartError::tls("POSTERN_TLS_CERTIFICATE", e))?;
    if chain.is_empty() {
        return Err(StartError::setting("POSTERN_TLS_CERTIFICATE", "the file holds no certificate"));
    }
    let secret = fs::read(key).map_err(|e| StartError::file(key, e))?;
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|e| StartError::tls("POSTERN_TLS_KEY", e))?;
    // Checks that the key belongs to the certificate.
    CertifiedKey::from_der(chain, secret, &ring::default_provider())
        .map_err(|e| StartError::tls("certificate and key", e))
}
