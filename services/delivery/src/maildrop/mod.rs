//! What POP3 does with a box: open (lock and list), read, close (delete and unlock).
//!
//! The walk: `grpc/maildrop` -> here -> `lock` (Redis) and `index` (whose `listings` are kept), `read`, `delete` (Postgres,
//! `content`).

mod delete;
mod index;
mod listings;
mod read;

use std::{sync::Arc, time::Duration};

use postern_mail::Reason;
use postern_mesh::directory::Directory;
use sqlx::Row as _;
use thiserror::Error;
use tonic::Status;

use listings::Listings;

use crate::{
    content::Blobs,
    lock::{Asked, Holder, LockError, Locks, Opened},
    references,
    store::Store,
};

pub use index::{Index, IndexPage};
pub use read::{Frame, FrameSender, MessageReader};

/// Time to find the stories of what a session retrieved.
const NOTE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a box was not opened or closed.
#[derive(Debug, Error)]
pub enum MaildropError {
    /// Another session has it.
    #[error("the box is in use")]
    InUse {
        /// Since when, microseconds of the Unix epoch.
        since_micros: i64,
        /// The holder's client.
        peer_ip: String,
    },
    /// It was opened too short a time ago.
    #[error("the box was opened a moment ago")]
    TooSoon {
        /// It may be opened again after this time.
        left: Duration,
    },
    /// This session does not have it any more.
    #[error("the lock was lost")]
    LockLost,
    /// The box was removed while it was open.
    #[error("the mailbox was removed")]
    Removed,
    /// Nobody knows who has it.
    #[error("the lock store is away")]
    Lock(#[from] LockError),
    /// The database is away.
    #[error("the database is away")]
    Database(#[from] sqlx::Error),
    /// The directory is away.
    #[error("the directory is away: {}", .0.message())]
    Directory(#[source] Box<Status>),
}

impl MaildropError {
    /// The row of the failure table.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::InUse { .. } => Reason::MailboxInUse,
            Self::TooSoon { .. } => Reason::LoginTooSoon,
            Self::LockLost => Reason::LockLost,
            Self::Removed => Reason::MailboxRemoved,
            Self::Lock(_) | Self::Database(_) | Self::Directory(_) => Reason::Unavailable,
        }
    }
}

/// How messages that came with SMTPUTF8 are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// As they are stored, UTF-8 in the header too.
    Stored,
    /// With a header in ASCII (`content::plain`).
    Plain,
}

/// A box that this session holds.
#[derive(Debug)]
pub struct OpenBox {
    /// Token of its lock.
    pub token: i64,
    /// Part of its UIDLs.
    pub generation: u32,
    /// The first page of what it holds.
    pub first: Arc<IndexPage>,
    /// The pages after it.
    pub rest: Index,
}

/// All boxes. Clones are the same ones.
#[derive(Clone)]
pub struct Maildrops {
    store: Store,
    locks: Locks,
    blobs: Blobs,
    directory: Directory,
    listings: Listings,
}

impl Maildrops {
    /// On these stores.
    #[must_use]
    pub fn new(store: Store, locks: Locks, blobs: Blobs, directory: Directory) -> Self {
        Self { store, locks, blobs, directory, listings: Listings::new() }
    }

    /// Locks the box and reads the first page of its listing, with the sizes of this form.
    ///
    /// # Errors
    /// [`MaildropError::InUse`]; everything else is temporary, and the lock is free again.
    pub async fn open(
        &self,
        mailbox_id: i64,
        holder: &Holder,
        asked: Asked,
        form: Form,
    ) -> Result<OpenBox, MaildropError> {
        let token = match self.locks.open_box(mailbox_id, holder, asked).await? {
            Opened::Locked(token) => token,
            Opened::InUse { since_micros, peer_ip } => {
                return Err(MaildropError::InUse { since_micros, peer_ip });
            }
        };
        let opened = self.list_locked(mailbox_id, token, form).await;
        if opened.is_err() {
            self.free(mailbox_id, token).await;
        }
        opened
    }

    /// Refuses to open a free box that was opened lately.
    ///
    /// # Errors
    /// [`MaildropError::TooSoon`]; the lock store is away.
    pub async fn leave_alone(&self, mailbox_id: i64) -> Result<(), MaildropError> {
        match self.locks.opened_lately(mailbox_id).await? {
            Some(left) => Err(MaildropError::TooSoon { left }),
            None => Ok(()),
        }
    }

