//! `BoxService`: a look at a box from outside a session.

use futures_util::stream::BoxStream;
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::{
    delivery::v1::{
        Box as MailBox, ClearBoxRequest, ClearBoxResponse, ExportMessagesRequest, ExportMessagesResponse,
        GetBoxRequest, GetBoxResponse, ImportMessagesRequest, ImportMessagesResponse, ListClearingsRequest,
        ListClearingsResponse, MoveMessagesRequest, MoveMessagesResponse, RestoreBoxRequest,
        RestoreBoxResponse, box_service_server::BoxService,
    },
    google::Timestamp,
};
use sqlx::{Row as _, postgres::PgRow};
use tonic::{Request, Response, Status, Streaming};

use super::rights::{Rights, opened};
use crate::store::Store;

/// A box that never got mail has no row: it is an empty one. Times as microseconds of the Unix epoch.
const GET: &str = "
SELECT (SELECT generation FROM store) AS generation, m.used_bytes, m.message_count,
    (SELECT (extract(epoch FROM accept_time) * 1000000)::bigint FROM entries
        WHERE mailbox_id = $1 ORDER BY uid LIMIT 1) AS oldest,
    (SELECT (extract(epoch FROM accept_time) * 1000000)::bigint FROM entries
        WHERE mailbox_id = $1 ORDER BY uid DESC LIMIT 1) AS newest
FROM (SELECT 1) AS one LEFT JOIN mailboxes m ON m.mailbox_id = $1";

/// The door.
pub(crate) struct BoxDoor {
    store: Store,
    rights: Rights,
}

impl BoxDoor {
    pub(crate) fn new(store: Store, rights: Rights) -> Self {
        Self { store, rights }
    }
}

#[tonic::async_trait]
impl BoxService for BoxDoor {
    async fn get_box(&self, request: Request<GetBoxRequest>) -> Result<Response<GetBoxResponse>, Status> {
        let (caller, GetBoxRequest { mailbox_id }) = opened(request)?;
        self.rights.may_touch_box(&caller, mailbox_id, || not_found(mailbox_id)).await?;
        let ask = || sqlx::query(GET).bind(mailbox_id);
        let row = self.store.read_one(ask).await.and_then(|row| mail_box(mailbox_id, &row));
        let found = row.map_err(|error| {
            tracing::warn!(%error, mailbox_id, "a box cannot be looked at now");
            failure::status_with(Reason::Unavailable, error.to_string())
        })?;
        Ok(Response::new(GetBoxResponse { r#box: Some(found) }))
    }

    async fn clear_box(
        &self,
        _request: Request<ClearBoxRequest>,
    ) -> Result<Response<ClearBoxResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn list_clearings(
        &self,
        _request: Request<ListClearingsRequest>,
    ) -> Result<Response<ListClearingsResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn restore_box(
        &self,
        _request: Request<RestoreBoxRequest>,
    ) -> Result<Response<RestoreBoxResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn move_messages(
        &self,
        _request: Request<MoveMessagesRequest>,
    ) -> Result<Response<MoveMessagesResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    async fn import_messages(
        &self,
        _request: Request<Streaming<ImportMessagesRequest>>,
    ) -> Result<Response<ImportMessagesResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }

    type ExportMessagesStream = BoxStream<'static, Result<ExportMessagesResponse, Status>>;

    async fn export_messages(
        &self,
        _request: Request<ExportMessagesRequest>,
    ) -> Result<Response<Self::ExportMessagesStream>, Status> {
        Err(Status::unimplemented("not built yet"))
    }
}

fn not_found(mailbox_id: i64) -> Status {
    failure::status_with(Reason::NotFound, format!("there is no mailbox {mailbox_id}"))
}

fn mail_box(mailbox_id: i64, row: &PgRow) -> Result<MailBox, sqlx::Error> {
    let time = |column| -> Result<Option<Timestamp>, sqlx::Error> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(|micros| Timestamp {
            seconds: micros.div_euclid(1_000_000),
            nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0),
        }))
    };
    Ok(MailBox {
        mailbox_id,
        message_count: row.try_get::<Option<i64>, _>("message_count")?.unwrap_or(0),
        used_bytes: row.try_get::<Option<i64>, _>("used_bytes")?.unwrap_or(0),
        oldest_message_time: time("oldest")?,
        newest_message_time: time("newest")?,
        generation: row.try_get::<i32, _>("generation")?.cast_unsigned(),
        ..MailBox::default()
    })
}
