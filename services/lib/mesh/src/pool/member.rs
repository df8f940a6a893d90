//! One replica: its connection, how busy it is, and whether it failed a moment ago.
//!
//! A replica that refuses costs a caller nothing: another one is asked at once. One that is silent (its machine is gone, its
//! process hangs) would cost each caller a deadline: it is found out by pings, nobody is sent there from then on, and a task asks
//! whether it is back.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, Uri,
    header::{CONTENT_TYPE, TE},
    uri::{Authority, Scheme},
};
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::Instant,
};
use tokio_rustls::TlsConnector;
use tonic::{Status, body::Body};

use crate::{
    StartError,
    mesh_tls::{self, ClientTls},
    server::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES},
};

/// TCP, TLS and HTTP/2 handshake and the first answer together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection that was silent for so long is asked whether it lives, and without an answer it is dead: together less than the
/// deadline of a call, so that a read is still asked elsewhere.
const PING_AFTER: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_millis(1500);
/// How long a replica rests that refused a connection.
const REST_REFUSED: Duration = Duration::from_millis(100);
/// One that did not answer at all is asked again so long after each time, and rests until it answers: the rest is longer than
/// such a round.
const WAKE_EVERY: Duration = Duration::from_millis(500);
const REST_SILENT: Duration = Duration::from_secs(3);
/// Anybody may ask for it, and everybody answers.
const FIRST_QUESTION: &str = "/grpc.health.v1.Health/Check";

/// One replica.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) address: SocketAddr,
    authority: Authority,
    tls: Option<Arc<ClientTls>>,
    in_flight: AtomicUsize,
    connection: RwLock<Option<SendRequest<Body>>>,
    connecting: tokio::sync::Mutex<()>,
    /// Until when, and why.
    rests_until: Mutex<Option<(Instant, String)>>,
    /// A task asks whether it is back.
    is_being_woken: AtomicBool,
}

/// Why a replica did not answer; `unsent` when the call never left, so that another may take it.
pub(super) struct Failed {
    pub(super) status: Status,
    pub(super) unsent: Option<Box<Request<Body>>>,
}

