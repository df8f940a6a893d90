//! `BoxService`: a look at a box from outside a session, and what owners and support do to it, translated to `vault` and
//! `transfer`.

mod export;
mod import;

use futures_util::{StreamExt as _, stream::BoxStream};
use postern_mail::Reason;
use postern_mesh::{
    audit::{Action, Thing},
    directory::Directory,
    failure,
    identity::Caller,
    opened,
};
use postern_proto::{
    account::v1::MailboxIdentity,
    delivery::v1::{
        Box as MailBox, ClearBoxRequest, ClearBoxResponse, ClearScope, Clearing as ClearingMessage,
        ExportMessagesRequest, ExportMessagesResponse, GetBoxRequest, GetBoxResponse, ImportMessagesRequest,
        ImportMessagesResponse, ListClearingsRequest, ListClearingsResponse, ListImportsRequest,
        ListImportsResponse, MoveMessagesRequest, MoveMessagesResponse, RestoreBoxRequest,
        RestoreBoxResponse, box_service_server::BoxService,
    },
    google::Timestamp,
};
use serde::Serialize;
use sqlx::{Row as _, postgres::PgRow};
use std::{sync::Arc, time::Duration};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::rights::{Deed, Rights};
use crate::{
    maildrop::Maildrops,
    store::Store,
    transfer::{Importer, courses},
    vault::{Cleared, Clearing, Scope, Vault, VaultError},
};

/// Who asked for a clearing in the background hears its end when it comes within this time.
const BACKGROUND_AFTER: Duration = Duration::from_secs(1);
/// Answers of an export on their way.
const ANSWERS_AHEAD: usize = 2;

/// A box that never got mail has no row: it is an empty one. Times as microseconds of the Unix epoch.
const GET: &str = "
SELECT (SELECT generation FROM store) AS generation, m.used_bytes, m.message_count,
    (SELECT (extract(epoch FROM accept_time) * 1000000)::bigint FROM entries
        WHERE mailbox_id = $1 ORDER BY uid LIMIT 1) AS oldest,
    (SELECT (extract(epoch FROM accept_time) * 1000000)::bigint FROM entries
        WHERE mailbox_id = $1 ORDER BY uid DESC LIMIT 1) AS newest,
    v.messages AS vault_messages, v.bytes AS vault_bytes
FROM (SELECT count(*) AS messages, coalesce(sum(size_bytes), 0)::bigint AS bytes FROM vault WHERE mailbox_id = $1) AS v
LEFT JOIN mailboxes m ON m.mailbox_id = $1";

/// The door.
pub(crate) struct BoxDoor {
    pub(crate) store: Store,
    pub(crate) maildrops: Maildrops,
    pub(crate) vault: Vault,
    pub(crate) importer: Importer,
    pub(crate) directory: Directory,
    pub(crate) rights: Rights,
}

impl BoxDoor {
    /// Refuses a caller whose box this is not.
    async fn may_touch(&self, caller: &Caller, mailbox_id: i64) -> Result<(), Status> {
        self.rights.may_touch_box(caller, mailbox_id, || not_found(mailbox_id)).await
    }

    /// The mailbox of a box, removed or not.
    async fn mailbox(&self, mailbox_id: i64) -> Result<Arc<MailboxIdentity>, Status> {
        let known = self.directory.mailbox(mailbox_id).await.map_err(|status| {
            tracing::warn!(mailbox_id, error = status.message(), "a mailbox cannot be looked up now");
            failure::status(Reason::Unavailable)
        })?;
        known.ok_or_else(|| not_found(mailbox_id))
    }
}

async fn record<T: Serialize>(rights: &Rights, caller: &Caller, mailbox_id: i64, action: Action, done: &T) {
    let after_json = serde_json::to_string(done).unwrap_or_default();
    let deed = Deed { mailbox_id, kind: Thing::Box, action, before_json: String::new(), after_json };
    rights.record(caller, deed).await;
}

