//! Doors: accepts connections, sets their keep-alive, counts them, and hands them on. First step of the walk.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use postern_mail::{PeerIp, Reason};
use postern_mesh::{StartError, admission::Admission, doors, proxy, sightings::Sightings};
use postern_proto::auth::v1 as auth;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, Door, Gateway};

/// A peer that is turned away gets so long to take the reason.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_secs(1);

/// A bound door.
pub(crate) struct Listener {
    listener: TcpListener,
    door: Door,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Binds the door; port 0 takes any.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub(crate) async fn bind(
        address: SocketAddr,
        door: Door,
        tls: Option<TlsAcceptor>,
    ) -> Result<Self, StartError> {
        let listener = TcpListener::bind(address).await.map_err(|e| StartError::listen(address, e))?;
        Ok(Self { listener, door, tls })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the system does not say.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts until shutdown.
    pub(crate) async fn accept_all(self, gateway: Arc<Gateway>, admission: Admission, sightings: Sightings) {
        loop {
            let (stream, address) = tokio::select! {
                next = doors::next(&self.listener) => next,
                () = gateway.shutdown.triggered() => return,
            };
            let (gateway, admission) = (Arc::clone(&gateway), admission.clone());
            let tasks = gateway.shutdown.clone();
            let (sightings, door, tls) = (sightings.clone(), self.door, self.tls.clone());
            tasks.spawn(async move {
                if let Some((stream, peer)) = greet(&gateway, stream, address).await {
                    sightings.note(peer, door.into());
                    enter(gateway, admission, stream, peer, door, tls).await;
                }
            });
        }
    }
}

/// Who it is: the peer of the connection, or whom a load balancer names.
async fn greet(gateway: &Gateway, stream: TcpStream, address: SocketAddr) -> Option<(TcpStream, PeerIp)> {
    if let Err(error) = doors::find_dead_peer(&stream) {
        tracing::debug!(peer = %address, %error, "no keep-alive");
    }
    match Box::pin(proxy::accept(stream, address, &gateway.settings.proxy)).await {
        Ok((stream, peer, _via_proxy)) => Some((stream, peer)),
        Err(error) => {
            tracing::debug!(peer = %address, %error, "closed");
            None
        }
    }
}

async fn enter(
    gateway: Arc<Gateway>,
    admission: Admission,
    stream: TcpStream,
    peer: PeerIp,
    door: Door,
    tls: Option<TlsAcceptor>,
) {
    match admission.admit(peer) {
        Ok(place) => connection::serve(gateway, stream, door, tls, peer, place).await,
        Err(why) => {
            metrics::counter!("postern_pop3_turned_away_total", "why" => why.name()).increment(1);
            turn_away(stream, door).await;
        }
    }
}

impl From<Door> for auth::Door {
    fn from(door: Door) -> Self {
        match door {
            Door::Pop3 => Self::Pop3,
            Door::Pop3s => Self::Pop3s,
        }
    }
}

async fn turn_away(mut stream: TcpStream, door: Door) {
    if door == Door::Pop3 {
        let line = format!("-ERR {}\r\n", Reason::TooManyConnections.pop3_text());
        // It is turned away, whether it hears why or not.
        let _ = timeout(TURN_AWAY_TIMEOUT, stream.write_all(line.as_bytes())).await;
    }
}
