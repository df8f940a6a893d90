//! A plain POP3 client (RFC 1939) for tests: sends what it is told, shows what comes back.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// How long a reply may take.
const REPLY_LIMIT: Duration = Duration::from_secs(20);

/// One POP3 connection.
pub struct Pop3 {
    stream: BufReader<TcpStream>,
    /// The greeting line without CRLF.
    pub greeting: String,
}

impl Pop3 {
    /// Connects and reads the greeting.
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        Self::over(TcpStream::connect(address).await.context("connect to POP3")?).await
    }

    /// Connects as a load balancer at `proxy` (127.0.0.0/8) that says who the client is (PROXY protocol version 1).
    pub async fn through_proxy(address: SocketAddr, proxy: &str, client: &str) -> anyhow::Result<Self> {
        Self::over(crate::proxied(address, proxy, client).await?).await
    }

    /// Over a connection that is made already.
    pub async fn over(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        let mut client = Self { stream: BufReader::new(stream), greeting: String::new() };
        client.greeting = client.line().await?;
        Ok(client)
    }

    /// Connects and logs in; an error holds the refusal.
    pub async fn login(address: SocketAddr, login: &str, password: &str) -> anyhow::Result<Self> {
        let mut client = Self::connect(address).await?;
        client.ok(&format!("USER {login}")).await?;
        client.ok(&format!("PASS {password}")).await?;
        Ok(client)
    }

    /// Sends raw octets.
    pub async fn send(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        self.stream.get_mut().write_all(octets).await?;
        Ok(())
    }

    /// Reads one line without its CRLF; the end of the stream is an error.
    pub async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line);
        let count = tokio::time::timeout(REPLY_LIMIT, read).await.context("no reply in time")??;
        if count == 0 {
            bail!("connection closed");
        }
        Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Sends a command and returns its reply line.
    pub async fn command(&mut self, command: &str) -> anyhow::Result<String> {
        self.send(format!("{command}\r\n").as_bytes()).await?;
        self.line().await
    }

    /// Sends a command that must be answered with +OK; returns what stands behind it.
    pub async fn ok(&mut self, command: &str) -> anyhow::Result<String> {
        let reply = self.command(command).await?;
        match reply.strip_prefix("+OK") {
            Some(rest) => Ok(rest.trim_start().to_owned()),
            None => bail!("{}: {reply}", command.split(' ').next().unwrap_or_default()),
        }
    }

    /// Reads a multi-line answer up to its dot, unstuffed, with CRLF line ends.
    pub async fn multi_line(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.stream.read_until(b'\n', &mut line);
            let count = tokio::time::timeout(REPLY_LIMIT, read).await.context("no line in time")??;
            if count == 0 {
                bail!("connection closed within a multi-line answer");
            }
            if line == b".\r\n" {
                return Ok(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }

    /// A command with a multi-line answer.
    pub async fn list(&mut self, command: &str) -> anyhow::Result<Vec<u8>> {
        self.ok(command).await?;
        self.multi_line().await
    }

    /// STAT: messages and octets.
    pub async fn stat(&mut self) -> anyhow::Result<(usize, u64)> {
        let reply = self.ok("STAT").await?;
        let (count, octets) = reply.split_once(' ').context("STAT has two numbers")?;
        Ok((count.parse()?, octets.trim().parse()?))
    }

    /// RETR: the message.
    pub async fn retr(&mut self, number: usize) -> anyhow::Result<Vec<u8>> {
        self.list(&format!("RETR {number}")).await
    }

    /// UIDL: the unique ids in order.
    pub async fn uidl(&mut self) -> anyhow::Result<Vec<String>> {
        let text = String::from_utf8(self.list("UIDL").await?)?;
        Ok(text.lines().filter_map(|l| l.split_once(' ')).map(|(_, uid)| uid.to_owned()).collect())
    }

    /// QUIT.
    pub async fn quit(mut self) -> anyhow::Result<String> {
        self.command("QUIT").await
    }

    /// True when the server closes the connection within `limit`; what it says until then is thrown away.
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

/// All messages of a box, and how often the login was tried until the box was free.
pub async fn read_all(address: SocketAddr, login: &str, password: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut client = Pop3::login(address, login, password).await?;
    let (count, _) = client.stat().await?;
    let mut messages = Vec::with_capacity(count);
    for number in 1..=count {
        messages.push(client.retr(number).await?);
    }
    client.quit().await?;
    Ok(messages)
}
