//! `postern.account.v1.StorageService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    ConfirmDestroyedMailboxesRequest, ConfirmDestroyedMailboxesResponse, ListExpiredMailboxesRequest,
    ListExpiredMailboxesResponse, ReportBoxUsageRequest, ReportBoxUsageResponse,
    storage_service_server::StorageService,
};
use tonic::{Request, Response, Status};

use super::opened;
use crate::{Account, error::AccountError, fields::invalid, paging::Page};

/// Boxes of one report, and mailboxes of one confirmation.
const BATCH_MAX: usize = 1000;

pub(super) struct Storage(pub(super) Arc<Account>);

#[tonic::async_trait]
impl StorageService for Storage {
    async fn report_box_usage(
        &self,
        request: Request<ReportBoxUsageRequest>,
    ) -> Result<Response<ReportBoxUsageResponse>, Status> {
        let (caller, ReportBoxUsageRequest { boxes }) = opened(request)?;
        at_most("boxes", boxes.len())?;
        if boxes.iter().any(|told| told.used_bytes < 0 || told.message_count < 0) {
            invalid::<()>("boxes", "used_bytes and message_count are not negative")?;
        }
        self.0.report_usage(&caller, &boxes).await?;
        Ok(Response::new(ReportBoxUsageResponse {}))
    }

    async fn list_expired_mailboxes(
        &self,
        request: Request<ListExpiredMailboxesRequest>,
    ) -> Result<Response<ListExpiredMailboxesResponse>, Status> {
        let (_, ListExpiredMailboxesRequest { page_size }) = opened(request)?;
        let page = Page::new(page_size, "")?;
        let mailbox_ids = self.0.expired_mailboxes(page.limit() - 1).await?;
        Ok(Response::new(ListExpiredMailboxesResponse { mailbox_ids }))
    }

    async fn confirm_destroyed_mailboxes(
        &self,
        request: Request<ConfirmDestroyedMailboxesRequest>,
    ) -> Result<Response<ConfirmDestroyedMailboxesResponse>, Status> {
        let (caller, ConfirmDestroyedMailboxesRequest { mailbox_ids }) = opened(request)?;
        at_most("mailbox_ids", mailbox_ids.len())?;
        self.0.forget_mailboxes(&caller, &mailbox_ids).await?;
        Ok(Response::new(ConfirmDestroyedMailboxesResponse {}))
    }
}

fn at_most(field: &str, count: usize) -> Result<(), AccountError> {
    if count > BATCH_MAX { invalid(field, format_args!("at most {BATCH_MAX}")) } else { Ok(()) }
}
