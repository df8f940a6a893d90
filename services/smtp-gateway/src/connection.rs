//! One client: octets in and out, time, TLS. Decides nothing about mail; that is the session's.
//!
//! First and last step of the walk: reads octets for [`crate::command`], writes what [`crate::session`] replies, asks
//! [`crate::upstream`] in its name.

mod chunks;
mod content;

use std::{
    future::{self, poll_fn},
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Poll, ready},
    time::Duration,
};

use bytes::BytesMut;
use futures_util::FutureExt as _;
use postern_mail::{MessageId, PeerIp, Reason};
use postern_mesh::{
    admission::Place,
    memory::{MemoryBudget, MemoryShare},
    shutdown::Shutdown,
    trace_context,
};
use postern_smtp::{command::Refused, data::DataLimits};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    sync::broadcast::{self, error::RecvError},
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field};

use chunks::Chunks;
pub(crate) use content::Slowest;

use crate::{
    command::{CommandReader, Expect},
    session::{Accepted, Door, Effects, Event, Next, Profile, Question, Revocation, Session, address_bytes},
    upstream::{Asker, Upstream},
};

/// Octets read at once while commands are read.
const COMMAND_READ_BYTES: usize = 4 * 1024;
/// Replies that wait for the end of a group of commands, octets.
const OUTPUT_MAX_BYTES: usize = 16 * 1024;
/// Recipients are in memory twice while content comes in: here, and for delivery.
const NAMED_COPIES: usize = 2;
/// What a session may name without being counted, octets: most messages have few recipients.
const NAMED_FREE_BYTES: usize = 4 * 1024;
/// A handshake takes no longer (S-74).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client takes its replies within this time.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may go on talking after the last reply, so that it can read it.
const LINGER: Duration = Duration::from_millis(500);
/// And how much, octets.
const LINGER_BYTES: usize = 1024 * 1024;

/// Both directions of a connection, with TLS or without.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What all connections of this gateway share.
#[derive(Clone)]
pub(crate) struct Gateway {
    /// The other services.
    pub(crate) upstream: Upstream,
    /// Certificates, if there are any.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Silence after which a session ends, and what a command line may take.
    pub(crate) idle: Duration,
    /// The slowest that content may come.
    pub(crate) slowest: Slowest,
    /// How long to watch for clients that speak first.
    pub(crate) greet_delay: Duration,
    /// Bounds of content.
    pub(crate) data_limits: DataLimits,
    /// What content of all sessions holds before it goes to delivery.
    pub(crate) content_memory: MemoryBudget,
    /// The end of the process.
    pub(crate) shutdown: Shutdown,
    /// After that: content that still comes in is given up.
    pub(crate) content_end: CancellationToken,
}

/// A connection and its session.
pub(crate) struct Connection {
    gateway: Gateway,
    stream: Box<dyn Duplex>,
    session: Session,
    session_id: String,
    place: Place,
    peer: PeerIp,
    door: Door,
    reader: CommandReader,
    expect: Expect,
    input: BytesMut,
    output: BytesMut,
    /// A message of which more chunks are to come.
    chunks: Option<Chunks>,
    /// The memory of the recipients, where they are many.
    named: Option<MemoryShare>,
    /// From MAIL to the reply to its content.
    trace: Span,
    /// Heard from the first question on whose answer can give a right.
    revocations: Option<broadcast::Receiver<Revocation>>,
}

