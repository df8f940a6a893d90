//! PROXY protocol v1 and v2: a listed load balancer names the client in front of its bytes. Peers that are not listed
//! never may, listed ones always must: otherwise one could speak as any client, and a grant depends on the address.

mod disagreements;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use clap::Args;
use ipnet::IpNet;
use postern_mail::PeerIp;
use thiserror::Error;
use tokio::{io::AsyncReadExt as _, net::TcpStream};

pub use disagreements::Disagreements;
pub(crate) use disagreements::Kind;

/// The header must be there so soon after the connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest v1 header with its CRLF, octets (PROXY protocol section 2.1).
const V1_MAX_BYTES: usize = 107;
/// Longest v2 address block with its TLVs that is read, octets.
const V2_BLOCK_MAX_BYTES: usize = 4096;
/// No header of either version is shorter: `PROXY UNKNOWN` and CRLF.
const SHORTEST_BYTES: usize = 15;
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_PREFIX_BYTES: usize = 16;

/// Which peers are load balancers that speak the PROXY protocol.
#[derive(Args, Clone, Debug, Default)]
pub struct ProxySettings {
    /// Networks of load balancers that put a PROXY protocol header in front of each connection, separated by commas
    #[arg(long, env = "POSTERN_PROXY_NETWORKS", value_name = "NETWORKS", value_delimiter = ',', value_parser = parse_network)]
    pub proxy_networks: Vec<IpNet>,
}

impl ProxySettings {
    /// True for a listed load balancer.
    #[must_use]
    pub fn is_proxy(&self, peer: PeerIp) -> bool {
        peer.is_in(&self.proxy_networks)
    }
}

/// A network, or one address.
pub(crate) fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| "is no network such as 192.0.2.0/24".to_owned())
}

/// Why the connection of a load balancer is closed.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// What came is no header of version 1 or 2.
    #[error("a listed proxy sent no valid PROXY protocol header")]
    Malformed,
    /// Nothing, or too little, came in time.
    #[error("a listed proxy sent no PROXY protocol header within 5 s")]
    Timeout,
    /// The connection broke.
    #[error("connection of a listed proxy broke")]
    Broken(#[from] io::Error),
}

/// True when the first octets of a connection are those of a header of either version, good or not.
pub(crate) fn is_header(first: &[u8]) -> bool {
    first.starts_with(V2_SIGNATURE) || first.starts_with(b"PROXY TCP") || first.starts_with(b"PROXY UNKNOWN")
}

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The client's address.
    Client(SocketAddr),
    /// The load balancer speaks for itself (health check), or does not know.
    Unknown,
}

/// Finds out who the client is. Nothing behind the header is read. The last of the three is true for a connection over
/// a listed load balancer.
///
/// # Errors
/// Only for listed load balancers; the connection is to be closed without a word.
pub async fn accept(
    mut stream: TcpStream,
    peer: SocketAddr,
    settings: &ProxySettings,
) -> Result<(TcpStream, PeerIp, bool), ProxyError> {
    let peer_ip = PeerIp::new(peer.ip());
    if !settings.is_proxy(peer_ip) {
        return Ok((stream, peer_ip, false));
    }
    let header = tokio::time::timeout(HEADER_TIMEOUT, read_header(&mut stream))
        .await
        .map_err(|_| ProxyError::Timeout)??;
    match header {
        Header::Client(client) => Ok((stream, PeerIp::new(client.ip()), true)),
        Header::Unknown => Ok((stream, peer_ip, true)),
    }
}

async fn read_header(stream: &mut TcpStream) -> Result<Header, ProxyError> {
    let mut header = vec![0; SHORTEST_BYTES];
    stream.read_exact(&mut header).await?;
    if header.starts_with(V2_SIGNATURE) {
        return read_v2(stream, header).await;
    }
    if !header.starts_with(b"PROXY ") {
        return Err(ProxyError::Malformed);
    }
    while !header.ends_with(b"\n") {
        // Looked at first, so that nothing of the client is taken.
        let mut ahead = [0; V1_MAX_BYTES];
        let seen = stream.peek(&mut ahead).await?;
        let ahead = ahead.get(..seen).unwrap_or_default();
        let take = ahead.iter().position(|c| *c == b'\n').map_or(seen, |at| at + 1);
        if take == 0 || header.len() + take > V1_MAX_BYTES {
            return Err(ProxyError::Malformed);
        }
        let start = header.len();
        header.resize(start + take, 0);
        stream.read_exact(&mut header[start..]).await?;
    }
    parse_v1(&header).ok_or(ProxyError::Malformed)
}

