//! From the browser to delivery: pieces of a file in, frames of messages out, with a few of both in memory. Reading an mbox is
//! a thread's work; its pieces are handed to it as they come.

use std::io::{self, BufReader, ErrorKind, Read};

use bytes::{Buf as _, Bytes};
use postern_mesh::{client::MeshChannel, mail_file::MailFrames};
use postern_proto::delivery::v1::{ImportMessagesRequest, box_service_client::BoxServiceClient};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

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
    /// The first piece, which was read already.
    pub(super) begin: Bytes,
    pub(super) upload: Upload,
}

/// Imports all of it, and gives the turn back. Runs on when the browser goes away, until delivery knows that.
pub(super) async fn through(
    mut boxes: BoxServiceClient<MeshChannel>,
    mail: Mail,
    turn: OwnedSemaphorePermit,
) -> Result<(), Failure> {
    let (pieces, given_pieces) = mpsc::channel(PIECES_AHEAD);
    let (frames, given_frames) = mpsc::channel(FRAMES_AHEAD);
    let Mail { mailbox_id, import_id, begin, upload } = mail;
    let first = ImportMessagesRequest {
        mailbox_id,
        import_id: import_id.to_string(),
        file_name: upload.name.clone(),
        total_bytes: upload.total_bytes,
        ..ImportMessagesRequest::default()
    };
    let running = tokio::spawn(async move {
        let reading = tokio::task::spawn_blocking(move || read(first, given_pieces, frames));
        let calling = boxes.import_messages(ReceiverStream::new(given_frames));
        let (answer, read, ()) = tokio::join!(calling, reading, send(pieces, begin, upload));
        drop(turn);
        if let Ok(Err(error)) = read {
            tracing::debug!(%error, "a file of mail was not read to its end");
        }
        answer.map(drop).map_err(Failure::from)
    });
    running.await.unwrap_or(Err(Failure::Away))
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

/// Cuts the pieces into messages. When the browser goes away, the import is one that stopped.
fn read(
    first: ImportMessagesRequest,
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    frames: mpsc::Sender<ImportMessagesRequest>,
) -> io::Result<()> {
    frames.blocking_send(first).map_err(|_| io::Error::from(ErrorKind::BrokenPipe))?;
    let mut reader = BufReader::new(Pieces { given: pieces, piece: Bytes::new() });
    let mut frames = MailFrames::new(frames, |_| ());
    let read = frames.mbox(&mut reader);
    if read.is_err() {
        frames.break_off();
    }
    read
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
