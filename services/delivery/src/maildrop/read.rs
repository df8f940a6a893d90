//! Reading messages of a box: in the order asked for, small ones several to a query, large ones streamed from the blob
//! store, each verified. A bad one harms only itself.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use postern_mail::{Reason, limits};
use sqlx::{Row as _, postgres::PgRow};
use tokio::sync::mpsc;

use super::Form;
use crate::{
    accept::MessageFlags,
    content::{BlobError, Blobs, PlainForm, plain_fields},
    store::{Fault, Store},
};

/// Octets of messages that one query fetches together; a larger one is fetched alone.
const GROUP_MAX_BYTES: i64 = 256 * 1024;
/// Messages that one query fetches together.
const GROUP_MAX: usize = 64;

/// Next thing of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// It begins; its size in octets, as in the listing.
    Size(u64),
    /// Next octets, at most 128 KiB.
    Content(Bytes),
    /// It is complete and was right.
    End,
    /// It is not to be had (or not further).
    Failure(Reason),
}

/// Where frames go: index into the question, and the frame.
pub type FrameSender = mpsc::Sender<(u32, Frame)>;

/// Frames between reading and judging of a check.
const CHECK_AHEAD: usize = 4;

/// What a check found. Messages that are gone, or cannot be read now, are in neither count.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) checked: i64,
    pub(crate) damaged: HashSet<i64>,
}

/// The reader went away: nothing more is to be done.
struct Gone;

/// Reads one box.
#[derive(Clone, Debug)]
pub struct MessageReader {
    store: Store,
    blobs: Blobs,
    mailbox_id: i64,
    form: Form,
}

/// An entry with its message.
struct Stored {
    prefix: Vec<u8>,
    size_bytes: i64,
    /// `None`: the row of the message is missing.
    message: Option<StoredMessage>,
}

/// A message whose content is a blob, and how it is shown.
struct ShownBlob<'a> {
    key: &'a str,
    /// Our fields, as they are shown.
    front: Bytes,
    form: PlainForm,
}

struct StoredMessage {
    prefix: Vec<u8>,
    /// Its header came with SMTPUTF8 and is not ASCII: it has a plain form.
    smtp_utf8: bool,
    content: Option<Vec<u8>>,
    blob_key: Option<String>,
    content_bytes: i64,
    checksum: u32,
}

const READ: &str = "
SELECT e.uid, e.prefix AS entry_prefix, e.size_bytes, m.id IS NOT NULL AS is_there,
    m.prefix, m.flags, m.content, m.blob_key, m.content_bytes, m.checksum
FROM entries e LEFT JOIN messages m ON m.id = e.message_id
WHERE e.mailbox_id = $1 AND e.uid = ANY ($2)";

const SIZES: &str = "SELECT uid, size_bytes FROM entries WHERE mailbox_id = $1 AND uid = ANY ($2)";

impl MessageReader {
    pub(super) fn new(store: Store, blobs: Blobs, mailbox_id: i64, form: Form) -> Self {
        Self { store, blobs, mailbox_id, form }
    }

    /// Sends the frames of all these messages, in order; ends early when nobody takes them any more.
    pub async fn run(&self, uids: &[i64], frames: &FrameSender) {
        let mut index = 0;
        for group in self.groups(uids).await {
            let stored = self.fetch(group).await;
            for uid in group {
                let sent = match &stored {
                    Ok(found) => self.send(index, found.get(uid), frames).await,
                    Err(reason) if group.len() == 1 => fail(frames, index, *reason).await,
                    // One that cannot be read spoils the query of all: each for itself then.
                    Err(_) => match self.fetch(std::slice::from_ref(uid)).await {
                        Ok(found) => self.send(index, found.get(uid), frames).await,
                        Err(reason) => fail(frames, index, reason).await,
                    },
                };
                if sent.is_err() {
                    return;
                }
                index += 1;
            }
        }
    }

