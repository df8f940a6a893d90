//! Thousands of connections that only wait or drip, and what somebody else's login takes meanwhile (CONFORMANCE: slow clients, idle
//! sessions). All from loopback addresses of their own, so that the limits by client hold for each.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    admin::PASSWORD,
    eventually, metrics,
    platform::{Blueprint, Platform, Service},
    pop3::Pop3,
    smtp::message,
    usage::memory_mib,
};

/// Connections of one client; the house lets 50 in.
const PER_CLIENT: usize = 25;
/// Clients of each /24, whose strangers share a bound.
const PER_SITE: usize = 25;
/// Connections that are made at once: the doors' own queues are not what is tested.
const AT_ONCE: usize = 50;
/// Boxes that are logged in to while the others wait.
const BOXES: usize = 20;

/// What one smtp-gateway may use (k8s/base/smtp-gateway.yaml), MiB.
pub const SMTP_GATEWAY_LIMIT_MIB: f64 = 512.0;
/// Connections that it lets in (POSTERN_LIMIT_CONNECTIONS).
const SMTP_CONNECTIONS: f64 = 10_000.0;
/// What content may hold there (POSTERN_SMTP_CONTENT_MEMORY_BYTES), octets.
const SMTP_CONTENT_BYTES: usize = 128 << 20;

/// How many there are.
#[derive(Clone, Copy, Debug)]
pub struct Siege {
    /// POP3 sessions that say nothing.
    pub idle: usize,
    /// SMTP sessions that send an octet a second, every other one within DATA.
    pub dripping: usize,
    /// Logins of others meanwhile.
    pub logins: usize,
    /// Content that those within DATA have sent before, octets.
    pub begun_bytes: usize,
    /// What content may hold in the gateway, octets.
    pub content_memory_bytes: usize,
}

