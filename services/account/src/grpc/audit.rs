//! `postern.account.v1.AuditService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    ListAuditEntriesRequest, ListAuditEntriesResponse, RecordAuditEntryRequest, RecordAuditEntryResponse,
    RestoreAuditEntryRequest, RestoreAuditEntryResponse, audit_service_server::AuditService,
};
use tonic::{Request, Response, Status};

use super::opened;
use crate::Account;

pub(super) struct Audit(pub(super) Arc<Account>);

#[tonic::async_trait]
impl AuditService for Audit {
    async fn list_audit_entries(
        &self,
        _request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
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
        _request: Request<RecordAuditEntryRequest>,
    ) -> Result<Response<RecordAuditEntryResponse>, Status> {
        Err(Status::unimplemented("not built yet"))
    }
}
