//! What a site may decide about logins and grants. Read and checked before any port opens.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use clap::Args;
use ipnet::IpNet;
use postern_mail::PeerIp;
use postern_mesh::{StartError, proxy::ProxySettings, settings::PlaintextLogin};
use postern_redis::RedisSettings;
use thiserror::Error;

use crate::{grant::GrantPolicy, relay::BudgetLimits, throttle::ThrottleLimits};

/// Networks that cannot be a client's own address: behind one of them stand many, so that one login would open the
/// relay for all (PROMISES.md, "The grant"). This network, private use (RFC 1918), carrier NAT (RFC 6598), loopback,
/// link-local (RFC 3927, RFC 4291), multicast and reserved, unique local (RFC 4193), unspecified; and IPv6 /64s that hold
/// the IPv4 world: a NAT64's own prefix (RFC 8215; that of RFC 6052 is read as IPv4) and Teredo (RFC 4380).
const REFUSED_NETWORKS: &str = "0.0.0.0/8,10.0.0.0/8,100.64.0.0/10,127.0.0.0/8,169.254.0.0/16,172.16.0.0/12,\
    192.168.0.0/16,224.0.0.0/3,::/127,64:ff9b:1::/48,2001::/32,fc00::/7,fe80::/10,ff00::/8";
/// Shorter tokens can be guessed.
const OPERATOR_TOKEN_MIN_BYTES: usize = 16;

/// Settings of the auth service.
#[derive(Args, Clone)]
pub struct Settings {
    /// Where Redis is
    #[command(flatten)]
    pub redis: RedisSettings,

    /// Address of the gRPC door
    #[arg(long, env = "POSTERN_AUTH_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:7102")]
    pub auth_listen: SocketAddr,

    /// The platform's own mail host, as the SMTP gateways have it: explanations say what they would say
    #[arg(long, env = "POSTERN_MAIL_HOST", value_name = "NAME", default_value = "mail.postern.test")]
    pub mail_host: String,

    /// Passwords without TLS, as the gateways have it: explanations say what they would say
    #[arg(long, env = "POSTERN_PLAINTEXT_LOGIN", value_name = "false|by-domain|true", num_args = 0..=1, default_value_t = PlaintextLogin::Never, default_missing_value = "true")]
    pub plaintext_login: PlaintextLogin,

    /// Life of a relay grant, seconds, where the domain does not say otherwise
    #[arg(long, env = "POSTERN_GRANT_SECONDS", value_name = "SECONDS", default_value_t = postern_mail::limits::GRANT_TTL_SECONDS, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub grant_seconds: u32,

    /// Client addresses that never get a relay grant: networks separated by commas, or "none"
    #[arg(long, env = "POSTERN_GRANT_REFUSED_NETWORKS", value_name = "NETWORKS", default_value = REFUSED_NETWORKS)]
    pub grant_refused_networks: Networks,

    /// The same load balancers as at the gateways: one that does not name its client must not win a grant for all
    #[command(flatten)]
    pub proxy: ProxySettings,

    /// Secret that makes its bearer an operator, 16 characters at least; without it nobody is
    #[arg(long, env = "POSTERN_OPERATOR_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub operator_token: Option<String>,

    /// File that holds the secret of POSTERN_OPERATOR_TOKEN
    #[arg(long, env = "POSTERN_OPERATOR_TOKEN_FILE", value_name = "FILE")]
    pub operator_token_file: Option<PathBuf>,

    /// Failed logins of one account in 10 minutes, from clients it never logged in from; 0 = off
    #[arg(long, env = "POSTERN_LIMIT_FAILED_LOGINS_ACCOUNT", value_name = "COUNT", default_value_t = 10)]
    pub limit_failed_logins_account: u32,

    /// Failed logins of one client network (an IPv4 address, an IPv6 /64) in 10 minutes; 0 = off
    #[arg(long, env = "POSTERN_LIMIT_FAILED_LOGINS_NETWORK", value_name = "COUNT", default_value_t = 50)]
    pub limit_failed_logins_network: u32,

    /// Longest time that the answer to a wrong password is held back, seconds: nothing at the first failure, 2 at the next,
    /// doubled with each; counted as the limits on failed logins; 0 = off
    #[arg(long, env = "POSTERN_LOGIN_HOLD_BACK_SECONDS", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u8).range(0..=60))]
    pub login_hold_back_seconds: u8,

