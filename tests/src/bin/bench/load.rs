//! The loads: so many sessions at once, each doing one kind of operation for a while, each operation timed.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use postern_tests::{
    admin::PASSWORD,
    pop3::Pop3,
    smtp::{Smtp, message},
};

/// What one session does, over and over.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// A new connection, one message of so many octets to one local box.
    Deliver { bytes: usize },
    /// The same to many recipients at once.
    DeliverMany { bytes: usize, recipients: usize },
    /// Login, STAT, QUIT.
    Poll,
    /// Login, RETR of all messages, QUIT.
    Read,
    /// A new connection, one message of so many octets to the outside (the client has a grant).
    Relay { bytes: usize },
}

/// Where the load goes.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) smtp: SocketAddr,
    pub(crate) pop3: SocketAddr,
    /// Login (and address) of box n, and its password.
    pub(crate) login: fn(usize) -> String,
    pub(crate) sender: &'static str,
    pub(crate) outside: &'static str,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) operations: u64,
    pub(crate) seconds: f64,
    pub(crate) latencies: Vec<Duration>,
    pub(crate) errors: u64,
}

impl Outcome {
    /// The latency that so many percent of the operations did not exceed, milliseconds.
    pub(crate) fn percentile_ms(&self, percent: usize) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        self.latencies.get(last * percent / 100).map_or(0.0, |l| l.as_secs_f64() * 1000.0)
    }
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// Runs the load.
pub(crate) async fn run(target: &Target, operation: Operation, sessions: usize, time: Duration) -> Outcome {
    let begin = Instant::now();
    let content = Arc::new(content(&operation));
    let mut tasks = Vec::new();
    for session in 0..sessions {
        let (target, operation, content) = (target.clone(), operation.clone(), Arc::clone(&content));
        tasks.push(tokio::spawn(async move {
            let (mut latencies, mut errors) = (Vec::new(), 0);
            while begin.elapsed() < time {
                let started = Instant::now();
                match once(&target, &operation, session, &content).await {
                    Ok(()) => latencies.push(started.elapsed()),
                    Err(error) => {
                        if errors == 0 {
                            eprintln!("{operation:?}: {error:#}");
                        }
                        errors += 1;
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                }
            }
            (latencies, errors)
        }));
    }
    let (mut latencies, mut errors) = (Vec::new(), 0);
    for task in tasks {
        if let Ok((more, failed)) = task.await {
            latencies.extend(more);
            errors += failed;
        }
    }
    latencies.sort();
    Outcome { operations: latencies.len() as u64, seconds: begin.elapsed().as_secs_f64(), latencies, errors }
}

fn content(operation: &Operation) -> Vec<u8> {
    match operation {
        Operation::Deliver { bytes } | Operation::DeliverMany { bytes, .. } | Operation::Relay { bytes } => {
            message("bench", *bytes)
        }
        Operation::Poll | Operation::Read => Vec::new(),
    }
}

async fn once(target: &Target, operation: &Operation, session: usize, content: &[u8]) -> anyhow::Result<()> {
    match operation {
        Operation::Deliver { .. } => deliver(target, &[(target.login)(session)], content).await,
        Operation::DeliverMany { recipients, .. } => {
            let recipients: Vec<_> = (0..*recipients).map(target.login).collect();
            deliver(target, &recipients, content).await
        }
        Operation::Relay { .. } => {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            deliver(target, &[format!("r{number}@{}", target.outside)], content).await
        }
        Operation::Poll => {
            let mut client = Pop3::login(target.pop3, &(target.login)(session), PASSWORD).await?;
            client.stat().await?;
            quit(client).await
        }
        Operation::Read => {
            let mut client = Pop3::login(target.pop3, &(target.login)(session), PASSWORD).await?;
            let (count, _) = client.stat().await?;
            for number in 1..=count.min(20) {
                client.retr(number).await?;
            }
            quit(client).await
        }
    }
}

async fn quit(client: Pop3) -> anyhow::Result<()> {
    let reply = client.quit().await?;
    anyhow::ensure!(reply.starts_with("+OK"), "{reply}");
    Ok(())
}

async fn deliver(target: &Target, recipients: &[String], content: &[u8]) -> anyhow::Result<()> {
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    let mut client = Smtp::hello(target.smtp).await?;
    let reply = client.transaction(target.sender, &recipients, content).await?;
    anyhow::ensure!(reply.starts_with("250"), "{reply}");
    client.command("QUIT").await?;
    Ok(())
}
