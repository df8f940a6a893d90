//! From the browser to delivery: pieces of a file in, frames of messages out, with a few of both in memory. Reading a file is
//! a thread's work; its pieces are handed to it as they come.

use std::io::{self, BufReader, ErrorKind, Read};

use bytes::{Buf as _, Bytes};
use postern_mesh::{
    client::MeshChannel,
    mail_file::{Kind, MailFrames},
};
use postern_proto::delivery::v1::{ImportMessagesRequest, box_service_client::BoxServiceClient};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

use super::places::Turn;
use crate::{
    call::Failure,
    upload::{BrokenOff, Upload},
};

/// Pieces that wait for the thread, and frames that wait for delivery.
const PIECES_AHEAD: usize = 4;
const FRAMES_AHEAD: usize = 4;

/// What is imported.
pub(super) struct Mail {
    pub(super) mailbox_id: i64,
    pub(super) import_id: Uuid,
    pub(super) kind: Kind,
    /// The first piece, which was read already.
    pub(super) begin: Bytes,
    pub(super) upload: Upload,
}

/// How that went.
pub(super) struct Piped {
    /// What delivery said.
    pub(super) answer: Result<(), Failure>,
    /// No mail is in the archive: delivery heard of nothing.
    pub(super) is_empty: bool,
}

/// Imports all of it, and gives the turn back. Runs on when the browser goes away, until delivery knows that.
pub(super) async fn through(mut boxes: BoxServiceClient<MeshChannel>, mail: Mail, turn: Turn) -> Piped {
    let (pieces, given_pieces) = mpsc::channel(PIECES_AHEAD);
    let (frames, given_frames) = mpsc::channel(FRAMES_AHEAD);
    let Mail { mailbox_id, import_id, kind, begin, upload } = mail;
    let first = ImportMessagesRequest {
        mailbox_id,
        import_id: import_id.to_string(),
        file_name: upload.name.clone(),
        total_bytes: upload.total_bytes,
        ..ImportMessagesRequest::default()
    };
    let running = tokio::spawn(async move {
        let reading = tokio::task::spawn_blocking(move || read(kind, first, given_pieces, frames));
        let calling = boxes.import_messages(ReceiverStream::new(given_frames));
        let (answer, read, ()) = tokio::join!(calling, reading, send(pieces, begin, upload));
        drop(turn);
        Piped { answer: answer.map(drop).map_err(Failure::from), is_empty: read.unwrap_or_default() }
    });
    running.await.unwrap_or(Piped { answer: Err(Failure::Away), is_empty: false })
}

/// Hands pieces to the thread, to the end of the file or until nobody takes them.
async fn send(pieces: mpsc::Sender<io::Result<Bytes>>, begin: Bytes, mut upload: Upload) {
    let mut piece = Ok(Some(begin));
    loop {
        let taken = match piece {
            Ok(Some(piece)) => pieces.send(Ok(piece)).await,
            Ok(None) => return,
            Err(BrokenOff) => {
                // Nobody takes even that: then it is known.
                let _ = pieces.send(Err(io::Error::from(ErrorKind::ConnectionReset))).await;
                return;
            }
        };
        if taken.is_err() {
            // Delivery has stopped; the browser comes to read why.
            return upload.drain().await;
        }
        piece = upload.piece().await;
    }
}

/// Cuts the pieces into messages. When the browser goes away, or an archive is damaged so that the next message cannot be found,
/// the import is one that stopped. True: there was no message, and delivery heard of nothing.
fn read(
    kind: Kind,
    first: ImportMessagesRequest,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    frames: mpsc::Sender<ImportMessagesRequest>,
) -> bool {
    let reader = BufReader::new(Pieces { given: pieces, piece: Bytes::new() });
    let mut frames = MailFrames::new(frames, first, |_| ());
    // Whether mail is in an archive is not known before some was found.
    let begun = if kind == Kind::Mbox { frames.begin_call() } else { Ok(()) };
    let read = begun.and_then(|()| frames.file(kind, reader));
    let is_empty = frames.is_unused();
    if let Err(error) = read {
        tracing::debug!(%error, ?kind, "a file of mail was not read to its end");
        if !is_empty {
            frames.break_off();
        }
    }
    is_empty
}

/// Pieces as they come, read like a file.
struct Pieces {
    given: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.given.blocking_recv() {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