    /// Remembers for so many seconds that a box was opened.
    pub async fn note_opened(&self, mailbox_id: i64, seconds: u64) {
        self.locks.note_opened(mailbox_id, seconds).await;
    }

    async fn list_locked(&self, mailbox_id: i64, token: i64, form: Form) -> Result<OpenBox, MaildropError> {
        let (head, first, rest) = index::open(&self.store, &self.listings, mailbox_id, form).await?;
        let token = if token > head.last_delete_token {
            token
        } else {
            // Redis forgot everything and its clock went back: the token must still grow.
            let raised = self.locks.raise(mailbox_id, token, head.last_delete_token).await?;
            raised.ok_or(MaildropError::LockLost)?
        };
        Ok(OpenBox { token, generation: head.generation, first, rest })
    }

    /// Frees the box if this session still has it. A failure is no harm: the lock frees itself.
    pub async fn free(&self, mailbox_id: i64, token: i64) {
        if let Err(error) = self.locks.release(mailbox_id, token).await {
            tracing::debug!(%error, mailbox_id, "a lock is left to free itself");
        }
    }

    /// Renews locks; gives those that are lost.
    ///
    /// # Errors
    /// When Redis is away.
    pub async fn renew(&self, locks: &[(i64, i64)]) -> Result<Vec<(i64, i64)>, MaildropError> {
        Ok(self.locks.renew(locks).await?)
    }

    /// Deletes these messages and unlocks, in this order; the count of those that went. The session is over either way:
    /// the lock is freed also when nothing could be deleted.
    ///
    /// # Errors
    /// [`MaildropError::LockLost`], [`MaildropError::Removed`]; everything else is temporary. Nothing was deleted then,
    /// save that the outcome of a commit that could not be learned is unknown.
    pub async fn close(&self, mailbox_id: i64, token: i64, uids: &[i64]) -> Result<u64, MaildropError> {
        let outcome = if uids.is_empty() { Ok(0) } else { self.delete(mailbox_id, token, uids).await };
        self.free(mailbox_id, token).await;
        outcome
    }

    async fn delete(&self, mailbox_id: i64, token: i64, uids: &[i64]) -> Result<u64, MaildropError> {
        // Both must hold: Redis still names this token (here), and no newer one deleted (in the statement).
        if !self.locks.is_held(mailbox_id, token).await? {
            return Err(MaildropError::LockLost);
        }
        let known = self.directory.mailbox(mailbox_id).await;
        let identity = known.map_err(|status| MaildropError::Directory(Box::new(status)))?;
        if identity.is_none_or(|mailbox| mailbox.removed) {
            return Err(MaildropError::Removed);
        }
        let deleted = delete::delete(&self.store, mailbox_id, token, uids).await?;
        self.store.changed().note([mailbox_id]);
        self.store.notes().deleted(mailbox_id, &deleted.message_ids);
        if !deleted.blob_keys.is_empty() {
            // What fails here is found by the sweep.
            let blobs = self.blobs.clone();
            tokio::spawn(async move { references::remove_blobs(&blobs, deleted.blob_keys).await });
        }
        Ok(deleted.count)
    }

    /// Notes in their stories that these messages were sent to the owner's mail program. To be called before they are
    /// deleted. The story is no reason to keep a session: what cannot be noted soon is left out.
    pub async fn note_retrieved(&self, mailbox_id: i64, uids: &[i64]) {
        const MESSAGES: &str = "SELECT message_id FROM entries WHERE mailbox_id = $1 AND uid = ANY ($2)";
        if uids.is_empty() {
            return;
        }
        let ask = || sqlx::query(MESSAGES).bind(mailbox_id).bind(uids);
        let asked = tokio::time::timeout(NOTE_TIMEOUT, self.store.read(ask)).await;
        let found = asked.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        match found.and_then(|rows| rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<_>, _>>()) {
            Ok(messages) => self.store.notes().read(mailbox_id, &messages),
            Err(error) => tracing::warn!(%error, mailbox_id, "what was retrieved is not noted"),
        }
    }

    /// Reads messages of a box.
    #[must_use]
    pub fn reader(&self, mailbox_id: i64, form: Form) -> MessageReader {
        MessageReader::new(self.store.clone(), self.blobs.clone(), mailbox_id, form)
    }
}
