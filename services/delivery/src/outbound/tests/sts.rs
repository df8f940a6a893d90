//! MTA-STS and the operator's TLS policies: a policy over real HTTPS, hosts with proven and unproven names.

use std::{io::Write as _, sync::Arc};

use hickory_server::proto::rr::{RData, rdata::TXT};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::{
    dns::{Zone, a, mx},
    host::{Host as ScriptedHost, Identity, Script},
    *,
};
use crate::queue::tests::postgres::Postgres;

/// An authority of the test's own.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("authority");
        let mut file = tempfile::NamedTempFile::new().expect("file");
        file.write_all(certificate.pem().as_bytes()).expect("written");
        Self { issuer: Issuer::new(params, key), file }
    }

    fn identity(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("params");
        let certificate = params.signed_by(&key, &self.issuer).expect("certificate");
        Identity {
            certificate: CertificateDer::from(certificate.der().to_vec()),
            key: Arc::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))),
        }
    }
}

/// Serves one policy at `mta-sts.far.test`; gives its port.
async fn serve_policy(authority: &Authority, policy: &'static str) -> u16 {
    let config = authority.identity("mta-sts.far.test").server_config();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut secured) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let count = secured.read(&mut request).await.unwrap_or_default();
            let asked = String::from_utf8_lossy(&request[..count]).into_owned();
            let found = asked.starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\n");
            let status = if found { "200 OK" } else { "404 Not Found" };
            let answer = format!(
                "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{policy}",
                policy.len()
            );
            let _ = secured.write_all(answer.as_bytes()).await;
            let _ = secured.shutdown().await;
        }
    });
    port
}

fn text(value: &str) -> RData {
    RData::TXT(TXT::new(vec![value.to_owned()]))
}

const ENFORCE: &str = "version: STSv1\nmode: enforce\nmx: mx.far.test\nmax_age: 86400\n";
const TESTING: &str = "version: STSv1\nmode: testing\nmx: other.far.test\nmax_age: 86400\n";

/// Sends one mail to far.test, whose only MX is `exchange`.
async fn outcome(
    authority: &Authority,
    policy: Option<&'static str>,
    exchange: &'static str,
    script: Script,
    tls_policies: &[&str],
) -> (String, bool) {
    let host = ScriptedHost::start(script).await;
    let mut zone = Zone::default().with("far.test", mx(10, exchange)).with(exchange, a([127, 0, 0, 1]));
    let mut sts_port = None;
    if let Some(policy) = policy {
        sts_port = Some(serve_policy(authority, policy).await);
        zone = zone
            .with("_mta-sts.far.test", text("v=STSv1; id=1;"))
            .with("mta-sts.far.test", a([127, 0, 0, 1]));
    }
    let words: Vec<String> = tls_policies.iter().map(|word| (*word).to_owned()).collect();
    let outbound = Outbound::new(OutboundSettings {
        resolvers: vec![zone.start().await],
        port: host.address.port(),
        tls_policies: TlsPolicies::parse(&words).expect("policies"),
        authorities: Some(authority.file.path().to_owned()),
        sts_port,
        ..settings()
    })
    .expect("outbound");
    let destination = outbound.destination(&"far.test".parse().expect("domain"));
    let attempts = send(&outbound, &destination, &["b@far.test"], CONTENT).await;
    let over_tls = host.seen().mails.first().is_some_and(|mail| mail.over_tls);
    (letters(&attempts), over_tls)
}

#[tokio::test]
async fn mta_sts_lets_mail_to_proven_hosts_only() {
    let authority = Authority::new();
    let proven =
        || Script { start_tls: true, identity: Some(authority.identity("mx.far.test")), ..Script::default() };
    let unproven = || Script { start_tls: true, ..Script::default() };
    for (policy, exchange, script, expected) in [
        (Some(ENFORCE), "mx.far.test", proven(), ("D", true)),
        // Another certificate, no TLS at all, another host: later, never in the clear.
        (Some(ENFORCE), "mx.far.test", unproven(), ("T", false)),
        (Some(ENFORCE), "mx.far.test", Script::default(), ("T", false)),
        (Some(ENFORCE), "mx.evil.test", proven(), ("T", false)),
        (Some(TESTING), "mx.far.test", Script::default(), ("D", false)),
        (Some("no policy"), "mx.far.test", Script::default(), ("D", false)),
        (None, "mx.far.test", unproven(), ("D", true)),
    ] {
        let told = format!("{policy:?} {exchange} {:?}", expected);
        let (letters, over_tls) = outcome(&authority, policy, exchange, script, &[]).await;
        assert_eq!((letters.as_str(), over_tls), expected, "{told}");
    }
}

#[tokio::test]
async fn the_operators_word_stands_above_that_of_the_domain() {
    let authority = Authority::new();
    let proven =
        || Script { start_tls: true, identity: Some(authority.identity("mx.far.test")), ..Script::default() };
    let unproven = || Script { start_tls: true, ..Script::default() };
    for (policy, word, script, expected) in [
        (None, "far.test=encrypt", Script::default(), ("T", false)),
        (None, "far.test=encrypt", unproven(), ("D", true)),
        (None, "far.test=verify", unproven(), ("T", false)),
        (None, "far.test=verify", proven(), ("D", true)),
        (Some(ENFORCE), "far.test=may", Script::default(), ("D", false)),
    ] {
        let told = format!("{policy:?} {word}");
        let (letters, over_tls) = outcome(&authority, policy, "mx.far.test", script, &[word]).await;
        assert_eq!((letters.as_str(), over_tls), expected, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_domain_demands_outlives_the_process() {
    let (_postgres, store) = Postgres::start().await;
    let authority = Authority::new();
    let sts_port = Some(serve_policy(&authority, ENFORCE).await);
    let attempt = async |zone: Zone, script: Script| {
        let host = ScriptedHost::start(script).await;
        let settings = OutboundSettings {
            resolvers: vec![zone.start().await],
            port: host.address.port(),
            authorities: Some(authority.file.path().to_owned()),
            sts_port,
            ..settings()
        };
        let outbound = Outbound::new(settings).expect("outbound").keeping_policies(store.pool().clone());
        let destination = outbound.destination(&"far.test".parse().expect("domain"));
        letters(&send(&outbound, &destination, &["b@far.test"], CONTENT).await)
    };
    let far =
        || Zone::default().with("far.test", mx(10, "mx.far.test")).with("mx.far.test", a([127, 0, 0, 1]));
    let told =
        far().with("_mta-sts.far.test", text("v=STSv1; id=1;")).with("mta-sts.far.test", a([127, 0, 0, 1]));
    let proven =
        Script { start_tls: true, identity: Some(authority.identity("mx.far.test")), ..Script::default() };
    assert_eq!(attempt(told, proven).await, "D");
    // Another process, and DNS that hides the record: a host that proves nothing still gets nothing.
    assert_eq!(attempt(far(), Script::default()).await, "T");
    let over = "UPDATE mta_sts_policies SET end_time = now() - interval '1 second'";
    sqlx::query(over).execute(store.pool()).await.expect(over);
    assert_eq!(attempt(far(), Script::default()).await, "D", "what was said is over");
}
