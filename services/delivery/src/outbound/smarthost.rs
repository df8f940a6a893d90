//! The one host that takes all outside mail, when there is one.

use std::time::Duration;

use super::hosts::{Host, NoRoute};

/// Time for the DNS.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// `host:port` that takes all outside mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smarthost {
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl std::str::FromStr for Smarthost {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not host:port");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(wrong());
        }
        Ok(Self { host: host.to_owned(), port })
    }
}

/// The smarthost is the operator's word: no MX, no rule about networks.
pub(super) async fn look_up(smarthost: &Smarthost) -> Result<Vec<Host>, NoRoute> {
    let temporary =
        |why: String| NoRoute::Temporary(format!("the smarthost {} cannot be found: {why}", smarthost.host));
    let looking = tokio::net::lookup_host((smarthost.host.as_str(), smarthost.port));
    match tokio::time::timeout(LOOKUP_TIMEOUT, looking).await {
        Err(_) => Err(temporary("no answer in time".to_owned())),
        Ok(Err(error)) => Err(temporary(error.to_string())),
        Ok(Ok(addresses)) => {
            let host = |address| Host { name: smarthost.host.clone(), address, preference: 0 };
            let hosts: Vec<_> = addresses.map(host).collect();
            if hosts.is_empty() { Err(temporary("it has no address".to_owned())) } else { Ok(hosts) }
        }
    }
}
