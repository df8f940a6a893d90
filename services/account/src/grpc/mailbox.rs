//! `postern.account.v1.MailboxService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    CreateMailboxRequest, CreateMailboxResponse, DeleteMailboxRequest, DeleteMailboxResponse,
    GetMailboxHistoryRequest, GetMailboxHistoryResponse, GetMailboxRequest, GetMailboxResponse,
    ListMailboxesRequest, ListMailboxesResponse, ListRemovedMailboxesRequest, ListRemovedMailboxesResponse,
    RestoreMailboxRequest, RestoreMailboxResponse, SetMailboxPasswordRequest, SetMailboxPasswordResponse,
    UpdateMailboxRequest, UpdateMailboxResponse, mailbox_service_server::MailboxService,
};
use tonic::{Request, Response, Status};

use super::{activity_state, mask, new_password, opened, operators_only, present};
use crate::{
    Account, fields,
    mailboxes::{ChangedMailbox, NewMailbox},
    paging::Page,
};

pub(super) struct Mailboxes(pub(super) Arc<Account>);

#[tonic::async_trait]
impl MailboxService for Mailboxes {
    async fn get_mailbox(
        &self,
        request: Request<GetMailboxRequest>,
    ) -> Result<Response<GetMailboxResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::mailbox_name("address", &request.address)?;
        let mailbox = Some(self.0.shown(self.0.mailbox(&caller, &name).await?));
        Ok(Response::new(GetMailboxResponse { mailbox }))
    }

    async fn get_mailbox_history(
        &self,
        request: Request<GetMailboxHistoryRequest>,
    ) -> Result<Response<GetMailboxHistoryResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::mailbox_name("address", &request.address)?;
        let days = self.0.mailbox_days(&caller, &name).await?;
        Ok(Response::new(GetMailboxHistoryResponse { days }))
    }

    async fn list_mailboxes(
        &self,
        request: Request<ListMailboxesRequest>,
    ) -> Result<Response<ListMailboxesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let domain = fields::domain("domain", &request.domain)?;
        let prefix = fields::prefix("prefix", &request.prefix)?;
        let page = Page::new(request.page_size, &request.page_token)?.beginning_with(prefix);
        let (mailboxes, next_page_token) = self.0.mailboxes(&caller, &domain, &page).await?;
        let mailboxes = mailboxes.into_iter().map(|mailbox| self.0.shown(mailbox)).collect();
        Ok(Response::new(ListMailboxesResponse { mailboxes, next_page_token }))
    }

    async fn create_mailbox(
        &self,
        request: Request<CreateMailboxRequest>,
    ) -> Result<Response<CreateMailboxResponse>, Status> {
        let (caller, request) = opened(request)?;
        let new = NewMailbox {
            address: fields::local_address("address", &request.address)?,
            display_name: fields::display_name("display_name", &request.display_name)?,
            quota_bytes: fields::quota("quota_bytes", request.quota_bytes)?,
            request_id: fields::request_id(&request.request_id)?,
            password: new_password(&caller, request.password)?,
        };
        let mailbox = Some(self.0.shown(self.0.create_mailbox(&caller, new).await?));
        Ok(Response::new(CreateMailboxResponse { mailbox }))
    }

    async fn update_mailbox(
        &self,
        request: Request<UpdateMailboxRequest>,
    ) -> Result<Response<UpdateMailboxResponse>, Status> {
        let (caller, request) = opened(request)?;
        let mailbox = present("mailbox", request.mailbox)?;
        let paths = mask(request.update_mask.as_ref(), &["display_name", "state", "quota_bytes"])?;
        // A default box has no address, so its login names it.
        let name = if mailbox.address.is_empty() { &mailbox.login } else { &mailbox.address };
        let mut changed = ChangedMailbox {
            name: fields::mailbox_name("mailbox.address", name)?,
            etag: mailbox.etag,
            display_name: None,
            state: None,
            quota_bytes: None,
        };
        if paths.contains(&"display_name") {
            changed.display_name = Some(fields::display_name("mailbox.display_name", &mailbox.display_name)?);
        }
        if paths.contains(&"quota_bytes") {
            changed.quota_bytes = Some(fields::quota("mailbox.quota_bytes", mailbox.quota_bytes)?);
        }
        if paths.contains(&"state") {
            operators_only(&caller, "mailbox.state")?;
            changed.state = Some(activity_state("mailbox.state", mailbox.state)?);
        }
        let mailbox = Some(self.0.shown(self.0.update_mailbox(&caller, changed).await?));
        Ok(Response::new(UpdateMailboxResponse { mailbox }))
    }

    async fn set_mailbox_password(
        &self,
        request: Request<SetMailboxPasswordRequest>,
    ) -> Result<Response<SetMailboxPasswordResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::mailbox_name("address", &request.address)?;
        let password = new_password(&caller, request.password)?;
        let mailbox = Some(self.0.shown(self.0.set_mailbox_password(&caller, &name, password).await?));
        Ok(Response::new(SetMailboxPasswordResponse { mailbox }))
    }

    async fn delete_mailbox(
        &self,
        request: Request<DeleteMailboxRequest>,
    ) -> Result<Response<DeleteMailboxResponse>, Status> {
        let (caller, request) = opened(request)?;
        let name = fields::mailbox_name("address", &request.address)?;
        let removal = self.0.delete_mailbox(&caller, &name).await?;
        Ok(Response::new(removal))
    }

    async fn list_removed_mailboxes(
        &self,
        request: Request<ListRemovedMailboxesRequest>,
    ) -> Result<Response<ListRemovedMailboxesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let domain = fields::domain("domain", &request.domain)?;
        let address = match request.address.as_str() {
            "" => None,
            address => Some(fields::mailbox_name("address", address)?),
        };
        let page = Page::new(request.page_size, &request.page_token)?;
        let (mailboxes, next_page_token) =
            self.0.removed_mailboxes(&caller, &domain, address.as_deref(), &page).await?;
        Ok(Response::new(ListRemovedMailboxesResponse { mailboxes, next_page_token }))
    }

    async fn restore_mailbox(
        &self,
        request: Request<RestoreMailboxRequest>,
    ) -> Result<Response<RestoreMailboxResponse>, Status> {
        let (caller, RestoreMailboxRequest { address, mailbox_id }) = opened(request)?;
        let name = fields::mailbox_name("address", &address)?;
        let restored = self.0.restore_mailbox(&caller, &name, mailbox_id).await?;
        Ok(Response::new(RestoreMailboxResponse {
            mailbox: Some(self.0.shown(restored.mailbox)),
            merge_from_mailbox_id: restored.merge_from.unwrap_or(0),
            went_along: restored.went_along,
        }))
    }
}
