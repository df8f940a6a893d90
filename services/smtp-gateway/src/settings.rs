//! Settings of the gateway: doors, names, limits. Read and checked before any port opens.

use std::{net::SocketAddr, time::Duration};

use clap::Args;
use postern_mail::{EmailAddress, limits};
use postern_mesh::{
    StartError, admission::AdmissionSettings, memory::MemoryBudget, proxy::ProxySettings,
    settings::PlaintextLogin, tls::TlsSettings,
};

use crate::connection::Slowest;

/// What content of one client may hold in any case, octets: a few messages.
const CLIENT_LEAST_BYTES: usize = 512 * 1024;

/// Where the gateway listens, what it calls itself, and what it lets one client do.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// Door for the world's mail servers: plain text, STARTTLS
    #[arg(long, env = "POSTERN_SMTP_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:2525")]
    pub smtp_listen: SocketAddr,

    /// Door for customers' mail programs: plain text, STARTTLS, AUTH
    #[arg(long, env = "POSTERN_SUBMISSION_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:2587")]
    pub submission_listen: SocketAddr,

    /// Door for customers' mail programs, TLS from the first octet; closed without a certificate
    #[arg(long, env = "POSTERN_SMTPS_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:2465")]
    pub smtps_listen: SocketAddr,

    /// The platform's own mail host: banner, EHLO, Received, and the relay hint for senders of other domains
    #[arg(long, env = "POSTERN_MAIL_HOST", value_name = "NAME", default_value = "mail.postern.test")]
    pub mail_host: String,

    /// Who gets mail for `<postmaster>` without a domain; a local address. Else postmaster of the mail host's domain
    #[arg(long, env = "POSTERN_POSTMASTER", value_name = "ADDRESS")]
    pub postmaster: Option<String>,

    /// Allow AUTH without TLS from any client, not only from this machine; by-domain: to domains that take it
    #[arg(long, env = "POSTERN_PLAINTEXT_LOGIN", value_name = "false|by-domain|true", num_args = 0..=1, default_value_t = PlaintextLogin::Never, default_missing_value = "true")]
    pub plaintext_login: PlaintextLogin,

    /// Message content, octets (0 = no limit)
    #[arg(long, env = "POSTERN_LIMIT_MESSAGE_BYTES", value_name = "BYTES", default_value_t = limits::MESSAGE_MAX_BYTES)]
    pub limit_message_bytes: u64,

    /// Recipients of one message, 1 to 1000
    #[arg(long, env = "POSTERN_LIMIT_RECIPIENTS", value_name = "COUNT", default_value_t = limits::RECIPIENTS_MAX, value_parser = recipients)]
    pub limit_recipients: usize,

    /// Refused recipients after which a session ends (0 = no limit)
    #[arg(long, env = "POSTERN_LIMIT_UNKNOWN_RECIPIENTS", value_name = "COUNT", default_value_t = 20)]
    pub limit_unknown_recipients: u32,

    /// Messages of strangers that one mailbox gets in an hour, over all gateways; then RCPT is answered 450 (0 = no limit)
    #[arg(long, env = "POSTERN_LIMIT_INBOUND_PER_HOUR_MAILBOX", value_name = "COUNT", default_value_t = limits::INBOUND_PER_HOUR_MAX)]
    pub limit_inbound_per_hour_mailbox: u32,

    /// Silence after which a session ends, seconds
    #[arg(long, env = "POSTERN_SMTP_IDLE_SECONDS", value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub smtp_idle_seconds: u64,

    /// Content that comes slower than this ends the session, octets a second (0 = no limit)
    #[arg(long, env = "POSTERN_SMTP_SLOWEST_BYTES_PER_SECOND", value_name = "BYTES", default_value_t = 500)]
    pub smtp_slowest_bytes_per_second: u64,

    /// Content of all messages being received at once that has not gone to delivery yet, held in memory, octets, 4 MiB or more; a
    /// quarter of it is kept for clients that are known, one stranger may hold a sixteenth
    #[arg(long, env = "POSTERN_SMTP_CONTENT_MEMORY_BYTES", value_name = "BYTES", default_value_t = 128 * 1024 * 1024, value_parser = clap::value_parser!(u64).range(4 * 1024 * 1024..))]
    pub smtp_content_memory_bytes: u64,

    /// Time over which the speed of content is averaged, seconds
    #[arg(long, env = "POSTERN_SMTP_SLOWEST_WINDOW_SECONDS", value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub smtp_slowest_window_seconds: u64,

    /// How long to wait for clients that speak before the greeting, milliseconds; 0 looks once
    #[arg(long, env = "POSTERN_GREET_DELAY_MILLIS", value_name = "MILLISECONDS", default_value_t = 0)]
    pub greet_delay_millis: u64,

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
    pub(crate) fn check(&self) -> Result<(), StartError> {
        let host = &self.mail_host;
        let named = !host.is_empty()
            && host.len() <= limits::DOMAIN_MAX_BYTES
            && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.'));
        if !named {
            return Err(StartError::setting("POSTERN_MAIL_HOST", format!("{host:?} is no host name")));
        }
        if let Some(postmaster) = &self.postmaster {
            postmaster
                .parse::<EmailAddress>()
                .map_err(|e| StartError::setting("POSTERN_POSTMASTER", e.to_string()))?;
        }
        Ok(())
    }

    /// Whom mail for `<postmaster>` may go to, best first: the setting, or postmaster of the mail host and of the
    /// domains above it.
    #[must_use]
    pub(crate) fn postmasters(&self) -> Vec<EmailAddress> {
        if let Some(postmaster) = &self.postmaster {
            return postmaster.parse().into_iter().collect();
        }
        let mut found = Vec::new();
        let mut name = self.mail_host.as_str();
        while let Ok(address) = format!("postmaster@{name}").parse() {
            found.push(address);
            let Some((_, parent)) = name.split_once('.') else { break };
            name = parent;
        }
        found
    }

    /// Silence after which a session ends.
    #[must_use]
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.smtp_idle_seconds)
    }

    /// The slowest that content may come.
    #[must_use]
    pub(crate) fn slowest(&self) -> Slowest {
        Slowest {
            bytes_per_second: self.smtp_slowest_bytes_per_second,
            window: Duration::from_secs(self.smtp_slowest_window_seconds),
        }
    }

    /// What content holds before it goes to delivery.
    #[must_use]
    pub(crate) fn content_memory(&self) -> MemoryBudget {
        let bytes = usize::try_from(self.smtp_content_memory_bytes).unwrap_or(usize::MAX);
        MemoryBudget::new(bytes, CLIENT_LEAST_BYTES)
    }

    /// `None`: no limit.
    #[must_use]
    pub(crate) fn message_max_bytes(&self) -> Option<u64> {
        (self.limit_message_bytes > 0).then_some(self.limit_message_bytes)
    }
}

fn recipients(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=limits::RECIPIENTS_MAX).contains(&count) => Ok(count),
        _ => Err(format!("must be 1 to {}", limits::RECIPIENTS_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use postern_mesh::settings::from_env;

    use super::*;

    #[test]
    fn defaults_are_good_and_bad_names_are_told() {
        let mut settings: Settings = from_env().expect("defaults");
        settings.mail_host = "mail.postern.test".into();
        settings.postmaster = None;
        settings.check().expect("defaults are good");
        let shown: Vec<String> = settings.postmasters().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["postmaster@mail.postern.test", "postmaster@postern.test"]);
        settings.mail_host = "a b".into();
        assert!(settings.check().is_err());
    }
}
