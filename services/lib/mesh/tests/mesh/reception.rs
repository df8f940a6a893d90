//! Who knocks at a door of the world: where load balancers and settings do not agree about the PROXY protocol, the operator is told.

use std::net::SocketAddr;

use postern_mesh::{
    admission::AdmissionSettings,
    health::Readiness,
    proxy::ProxySettings,
    reception::{Guest, Reception},
    shutdown::Shutdown,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

const LINE: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 110\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Gives back what it was sent.
async fn echo(guest: Guest) {
    let (mut stream, mut all) = (guest.stream, Vec::new());
    stream.read_to_end(&mut all).await.unwrap();
    stream.write_all(&all).await.unwrap();
    stream.shutdown().await.unwrap();
}

async fn door(proxies: &[&str], shutdown: &Shutdown) -> (SocketAddr, Reception) {
    let admission = AdmissionSettings {
        limit_connections: 0,
        limit_connections_per_client: 0,
        limit_new_connections_per_minute: 0,
        reserved_connections_percent: 0,
        limits_exempt_networks: Vec::new(),
    };
    let proxy = ProxySettings { proxy_networks: proxies.iter().map(|net| net.parse().unwrap()).collect() };
    let reception = Reception::new(admission, proxy);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    shutdown.spawn(reception.clone().receive(listener, shutdown.clone(), echo));
    (address, reception)
}

async fn sent(address: SocketAddr, octets: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(octets).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = Vec::new();
    // That it is cut off is an end, too.
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

async fn told(reception: &Reception) -> Option<String> {
    let ready = reception.tell(Readiness::new());
    let results = ready.results().await;
    assert!(ready.allows(&results), "it takes work all the same");
    results["proxy"].clone()
}

#[tokio::test]
async fn a_header_of_somebody_unlisted_is_told_and_stays_what_it_is() {
    let shutdown = Shutdown::new();
    let (address, reception) = door(&[], &shutdown).await;
    for plain in [b"EHLO PROXY TCP4\r\n".as_slice(), b"\r\n\r\n", b""] {
        assert_eq!(sent(address, plain).await, plain);
    }
    assert_eq!(told(&reception).await, None);
    for header in [LINE, V2, b"PROXY UNKNOWN\r\n"] {
        assert_eq!(sent(address, header).await, header, "nothing of it is taken away");
    }
    let said = told(&reception).await.unwrap();
    assert!(said.starts_with("3 connections, the last from 127.0.0.1, began with a PROXY header"), "{said}");
    shutdown.trigger();
}

#[tokio::test]
async fn a_listed_peer_without_a_header_is_told() {
    let shutdown = Shutdown::new();
    let (address, reception) = door(&["127.0.0.0/8"], &shutdown).await;
    assert_eq!(sent(address, &[LINE, b"USER a\r\n"].concat()).await, b"USER a\r\n");
    // A health check that only connects.
    assert_eq!(sent(address, b"").await, b"");
    assert_eq!(told(&reception).await, None);
    // What follows the address of a client is the client's own business.
    assert_eq!(sent(address, &[LINE, LINE].concat()).await, LINE);
    assert_eq!(told(&reception).await, None);
    assert_eq!(sent(address, b"EHLO client.outside.test\r\n").await, b"");
    let said = told(&reception).await.unwrap();
    assert!(said.starts_with("1 connections, the last from 127.0.0.1, came from a network"), "{said}");
    shutdown.trigger();
}
