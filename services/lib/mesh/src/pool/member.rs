//! One replica: its connection, how busy it is, and whether it failed a moment ago.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{
    Request, Response, Uri,
    uri::{Authority, Scheme},
};
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

/// TCP and HTTP/2 handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A silent connection is asked whether it lives; without an answer in the same time it is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How long a replica rests that refused a connection, and one that did not answer at all.
const REST_REFUSED: Duration = Duration::from_millis(100);
const REST_SILENT: Duration = Duration::from_secs(1);

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

    pub(super) async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Failed> {
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
    async fn connected(&self, path: &str) -> Result<SendRequest<Body>, Status> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if let Some(why) = self.why_it_rests() {
            return Err(Status::unavailable(why));
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, connect(self.address, self.tls.as_deref(), path)).await {
            Ok(Ok(connection)) => {
                self.rest(None);
                *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                Ok(connection)
            }
            Ok(Err(why)) => {
                let why = format!("cannot connect to {}: {why}", self.address);
                self.rest(Some((REST_REFUSED, why.clone())));
                Err(Status::unavailable(why))
            }
            Err(_) => {
                let why = format!("cannot connect to {} within 1 s", self.address);
                self.rest(Some((REST_SILENT, why.clone())));
                Err(Status::unavailable(why))
            }
        }
    }
}

async fn connect(
    address: SocketAddr,
    tls: Option<&ClientTls>,
    path: &str,
) -> Result<SendRequest<Body>, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
    let Some(tls) = tls else { return handshake(address, stream).await };
    let service = mesh_tls::service_of(path).ok_or_else(|| format!("{path} is no RPC of a service"))?;
    let name = mesh_tls::name_of(service)?;
    let connector = TlsConnector::from(Arc::clone(&*tls.current()));
    let stream = connector.connect(name, stream).await.map_err(|e| format!("TLS: {}", chain(&e)))?;
    handshake(address, stream).await
}

/// Begins HTTP/2.
async fn handshake(
    address: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Body>, String> {
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| chain(&e))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%address, "connection ended: {}", chain(&error));
        }
    });
    Ok(sender)
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
