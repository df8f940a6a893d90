//! Settings of the control panel: its doors, and what it tells customers about the others.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;
use jiff::tz::TimeZone;
use postern_mail::{DomainName, limits};
use postern_mesh::{StartError, proxy::ProxySettings, tls::TlsSettings};

/// Where the panel listens and what it says about the mail doors.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Door for browsers, plain HTTP
    #[arg(long, env = "POSTERN_PANEL_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub panel_listen: SocketAddr,

    /// Door for browsers, HTTPS; closed without a certificate
    #[arg(long, env = "POSTERN_PANEL_TLS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    pub panel_tls_listen: SocketAddr,

    /// The platform's own mail host, shown when the address typed names no domain
    #[arg(long, env = "POSTERN_MAIL_HOST", value_name = "NAME", default_value = "mail.postern.test")]
    pub mail_host: DomainName,

    /// Ports as customers see them, when they differ from the doors: `pop3=110,pop3s=995,submission=587,smtps=465`
    #[arg(long, env = "POSTERN_PUBLIC_PORTS", value_name = "PORTS")]
    pub public_ports: Option<PublicPorts>,

    /// POP3 door of this house
    #[arg(long, env = "POSTERN_POP3_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:1110")]
    pub pop3_listen: SocketAddr,

    /// POP3S door of this house
    #[arg(long, env = "POSTERN_POP3S_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:1995")]
    pub pop3s_listen: SocketAddr,

    /// Submission door of this house
    #[arg(long, env = "POSTERN_SUBMISSION_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:2587")]
    pub submission_listen: SocketAddr,

    /// SMTPS door of this house
    #[arg(long, env = "POSTERN_SMTPS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:2465")]
    pub smtps_listen: SocketAddr,

    /// Time zone of pages for readers whose browser has told none, as in `Europe/Berlin`
    #[arg(long, env = "POSTERN_PANEL_TIME_ZONE", value_name = "ZONE", default_value = "UTC")]
    pub panel_time_zone: Zone,

    /// How long one may send after checking mail, seconds
    #[arg(long, env = "POSTERN_GRANT_SECONDS", value_name = "SECONDS", default_value_t = limits::GRANT_TTL_SECONDS)]
    pub grant_seconds: u32,

    /// Folder whose `.well-known/acme-challenge` is shown to authorities that issue certificates: what certbot calls the webroot
    #[arg(long, env = "POSTERN_ACME_WEBROOT", value_name = "FOLDER")]
    pub acme_webroot: Option<PathBuf>,

    /// Certificates of the door
    #[command(flatten)]
    pub tls: TlsSettings,

    /// Load balancers in front of the doors
    #[command(flatten)]
    pub proxy: ProxySettings,
}

impl Settings {
    /// Ports as customers see them.
    #[must_use]
    pub fn ports(&self) -> PublicPorts {
        self.public_ports.unwrap_or(PublicPorts {
            pop3: self.pop3_listen.port(),
            pop3s: self.pop3s_listen.port(),
            submission: self.submission_listen.port(),
            smtps: self.smtps_listen.port(),
        })
    }

    /// Checks what clap cannot.
    ///
    /// # Errors
    /// One clear line that names the setting.
    pub fn check(&self) -> Result<(), StartError> {
        if (1..=3600).contains(&self.grant_seconds) {
            return Ok(());
        }
        Err(StartError::setting("POSTERN_GRANT_SECONDS", "must be 1 to 3600"))
    }
}

/// A time zone that the system's data know.
#[derive(Clone, Debug)]
pub struct Zone(pub TimeZone);

impl FromStr for Zone {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        TimeZone::get(name).map(Self).map_err(|_| format!("{name:?} is no time zone that this machine knows"))
    }
}

/// Ports of the mail doors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicPorts {
    /// POP3 with STLS.
    pub pop3: u16,
    /// POP3 over TLS.
    pub pop3s: u16,
    /// Submission with STARTTLS.
    pub submission: u16,
    /// Submission over TLS.
    pub smtps: u16,
}

impl FromStr for PublicPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is not named has the port that the world expects (RFC 8314 section 3).
        let mut ports = Self { pop3: 110, pop3s: 995, submission: 587, smtps: 465 };
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, port) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is not name=port"))?;
            let port = port
                .trim()
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| format!("{pair:?}: no port"))?;
            match name.trim() {
                "pop3" => ports.pop3 = port,
                "pop3s" => ports.pop3s = port,
                "submission" => ports.submission = port,
                "smtps" => ports.smtps = port,
                other => return Err(format!("{other:?} is none of pop3, pop3s, submission, smtps")),
            }
        }
        Ok(ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_zone_is_one_that_is_known() {
        assert!(
            "Europe/Berlin".parse::<Zone>().is_ok_and(|zone| zone.0.iana_name() == Some("Europe/Berlin"))
        );
        for bad in ["", "Europe/Nowhere", "../../etc/passwd"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad}");
        }
    }

    #[test]
    fn public_ports_are_read_and_mistakes_told() {
        let ports = PublicPorts { pop3: 1, pop3s: 995, submission: 2, smtps: 465 };
        assert_eq!("pop3=1, submission=2".parse(), Ok(ports));
        for bad in ["pop3", "pop3=0", "pop3=x", "imap=143", "pop3=70000"] {
            assert!(bad.parse::<PublicPorts>().is_err(), "{bad}");
        }
    }
}
