//! One connection: reads octets, lets the session decide, does what it wants, writes. Here are the sockets, the clocks
//! and the waiting; here is no POP3.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Poll, ready},
    time::Duration,
};

use bytes::Buf as _;
use postern_mail::{PeerIp, Reason, sasl::Credentials};
use postern_mesh::{admission::Place, counted::Counted, shutdown::Shutdown, trace_context};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    time::{Instant, sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field};

use crate::{
    line::{Line, LineReader},
    lock_guard::LockGuard,
    output::Output,
    read_ahead::{GUESS_PATIENCE, Guess, ReadAhead},
    renew::{Held, Locks},
    session::{Effect, Event, Identity, Listing, MaildropLock, Outcome, Policy, Session},
    settings::Settings,
    upstream::{Asker, Upstream},
    wire::Wire,
};

mod retrieval;

#[cfg(test)]
mod tests;

/// Octets of one read. They lie on the stack: an idle session owns no buffer.
const READ_BYTES: usize = 8 * 1024;
/// Replies are written when so many octets wait, or when the input is used up.
const WRITE_BYTES: usize = 64 * 1024;
/// After the last words, what the client still sends is thrown away for so long, so that they reach it.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 * 1024;

/// Which door somebody came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Plain text, STLS.
    Pop3,
    /// TLS from the first octet (RFC 8314 section 3.3).
    Pop3s,
}

/// Times of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// From the greeting to the login (P-10).
    pub(crate) login: Duration,
    /// Silence after login (P-09).
    pub(crate) idle: Duration,
    /// A client that takes nothing for so long is gone.
    pub(crate) write: Duration,
}

impl Times {
    /// As the settings and the conformance list say.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { login: Duration::from_secs(180), idle: settings.idle(), write: settings.write() }
    }
}

/// What all connections of this gateway share.
#[derive(Debug)]
pub(crate) struct Gateway {
    /// What is allowed.
    pub(crate) settings: Settings,
    /// Times of each session.
    pub(crate) times: Times,
    /// Upstream services.
    pub(crate) upstream: Upstream,
    /// Locks that are renewed.
    pub(crate) locks: Arc<Locks>,
    /// Going down: sessions without a box end now.
    pub(crate) shutdown: Shutdown,
    /// Went down: all sessions end now.
    pub(crate) ended: CancellationToken,
}

/// Serves one client until its session ends, and writes the one log line about it.
pub(crate) async fn serve<S>(
    gateway: Arc<Gateway>,
    stream: S,
    door: Door,
    tls: Option<TlsAcceptor>,
    peer: PeerIp,
    place: Place,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut wire = Wire::Plain(stream);
    if door == Door::Pop3s {
        let Some(acceptor) = &tls else { return };
        if let Err(error) = Box::pin(wire.start_tls(acceptor)).await {
            tracing::debug!(%peer, %error, "TLS handshake failed");
            return;
        }
    }
    let counted = Counted::in_gauge(metrics::gauge!("postern_pop3_sessions"));
    let mut connection = Connection::new(gateway, wire, tls, peer, place);
    let outcome = connection.run().await;
    drop(counted);
    connection.log(outcome);
}

/// A box that is ours: its lock is renewed, and freed wherever this ends.
struct HeldBox {
    _renewed: Held,
    guard: LockGuard,
}