async fn read_v2(stream: &mut TcpStream, mut header: Vec<u8>) -> Result<Header, ProxyError> {
    header.resize(V2_PREFIX_BYTES, 0);
    stream.read_exact(&mut header[SHORTEST_BYTES..]).await?;
    let block = usize::from(u16::from_be_bytes([header[14], header[15]]));
    if block > V2_BLOCK_MAX_BYTES {
        return Err(ProxyError::Malformed);
    }
    header.resize(V2_PREFIX_BYTES + block, 0);
    stream.read_exact(&mut header[V2_PREFIX_BYTES..]).await?;
    parse_v2(&header).ok_or(ProxyError::Malformed)
}

/// Reads a whole v1 header with its CRLF (PROXY protocol section 2.1).
#[must_use]
pub fn parse_v1(header: &[u8]) -> Option<Header> {
    if header.len() > V1_MAX_BYTES {
        return None;
    }
    let line = std::str::from_utf8(header).ok()?.strip_prefix("PROXY ")?.strip_suffix("\r\n")?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(Header::Unknown);
    }
    let mut words = line.split(' ');
    let (family, source, target, source_port, target_port) =
        (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
    let (source, target): (IpAddr, IpAddr) = (source.parse().ok()?, target.parse().ok()?);
    let fits = match family {
        "TCP4" => source.is_ipv4() && target.is_ipv4(),
        "TCP6" => source.is_ipv6() && target.is_ipv6(),
        _ => false,
    };
    parse_port(target_port)?;
    if !fits || words.next().is_some() {
        return None;
    }
    Some(Header::Client(SocketAddr::new(source, parse_port(source_port)?)))
}

