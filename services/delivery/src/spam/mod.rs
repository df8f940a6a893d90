//! Does mail from strangers look like spam? Asked of the platform's scanner (rspamd's HTTP check) when the message is there and
//! before it is accepted, within a deadline.
//!
//! The walk: `grpc/submission` asks which of the recipients' domains want to know (`wishes`) -> the content is streamed to the
//! scanner here -> its word (`verdict`) goes into our prefix and into the message's story, and decides what the domains left to
//! it. A scanner that gives no answer is the operator's choice: unscanned, or later.

mod settings;
mod verdict;
mod wishes;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::{
    Request, StatusCode,
    body::{Body, Frame},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use postern_mail::EmailAddress;
use postern_mesh::StartError;
use tokio::{
    net::TcpStream,
    sync::Mutex,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{authenticity::Arrival, queue::ContentSource};
pub use settings::{Away, SpamSettings};
pub(crate) use verdict::{Advice, FIELDS, Verdict};
pub(crate) use wishes::SpamWishes;

/// Octets of an answer.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;
/// Recipients that the scanner is told of.
const RECIPIENTS_TOLD: usize = 50;
/// A scanner that is there answers a ping in this time.
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// While it is away it is pinged this often.
const PING_PAUSE: Duration = Duration::from_secs(1);

/// The platform's scanner. Clones are the same.
#[derive(Clone)]
pub struct Scanner {
    host: Arc<str>,
    port: u16,
    deadline: Duration,
    max_bytes: u64,
    away: Away,
    /// It does not even answer a ping: it is not asked until it does again.
    is_gone: Arc<AtomicBool>,
    /// Held by the only task that pings it.
    pinging: Arc<Mutex<()>>,
}

/// What came of a scan.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scanned {
    /// The scanner's word.
    Judged(Verdict),
    /// The message is larger than what is scanned.
    TooLarge,
    /// There was no answer; what then is the operator's choice.
    Missed(Away),
}

impl Scanner {
    /// `None`: the operator has set none.
    ///
    /// # Errors
    /// A setting makes no sense.
    pub fn new(settings: &SpamSettings) -> Result<Option<Self>, StartError> {
        let Some((host, port)) = settings.scanner()? else { return Ok(None) };
        metrics::gauge!("postern_spam_scanner_up").set(1.0);
        Ok(Some(Self {
            host: host.into(),
            port,
            deadline: Duration::from_millis(settings.spam_scan_millis),
            max_bytes: settings.spam_scan_max_bytes,
            away: settings.spam_scanner_away,
            is_gone: Arc::default(),
            pinging: Arc::default(),
        }))
    }

    /// Has a message judged. It takes no longer than the deadline, whatever the scanner does.
    pub(crate) async fn scan(
        &self,
        arrival: &Arrival<'_>,
        recipients: &[EmailAddress],
        contents: &dyn ContentSource,
    ) -> Scanned {
        if arrival.message.content_bytes > self.max_bytes {
            count("too_large");
            return Scanned::TooLarge;
        }
        if self.is_gone.load(Ordering::Relaxed) {
            count("away");
            return Scanned::Missed(self.away);
        }
        let began = Instant::now();
        let asked = match timeout(self.deadline, self.ask(arrival, recipients, contents)).await {
            Ok(answer) => answer,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        };
        metrics::histogram!("postern_spam_scan_seconds").record(began.elapsed().as_secs_f64());
        match asked {
            Ok(verdict) => {
                count(verdict.label());
                Scanned::Judged(verdict)
            }
            Err(error) => {
                count("missed");
                tracing::warn!(queue_id = %arrival.message.id, %error, "a message was not scanned for spam");
                self.doubt();
                Scanned::Missed(self.away)
            }
        }
    }

    async fn ask(
        &self,
        arrival: &Arrival<'_>,
        recipients: &[EmailAddress],
        contents: &dyn ContentSource,
    ) -> io::Result<Verdict> {
        let message = arrival.message;
        let content = contents.open(message).map_err(io::Error::other).map_ok(Frame::data);
        let mut request = Request::post("/checkv2")
            .header(header::HOST, self.host_header())
            .header(header::CONTENT_LENGTH, message.content_bytes)
            .header("IP", arrival.peer.ip().to_string())
            .header("Helo", told(arrival.helo))
            .header("From", told(&format!("<{}>", message.sender)))
            .header("Queue-Id", message.id.to_string());
        for recipient in recipients.iter().take(RECIPIENTS_TOLD) {
            request = request.header("Rcpt", told(&format!("<{recipient}>")));
        }
        let request = request.body(StreamBody::new(content)).map_err(io::Error::other)?;
        let json = self.exchange(request).await?;
        Verdict::read(&json).ok_or_else(|| io::Error::other("its answer is none"))
    }

    /// One request over a connection of its own, which is how rspamd wants it.
    async fn exchange<B>(&self, request: Request<B>) -> io::Result<Bytes>
    where
        B: Body<Data = Bytes, Error = io::Error> + Send + 'static,
    {
        let stream = TcpStream::connect((&*self.host, self.port)).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // It ends with this call, however that ends.
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        let answer = sender.send_request(request).await.map_err(io::Error::other)?;
        if answer.status() != StatusCode::OK {
            return Err(io::Error::other(format!("it answers {}", answer.status())));
        }
        let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect().await;
        Ok(body.map_err(io::Error::other)?.to_bytes())
    }

    fn host_header(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Something went wrong. One message may be the reason, else whoever writes it could switch the scanner off for all: it counts
    /// as gone only when a ping is not answered either, and until one is.
    fn doubt(&self) {
        let Ok(pinging) = Arc::clone(&self.pinging).try_lock_owned() else { return };
        let scanner = self.clone();
        tokio::spawn(async move {
            let _pinging = pinging;
            if scanner.answers().await {
                return;
            }
            scanner.is_gone.store(true, Ordering::Relaxed);
            metrics::gauge!("postern_spam_scanner_up").set(0.0);
            tracing::warn!(away = ?scanner.away, "the spam scanner is away");
            while !scanner.answers().await {
                sleep(PING_PAUSE).await;
            }
            scanner.is_gone.store(false, Ordering::Relaxed);
            metrics::gauge!("postern_spam_scanner_up").set(1.0);
            tracing::info!("the spam scanner is back");
        });
    }

    async fn answers(&self) -> bool {
        let nothing = StreamBody::new(stream::empty::<io::Result<Frame<Bytes>>>());
        let request = Request::get("/ping").header(header::HOST, self.host_header()).body(nothing);
        match request {
            Ok(request) => matches!(timeout(PING_TIMEOUT, self.exchange(request)).await, Ok(Ok(_))),
            Err(_) => false,
        }
    }
}

/// What a client said, as the value of a field.
fn told(text: &str) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

fn count(verdict: &'static str) {
    metrics::counter!("postern_spam_scans_total", "verdict" => verdict).increment(1);
}
