//! One message streaming in: small content is kept, larger content goes to the blob store while it comes.
//!
//! Memory is bounded for each message and, by [`MemoryBudget`](postern_mesh::memory::MemoryBudget), for all of them together.

use bytes::Bytes;
use postern_mail::{MessageId, Reason};
use postern_mesh::memory::{MemoryShare, NoMemory};
use thiserror::Error;

use super::{
    blobs::{BlobError, BlobWriter, Blobs, joined},
    plain::PlainForm,
    scan::{Found, HeaderScan},
};
use crate::accept::StoredContent;

/// Why content was not taken.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The message itself is not acceptable.
    #[error("the message is refused: {0}")]
    Message(Reason),
    /// All messages together hold too much, or those of this client do.
    #[error(transparent)]
    NoMemory(#[from] NoMemory),
    /// The blob store failed.
    #[error("the content could not be kept")]
    Blob(#[from] BlobError),
}

impl IngestError {
    /// The row of the failure table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Message(reason) => *reason,
            Self::NoMemory(_) => Reason::InsufficientStorage,
            Self::Blob(BlobError::File(error)) if error.kind() == std::io::ErrorKind::StorageFull => {
                Reason::InsufficientStorage
            }
            Self::Blob(_) => Reason::Unavailable,
        }
    }
}

/// Bounds of one message.
#[derive(Clone, Copy, Debug)]
pub struct IngestLimits {
    /// Larger content goes to the blob store, octets.
    pub inline_max_bytes: usize,
    /// Larger content is refused, octets; `None` = no limit.
    pub message_max_bytes: Option<u64>,
}

/// A message that is complete, and kept.
#[derive(Debug)]
pub struct Ingested {
    /// The content or where it is.
    pub content: StoredContent,
    /// Octets of it.
    pub content_bytes: u64,
    /// CRC-32C of it.
    pub checksum: u32,
    /// It has octets over 127, whatever its sender declared.
    pub eight_bit: bool,
    /// What its header told.
    pub found: Found,
    /// How many octets longer it is in plain form; `None`: its header is ASCII, or it did not come with SMTPUTF8.
    pub plain_growth: Option<i64>,
    /// Its first octets, for a bounce; all of it when it is small.
    pub beginning: Bytes,
    /// What it holds while it is in memory.
    pub held: MemoryShare,
}

/// Where octets go.
enum Sink {
    Memory,
    Blob(Box<BlobWriter>),
}

/// A message that comes in.
pub struct Ingest {
    id: MessageId,
    blobs: Blobs,
    limits: IngestLimits,
    /// `None`: it is kept as it is.
    scan: Option<HeaderScan>,
    /// `None`: it has no plain form of its own.
    plain: Option<PlainForm>,
    sink: Sink,
    /// What is in memory: all of it, or the beginning of what went to the blob store.
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    /// What it holds: what is gathered, an upload, and the header until its plain form is known.
    held: MemoryShare,
    /// The last of these, octets.
    header_bytes: usize,
    content_bytes: u64,
    checksum: u32,
    eight_bit: bool,
    last: [u8; 2],
}

impl Ingest {
    /// Begins a message that holds its memory by `held`.
    #[must_use]
    pub fn begin(id: MessageId, blobs: &Blobs, held: MemoryShare, limits: IngestLimits) -> Self {
        Self {
            id,
            blobs: blobs.clone(),
            limits,
            scan: Some(HeaderScan::default()),
            plain: None,
            sink: Sink::Memory,
            gathered: Vec::new(),
            gathered_bytes: 0,
            held,
            header_bytes: 0,
            content_bytes: 0,
            checksum: 0,
            eight_bit: false,
            last: [0; 2],
        }
    }

    /// The same of what a mail program submits: Bcc is taken out too.
    #[must_use]
    pub fn of_submission(mut self) -> Self {
        self.scan = self.scan.map(HeaderScan::of_submission);
        self
    }

    /// Takes Authentication-Results out of its header that say to be ours.
    #[must_use]
    pub fn without_results_of(mut self, own_name: &str) -> Self {
        self.scan = self.scan.map(|scan| scan.without_results_of(own_name));
        self
    }

    /// It came with SMTPUTF8: what its plain form is like is found out.
    #[must_use]
    pub fn of_smtp_utf8(self) -> Self {
        Self { plain: Some(PlainForm::default()), ..self }
    }

    /// Takes out of its header what others said of spam.
    #[must_use]
    pub fn without_spam_verdicts(mut self) -> Self {
        self.scan = self.scan.map(HeaderScan::without_spam_verdicts);
        self
    }

    /// Begins a message that was received elsewhere, or long ago: its header is not looked at, nothing is taken out.
    #[must_use]
    pub fn verbatim(id: MessageId, blobs: &Blobs, held: MemoryShare, limits: IngestLimits) -> Self {
        Self { scan: None, ..Self::begin(id, blobs, held, limits) }
    }