    /// Remote recipients that one mailbox may send to in an hour; 0 = off
    #[arg(
        long,
        env = "POSTERN_LIMIT_RECIPIENTS_PER_HOUR_MAILBOX",
        value_name = "COUNT",
        default_value_t = 1000
    )]
    pub limit_recipients_per_hour_mailbox: u32,

    /// Remote recipients that one client network may send to in an hour; 0 = off
    #[arg(
        long,
        env = "POSTERN_LIMIT_RECIPIENTS_PER_HOUR_CLIENT",
        value_name = "COUNT",
        default_value_t = 3000
    )]
    pub limit_recipients_per_hour_client: u32,

    /// Messages of strangers that one mailbox gets in an hour, as the SMTP gateways have it; 0 = off
    #[arg(long, env = "POSTERN_LIMIT_INBOUND_PER_HOUR_MAILBOX", value_name = "COUNT", default_value_t = postern_mail::limits::INBOUND_PER_HOUR_MAX)]
    pub limit_inbound_per_hour_mailbox: u32,

    /// Mailboxes that may hold a grant of one client network at once, the oldest gives way; 0 = off
    #[arg(long, env = "POSTERN_LIMIT_GRANTS_PER_CLIENT", value_name = "COUNT", default_value_t = 1000)]
    pub limit_grants_per_client: u32,

    /// Mailboxes of three customers or more that make a client address nobody's own, when nearly all who check mail do from
    /// there: a load balancer that hides its clients wins no grants for all of them; 0 = off
    #[arg(long, env = "POSTERN_LIMIT_MAILBOXES_BEHIND_CLIENT", value_name = "COUNT", default_value_t = 20)]
    pub limit_mailboxes_behind_client: u32,

    /// How long after its last use a right password is remembered, seconds, so that a poll costs no check of its hash: longer than
    /// mail programs pause between two polls; a changed one is forgotten at once; 0 = off
    #[arg(long, env = "POSTERN_PASSWORD_MEMORY_SECONDS", value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub password_memory_seconds: u32,

    /// Passwords that are checked at once (19 MiB of memory each); 0 = one for each core, as far as half of the container's
    /// memory holds them
    #[arg(long, env = "POSTERN_ARGON2_WORKERS", value_name = "COUNT", default_value_t = 0)]
    pub argon2_workers: usize,
}

impl Settings {
    /// Clients that never get a grant: those of the setting, and declared proxies whatever it says. A proxy's own
    /// address is what the gateways know of a client that it does not name (`PROXY UNKNOWN`).
    fn refused_networks(&self) -> Networks {
        let Networks(refused) = &self.grant_refused_networks;
        Networks(refused.iter().chain(&self.proxy.proxy_networks).copied().collect())
    }

    /// Who may win a grant.
    pub(crate) fn grant_policy(&self) -> GrantPolicy {
        GrantPolicy {
            default_life: self.grant_seconds,
            refused_networks: self.refused_networks(),
            per_client_max: self.limit_grants_per_client,
            crowd_boxes: self.limit_mailboxes_behind_client,
        }
    }

    /// For how long right passwords are remembered.
    pub(crate) fn password_memory(&self) -> Duration {
        Duration::from_secs(self.password_memory_seconds.into())
    }

    /// How often a password may be wrong.
    pub(crate) fn throttle_limits(&self) -> ThrottleLimits {
        ThrottleLimits {
            account: self.limit_failed_logins_account,
            client: self.limit_failed_logins_network,
            hold_back_max: Duration::from_secs(self.login_hold_back_seconds.into()),
        }
    }

    /// How much may be sent.
    pub(crate) fn budget_limits(&self) -> BudgetLimits {
        BudgetLimits {
            mailbox: self.limit_recipients_per_hour_mailbox,
            client: self.limit_recipients_per_hour_client,
            inbound: self.limit_inbound_per_hour_mailbox,
        }
    }

