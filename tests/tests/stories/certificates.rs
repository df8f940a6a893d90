//! Customers' own names: each is shown its own certificate at every door, with STARTTLS and with TLS at once; what is renewed or added is
//! shown while sessions go on, and the doctor says which end soon.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use postern_mesh::tls;
use postern_tests::{
    dns::World,
    eventually,
    platform::{Blueprint, Platform},
    web::Web,
};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What changes in the folder is shown within this time.
const SEEN_LIMIT: Duration = Duration::from_secs(20);

/// A door, and what is said there before TLS.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Pop3(SocketAddr),
    Smtp(SocketAddr),
    AtOnce(SocketAddr),
}

/// Lays down a new certificate for a name; answers it as clients are to see it.
fn write_pair(folder: &Path, name: &str, days: u32) -> anyhow::Result<Vec<u8>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.not_after = (SystemTime::now() + days * DAY).into();
    let made = params.self_signed(&key)?;
    fs::create_dir_all(folder)?;
    for (file, text) in [("privkey.pem", key.serialize_pem()), ("fullchain.pem", made.pem())] {
        fs::write(folder.join("new"), text)?;
        fs::rename(folder.join("new"), folder.join(file))?;
    }
    Ok(made.der().to_vec())
}

/// One line of the server, without its end.
async fn line(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<String> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

/// Sends a command and reads its reply, to its last line.
pub(crate) async fn say(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    command: &str,
) -> anyhow::Result<String> {
    stream.write_all(format!("{command}\r\n").as_bytes()).await?;
    loop {
        let reply = line(stream).await?;
        if reply.as_bytes().get(3) != Some(&b'-') || reply.starts_with("-ERR") {
            return Ok(reply);
        }
    }
}

/// An open session of a client that asked for this name, and the certificate that it was shown.
async fn open(way: Way, name: &str) -> anyhow::Result<(TlsStream<TcpStream>, Vec<u8>)> {
    open_as(&TlsConnector::from(tls::unjudged()?), way, name).await
}

/// The same for a client that judges what it is shown.
pub(crate) async fn open_as(
    connector: &TlsConnector,
    way: Way,
    name: &str,
) -> anyhow::Result<(TlsStream<TcpStream>, Vec<u8>)> {
    let (Way::Pop3(address) | Way::Smtp(address) | Way::AtOnce(address)) = way;
    let mut plain = TcpStream::connect(address).await?;
    match way {
        Way::Pop3(_) => {
            line(&mut plain).await?;
            let reply = say(&mut plain, "STLS").await?;
            anyhow::ensure!(reply.starts_with("+OK"), "{reply}");
        }
        Way::Smtp(_) => {
            line(&mut plain).await?;
            say(&mut plain, "EHLO client.outside.test").await?;
            let reply = say(&mut plain, "STARTTLS").await?;
            anyhow::ensure!(reply.starts_with("220"), "{reply}");
        }
        Way::AtOnce(_) => {}
    }
    let stream = connector.connect(ServerName::try_from(name.to_owned())?, plain).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|c| c.to_vec());
    Ok((stream, shown.unwrap_or_default()))
}

pub(crate) fn ways(platform: &Platform) -> [Way; 6] {
    [
        Way::Pop3(platform.pop3(0)),
        Way::AtOnce(platform.pop3s(0)),
        Way::Smtp(platform.smtp(0)),
        Way::Smtp(platform.submission(0)),
        Way::AtOnce(platform.smtps(0)),
        Way::AtOnce(platform.panel_tls()),
    ]
}