    /// Takes the next octets.
    ///
    /// # Errors
    /// The message is refused for what it is, or it cannot be kept now.
    pub async fn push(&mut self, octets: Bytes) -> Result<(), IngestError> {
        let came_bytes = octets.len();
        self.held.came(came_bytes);
        let mut kept = Vec::new();
        match &mut self.scan {
            Some(scan) => scan.push(octets, &mut kept).map_err(IngestError::Message)?,
            None => kept.push(octets),
        }
        if kept.iter().map(Bytes::len).sum::<usize>() < came_bytes {
            // Each piece would hold all that came with it, also what was taken out and is not counted.
            kept = vec![Bytes::from(kept.concat())];
        }
        self.keep(kept).await
    }

    /// Ends when its memory was given to faster ones: then it is to be dropped.
    pub(crate) fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        self.held.lost()
    }

    /// The message is complete: completes the blob if there is one.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub async fn finish(mut self) -> Result<Ingested, IngestError> {
        let mut rest = Vec::new();
        let found = match self.scan.take() {
            Some(scan) => scan.finish(&mut rest).map_err(IngestError::Message)?,
            None => Found::default(),
        };
        self.keep(rest).await?;
        if self.content_bytes > 0 && self.last != *b"\r\n" {
            // RFC 5321 section 4.1.1.4: the line end before the dot belongs to the message.
            self.keep(vec![Bytes::from_static(b"\r\n")]).await?;
        }
        let plain_growth = self.plain.as_mut().and_then(|plain| {
            plain.finish();
            plain.growth()
        });
        let beginning = joined(self.gathered);
        let content = match self.sink {
            Sink::Memory => StoredContent::Inline(beginning.clone()),
            Sink::Blob(writer) => StoredContent::Blob { key: writer.finish().await? },
        };
        // From here on only its beginning is in memory, and nobody outside is waited for.
        self.held.hold(self.gathered_bytes)?;
        let held = self.held.part();
        let Self { content_bytes, checksum, eight_bit, .. } = self;
        Ok(Ingested { content, content_bytes, checksum, eight_bit, found, plain_growth, beginning, held })
    }

    async fn keep(&mut self, pieces: Vec<Bytes>) -> Result<(), IngestError> {
        for piece in pieces {
            self.measure(&piece)?;
            if let Sink::Memory = self.sink {
                if self.gathered_bytes + piece.len() <= self.limits.inline_max_bytes {
                    self.hold_more(piece.len())?;
                    self.gathered_bytes += piece.len();
                    self.gathered.push(piece);
                    continue;
                }
                self.spill().await?;
            }
            if let Sink::Blob(writer) = &mut self.sink {
                writer.write(piece).await?;
            }
        }
        Ok(())
    }

    fn measure(&mut self, piece: &Bytes) -> Result<(), IngestError> {
        self.content_bytes += piece.len() as u64;
        if self.limits.message_max_bytes.is_some_and(|max| self.content_bytes > max) {
            return Err(IngestError::Message(Reason::MessageTooLarge));
        }
        self.checksum = crc32c::crc32c_append(self.checksum, piece);
        self.eight_bit |= !piece.is_ascii();
        if let Some(plain) = self.plain.as_mut().filter(|plain| !plain.is_settled()) {
            self.held.hold(self.held.bytes() + piece.len())?;
            self.header_bytes += piece.len();
            plain.push(piece.clone());
            if plain.is_settled() {
                let header_bytes = std::mem::take(&mut self.header_bytes);
                self.held.hold(self.held.bytes() - header_bytes)?;
            }
        }
        match &piece[..] {
            [] => {}
            [only] => self.last = [self.last[1], *only],
            [.., first, second] => self.last = [*first, *second],
        }
        Ok(())
    }

    fn hold_more(&mut self, bytes: usize) -> Result<(), NoMemory> {
        self.held.hold(self.held.bytes() + bytes)
    }

    /// It is too large for the row: what was gathered goes first. The beginning stays in memory too, for a bounce.
    async fn spill(&mut self) -> Result<(), IngestError> {
        self.hold_more(self.blobs.upload_memory_bytes())?;
        let mut writer = self.blobs.begin(self.id).await?;
        for piece in &self.gathered {
            writer.write(piece.clone()).await?;
        }
        self.sink = Sink::Blob(Box::new(writer));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use postern_mesh::memory::{Holder, MemoryBudget};

    use super::*;

    const LIMITS: IngestLimits = IngestLimits { inline_max_bytes: 1000, message_max_bytes: Some(2_000_000) };

    async fn ingest(
        blobs: &Blobs,
        budget: &MemoryBudget,
        text: &[u8],
        piece: usize,
    ) -> Result<Ingested, IngestError> {
        let mut ingest = begun(blobs, budget);
        for piece in text.chunks(piece) {
            ingest.push(Bytes::copy_from_slice(piece)).await?;
        }
        ingest.finish().await
    }

    fn begun(blobs: &Blobs, budget: &MemoryBudget) -> Ingest {
        Ingest::begin(MessageId::new(), blobs, budget.share(Holder::default()), LIMITS)
    }

    fn store() -> (tempfile::TempDir, Blobs) {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(&format!("file://{}", folder.path().display())).expect("a store");
        (folder, blobs)
    }

    #[tokio::test]
    async fn small_content_stays_in_the_row_large_content_does_not() {
        let (_folder, blobs) = store();
        let budget = MemoryBudget::new(4 << 20, 0);
        for (size, is_inline) in [(0, true), (10, true), (990, true), (1001, false), (1_500_000, false)] {
            for piece in [100, 64 * 1024, 10_000_000] {
                let mut text = vec![b'x'; size];
                if size > 10 {
                    text[..8].copy_from_slice(b"A: b\r\n\r\n");
                    text[size - 2..].copy_from_slice(b"\r\n");
                }
                let ingested = ingest(&blobs, &budget, &text, piece).await.expect("ingested");
                if size == 10 {
                    text.extend_from_slice(b"\r\n");
                }
                assert_eq!(ingested.content_bytes, text.len() as u64);
                assert_eq!(ingested.checksum, crc32c::crc32c(&text));
                let stored = match ingested.content {
                    StoredContent::Inline(content) => {
                        assert!(is_inline, "{size}");
                        content.to_vec()
                    }
                    StoredContent::Blob { key } => {
                        assert!(!is_inline, "{size}");
                        let blob = blobs.get(&key).await.expect("a blob");
                        blob.octets.try_collect::<Vec<_>>().await.expect("octets").concat()
                    }
                };
                assert!(stored == text, "{size} in pieces of {piece}");
            }
        }
        assert_eq!(budget.held_bytes(), 0, "every share came back");
    }

    #[tokio::test]
    async fn s_51_over_the_limit_is_refused() {
        let (_folder, blobs) = store();
        let budget = MemoryBudget::new(4 << 20, 0);
        let error =
            ingest(&blobs, &budget, &vec![b'\n'; 2_000_001], 128 * 1024).await.expect_err("too large");
        assert_eq!(error.reason(), Reason::MessageTooLarge);
    }

    #[tokio::test]
    async fn memory_is_bounded_over_all_messages() {
        let (_folder, blobs) = store();
        let budget = MemoryBudget::new(10, 0);
        let one = ingest(&blobs, &budget, b"A: b\r\n", 100).await.expect("the first");
        let error = ingest(&blobs, &budget, b"A: b\r\n", 100).await.expect_err("no room for a second");
        assert_eq!(error.reason(), Reason::InsufficientStorage);
        drop(one);
        ingest(&blobs, &budget, b"A: b\r\n", 100).await.expect("room again");
    }

    #[tokio::test]
    async fn what_is_taken_out_of_a_header_is_held_no_more() {
        let (_folder, blobs) = store();
        let budget = MemoryBudget::new(4 << 20, 0);
        let mut ingest = begun(&blobs, &budget);
        let came = Bytes::from(["Return-Path: x\r\n".repeat(1000).as_bytes(), b"A: b\r\n"].concat());
        ingest.push(came.clone()).await.expect("a header");
        assert!(came.is_unique(), "nothing holds what came in");
        assert_eq!(budget.held_bytes(), 6);
        // Of what is kept whole nothing is copied.
        let came = Bytes::from(b"C: d\r\n\r\nbody\r\n".to_vec());
        ingest.push(came.clone()).await.expect("the rest");
        assert!(!came.is_unique());
        let ingested = ingest.finish().await.expect("ingested");
        assert_eq!(&ingested.beginning[..], b"A: b\r\nC: d\r\n\r\nbody\r\n");
    }

    #[tokio::test]
    async fn what_a_header_held_is_given_back_when_it_ends() {
        let (_folder, blobs) = store();
        let budget = MemoryBudget::new(4 << 20, 0);
        let mut ingest = begun(&blobs, &budget).of_smtp_utf8();
        let field = Bytes::from("Subject: \u{fc}\r\n".repeat(10_000));
        let upload_bytes = blobs.upload_memory_bytes();
        ingest.push(field.clone()).await.expect("a header");
        assert_eq!(budget.held_bytes(), field.len() + upload_bytes, "the header is held for its plain form");
        ingest.push(Bytes::from_static(b"\r\nbody")).await.expect("its end");
        assert_eq!(budget.held_bytes(), upload_bytes);
        ingest.push(Bytes::from(vec![b'x'; 500_000])).await.expect("a body");
        assert_eq!(budget.held_bytes(), upload_bytes, "a body is not held");
        let ingested = ingest.finish().await.expect("ingested");
        assert!(ingested.plain_growth.is_some_and(|growth| growth > 0));
        assert_eq!(budget.held_bytes(), ingested.beginning.len());
    }
}
