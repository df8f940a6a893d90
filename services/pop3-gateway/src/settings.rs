//! Settings of the gateway: doors, limits, times. Read and checked before any port opens.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use postern_mesh::{
    StartError, admission::AdmissionSettings, proxy::ProxySettings, settings::PlaintextLogin,
    tls::TlsSettings,
};

/// RFC 1939 section 3: the inactivity timer must be at least ten minutes.
const IDLE_MIN_SECONDS: u64 = 600;

/// Where the gateway listens and what it lets one client do.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Door for mail programs: plain text, STLS
    #[arg(long, env = "POSTERN_POP3_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:1110")]
    pub pop3_listen: SocketAddr,

    /// Door for mail programs, TLS from the first octet; closed without a certificate
    #[arg(long, env = "POSTERN_POP3S_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:1995")]
    pub pop3s_listen: SocketAddr,

    /// Allow passwords without TLS from any client, not only from this machine; by-domain: to domains that take them
    #[arg(long, env = "POSTERN_PLAINTEXT_LOGIN", value_name = "false|by-domain|true", num_args = 0..=1, default_value_t = PlaintextLogin::Never, default_missing_value = "true")]
    pub plaintext_login: PlaintextLogin,

    /// Silence after which a session ends, without a word and without deletes, seconds (600 at least)
    #[arg(long, env = "POSTERN_POP3_IDLE_SECONDS", value_name = "SECONDS", default_value_t = IDLE_MIN_SECONDS)]
    pub pop3_idle_seconds: u64,

    /// How long a client may take nothing of what is sent to it, seconds; then its session ends
    #[arg(long, env = "POSTERN_POP3_WRITE_SECONDS", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub pop3_write_seconds: u64,

    /// How long sessions may go on when this server goes down, seconds
    #[arg(long, env = "POSTERN_POP3_DRAIN_SECONDS", value_name = "SECONDS", default_value_t = 5)]
    pub pop3_drain_seconds: u64,

    /// How long a box is left alone after a login, seconds: who comes sooner hears [LOGIN-DELAY], and CAPA says how long; 0 = not
    #[arg(long, env = "POSTERN_POP3_LOGIN_DELAY_SECONDS", value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub pop3_login_delay_seconds: u32,

    /// Name of this replica, shown to owners as the holder of a lock
    #[arg(long, env = "POSTERN_POP3_GATEWAY_NAME", value_name = "NAME", default_value_t = default_name())]
    pub pop3_gateway_name: String,

    /// How many may come in
    #[command(flatten)]
    pub admission: AdmissionSettings,

    /// Certificates of the doors
    #[command(flatten)]
    pub tls: TlsSettings,

    /// Load balancers in front of the doors
    #[command(flatten)]
    pub proxy: ProxySettings,
}

impl Settings {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// One clear line that names the setting.
    pub fn check(&self) -> Result<(), StartError> {
        if self.pop3_idle_seconds < IDLE_MIN_SECONDS {
            let why = format!("must be {IDLE_MIN_SECONDS} at least (RFC 1939 section 3)");
            return Err(StartError::setting("POSTERN_POP3_IDLE_SECONDS", why));
        }
        let name = &self.pop3_gateway_name;
        if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
            return Err(StartError::setting(
                "POSTERN_POP3_GATEWAY_NAME",
                "must have 1 to 64 visible characters",
            ));
        }
        Ok(())
    }

    /// Silence after which a session ends.
    #[must_use]
    pub fn idle(&self) -> Duration {
        Duration::from_secs(self.pop3_idle_seconds)
    }

    /// A client that takes nothing for so long is gone.
    #[must_use]
    pub fn write(&self) -> Duration {
        Duration::from_secs(self.pop3_write_seconds)
    }

    /// How long sessions may go on at the end.
    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.pop3_drain_seconds)
    }
}

/// In containers the host name is the name of the replica.
fn default_name() -> String {
    let name = std::env::var("HOSTNAME").unwrap_or_default();
    if name.is_empty() || name.len() > 64 { "pop3-gateway".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use postern_mesh::settings::from_env;

    use super::*;

    #[test]
    fn defaults_are_good_and_p_09_holds() {
        let mut settings: Settings = from_env().expect("defaults");
        settings.pop3_gateway_name = "g".to_owned();
        settings.check().expect("defaults are good");
        settings.pop3_idle_seconds = 599;
        assert!(settings.check().is_err());
    }
}
