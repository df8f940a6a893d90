//! Doors: accepts connections, sets their keep-alive, counts them, and hands them on. First step of the walk.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use postern_mail::{PeerIp, Reason};
use postern_mesh::{StartError, admission::Admission, proxy, sightings::Sightings};
use postern_proto::auth::v1 as auth;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, Door, Gateway};

/// A dead peer is found 30 s after its last sign, then 3 times 10 s (P-11 asks for 120 s).
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// The same for octets that a peer does not acknowledge.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(90);
/// Pause of the accept loop when the process has no file descriptor left; doubled up to the longest.
const PAUSE_SHORTEST: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
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
        let mut pause = PAUSE_SHORTEST;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = gateway.shutdown.triggered() => return,
            };
            match accepted {
                Ok((stream, address)) => {
                    pause = PAUSE_SHORTEST;
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
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    // No descriptor or memory left: running sessions live on and give theirs back.
                    tracing::warn!(%error, "cannot accept connections for a moment");
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_LONGEST);
                }
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Who it is: the peer of the connection, or whom a load balancer names.
async fn greet(gateway: &Gateway, stream: TcpStream, address: SocketAddr) -> Option<(TcpStream, PeerIp)> {
    if let Err(error) = keep_alive(&stream) {
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

/// Dead peers must not hold their boxes.
fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))
}

async fn turn_away(mut stream: TcpStream, door: Door) {
    if door == Door::Pop3 {
        let line = format!("-ERR {}\r\n", Reason::TooManyConnections.pop3_text());
        // It is turned away, whether it hears why or not.
        let _ = timeout(TURN_AWAY_TIMEOUT, stream.write_all(line.as_bytes())).await;
    }
}
