//! HTTPS: handshakes run beside the accept loop, so that a slow one holds nobody up.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use postern_mesh::shutdown::Shutdown;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A handshake that takes longer has failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes at once; more wait in the system's queue.
const HANDSHAKES_MAX: usize = 256;
/// Pause of the accept loop when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Gives axum connections that have their handshake behind them.
pub(crate) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: io::Result<SocketAddr>,
}

impl TlsListener {
    pub(crate) fn new(listener: TcpListener, acceptor: TlsAcceptor, shutdown: &Shutdown) -> Self {
        let address = listener.local_addr();
        let (connections, ready) = mpsc::channel(HANDSHAKES_MAX);
        let ending = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = accept_all(listener, acceptor, connections) => {}
                () = ending.triggered() => {}
            }
        });
        Self { ready, address }
    }
}

async fn accept_all(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let (acceptor, connections) = (acceptor.clone(), connections.clone());
        tokio::spawn(async move {
            let handshake = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
            if let Ok(Ok(stream)) = handshake {
                // Nobody takes it any more when the panel goes down.
                let _ = connections.send((stream, peer)).await;
            }
            drop(place);
        });
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accept loop ended with the process; axum is told by the shutdown.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}