/// The client is gone, or took nothing; there is nobody to tell.
#[derive(Debug)]
struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Connection {
    /// A connection before its first octet.
    #[must_use]
    pub(crate) fn new(
        gateway: Gateway,
        stream: Box<dyn Duplex>,
        profile: Profile,
        session_id: String,
        place: Place,
    ) -> Self {
        Self {
            gateway,
            stream,
            peer: profile.peer,
            door: profile.door,
            session: Session::new(profile),
            session_id,
            place,
            reader: CommandReader::default(),
            expect: Expect::Command,
            input: BytesMut::new(),
            output: BytesMut::new(),
            chunks: None,
            named: None,
            trace: Span::none(),
            revocations: None,
        }
    }

    /// Serves the client to its end.
    pub(crate) async fn run(mut self) {
        // Whoever went away has nothing to be told.
        let _ = self.serve().await;
    }

    async fn serve(&mut self) -> Result<(), Gone> {
        if self.door == Door::Smtps {
            let established = self.handshake().await?;
            self.session.step(established);
        }
        let mut event = Event::Opened { spoke_early: self.spoke_early(self.gateway.greet_delay).await };
        loop {
            let quit = matches!(&event, Event::Command { command: postern_smtp::command::Command::Quit, .. });
            if let Event::Mail(_, stamp) = &event
                && !self.session.is_in_transaction()
            {
                self.trace = self.begin_trace(stamp.message_id);
            }
            let Effects { replies, next } = self.session.step(event);
            if !self.session.is_between_chunks() && !matches!(next, Next::Chunk(..)) {
                self.chunks = None;
            }
            let written = self.output.len();
            for reply in &replies {
                if reply.code() >= 400 {
                    metrics::counter!("postern_smtp_refusals_total", "code" => reply.code().to_string())
                        .increment(1);
                }
                reply.write_to(&mut self.output);
            }
            if !self.session.is_in_transaction() {
                if let Some(reply) = replies.last() {
                    self.trace.record("reply", reply.code());
                }
                self.trace = Span::none();
                self.named = None;
            }
            let trace = self.trace.clone();
            event = match next {
                Next::Stay => self.next_event().await?,
                Next::Command => self.expecting(Expect::Command).await?,
                Next::SaslLine => self.expecting(Expect::SaslLine).await?,
                Next::Ask(question) => self.ask(question).instrument(trace).await,
                Next::Content(envelope) => self.content(*envelope).instrument(trace).await?,
                Next::Chunk(chunk, first) => self.chunk(chunk, first).instrument(trace).await?,
                Next::Discard(size_bytes) => self.discard(size_bytes).await?,
                Next::StartTls => self.start_tls(written).await?,
                Next::Close => return self.close(quit).await,
            };
        }
    }

    /// The trace of a message, from here to the outside host: its id is the message's.
    fn begin_trace(&self, id: MessageId) -> Span {
        trace_context::begin_message(id, || {
            tracing::info_span!(
                parent: None,
                "message",
                otel.name = "SMTP message",
                otel.kind = "server",
                session_id = self.session_id,
                door = self.door.name(),
                reply = field::Empty,
            )
        })
    }

    async fn expecting(&mut self, expect: Expect) -> Result<Event, Gone> {
        self.expect = expect;
        self.next_event().await
    }

    /// The next thing that happens: a command that was read already, else whatever comes first.
    async fn next_event(&mut self) -> Result<Event, Gone> {
        let mut deadline = Instant::now() + self.gateway.idle;
        let mut is_begun = false;
        loop {
            if self.output.len() >= OUTPUT_MAX_BYTES {
                self.flush().await?;
            }
            let offers = self.session.offers();
            if let Some(event) = self.reader.next_event(&mut self.input, self.expect, offers) {
                return Ok(event);
            }
            if !is_begun && self.reader.is_within_line(&self.input) {
                // From its first octet on: an octet now and then does not hold a place for ever.
                is_begun = true;
                deadline = Instant::now() + self.gateway.idle;
            }
            // All replies of a group leave in one write (RFC 2920 section 3.2).
            self.flush().await?;
            self.free_input();
            let read = read::<COMMAND_READ_BYTES>(&mut *self.stream, &mut self.input);
            let before = Instant::now();
            tokio::select! {
                biased;
                () = self.gateway.shutdown.triggered() => return Ok(Event::ShuttingDown),
                revocation = hear(&mut self.revocations, &self.session) => return Ok(Event::Revoked(revocation)),
                () = lost(self.chunks.as_ref()) => if let Some(chunks) = &mut self.chunks {
                    chunks.give_up(Reason::InsufficientStorage);
                },
                read = timeout_at(deadline, read) => match read {
                    Err(_) => {
                        count_cut("idle");
                        return Ok(Event::Idle);
                    }
                    Ok(read) => {
                        if read? == 0 {
                            return Err(Gone);
                        }
                        let slowest = self.gateway.slowest;
                        if self.chunks.as_mut().is_some_and(|chunks| chunks.is_too_slow(before.elapsed(), slowest)) {
                            count_cut("slow");
                            return Ok(Event::Idle);
                        }
                    }
                },
            }
        }
    }

    /// A session that waits owns no buffer.
    fn free_input(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }

    async fn ask(&mut self, question: Question) -> Event {
        if self.revocations.is_none() {
            // Before the question: a right that dies while the answer travels must not be missed.
            self.revocations = Some(self.gateway.upstream.revocations.listen());
        }
        let asker = Asker { peer: self.peer, session_id: &self.session_id };
        let mut event = self.gateway.upstream.answer(question, asker).await;
        if event.shows_a_right() {
            self.place.is_customers();
        }
        if let Event::RecipientsAnswered(answers) = &mut event {
            self.hold_recipients(answers);
        }
        event
    }

    /// Recipients are held in somebody's share, as content is; those that find no memory are put off.
    fn hold_recipients(&mut self, answers: &mut [Result<Accepted, Refused>]) {
        let taken = answers.iter().flatten().map(|accepted| address_bytes(&accepted.address));
        let bytes = self.session.named_bytes() + taken.sum::<usize>();
        let counted = (NAMED_COPIES * bytes).saturating_sub(NAMED_FREE_BYTES);
        if counted == 0 {
            return;
        }
        let (memory, holder) = (&self.gateway.content_memory, self.place.holder());
        let held = self.named.get_or_insert_with(|| memory.share(holder));
        if held.hold(counted).is_err() {
            for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
                *answer = Err(Reason::InsufficientStorage.into());
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        if self.output.is_empty() {
            return Ok(());
        }
        let write = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        timeout(WRITE_TIMEOUT, write).await.map_err(|_| Gone)??;
        self.output.clear();
        Ok(())
    }

    /// True when the client sent something although it is not its turn.
    async fn spoke_early(&mut self, wait: Duration) -> bool {
        let read = read::<COMMAND_READ_BYTES>(&mut *self.stream, &mut self.input);
        if wait.is_zero() {
            return matches!(read.now_or_never(), Some(Ok(1..)));
        }
        matches!(timeout(wait, read).await, Ok(Ok(1..)))
    }

    /// RFC 3207. `written` is where the 220 begins in the output.
    async fn start_tls(&mut self, written: usize) -> Result<Event, Gone> {
        // What was sent in plain text behind STARTTLS must never be taken as said within TLS (S-71).
        if !self.input.is_empty() || self.spoke_early(Duration::ZERO).await {
            self.output.truncate(written);
            return Ok(Event::SpokeBeforeTls);
        }
        self.flush().await?;
        self.handshake().await
    }

    async fn handshake(&mut self) -> Result<Event, Gone> {
        let acceptor = self.gateway.tls.clone().ok_or(Gone)?;
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        // A failed handshake ends the connection: never back to plain text (S-74).
        let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(plain)).await.map_err(|_| Gone)??;
        let shown = shown(&stream);
        self.stream = Box::new(stream);
        self.reader = CommandReader::default();
        self.input.clear();
        self.expect = Expect::Command;
        Ok(Event::TlsEstablished(shown))
    }

    async fn close(&mut self, quit: bool) -> Result<(), Gone> {
        self.flush().await?;
        timeout(WRITE_TIMEOUT, self.stream.shutdown()).await.map_err(|_| Gone)??;
        if quit && self.input.is_empty() {
            return Ok(());
        }
        // A socket closed over unread octets is reset, and the client may never see why.
        let linger = async {
            let mut read = 0;
            while read < LINGER_BYTES {
                self.input.clear();
                match self::read::<COMMAND_READ_BYTES>(&mut *self.stream, &mut self.input).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => read += count,
                }
            }
        };
        let _ = timeout(LINGER, linger).await;
        Ok(())
    }
}

