//! One conversation with one of the two, and what is in its box.

use std::{fmt, net::SocketAddr, time::Duration};

use postern_tests::{admin::PASSWORD, eventually, pop3::Pop3};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    BOX, CHECKER,
    cases::{Case, Step},
};

/// Who says nothing for so long says nothing. Dovecot takes its time over a wrong password.
const SILENCE: Duration = Duration::from_secs(8);
/// Fields that only say which way a message came.
const TRACE: [&str; 5] =
    ["received", "return-path", "delivered-to", "x-original-to", "authentication-results"];

/// The language of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    Smtp,
    Pop3,
}

/// What a client heard.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// A reply, and the lines behind it.
    Reply { text: String, lines: Option<Vec<u8>> },
    /// The connection was closed.
    Closed,
    /// Nothing.
    Silence,
}

impl Heard {
    /// What clients decide by.
    pub(crate) fn class(&self, language: Language) -> String {
        match self {
            Self::Reply { text, lines } => {
                let word = match language {
                    Language::Smtp => text.get(..1).unwrap_or_default(),
                    Language::Pop3 => text.split(' ').next().unwrap_or_default(),
                };
                match lines {
                    Some(lines) => format!("{word} {}", String::from_utf8_lossy(lines)),
                    None => word.to_owned(),
                }
            }
            Self::Closed => "closed".to_owned(),
            Self::Silence => "silence".to_owned(),
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { text, .. } => f.write_str(text),
            Self::Closed => f.write_str("(closes)"),
            Self::Silence => f.write_str("(says nothing)"),
        }
    }
}

/// Plays the case; one entry for each reply that is waited for.
pub(crate) async fn play(door: SocketAddr, language: Language, case: &Case) -> anyhow::Result<Vec<Heard>> {
    let mut stream = BufReader::new(TcpStream::connect(door).await?);
    let (mut heard, mut command) = (Vec::new(), Vec::new());
    for step in &case.steps {
        let said = match step {
            Step::Send(octets) => {
                // Whoever is gone does not hear it; the next reply tells.
                let _ = stream.get_mut().write_all(octets).await;
                command.clone_from(octets);
                continue;
            }
            Step::Reply => reply(&mut stream, language).await,
            Step::Lines => match reply(&mut stream, language).await {
                Heard::Reply { text, .. } if text.starts_with("+OK") => {
                    let lines = lines(&mut stream).await;
                    Heard::Reply { text, lines: Some(comparable(&command, lines)) }
                }
                other => other,
            },
        };
        heard.push(said);
    }
    Ok(heard)
}

async fn reply(stream: &mut BufReader<TcpStream>, language: Language) -> Heard {
    loop {
        match line(stream).await {
            // Not the last line of an SMTP reply (RFC 5321 section 4.2.1).
            Heard::Reply { text, .. } if language == Language::Smtp && text.get(3..4) == Some("-") => {}
            other => return other,
        }
    }
}

async fn line(stream: &mut BufReader<TcpStream>) -> Heard {
    let mut line = Vec::new();
    match timeout(SILENCE, stream.read_until(b'\n', &mut line)).await {
        Err(_) => Heard::Silence,
        Ok(Ok(count)) if count > 0 => {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned();
            Heard::Reply { text, lines: None }
        }
        Ok(_) => Heard::Closed,
    }
}

/// The lines up to the dot, unstuffed.
async fn lines(stream: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        match timeout(SILENCE, stream.read_until(b'\n', &mut line)).await {
            Ok(Ok(count)) if count > 0 && line != b".\r\n" => {
                lines.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
            }
            _ => return lines,
        }
    }
}

/// What both must say alike: of messages the content, of lists how many entries, of capabilities nothing.
fn comparable(command: &[u8], lines: Vec<u8>) -> Vec<u8> {
    let command = command.to_ascii_uppercase();
    if command.starts_with(b"RETR") || command.starts_with(b"TOP") {
        without_trace(&lines)
    } else if command.starts_with(b"LIST") || command.starts_with(b"UIDL") {
        format!("{} lines", lines.split(|octet| *octet == b'\n').count() - 1).into_bytes()
    } else {
        Vec::new()
    }
}

/// The message without the fields that each way adds.
fn without_trace(message: &[u8]) -> Vec<u8> {
    let mut kept = Vec::new();
    let (mut in_header, mut dropped) = (true, false);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if in_header {
            in_header = line != b"\r\n";
            if !matches!(line.first(), Some(b' ' | b'\t')) {
                let name = line.split(|octet| *octet == b':').next().unwrap_or_default().to_ascii_lowercase();
                dropped = TRACE.iter().any(|field| field.as_bytes() == name);
            }
            if in_header && dropped {
                continue;
            }
        }
        kept.extend_from_slice(line);
    }
    kept
}

/// Takes everything out of the box, as another client; who was there before may still hold it for a moment.
pub(crate) async fn empty(door: SocketAddr) -> anyhow::Result<Vec<Vec<u8>>> {
    let mut session = None;
    eventually(Duration::from_secs(20), async || {
        session = login(door).await.ok();
        session.is_some()
    })
    .await;
    let mut session = session.ok_or_else(|| anyhow::anyhow!("no login at {door}"))?;
    let count: usize = session.ok("STAT").await?.split(' ').next().unwrap_or_default().parse()?;
    let mut messages = Vec::new();
    for number in 1..=count {
        session.ok(&format!("RETR {number}")).await?;
        messages.push(without_trace(&session.multi_line().await?));
        session.ok(&format!("DELE {number}")).await?;
    }
    session.quit().await?;
    Ok(messages)
}

async fn login(door: SocketAddr) -> anyhow::Result<Pop3> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(CHECKER.parse()?)?;
    let mut session = Pop3::over(socket.connect(door).await?).await?;
    session.ok(&format!("USER {BOX}")).await?;
    session.ok(&format!("PASS {PASSWORD}")).await?;
    Ok(session)
}
