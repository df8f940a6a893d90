//! Which hosts take mail for a domain (RFC 5321 section 5.1, RFC 7505), and at which addresses we may call them.
//!
//! DNS answers are typed before they count: NXDOMAIN and "no such record" are facts, everything else is temporary.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    net::{DnsError, NetError},
    proto::{
        op::ResponseCode,
        rr::{Name, RData, RecordType},
    },
};
use ipnet::IpNet;
use postern_mail::DomainName;
use postern_mesh::{
    StartError,
    dns::{self, host_name},
};
use rand::seq::SliceRandom as _;

/// MX hosts of one domain that are looked at.
const HOSTS_MAX: usize = 10;
/// Addresses of one domain that are tried in one attempt.
const ADDRESSES_MAX: usize = 10;
/// Time for one DNS server.
const SERVER_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for all DNS questions of one domain.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(30);

/// A host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Its name, for logs and bounces.
    pub(super) name: String,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// Preference of its MX record; the lower, the better. Hosts without such a record are equally good.
    pub(super) preference: u16,
}

impl Host {
    /// Whether both are the same one, whatever their preference.
    pub(super) fn is_at_same_place(&self, other: &Self) -> bool {
        (self.address, &self.name) == (other.address, &other.name)
    }
}

/// Why there is no host to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// The DNS could not be asked, or did not know now.
    Temporary(String),
    /// The domain's own DNS says that no mail can go there.
    Permanent {
        /// Subject and detail of the enhanced code 5.x.y (RFC 3463, RFC 7505).
        code: (u16, u16),
        /// What for people.
        text: String,
    },
}

/// Finds hosts.
#[derive(Clone, Debug)]
pub(super) struct HostFinder {
    resolver: TokioResolver,
    port: u16,
    own_name: String,
    allowed: Vec<IpNet>,
    /// Time for all questions of one domain.
    pub(super) patience: Duration,
}

impl HostFinder {
    /// A finder that asks `resolvers`, or whatever the system asks.
    ///
    /// # Errors
    /// The system's resolver configuration cannot be read.
    pub(super) fn new(
        resolvers: &[SocketAddr],
        port: u16,
        own_name: &str,
        allowed: Vec<IpNet>,
    ) -> Result<Self, StartError> {
        let resolver = resolver(resolvers, SERVER_TIMEOUT)?;
        Ok(Self {
            resolver,
            port,
            own_name: own_name.to_ascii_lowercase(),
            allowed,
            patience: LOOKUP_TIMEOUT,
        })
    }

