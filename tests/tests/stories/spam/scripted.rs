//! A spam scanner that says what a test wants, also what no scanner should.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A scanner that does as it is told, and keeps what it was asked.
#[derive(Clone)]
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    answer: Arc<Mutex<Script>>,
    asked: Arc<AtomicUsize>,
    last: Arc<Mutex<String>>,
}

#[derive(Clone, Debug)]
pub(super) enum Script {
    /// This JSON.
    Json(&'static str),
    /// This, as it is.
    Raw(&'static str),
    /// Nothing to scans; pings are answered.
    Silent,
    /// Nothing at all.
    Dead,
}

impl Scripted {
    pub(super) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let scripted = Self {
            address: listener.local_addr()?,
            answer: Arc::new(Mutex::new(Script::Dead)),
            asked: Arc::default(),
            last: Arc::default(),
        };
        let serving = scripted.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serving = serving.clone();
                tokio::spawn(async move { serving.serve(stream).await });
            }
        });
        Ok(scripted)
    }

    pub(super) fn says(&self, script: Script) {
        *self.answer.lock().unwrap() = script;
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The last question.
    pub(super) fn last(&self) -> String {
        self.last.lock().unwrap().clone()
    }

    async fn serve(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        let mut got = Vec::new();
        let mut piece = vec![0; 64 * 1024];
        let text = loop {
            let count = stream.read(&mut piece).await?;
            got.extend_from_slice(&piece[..count]);
            let text = String::from_utf8_lossy(&got).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| {
                    rest.split("\r\n").next().and_then(|number| number.parse::<usize>().ok())
                });
            if count == 0 || body.len() >= length.unwrap_or(0) {
                break text;
            }
        };
        let script = self.answer.lock().unwrap().clone();
        let is_ping = text.starts_with("GET /ping");
        if !is_ping {
            self.asked.fetch_add(1, Ordering::Relaxed);
            *self.last.lock().unwrap() = text;
        }
        let answer = match (script, is_ping) {
            (Script::Dead, _) | (Script::Silent, false) => {
                // Until the other side gives up.
                let _ = stream.read(&mut piece).await;
                return Ok(());
            }
            (_, true) => {
                "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\npong\r\n".to_owned()
            }
            (Script::Raw(text), false) => text.to_owned(),
            (Script::Json(json), false) => {
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
                    json.len()
                )
            }
        };
        stream.write_all(answer.as_bytes()).await?;
        Ok(())
    }
}