/// Reads what is there, to the end of the input; how many octets. Until they come they have no place but on the stack.
fn read<const MAX_BYTES: usize>(
    stream: &mut dyn Duplex,
    input: &mut BytesMut,
) -> impl Future<Output = io::Result<usize>> {
    poll_fn(move |cx| {
        let mut octets = [MaybeUninit::uninit(); MAX_BYTES];
        let mut buffer = ReadBuf::uninit(&mut octets);
        ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer))?;
        input.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    })
}

/// Ends when the message between two chunks has lost its memory; never without one.
async fn lost(chunks: Option<&Chunks>) {
    match chunks {
        Some(chunks) => chunks.lost().await,
        None => future::pending().await,
    }
}

/// Sessions that we end because nothing or too little comes.
fn count_cut(why: &'static str) {
    metrics::counter!("postern_smtp_sessions_cut_total", "why" => why).increment(1);
}

/// Waits for a revocation that ends this session; for ever when it has no right to lose.
async fn hear(revocations: &mut Option<broadcast::Receiver<Revocation>>, session: &Session) -> Revocation {
    let Some(revocations) = revocations else { return future::pending().await };
    loop {
        match revocations.recv().await {
            Ok(revocation) if session.is_ended_by(&revocation) => return revocation,
            // Missed some: whoever relies on a right must win it anew.
            Err(RecvError::Lagged(_)) if session.has_rights() => {
                return Revocation { client: None, mailbox_id: None };
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return future::pending().await,
        }
    }
}

/// "TLSv1.3, TLS13_AES_256_GCM_SHA384" for `Received:`.
fn shown(stream: &TlsStream<Box<dyn Duplex>>) -> String {
    let (_, connection) = stream.get_ref();
    let version = connection.protocol_version().map(|version| format!("{version:?}").replace('_', "."));
    let suite = connection.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    [version, suite].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