    /// The operator token, from the setting or its file; `None`: nobody is an operator.
    ///
    /// # Errors
    /// When both are set, the file cannot be read, or the token is too short.
    pub(crate) fn operator_token(&self) -> Result<Option<String>, StartError> {
        let (name, token) = match (&self.operator_token, &self.operator_token_file) {
            (Some(_), Some(_)) => {
                return Err(StartError::setting(
                    "POSTERN_OPERATOR_TOKEN",
                    "set it or POSTERN_OPERATOR_TOKEN_FILE, not both",
                ));
            }
            (None, None) => return Ok(None),
            (Some(token), None) => ("POSTERN_OPERATOR_TOKEN", token.clone()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path).map_err(|e| StartError::file(path, e))?;
                ("POSTERN_OPERATOR_TOKEN_FILE", text)
            }
        };
        let token = token.trim();
        if token.len() < OPERATOR_TOKEN_MIN_BYTES {
            let why = format!("an operator token has {OPERATOR_TOKEN_MIN_BYTES} characters at least");
            return Err(StartError::setting(name, why));
        }
        Ok(Some(token.to_owned()))
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor a password inside the URL may reach a log.
        f.debug_struct("Settings")
            .field("auth_listen", &self.auth_listen)
            .field("grant_seconds", &self.grant_seconds)
            .finish_non_exhaustive()
    }
}

/// A list of networks, written with commas, or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

/// What was given is no list of networks.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no network: give networks such as 10.0.0.0/8 or fc00::/7 separated by commas, or none")]
pub struct NetworksError(String);

impl Networks {
    /// True when one of them holds this client. An IPv6 client is its whole /64 (its grant would be), so a network
    /// inside that /64 holds it too.
    #[must_use]
    pub fn hold(&self, peer: PeerIp) -> bool {
        peer.is_in(&self.0) || self.0.iter().any(|network| is_inside_client_of(network, peer))
    }
}

fn is_inside_client_of(network: &IpNet, peer: PeerIp) -> bool {
    network.prefix_len() > 64
        && network.addr().is_ipv6()
        && peer.ip().is_ipv6()
        && PeerIp::new(network.network()).client_key() == peer.client_key()
}

impl FromStr for Networks {
    type Err = NetworksError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().eq_ignore_ascii_case("none") {
            return Ok(Self(Vec::new()));
        }
        let network = |item: &str| {
            let item = item.trim();
            let parsed = item.parse().or_else(|_| item.parse::<std::net::IpAddr>().map(IpNet::from));
            parsed.map_err(|_| NetworksError(item.to_owned()))
        };
        text.split(',').map(network).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::*;

    fn networks(text: &str) -> Networks {
        text.parse().unwrap()
    }

    fn peer(text: &str) -> PeerIp {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_that_many_share_are_refused_by_default() {
        let refused = networks(REFUSED_NETWORKS);
        for shared in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.1.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "::ffff:10.0.0.1",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::203.0.113.9",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ] {
            assert!(refused.hold(peer(shared)), "{shared}");
        }
        for own in [
            "203.0.113.9",
            "172.15.255.255",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "223.255.255.255",
            "2001:db8::1",
            "::ffff:203.0.113.9",
            "64:ff9b::203.0.113.9",
        ] {
            assert!(!refused.hold(peer(own)), "{own}");
        }
    }

    #[test]
    fn none_refuses_nobody_and_single_addresses_are_networks() {
        assert!(!networks("none").hold(peer("127.0.0.1")));
        assert!(networks(" 192.0.2.7 , 2001:db8::/32").hold(peer("192.0.2.7")));
        assert!(!networks("192.0.2.7").hold(peer("192.0.2.8")));
    }

    #[test]
    fn a_refused_proxy_refuses_its_whole_64() {
        let refused = networks("2001:db8:0:1::25/128");
        assert!(refused.hold(peer("2001:db8:0:1::99")));
        assert!(!refused.hold(peer("2001:db8:0:2::99")));
    }

    #[test]
    fn a_declared_proxy_wins_no_grant_whatever_the_setting_says() {
        let command = Settings::augment_args(clap::Command::new("auth").no_binary_name(true));
        let arguments = [
            "--redis-url=redis://127.0.0.1",
            "--grant-refused-networks=none",
            "--proxy-networks=198.51.100.7,2001:db8:0:1::25",
        ];
        let matches = command.try_get_matches_from(arguments).unwrap();
        let refused = Settings::from_arg_matches(&matches).unwrap().refused_networks();
        assert!(refused.hold(peer("198.51.100.7")) && refused.hold(peer("2001:db8:0:1::99")));
        assert!(!refused.hold(peer("198.51.100.8")) && !refused.hold(peer("10.0.0.1")));
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for bad in ["", "x", "10.0.0.0/33", "10.0.0.0/8,,::1", "none,10.0.0.0/8"] {
            assert!(bad.parse::<Networks>().is_err(), "{bad}");
        }
    }
}