    /// The hosts that take mail for `domain`, best first. When time is over, those that are known by then: a name that does not answer
    /// must not keep mail from the hosts before it.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn find(&self, domain: &DomainName) -> Result<Vec<Host>, NoRoute> {
        let (mut hosts, mut obstacles) = (Vec::new(), Obstacles::default());
        let looking = self.look(domain, &mut hosts, &mut obstacles);
        match tokio::time::timeout(self.patience, looking).await {
            Ok(looked) => looked?,
            Err(_) => obstacles.unknown = Some("no answer in time".to_owned()),
        }
        hosts.truncate(ADDRESSES_MAX);
        if hosts.is_empty() { Err(obstacles.verdict(domain)) } else { Ok(hosts) }
    }

    /// Finds one host after the other.
    async fn look(
        &self,
        domain: &DomainName,
        hosts: &mut Vec<Host>,
        obstacles: &mut Obstacles,
    ) -> Result<(), NoRoute> {
        for (preference, name) in self.exchangers(domain).await? {
            match self.addresses(&name).await {
                Ok(addresses) => {
                    let (good, bad): (Vec<_>, Vec<_>) =
                        addresses.into_iter().partition(|ip| self.is_allowed(*ip));
                    obstacles.forbidden |= !bad.is_empty();
                    let host =
                        |ip| Host { name: name.clone(), address: SocketAddr::new(ip, self.port), preference };
                    hosts.extend(good.into_iter().map(host));
                }
                Err(Missing::NoSuchName | Missing::NoSuchRecord) => {}
                Err(Missing::Unknown(why)) => obstacles.unknown = Some(why),
            }
            if hosts.len() >= ADDRESSES_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Preferences and names of the MX hosts, best first; equal ones shuffled, so that load spreads (RFC 5321 section 5.1).
    async fn exchangers(&self, domain: &DomainName) -> Result<Vec<(u16, String)>, NoRoute> {
        let records = match self.ask(domain.as_str(), RecordType::MX).await {
            Ok(records) => records,
            // No MX at all: the domain's own address is the host. Only then.
            Err(Missing::NoSuchRecord) => return Ok(vec![(0, domain.to_string())]),
            Err(Missing::NoSuchName) => {
                let text = format!("the domain {domain} does not exist");
                return Err(NoRoute::Permanent { code: (1, 2), text });
            }
            Err(Missing::Unknown(why)) => {
                return Err(NoRoute::Temporary(format!("DNS cannot tell the MX of {domain} now: {why}")));
            }
        };
        let mut by_preference: BTreeMap<u16, Vec<String>> = BTreeMap::new();
        for record in records {
            if let RData::MX(mx) = record {
                by_preference.entry(mx.preference).or_default().push(host_name(&mx.exchange));
            }
        }
        if by_preference.values().flatten().all(String::is_empty) {
            if by_preference.is_empty() {
                return Ok(vec![(0, domain.to_string())]);
            }
            // The null MX (RFC 7505 section 3): no fallback to an address.
            let text = format!("the domain {domain} takes no mail (null MX)");
            return Err(NoRoute::Permanent { code: (1, 10), text });
        }
        self.in_order(domain, by_preference)
    }

    fn in_order(
        &self,
        domain: &DomainName,
        by_preference: BTreeMap<u16, Vec<String>>,
    ) -> Result<Vec<(u16, String)>, NoRoute> {
        let mut names = Vec::new();
        for (preference, mut equal) in by_preference {
            // We are an MX of it ourselves: those behind us would send it back to us (RFC 5321 section 5.1).
            if equal.contains(&self.own_name) {
                break;
            }
            equal.retain(|name| !name.is_empty());
            equal.shuffle(&mut rand::rng());
            names.extend(equal.into_iter().map(|name| (preference, name)));
        }
        if names.is_empty() {
            // It may be about to be hosted here.
            let text = format!("the MX of {domain} is this host, which does not serve it now");
            return Err(NoRoute::Temporary(text));
        }
        names.truncate(HOSTS_MAX);
        Ok(names)
    }

    async fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Missing> {
        let (four, six) = tokio::join!(self.ask(name, RecordType::A), self.ask(name, RecordType::AAAA));
        let mut found = Vec::new();
        for record in four.iter().chain(&six).flatten() {
            match record {
                RData::A(a) => found.push(IpAddr::V4(a.0)),
                RData::AAAA(aaaa) => found.push(IpAddr::V6(aaaa.0).to_canonical()),
                _ => {}
            }
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match (four, six) {
            (Err(Missing::Unknown(why)), _) | (_, Err(Missing::Unknown(why))) => Err(Missing::Unknown(why)),
            (Err(Missing::NoSuchName), _) => Err(Missing::NoSuchName),
            _ => Err(Missing::NoSuchRecord),
        }
    }

    /// The TXT records of a name, each as one text.
    pub(super) async fn text(&self, name: &str) -> TextRecord {
        let records = match self.ask(name, RecordType::TXT).await {
            Ok(records) => records,
            Err(Missing::NoSuchName | Missing::NoSuchRecord) => return TextRecord::Missing,
            Err(Missing::Unknown(why)) => return TextRecord::Unknown(why),
        };
        let texts = records.iter().filter_map(|record| match record {
            RData::TXT(txt) => Some(
                txt.txt_data
                    .iter()
                    .map(|part| String::from_utf8_lossy(part).into_owned())
                    .collect::<String>(),
            ),
            _ => None,
        });
        TextRecord::Found(texts.collect())
    }

    /// Addresses of a name that we may call.
    pub(super) async fn public_addresses(&self, name: &str) -> Result<Vec<IpAddr>, String> {
        match self.addresses(name).await {
            Ok(addresses) => Ok(addresses.into_iter().filter(|ip| self.is_allowed(*ip)).collect()),
            Err(Missing::NoSuchName | Missing::NoSuchRecord) => Err(format!("{name} has no address")),
            Err(Missing::Unknown(why)) => Err(format!("DNS cannot tell the address of {name} now: {why}")),
        }
    }

    async fn ask(&self, name: &str, kind: RecordType) -> Result<Vec<RData>, Missing> {
        // The root dot: search lists of the system must not turn one domain into another.
        let mut name = Name::from_ascii(name).map_err(|e| Missing::Unknown(e.to_string()))?;
        name.set_fqdn(true);
        match self.resolver.lookup(name, kind).await {
            Ok(lookup) => Ok(lookup.answers().iter().map(|record| record.data.clone()).collect()),
            Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Err(match none.response_code {
                ResponseCode::NXDomain => Missing::NoSuchName,
                ResponseCode::NoError => Missing::NoSuchRecord,
                other => Missing::Unknown(other.to_string()),
            }),
            Err(other) => Err(Missing::Unknown(other.to_string())),
        }
    }

    /// Whoever controls a domain's DNS must not make us talk to our own house or network.
    pub(super) fn is_allowed(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.allowed.iter().any(|network| network.contains(&ip)) || is_public(ip)
    }
}

/// What DNS says about the TXT records of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TextRecord {
    /// These.
    Found(Vec<String>),
    /// None.
    Missing,
    /// It could not be asked now.
    Unknown(String),
}

/// Why a question has no records.
enum Missing {
    NoSuchName,
    NoSuchRecord,
    Unknown(String),
}

#[derive(Default)]
struct Obstacles {
    forbidden: bool,
    unknown: Option<String>,
}

impl Obstacles {
    fn verdict(self, domain: &DomainName) -> NoRoute {
        match self {
            Self { unknown: Some(why), .. } => NoRoute::Temporary(format!(
                "DNS cannot tell the mail hosts of {domain} and their addresses now: {why}"
            )),
            Self { forbidden: true, .. } => {
                let text = format!("the mail hosts of {domain} have no public address");
                NoRoute::Permanent { code: (4, 4), text }
            }
            Self { .. } => {
                let text = format!("the mail hosts of {domain} have no address");
                NoRoute::Permanent { code: (4, 4), text }
            }
        }
    }
}

/// A resolver with a cache; each server is asked for so long.
///
/// # Errors
/// The system's resolver configuration cannot be read.
pub(crate) fn resolver(
    servers: &[SocketAddr],
    server_timeout: Duration,
) -> Result<TokioResolver, StartError> {
    dns::resolver(servers, |options| {
        options.timeout = server_timeout;
        options.attempts = 2;
        options.cache_size = 4096;
    })
}

/// An address of the public internet (RFC 6890 and the registries behind it).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => is_public_v6(v6),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (18..20).contains(&b));
    !special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    // 2000::/3 is what is given out; inside it, 6to4, Teredo and documentation lead elsewhere.
    (0x2000..0x4000).contains(&a) && a != 0x2002 && !(a == 0x2001 && (b == 0 || b == 0xdb8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses() {
        for public in ["8.8.8.8", "192.0.1.1", "100.63.0.1", "172.32.0.1", "2a00:1450::1", "2001:4860::8888"]
        {
            assert!(is_public(public.parse().expect(public)), "{public}");
        }
        for special in [
            "127.0.0.1",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.18.0.1",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
        ] {
            assert!(!is_public(special.parse().expect(special)), "{special}");
        }
    }
}
