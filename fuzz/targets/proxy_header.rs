//! Headers of the PROXY protocol: what is taken is the one way to write it down.

#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;

#[path = "../../services/lib/mesh/src"]
mod mesh {
    pub mod proxy;
}
use mesh::proxy::{Header, parse_v1, parse_v2};

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fuzz_target!(|input: &[u8]| {
    let line = [b"PROXY ", input, b"\r\n"].concat();
    for header in [input, &line] {
        if let Some(Header::Client(client)) = parse_v1(header) {
            assert!(header.len() <= 107 && header.starts_with(b"PROXY TCP") && header.ends_with(b"\r\n"));
            assert_eq!(header.iter().filter(|octet| **octet == b'\n').count(), 1, "one line");
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let plain = format!("PROXY {family} {0} {0} {1} 25\r\n", client.ip(), client.port());
            assert_eq!(parse_v1(plain.as_bytes()), Some(Header::Client(client)));
        }
        assert_eq!(parse_v2(header).is_some() && !header.starts_with(V2_SIGNATURE), false);
    }
    let signed = [V2_SIGNATURE, input].concat();
    let Some(header) = parse_v2(&signed) else { return };
    let length = usize::from(u16::from_be_bytes([signed[14], signed[15]]));
    assert_eq!(signed.len(), 16 + length, "not one octet more or less");
    assert_eq!(parse_v2(&signed[..signed.len() - 1]), None, "cut off");
    if let Header::Client(client) = header {
        assert_eq!(signed[12], 0x21, "only PROXY names a client");
        assert_eq!(parse_v2(&version_2(client)), Some(header));
    }
});

fn version_2(client: SocketAddr) -> Vec<u8> {
    let (family, addresses) = match client {
        SocketAddr::V4(client) => (0x11, [client.ip().octets(); 2].concat()),
        SocketAddr::V6(client) => (0x21, [client.ip().octets(); 2].concat()),
    };
    let block = [&addresses[..], &client.port().to_be_bytes(), &25u16.to_be_bytes()].concat();
    let length = u16::try_from(block.len()).expect("it is short").to_be_bytes();
    [V2_SIGNATURE, &[0x21, family], &length, &block].concat()
}
