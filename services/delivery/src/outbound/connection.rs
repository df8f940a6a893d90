//! One connection to a foreign host: owns the socket and the clock, and does what the pure machine
//! [`postern_smtp::client`] says.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use postern_smtp::client::{
    Action, Cause, Client, DotStuffer, Ending, Event, Mail, Outcome, Settings, Stage,
};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{TlsPolicy, hosts::Host, transit::Transit};

/// Time to reach a host.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a host that stopped reading to say why.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(5);
/// A group of replies may take so many times as long as its next octets.
const DRIP_FACTOR: u32 = 4;
/// Content is written in blocks of about this size, octets.
const BLOCK_BYTES: usize = 64 * 1024;
/// Octets of replies read at once.
const READ_BYTES: usize = 4096;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What could go wrong with our own content.
pub type ContentError = Box<dyn std::error::Error + Send + Sync>;

/// Why no connection stands.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The host was not reached.
    Unreachable(io::Error),
    /// It is ourselves.
    OwnAddress,
    /// It does not want to talk, or TLS is broken.
    Ended(Ending),
}

impl OpenError {
    /// Nothing came in time.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Unreachable(error) => error.kind() == io::ErrorKind::TimedOut,
            Self::Ended(ending) => matches!(ending, Ending::Unwilling(Cause::TimedOut(_))),
            Self::OwnAddress => false,
        }
    }
}

/// A greeted connection.
pub(super) struct Connection {
    wire: Box<dyn Wire>,
    client: Client,
    buffer: Box<[u8; READ_BYTES]>,
    block_timeout: Duration,
    /// What is said or taken until then is waited for.
    until: Option<Instant>,
    host: Host,
    /// What was demanded of it, and holds.
    proof: TlsPolicy,
}

/// How a mail ended, and whether the connection may take another.
pub(super) struct Delivery {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) reusable: bool,
}

