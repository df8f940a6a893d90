//! What the platform is in the world's DNS, and how often it looks there.

use std::net::{IpAddr, SocketAddr};

use clap::Args;
use postern_mail::DomainName;
use postern_mesh::{StartError, sending::SendingSettings};

use super::dkim::KeyChange;

/// How domains come into service.
#[derive(Args, Clone, Debug)]
pub struct DelegationSettings {
    /// DNS servers to ask about domains instead of the system's, separated by commas
    #[arg(
        id = "account_resolver",
        long = "resolver",
        env = "POSTERN_RESOLVER",
        value_name = "IP:PORT,...",
        value_delimiter = ','
    )]
    pub resolver: Vec<SocketAddr>,

    /// The platform's name servers: who delegates a domain to one of them owns it (none: only the MX counts)
    #[arg(long, env = "POSTERN_NAME_SERVERS", value_name = "NAME,...", value_delimiter = ',')]
    pub name_servers: Vec<String>,

    /// The platform's own mail host: who makes it the MX of a domain owns the domain
    #[arg(
        id = "account_mail_host",
        long = "mail-host",
        env = "POSTERN_MAIL_HOST",
        value_name = "NAME",
        default_value = "mail.postern.test"
    )]
    pub mail_host: String,

    /// Addresses that mail.<domain> should have, separated by commas (none: those that the mail host has in DNS)
    #[arg(long, env = "POSTERN_MAIL_HOST_ADDRESSES", value_name = "IP,...", value_delimiter = ',')]
    pub mail_host_addresses: Vec<IpAddr>,

    /// Where mail leaves from.
    #[command(flatten)]
    pub sending: SendingSettings,

    /// Seconds between two looks at the DNS of one domain (0 = only when somebody asks)
    #[arg(long, env = "POSTERN_DOMAIN_CHECK_SECONDS", value_name = "SECONDS", default_value_t = 3600)]
    pub domain_check_seconds: u64,

    /// Seconds that a live domain which no longer points here is served on, until it is lost
    #[arg(long, env = "POSTERN_DOMAIN_GRACE_SECONDS", value_name = "SECONDS", default_value_t = 259_200)]
    pub domain_grace_seconds: u64,

    /// Days after which the key that a domain's mail is signed with gets a successor (0 = never)
    #[arg(
        long,
        env = "POSTERN_DKIM_ROTATE_DAYS",
        value_name = "DAYS",
        default_value_t = 180,
        value_parser = clap::value_parser!(u16).range(0..=3650)
    )]
    pub dkim_rotate_days: u16,

    /// Days for which the record of a key that is not signed with any more is still wanted, 1 to 365
    #[arg(
        long,
        env = "POSTERN_DKIM_OVERLAP_DAYS",
        value_name = "DAYS",
        default_value_t = 14,
        value_parser = clap::value_parser!(u16).range(1..=365)
    )]
    pub dkim_overlap_days: u16,
}

impl DelegationSettings {
    /// How signing keys change.
    pub(super) fn key_change(&self) -> KeyChange {
        KeyChange {
            after_days: (self.dkim_rotate_days > 0).then(|| f64::from(self.dkim_rotate_days)),
            overlap_days: f64::from(self.dkim_overlap_days),
        }
    }
}

impl Default for DelegationSettings {
    fn default() -> Self {
        Self {
            resolver: Vec::new(),
            name_servers: Vec::new(),
            mail_host: "mail.postern.test".to_owned(),
            mail_host_addresses: Vec::new(),
            sending: SendingSettings::default(),
            domain_check_seconds: 0,
            domain_grace_seconds: 259_200,
            dkim_rotate_days: 180,
            dkim_overlap_days: 14,
        }
    }
}

/// What a domain's records are compared with. Names are lower case without the root dot.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    pub(crate) name_servers: Vec<String>,
    pub(crate) mail_host: String,
    /// Empty: those that the mail host has in DNS.
    pub(crate) addresses: Vec<IpAddr>,
    /// What lets this platform send by a domain's SPF record.
    pub(crate) sender: Sender,
}

/// Where mail leaves from, as an SPF record tells it.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// One or more terms of a record.
    pub(crate) mechanism: String,
    /// What a record must permit; `None`: the addresses of the mail host.
    pub(crate) addresses: Option<Vec<IpAddr>>,
}

impl Expected {
    /// # Errors
    /// Names the setting that is no host name.
    pub(crate) fn new(settings: &DelegationSettings) -> Result<Self, StartError> {
        let host = |setting: &'static str, text: &str| {
            let name = text.trim_end_matches('.').parse::<DomainName>();
            let name = name.map_err(|error| StartError::setting(setting, format!("{text:?}: {error}")))?;
            Ok::<_, StartError>(name.as_str().to_owned())
        };
        settings.sending.check()?;
        let mail_host = host("POSTERN_MAIL_HOST", &settings.mail_host)?;
        let names = settings.name_servers.iter().filter(|name| !name.is_empty());
        Ok(Self {
            name_servers: names.map(|name| host("POSTERN_NAME_SERVERS", name)).collect::<Result<_, _>>()?,
            sender: Sender::new(&settings.sending, &mail_host),
            mail_host,
            addresses: settings.mail_host_addresses.iter().map(IpAddr::to_canonical).collect(),
        })
    }
}

impl Sender {
    fn new(settings: &SendingSettings, mail_host: &str) -> Self {
        // Of a mechanism alone only the words can be compared: the mail host may be elsewhere.
        let is_named = !settings.sending_addresses.is_empty() || settings.spf_mechanism.is_some();
        Self { mechanism: settings.mechanism(mail_host), addresses: is_named.then(|| settings.ends()) }
    }
}
