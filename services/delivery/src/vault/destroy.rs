//! The end of what nobody brought back: mail of mailboxes whose days are over, which account names, and clearings whose days
//! are over. The only place where mail ends that no owner deleted.

use std::time::Duration;

use postern_mesh::{client::MeshChannel, directory::Directory, shutdown::Shutdown};
use postern_proto::account::v1::{
    ConfirmDestroyedMailboxesRequest, ListExpiredMailboxesRequest,
    storage_service_client::StorageServiceClient,
};
use sqlx::Row as _;
use thiserror::Error;
use tonic::Status;

use super::{STEP, Vault};
use crate::references::{release_gone, remove_blobs};

/// Mailboxes that one question to account names.
const MAILBOXES_AT_ONCE: i32 = 100;
/// Clearings that one question to the database names.
const CLEARINGS_AT_ONCE: i64 = 100;

const END_ENTRIES: &str = concat!(
    "WITH guard AS (
        SELECT mailbox_id FROM mailboxes WHERE mailbox_id = $1 FOR UPDATE
    ), gone AS (
        DELETE FROM entries WHERE mailbox_id = $1 AND EXISTS (SELECT FROM guard)
            AND uid IN (SELECT uid FROM entries WHERE mailbox_id = $1 ORDER BY uid LIMIT $2)
        RETURNING message_id, size_bytes
    ), total AS (
        SELECT count(*) AS messages, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM gone
    ), used AS (
        UPDATE mailboxes m SET used_bytes = m.used_bytes - t.bytes, message_count = m.message_count - t.messages,
            usage_version = m.usage_version + 1
        FROM guard g, total t WHERE m.mailbox_id = g.mailbox_id
    ), ",
    release_gone!(),
    "SELECT (SELECT messages FROM total) AS gone,
        ARRAY (SELECT blob_key FROM removed WHERE blob_key IS NOT NULL) AS blob_keys"
);

const END_CLEARING: &str = concat!(
    "WITH guard AS (
        SELECT mailbox_id FROM mailboxes WHERE mailbox_id = $1 FOR UPDATE
    ), gone AS (
        DELETE FROM vault WHERE mailbox_id = $1 AND clearing_id = $3 AND EXISTS (SELECT FROM guard)
            AND uid IN (SELECT uid FROM vault WHERE mailbox_id = $1 AND clearing_id = $3 ORDER BY uid LIMIT $2)
        RETURNING message_id
    ), ",
    release_gone!(),
    "SELECT (SELECT count(*) FROM gone) AS gone,
        ARRAY (SELECT blob_key FROM removed WHERE blob_key IS NOT NULL) AS blob_keys"
);

/// Why a round stopped early; the next one goes on.
#[derive(Debug, Error)]
pub enum DestroyError {
    /// The database is away.
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    /// Account is away.
    #[error("account did not answer: {}", .0.message())]
    Account(#[source] Box<Status>),
}

impl From<Status> for DestroyError {
    fn from(status: Status) -> Self {
        Self::Account(Box::new(status))
    }
}

/// What one round ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Destroyed {
    /// Mailboxes that hold nothing any more.
    pub mailboxes: u64,
    /// Clearings.
    pub clearings: u64,
    /// Entries and vault rows.
    pub messages: u64,
}

/// Ends what is over.
pub struct Destroyer {
    vault: Vault,
    directory: Directory,
    account: StorageServiceClient<MeshChannel>,
}

/// Rounds until the shutdown.
pub async fn run(destroyer: Destroyer, every: Duration, shutdown: Shutdown) {
    loop {
        let round = async {
            tokio::time::sleep(every).await;
            destroyer.round().await
        };
        tokio::select! {
            destroyed = round => match destroyed {
                Ok(Destroyed { mailboxes: 0, clearings: 0, .. }) => {}
                Ok(Destroyed { mailboxes, clearings, messages }) => {
                    tracing::info!(mailboxes, clearings, messages, "the vault is emptied of what is over");
                }
                Err(error) => tracing::warn!(%error, cause = ?std::error::Error::source(&error), "the vault is emptied later"),
            },
            () = shutdown.triggered() => return,
        }
    }
}

impl Destroyer {
    /// Over this vault; account says which mailboxes are over.
    #[must_use]
    pub fn new(vault: Vault, directory: Directory, account: MeshChannel) -> Self {
        Self { vault, directory, account: StorageServiceClient::new(account) }
    }