#[tonic::async_trait]
impl BoxService for BoxDoor {
    async fn get_box(&self, request: Request<GetBoxRequest>) -> Result<Response<GetBoxResponse>, Status> {
        let (caller, GetBoxRequest { mailbox_id }) = opened(request)?;
        self.may_touch(&caller, mailbox_id).await?;
        let ask = || sqlx::query(GET).bind(mailbox_id);
        let row = self.store.read_one(ask).await.and_then(|row| mail_box(mailbox_id, &row));
        let found = row.map_err(|error| away(mailbox_id, &error))?;
        Ok(Response::new(GetBoxResponse { r#box: Some(found) }))
    }

    async fn clear_box(
        &self,
        request: Request<ClearBoxRequest>,
    ) -> Result<Response<ClearBoxResponse>, Status> {
        let (caller, ClearBoxRequest { mailbox_id, scope, validate_only, in_background }) = opened(request)?;
        let scope = match ClearScope::try_from(scope) {
            Ok(ClearScope::Damaged) => Scope::Damaged,
            Ok(ClearScope::All) => Scope::All,
            _ => return Err(invalid("scope: DAMAGED or ALL")),
        };
        self.may_touch(&caller, mailbox_id).await?;
        self.mailbox(mailbox_id).await?;
        let refused = |error| refused(mailbox_id, &error);
        if validate_only {
            let cleared = self.vault.would_clear(mailbox_id, scope).await.map_err(refused)?;
            return Ok(Response::new(clear_response(cleared)));
        }
        let begun = self.vault.begin_clearing(mailbox_id, scope).await.map_err(refused)?;
        let (vault, rights) = (self.vault.clone(), self.rights.clone());
        // On its own: when the caller goes away, it goes on, and is told to the audit.
        let mut clearing = tokio::spawn(async move {
            let cleared = clear_response(vault.run_clearing(begun, in_background).await?);
            if cleared.cleared_count > 0 {
                let messages = cleared.cleared_count;
                tracing::info!(mailbox_id, messages, ?scope, "messages went to the vault");
                record(&rights, &caller, mailbox_id, Action::Clear, &cleared).await;
            }
            Ok(cleared)
        });
        let patience = if in_background { BACKGROUND_AFTER } else { Duration::MAX };
        let cleared = match tokio::time::timeout(patience, &mut clearing).await {
            Ok(ended) => ended.unwrap_or_else(|_| Err(VaultError::Stopped)).map_err(refused)?,
            Err(_) => ClearBoxResponse {
                clearing_id: begun.clearing_id,
                restorable_until_time: Some(timestamp(begun.until_micros)),
                ..ClearBoxResponse::default()
            },
        };
        Ok(Response::new(cleared))
    }

    async fn list_clearings(
        &self,
        request: Request<ListClearingsRequest>,
    ) -> Result<Response<ListClearingsResponse>, Status> {
        let (caller, ListClearingsRequest { mailbox_id, with_empty }) = opened(request)?;
        self.may_touch(&caller, mailbox_id).await?;
        let clearings = self.vault.clearings(mailbox_id, with_empty).await;
        let clearings = clearings.map_err(|error| refused(mailbox_id, &error))?;
        let clearings =
            clearings.into_iter().map(|clearing| clearing_message(mailbox_id, clearing)).collect();
        Ok(Response::new(ListClearingsResponse { clearings }))
    }

    async fn restore_box(
        &self,
        request: Request<RestoreBoxRequest>,
    ) -> Result<Response<RestoreBoxResponse>, Status> {
        let (caller, RestoreBoxRequest { mailbox_id, clearing_id }) = opened(request)?;
        self.may_touch(&caller, mailbox_id).await?;
        let restored = self.vault.restore(mailbox_id, clearing_id).await;
        let restored_count = restored.map_err(|error| refused(mailbox_id, &error))?;
        let restored = RestoreBoxResponse { restored_count };
        if restored_count > 0 {
            record(&self.rights, &caller, mailbox_id, Action::Restore, &restored).await;
        }
        Ok(Response::new(restored))
    }

    async fn move_messages(
        &self,
        request: Request<MoveMessagesRequest>,
    ) -> Result<Response<MoveMessagesResponse>, Status> {
        let (caller, MoveMessagesRequest { from_mailbox_id, to_mailbox_id }) = opened(request)?;
        for mailbox_id in [from_mailbox_id, to_mailbox_id] {
            self.may_touch(&caller, mailbox_id).await?;
        }
        let (from, to) = (self.mailbox(from_mailbox_id).await?, self.mailbox(to_mailbox_id).await?);
        if !from.removed {
            return Err(precondition(
                "from_mailbox_id: this mailbox is not removed, its mail stays where it is",
            ));
        }
        if to.removed {
            return Err(precondition("to_mailbox_id: this mailbox is removed"));
        }
        if from.customer != to.customer {
            return Err(precondition("to_mailbox_id: mail moves between mailboxes of one customer only"));
        }
        let moved = self.vault.merge(from_mailbox_id, to_mailbox_id).await;
        let moved_count = moved.map_err(|error| refused(from_mailbox_id, &error))?;
        let moved = MoveMessagesResponse { moved_count };
        if moved_count > 0 {
            record(&self.rights, &caller, to_mailbox_id, Action::Merge, &moved).await;
        }
        Ok(Response::new(moved))
    }

    async fn import_messages(
        &self,
        request: Request<Streaming<ImportMessagesRequest>>,
    ) -> Result<Response<ImportMessagesResponse>, Status> {
        let (caller, mut frames) = opened(request)?;
        let Some(first) = frames.message().await? else {
            return Err(import::invalid("mailbox_id: missing, the stream has no frame"));
        };
        let mailbox_id = first.mailbox_id;
        self.may_touch(&caller, mailbox_id).await?;
        let mailbox = self.mailbox(mailbox_id).await?;
        if mailbox.removed {
            return Err(not_found(mailbox_id));
        }
        let begun = self.importer.begin(mailbox_id, mailbox.quota_bytes, mailbox.full).await;
        let begun = begun.map_err(|error| import::status(&error))?;
        let course = import::course(&self.store, &first).await?;
        let rights = self.rights.clone();
        // On its own: when the caller goes away, it is still written down how far it came.
        let importing = tokio::spawn(async move {
            let imported = import::take_all(begun, course, first, &mut frames).await?;
            record(&rights, &caller, mailbox_id, Action::Import, &imported).await;
            Ok(Response::new(imported))
        });
        importing.await.unwrap_or_else(|_| Err(failure::status(Reason::Unavailable)))
    }

    async fn list_imports(
        &self,
        request: Request<ListImportsRequest>,
    ) -> Result<Response<ListImportsResponse>, Status> {
        let (caller, ListImportsRequest { mailbox_id }) = opened(request)?;
        self.may_touch(&caller, mailbox_id).await?;
        let courses = courses(&self.store, mailbox_id).await.map_err(|error| away(mailbox_id, &error))?;
        let imports = courses.into_iter().map(import::told).collect();
        Ok(Response::new(ListImportsResponse { imports }))
    }

    type ExportMessagesStream = BoxStream<'static, Result<ExportMessagesResponse, Status>>;

    async fn export_messages(
        &self,
        request: Request<ExportMessagesRequest>,
    ) -> Result<Response<Self::ExportMessagesStream>, Status> {
        let (caller, ExportMessagesRequest { mailbox_id }) = opened(request)?;
        self.may_touch(&caller, mailbox_id).await?;
        self.mailbox(mailbox_id).await?;
        let (answer, stream) = mpsc::channel(ANSWERS_AHEAD);
        tokio::spawn(export::run(self.store.clone(), self.maildrops.clone(), mailbox_id, answer));
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }
}

fn not_found(mailbox_id: i64) -> Status {
    failure::status_with(Reason::NotFound, format!("there is no mailbox {mailbox_id}"))
}

fn invalid(detail: &'static str) -> Status {
    failure::status_with(Reason::InvalidArgument, detail)
}

fn precondition(detail: &'static str) -> Status {
    failure::status_with(Reason::FailedPrecondition, detail)
}

fn away(mailbox_id: i64, error: &sqlx::Error) -> Status {
    tracing::warn!(%error, mailbox_id, "a box cannot be looked at now");
    failure::status_with(Reason::Unavailable, error.to_string())
}

fn refused(mailbox_id: i64, error: &VaultError) -> Status {
    match error {
        VaultError::NoSuchClearing(_) => failure::status_with(error.reason(), error.to_string()),
        VaultError::Database(source) => away(mailbox_id, source),
        VaultError::Stopped => failure::status(error.reason()),
    }
}

fn clear_response(cleared: Cleared) -> ClearBoxResponse {
    ClearBoxResponse {
        checked_count: cleared.checked,
        cleared_count: cleared.messages,
        cleared_bytes: cleared.bytes,
        clearing_id: cleared.clearing_id,
        restorable_until_time: cleared.until_micros.map(timestamp),
    }
}

fn clearing_message(mailbox_id: i64, clearing: Clearing) -> ClearingMessage {
    let (total_count, checked_count, cleared_count) = clearing.counts;
    ClearingMessage {
        clearing_id: clearing.id,
        mailbox_id,
        scope: i32::from(clearing.scope.code()),
        message_count: clearing.messages,
        bytes: clearing.bytes,
        clear_time: Some(timestamp(clearing.clear_micros)),
        restorable_until_time: Some(timestamp(clearing.until_micros)),
        state: i32::from(clearing.state),
        total_count,
        checked_count,
        cleared_count,
    }
}

/// Microseconds of the Unix epoch.
fn timestamp(micros: i64) -> Timestamp {
    Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0),
    }
}

fn mail_box(mailbox_id: i64, row: &PgRow) -> Result<MailBox, sqlx::Error> {
    let time = |column| -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(timestamp))
    };
    Ok(MailBox {
        mailbox_id,
        message_count: row.try_get::<Option<i64>, _>("message_count")?.unwrap_or(0),
        used_bytes: row.try_get::<Option<i64>, _>("used_bytes")?.unwrap_or(0),
        oldest_message_time: time("oldest")?,
        newest_message_time: time("newest")?,
        generation: row.try_get::<i32, _>("generation")?.cast_unsigned(),
        vault_message_count: row.try_get("vault_messages")?,
        vault_bytes: row.try_get("vault_bytes")?,
    })
}
