//! Health, TLS and the PROXY protocol over real sockets.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use postern_mesh::{
    health::{self, Readiness},
    proxy::{self, ProxyError, ProxySettings},
    settings::LogFormat,
    shutdown::Shutdown,
    telemetry,
    tls::{TlsIdentity, TlsSettings},
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsConnector;

async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn readiness_says_what_is_wrong_and_asks_at_most_once_a_second() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let ready = Readiness::new().check("redis", || async { Err::<(), _>("connection refused") }).check(
        "postgres",
        move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Ok::<(), String>(()) }
        },
    );
    let shutdown = Shutdown::new();
    let address = health::serve("127.0.0.1:0".parse().unwrap(), ready, &shutdown).await.unwrap();
    assert!(get(address, "/livez").await.starts_with("HTTP/1.1 200"));
    for _ in 0..3 {
        let answer = get(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.ends_with(r#"{"postgres":null,"redis":"connection refused"}"#), "{answer}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_only_has_to_be_told_keeps_nobody_from_working() {
    let ready = Readiness::new()
        .check("redis", || async { Ok::<(), String>(()) })
        .notice("grants", || async { Err::<(), _>("nobody may send") });
    let shutdown = Shutdown::new();
    let address = health::serve("127.0.0.1:0".parse().unwrap(), ready, &shutdown).await.unwrap();
    let answer = get(address, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with(r#"{"grants":"nobody may send","redis":null}"#), "{answer}");
}

#[tokio::test]
async fn ready_until_it_goes_down_and_metrics_are_there() {
    let _telemetry = telemetry::init("test", "off", LogFormat::Json).unwrap();
    let _again = telemetry::init("test", "info", LogFormat::Json).unwrap();
    metrics::counter!("postern_test_total").increment(3);
    let shutdown = Shutdown::new();
    let address = health::serve("127.0.0.1:0".parse().unwrap(), Readiness::new(), &shutdown).await.unwrap();
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(get(address, "/metrics").await.contains("postern_test_total 3"));

    let running = Shutdown::clone(&shutdown);
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    running.spawn(ended);
    shutdown.trigger();
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"), "still answered while tasks run");
    end.send(()).unwrap();
    assert!(shutdown.finish(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_task_that_does_not_end_does_not_hold_the_process() {
    let shutdown = Shutdown::new();
    shutdown.spawn(std::future::pending::<()>());
    assert!(!shutdown.finish(Duration::from_millis(20)).await);
    assert!(shutdown.is_triggered());
}

#[test]
fn a_bad_filter_is_a_clear_error() {
    let error = telemetry::init("test", "info,=,=", LogFormat::Json).unwrap_err();
    assert!(error.to_string().starts_with("POSTERN_LOG: "), "{error}");
}

fn authority(folder: &std::path::Path) -> TlsIdentity {
    let settings = TlsSettings { tls_self_signed: Some(folder.to_owned()), ..TlsSettings::default() };
    settings.load().unwrap().expect("set")
}

fn trusting(folder: &std::path::Path) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions).unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// Shakes hands as a client that asks for this name and checks the certificate for it.
async fn shake(identity: &TlsIdentity, config: ClientConfig, name: &'static str) -> std::io::Result<Vec<u8>> {
    let acceptor = identity.acceptor(&[b"pop3"]);
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let serving = tokio::spawn(async move {
        let mut stream = acceptor.accept(theirs).await?;
        stream.write_all(b"+OK").await?;
        stream.shutdown().await
    });
    let name = ServerName::try_from(name).unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, ours).await?;
    let mut greeting = Vec::new();
    stream.read_to_end(&mut greeting).await?;
    serving.await.unwrap()?;
    Ok(greeting)
}

#[tokio::test]
async fn a_local_authority_certifies_any_name_and_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let identity = authority(folder.path());
    let made = fs::read(folder.path().join("ca.pem")).unwrap();
    for name in ["mail.homepage.test", "MAIL.Other.Test", "xn--bcher-kva.example", "localhost"] {
        assert_eq!(shake(&identity, trusting(folder.path()), name).await.unwrap(), b"+OK", "{name}");
    }
    // Without a name (IP addresses send no SNI) the default certificate.
    assert_eq!(shake(&identity, trusting(folder.path()), "127.0.0.1").await.unwrap(), b"+OK");

    let again = authority(folder.path());
    assert_eq!(fs::read(folder.path().join("ca.pem")).unwrap(), made);
    assert_eq!(shake(&again, trusting(folder.path()), "mail.homepage.test").await.unwrap(), b"+OK");
    let mode = fs::metadata(folder.path().join("ca-key.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn tls_1_2_is_spoken_too() {
    let folder = tempfile::tempdir().unwrap();
    let identity = authority(folder.path());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.path().join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    assert_eq!(shake(&identity, config, "mail.homepage.test").await.unwrap(), b"+OK");
}

#[tokio::test]
async fn a_pair_of_files_is_used_for_every_name_and_checked_at_start() {
    let folder = tempfile::tempdir().unwrap();
    let pair = rcgen::generate_simple_self_signed(vec!["mx.postern.test".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, pair.cert.pem()).unwrap();
    fs::write(&key, pair.signing_key.serialize_pem()).unwrap();
    let settings = TlsSettings {
        tls_certificate: Some(certificate.clone()),
        tls_key: Some(key.clone()),
        ..TlsSettings::default()
    };
    assert!(settings.load().unwrap().is_some());
    assert!(TlsSettings::default().load().unwrap().is_none());

    let other = rcgen::generate_simple_self_signed(vec!["x.test".to_owned()]).unwrap();
    fs::write(&key, other.signing_key.serialize_pem()).unwrap();
    assert!(settings.load().unwrap_err().to_string().contains("certificate and key"));
    fs::write(&certificate, "nothing").unwrap();
    assert!(settings.load().unwrap_err().to_string().contains("POSTERN_TLS_CERTIFICATE"));
    let half = TlsSettings { tls_certificate: Some(certificate), ..TlsSettings::default() };
    assert!(half.load().unwrap_err().to_string().contains("POSTERN_TLS_KEY"));
}

#[tokio::test]
async fn a_renewed_pair_is_shown_while_the_service_runs() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let renew = || {
        let pair = rcgen::generate_simple_self_signed(vec!["mx.postern.test".to_owned()]).unwrap();
        for (name, text) in [("cert.pem", pair.cert.pem()), ("key.pem", pair.signing_key.serialize_pem())] {
            fs::write(file("new"), text).unwrap();
            fs::rename(file("new"), file(name)).unwrap();
        }
        // Who trusts the newest one only.
        fs::write(file("ca.pem"), pair.cert.pem()).unwrap();
    };
    renew();
    let settings = TlsSettings {
        tls_certificate: Some(file("cert.pem")),
        tls_key: Some(file("key.pem")),
        ..TlsSettings::default()
    };
    let identity = settings.load().unwrap().expect("set");
    shake(&identity, trusting(folder.path()), "mx.postern.test").await.unwrap();
    renew();
    let begun = std::time::Instant::now();
    while let Err(error) = shake(&identity, trusting(folder.path()), "mx.postern.test").await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends the pieces one after the other and says who the client is by the PROXY protocol, and what is left to read.
async fn accepted(settings: &ProxySettings, pieces: &[&[u8]]) -> Result<(String, bool, Vec<u8>), ProxyError> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.set_nodelay(true).unwrap();
    let (stream, peer) = listener.accept().await.unwrap();
    let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
    let sending = tokio::spawn(async move {
        for piece in pieces {
            client.write_all(&piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        client.shutdown().await.unwrap();
        client
    });
    let (mut stream, peer, via_proxy) = proxy::accept(stream, peer, settings).await?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.unwrap();
    sending.await.unwrap();
    Ok((peer.to_string(), via_proxy, rest))
}

fn listed() -> ProxySettings {
    ProxySettings { proxy_networks: vec!["127.0.0.0/8".parse().unwrap()] }
}

#[tokio::test]
async fn a_listed_proxy_names_the_client_and_nothing_behind_is_lost() {
    let line: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 110\r\n";
    let whole = [line, b"USER homepage\r\n"].concat();
    let octets: Vec<&[u8]> = whole.chunks(1).collect();
    for pieces in [vec![whole.as_slice()], vec![line, b"USER homepage\r\n"], octets] {
        let (peer, via_proxy, rest) = accepted(&listed(), &pieces).await.unwrap();
        assert_eq!((peer.as_str(), via_proxy), ("203.0.113.9", true));
        assert_eq!(rest, b"USER homepage\r\n");
    }
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0f".to_vec();
    v2.extend([203, 0, 113, 9, 198, 51, 100, 1, 0x9c, 0x40, 0, 110]);
    // A TLV behind the addresses.
    v2.extend([4, 0, 0]);
    v2.extend(b"EHLO x\r\n");
    let (peer, via_proxy, rest) = accepted(&listed(), &[&v2]).await.unwrap();
    assert_eq!((peer.as_str(), via_proxy, rest.as_slice()), ("203.0.113.9", true, b"EHLO x\r\n".as_slice()));
}

#[tokio::test]
async fn a_listed_proxy_must_name_the_client() {
    for junk in [b"USER homepage\r\nPASS x\r\n".as_slice(), b"", b"PROXY TCP4 1.2.3.4", &[b'P'; 200]] {
        assert!(accepted(&listed(), &[junk]).await.is_err(), "{junk:?}");
    }
    let endless = [b"PROXY TCP4 ".as_slice(), &[b'1'; 300], b"\r\n"].concat();
    assert!(matches!(accepted(&listed(), &[&endless]).await, Err(ProxyError::Malformed)));
}

#[tokio::test]
async fn who_is_not_listed_names_nobody() {
    let line: &[u8] = b"PROXY TCP4 203.0.113.9 198.51.100.1 40000 110\r\n";
    let (peer, via_proxy, rest) = accepted(&ProxySettings::default(), &[line]).await.unwrap();
    assert_eq!((peer.as_str(), via_proxy, rest.as_slice()), ("127.0.0.1", false, line));
}
