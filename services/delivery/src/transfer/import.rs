//! Messages into a box, as they are. The same message again is left out: its id is made of its content and its box, so that
//! the index which knows a repeated submission knows this too, and nothing is added to the way of received mail.

use std::collections::HashSet;

use bytes::Bytes;
use postern_mail::{MessageId, Reason};
use postern_mesh::memory::{Holder, MemoryBudget, MemoryShare};
use thiserror::Error;
use uuid::Uuid;

use super::{
    store::{self, Whole},
    wire_form::WireForm,
};
use crate::{
    accept::StoredContent,
    content::{Blobs, Ingest, IngestError, IngestLimits},
    references::remove_blobs,
    store::Store,
};

/// Messages of one batch, and octets of them in memory.
const BATCH_MAX: usize = 64;
const BATCH_MAX_BYTES: usize = 1024 * 1024;
/// Refusals that are told with their reason.
const REFUSALS_TOLD_MAX: usize = 100;

/// What became of the messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Are in the box now.
    pub imported: i64,
    /// Were there already, or twice in this call.
    pub duplicates: i64,
    /// Were refused.
    pub refused: i64,
    /// The first of those.
    pub refusals: Vec<Refusal<Reason>>,
}

/// A message that was not taken, and why: by a reason, or by the name of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal<R> {
    /// Place in the call, from 0.
    pub index: i64,
    /// Why.
    pub reason: R,
    /// What people know it by; may be empty.
    pub name: String,
}

/// Why an import ended before its last message. What was committed before stays; the same import again goes on from there.
#[derive(Debug, Error)]
pub enum ImportError {
    /// The box holds as much as it may.
    #[error("the mailbox is full: {} messages were imported, {} were there already", .0.imported, .0.duplicates)]
    Full(Box<Report>),
    /// A part of ours failed.
    #[error("the import stopped early: {0}")]
    Failed(Reason),
}

impl ImportError {
    /// The row of the failure table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Full(_) => Reason::OverQuota,
            Self::Failed(reason) => *reason,
        }
    }
}

/// Takes imports. Clones are the same one.
#[derive(Clone)]
pub struct Importer {
    store: Store,
    blobs: Blobs,
    budget: MemoryBudget,
    limits: IngestLimits,
}

/// When a message came, microseconds of the Unix epoch; `None`: now.
pub type Arrival = Option<i64>;

/// One import into one box.
pub struct Import {
    importer: Importer,
    mailbox_id: i64,
    /// Octets that the box may still take; `None`: no bound.
    room: Option<i64>,
    open: Option<Incoming>,
    batch: Vec<Whole>,
    batch_bytes: usize,
    /// What the messages of the batch hold in memory.
    held: Vec<MemoryShare>,
    begun: i64,
    report: Report,
}

/// The message that comes in.
struct Incoming {
    index: i64,
    /// What people know it by.
    name: String,
    arrival: Arrival,
    /// `None` once it is refused: the rest of it is passed over.
    taken: Option<(WireForm, Box<Ingest>)>,
}

impl Importer {
    /// Into these stores, within these bounds.
    #[must_use]
    pub fn new(store: Store, blobs: Blobs, budget: MemoryBudget, limits: IngestLimits) -> Self {
        Self { store, blobs, budget, limits }
    }

    /// Begins an import. `quota_bytes`: what the box may hold, `None` without a bound; `full`: it may take nothing now.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn begin(
        &self,
        mailbox_id: i64,
        quota_bytes: Option<i64>,
        full: bool,
    ) -> Result<Import, ImportError> {
        let used =
            store::used_bytes(&self.store, mailbox_id).await.map_err(|error| failed(mailbox_id, &error))?;
        let room = if full { Some(0) } else { quota_bytes.map(|quota| quota - used) };
        Ok(Import {
            importer: self.clone(),
            mailbox_id,
            room,
            open: None,
            batch: Vec::new(),
            batch_bytes: 0,
            held: Vec::new(),
            begun: 0,
            report: Report::default(),
        })
    }
}

impl Import {
    /// What became of the messages so far.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// True between begin and end of a message.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// A message begins. `name`: what people know it by, may be empty.
    pub fn begin_message(&mut self, arrival: Arrival, name: String) {
        let Importer { blobs, budget, limits, .. } = &self.importer;
        let held = budget.share(Holder::default());
        let ingest = Ingest::verbatim(MessageId::new(), blobs, held, *limits);
        let taken = Some((WireForm::new(self.mailbox_id), Box::new(ingest)));
        self.open = Some(Incoming { index: self.begun, name, arrival, taken });
        self.begun += 1;
    }

    /// Its next octets.
    ///
    /// # Errors
    /// When a part is away. What is wrong with the message itself is told in the report.
    pub async fn content(&mut self, octets: Bytes) -> Result<(), ImportError> {
        let Some(incoming) = &mut self.open else { return Ok(()) };
        let Some((form, ingest)) = &mut incoming.taken else { return Ok(()) };
        let taken = match form.push(&octets) {
            Ok(()) => ingest.push(octets).await,
            Err(reason) => Err(IngestError::Message(reason)),
        };
        match taken {
            Ok(()) => Ok(()),
            Err(IngestError::Message(reason)) => {
                incoming.taken = None;
                let (index, name) = (incoming.index, incoming.name.clone());
                self.refuse(index, name, reason);
                Ok(())
            }
            Err(error) => Err(self.broken(&error)),
        }
    }