/// Waits until every door shows this certificate for the name.
async fn shown_everywhere(platform: &Platform, name: &str, expected: &[u8]) -> anyhow::Result<()> {
    for way in ways(platform) {
        let shown =
            eventually(SEEN_LIMIT, async || open(way, name).await.is_ok_and(|(_, seen)| seen == expected));
        anyhow::ensure!(shown.await, "{way:?} does not show the certificate of {name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn p_95_customers_names_have_certificates_of_their_own() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
    let first = write_pair(&file("one"), "mail.homepage.test", 90)?;
    let second = write_pair(&file("two"), "*.rival.test", 90)?;
    let platform = Blueprint::new()
        .set("POSTERN_TLS_CERTIFICATES", &folder.path().display().to_string())
        .start()
        .await?;
    for way in ways(&platform) {
        let (_, shown) = open(way, "MAIL.Homepage.Test").await?;
        assert!(shown == first, "{way:?}");
        let (_, shown) = open(way, "pop.rival.test").await?;
        assert!(shown == second, "{way:?}");
        let (_, shown) = open(way, "mail.nobody.test").await?;
        assert!(!shown.is_empty() && shown != first && shown != second, "{way:?}");
    }

    // One is renewed, one comes, while these sessions are open.
    let (mut pop3, _) = open(Way::Pop3(platform.pop3(0)), "mail.homepage.test").await?;
    let (mut smtp, _) = open(Way::AtOnce(platform.smtps(0)), "mail.homepage.test").await?;
    line(&mut smtp).await?;
    let renewed = write_pair(&file("one"), "mail.homepage.test", 95)?;
    let added = write_pair(&file("three"), "mail.third.test", 5)?;
    shown_everywhere(&platform, "mail.homepage.test", &renewed).await?;
    shown_everywhere(&platform, "mail.third.test", &added).await?;
    assert!(say(&mut pop3, "CAPA").await?.starts_with("+OK"));
    assert!(say(&mut smtp, "NOOP").await?.starts_with("250 "));

    // A pair that does not fit changes nothing for its name; the doctor names it, and the one that ends soon.
    let key = KeyPair::generate()?.serialize_pem();
    fs::write(file("two/privkey.pem"), key)?;
    let world = World::start().await;
    let (resolver, door) = (world.address.to_string(), platform.pop3s(0).to_string());
    let words = ["doctor", "--resolver", &resolver, "--tls-doors", &door];
    let (_, out, error) = platform.postern(&words, "").await?;
    let ends =
        |days: u32| out.contains(&format!("three/fullchain.pem: for mail.third.test, ends in {days} days"));
    assert!(ends(4) || ends(5), "{out}{error}");
    assert!(out.lines().any(|l| l.starts_with("WRONG") && l.contains("two/fullchain.pem: ")), "{out}{error}");
    let last = write_pair(&file("four"), "mail.fourth.test", 90)?;
    shown_everywhere(&platform, "mail.fourth.test", &last).await?;
    shown_everywhere(&platform, "pop.rival.test", &second).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_finds_the_proof_of_a_name_at_the_panel() -> anyhow::Result<()> {
    let webroot = tempfile::tempdir()?;
    let challenges = webroot.path().join(".well-known/acme-challenge");
    fs::create_dir_all(&challenges)?;
    let platform =
        Blueprint::new().set("POSTERN_ACME_WEBROOT", &webroot.path().display().to_string()).start().await?;
    let mut authority = Web::new(platform.panel()).at_host("mail.homepage.test");
    let address = "/.well-known/acme-challenge/evaGxfADs6pSRb2LAv9IZ";
    assert_eq!(authority.get(address).await?.status, 404);
    // As certbot does while we run.
    fs::write(challenges.join("evaGxfADs6pSRb2LAv9IZ"), "evaGxfADs6pSRb2LAv9IZ.9jg46WB3rR")?;
    let found = authority.get(address).await?;
    assert_eq!((found.status, found.body.as_str()), (200, "evaGxfADs6pSRb2LAv9IZ.9jg46WB3rR"));
    let outside = authority.get("/.well-known/acme-challenge/..%2f..%2f..%2fetc%2fpasswd").await?;
    assert_eq!(outside.status, 404, "{}", outside.body);
    Ok(())
}
