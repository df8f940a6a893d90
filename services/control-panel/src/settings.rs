//! Settings of the control panel: its doors, and what it tells customers about the others.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::Args;
use ipnet::IpNet;
use jiff::tz::TimeZone;
use postern_mail::{DomainName, limits};
use postern_mesh::{StartError, admission::AdmissionSettings, proxy::ProxySettings, tls::TlsSettings};

/// Share of the connections for clients where somebody signed in within a day, percent.
const RESERVED_PERCENT: u8 = 20;

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

    /// Ports as customers see them, when they differ from the doors: `pop3=110,pop3s=995,submission=587,smtps=465,https=443`
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

    /// Health doors that the operator view asks, each replica behind a name: `pop3-gateway=10.0.0.5:9104,smtp-gateway=smtp:9105`
    #[arg(long, env = "POSTERN_HEALTH_DOORS", value_name = "NAME=HOST:PORT,...", value_delimiter = ',')]
    pub health_doors: Vec<HealthDoor>,

    /// Connections of browsers at once to one panel (0 = no limit)
    #[arg(long, env = "POSTERN_LIMIT_PANEL_CONNECTIONS", value_name = "COUNT", default_value_t = 1000)]
    pub limit_panel_connections: usize,

    /// Connections of browsers at once from one client: an IPv4 address or an IPv6 /64 (0 = no limit)
    #[arg(
        long,
        env = "POSTERN_LIMIT_PANEL_CONNECTIONS_PER_CLIENT",
        value_name = "COUNT",
        default_value_t = 100
    )]
    pub limit_panel_connections_per_client: usize,

    /// Networks that the limits on connections do not hold for, separated by commas
    #[arg(long, env = "POSTERN_LIMITS_EXEMPT_NETWORKS", value_name = "NETWORKS", value_delimiter = ',')]
    pub limits_exempt_networks: Vec<IpNet>,

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
            https: self.panel_tls_listen.port(),
        })
    }

    /// How many browsers there may be. Browsers connect as often as they like: they are counted while they are connected.
    #[must_use]
    pub fn admission(&self) -> AdmissionSettings {
        AdmissionSettings {
            limit_connections: self.limit_panel_connections,
            limit_connections_per_client: self.limit_panel_connections_per_client,
            limit_new_connections_per_minute: 0,
            reserved_connections_percent: RESERVED_PERCENT,
            limits_exempt_networks: self.limits_exempt_networks.clone(),
        }
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

/// Where the replicas of a service say how they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthDoor {
    /// Of the service, as people know it.
    pub service: String,
    /// A name or an address; all addresses of a name are asked.
    pub host: String,
    /// Of the health door.
    pub port: u16,
}

impl FromStr for HealthDoor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is not name=host:port");
        let (service, door) = text.trim().split_once('=').ok_or_else(wrong)?;
        let (host, port) = door.rsplit_once(':').ok_or_else(wrong)?;
        // An IPv6 address stands in brackets.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        if service.is_empty() || host.is_empty() {
            return Err(wrong());
        }
        Ok(Self { service: service.to_owned(), host: host.to_owned(), port })
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

/// Ports of the mail doors, and of the panel's own.
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
    /// The panel over TLS, where browsers that came without are led.
    pub https: u16,
}

impl FromStr for PublicPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // What is not named has the port that the world expects (RFC 8314 section 3, RFC 9110 section 4.2.2).
        let mut ports = Self { pop3: 110, pop3s: 995, submission: 587, smtps: 465, https: 443 };
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
                "https" => ports.https = port,
                other => return Err(format!("{other:?} is none of pop3, pop3s, submission, smtps, https")),
            }
        }
        Ok(ports)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_doors_are_read_and_mistakes_told() {
        let door = |host: &str| HealthDoor { service: "a".to_owned(), host: host.to_owned(), port: 9104 };
        assert_eq!("a=pop3:9104".parse(), Ok(door("pop3")));
        assert_eq!(" a=[::1]:9104".parse(), Ok(door("::1")));
        for bad in ["pop3:9104", "a=pop3", "a=pop3:0", "=pop3:9104", "a=:9104", "a=pop3:x", ""] {
            assert!(bad.parse::<HealthDoor>().is_err(), "{bad}");
        }
    }

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
        let ports = PublicPorts { pop3: 1, pop3s: 995, submission: 2, smtps: 465, https: 443 };
        assert_eq!("pop3=1, submission=2".parse(), Ok(ports));
        assert_eq!("pop3=1,submission=2,https=8443".parse(), Ok(PublicPorts { https: 8443, ..ports }));
        for bad in ["pop3", "pop3=0", "pop3=x", "imap=143", "pop3=70000"] {
            assert!(bad.parse::<PublicPorts>().is_err(), "{bad}");
        }
    }
}
