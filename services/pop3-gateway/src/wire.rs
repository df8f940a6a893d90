//! The connection as octets: plain, or TLS over it. STLS turns the one into the other.

use std::{
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// A connection with or without TLS.
#[derive(Debug)]
pub(crate) enum Wire<S> {
    /// As it came.
    Plain(S),
    /// Within TLS. Boxed: it is large, and most sessions that wait are not in the middle of it.
    Tls(Box<TlsStream<S>>),
    /// After a handshake that failed: never back to plain text (P-94).
    Closed,
}

impl<S> Wire<S> {
    /// True within TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Does the server's side of a TLS handshake over the plain connection.
    ///
    /// # Errors
    /// When it fails or takes longer than 30 s (P-94); the wire is closed then.
    pub(crate) async fn start_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        let Self::Plain(stream) = mem::replace(self, Self::Closed) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let stream = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await??;
        *self = Self::Tls(Box::new(stream));
        Ok(())
    }
}

/// A handshake that takes longer has failed.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(30);

macro_rules! either {
    ($wire:expr, $stream:ident => $call:expr) => {
        match $wire.get_mut() {
            Wire::Plain(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Wire::Tls(stream) => {
                let $stream = Pin::new(&mut **stream);
                $call
            }
            Wire::Closed => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    };
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, octets))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Closed => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}