    /// One round.
    ///
    /// # Errors
    /// When a part is away; what ended before stays so.
    pub async fn round(&self) -> Result<Destroyed, DestroyError> {
        let mut destroyed = Destroyed::default();
        self.end_mailboxes(&mut destroyed).await?;
        self.end_clearings(&mut destroyed).await?;
        Ok(destroyed)
    }

    async fn end_mailboxes(&self, destroyed: &mut Destroyed) -> Result<(), DestroyError> {
        loop {
            let request = ListExpiredMailboxesRequest { page_size: MAILBOXES_AT_ONCE };
            let expired =
                self.account.clone().list_expired_mailboxes(request).await?.into_inner().mailbox_ids;
            if expired.is_empty() {
                return Ok(());
            }
            let mut ended = Vec::with_capacity(expired.len());
            for mailbox_id in expired {
                // Asked twice, for this cannot be undone: never the mail of a mailbox that lives.
                let known = self.directory.mailbox(mailbox_id).await?;
                if known.is_some_and(|mailbox| mailbox.removed) {
                    destroyed.messages += self.end_mailbox(mailbox_id).await?;
                    ended.push(mailbox_id);
                } else {
                    tracing::error!(
                        mailbox_id,
                        "account calls a mailbox over that it does not call removed; it is kept"
                    );
                }
            }
            destroyed.mailboxes += ended.len() as u64;
            let is_stuck = ended.is_empty();
            let request = ConfirmDestroyedMailboxesRequest { mailbox_ids: ended };
            self.account.clone().confirm_destroyed_mailboxes(request).await?;
            if is_stuck {
                return Ok(());
            }
        }
    }

    /// Everything of one mailbox.
    async fn end_mailbox(&self, mailbox_id: i64) -> Result<u64, sqlx::Error> {
        let pool = self.vault.store.pool();
        let mut ended = 0;
        loop {
            let row = sqlx::query(END_ENTRIES).bind(mailbox_id).bind(STEP).fetch_one(pool).await?;
            let gone: i64 = row.try_get("gone")?;
            remove_blobs(&self.vault.blobs, row.try_get("blob_keys")?).await;
            if gone == 0 {
                break;
            }
            ended += gone.cast_unsigned();
        }
        let clearings: Vec<i64> =
            sqlx::query_scalar("SELECT clearing_id FROM clearings WHERE mailbox_id = $1")
                .bind(mailbox_id)
                .fetch_all(pool)
                .await?;
        for clearing_id in clearings {
            ended += self.end_clearing(mailbox_id, clearing_id).await?;
        }
        sqlx::query("DELETE FROM mailboxes WHERE mailbox_id = $1 AND message_count = 0")
            .bind(mailbox_id)
            .execute(pool)
            .await?;
        Ok(ended)
    }

    async fn end_clearings(&self, destroyed: &mut Destroyed) -> Result<(), DestroyError> {
        loop {
            let over: Vec<(i64, i64)> = sqlx::query_as(
                "SELECT mailbox_id, clearing_id FROM clearings WHERE clear_time <= now() - make_interval(days => $1)
                ORDER BY clear_time LIMIT $2",
            )
            .bind(self.vault.days)
            .bind(CLEARINGS_AT_ONCE)
            .fetch_all(self.vault.store.pool())
            .await?;
            if over.is_empty() {
                return Ok(());
            }
            for (mailbox_id, clearing_id) in over {
                destroyed.messages += self.end_clearing(mailbox_id, clearing_id).await?;
                destroyed.clearings += 1;
            }
        }
    }

    async fn end_clearing(&self, mailbox_id: i64, clearing_id: i64) -> Result<u64, sqlx::Error> {
        let pool = self.vault.store.pool();
        let mut ended = 0;
        loop {
            let row = sqlx::query(END_CLEARING)
                .bind(mailbox_id)
                .bind(STEP)
                .bind(clearing_id)
                .fetch_one(pool)
                .await?;
            let gone: i64 = row.try_get("gone")?;
            remove_blobs(&self.vault.blobs, row.try_get("blob_keys")?).await;
            if gone == 0 {
                break;
            }
            ended += gone.cast_unsigned();
        }
        sqlx::query("DELETE FROM clearings WHERE clearing_id = $1").bind(clearing_id).execute(pool).await?;
        Ok(ended)
    }
}
