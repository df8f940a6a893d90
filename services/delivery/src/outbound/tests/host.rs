//! A foreign host that does what its script says, and remembers what it took.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

/// How the host behaves.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) banner: String,
    pub(crate) pipelining: bool,
    pub(crate) smtp_utf8: bool,
    pub(crate) start_tls: bool,
    pub(crate) tls_is_broken: bool,
    /// One octet of the banner every tenth of a second.
    pub(crate) drip: bool,
    pub(crate) mails_per_connection: usize,
    /// It closes behind them when more is asked only, not at once.
    pub(crate) closes_when_asked: bool,
    /// What it shows in TLS; `None`: something that it made itself.
    pub(crate) identity: Option<Identity>,
    /// Verb (`.` for the end of data) to reply; the empty reply cuts the connection.
    pub(crate) answers: HashMap<&'static str, String>,
    pub(crate) refused: HashMap<&'static str, String>,
}

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: Arc<PrivateKeyDer<'static>>,
}

impl Identity {
    fn self_made() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["far.test".to_owned()]).expect("certificate");
        Self {
            certificate: CertificateDer::from(made.cert.der().to_vec()),
            key: Arc::new(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()))),
        }
    }

    pub(crate) fn server_config(&self) -> rustls::ServerConfig {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], self.key.clone_key())
            .expect("config")
    }
}

impl Default for Script {
    fn default() -> Self {
        Self {
            banner: "220 far.test ESMTP\r\n".to_owned(),
            pipelining: false,
            smtp_utf8: false,
            start_tls: false,
            tls_is_broken: false,
            drip: false,
            mails_per_connection: usize::MAX,
            closes_when_asked: false,
            identity: None,
            answers: HashMap::new(),
            refused: HashMap::new(),
        }
    }
}

impl Script {
    pub(crate) fn answering(mut self, verb: &'static str, reply: &str) -> Self {
        self.answers.insert(verb, reply.to_owned());
        self
    }

    pub(crate) fn refusing(mut self, recipient: &'static str, reply: &str) -> Self {
        self.refused.insert(recipient, reply.to_owned());
        self
    }

    fn ehlo(&self, over_tls: bool) -> String {
        let mut reply = "250-far.test\r\n".to_owned();
        if self.pipelining {
            reply.push_str("250-PIPELINING\r\n");
        }
        if self.smtp_utf8 {
            reply.push_str("250-SMTPUTF8\r\n");
        }
        if self.start_tls && !over_tls {
            reply.push_str("250-STARTTLS\r\n");
        }
        reply + "250 SIZE 100000000"
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct TakenMail {
    pub(crate) sender: String,
    pub(crate) recipients: Vec<String>,
    pub(crate) content: Vec<u8>,
    pub(crate) over_tls: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) connections: usize,
    pub(crate) mails: Vec<TakenMail>,
}

pub(crate) struct Host {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

impl Host {
    pub(crate) async fn start(script: Script) -> Self {
        Self::start_at(IpAddr::V4(Ipv4Addr::LOCALHOST), 0, script).await
    }

    pub(crate) async fn start_at(ip: IpAddr, port: u16, script: Script) -> Self {
        let listener = TcpListener::bind((ip, port)).await.expect("port");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.lock().expect("seen").connections += 1;
                let (script, seen) = (script.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    let mut talk =
                        Talk { script, seen, over_tls: false, mail: TakenMail::default(), taken: 0 };
                    let mut wire = BufReader::new(stream);
                    if talk.greet(&mut wire).await.is_some()
                        && talk.serve(&mut wire).await == Some(Ended::ForTls)
                    {
                        talk.go_on_with_tls(wire).await;
                    }
                });
            }
        });
        Self { address, seen }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().expect("seen").clone()
    }
}

#[derive(PartialEq, Eq)]
enum Ended {
    ForTls,
}

