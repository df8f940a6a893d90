//! The platform as tests and benchmarks use it: every service as a process of its own, real Postgres, Redis and SMTP
//! peers, real sockets on free loopback ports. One file in `tests/` is one story.

pub mod admin;
pub mod journal;
pub mod platform;
pub mod pop3;
pub mod process;
pub mod smtp;

use std::time::{Duration, Instant};

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
