//! The client's address, canonical. A relay grant depends on it, so two spellings of one client must be one value.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use ipnet::IpNet;
use thiserror::Error;

/// First 96 bits of IPv6 addresses that a NAT64 makes of IPv4 addresses (RFC 6052 section 2.1).
const NAT64: u128 = 0x0064_ff9b << 96;

/// Address of a client: an IPv4 address written inside IPv6 (`::ffff:a.b.c.d`, or `64:ff9b::a.b.c.d` of a NAT64 in front of us)
/// is that IPv4 address. All of the IPv4 world in one /64 would be one client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerIp(IpAddr);

/// What was given is no IP address.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not an IP address")]
pub struct PeerIpError;

/// Whom a grant is for: one IPv4 address, or one IPv6 /64 (a client changes the rest at will).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(IpAddr);

/// The network that one site has at most, whose strangers share a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SiteKey {
    /// A /24, the least that is routed by itself: who rents one has 256 clients.
    V4([u8; 3]),
    /// A /48 (RFC 6177): a household with a /56 is 256 clients.
    V6([u16; 3]),
}

impl PeerIp {
    /// `0.0.0.0`: the address of nobody (RFC 6890).
    pub const NOBODY: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// Folds the address into its canonical form.
    #[must_use]
    pub fn new(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V6(v6) if u128::from(v6) >> 32 == NAT64 >> 32 => {
                let [.., a, b, c, d] = v6.octets();
                Self(IpAddr::V4(Ipv4Addr::new(a, b, c, d)))
            }
            other => Self(other),
        }
    }

    /// The canonical address.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }

    /// The client that this address belongs to.
    #[must_use]
    pub fn client_key(self) -> ClientKey {
        match self.0 {
            IpAddr::V4(_) => ClientKey(self.0),
            IpAddr::V6(v6) => {
                let network = u128::from(v6) & !u128::from(u64::MAX);
                ClientKey(IpAddr::V6(Ipv6Addr::from(network)))
            }
        }
    }

    /// The site that this address belongs to.
    #[must_use]
    pub fn site_key(self) -> SiteKey {
        match self.0 {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                SiteKey::V4([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                SiteKey::V6([a, b, c])
            }
        }
    }

    /// True for 127.0.0.0/8 and ::1.
    #[must_use]
    pub fn is_loopback(self) -> bool {
        self.0.is_loopback()
    }

    /// True when one of the networks holds this address.
    #[must_use]
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        networks.iter().any(|network| network.contains(&self.0))
    }
}

impl From<IpAddr> for PeerIp {
    fn from(ip: IpAddr) -> Self {
        Self::new(ip)
    }
}

impl FromStr for PeerIp {
    type Err = PeerIpError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<IpAddr>().map(Self::new).map_err(|_| PeerIpError)
    }
}

impl fmt::Display for PeerIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PeerIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> PeerIp {
        text.parse().expect("test address")
    }

    #[test]
    fn v4_inside_v6_is_v4() {
        assert_eq!(peer("::ffff:203.0.113.9"), peer("203.0.113.9"));
        assert_eq!(peer("::ffff:203.0.113.9").client_key().to_string(), "203.0.113.9");
    }

    #[test]
    fn behind_a_nat64_each_v4_client_is_its_own() {
        assert_eq!(peer("64:ff9b::203.0.113.9"), peer("203.0.113.9"));
        assert_eq!(peer("64:ff9b::cb00:7109").client_key().to_string(), "203.0.113.9");
        assert_ne!(peer("64:ff9b::203.0.113.9").client_key(), peer("64:ff9b::203.0.113.10").client_key());
        assert!(peer("64:ff9b::127.0.0.1").is_loopback());
        // Another network's prefix, and a longer one, say nothing to us.
        for other in ["64:ff9b:1::203.0.113.9", "64:ff9b::1:203.0.113.9", "64:ff9a::203.0.113.9"] {
            assert!(peer(other).ip().is_ipv6(), "{other}");
        }
    }

    #[test]
    fn v6_clients_are_one_by_64() {
        assert_eq!(peer("2001:db8:1:2::1").client_key(), peer("2001:db8:1:2:ffff::9").client_key());
        assert_ne!(peer("2001:db8:1:2::1").client_key(), peer("2001:db8:1:3::1").client_key());
        assert_eq!(peer("2001:db8:1:2::1").client_key().to_string(), "2001:db8:1:2::/64");
    }

    #[test]
    fn junk_is_refused() {
        for bad in ["", "1.2.3", "1.2.3.4:25", "[::1]", "1.2.3.4/32", " 1.2.3.4"] {
            assert_eq!(bad.parse::<PeerIp>(), Err(PeerIpError), "{bad}");
        }
    }
}
