//! What all doors do with a connection before they know who it is.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// Pause of a door when the process has no file descriptor left; doubled up to the longest.
const PAUSE_SHORTEST: Duration = Duration::from_millis(10);
const PAUSE_LONGEST: Duration = Duration::from_secs(1);
/// A dead peer is found 30 s after its last sign, then 3 times 10 s.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;
/// The same for octets that a peer does not acknowledge.
const UNACKNOWLEDGED_TIMEOUT: Duration = Duration::from_secs(90);

/// The next connection, whose writes are not held back for more (everything that Postern writes is whole already). Waits out
/// what keeps the process from accepting: running sessions live on and give their descriptors back. May be dropped at any time.
pub async fn next(door: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = PAUSE_SHORTEST;
    loop {
        match door.accept().await {
            Ok((stream, address)) => match stream.set_nodelay(true) {
                Ok(()) => return (stream, address),
                Err(error) => tracing::debug!(peer = %address, %error, "gone before it began"),
            },
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for a moment");
                sleep(pause).await;
                pause = (pause * 2).min(PAUSE_LONGEST);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Lets the system find out when a peer is dead, within 90 seconds: it must hold neither a box nor a place.
///
/// # Errors
/// When the system refuses; the connection is as it was.
pub fn find_dead_peer(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_IDLE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_TIMEOUT))
}
