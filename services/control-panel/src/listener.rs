//! The doors: each connection has a place, of which one client has a bounded number, and must say what it wants in a bounded time:
//! whoever says nothing, or too little, is closed.

use std::{convert::Infallible, pin::pin, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo, response::IntoResponse as _};
use http::{Request, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use postern_mail::PeerIp;
use postern_mesh::{
    admission::Place,
    reception::{Guest, Reception},
    shutdown::Shutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Mutex,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::{router::FRONT, upload};

/// A handshake that takes longer has failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Octets of a connection that are held, and so of the head of a request: path, query and cookies are far less.
const BUFFER_MAX_BYTES: usize = 32 * 1024;

/// How long a connection may take, in parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the head of a request, and without a request between two of them.
    pub(crate) head: Duration,
    /// For a request and its answer, unless it brings a file.
    pub(crate) request: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { head: Duration::from_secs(20), request: Duration::from_secs(60) }
    }
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// The client's, as far as it is known.
    pub(crate) ip: PeerIp,
    /// Over a listed load balancer: whoever it names, or does not name, sits at another machine.
    pub(crate) proxied: bool,
}

impl Peer {
    /// Somebody who came without a load balancer.
    #[cfg(test)]
    pub(crate) fn direct(address: std::net::SocketAddr) -> Self {
        Self { ip: PeerIp::new(address.ip()), proxied: false }
    }

    /// True for somebody at this machine.
    pub(crate) fn is_here(self) -> bool {
        self.ip.is_loopback() && !self.proxied
    }
}

/// The place of the connection that a request came by.
#[derive(Clone, Debug)]
pub(crate) struct Seat(Arc<Mutex<Place>>);

impl Seat {
    /// Somebody is signed in there: it is no stranger's any more.
    pub(crate) async fn is_customers(&self) {
        self.0.lock().await.is_customers();
    }
}

/// A door and what is behind it.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) pages: Router,
    /// `None`: plain HTTP.
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) reception: Reception,
    pub(crate) patience: Patience,
}

impl Listener {
    /// Accepts until shutdown.
    pub(crate) fn open(self, door: TcpListener, shutdown: &Shutdown) {
        let (reception, ending) = (self.reception.clone(), shutdown.clone());
        let enter = move |guest| {
            let (this, ending) = (self.clone(), ending.clone());
            async move { this.enter(guest, &ending).await }
        };
        shutdown.spawn(reception.receive(door, shutdown.clone(), enter));
    }

    async fn enter(self, guest: Guest, shutdown: &Shutdown) {
        let Guest { stream, peer: ip, proxied, place } = guest;
        let place = match place {
            Ok(place) => place,
            Err(why) => {
                metrics::counter!("postern_panel_turned_away_total", "why" => why.name()).increment(1);
                return;
            }
        };
        let seat = Seat(Arc::new(Mutex::new(place)));
        let peer = Peer { ip, proxied };
        match self.tls.clone() {
            None => self.serve(stream, peer, seat, shutdown).await,
            Some(acceptor) => {
                // Whoever fails it, or is too slow, has been closed.
                if let Ok(Ok(stream)) = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                    self.serve(stream, peer, seat, shutdown).await;
                }
            }
        }
    }

    /// Answers the requests of one connection. At shutdown the one that is being answered is the last.
    async fn serve<S>(self, stream: S, peer: Peer, seat: Seat, shutdown: &Shutdown)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { pages, patience, .. } = self;
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(seat.clone());
            answer(pages.clone(), request, patience.request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(patience.head)
            .max_buf_size(BUFFER_MAX_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = shutdown.triggered() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(peer = %peer.ip, %error, "a connection broke off");
        }
    }
}

async fn answer(
    pages: Router,
    request: Request<Body>,
    patience: Duration,
) -> Result<axum::response::Response, Infallible> {
    // A file comes as long as its pieces come; where none is taken, nobody waits for one.
    let is_page = request.uri().path().starts_with(FRONT);
    if is_page && upload::is_upload(request.method(), request.headers()) {
        return pages.oneshot(request).await;
    }
    match timeout(patience, pages.oneshot(request)).await {
        Ok(answered) => answered,
        Err(_) => Ok(StatusCode::REQUEST_TIMEOUT.into_response()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::{body::Bytes, routing::post};
    use postern_mesh::{admission::AdmissionSettings, proxy::ProxySettings};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;

    /// A test that takes longer has failed.
    const LIMIT: Duration = Duration::from_secs(20);

    fn reception(per_client: usize) -> Reception {
        let admission = AdmissionSettings {
            limit_connections: 0,
            limit_connections_per_client: per_client,
            limit_new_connections_per_minute: 0,
            reserved_connections_percent: 0,
            limits_exempt_networks: Vec::new(),
        };
        Reception::new(admission, ProxySettings::default())
    }

    async fn door(patience: Patience, reception: Reception, shutdown: &Shutdown) -> SocketAddr {
        let door = TcpListener::bind("127.0.0.1:0").await.expect("a door");
        let address = door.local_addr().expect("an address");
        let pages = Router::new().route("/", post(async |body: Bytes| body.len().to_string()));
        Listener { pages, tls: None, reception, patience }.open(door, shutdown);
        address
    }

    /// What comes back until the other side closes.
    async fn all_of(stream: &mut TcpStream) -> String {
        let mut answer = Vec::new();
        // That it is cut off is an end, too.
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("closed in time");
        String::from_utf8(answer).expect("UTF-8")
    }

    #[tokio::test]
    async fn whoever_says_too_little_is_closed() {
        let soon = Duration::from_millis(200);
        let shutdown = Shutdown::new();
        let patience = Patience { head: soon, request: LIMIT };
        let address = door(patience, reception(0), &shutdown).await;
        for head in ["", "POST / HTTP/1.1\r\nHost: a.test\r\nX-Half"] {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(head.as_bytes()).await.expect("written");
            assert!(!all_of(&mut stream).await.contains("200"), "{head:?} was answered");
        }
        // After an answer, too: a connection that is kept alive asks again, or goes.
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let request = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nab";
        stream.write_all(request.as_bytes()).await.expect("written");
        let answer = all_of(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n2"), "{answer}");
        // A body that drips has the time of a request.
        let patience = Patience { head: LIMIT, request: soon };
        let address = door(patience, reception(0), &shutdown).await;
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(&request.as_bytes()[..request.len() - 1]).await.expect("written");
        assert!(all_of(&mut stream).await.starts_with("HTTP/1.1 408"));
        assert!(shutdown.finish(LIMIT).await, "nothing is left of them");
    }

    #[tokio::test]
    async fn one_client_has_so_many_connections_and_a_place_is_given_back() {
        let shutdown = Shutdown::new();
        let address = door(Patience::default(), reception(1), &shutdown).await;
        let request = "POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        let ask = async || {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            // It may be closed already.
            let _ = stream.write_all(request.as_bytes()).await;
            all_of(&mut stream).await
        };
        let mut first = TcpStream::connect(address).await.expect("a connection");
        first
            .write_all(b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n")
            .await
            .expect("written");
        let mut begin = [0; 12];
        timeout(LIMIT, first.read_exact(&mut begin)).await.expect("in time").expect("an answer");
        assert_eq!(ask().await, "", "the place is taken");
        drop(first);
        let freed = async {
            while !ask().await.contains("200 OK") {
                tokio::task::yield_now().await;
            }
        };
        timeout(LIMIT, freed).await.expect("the place is free again");
        shutdown.trigger();
    }
}
