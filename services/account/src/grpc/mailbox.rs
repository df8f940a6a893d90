//! `postern.account.v1.MailboxService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    CreateMailboxRequest, CreateMailboxResponse, DeleteMailboxRequest, DeleteMailboxResponse,
    GetMailboxRequest, GetMailboxResponse, ListMailboxesRequest, ListMailboxesResponse,
    SetMailboxPasswordRequest, SetMailboxPasswordResponse, UpdateMailboxRequest, UpdateMailboxResponse,
    mailbox_service_server::MailboxService,
};
use tonic::{Request, Response, Status};

use super::{activity_state, mask, new_password, present};
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
        let name = fields::mailbox_name("address", &request.into_inner().address)?;
        let mailbox = Some(self.0.mailbox(&name).await?);
        Ok(Response::new(GetMailboxResponse { mailbox }))
    }

    async fn list_mailboxes(
        &self,
        request: Request<ListMailboxesRequest>,
    ) -> Result<Response<ListMailboxesResponse>, Status> {
        let request = request.into_inner();
        let domain = fields::domain("domain", &request.domain)?;
        let page = Page::new(request.page_size, &request.page_token)?;
        let (mailboxes, next_page_token) = self.0.mailboxes(&domain, &page).await?;
        Ok(Response::new(ListMailboxesResponse { mailboxes, next_page_token }))
    }

    async fn create_mailbox(
        &self,
        request: Request<CreateMailboxRequest>,
    ) -> Result<Response<CreateMailboxResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let new = NewMailbox {
            address: fields::local_address("address", &request.address)?,
            display_name: fields::display_name("display_name", &request.display_name)?,
            request_id: fields::request_id(&request.request_id)?,
            password: new_password(&extensions, request.password)?,
        };
        let mailbox = Some(self.0.create_mailbox(new).await?);
        Ok(Response::new(CreateMailboxResponse { mailbox }))
    }

    async fn update_mailbox(
        &self,
        request: Request<UpdateMailboxRequest>,
    ) -> Result<Response<UpdateMailboxResponse>, Status> {
        let request = request.into_inner();
        let mailbox = present("mailbox", request.mailbox)?;
        let paths = mask(request.update_mask.as_ref(), &["display_name", "state"])?;
        // A default box has no address, so its login names it.
        let name = if mailbox.address.is_empty() { &mailbox.login } else { &mailbox.address };
        let mut changed = ChangedMailbox {
            name: fields::mailbox_name("mailbox.address", name)?,
            etag: mailbox.etag,
            display_name: None,
            state: None,
        };
        if paths.contains(&"display_name") {
            changed.display_name = Some(fields::display_name("mailbox.display_name", &mailbox.display_name)?);
        }
        if paths.contains(&"state") {
            changed.state = Some(activity_state("mailbox.state", mailbox.state)?);
        }
        let mailbox = Some(self.0.update_mailbox(changed).await?);
        Ok(Response::new(UpdateMailboxResponse { mailbox }))
    }

    async fn set_mailbox_password(
        &self,
        request: Request<SetMailboxPasswordRequest>,
    ) -> Result<Response<SetMailboxPasswordResponse>, Status> {
        let (_, extensions, request) = request.into_parts();
        let name = fields::mailbox_name("address", &request.address)?;
        let password = new_password(&extensions, request.password)?;
        let mailbox = Some(self.0.set_mailbox_password(&name, password).await?);
        Ok(Response::new(SetMailboxPasswordResponse { mailbox }))
    }

    async fn delete_mailbox(
        &self,
        request: Request<DeleteMailboxRequest>,
    ) -> Result<Response<DeleteMailboxResponse>, Status> {
        let name = fields::mailbox_name("address", &request.into_inner().address)?;
        let mailbox_id = self.0.delete_mailbox(&name).await?;
        Ok(Response::new(DeleteMailboxResponse { mailbox_id }))
    }
}