struct Talk {
    script: Script,
    seen: Arc<Mutex<Seen>>,
    over_tls: bool,
    mail: TakenMail,
    taken: usize,
}

impl Talk {
    async fn greet<W: AsyncRead + AsyncWrite + Unpin>(&self, wire: &mut BufReader<W>) -> Option<()> {
        if self.script.drip {
            for octet in self.script.banner.bytes() {
                wire.write_all(&[octet]).await.ok()?;
                tokio::time::sleep(Duration::from_millis(400)).await;
            }
            return Some(());
        }
        wire.write_all(self.script.banner.as_bytes()).await.ok()
    }

    /// `None`: the connection is over.
    async fn serve<W: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: &mut BufReader<W>) -> Option<Ended> {
        loop {
            let mut line = String::new();
            if wire.read_line(&mut line).await.ok()? == 0 {
                return None;
            }
            if self.is_used_up() {
                return None;
            }
            let verb = line.get(..4)?.trim().to_ascii_uppercase();
            let reply = self.reply(&verb, &line)?;
            wire.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
            match verb.as_str() {
                "QUIT" => return None,
                "STAR" => return Some(Ended::ForTls),
                "DATA" if reply.starts_with("354") => self.take_content(wire).await?,
                _ => {}
            }
            if self.is_used_up() && !self.script.closes_when_asked {
                return None;
            }
        }
    }

    fn is_used_up(&self) -> bool {
        self.taken >= self.script.mails_per_connection
    }

    fn reply(&mut self, verb: &str, line: &str) -> Option<String> {
        if let Some(reply) = self.script.answers.get(verb) {
            return Some(reply.clone()).filter(|reply| !reply.is_empty());
        }
        let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        Some(match verb {
            "EHLO" => self.script.ehlo(self.over_tls),
            "STAR" => "220 go".to_owned(),
            "MAIL" => {
                self.mail = TakenMail { sender: address(), over_tls: self.over_tls, ..TakenMail::default() };
                "250 ok".to_owned()
            }
            "RCPT" => match self.script.refused.get(address().as_str()) {
                Some(reply) => reply.clone(),
                None => {
                    self.mail.recipients.push(address());
                    "250 ok".to_owned()
                }
            },
            "DATA" if self.mail.recipients.is_empty() => "554 no recipients".to_owned(),
            "DATA" => "354 go".to_owned(),
            "QUIT" => "221 bye".to_owned(),
            _ => "250 ok".to_owned(),
        })
    }

    async fn take_content<W: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut BufReader<W>,
    ) -> Option<()> {
        loop {
            let mut line = Vec::new();
            if wire.read_until(b'\n', &mut line).await.ok()? == 0 {
                return None;
            }
            // Strict: nothing but CRLF ends a line.
            assert!(line.ends_with(b"\r\n") && !line[..line.len() - 2].contains(&b'\r'), "{line:?}");
            if line == b".\r\n" {
                break;
            }
            self.mail.content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let reply = match self.script.answers.get(".") {
            Some(reply) if reply.is_empty() => return None,
            Some(reply) => reply.clone(),
            None => "250 2.0.0 taken".to_owned(),
        };
        if reply.starts_with('2') {
            self.seen.lock().expect("seen").mails.push(std::mem::take(&mut self.mail));
            self.taken += 1;
        }
        wire.write_all(format!("{reply}\r\n").as_bytes()).await.ok()
    }

    async fn go_on_with_tls<W: AsyncRead + AsyncWrite + Unpin>(&mut self, wire: BufReader<W>) {
        let mut plain = wire.into_inner();
        if self.script.tls_is_broken {
            let _ = plain.write_all(b"this is no handshake at all\r\n").await;
            return;
        }
        let config = self.script.identity.clone().unwrap_or_else(Identity::self_made).server_config();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        if let Ok(secured) = acceptor.accept(plain).await {
            self.over_tls = true;
            let _ = self.serve(&mut BufReader::new(secured)).await;
        }
    }
}
