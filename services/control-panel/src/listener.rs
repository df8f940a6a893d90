//! The doors: who comes is found out beside the accept loop, the PROXY header of a listed load balancer and the TLS handshake
//! included, so that a slow one holds nobody up.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{extract::connect_info::Connected, serve::IncomingStream};
use postern_mail::PeerIp;
use postern_mesh::{
    doors,
    proxy::{self, ProxySettings},
    shutdown::Shutdown,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A handshake that takes longer has failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at once that are not ready yet; more wait in the system's queue.
const GREETED_MAX: usize = 256;

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
    pub(crate) fn direct(address: SocketAddr) -> Self {
        Self { ip: PeerIp::new(address.ip()), proxied: false }
    }

    /// True for somebody at this machine.
    pub(crate) fn is_here(self) -> bool {
        self.ip.is_loopback() && !self.proxied
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connected<IncomingStream<'_, Listener<S>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Listener<S>>) -> Self {
        *stream.remote_addr()
    }
}

/// Gives axum connections that are ready to be served.
pub(crate) struct Listener<S> {
    ready: mpsc::Receiver<(S, Peer)>,
    address: io::Result<SocketAddr>,
}

impl Listener<TcpStream> {
    /// A door for plain HTTP.
    pub(crate) fn plain(door: TcpListener, proxies: ProxySettings, shutdown: &Shutdown) -> Self {
        Self::new(door, proxies, shutdown, |stream| std::future::ready(Some(stream)))
    }
}

impl Listener<TlsStream<TcpStream>> {
    /// A door for HTTPS.
    pub(crate) fn tls(
        door: TcpListener,
        proxies: ProxySettings,
        acceptor: TlsAcceptor,
        shutdown: &Shutdown,
    ) -> Self {
        Self::new(door, proxies, shutdown, move |stream| {
            let handshake = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
            async move { handshake.await.ok()?.ok() }
        })
    }
}

impl<S: Send + 'static> Listener<S> {
    fn new<F>(
        door: TcpListener,
        proxies: ProxySettings,
        shutdown: &Shutdown,
        greet: impl Fn(TcpStream) -> F + Clone + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Option<S>> + Send + 'static,
    {
        let address = door.local_addr();
        let (connections, ready) = mpsc::channel(GREETED_MAX);
        let ending = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = accept_all(door, proxies, greet, connections) => {}
                () = ending.triggered() => {}
            }
        });
        Self { ready, address }
    }
}

async fn accept_all<S: Send + 'static, F>(
    door: TcpListener,
    proxies: ProxySettings,
    greet: impl Fn(TcpStream) -> F + Clone + Send + 'static,
    connections: mpsc::Sender<(S, Peer)>,
) where
    F: Future<Output = Option<S>> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(GREETED_MAX));
    let proxies = Arc::new(proxies);
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, address) = doors::next(&door).await;
        let (proxies, greet, connections) = (Arc::clone(&proxies), greet.clone(), connections.clone());
        tokio::spawn(async move {
            match proxy::accept(stream, address, &proxies).await {
                Ok((stream, ip, proxied)) => {
                    if let Some(stream) = greet(stream).await {
                        // Nobody takes it any more when the panel goes down.
                        let _ = connections.send((stream, Peer { ip, proxied })).await;
                    }
                }
                Err(error) => tracing::debug!(peer = %address, %error, "closed"),
            }
            drop(place);
        });
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> axum::serve::Listener for Listener<S> {
    type Io = S;
    type Addr = Peer;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accept loop ended with the process; axum is told by the shutdown.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(Peer::direct(*address)),
            Err(error) => Err(error.kind().into()),
        }
    }
}
