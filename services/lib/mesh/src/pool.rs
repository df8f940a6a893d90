//! Connections to all replicas behind a service's name: found by DNS, one HTTP/2 connection each, the least busy one
//! takes a call, one that failed rests while others stand.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{
    Request, Response, Uri,
    uri::{Authority, Scheme},
};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::Instant};
use tonic::{Code, Status, body::Body};

use crate::{
    StartError,
    server::{CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES},
};

/// TCP and HTTP/2 handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A silent connection is asked whether it lives; without an answer in the same time it is dead.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How often a name is looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(3);
/// How long a replica that failed rests while others stand.
const REST: Duration = Duration::from_secs(1);
/// Replicas that one call tries before it gives up.
const ATTEMPTS_MAX: usize = 3;
/// Retries saved up at most, in tenths.
const BUDGET_MAX_TENTHS: i64 = 100;

/// One service, wherever its replicas are.
#[derive(Debug)]
pub(crate) struct Pool {
    /// For messages.
    url: String,
    targets: Vec<Target>,
    members: RwLock<Members>,
    /// Serialises the first look-up.
    resolving: tokio::sync::Mutex<()>,
    watching_names: AtomicBool,
    /// Each call saves a tenth of a retry.
    budget_tenths: AtomicI64,
}

#[derive(Debug)]
struct Target {
    host: String,
    port: u16,
}

/// All replicas known now.
type Members = Arc<[Arc<Member>]>;

/// One replica.
#[derive(Debug)]
struct Member {
    address: SocketAddr,
    authority: Authority,
    in_flight: AtomicUsize,
    connection: RwLock<Option<SendRequest<Body>>>,
    connecting: tokio::sync::Mutex<()>,
    rests_until: Mutex<Option<Instant>>,
}

impl Pool {
    /// Reads `http://host:port[,http://host:port...]`; nothing is connected or looked up yet.
    pub(crate) fn new(url: &str) -> Result<Arc<Self>, StartError> {
        let mut targets = Vec::new();
        let mut members = Vec::new();
        for part in url.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let target = Target::parse(part)?;
            match target.literal() {
                Some(address) => members.push(Arc::new(Member::new(address)?)),
                None => targets.push(target),
            }
        }
        if targets.is_empty() && members.is_empty() {
            return Err(StartError::setting("POSTERN_..._URL", "is empty; http://host:port is needed"));
        }
        Ok(Arc::new(Self {
            url: url.to_owned(),
            targets,
            members: RwLock::new(members.into()),
            resolving: tokio::sync::Mutex::default(),
            watching_names: AtomicBool::new(false),
            budget_tenths: AtomicI64::new(BUDGET_MAX_TENTHS),
        }))
    }

    /// Sends a call whose body may be gone after one attempt: tried at another replica only if it was never sent.
    pub(crate) async fn send_once(
        self: &Arc<Self>,
        mut request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let members = self.members().await?;
        let mut tried = [None; ATTEMPTS_MAX];
        let mut last = None;
        for attempt in 0..ATTEMPTS_MAX {
            let Some(member) = pick(&members, &tried) else { break };
            tried[attempt] = Some(member.address);
            match member.send(request).await {
                Ok(response) => return Ok(response),
                Err(Failed { status, unsent: Some(unsent) }) => {
                    last = Some(status);
                    request = *unsent;
                }
                Err(Failed { status, unsent: None }) => return Err(status),
            }
        }
        Err(last.unwrap_or_else(|| Status::unavailable(format!("no replica behind {}", self.url))))
    }

    /// Sends a call that may be asked twice: once more when a replica is away, while the budget lasts.
    pub(crate) async fn send_read(
        self: &Arc<Self>,
        request: Request<Body>,
    ) -> Result<Response<Body>, Status> {
        let _ = self.budget_tenths.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| {
            (tenths < BUDGET_MAX_TENTHS).then_some(tenths + 1)
        });
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let again = || Request::from_parts(parts.clone(), Body::new(Full::<Bytes>::new(body.clone())));
        let first = self.send_once(again()).await;
        let away = match &first {
            Ok(response) => {
                Status::from_header_map(response.headers()).is_some_and(|s| s.code() == Code::Unavailable)
            }
            Err(status) => status.code() == Code::Unavailable,
        };
        if away && self.take_retry() { self.send_once(again()).await } else { first }
    }

    fn take_retry(&self) -> bool {
        self.budget_tenths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tenths| {
                (tenths >= 10).then_some(tenths - 10)
            })
            .is_ok()
    }

    async fn members(self: &Arc<Self>) -> Result<Members, Status> {
        if !self.targets.is_empty() && !self.watching_names.swap(true, Ordering::Relaxed) {
            tokio::spawn(watch_names(Arc::downgrade(self)));
        }
        let known = self.known();
        if !known.is_empty() {
            return Ok(known);
        }
        let _one_at_a_time = self.resolving.lock().await;
        let known = self.known();
        if !known.is_empty() {
            return Ok(known);
        }
        self.resolve().await;
        let known = self.known();
        if known.is_empty() {
            return Err(Status::unavailable(format!("{}: the name has no address", self.url)));
        }
        Ok(known)
    }

    fn known(&self) -> Members {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the addresses that the names have now; a name that cannot be looked up keeps those it had.
    async fn resolve(&self) {
        let mut now = HashSet::new();
        for target in &self.targets {
            match tokio::net::lookup_host((target.host.as_str(), target.port)).await {
                Ok(addresses) => now.extend(addresses),
                Err(error) => {
                    tracing::warn!(host = target.host, %error, "name cannot be looked up");
                    return;
                }
            }
        }
        let known = self.known();
        now.extend(known.iter().map(|member| member.address).filter(|address| self.is_literal(*address)));
        if known.len() == now.len() && known.iter().all(|member| now.contains(&member.address)) {
            return;
        }
        let mut members: Vec<_> =
            known.iter().filter(|member| now.remove(&member.address)).map(Arc::clone).collect();
        members.extend(now.into_iter().filter_map(|address| Member::new(address).ok()).map(Arc::new));
        *self.members.write().unwrap_or_else(PoisonError::into_inner) = members.into();
    }

    fn is_literal(&self, address: SocketAddr) -> bool {
        self.url
            .split(',')
            .filter_map(|part| Target::parse(part.trim()).ok()?.literal())
            .any(|a| a == address)
    }
}