struct Connection<S> {
    gateway: Arc<Gateway>,
    wire: Wire<S>,
    tls: Option<TlsAcceptor>,
    peer: PeerIp,
    place: Place,
    session_id: String,
    session: Session,
    reader: LineReader,
    out: Output,
    login_deadline: Instant,
    /// Cancelled when this session must end: its lock is lost, or the gateway is down.
    ended: CancellationToken,
    /// From the password to the open box.
    trace: Span,
    identity: Option<Box<Identity>>,
    held: Option<HeldBox>,
    ahead: Option<Box<ReadAhead>>,
    guess: Guess,
    /// Uids of what was sent as a whole.
    retrieved: Vec<u64>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Connection<S> {
    fn new(
        gateway: Arc<Gateway>,
        wire: Wire<S>,
        tls: Option<TlsAcceptor>,
        peer: PeerIp,
        place: Place,
    ) -> Self {
        let policy = Policy {
            plaintext_login: gateway.settings.plaintext_login.is_offered_to(peer),
            stls: tls.is_some(),
            login_delay_seconds: gateway.settings.pop3_login_delay_seconds,
        };
        let mut out = Output::default();
        let session = Session::begin(policy, wire.is_tls(), &mut out);
        let ended = gateway.ended.child_token();
        let login_deadline = Instant::now() + gateway.times.login;
        Self {
            gateway,
            wire,
            tls,
            peer,
            place,
            session_id: format!("{:016x}", rand::random::<u64>()),
            session,
            reader: LineReader::default(),
            out,
            login_deadline,
            ended,
            trace: Span::none(),
            identity: None,
            held: None,
            ahead: None,
            guess: Guess::default(),
            retrieved: Vec::new(),
        }
    }

    /// The walk of the session: event in, effect out, until it hangs up. What is large and rare is boxed, so that a
    /// waiting session stays small.
    async fn run(&mut self) -> Outcome {
        let mut event = self.next_event().await;
        loop {
            event = match self.session.step(event, &mut self.out) {
                Effect::Continue => self.next_event().await,
                Effect::Retrieve(retrieval) => Box::pin(self.retrieve(retrieval)).await,
                Effect::List(listing) => match Box::pin(self.list(listing)).await {
                    Ok(()) => self.next_event().await,
                    Err(outcome) => Event::Ended(outcome),
                },
                Effect::StartTls => Box::pin(self.start_tls()).await,
                Effect::Authenticate(credentials) => {
                    let trace = self.begin_trace();
                    Box::pin(self.authenticate(credentials).instrument(trace)).await
                }
                Effect::Open(identity) => {
                    let trace = std::mem::replace(&mut self.trace, Span::none());
                    Box::pin(self.open(identity).instrument(trace)).await
                }
                Effect::Close { lock, deleted_uids } => Box::pin(self.close(lock, deleted_uids)).await,
                Effect::Hangup { release, outcome } => {
                    Box::pin(self.hangup(release, outcome)).await;
                    return outcome;
                }
            };
        }
    }

    async fn next_event(&mut self) -> Event {
        match self.next_line().await {
            Ok(line) => Event::Line { line, more: !self.reader.is_empty() },
            Err(outcome) => Event::Ended(outcome),
        }
    }

    /// Next line; before it waits for the client, everything is written (one write for a batch of replies).
    async fn next_line(&mut self) -> Result<Line, Outcome> {
        if self.out.remaining() >= WRITE_BYTES {
            self.flush().await?;
        }
        loop {
            if let Some(line) = self.reader.next_line(self.session.line_limit()) {
                return Ok(line);
            }
            self.flush().await?;
            if self.ahead.is_some() {
                match timeout(GUESS_PATIENCE, Box::pin(self.read())).await {
                    Ok(read) => read?,
                    Err(_) => self.ahead = None,
                }
            } else {
                self.read().await?;
            }
        }
    }

    async fn read(&mut self) -> Result<(), Outcome> {
        let holds_box = self.session.holds_box();
        let deadline = if holds_box { Instant::now() + self.gateway.times.idle } else { self.login_deadline };
        let (wire, reader) = (&mut self.wire, &mut self.reader);
        let reading = poll_fn(|cx| {
            let mut octets = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut octets);
            let read = ready!(Pin::new(&mut *wire).poll_read(cx, &mut buffer));
            reader.feed(buffer.filled());
            Poll::Ready(read.map(|()| buffer.filled().len()))
        });
        tokio::select! {
            biased;
            read = reading => match read {
                Ok(1..) => Ok(()),
                // P-11: nothing is deleted, whatever was marked.
                Ok(0) | Err(_) => Err(Outcome::Disconnected),
            },
            () = self.ended.cancelled() => Err(self.why_ended()),
            () = self.gateway.shutdown.triggered(), if !holds_box => Err(Outcome::Shutdown),
            // P-09: without a reply.
            () = sleep_until(deadline) => Err(Outcome::Timeout),
        }
    }