/// Decimal without sign or leading zero.
fn parse_port(text: &str) -> Option<u16> {
    let canonical = text.bytes().all(|c| c.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

/// Reads a whole v2 header (PROXY protocol section 2.2).
#[must_use]
pub fn parse_v2(header: &[u8]) -> Option<Header> {
    let rest = header.strip_prefix(V2_SIGNATURE)?;
    let (&[version_command, family, high, low], block) = rest.split_first_chunk::<4>()?;
    if block.len() != usize::from(u16::from_be_bytes([high, low])) {
        return None;
    }
    match version_command {
        // LOCAL: the load balancer's own connection.
        0x20 => return Some(Header::Unknown),
        // PROXY
        0x21 => {}
        _ => return None,
    }
    match family {
        // TCP over IPv4: source, target, ports.
        0x11 => {
            let (source, rest) = block.split_first_chunk::<4>()?;
            let (_target, rest) = rest.split_first_chunk::<4>()?;
            let (port, rest) = rest.split_first_chunk::<2>()?;
            rest.split_first_chunk::<2>()?;
            Some(Header::Client((Ipv4Addr::from(*source), u16::from_be_bytes(*port)).into()))
        }
        // TCP over IPv6.
        0x21 => {
            let (source, rest) = block.split_first_chunk::<16>()?;
            let (_target, rest) = rest.split_first_chunk::<16>()?;
            let (port, rest) = rest.split_first_chunk::<2>()?;
            rest.split_first_chunk::<2>()?;
            Some(Header::Client((Ipv6Addr::from(*source), u16::from_be_bytes(*port)).into()))
        }
        // UNSPEC, UDP, unix sockets: no client address that we could use.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => Some(Header::Unknown),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn v1_headers_of_the_specification() {
        let client = |text: &str| Some(Header::Client(text.parse().expect("address")));
        let good: [(&[u8], _); 6] = [
            (b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", client("255.255.255.255:65535")),
            (b"PROXY TCP4 203.0.113.9 198.51.100.1 0 25\r\n", client("203.0.113.9:0")),
            (b"PROXY TCP6 2001:db8::9 2001:db8::1 40000 25\r\n", client("[2001:db8::9]:40000")),
            (b"PROXY TCP6 ::ffff:203.0.113.9 ::1 40000 25\r\n", client("[::ffff:203.0.113.9]:40000")),
            (b"PROXY UNKNOWN\r\n", Some(Header::Unknown)),
            (b"PROXY UNKNOWN ffff:f 1 2 3\r\n", Some(Header::Unknown)),
        ];
        for (header, expected) in good {
            assert_eq!(parse_v1(header), expected, "{}", header.escape_ascii());
        }
    }

    #[test]
    fn v1_junk_is_refused() {
        let bad: [&[u8]; 14] = [
            b"",
            b"PROXY\r\n",
            b"PROXY \r\n",
            b"PROXY UNKNOWNX\r\n",
            b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 25\n",
            b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 25",
            b"PROXY TCP4 203.0.113.9 198.51.100.1 40000\r\n",
            b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 25 9\r\n",
            b"PROXY TCP4  203.0.113.9 198.51.100.1 40000 25\r\n",
            b"PROXY TCP4 203.0.113.9 198.51.100.1 65536 25\r\n",
            b"PROXY TCP4 203.0.113.9 198.51.100.1 +1 25\r\n",
            b"PROXY TCP4 203.0.113.9 198.51.100.1 01 25\r\n",
            b"PROXY TCP6 203.0.113.9 198.51.100.1 40000 25\r\n",
            b"proxy TCP4 203.0.113.9 198.51.100.1 40000 25\r\n",
        ];
        for header in bad {
            assert_eq!(parse_v1(header), None, "{}", header.escape_ascii());
        }
    }

    fn v2(version_command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).expect("short").to_be_bytes();
        [V2_SIGNATURE.as_slice(), &[version_command, family], &length, block].concat()
    }

    #[test]
    fn v2_headers() {
        let four = [203, 0, 113, 9, 198, 51, 100, 1, 0x9c, 0x40, 0, 25];
        let client = "203.0.113.9:40000".parse().expect("address");
        assert_eq!(parse_v2(&v2(0x21, 0x11, &four)), Some(Header::Client(client)));
        let mut six = [0; 36];
        six[..2].copy_from_slice(&[0x20, 0x01]);
        six[15] = 9;
        six[33] = 7;
        assert_eq!(
            parse_v2(&v2(0x21, 0x21, &six)),
            Some(Header::Client("[2001::9]:7".parse().expect("address")))
        );
        // LOCAL, whatever its block says.
        assert_eq!(parse_v2(&v2(0x20, 0x11, &four)), Some(Header::Unknown));
        assert_eq!(parse_v2(&v2(0x21, 0x00, &[])), Some(Header::Unknown));
        for bad in [
            v2(0x21, 0x11, &four[..11]),
            v2(0x21, 0x21, &six[..35]),
            v2(0x11, 0x11, &four),
            v2(0x22, 0x11, &four),
        ] {
            assert_eq!(parse_v2(&bad), None);
        }
        let mut longer = v2(0x21, 0x11, &four);
        longer.push(0);
        assert_eq!(parse_v2(&longer), None);
    }

    #[test]
    fn networks_may_be_addresses() {
        assert_eq!(parse_network(" 192.0.2.1"), Ok("192.0.2.1/32".parse().expect("network")));
        assert_eq!(parse_network("2001:db8::/32"), Ok("2001:db8::/32".parse().expect("network")));
        assert!(parse_network("example.com").is_err());
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_v1(&octets);
            let _ = parse_v1(&[b"PROXY TCP4 ".as_slice(), &octets, b"\r\n"].concat());
            let _ = parse_v2(&octets);
            let _ = parse_v2(&[V2_SIGNATURE.as_slice(), &octets].concat());
        }

        #[test]
        fn every_address_is_read_back(source: SocketAddr, target: SocketAddr) {
            prop_assume!(source.is_ipv4() == target.is_ipv4());
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!("PROXY {family} {} {} {} {}\r\n", source.ip(), target.ip(), source.port(), target.port());
            let plain = SocketAddr::new(source.ip(), source.port());
            prop_assert_eq!(parse_v1(line.as_bytes()), Some(Header::Client(plain)));
        }

        #[test]
        fn every_address_of_version_2_is_read_back_and_not_one_octet_less(
            source: SocketAddr,
            target: SocketAddr,
            more in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            prop_assume!(source.is_ipv4() == target.is_ipv4());
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            let ports = [source.port().to_be_bytes(), target.port().to_be_bytes()].concat();
            // Behind the addresses stand TLVs, whatever they hold (PROXY protocol section 2.2).
            let block = [octets(source.ip()), octets(target.ip()), ports, more].concat();
            let header = v2(0x21, if source.is_ipv4() { 0x11 } else { 0x21 }, &block);
            let plain = SocketAddr::new(source.ip(), source.port());
            prop_assert_eq!(parse_v2(&header), Some(Header::Client(plain)));
            for cut in 0..header.len() {
                prop_assert_eq!(parse_v2(&header[..cut]), None);
            }
            prop_assert_eq!(parse_v2(&[&header[..], b"\0"].concat()), None);
        }
    }
}
