//! Settings of the spam scanner.

use clap::{Args, ValueEnum};
use hyper::Uri;
use postern_mesh::StartError;

/// The port of rspamd's normal worker.
const PORT: u16 = 11333;

/// Which scanner judges mail from strangers, and how long it may take.
#[derive(Args, Clone, Debug)]
pub struct SpamSettings {
    /// The spam scanner: the normal worker of an rspamd, http://host:port (port 11333 unless named); not set: nothing is scanned.
    /// What becomes of what it finds is a setting of each domain
    #[arg(long, env = "POSTERN_SPAM_SCANNER_URL", value_name = "URL")]
    pub spam_scanner_url: Option<String>,

    /// How long the scanner may take for a message, milliseconds, 100 to 10000
    #[arg(
        long,
        env = "POSTERN_SPAM_SCAN_MILLIS",
        value_name = "MILLISECONDS",
        default_value_t = 5000,
        value_parser = clap::value_parser!(u64).range(100..=10_000)
    )]
    pub spam_scan_millis: u64,

    /// Larger messages are not scanned, octets
    #[arg(long, env = "POSTERN_SPAM_SCAN_MAX_BYTES", value_name = "BYTES", default_value_t = 10 * 1024 * 1024)]
    pub spam_scan_max_bytes: u64,

    /// What becomes of mail that the scanner gives no answer for
    #[arg(long, env = "POSTERN_SPAM_SCANNER_AWAY", value_name = "HOW", default_value = "accept")]
    pub spam_scanner_away: Away,
}

/// What becomes of mail that is not scanned because the scanner is away, late, or talks nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Away {
    /// It is taken unscanned
    Accept,
    /// It is put off with 451 4.7.1
    Defer,
}

impl SpamSettings {
    /// Host and port of the scanner; `None`: there is none.
    ///
    /// # Errors
    /// The URL is not of the form that the setting asks for.
    pub(super) fn scanner(&self) -> Result<Option<(String, u16)>, StartError> {
        let Some(text) = self.spam_scanner_url.as_deref().map(str::trim).filter(|text| !text.is_empty())
        else {
            return Ok(None);
        };
        let wrong =
            || StartError::setting("POSTERN_SPAM_SCANNER_URL", format!("{text:?} is not http://host:port"));
        let url: Uri = text.parse().map_err(|_| wrong())?;
        let is_plain =
            url.scheme_str() == Some("http") && matches!(url.path(), "" | "/") && url.query().is_none();
        let host = url.host().filter(|host| !host.is_empty() && is_plain).ok_or_else(wrong)?;
        Ok(Some((host.trim_matches(['[', ']']).to_owned(), url.port_u16().unwrap_or(PORT))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scanner_is_a_host_and_a_port() {
        let scanner = |url: &str| {
            let settings = SpamSettings {
                spam_scanner_url: Some(url.to_owned()),
                spam_scan_millis: 100,
                spam_scan_max_bytes: 1,
                spam_scanner_away: Away::Accept,
            };
            settings.scanner()
        };
        for (url, host, port) in [
            ("http://rspamd", "rspamd", 11333),
            ("http://127.0.0.1:9/", "127.0.0.1", 9),
            ("http://[::1]:9", "::1", 9),
        ] {
            assert_eq!(scanner(url).expect(url), Some((host.to_owned(), port)), "{url}");
        }
        assert_eq!(scanner(" ").expect("none"), None);
        for wrong in ["https://rspamd", "rspamd:11333", "http://rspamd/checkv2", "http://", "http://a b"] {
            let error = scanner(wrong).expect_err(wrong).to_string();
            assert!(error.contains("POSTERN_SPAM_SCANNER_URL"), "{error}");
        }
    }
}
