//! Connections that come to a gRPC door: accepted, and with TLS shaken hands with, before the server sees them.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::{Connected, TcpConnectInfo};

use crate::{
    doors,
    mesh_tls::{Peer, ServerTls, peer_of},
};

/// A peer that takes longer for its handshake is none of ours.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Handshakes at once; more wait in the listener's queue.
const HANDSHAKES_MAX: usize = 256;

/// What the guard learns about the connection of a call.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) tcp: TcpConnectInfo,
    pub(crate) peer: Peer,
}

/// A connection, with or without TLS.
pub(crate) enum Incoming {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>, Peer),
}

/// Accepted connections.
pub(crate) fn connections(
    listener: TcpListener,
    tls: Option<ServerTls>,
) -> Pin<Box<dyn Stream<Item = io::Result<Incoming>> + Send>> {
    match tls {
        None => Box::pin(stream::unfold(listener, |listener| async move {
            let (stream, _peer) = doors::next(&listener).await;
            Some((Ok(Incoming::Plain(stream)), listener))
        })),
        Some(tls) => {
            let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
            tokio::spawn(shake_hands(listener, tls, sender));
            Box::pin(tokio_stream::wrappers::ReceiverStream::new(ready))
        }
    }
}

/// Each handshake is a task, so that a silent peer holds nobody up. Ends, and closes the door, with its receiver.
async fn shake_hands(listener: TcpListener, tls: ServerTls, ready: mpsc::Sender<io::Result<Incoming>>) {
    let places = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = tokio::select! {
            (stream, _peer) = doors::next(&listener) => stream,
            () = ready.closed() => return,
        };
        let (acceptor, ready) = (TlsAcceptor::from(Arc::clone(&*tls.current())), ready.clone());
        tokio::spawn(async move {
            let _place = place;
            let from = stream.peer_addr().ok();
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let peer = peer_of(stream.get_ref().1.peer_certificates());
                    let _ = ready.send(Ok(Incoming::Tls(Box::new(stream), peer))).await;
                }
                Ok(Err(error)) => tracing::warn!(?from, %error, "a TLS handshake was refused"),
                Err(_) => tracing::debug!(?from, "no TLS handshake within {HANDSHAKE_TIMEOUT:?}"),
            }
        });
    }
}

impl Connected for Incoming {
    type ConnectInfo = Arrival;

    fn connect_info(&self) -> Arrival {
        match self {
            Self::Plain(stream) => Arrival { tcp: stream.connect_info(), peer: Peer::Plain },
            Self::Tls(stream, peer) => Arrival { tcp: stream.get_ref().0.connect_info(), peer: *peer },
        }
    }
}

impl AsyncRead for Incoming {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, octets),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(cx, octets),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream, _) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream, _) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
