//! `postern.account.v1.DirectoryService`.

use std::{pin::Pin, sync::Arc};

use futures_util::{Stream, StreamExt as _, stream};
use postern_mail::EmailAddress;
use postern_mesh::shutdown::Shutdown;
use postern_proto::account::v1::{
    BatchResolveRecipientsRequest, BatchResolveRecipientsResponse, LookupDomainRequest, LookupDomainResponse,
    LookupLoginRequest, LookupLoginResponse, LookupMailboxRequest, LookupMailboxResponse,
    ResolveRecipientRequest, ResolveRecipientResponse, WatchChangesRequest, WatchChangesResponse,
    directory_service_server::DirectoryService,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tonic::{Request, Response, Status};

use crate::{
    Account,
    changes::{Changes, reset},
    error::AccountError,
    fields::{self, invalid},
};

/// Addresses of one batch.
const BATCH_MAX: usize = 1000;

pub(super) struct Directory {
    pub(super) account: Arc<Account>,
    pub(super) changes: Changes,
    pub(super) shutdown: Shutdown,
}

#[tonic::async_trait]
impl DirectoryService for Directory {
    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn resolve_recipient(
        &self,
        request: Request<ResolveRecipientRequest>,
    ) -> Result<Response<ResolveRecipientResponse>, Status> {
        let address = fields::address("address", &request.into_inner().address)?;
        let resolution = self.account.resolve(std::slice::from_ref(&address)).await?.pop();
        Ok(Response::new(ResolveRecipientResponse { resolution }))
    }

    async fn batch_resolve_recipients(
        &self,
        request: Request<BatchResolveRecipientsRequest>,
    ) -> Result<Response<BatchResolveRecipientsResponse>, Status> {
        let addresses = batch(&request.into_inner().addresses)?;
        let resolutions = self.account.resolve(&addresses).await?;
        Ok(Response::new(BatchResolveRecipientsResponse { resolutions }))
    }

    async fn lookup_login(
        &self,
        request: Request<LookupLoginRequest>,
    ) -> Result<Response<LookupLoginResponse>, Status> {
        let LookupLoginRequest { login, for_panel } = request.into_inner();
        let identity = match for_panel {
            true => self.account.panel_login(&login).await?,
            false => self.account.login(&login).await?,
        };
        Ok(Response::new(LookupLoginResponse { identity }))
    }

    async fn lookup_mailbox(
        &self,
        request: Request<LookupMailboxRequest>,
    ) -> Result<Response<LookupMailboxResponse>, Status> {
        let mailbox = self.account.mailbox_identity(request.into_inner().mailbox_id).await?;
        Ok(Response::new(LookupMailboxResponse { mailbox }))
    }

    async fn lookup_domain(
        &self,
        request: Request<LookupDomainRequest>,
    ) -> Result<Response<LookupDomainResponse>, Status> {
        let name = fields::domain("name", &request.into_inner().name)?;
        let domain = self.account.domain_identity(&name).await?;
        Ok(Response::new(LookupDomainResponse { domain }))
    }

    async fn watch_changes(
        &self,
        _request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        // Subscribed before the reset is sent, so that no change falls between them.
        let events = watch(self.changes.subscribe());
        let first = stream::once(async { Ok(WatchChangesResponse { event: Some(reset()) }) });
        let ending = self.shutdown.clone();
        let until = async move { ending.triggered().await };
        Ok(Response::new(Box::pin(first.chain(events).take_until(Box::pin(until)))))
    }
}

/// The events as they come; who fell too far behind is told to forget everything.
fn watch(
    events: Receiver<Arc<WatchChangesResponse>>,
) -> impl Stream<Item = Result<WatchChangesResponse, Status>> + Send {
    stream::unfold(events, |mut events| async move {
        match events.recv().await {
            Ok(event) => Some((Ok(WatchChangesResponse::clone(&event)), events)),
            Err(RecvError::Lagged(_)) => Some((Ok(WatchChangesResponse { event: Some(reset()) }), events)),
            Err(RecvError::Closed) => None,
        }
    })
}

fn batch(texts: &[String]) -> Result<Vec<EmailAddress>, AccountError> {
    if texts.len() > BATCH_MAX {
        return invalid("addresses", format_args!("at most {BATCH_MAX}"));
    }
    texts
        .iter()
        .enumerate()
        .map(|(index, text)| fields::address(&format!("addresses[{index}]"), text))
        .collect()
}