    /// It is damaged where it comes from.
    pub fn break_message(&mut self) {
        // One that is refused already has its reason.
        if let Some(Incoming { index, name, taken: Some(_), .. }) = self.open.take() {
            self.refuse(index, name, Reason::MessageDamaged);
        }
    }

    /// It is complete.
    ///
    /// # Errors
    /// As [`Self::content`], and [`ImportError::Full`].
    pub async fn end_message(&mut self) -> Result<(), ImportError> {
        let Some(Incoming { index, name, arrival, taken }) = self.open.take() else { return Ok(()) };
        let Some((form, ingest)) = taken else { return Ok(()) };
        let id = match form.finish() {
            Ok(id) => id,
            Err(reason) => {
                self.refuse(index, name, reason);
                return Ok(());
            }
        };
        let ingested = match ingest.finish().await {
            Ok(ingested) => ingested,
            Err(IngestError::Message(reason)) => {
                self.refuse(index, name, reason);
                return Ok(());
            }
            Err(error) => return Err(self.broken(&error)),
        };
        if let StoredContent::Inline(content) = &ingested.content {
            self.batch_bytes += content.len();
            self.held.push(ingested.held);
        }
        self.batch.push(Whole {
            id,
            content: ingested.content,
            content_bytes: ingested.content_bytes,
            checksum: ingested.checksum,
            receive_micros: arrival,
        });
        if self.batch.len() >= BATCH_MAX || self.batch_bytes >= BATCH_MAX_BYTES {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// The last message was given.
    ///
    /// # Errors
    /// As [`Self::end_message`].
    pub async fn finish(&mut self) -> Result<(), ImportError> {
        self.flush().await
    }

    /// Writes the batch: what is known is left out, and nothing goes beyond the room.
    async fn flush(&mut self) -> Result<(), ImportError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        if batch.is_empty() {
            return Ok(());
        }
        let ids: Vec<Uuid> = batch.iter().map(|whole| whole.id).collect();
        let known = store::known(&self.importer.store, &ids).await.map_err(|error| self.away(&error))?;
        let (fresh, mut unused) = without_repeated(batch, known);
        self.report.duplicates += unused.len() as i64;
        let (fitting, over) = self.within_room(fresh);
        let is_over = !over.is_empty();
        unused.extend(over);
        if !fitting.is_empty() {
            let written = store::write(&self.importer.store, self.mailbox_id, &fitting).await;
            let written = written.map_err(|error| self.away(&error))?;
            // Another import of the same messages may have been faster.
            self.report.imported += written.len() as i64;
            self.report.duplicates += (fitting.len() - written.len()) as i64;
            unused.extend(fitting.into_iter().filter(|whole| !written.contains(&whole.id)));
        }
        self.held.clear();
        remove_blobs(&self.importer.blobs, blob_keys(unused)).await;
        if !is_over {
            return Ok(());
        }
        Err(ImportError::Full(Box::new(self.report.clone())))
    }

    /// Splits at the first message that does not fit.
    fn within_room(&mut self, mut fresh: Vec<Whole>) -> (Vec<Whole>, Vec<Whole>) {
        let Some(room) = &mut self.room else { return (fresh, Vec::new()) };
        let fits = fresh.iter().take_while(|whole| {
            *room -= whole.content_bytes.cast_signed();
            *room >= 0
        });
        let fits = fits.count();
        let over = fresh.split_off(fits);
        (fresh, over)
    }

    fn refuse(&mut self, index: i64, name: String, reason: Reason) {
        self.report.refused += 1;
        if self.report.refusals.len() < REFUSALS_TOLD_MAX {
            self.report.refusals.push(Refusal { index, reason, name });
        }
    }

    fn broken(&self, error: &IngestError) -> ImportError {
        tracing::warn!(%error, mailbox_id = self.mailbox_id, "an import stopped early");
        ImportError::Failed(error.reason())
    }

    fn away(&self, error: &sqlx::Error) -> ImportError {
        failed(self.mailbox_id, error)
    }
}

fn failed(mailbox_id: i64, error: &sqlx::Error) -> ImportError {
    tracing::warn!(%error, mailbox_id, "an import stopped early");
    ImportError::Failed(store::reason_of(error))
}

/// Those that are new, each once; and the others.
fn without_repeated(batch: Vec<Whole>, mut known: HashSet<Uuid>) -> (Vec<Whole>, Vec<Whole>) {
    batch.into_iter().partition(|whole| known.insert(whole.id))
}

/// Blobs of what was not stored.
fn blob_keys(unused: Vec<Whole>) -> Vec<String> {
    let key = |whole: Whole| match whole.content {
        StoredContent::Blob { key } => Some(key),
        StoredContent::Inline(_) => None,
    };
    unused.into_iter().filter_map(key).collect()
}
