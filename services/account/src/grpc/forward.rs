//! `postern.account.v1.ForwardService`.

use std::sync::Arc;

use postern_mail::EmailAddress;
use postern_proto::account::v1::{
    CreateForwardRequest, CreateForwardResponse, DeleteForwardRequest, DeleteForwardResponse,
    GetForwardRequest, GetForwardResponse, ListForwardsRequest, ListForwardsResponse, UpdateForwardRequest,
    UpdateForwardResponse, forward_service_server::ForwardService,
};
use tonic::{Request, Response, Status};

use super::{mask, opened, present};
use crate::{
    Account,
    error::AccountError,
    fields,
    forwards::{ForwardUpdate, NewForward},
    paging::Page,
};

pub(super) struct Forwards(pub(super) Arc<Account>);

#[tonic::async_trait]
impl ForwardService for Forwards {
    async fn get_forward(
        &self,
        request: Request<GetForwardRequest>,
    ) -> Result<Response<GetForwardResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("address", &request.address)?;
        let forward = Some(self.0.forward(&caller, &address).await?);
        Ok(Response::new(GetForwardResponse { forward }))
    }

    async fn list_forwards(
        &self,
        request: Request<ListForwardsRequest>,
    ) -> Result<Response<ListForwardsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let domain = fields::domain("domain", &request.domain)?;
        let prefix = fields::prefix("prefix", &request.prefix)?;
        let page = Page::new(request.page_size, &request.page_token)?.beginning_with(prefix);
        let (forwards, next_page_token) = self.0.forwards(&caller, &domain, &page).await?;
        Ok(Response::new(ListForwardsResponse { forwards, next_page_token }))
    }

    async fn create_forward(
        &self,
        request: Request<CreateForwardRequest>,
    ) -> Result<Response<CreateForwardResponse>, Status> {
        let (caller, request) = opened(request)?;
        let forward = present("forward", request.forward)?;
        let new = NewForward {
            address: fields::local_address("forward.address", &forward.address)?,
            targets: fields::targets("forward.targets", &forward.targets)?,
            keep_copy: forward.keep_copy,
            request_id: fields::request_id(&request.request_id)?,
        };
        let forward = Some(self.0.create_forward(&caller, new).await?);
        Ok(Response::new(CreateForwardResponse { forward }))
    }

    async fn update_forward(
        &self,
        request: Request<UpdateForwardRequest>,
    ) -> Result<Response<UpdateForwardResponse>, Status> {
        let (caller, request) = opened(request)?;
        let forward = present("forward", request.forward)?;
        let paths = mask(request.update_mask.as_ref(), &["targets", "keep_copy"])?;
        let mut update = ForwardUpdate {
            address: existing("forward.address", &forward.address)?,
            etag: forward.etag,
            targets: None,
            keep_copy: None,
        };
        if paths.contains(&"targets") {
            update.targets = Some(fields::targets("forward.targets", &forward.targets)?);
        }
        if paths.contains(&"keep_copy") {
            update.keep_copy = Some(forward.keep_copy);
        }
        let forward = Some(self.0.update_forward(&caller, update).await?);
        Ok(Response::new(UpdateForwardResponse { forward }))
    }

    async fn delete_forward(
        &self,
        request: Request<DeleteForwardRequest>,
    ) -> Result<Response<DeleteForwardResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("address", &request.address)?;
        let audit_id = self.0.delete_forward(&caller, &address).await?;
        Ok(Response::new(DeleteForwardResponse { audit_id }))
    }
}

fn existing(field: &str, text: &str) -> Result<EmailAddress, AccountError> {
    Ok(fields::address(field, text)?.canonical())
}