/// Counts a call as long as it lives, also when it is dropped at its deadline.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Member {
    pub(super) fn new(address: SocketAddr, tls: Option<Arc<ClientTls>>) -> Result<Self, StartError> {
        let authority = Authority::try_from(address.to_string())
            .map_err(|e| StartError::setting("POSTERN_..._URL", format!("{address}: {e}")))?;
        Ok(Self {
            address,
            authority,
            tls,
            in_flight: AtomicUsize::new(0),
            connection: RwLock::default(),
            connecting: tokio::sync::Mutex::default(),
            rests_until: Mutex::default(),
            is_being_woken: AtomicBool::new(false),
        })
    }

    pub(super) fn rests(&self) -> bool {
        self.why_it_rests().is_some()
    }

    fn why_it_rests(&self) -> Option<String> {
        let rest = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        rest.as_ref().filter(|(until, _)| Instant::now() < *until).map(|(_, why)| why.clone())
    }

    /// Calls that it has not answered yet.
    pub(super) fn busy(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    fn rest(&self, how_long_and_why: Option<(Duration, String)>) {
        let mut rest = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        *rest = how_long_and_why.map(|(time, why)| (Instant::now() + time, why));
    }

    pub(super) async fn send(self: &Arc<Self>, mut request: Request<Body>) -> Result<Response<Body>, Failed> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let _counted = InFlight(&self.in_flight);
        let mut connection = match self.connected(request.uri().path()).await {
            Ok(connection) => connection,
            Err(status) => return Err(Failed { status, unsent: Some(Box::new(request)) }),
        };
        let mut uri = request.uri().clone().into_parts();
        let scheme = if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        (uri.scheme, uri.authority) = (Some(scheme), Some(self.authority.clone()));
        match Uri::from_parts(uri) {
            Ok(uri) => *request.uri_mut() = uri,
            Err(error) => return Err(Failed { status: Status::internal(error.to_string()), unsent: None }),
        }
        match connection.try_send_request(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(mut error) => {
                let unsent = error.take_message().map(Box::new);
                let cause = error.into_error();
                if cause.is_closed() || cause.is_canceled() || unsent.is_some() {
                    self.forget();
                }
                let status = Status::unavailable(format!("{}: {}", self.address, chain(&cause)));
                Err(Failed { status, unsent })
            }
        }
    }

    fn live(&self) -> Option<SendRequest<Body>> {
        let connection = self.connection.read().unwrap_or_else(PoisonError::into_inner);
        connection.as_ref().filter(|connection| !connection.is_closed()).cloned()
    }

    fn forget(&self) {
        *self.connection.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The connection, made when there is none, to the service that this RPC belongs to.
    async fn connected(self: &Arc<Self>, path: &str) -> Result<SendRequest<Body>, Status> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if let Some(why) = self.why_it_rests() {
            return Err(Status::unavailable(why));
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if let Some(why) = self.why_it_rests() {
            return Err(Status::unavailable(why));
        }
        match self.connect(path).await {
            Ok(connection) => Ok(connection),
            Err(Obstacle::Refused(why)) => Err(Status::unavailable(why)),
            Err(Obstacle::Silent(why)) => {
                self.wake(path);
                Err(Status::unavailable(why))
            }
        }
    }

    /// Makes the connection, or lets the replica rest.
    async fn connect(self: &Arc<Self>, path: &str) -> Result<SendRequest<Body>, Obstacle> {
        match tokio::time::timeout(CONNECT_TIMEOUT, self.reach(path)).await {
            Ok(Ok(connection)) => {
                self.rest(None);
                *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                Ok(connection)
            }
            Ok(Err(why)) => {
                let why = format!("cannot connect to {}: {why}", self.address);
                self.rest(Some((REST_REFUSED, why.clone())));
                Err(Obstacle::Refused(why))
            }
            Err(_) => {
                let why = format!("{} does not answer within 1 s", self.address);
                self.rest(Some((REST_SILENT, why.clone())));
                Err(Obstacle::Silent(why))
            }
        }
    }

    async fn reach(self: &Arc<Self>, path: &str) -> Result<SendRequest<Body>, String> {
        let stream = TcpStream::connect(self.address).await.map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let Some(tls) = &self.tls else { return self.handshake(stream, path).await };
        let service = mesh_tls::service_of(path).ok_or_else(|| format!("{path} is no RPC of a service"))?;
        let name = mesh_tls::name_of(service)?;
        let connector = TlsConnector::from(Arc::clone(&*tls.current()));
        let stream = connector.connect(name, stream).await.map_err(|e| format!("TLS: {}", chain(&e)))?;
        self.handshake(stream, path).await
    }

    /// Begins HTTP/2. The kernel of a process that hangs takes connections all the same: what counts is an answer.
    async fn handshake(
        self: &Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        path: &str,
    ) -> Result<SendRequest<Body>, String> {
        let (mut sender, connection) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_TIMEOUT)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| chain(&e))?;
        let (member, address, path) = (Arc::downgrade(self), self.address, path.to_owned());
        tokio::spawn(async move {
            let Err(error) = connection.await else { return };
            tracing::debug!(%address, "connection ended: {}", chain(&error));
            if let Some(member) = member.upgrade().filter(|_| error.is_timeout()) {
                member.rest(Some((REST_SILENT, format!("{address} does not answer pings"))));
                member.wake(&path);
            }
        });
        sender.send_request(self.first_question()?).await.map_err(|e| chain(&e))?;
        Ok(sender)
    }

    /// An empty `HealthCheckRequest`; whatever is answered, somebody is there.
    fn first_question(&self) -> Result<Request<Body>, String> {
        let scheme = if self.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let uri = Uri::builder().scheme(scheme).authority(self.authority.clone());
        let uri = uri.path_and_query(FIRST_QUESTION).build().map_err(|e| e.to_string())?;
        Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
            .header(TE, HeaderValue::from_static("trailers"))
            .body(Body::new(Full::new(Bytes::from_static(&[0; 5]))))
            .map_err(|e| e.to_string())
    }

    /// Asks a silent replica in the background until it answers or refuses, so that no caller has to.
    fn wake(self: &Arc<Self>, path: &str) {
        if !self.is_being_woken.swap(true, Ordering::Relaxed) {
            tracing::warn!(address = %self.address, "a replica is silent; the others are asked until it answers");
            tokio::spawn(wake(Arc::downgrade(self), path.to_owned()));
        }
    }
}

/// Why there is no connection.
enum Obstacle {
    /// Somebody said no: the next caller may try.
    Refused(String),
    /// Nobody said anything.
    Silent(String),
}

async fn wake(member: Weak<Member>, path: String) {
    loop {
        tokio::time::sleep(WAKE_EVERY).await;
        let Some(member) = member.upgrade() else { return };
        let answered = match member.connect(&path).await {
            Ok(_) => true,
            Err(Obstacle::Refused(_)) => false,
            Err(Obstacle::Silent(_)) => continue,
        };
        tracing::info!(address = %member.address, answered, "a replica is silent no longer");
        member.is_being_woken.store(false, Ordering::Relaxed);
        return;
    }
}

/// An error with its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