    async fn flush(&mut self) -> Result<(), Outcome> {
        let holds_box = self.session.holds_box();
        while self.out.has_remaining() {
            let written = tokio::select! {
                biased;
                written = timeout(self.gateway.times.write, self.wire.write_buf(&mut self.out)) => written,
                () = self.ended.cancelled() => return Err(self.why_ended()),
                // P-10: whoever takes a little now and then has no longer than others.
                () = sleep_until(self.login_deadline), if !holds_box => return Err(Outcome::Timeout),
            };
            match written {
                Ok(Ok(1..)) => {}
                Ok(Ok(0) | Err(_)) => return Err(Outcome::Disconnected),
                Err(_) => return Err(Outcome::Stalled),
            }
        }
        if !self.wire.is_tls() {
            return Ok(());
        }
        tokio::select! {
            biased;
            flushed = timeout(self.gateway.times.write, self.wire.flush()) => match flushed {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Outcome::Disconnected),
                Err(_) => Err(Outcome::Stalled),
            },
            () = sleep_until(self.login_deadline), if !holds_box => Err(Outcome::Timeout),
        }
    }

    fn why_ended(&self) -> Outcome {
        if self.gateway.ended.is_cancelled() { Outcome::Shutdown } else { Outcome::LockLost }
    }

    async fn start_tls(&mut self) -> Event {
        if let Err(outcome) = self.flush().await {
            return Event::Ended(outcome);
        }
        let Some(acceptor) = self.tls.clone() else { return Event::Ended(Outcome::TlsFailed) };
        match self.wire.start_tls(&acceptor).await {
            Ok(()) => Event::TlsStarted,
            Err(error) => {
                tracing::debug!(session_id = self.session_id, peer = %self.peer, %error, "TLS handshake failed");
                Event::Ended(Outcome::TlsFailed)
            }
        }
    }

    /// The trace of a login, until its box is open.
    fn begin_trace(&mut self) -> Span {
        self.trace = trace_context::begin(|| {
            tracing::info_span!(
                parent: None,
                "login",
                otel.name = "POP3 login",
                otel.kind = "server",
                session_id = self.session_id,
                outcome = field::Empty,
            )
        });
        self.trace.clone()
    }

    async fn authenticate(&mut self, credentials: Credentials) -> Event {
        let clear_text = !self.wire.is_tls() && self.gateway.settings.plaintext_login.asks_domain(self.peer);
        let asker = Asker { peer: self.peer, session_id: &self.session_id, clear_text };
        let answer = self.gateway.upstream.authenticate(credentials, asker).await;
        match &answer {
            Ok(_) => self.place.is_customers(),
            Err(reason) => {
                count_login(reason.name());
                self.trace.record("outcome", reason.name());
                self.trace = Span::none();
            }
        }
        Event::Authenticated(answer)
    }

    async fn open(&mut self, identity: Identity) -> Event {
        let answer = self
            .gateway
            .upstream
            .open(identity.mailbox_id, self.peer, &self.session_id, self.session.takes_utf8())
            .await;
        let (reason, answer) = match answer {
            Ok((opened, guard)) => {
                let renewed = self.gateway.locks.hold(guard.lock(), self.ended.clone());
                self.held = Some(HeldBox { _renewed: renewed, guard });
                ("OK", Ok(opened))
            }
            Err(denial) => (denial.reason.name(), Err(denial)),
        };
        count_login(reason);
        Span::current().record("outcome", reason);
        self.identity = Some(Box::new(identity));
        Event::Opened(answer)
    }

    async fn list(&mut self, mut listing: Listing) -> Result<(), Outcome> {
        while self.session.write_listing(&mut listing, &mut self.out) {
            self.flush().await?;
        }
        Ok(())
    }

    async fn close(&mut self, lock: MaildropLock, deleted_uids: Vec<u64>) -> Event {
        self.ahead = None;
        let retrieved = std::mem::take(&mut self.retrieved);
        let closed = self.gateway.upstream.close(lock, deleted_uids, retrieved, &self.session_id).await;
        self.no_more_held();
        Event::Closed(closed)
    }

    /// The box was given back, or is somebody else's.
    fn no_more_held(&mut self) {
        if let Some(held) = self.held.take() {
            held.guard.ended();
        }
    }

    /// Frees the box, says the last words, closes.
    async fn hangup(&mut self, release: Option<MaildropLock>, outcome: Outcome) {
        self.ahead = None;
        if let Some(lock) = release
            && outcome != Outcome::LockLost
        {
            let retrieved = std::mem::take(&mut self.retrieved);
            self.gateway.upstream.release(lock, retrieved).await;
        }
        self.no_more_held();
        let last_words = match outcome {
            Outcome::Quit | Outcome::QuitFailed | Outcome::TooManyErrors | Outcome::TlsFailed => true,
            Outcome::Disconnected
            | Outcome::Timeout
            | Outcome::Stalled
            | Outcome::TransferBroken
            | Outcome::LockLost
            | Outcome::Shutdown => false,
        };
        if last_words && self.out.has_remaining() && self.say_last_words().await.is_err() {
            return;
        }
        // A peer that is gone already does not matter here.
        let _ = timeout(LINGER_TIMEOUT, self.wire.shutdown()).await;
        if last_words && outcome != Outcome::Quit {
            let _ = timeout(LINGER_TIMEOUT, self.discard_input()).await;
        }
    }

    /// As `flush`, also when this session must end and long after its login.
    async fn say_last_words(&mut self) -> Result<(), Outcome> {
        self.ended = CancellationToken::new();
        self.login_deadline = Instant::now() + self.gateway.times.write;
        self.flush().await
    }

    /// A socket that is closed with unread input resets the connection, and the client may never see the reply.
    async fn discard_input(&mut self) {
        let mut octets = vec![0; READ_BYTES];
        let mut gone = 0;
        while let Ok(count @ 1..) = self.wire.read(&mut octets).await {
            gone += count;
            if gone > LINGER_BYTES {
                return;
            }
        }
    }

    fn log(&self, outcome: Outcome) {
        let tally = self.session.tally();
        metrics::counter!("postern_pop3_messages_retrieved_total").increment(u64::from(tally.retrieved));
        metrics::counter!("postern_pop3_messages_deleted_total").increment(u64::from(tally.deleted));
        if let Outcome::Timeout | Outcome::Stalled = outcome {
            let why = if outcome == Outcome::Timeout { "idle" } else { "stalled" };
            metrics::counter!("postern_pop3_sessions_cut_total", "why" => why).increment(1);
        }
        tracing::info!(
            session_id = self.session_id,
            peer = %self.peer,
            login = self.identity.as_ref().map(|identity| identity.login.as_str()),
            mailbox_id = self.identity.as_ref().map(|identity| identity.mailbox_id),
            tls = self.wire.is_tls(),
            retrieved = tally.retrieved,
            deleted = tally.deleted,
            outcome = ?outcome,
            "session ended"
        );
    }
}

/// Logins by outcome: `OK`, or the reason's name.
fn count_login(outcome: &'static str) {
    metrics::counter!("postern_pop3_logins_total", "outcome" => outcome).increment(1);
}

/// How a message was not sent.
enum NotSent {
    /// Nothing of it was written.
    Refused(Reason),
    /// The session must end.
    Ended(Outcome),
}

impl From<Outcome> for NotSent {
    fn from(outcome: Outcome) -> Self {
        Self::Ended(outcome)
    }
}
