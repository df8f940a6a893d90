//! An authority that issues certificates by ACME (RFC 8555): Debian's pebble, which asks the world's DNS and the panel, behind a front
//! that refuses what a test wants to see refused.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mesh::tls;
use rcgen::{CertificateParams, KeyPair, SanType};
use rustls::{ServerConfig, crypto::ring};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{dns::World, eventually, platform::free_ports, web::Web};

/// What the client asks for, as a test sees it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Method and path.
    pub line: String,
    /// What is signed, without the signature; empty for a GET and a HEAD.
    pub payload: String,
}

impl Asked {
    /// True for an order of this host.
    pub fn orders(&self, host: &str) -> bool {
        self.payload.contains("identifiers") && self.payload.contains(&format!("\"{host}\""))
    }
}

/// What is answered instead of the authority.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The connection is closed.
    Away,
    /// 500, and no JSON.
    Broken,
    /// 400 badNonce, whatever nonce it was.
    BadNonce,
    /// 429 rateLimited, come again after so many seconds.
    Limited(u32),
}

type Rule = Box<dyn Fn(&Asked) -> Option<Refusal> + Send>;

/// A running authority. It ends with this.
pub struct Authority {
    pebble: Child,
    folder: TempDir,
    management: SocketAddr,
    front: SocketAddr,
    rule: Arc<Mutex<Rule>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// How it is set.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long a certificate is good.
    pub valid: Duration,
    /// Id and key (base64url) that new accounts must be bound to.
    pub binding: Option<(String, String)>,
    /// Nonces of a hundred that are refused by chance.
    pub bad_nonces_percent: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self { valid: Duration::from_secs(90 * 24 * 60 * 60), binding: None, bad_nonces_percent: 20 }
    }
}

impl Authority {
    /// Starts one that finds hosts by this DNS, and their proofs at this door instead of port 80.
    pub async fn start(world: &World, http: SocketAddr, policy: &Policy) -> anyhow::Result<Self> {
        let ports = free_ports(3)?;
        let folder = tempfile::Builder::new().prefix("postern-acme-").tempdir()?;
        let file = |name: &str| folder.path().join(name);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        let certificate = params.self_signed(&key)?;
        fs::write(file("ca.pem"), certificate.pem())?;
        fs::write(file("key.pem"), key.serialize_pem())?;
        let keys: BTreeMap<_, _> = policy.binding.clone().into_iter().collect();
        let config = serde_json::json!({ "pebble": {
            "listenAddress": ports[0].to_string(),
            "managementListenAddress": ports[1].to_string(),
            "certificate": file("ca.pem"),
            "privateKey": file("key.pem"),
            "httpPort": http.port(),
            "tlsPort": 1,
            "externalAccountBindingRequired": policy.binding.is_some(),
            "externalAccountMACKeys": keys,
            "certificateValidityPeriod": policy.valid.as_secs(),
        }});
        fs::write(file("config.json"), config.to_string())?;
        let log = File::create(file("log"))?;
        let pebble = Command::new("pebble")
            .args(["-strict", "-config"])
            .arg(file("config.json"))
            .args(["-dnsserver", &world.address.to_string()])
            .env("PEBBLE_VA_NOSLEEP", "1")
            // Every proof is looked at, also that of a host that was proven before.
            .env("PEBBLE_AUTHZREUSE", "0")
            .env("PEBBLE_WFE_NONCEREJECT", policy.bad_nonces_percent.to_string())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("pebble (a Debian package; `make test` installs it)")?;
        let authority = Self {
            pebble,
            management: ports[1],
            front: ports[2],
            rule: Arc::new(Mutex::new(Box::new(|_| None))),
            asked: Arc::default(),
            folder,
        };
        authority.open_front(ports[0], &certificate.der().clone(), &key).await?;
        let there = eventually(Duration::from_secs(30), async || authority.root().await.is_ok()).await;
        anyhow::ensure!(there, "pebble does not answer: {}", authority.log());
        Ok(authority)
    }