async fn watch_names(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(RESOLVE_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.resolve().await;
    }
}

/// The least busy replica that was not tried yet, from a random one on; one that rests only when nothing else is left.
fn pick<'a>(members: &'a [Arc<Member>], tried: &[Option<SocketAddr>]) -> Option<&'a Arc<Member>> {
    let start = if members.len() > 1 { rand::random_range(0..members.len()) } else { 0 };
    let (before, from) = members.split_at(start);
    from.iter()
        .chain(before)
        .filter(|member| !tried.contains(&Some(member.address)))
        .min_by_key(|member| (member.rests(), member.in_flight.load(Ordering::Relaxed)))
}

/// Why a replica did not answer; `unsent` when the call never left, so that another may take it.
struct Failed {
    status: Status,
    unsent: Option<Box<Request<Body>>>,
}

/// Counts a call as long as it lives, also when it is dropped at its deadline.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Member {
    fn new(address: SocketAddr) -> Result<Self, StartError> {
        let authority = Authority::try_from(address.to_string())
            .map_err(|e| StartError::setting("POSTERN_..._URL", format!("{address}: {e}")))?;
        Ok(Self {
            address,
            authority,
            in_flight: AtomicUsize::new(0),
            connection: RwLock::default(),
            connecting: tokio::sync::Mutex::default(),
            rests_until: Mutex::default(),
        })
    }

    fn rests(&self) -> bool {
        let until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self, for_how_long: Option<Duration>) {
        let mut until = self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = for_how_long.map(|time| Instant::now() + time);
    }

    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Failed> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let _counted = InFlight(&self.in_flight);
        let mut connection = match self.connected().await {
            Ok(connection) => connection,
            Err(status) => return Err(Failed { status, unsent: Some(Box::new(request)) }),
        };
        let mut uri = request.uri().clone().into_parts();
        (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(self.authority.clone()));
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

    async fn connected(&self) -> Result<SendRequest<Body>, Status> {
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        let _one_at_a_time = self.connecting.lock().await;
        if let Some(connection) = self.live() {
            return Ok(connection);
        }
        if self.rests() {
            return Err(Status::unavailable(format!("{} could not be reached a moment ago", self.address)));
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, connect(self.address)).await {
            Ok(Ok(connection)) => {
                self.rest(None);
                *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
                Ok(connection)
            }
            Ok(Err(why)) => {
                self.rest(Some(REST / 10));
                Err(Status::unavailable(format!("cannot connect to {}: {why}", self.address)))
            }
            Err(_) => {
                self.rest(Some(REST));
                Err(Status::unavailable(format!("cannot connect to {} within 1 s", self.address)))
            }
        }
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Body>, String> {
    let stream = TcpStream::connect(address).await.map_err(|e| e.to_string())?;
    stream.set_nodelay(true).map_err(|e| e.to_string())?;
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

impl Target {
    fn parse(url: &str) -> Result<Self, StartError> {
        let wrong = |why: &str| StartError::setting("POSTERN_..._URL", format!("{url:?}: {why}"));
        let uri: Uri = url.parse().map_err(|_| wrong("is no URL; http://host:port is needed"))?;
        if uri.scheme_str() != Some("http") {
            return Err(wrong("must begin with http:// (HTTP/2 without TLS)"));
        }
        let (Some(host), Some(port)) = (uri.host(), uri.port_u16()) else {
            return Err(wrong("names no host and port; http://host:port is needed"));
        };
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err(wrong("has a path; http://host:port is needed"));
        }
        Ok(Self { host: host.trim_start_matches('[').trim_end_matches(']').to_owned(), port })
    }

    fn literal(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.host.parse().ok()?, self.port))
    }
}
