//! The platform as tests and benchmarks use it: every service as a process of its own, real Postgres, Redis and SMTP
//! peers, real sockets on free loopback ports. One file in `tests/` is one story.

pub mod acme;
pub mod admin;
pub mod browser;
pub mod crowd;
pub mod dns;
pub mod gallery;
pub mod halves;
pub mod journal;
pub mod marionette;
pub mod metrics;
pub mod neighbours;
pub mod network;
pub mod open_stores;
pub mod otlp;
pub mod platform;
pub mod pop3;
pub mod process;
pub mod python;
pub mod raw;
pub mod rivals;
pub mod rspamd;
pub mod scale;
pub mod siege;
pub mod smtp;
pub mod usage;
pub mod web;

use std::time::{Duration, Instant};

/// Loads and idle sessions need more descriptors than the usual soft limit gives.
pub fn raise_open_files() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // A lower limit only means that the largest figures show errors.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Waits until `condition` holds, at most `limit`; returns whether it held. Never a sleep for luck.
pub async fn eventually(limit: Duration, mut condition: impl AsyncFnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if condition().await {
            return true;
        }
        if begin.elapsed() > limit {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A connection from a load balancer at `proxy` on loopback that begins with the address of its client.
pub async fn proxied(
    address: std::net::SocketAddr,
    proxy: &str,
    client: &str,
) -> anyhow::Result<tokio::net::TcpStream> {
    use tokio::io::AsyncWriteExt as _;
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(format!("{proxy}:0").parse()?)?;
    let mut stream = socket.connect(address).await?;
    stream.write_all(format!("PROXY TCP4 {client} 127.0.0.1 50000 25\r\n").as_bytes()).await?;
    Ok(stream)
}