    /// Reads these messages through and throws them away: which are damaged (checksum, size, or content that is not there).
    pub(crate) async fn check(&self, uids: &[i64]) -> Checked {
        let (frames, mut read) = mpsc::channel(CHECK_AHEAD);
        let judging = async {
            let mut checked = Checked::default();
            while let Some((index, frame)) = read.recv().await {
                let damaged = match frame {
                    Frame::Failure(Reason::MessageDamaged) => true,
                    Frame::End => false,
                    Frame::Size(_) | Frame::Content(_) | Frame::Failure(_) => continue,
                };
                checked.checked += 1;
                checked.damaged.extend(uids.get(index as usize).filter(|_| damaged));
            }
            checked
        };
        let reading = async move { self.run(uids, &frames).await };
        tokio::join!(reading, judging).1
    }

    /// Cuts the question into what is fetched together, so that memory stays bounded.
    async fn groups<'a>(&self, uids: &'a [i64]) -> Vec<&'a [i64]> {
        if uids.len() <= 1 {
            return vec![uids];
        }
        let ask = || sqlx::query(SIZES).bind(self.mailbox_id).bind(uids);
        let size_of = |row: &PgRow| Ok((row.try_get(0)?, row.try_get(1)?));
        let sizes = self.store.read(ask).await.and_then(|rows| rows.iter().map(size_of).collect());
        let sizes: HashMap<i64, i64> = match sizes {
            Ok(sizes) => sizes,
            // The queries that follow will tell.
            Err(_) => return uids.chunks(1).collect(),
        };
        let mut groups = Vec::new();
        let (mut begin, mut bytes) = (0, 0);
        for (position, uid) in uids.iter().enumerate() {
            let size = sizes.get(uid).copied().unwrap_or(0);
            if position > begin && (bytes + size > GROUP_MAX_BYTES || position - begin >= GROUP_MAX) {
                groups.push(&uids[begin..position]);
                (begin, bytes) = (position, 0);
            }
            bytes += size;
        }
        groups.push(&uids[begin..]);
        groups
    }

    async fn fetch(&self, uids: &[i64]) -> Result<HashMap<i64, Stored>, Reason> {
        let mailbox_id = self.mailbox_id;
        let ask = || sqlx::query(READ).bind(mailbox_id).bind(uids);
        let rows = self.store.read(ask).await.and_then(|rows| rows.iter().map(stored).collect());
        rows.map_err(|error: sqlx::Error| {
            tracing::warn!(%error, mailbox_id, ?uids, "messages cannot be read");
            unreadable(&error)
        })
    }

    async fn send(&self, index: u32, stored: Option<&Stored>, frames: &FrameSender) -> Result<(), Gone> {
        let Some(stored) = stored else { return fail(frames, index, Reason::MessageGone).await };
        let Some(message) = &stored.message else {
            return self.damaged(index, "the row of the message is missing", frames).await;
        };
        let front = (stored.prefix.len() + message.prefix.len()) as i64;
        if front + message.content_bytes != stored.size_bytes {
            return self.damaged(index, "its sizes differ", frames).await;
        }
        let is_plain = self.form == Form::Plain;
        let fields = |octets, is_plain| if is_plain { plain_fields(octets) } else { Cow::Borrowed(octets) };
        let has_form = is_plain && message.smtp_utf8;
        let front = [fields(&stored.prefix[..], is_plain), fields(&message.prefix, has_form)].concat();
        let mut form = if has_form { PlainForm::default() } else { PlainForm::passing() };
        match (&message.content, &message.blob_key) {
            (Some(content), _) => {
                if content.len() as i64 != message.content_bytes
                    || crc32c::crc32c(content) != message.checksum
                {
                    return self.damaged(index, "its checksum differs", frames).await;
                }
                let whole = if form.is_settled() {
                    [&front[..], content].concat()
                } else {
                    let begin = form.push(Bytes::copy_from_slice(content));
                    [&front[..], &begin, &form.finish()].concat()
                };
                give(frames, index, Frame::Size(whole.len() as u64)).await?;
                give_content(frames, index, Bytes::from(whole)).await?;
                give(frames, index, Frame::End).await
            }
            (None, Some(key)) => {
                let shown = ShownBlob { key, front: Bytes::from(front), form };
                self.send_blob(index, message, shown, frames).await
            }
            (None, None) => self.damaged(index, "it has no content", frames).await,
        }
    }

    async fn send_blob(
        &self,
        index: u32,
        message: &StoredMessage,
        shown: ShownBlob<'_>,
        frames: &FrameSender,
    ) -> Result<(), Gone> {
        let ShownBlob { key, front, mut form } = shown;
        let mut front = Some(front);
        let mut blob = match self.blobs.get(key).await {
            Ok(blob) if blob.size_bytes == message.content_bytes.cast_unsigned() => blob,
            Ok(_) => return self.damaged(index, "its blob has another size", frames).await,
            Err(BlobError::Missing) => return self.damaged(index, "its blob is missing", frames).await,
            Err(error) => {
                tracing::warn!(%error, key, "a blob cannot be read");
                return fail(frames, index, Reason::Unavailable).await;
            }
        };
        let (mut checksum, mut bytes) = (0, 0u64);
        let mut is_over = false;
        while !is_over {
            let octets = match blob.octets.next().await {
                Some(Ok(octets)) => {
                    checksum = crc32c::crc32c_append(checksum, &octets);
                    bytes += octets.len() as u64;
                    form.push(octets)
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, key, "a blob broke off");
                    return fail(frames, index, Reason::Unavailable).await;
                }
                None => {
                    is_over = true;
                    form.finish()
                }
            };
            // How long it is in plain form is known when its header block is.
            if form.is_settled()
                && let Some(front) = front.take()
            {
                let stored_bytes = front.len() as u64 + message.content_bytes.cast_unsigned();
                let size_bytes = stored_bytes.saturating_add_signed(form.growth().unwrap_or(0));
                give(frames, index, Frame::Size(size_bytes)).await?;
                give_content(frames, index, front).await?;
            }
            give_content(frames, index, octets).await?;
        }
        if checksum == message.checksum && bytes == message.content_bytes.cast_unsigned() {
            give(frames, index, Frame::End).await
        } else {
            // Its octets are out already: the gateway closes without the final dot (P-46).
            self.damaged(index, "the checksum of its blob differs", frames).await
        }
    }

    async fn damaged(&self, index: u32, what: &'static str, frames: &FrameSender) -> Result<(), Gone> {
        metrics::counter!("postern_messages_damaged_total").increment(1);
        tracing::error!(mailbox_id = self.mailbox_id, index, what, "a stored message is damaged");
        fail(frames, index, Reason::MessageDamaged).await
    }
}

