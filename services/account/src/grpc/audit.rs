//! `postern.account.v1.AuditService`.

use std::sync::Arc;

use postern_proto::{
    account::v1::{
        AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse, RecordAuditEntryRequest,
        RecordAuditEntryResponse, RestoreAuditEntryRequest, RestoreAuditEntryResponse,
        audit_service_server::AuditService,
    },
    google::Timestamp,
};
use tonic::{Request, Response, Status};

use super::{opened, present};
use crate::{
    Account,
    error::AccountError,
    fields::{self, invalid},
    paging::Page,
    store::audit::EntryFilter,
};

/// Octets of a text that another service gives, and of one that is looked for.
const TEXT_MAX_BYTES: usize = 1024;
/// Octets of the JSON of a thing.
const JSON_MAX_BYTES: usize = 256 * 1024;

pub(super) struct Audit(pub(super) Arc<Account>);

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let page = Page::new(request.page_size, &request.page_token)?;
        let (entries, next_page_token) = self.0.audit_entries(&caller, filter(request)?, &page).await?;
        Ok(Response::new(ListAuditEntriesResponse { entries, next_page_token }))
    }

    async fn restore_audit_entry(
        &self,
        request: Request<RestoreAuditEntryRequest>,
    ) -> Result<Response<RestoreAuditEntryResponse>, Status> {
        let (caller, request) = opened(request)?;
        let entry = Some(self.0.restore_audit_entry(&caller, request.audit_id).await?);
        Ok(Response::new(RestoreAuditEntryResponse { entry }))
    }

    async fn record_audit_entry(
        &self,
        request: Request<RecordAuditEntryRequest>,
    ) -> Result<Response<RecordAuditEntryResponse>, Status> {
        let (_caller, request) = opened(request)?;
        let entry = present("entry", request.entry)?;
        check(&entry)?;
        self.0.record_audit_entry(entry, request.mailbox_id).await?;
        Ok(Response::new(RecordAuditEntryResponse {}))
    }
}

fn filter(request: ListAuditEntriesRequest) -> Result<EntryFilter, AccountError> {
    Ok(EntryFilter {
        customer: match request.customer.as_str() {
            "" => None,
            login => Some(fields::login("customer", login)?),
        },
        kind: word("kind", request.kind)?,
        name: word("name", request.name)?,
        action: word("action", request.action)?,
        actor: word("actor", request.actor)?,
        start_micros: micros("start_time", request.start_time.as_ref())?,
        end_micros: micros("end_time", request.end_time.as_ref())?,
    })
}

/// Empty: any.
fn word(field: &str, text: String) -> Result<Option<String>, AccountError> {
    if text.len() > TEXT_MAX_BYTES || text.chars().any(char::is_control) {
        return invalid(field, format_args!("at most {TEXT_MAX_BYTES} octets, no control characters"));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn micros(field: &str, time: Option<&Timestamp>) -> Result<Option<i64>, AccountError> {
    let Some(time) = time else { return Ok(None) };
    // Postgres knows no time beyond these.
    if !(-210_866_803_200..=9_224_318_015_999).contains(&time.seconds) {
        return invalid(field, "is no time that can be");
    }
    Ok(Some(time.seconds * 1_000_000 + i64::from(time.nanos / 1000)))
}

fn check(entry: &AuditEntry) -> Result<(), AccountError> {
    for (field, text) in [
        ("entry.actor_role", &entry.actor_role),
        ("entry.actor", &entry.actor),
        ("entry.kind", &entry.kind),
        ("entry.action", &entry.action),
    ] {
        if text.is_empty() {
            return invalid(field, "is missing");
        }
        word(field, text.clone())?;
    }
    for (field, text) in
        [("entry.peer_ip", &entry.peer_ip), ("entry.customer", &entry.customer), ("entry.name", &entry.name)]
    {
        word(field, text.clone())?;
    }
    for (field, json) in [("entry.before_json", &entry.before_json), ("entry.after_json", &entry.after_json)]
    {
        if json.len() > JSON_MAX_BYTES || json.contains('\0') {
            return invalid(field, format_args!("at most {JSON_MAX_BYTES} octets, without NUL"));
        }
    }
    Ok(())
}