impl Default for Siege {
    fn default() -> Self {
        Self { idle: 0, dripping: 0, logins: 0, begun_bytes: 0, content_memory_bytes: SMTP_CONTENT_BYTES }
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Findings {
    /// Memory of each process, MiB: before, meanwhile, afterwards.
    pub memory: [BTreeMap<String, f64>; 3],
    /// How long the logins of others took, in order.
    pub logins: Vec<Duration>,
    /// Open files of the gateways before and afterwards.
    pub files: [usize; 2],
}

impl Findings {
    /// 99 of 100 logins took no longer.
    pub fn login_p99(&self) -> Duration {
        self.logins.get(self.logins.len() * 99 / 100).or(self.logins.last()).copied().unwrap_or_default()
    }

    /// Memory of a service that each connection cost, KiB.
    pub fn kib_each(&self, service: &str, connections: usize) -> f64 {
        let of = |at: usize| self.memory[at].get(service).copied().unwrap_or(0.0);
        (of(1) - of(0)) * 1024.0 / connections.max(1) as f64
    }

    /// What smtp-gateway would use with all its places taken like this and all that content may hold, MiB.
    pub fn smtp_mib_at_most(&self, siege: Siege) -> f64 {
        let mib = |bytes: usize| bytes as f64 / 1_048_576.0;
        // Only what those within DATA have sent can be held as content, three quarters of the bound at most.
        let sent = siege.begun_bytes * siege.dripping.div_ceil(2);
        let content = mib(sent.min(siege.content_memory_bytes / 4 * 3));
        let of = |at: usize| self.memory[at].get("smtp-gateway").copied().unwrap_or(0.0);
        let sessions = (of(1) - of(0) - content).max(0.0);
        of(0) + sessions * SMTP_CONNECTIONS / siege.dripping.max(1) as f64 + mib(SMTP_CONTENT_BYTES)
    }
}

impl Siege {
    /// Starts a house, lays siege to it, and waits until it is as before.
    pub async fn lay(self) -> anyhow::Result<Findings> {
        let places = (2 * (self.idle + self.dripping)).max(1000).to_string();
        let mut platform = Blueprint::new()
            .set("POSTERN_LOG", "warn")
            .set("POSTERN_LIMIT_CONNECTIONS", &places)
            .set("POSTERN_LIMITS_EXEMPT_NETWORKS", "127.0.0.1/32")
            .set("POSTERN_SMTP_CONTENT_MEMORY_BYTES", &self.content_memory_bytes.to_string())
            .start()
            .await?;
        let admin = platform.admin()?;
        admin.domain("homepage", "homepage.test").await?;
        for number in 0..=BOXES {
            admin.mailbox(&login_of(number)).await?;
        }
        log_in(&platform).await?;
        let before = (memory_mib(&platform.processes()), open_files(&platform));

        let mut held = many(platform.pop3(0), self.idle, 1).await?;
        for (number, stream) in held.iter_mut().take(BOXES).enumerate() {
            let login = format!("USER {}\r\nPASS {PASSWORD}\r\n", login_of(number + 1));
            stream.write_all(login.as_bytes()).await?;
            read_until(stream, "+OK", 2).await?;
        }
        let mut drips = many(platform.smtp(0), self.dripping, 2).await?;
        let begun = message("siege", self.begun_bytes);
        let begun = &begun[..self.begun_bytes];
        for (number, stream) in drips.iter_mut().step_by(2).enumerate() {
            stream.write_all(b"EHLO drip.test\r\n").await?;
            read_until(stream, "250 ", 1).await?;
            // No box takes as many messages of strangers in an hour as there are sessions.
            let to = login_of(number % (BOXES + 1));
            let mail = format!("MAIL FROM:<drip@outside.test>\r\nRCPT TO:<{to}>\r\n");
            stream.write_all(mail.as_bytes()).await?;
            read_until(stream, "250 ", 2).await?;
            stream.write_all(b"DATA\r\n").await?;
            read_until(stream, "354", 1).await?;
            stream.write_all(begun).await?;
        }
        let dripping = tokio::spawn(drip(drips));
        let mut logins = Vec::with_capacity(self.logins);
        for _ in 0..self.logins {
            let begin = Instant::now();
            log_in(&platform).await?;
            logins.push(begin.elapsed());
        }
        logins.sort_unstable();
        let meanwhile = memory_mib(&platform.processes());
        dripping.abort();
        let _ = dripping.await;
        drop(held);

        let gone = eventually(Duration::from_secs(60), async || {
            sessions(&mut platform).await.is_ok_and(|n| n == 0.0)
        })
        .await;
        ensure!(gone, "{} sessions are left", sessions(&mut platform).await?);
        // Files of connections between the services may stay; those of clients must not.
        let spare = 64;
        let closed =
            eventually(Duration::from_secs(30), async || open_files(&platform) <= before.1 + spare).await;
        let after = (memory_mib(&platform.processes()), open_files(&platform));
        ensure!(closed, "{} open files before, {} afterwards", before.1, after.1);
        Ok(Findings { memory: [before.0, meanwhile, after.0], logins, files: [before.1, after.1] })
    }
}

fn login_of(number: usize) -> String {
    format!("user{number}@homepage.test")
}

async fn log_in(platform: &Platform) -> anyhow::Result<()> {
    Pop3::login(platform.pop3(0), &login_of(0), PASSWORD).await?.quit().await?;
    Ok(())
}

/// Connections from clients 127.`net`.x.y, each greeted.
async fn many(door: SocketAddr, count: usize, net: u8) -> anyhow::Result<Vec<TcpStream>> {
    let mut made = Vec::with_capacity(count);
    let mut making = JoinSet::new();
    for number in 0..count {
        if making.len() == AT_ONCE {
            made.push(making.join_next().await.context("one of them")???);
        }
        making.spawn(greeted(door, number / PER_CLIENT, net));
    }
    while let Some(one) = making.join_next().await {
        made.push(one??);
    }
    Ok(made)
}

async fn greeted(door: SocketAddr, client: usize, net: u8) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let (high, low) = (u8::try_from(client / PER_SITE)?, u8::try_from(client % PER_SITE + 1)?);
    socket.bind(SocketAddr::from(([127, net, high, low], 0)))?;
    let mut stream = socket.connect(door).await?;
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).await?;
    ensure!(greeting == *b"+OK " || greeting == *b"220 ", "{}", greeting.escape_ascii());
    Ok(stream)
}

/// Reads until a word has been said so often.
async fn read_until(stream: &mut TcpStream, word: &str, times: usize) -> anyhow::Result<()> {
    let mut said = String::new();
    while said.matches(word).count() < times {
        let mut octets = [0; 1024];
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut octets))
            .await
            .context("no reply")??;
        ensure!(read > 0, "closed after {said}");
        said.push_str(&String::from_utf8_lossy(&octets[..read]));
    }
    Ok(())
}

/// An octet a second on each; whoever is cut off stays so.
async fn drip(mut streams: Vec<TcpStream>) {
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        seconds.tick().await;
        for stream in &mut streams {
            let _ = stream.try_write(b"x");
        }
    }
}

/// Sessions that the gateways count.
async fn sessions(platform: &mut Platform) -> anyhow::Result<f64> {
    let mut count = 0.0;
    for (service, name) in
        [(Service::Pop3, "postern_pop3_sessions"), (Service::Smtp, "postern_smtp_connections")]
    {
        count += metrics::sum(platform.replica(service, 0).health, name, &[]).await?;
    }
    Ok(count)
}

fn open_files(platform: &Platform) -> usize {
    let gateways = platform.processes().into_iter().filter(|(name, _)| name.ends_with("gateway"));
    gateways.map(|(_, pid)| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)).sum()
}