impl Connection {
    /// Connects and greets. `allow_own`: the host may be this machine (a smarthost, a test).
    pub(super) async fn open(
        host: &Host,
        settings: &Settings,
        tls: &Arc<rustls::ClientConfig>,
        allow_own: bool,
        demanded: TlsPolicy,
    ) -> Result<Self, OpenError> {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(host.address));
        let stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(OpenError::Unreachable(error)),
            Err(_) => return Err(OpenError::Unreachable(io::ErrorKind::TimedOut.into())),
        };
        // Only a connection to one's own address begins and ends at the same address.
        let own = stream
            .local_addr()
            .is_ok_and(|local| local.ip().to_canonical() == host.address.ip().to_canonical());
        if own && !allow_own {
            return Err(OpenError::OwnAddress);
        }
        // Groups of commands are written whole: nothing is gained by waiting for more.
        let _ = stream.set_nodelay(true);
        let mut connection = Self {
            wire: Box::new(stream),
            client: Client::new(settings.clone()),
            buffer: Box::new([0; READ_BYTES]),
            block_timeout: settings.timeouts.block,
            until: None,
            host: host.clone(),
            proof: demanded,
        };
        connection.greet(tls).await.map_err(OpenError::Ended)?;
        Ok(connection)
    }

    /// The host at the other end.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// How sure it is that this is the host, and that nobody reads along.
    pub(super) fn proof(&self) -> TlsPolicy {
        self.proof
    }

    /// True when the host takes the parameters of RFC 3461.
    pub(super) fn offers_dsn(&self) -> bool {
        self.client.offers().dsn
    }

    /// True when the idle host neither said nor closed anything.
    pub(super) fn is_quiet(&mut self) -> bool {
        self.wire.read(&mut self.buffer[..]).now_or_never().is_none()
    }

    /// Sends one mail, whose content the host must want by `until` and take in `content_time`: one that drains its buffer once in a
    /// timeout must not hold a worker for days.
    pub(super) async fn deliver<S>(
        &mut self,
        mail: Mail,
        content: S,
        transit: &Transit,
        until: Instant,
        content_time: Duration,
    ) -> Delivery
    where
        S: Stream<Item = Result<Bytes, ContentError>> + Unpin,
    {
        let recipient_count = mail.recipients.len();
        let first = self.client.step(Event::Deliver(mail));
        self.until = Some(until);
        let mut action = self.converse(first).await;
        self.until = None;
        if matches!(action, Action::SendContent) {
            self.until = Some(Instant::now() + content_time);
            let next = self.send_content(content, transit).await;
            self.until = None;
            action = self.converse(next).await;
        }
        match action {
            Action::Done { outcomes, reusable } => Delivery { outcomes, reusable },
            // The machine ends a mail with Done only; anything else leaves it undecided.
            _ => {
                let outcomes = vec![Outcome::Deferred(Cause::Lost(Stage::Mail)); recipient_count];
                Delivery { outcomes, reusable: false }
            }
        }
    }

    /// Says goodbye, without caring for the answer.
    pub(super) async fn quit(mut self) {
        let action = self.client.step(Event::Quit);
        let _ = self.converse(action).await;
        let _ = timeout(LAST_WORDS_TIMEOUT, self.wire.shutdown()).await;
    }

    async fn greet(&mut self, tls: &Arc<rustls::ClientConfig>) -> Result<(), Ending> {
        let mut action = self.client.step(Event::Connected);
        loop {
            action = match self.converse(action).await {
                Action::Ready => return Ok(()),
                Action::StartTls => {
                    let event = if self.start_tls(tls).await { Event::TlsReady } else { Event::TlsFailed };
                    self.client.step(event)
                }
                Action::Close(ending) => return Err(ending),
                _ => return Err(Ending::Unwilling(Cause::Lost(Stage::Hello))),
            };
        }
    }

    async fn start_tls(&mut self, tls: &Arc<rustls::ClientConfig>) -> bool {
        let name = ServerName::try_from(self.host.name.clone())
            .unwrap_or_else(|_| ServerName::IpAddress(self.host.address.ip().into()));
        let (nothing, _) = tokio::io::duplex(1);
        let plain = std::mem::replace(&mut self.wire, Box::new(nothing));
        let connecting = TlsConnector::from(Arc::clone(tls)).connect(name, plain);
        match timeout(HANDSHAKE_TIMEOUT, connecting).await {
            Ok(Ok(secured)) => {
                self.wire = Box::new(secured);
                true
            }
            _ => false,
        }
    }

    /// Exchanges lines until the machine wants something else.
    async fn converse(&mut self, mut action: Action) -> Action {
        let mut deadline = None;
        loop {
            let Action::Exchange { octets, timeout } = action else { return action };
            // A host that drips its reply octet by octet must not hold a worker for ever.
            if deadline.is_none() || !octets.is_empty() {
                let dripped = Instant::now() + timeout * DRIP_FACTOR;
                deadline = Some(self.until.map_or(dripped, |until| until.min(dripped)));
            }
            let left =
                deadline.map_or(timeout, |deadline| deadline.saturating_duration_since(Instant::now()));
            action = self.exchange(&octets, timeout.min(left)).await;
        }
    }

    async fn exchange(&mut self, octets: &[u8], limit: Duration) -> Action {
        if !octets.is_empty() {
            match timeout(limit, write_through(&mut self.wire, octets)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return self.hear_last_words().await,
                Err(_) => return self.client.step(Event::TimedOut),
            }
        }
        match timeout(limit, self.wire.read(&mut self.buffer[..])).await {
            Ok(Ok(0) | Err(_)) => self.client.step(Event::Lost),
            Ok(Ok(count)) => self.client.step(Event::Received(&self.buffer[..count])),
            Err(_) => self.client.step(Event::TimedOut),
        }
    }

    async fn send_content<S>(&mut self, mut content: S, transit: &Transit) -> Action
    where
        S: Stream<Item = Result<Bytes, ContentError>> + Unpin,
    {
        let mut stuffer = DotStuffer::default();
        let mut block = Vec::with_capacity(BLOCK_BYTES + BLOCK_BYTES / 4);
        while let Some(piece) = content.next().await {
            let Ok(piece) =
                piece.inspect_err(|error| tracing::error!(%error, "stored content cannot be read"))
            else {
                return self.client.step(Event::ContentBroken);
            };
            for part in piece.chunks(BLOCK_BYTES) {
                stuffer.encode(part, &mut block);
                if block.len() >= BLOCK_BYTES
                    && let Some(action) = self.write_block(&mut block).await
                {
                    return action;
                }
            }
        }
        if let Some(action) = self.early_words() {
            return action;
        }
        stuffer.finish(&mut block);
        // From the first octet of the end on it is open who has the mail.
        transit.set_dot_sent();
        if let Some(action) = self.write_block(&mut block).await {
            return action;
        }
        self.client.step(Event::ContentSent)
    }

    /// `None`: go on.
    async fn write_block(&mut self, block: &mut Vec<u8>) -> Option<Action> {
        if let Some(action) = self.early_words() {
            return Some(action);
        }
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        let limit = left.map_or(self.block_timeout, |left| left.min(self.block_timeout));
        match timeout(limit, write_through(&mut self.wire, block)).await {
            Ok(Ok(())) => {
                block.clear();
                None
            }
            Ok(Err(_)) => Some(self.hear_last_words().await),
            Err(_) => Some(self.client.step(Event::TimedOut)),
        }
    }

    /// What the host says while we send: a refusal, or it is gone. `None`: nothing.
    fn early_words(&mut self) -> Option<Action> {
        let action = match self.wire.read(&mut self.buffer[..]).now_or_never()? {
            Ok(0) | Err(_) => self.client.step(Event::Lost),
            Ok(count) => self.client.step(Event::Received(&self.buffer[..count])),
        };
        (!matches!(action, Action::SendContent)).then_some(action)
    }

    /// The host stopped reading; often it said why before (a 552 for what is too large).
    async fn hear_last_words(&mut self) -> Action {
        match timeout(LAST_WORDS_TIMEOUT, self.wire.read(&mut self.buffer[..])).await {
            Ok(Ok(count)) if count > 0 => match self.client.step(Event::Received(&self.buffer[..count])) {
                done @ (Action::Done { .. } | Action::Close(_)) => done,
                _ => self.client.step(Event::Lost),
            },
            _ => self.client.step(Event::Lost),
        }
    }
}