    /// Where its directory is.
    pub fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.front.port())
    }

    /// What its own HTTPS is believed by.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The root of what it issues.
    pub async fn root(&self) -> anyhow::Result<CertificateDer<'static>> {
        let answer = Web::new(self.management).over_tls().get("/roots/0").await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.body);
        Ok(CertificateDer::from_pem_slice(answer.body.as_bytes())?)
    }

    /// From now on the front refuses what this names.
    pub fn refuse(&self, rule: impl Fn(&Asked) -> Option<Refusal> + Send + 'static) {
        *self.rule.lock().expect("no panic") = Box::new(rule);
    }

    /// All is answered by the authority itself.
    pub fn refuse_nothing(&self) {
        self.refuse(|_| None);
    }

    /// Orders of a host so far, those that were refused too.
    pub fn orders(&self, host: &str) -> usize {
        self.asked.lock().expect("no panic").iter().filter(|asked| asked.orders(host)).count()
    }

    /// Its log.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// One request for each connection, both ways in TLS.
    async fn open_front(
        &self,
        pebble: SocketAddr,
        own: &CertificateDer<'static>,
        key: &KeyPair,
    ) -> anyhow::Result<()> {
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.clone()], key)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind(self.front).await?;
        let (rule, asked) = (Arc::clone(&self.rule), Arc::clone(&self.asked));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, rule, asked) = (acceptor.clone(), Arc::clone(&rule), Arc::clone(&asked));
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        // A client that goes away is its own matter.
                        let _ = serve(stream, pebble, &rule, &asked).await;
                    }
                });
            }
        });
        Ok(())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = self.pebble.kill();
        let _ = self.pebble.wait();
    }
}

async fn serve(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    pebble: SocketAddr,
    rule: &Mutex<Rule>,
    seen: &Mutex<Vec<Asked>>,
) -> anyhow::Result<()> {
    let (head, body) = request(&mut client).await?;
    let asked = Asked { line: head.lines().next().unwrap_or_default().to_owned(), payload: payload(&body) };
    seen.lock().expect("no panic").push(asked.clone());
    let refusal = rule.lock().expect("no panic")(&asked);
    let problem = |status: &str, kind: &str, more: &str| {
        let body =
            format!("{{\"type\":\"urn:ietf:params:acme:error:{kind}\",\"detail\":\"as the test wants\"}}");
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\nContent-Length: {length}\r\n{more}\
             Connection: close\r\n\r\n{body}"
        )
    };
    let answer = match refusal {
        None => pass_on(&head, &body, pebble).await?,
        Some(Refusal::Away) => return Ok(()),
        Some(Refusal::Broken) => {
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nConnection: close\r\n\r\noops".into()
        }
        Some(Refusal::BadNonce) => {
            problem("400 Bad Request", "badNonce", "Replay-Nonce: bm9uZQ\r\n").into_bytes()
        }
        Some(Refusal::Limited(seconds)) => {
            problem("429 Too Many Requests", "rateLimited", &format!("Retry-After: {seconds}\r\n"))
                .into_bytes()
        }
    };
    client.write_all(&answer).await?;
    client.shutdown().await?;
    Ok(())
}

/// Head and body of one request.
async fn request(stream: &mut (impl AsyncRead + Unpin)) -> anyhow::Result<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head)?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok((head, body))
}

/// What a JWS signs (RFC 7515).
fn payload(body: &[u8]) -> String {
    let payload = serde_json::from_slice::<serde_json::Value>(body).ok();
    let payload = payload.and_then(|jws| URL_SAFE_NO_PAD.decode(jws["payload"].as_str()?).ok());
    String::from_utf8(payload.unwrap_or_default()).unwrap_or_default()
}

/// `Host` stays: the URLs that the authority answers with, and those that were signed, are the front's.
async fn pass_on(head: &str, body: &[u8], pebble: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let plain = TcpStream::connect(pebble).await?;
    let name = ServerName::try_from("localhost")?;
    let mut stream = TlsConnector::from(tls::unjudged()?).connect(name, plain).await?;
    let lines = head.trim_end().lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let head = lines.collect::<Vec<_>>().join("\r\n");
    stream.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}
