//! `ExportMessages`: the whole box as a stream, read a page at a time as fast as it is taken.

use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::delivery::v1::{
    ExportFailure, ExportMessagesResponse, ExportedEnd, ExportedMessage, export_messages_response,
};
use sqlx::Row as _;
use tokio::sync::mpsc;
use tonic::Status;

use super::timestamp;
use crate::{
    maildrop::{Form, Frame, Maildrops},
    store::Store,
};

/// Messages of one page.
const PAGE_MAX: i64 = 500;
/// Frames on their way: with 128 KiB each the bound of what is read ahead.
const FRAMES_AHEAD: usize = 2;

const PAGE: &str = "
SELECT uid, size_bytes, (extract(epoch FROM accept_time) * 1000000)::bigint AS micros
FROM entries WHERE mailbox_id = $1 AND uid > $2 ORDER BY uid LIMIT $3";

/// Where the answer goes.
type Answer = mpsc::Sender<Result<ExportMessagesResponse, Status>>;

/// The reader went away.
struct Gone;

/// A message as the listing has it.
struct Listed {
    uid: i64,
    size_bytes: i64,
    micros: i64,
}

/// Sends everything that the box holds now, oldest first.
pub(super) async fn run(store: Store, maildrops: Maildrops, mailbox_id: i64, answer: Answer) {
    let mut after = 0;
    loop {
        let page = match page(&store, mailbox_id, after).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, mailbox_id, "an export stopped early");
                let _ = answer.send(Err(failure::status_with(Reason::Unavailable, error.to_string()))).await;
                return;
            }
        };
        let Some(last) = page.last() else { return };
        after = last.uid;
        if send(&maildrops, mailbox_id, &page, &answer).await.is_err() {
            return;
        }
    }
}

async fn page(store: &Store, mailbox_id: i64, after: i64) -> Result<Vec<Listed>, sqlx::Error> {
    let rows = store.read(|| sqlx::query(PAGE).bind(mailbox_id).bind(after).bind(PAGE_MAX)).await?;
    let listed = |row: &sqlx::postgres::PgRow| {
        Ok(Listed {
            uid: row.try_get("uid")?,
            size_bytes: row.try_get("size_bytes")?,
            micros: row.try_get("micros")?,
        })
    };
    rows.iter().map(listed).collect()
}

async fn send(maildrops: &Maildrops, mailbox_id: i64, page: &[Listed], answer: &Answer) -> Result<(), Gone> {
    let uids: Vec<i64> = page.iter().map(|listed| listed.uid).collect();
    let reader = maildrops.reader(mailbox_id, Form::Stored);
    let (frames, mut read) = mpsc::channel(FRAMES_AHEAD);
    let reading = async move { reader.run(&uids, &frames).await };
    let telling = async move {
        // Owned here: dropping it stops the reading.
        let mut begun = None;
        while let Some((index, frame)) = read.recv().await {
            let Some(listed) = page.get(index as usize) else { continue };
            tell(listed, begun.replace(index) != Some(index), frame, answer).await?;
        }
        Ok(())
    };
    tokio::join!(reading, telling).1
}

async fn tell(listed: &Listed, is_first: bool, frame: Frame, answer: &Answer) -> Result<(), Gone> {
    use export_messages_response::Frame as Wire;
    let wire = match frame {
        // Deleted since the page was read.
        Frame::Failure(Reason::MessageGone) => return Ok(()),
        Frame::Failure(Reason::MessageDamaged) => {
            Some(Wire::Failure(ExportFailure { reason: Reason::MessageDamaged.name().to_owned() }))
        }
        Frame::Failure(reason) => {
            let detail = format!("message {} cannot be read now", listed.uid);
            let _ = answer.send(Err(failure::status_with(reason, detail))).await;
            return Err(Gone);
        }
        Frame::Size(_) => None,
        Frame::Content(octets) => Some(Wire::Content(octets)),
        Frame::End => Some(Wire::End(ExportedEnd {})),
    };
    if is_first {
        let begin = ExportedMessage {
            uid: listed.uid.cast_unsigned(),
            size_bytes: listed.size_bytes.cast_unsigned(),
            receive_time: Some(timestamp(listed.micros)),
        };
        give(Wire::Begin(begin), answer).await?;
    }
    match wire {
        Some(wire) => give(wire, answer).await,
        None => Ok(()),
    }
}

async fn give(frame: export_messages_response::Frame, answer: &Answer) -> Result<(), Gone> {
    answer.send(Ok(ExportMessagesResponse { frame: Some(frame) })).await.map_err(|_| Gone)
}
