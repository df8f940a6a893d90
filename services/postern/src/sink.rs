//! The "outside world": a small real SMTP server that takes all mail that leaves and keeps it, so that neither a demo nor
//! a test ever writes to strangers. Same grammar and same end of data as our own gateway (lib/smtp).
//!
//! Tests script its answers with a closure; the journal holds exactly what it answered 250 to.

mod folder;
mod session;

use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

pub use self::folder::{Folder, FolderError};

/// A point of a transaction at which the script is asked.
#[derive(Debug)]
pub enum Moment<'a> {
    /// A connection came in; a refusal is its greeting.
    Connect {
        /// Where from.
        peer: SocketAddr,
    },
    /// MAIL FROM; empty for the null sender.
    Sender(&'a str),
    /// RCPT TO.
    Recipient {
        /// Envelope sender.
        sender: &'a str,
        /// The recipient in question.
        recipient: &'a str,
    },
    /// After the final dot.
    Content(&'a Received),
}

/// What the sink does at a [`Moment`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The usual good reply.
    Accept,
    /// This reply, one line without its CRLF, such as `451 4.3.0 later`.
    Reply(String),
    /// Keeps the message as if accepted, but the connection breaks before the 250 goes out.
    AcceptThenHangUp,
    /// The connection breaks without a reply.
    HangUp,
    /// Waits so long, then accepts.
    Delay(Duration),
}

/// Decides about each moment; may be called from many connections at once.
pub type Script = Arc<dyn Fn(&Moment<'_>) -> Answer + Send + Sync>;

/// A message that the sink answered 250 to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Envelope sender; empty for the null sender.
    pub sender: String,
    /// Recipients that were accepted.
    pub recipients: Vec<String>,
    /// MAIL said SMTPUTF8.
    pub smtp_utf8: bool,
    /// The bytes received, without dot-stuffing.
    pub content: Bytes,
}

/// How a sink is.
#[derive(Clone)]
pub struct SinkSettings {
    /// Where it listens; port 0 takes any.
    pub listen: SocketAddr,
    /// What it calls itself.
    pub host: String,
    /// Keeps each message as a file, too.
    pub folder: Option<PathBuf>,
    /// Keeps messages in memory for [`Sink::messages`].
    pub journal: bool,
    /// Offers SMTPUTF8.
    pub smtp_utf8: bool,
    /// Decides; `None` accepts everything.
    pub script: Option<Script>,
}

impl Default for SinkSettings {
    /// Any loopback port, everything accepted and kept in memory.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            host: "mx.outside.test".to_owned(),
            folder: None,
            journal: true,
            smtp_utf8: true,
            script: None,
        }
    }
}

impl fmt::Debug for SinkSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkSettings")
            .field("listen", &self.listen)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// A running sink; ends when dropped.
#[derive(Debug)]
pub struct Sink {
    address: SocketAddr,
    world: Arc<World>,
    task: JoinHandle<()>,
}

impl Sink {
    /// Binds the port and begins to take mail.
    ///
    /// # Errors
    /// When the port or the folder cannot be used.
    pub async fn start(settings: SinkSettings) -> io::Result<Self> {
        let folder = settings.folder.as_deref().map(Folder::open).transpose().map_err(io::Error::other)?;
        let listener = TcpListener::bind(settings.listen).await?;
        let address = listener.local_addr()?;
        let world = Arc::new(World { settings, folder, journal: Mutex::default() });
        let task = tokio::spawn(accept_all(listener, Arc::clone(&world)));
        Ok(Self { address, world, task })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it answered 250 to, oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Received> {
        self.world.journal().clone()
    }

    /// How many messages it answered 250 to since the start or the last [`Self::forget`].
    #[must_use]
    pub fn message_count(&self) -> usize {
        self.world.journal().len()
    }

    /// Empties the journal.
    pub fn forget(&self) {
        self.world.journal().clear();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // The connections are in a set of the task and end with it.
        self.task.abort();
    }
}

/// What all connections share.
#[derive(Debug)]
struct World {
    settings: SinkSettings,
    folder: Option<Folder>,
    journal: Mutex<Vec<Received>>,
}

impl World {
    fn journal(&self) -> MutexGuard<'_, Vec<Received>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decide(&self, moment: &Moment<'_>) -> Answer {
        self.settings.script.as_ref().map_or(Answer::Accept, |script| script(moment))
    }

