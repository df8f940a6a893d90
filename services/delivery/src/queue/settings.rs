//! Settings of the queue and of what leaves.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use ipnet::IpNet;
use postern_mesh::StartError;
use postern_smtp::client::Timeouts;

use super::{Schedule, lanes::Limits};
use crate::outbound::{ATTEMPT_TIME, OutboundSettings, Smarthost, TlsPolicies};

/// When the limit is off; a file descriptor each is what remains as a bound.
const CONNECTIONS_CEILING: usize = 10_000;

/// How mail leaves.
#[derive(Args, Clone, Debug)]
pub struct QueueSettings {
    /// Pauses between attempts, the last one repeats, seconds
    #[arg(
        long,
        env = "POSTERN_QUEUE_RETRY_SECONDS",
        value_name = "SECONDS,...",
        value_delimiter = ',',
        default_value = "300,600,1200,2400,3600"
    )]
    pub queue_retry_seconds: Vec<u64>,

    /// Mail that could not leave for so long is returned to its sender, seconds
    #[arg(long, env = "POSTERN_QUEUE_LIFETIME_SECONDS", value_name = "SECONDS", default_value_t = 432_000)]
    pub queue_lifetime_seconds: u64,

    /// Its sender is told once that mail takes long when it is so old, seconds; 0 = never
    #[arg(
        long,
        env = "POSTERN_QUEUE_DELAY_NOTICE_SECONDS",
        value_name = "SECONDS",
        default_value_t = 14_400
    )]
    pub queue_delay_notice_seconds: u64,

    /// Outbound connections at once; 0 = no limit
    #[arg(long, env = "POSTERN_LIMIT_OUTBOUND_CONNECTIONS", value_name = "COUNT", default_value_t = 100)]
    pub limit_outbound_connections: usize,

    /// Outbound connections at once to one domain; a smarthost is exempt; 0 = no limit
    #[arg(
        long,
        env = "POSTERN_LIMIT_OUTBOUND_CONNECTIONS_PER_DOMAIN",
        value_name = "COUNT",
        default_value_t = 20
    )]
    pub limit_outbound_connections_per_domain: usize,

    /// Copies of mailing lists that begin to leave in a second, by each process; others' mail does not count; without it 5 for each
    /// processor; 0 = no limit
    #[arg(
        long,
        env = "POSTERN_LIMIT_LIST_COPIES_PER_SECOND",
        value_name = "COUNT",
        hide_default_value = true,
        default_value_t = copies_per_second()
    )]
    pub limit_list_copies_per_second: u32,

    /// DNS servers to ask for MX hosts instead of the system's, separated by commas
    #[arg(
        long = "resolver",
        id = "delivery-resolver",
        env = "POSTERN_RESOLVER",
        value_name = "IP:PORT,...",
        value_delimiter = ','
    )]
    pub resolver: Vec<SocketAddr>,

    /// Port of MX hosts
    #[arg(long, env = "POSTERN_OUTBOUND_PORT", value_name = "PORT", default_value_t = 25)]
    pub outbound_port: u16,

    /// Networks that MX hosts may be in although they are not public
    #[arg(
        long,
        env = "POSTERN_OUTBOUND_ALLOWED_NETWORKS",
        value_name = "NETWORK,...",
        value_delimiter = ','
    )]
    pub outbound_allowed_networks: Vec<IpNet>,

    /// What is demanded of the hosts of a domain, in place of what it says by MTA-STS: may, encrypt or verify
    #[arg(long, env = "POSTERN_OUTBOUND_TLS", value_name = "DOMAIN=POLICY,...", value_delimiter = ',')]
    pub outbound_tls: Vec<String>,

    /// File with authorities that hosts may be proven by, besides the public ones, PEM
    #[arg(long, env = "POSTERN_OUTBOUND_CA_FILE", value_name = "FILE")]
    pub outbound_ca_file: Option<PathBuf>,

    /// Obey the MTA-STS policies of destinations (RFC 8461)
    #[arg(long, env = "POSTERN_MTA_STS", value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub mta_sts: bool,

    /// Port where destinations serve their MTA-STS policies
    #[arg(long, env = "POSTERN_MTA_STS_PORT", value_name = "PORT", default_value_t = 443)]
    pub mta_sts_port: u16,
}

/// A copy (its signature, its session, its rows) takes a processor 5 to 10 ms: so lists have 5 % of each.
fn copies_per_second() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors * 5).unwrap_or(u32::MAX)
}

impl QueueSettings {
    /// Checks what clap cannot, and gives the parts what they need.
    ///
    /// # Errors
    /// Names the setting that makes no sense.
    pub fn outbound(&self, smarthost: Option<&str>, mail_host: &str) -> Result<OutboundSettings, StartError> {
        if self.queue_retry_seconds.is_empty() || self.queue_retry_seconds.contains(&0) {
            return Err(StartError::setting(
                "POSTERN_QUEUE_RETRY_SECONDS",
                "each pause is 1 second at least",
            ));
        }
        if self.queue_lifetime_seconds == 0 || i32::try_from(self.queue_lifetime_seconds).is_err() {
            return Err(StartError::setting("POSTERN_QUEUE_LIFETIME_SECONDS", "1 to 2147483647"));
        }
        if i32::try_from(self.queue_delay_notice_seconds).is_err() {
            return Err(StartError::setting("POSTERN_QUEUE_DELAY_NOTICE_SECONDS", "0 to 2147483647"));
        }
        if self.outbound_port == 0 {
            return Err(StartError::setting("POSTERN_OUTBOUND_PORT", "1 to 65535"));
        }
        let smarthost = smarthost
            .filter(|text| !text.is_empty())
            .map(str::parse::<Smarthost>)
            .transpose()
            .map_err(|why| StartError::setting("POSTERN_SMARTHOST", why))?;
        Ok(OutboundSettings {
            smarthost,
            resolvers: self.resolver.clone(),
            port: self.outbound_port,
            allowed_networks: self.outbound_allowed_networks.clone(),
            mail_host: mail_host.to_owned(),
            timeouts: Timeouts::default(),
            attempt_time: ATTEMPT_TIME,
            tls_policies: TlsPolicies::parse(&self.outbound_tls)
                .map_err(|why| StartError::setting("POSTERN_OUTBOUND_TLS", why))?,
            authorities: self.outbound_ca_file.clone(),
            sts_port: self.mta_sts.then_some(self.mta_sts_port),
        })
    }

    /// The retry schedule.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule::new(self.queue_retry_seconds.iter().copied().map(Duration::from_secs).collect())
    }

    /// Life of a queue row.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.queue_lifetime_seconds)
    }

    /// Age at which the sender is told that it takes long; `None`: never.
    #[must_use]
    pub fn delay_notice(&self) -> Option<Duration> {
        Some(self.queue_delay_notice_seconds).filter(|age| *age > 0).map(Duration::from_secs)
    }

    /// What there may be of jobs.
    #[must_use]
    pub(crate) fn limits(&self) -> Limits {
        let or_ceiling = |limit: usize| if limit == 0 { CONNECTIONS_CEILING } else { limit };
        let total = or_ceiling(self.limit_outbound_connections);
        Limits {
            total,
            per_domain: or_ceiling(self.limit_outbound_connections_per_domain).min(total),
            copies_per_second: self.limit_list_copies_per_second,
        }
    }
}
