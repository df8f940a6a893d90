//! How a door that the world knocks at receives a connection: it finds out who the client is, behind a listed load balancer too, and
//! gives it a place. What is spoken there begins after that.

use std::{
    future::Future,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use postern_mail::PeerIp;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

use crate::{
    admission::{Admission, AdmissionSettings, Place, TurnedAway},
    doors,
    health::Readiness,
    proxy::{self, Disagreements, Kind, ProxyError, ProxySettings},
    shutdown::Shutdown,
};

/// What the world's doors of one process share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Reception {
    admission: Admission,
    proxy: Arc<ProxySettings>,
    disagreements: Disagreements,
}

/// A connection whose client is known. It has said nothing yet.
#[derive(Debug)]
pub struct Guest {
    /// The connection.
    pub stream: Stream,
    /// The client's address.
    pub peer: PeerIp,
    /// Over a listed load balancer.
    pub proxied: bool,
    /// Or why there is none: the connection is to be closed.
    pub place: Result<Place, TurnedAway>,
}

impl Reception {
    /// Nobody is in.
    #[must_use]
    pub fn new(admission: AdmissionSettings, proxy: ProxySettings) -> Self {
        Self {
            admission: Admission::new(admission),
            proxy: Arc::new(proxy),
            disagreements: Disagreements::default(),
        }
    }

    /// True when the limits do not hold for this peer.
    #[must_use]
    pub fn is_exempt(&self, peer: PeerIp) -> bool {
        self.admission.is_exempt(peer)
    }

    /// Adds to what the operator is told: whether load balancers and settings agree about the PROXY protocol.
    #[must_use]
    pub fn tell(&self, ready: Readiness) -> Readiness {
        let disagreements = self.disagreements.clone();
        ready.notice("proxy", move || std::future::ready(disagreements.told()))
    }

    /// Accepts until shutdown, and has each client served as a task of it: a slow one holds nobody up.
    pub async fn receive<S, F>(self, door: TcpListener, shutdown: Shutdown, serve: S)
    where
        S: Fn(Guest) -> F + Clone + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let (stream, address) = tokio::select! {
                biased;
                () = shutdown.triggered() => return,
                next = doors::next(&door) => next,
            };
            let (reception, serve) = (self.clone(), serve.clone());
            shutdown.spawn(async move {
                // Its buffers are not kept for as long as the session lasts.
                if let Some(guest) = Box::pin(reception.greet(stream, address)).await {
                    serve(guest).await;
                }
            });
        }
    }

    async fn greet(&self, stream: TcpStream, address: SocketAddr) -> Option<Guest> {
        if let Err(error) = doors::find_dead_peer(&stream) {
            tracing::debug!(peer = %address, %error, "no keep-alive");
        }
        let (tcp, peer, proxied) = match proxy::accept(stream, address, &self.proxy).await {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(peer = %address, %error, "closed");
                // A balancer that only looks whether we are there says nothing, and breaks off.
                if matches!(error, ProxyError::Malformed | ProxyError::Timeout) {
                    self.disagreements.note(Kind::Missing, PeerIp::new(address.ip()));
                }
                return None;
            }
        };
        let unheard = (!proxied).then(|| (self.disagreements.clone(), peer));
        Some(Guest { stream: Stream { tcp, unheard }, peer, proxied, place: self.admission.admit(peer) })
    }
}

/// A TCP connection whose first octets are looked at as they are read: a PROXY header of somebody who is not listed is noted, and
/// otherwise treated as what it is in the protocol that is spoken.
#[derive(Debug)]
pub struct Stream {
    tcp: TcpStream,
    /// Until the first octets have come.
    unheard: Option<(Disagreements, PeerIp)>,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(cx, buffer))?;
        let read = buffer.filled().get(before..).unwrap_or_default();
        if !read.is_empty()
            && let Some((disagreements, peer)) = self.unheard.take()
            && proxy::is_header(read)
        {
            disagreements.note(Kind::Unlisted, peer);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(cx, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