async fn give(frames: &FrameSender, index: u32, frame: Frame) -> Result<(), Gone> {
    frames.send((index, frame)).await.map_err(|_| Gone)
}

async fn fail(frames: &FrameSender, index: u32, reason: Reason) -> Result<(), Gone> {
    give(frames, index, Frame::Failure(reason)).await
}

/// In as few frames as it fits.
async fn give_content(frames: &FrameSender, index: u32, mut octets: Bytes) -> Result<(), Gone> {
    while !octets.is_empty() {
        let frame = octets.split_to(octets.len().min(limits::FRAME_MAX_BYTES));
        give(frames, index, Frame::Content(frame)).await?;
    }
    Ok(())
}

/// R0: damaged only where the database itself says that its data is (SQLSTATE class XX001, XX002).
fn unreadable(error: &sqlx::Error) -> Reason {
    let code = error.as_database_error().and_then(|database| database.code());
    match (code.as_deref(), Fault::of(error)) {
        (Some("XX001" | "XX002"), _) => Reason::MessageDamaged,
        _ => Reason::Unavailable,
    }
}

fn stored(row: &PgRow) -> Result<(i64, Stored), sqlx::Error> {
    let message = if row.try_get("is_there")? {
        Some(StoredMessage {
            prefix: row.try_get("prefix")?,
            smtp_utf8: MessageFlags::from_bits(row.try_get("flags")?).smtp_utf8,
            content: row.try_get("content")?,
            blob_key: row.try_get("blob_key")?,
            content_bytes: row.try_get("content_bytes")?,
            checksum: row.try_get::<i32, _>("checksum")?.cast_unsigned(),
        })
    } else {
        None
    };
    let entry =
        Stored { prefix: row.try_get("entry_prefix")?, size_bytes: row.try_get("size_bytes")?, message };
    Ok((row.try_get("uid")?, entry))
}
