//! Where Redis is.

use std::{fmt, path::PathBuf};

use clap::Args;
use postern_mesh::{StartError, secret};
use redis::{Client, RedisError, TlsCertificates};

const CA: &str = "POSTERN_REDIS_CA_FILE";

/// Where Redis is, and who vouches for it.
#[derive(Args, Clone)]
pub struct RedisSettings {
    /// Redis, which holds grants, throttles and locks: redis://host:port/db, with TLS rediss://host:port/db, or redis+unix:///path
    #[arg(long, env = "POSTERN_REDIS_URL", value_name = "URL", hide_env_values = true)]
    pub redis_url: Option<String>,

    /// File that holds the URL of POSTERN_REDIS_URL
    #[arg(long, env = "POSTERN_REDIS_URL_FILE", value_name = "FILE")]
    pub redis_url_file: Option<PathBuf>,

    /// Authorities (PEM) that sign the certificate of a rediss:// Redis, in place of the system's; read at the start
    #[arg(long, env = "POSTERN_REDIS_CA_FILE", value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,
}

impl RedisSettings {
    /// The Redis of this URL.
    pub fn at(url: impl Into<String>) -> Self {
        Self { redis_url: Some(url.into()), redis_url_file: None, redis_ca_file: None }
    }

    /// Whether a Redis is named.
    #[must_use]
    pub fn is_given(&self) -> bool {
        self.redis_url.is_some() || self.redis_url_file.is_some()
    }

    /// What makes connections.
    ///
    /// # Errors
    /// The URL is not set, set twice, or none; a file cannot be read; there are authorities for a Redis without TLS.
    pub(crate) fn client(&self) -> Result<Client, StartError> {
        let url = secret::REDIS_URL.read(self.redis_url.as_deref(), self.redis_url_file.as_deref())?;
        // The URL itself holds a password: it is not shown.
        let no_url =
            |e: RedisError| StartError::setting(secret::REDIS_URL.value, format!("not a Redis URL: {e}"));
        let is_tls = url.starts_with("rediss:") || url.starts_with("valkeys:");
        if is_tls {
            // Two providers are built in, so that rustls would not choose by itself. An error: chosen already.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let Some(file) = &self.redis_ca_file else { return Client::open(url).map_err(no_url) };
        if !is_tls {
            return Err(StartError::setting(CA, "is for a Redis with TLS: its URL begins with rediss://"));
        }
        let pem = std::fs::read(file).map_err(|e| StartError::file(file, e))?;
        if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
            return Err(StartError::setting(CA, format!("{} holds no certificate", file.display())));
        }
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem) };
        Client::build_with_tls(url, certificates).map_err(no_url)
    }
}

/// How a certificate begins in a PEM file.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A password inside the URL must not reach a log.
        f.debug_struct("RedisSettings").field("redis_ca_file", &self.redis_ca_file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str, ca: Option<PathBuf>) -> String {
        let settings = RedisSettings { redis_ca_file: ca, ..RedisSettings::at(url) };
        settings.client().map(drop).expect_err("refused").to_string()
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let empty = folder.path().join("ca.pem");
        std::fs::write(&empty, "").expect("written");
        assert!(refused("http://secret@x", None).starts_with("POSTERN_REDIS_URL: "));
        assert!(!refused("http://secret@x", None).contains("secret"));
        assert!(refused("redis://x", Some(empty.clone())).contains("rediss://"));
        assert!(refused("rediss://x", Some(empty)).contains("holds no certificate"));
        assert!(refused("rediss://x", Some(folder.path().join("none"))).contains("none"));
    }
}