async fn write_through(wire: &mut Box<dyn Wire>, octets: &[u8]) -> io::Result<()> {
    wire.write_all(octets).await?;
    wire.flush().await
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use postern_smtp::{client::Timeouts, dsn::MessageDsn};
    use tokio::io::{AsyncBufReadExt as _, BufReader, DuplexStream};

    use super::*;

    const PIPE_BYTES: usize = 16 * 1024;

    /// A host that answers at once, and takes a block of the content each time that the sender is about to give up.
    async fn drain_slowly(wire: DuplexStream, pause: Duration) {
        let (read, mut write) = tokio::io::split(wire);
        let mut lines = BufReader::new(read);
        let mut line = String::new();
        write.write_all(b"220 slow.test\r\n").await.expect("banner");
        while !line.starts_with("DATA") {
            line.clear();
            lines.read_line(&mut line).await.expect("command");
            let reply: &[u8] = if line.starts_with("DATA") { b"354 go\r\n" } else { b"250 yes\r\n" };
            write.write_all(reply).await.expect("reply");
        }
        let mut block = vec![0; BLOCK_BYTES + BLOCK_BYTES / 2];
        loop {
            tokio::time::sleep(pause).await;
            if !matches!(lines.read_exact(&mut block).await, Ok(count) if count > 0) {
                return;
            }
        }
    }

    async fn connected(timeouts: Timeouts, pause: Duration) -> Connection {
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        tokio::spawn(drain_slowly(theirs, pause));
        let settings = Settings {
            hello_name: "mail.postern.test".to_owned(),
            use_tls: false,
            require_tls: false,
            timeouts,
        };
        let host = Host { name: "slow.test".to_owned(), address: ([192, 0, 2, 1], 25).into(), preference: 0 };
        let mut connection = Connection {
            wire: Box::new(ours),
            client: Client::new(settings.clone()),
            buffer: Box::new([0; READ_BYTES]),
            block_timeout: settings.timeouts.block,
            until: None,
            host,
            proof: TlsPolicy::May,
        };
        let tls = postern_mesh::tls::unjudged().expect("TLS");
        connection.greet(&tls).await.expect("greeted");
        connection
    }

    #[tokio::test]
    async fn a_host_that_takes_a_block_in_each_timeout_has_no_connection_for_days() {
        let timeouts = Timeouts { block: Duration::from_secs(2), ..Timeouts::default() };
        let mut connection = connected(timeouts, Duration::from_millis(300)).await;
        let mail = Mail {
            sender: "a@here.test".parse().expect("sender"),
            recipients: vec!["b@slow.test".parse().expect("recipient")],
            size_bytes: 50_000_000,
            eight_bit: false,
            smtp_utf8: false,
            dsn: MessageDsn::default(),
            recipient_dsn: Vec::new(),
        };
        let line = Bytes::from_static(b"a line of content, which is as long as lines mostly are in mail\r\n");
        let content = stream::repeat_with(move || Ok(line.clone()));
        let (begin, content_time) = (Instant::now(), Duration::from_secs(3));
        let until = begin + Duration::from_secs(600);
        let delivery = connection.deliver(mail, content, &Transit::default(), until, content_time).await;
        let outcomes = &delivery.outcomes[..];
        assert!(matches!(outcomes, [Outcome::Deferred(Cause::TimedOut(_))]), "{outcomes:?}");
        assert!(!delivery.reusable && begin.elapsed() >= content_time, "{:?}", begin.elapsed());
    }
}