    /// Keeps a message; only then may the sink say 250.
    async fn keep(self: &Arc<Self>, message: Received) -> Result<(), FolderError> {
        let file = match &self.folder {
            Some(folder) => Some(folder.keep(message.clone()).await?),
            None => None,
        };
        if let Some(file) = file {
            tracing::info!(
                sender = message.sender,
                recipients = message.recipients.join(" "),
                size_bytes = message.content.len(),
                file = %file.display(),
                "left for the outside world"
            );
        }
        if self.settings.journal {
            self.journal().push(message);
        }
        Ok(())
    }
}

async fn accept_all(listener: TcpListener, world: Arc<World>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve(stream, peer, Arc::clone(&world)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the outside world cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, world: Arc<World>) {
    // A connection that breaks is the client's affair.
    if let Err(error) = session::run(stream, peer, &world).await {
        tracing::debug!(%error, %peer, "connection to the outside world ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sends everything at once and reads until the sink closes.
    async fn talk(sink: &Sink, input: &str) -> String {
        let mut stream = TcpStream::connect(sink.address()).await.expect("connect");
        stream.write_all(input.as_bytes()).await.expect("write");
        let mut said = String::new();
        stream.read_to_string(&mut said).await.expect("read");
        said
    }

    fn codes(said: &str) -> Vec<&str> {
        said.lines().filter(|l| l.as_bytes().get(3) == Some(&b' ')).filter_map(|l| l.get(..3)).collect()
    }

    #[tokio::test]
    async fn what_is_answered_250_is_in_the_journal_byte_for_byte() {
        let sink = Sink::start(SinkSettings::default()).await.expect("start");
        let said = talk(
            &sink,
            "EHLO a.test\r\nMAIL FROM:<>\r\nRCPT TO:<x@y.test>\r\nRCPT TO:<not an address>\r\nDATA\r\n\
             Subject: s\r\n\r\n..dot\r\n.\r\nDATA\r\nQUIT\r\n",
        )
        .await;
        assert_eq!(codes(&said), ["220", "250", "250", "250", "501", "354", "250", "503", "221"], "{said}");
        let received = sink.messages();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].sender, "");
        assert_eq!(received[0].recipients, ["x@y.test"]);
        assert_eq!(received[0].content, b"Subject: s\r\n\r\n.dot\r\n"[..]);
    }

    #[tokio::test]
    async fn the_script_decides_and_what_it_refuses_is_not_kept() {
        let script: Script = Arc::new(|moment| match moment {
            Moment::Recipient { recipient, .. } if recipient.starts_with("no") => {
                Answer::Reply("550 5.1.1 no".to_owned())
            }
            Moment::Content(received) if received.sender.starts_with("later") => {
                Answer::Reply("451 4.3.0 later".to_owned())
            }
            Moment::Content(received) if received.sender.starts_with("cut") => Answer::AcceptThenHangUp,
            _ => Answer::Accept,
        });
        let sink = Sink::start(SinkSettings { script: Some(script), ..SinkSettings::default() })
            .await
            .expect("start");
        let said = talk(
            &sink,
            "HELO a.test\r\nMAIL FROM:<later@a.test>\r\nRCPT TO:<no@y.test>\r\nDATA\r\nRCPT TO:<yes@y.test>\r\n\
             DATA\r\nx\r\n.\r\nMAIL FROM:<cut@a.test>\r\nRCPT TO:<yes@y.test>\r\nDATA\r\nx\r\n.\r\n",
        )
        .await;
        assert_eq!(
            codes(&said),
            ["220", "250", "250", "550", "554", "250", "354", "451", "250", "250", "354"],
            "{said}"
        );
        assert_eq!(sink.messages().len(), 1, "the one whose reply was cut");
        assert_eq!(sink.messages()[0].sender, "cut@a.test");
    }

    #[tokio::test]
    async fn junk_is_answered_and_harms_nobody() {
        let sink = Sink::start(SinkSettings::default()).await.expect("start");
        let said = talk(&sink, "FROB\r\nMAIL FROM:<a@b.test\r\nRCPT TO:<a@b.test>\r\nQUIT\nMAIL").await;
        assert_eq!(codes(&said), ["220", "500", "501", "503", "500"], "{said}");
        assert!(talk(&sink, "QUIT\r\n").await.contains("221"));
        assert_eq!(sink.message_count(), 0);
    }
}
