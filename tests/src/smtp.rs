//! A plain SMTP client (RFC 5321) for tests: sends what it is told, shows what comes back.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
};

/// How long a reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// One SMTP connection.
pub struct Smtp {
    stream: BufReader<TcpStream>,
    /// The banner.
    pub banner: String,
}

impl Smtp {
    /// Connects and reads the banner.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Self::over(TcpStream::connect(address).await.context("connect to SMTP")?).await
    }

    /// Connects from a loopback address of one's own (127.0.0.0/8), as another client.
    pub async fn connect_from(address: SocketAddr, client: &str) -> anyhow::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(format!("{client}:0").parse()?)?;
        Self::over(socket.connect(address).await?).await
    }

    /// Connects as a load balancer at `proxy` (127.0.0.0/8) that says who the client is (PROXY protocol version 1).
    pub async fn through_proxy(address: SocketAddr, proxy: &str, client: &str) -> anyhow::Result<Self> {
        let mut client = Self::greeted_through_proxy(address, proxy, client).await?;
        client.expect("EHLO client.outside.test", 250).await?;
        Ok(client)
    }

    /// The same up to the banner, which may be a refusal.
    pub async fn greeted_through_proxy(
        address: SocketAddr,
        proxy: &str,
        client: &str,
    ) -> anyhow::Result<Self> {
        Self::over(crate::proxied(address, proxy, client).await?).await
    }

    async fn over(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        let mut client = Self { stream: BufReader::new(stream), banner: String::new() };
        client.banner = client.reply().await?;
        Ok(client)
    }

    /// Connects and says EHLO.
    pub async fn hello(address: SocketAddr) -> anyhow::Result<Self> {
        let mut client = Self::connect(address).await?;
        client.expect("EHLO client.outside.test", 250).await?;
        Ok(client)
    }

    /// Sends raw octets.
    pub async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(octets).await?;
        Ok(())
    }

    /// Reads one reply, all its lines, joined by LF.
    pub async fn reply(&mut self) -> anyhow::Result<String> {
        let mut reply = String::new();
        loop {
            let mut line = Vec::new();
            let read = self.stream.read_until(b'\n', &mut line);
            let count = tokio::time::timeout(REPLY_LIMIT, read).await.context("no reply in time")??;
            if count == 0 {
                bail!("connection closed");
            }
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            let last = text.as_bytes().get(3) != Some(&b'-');
            if !reply.is_empty() {
                reply.push('\n');
            }
            reply.push_str(&text);
            if last {
                return Ok(reply);
            }
        }
    }

    /// Sends a command and returns its reply.
    pub async fn command(&mut self, command: &str) -> anyhow::Result<String> {
        self.send(format!("{command}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// Sends a command whose reply must have this code.
    pub async fn expect(&mut self, command: &str, code: u16) -> anyhow::Result<String> {
        let reply = self.command(command).await?;
        if !reply.starts_with(&code.to_string()) {
            bail!("{command}: {reply}");
        }
        Ok(reply)
    }

    /// A whole transaction in an open session; returns the reply to the final dot, or the first refusal.
    pub async fn transaction(&mut self, from: &str, to: &[&str], content: &[u8]) -> anyhow::Result<String> {
        let mut reply = self.command(&format!("MAIL FROM:<{from}>")).await?;
        for recipient in to {
            if !reply.starts_with("250") {
                break;
            }
            reply = self.command(&format!("RCPT TO:<{recipient}>")).await?;
        }
        if reply.starts_with("250") {
            reply = self.command("DATA").await?;
        }
        if !reply.starts_with("354") {
            self.command("RSET").await?;
            return Ok(reply);
        }
        self.send(&stuffed(content)).await?;
        self.reply().await
    }

    /// True when the server closes the connection within `limit`.
    pub async fn is_closed_within(&mut self, limit: Duration) -> bool {
        let mut sink = [0u8; 4096];
        let drain = async {
            loop {
                match self.stream.read(&mut sink).await {
                    Ok(0) | Err(_) => return,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(limit, drain).await.is_ok()
    }
}

/// Content as DATA sends it: dot-stuffed, with its final dot (RFC 5321 section 4.5.2).
pub fn stuffed(content: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(content.len() + 64);
    for line in content.split_inclusive(|c| *c == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !wire.ends_with(b"\r\n") && !wire.is_empty() {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}

/// One connection, one transaction; returns the reply to the final dot, or the first refusal.
pub async fn send(address: SocketAddr, from: &str, to: &[&str], content: &[u8]) -> anyhow::Result<String> {
    let mut client = Smtp::hello(address).await?;
    let reply = client.transaction(from, to, content).await?;
    let _ = client.command("QUIT").await;
    Ok(reply)
}

/// A message of about `size` octets that can be told from all others by its `tag`.
pub fn message(tag: &str, size: usize) -> Vec<u8> {
    let mut content = format!(
        "From: Someone <someone@outside.test>\r\nTo: user@homepage.test\r\nSubject: {tag}\r\n\
         Message-ID: <{tag}@outside.test>\r\nDate: Mon, 23 Nov 2026 12:00:00 +0000\r\n\r\n"
    )
    .into_bytes();
    let mut number = 0u64;
    while content.len() < size {
        content.extend_from_slice(
            format!("{number:06} .the quick brown fox jumps over the lazy dog {tag}\r\n").as_bytes(),
        );
        number += 1;
    }
    content
}
