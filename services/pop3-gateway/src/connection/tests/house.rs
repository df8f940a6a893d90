//! The gateway between fakes, and a client of it.

use postern_mesh::{
    admission::Admission, client::MeshChannel, identity::MeshKey, settings::MeshSettings, settings::from_env,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, DuplexStream, duplex},
    task::JoinHandle,
};

use super::{
    fakes::{Auth, Delivery},
    *,
};
use crate::upstream::Upstreams;

/// Injected instead of 20 s.
pub(super) const RENEW_EVERY: Duration = Duration::from_millis(50);
/// Injected instead of what is never reached in a test.
pub(super) const LONG: Duration = Duration::from_secs(3600);

pub(super) struct House {
    pub(super) gateway: Arc<Gateway>,
    pub(super) delivery: Delivery,
    pub(super) auth: Auth,
}

impl House {
    pub(super) fn with(messages: Vec<Vec<u8>>) -> Self {
        Self::with_times(messages, Times::of(&from_env().expect("defaults")))
    }

    pub(super) fn with_times(messages: Vec<Vec<u8>>, times: Times) -> Self {
        let mesh = MeshSettings::with_key(MeshKey::random());
        let (auth, delivery) = (Auth::default(), Delivery::with(messages));
        let upstreams = Upstreams {
            auth: MeshChannel::local(auth.routes(), "pop3-gateway", &mesh),
            delivery: MeshChannel::local(delivery.routes(), "pop3-gateway", &mesh),
        };
        let shutdown = Shutdown::new();
        let gateway = Arc::new(Gateway {
            settings: from_env().expect("defaults"),
            times,
            upstream: Upstream::new(upstreams, "test".to_owned(), 0, &shutdown),
            locks: Arc::new(Locks::every(RENEW_EVERY, RENEW_EVERY)),
            shutdown,
            ended: CancellationToken::new(),
        });
        Self { gateway, delivery, auth }
    }

    pub(super) fn connect(&self) -> Client {
        let (client, server) = duplex(64 * 1024);
        let peer = PeerIp::new([127, 0, 0, 1].into());
        let place = self.place(peer);
        let session = tokio::spawn(serve(Arc::clone(&self.gateway), server, Door::Pop3, None, peer, place));
        Client { stream: BufReader::new(client), session }
    }

    pub(super) fn place(&self, peer: PeerIp) -> Place {
        Admission::new(self.gateway.settings.admission.clone()).admit(peer).expect("a place")
    }

    pub(super) async fn log_in(&self) -> Client {
        let mut client = self.connect();
        client.transcript("S: +OK*\nC: USER user@homepage.test\nS: +OK*\nC: PASS secret\nS: +OK*").await;
        client
    }
}

pub(super) struct Client {
    pub(super) stream: BufReader<DuplexStream>,
    pub(super) session: JoinHandle<()>,
}

impl Client {
    pub(super) async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.expect("the session reads");
    }

    /// A line with its end; empty at the end of the connection.
    pub(super) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await.expect("a line");
        String::from_utf8_lossy(&line).into_owned()
    }

    /// A multi-line answer behind its first line, unstuffed; `None` when the connection ends first.
    pub(super) async fn content(&mut self) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).await.expect("a line");
            match &line[..] {
                b"" => return None,
                b".\r\n" => return Some(content),
                [b'.', rest @ ..] => content.extend_from_slice(rest),
                line => content.extend_from_slice(line),
            }
        }
    }

    /// `C:` lines are sent, `S:` lines must come; a `*` at the end stands for anything.
    pub(super) async fn transcript(&mut self, script: &str) {
        for step in script.lines() {
            let step = step.trim_start();
            if let Some(text) = step.strip_prefix("C: ") {
                self.send(&format!("{text}\r\n")).await;
            } else if let Some(expected) = step.strip_prefix("S: ") {
                let line = self.line().await;
                match expected.strip_suffix('*') {
                    Some(begin) => {
                        assert!(line.starts_with(begin) && line.ends_with("\r\n"), "{step}\ngot {line:?}")
                    }
                    None => assert_eq!(line, format!("{expected}\r\n")),
                }
            } else {
                panic!("neither C: nor S: in {step:?}");
            }
        }
    }

    /// The server closes without another word.
    pub(super) async fn closes(mut self) {
        assert_eq!(self.line().await, "");
        self.session.await.expect("no panic");
    }
}

pub(super) fn letter(body: &str) -> Vec<u8> {
    format!("Subject: x\r\n\r\n{body}\r\n").into_bytes()
}
