//! `postern.account.v1.AppPasswordService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    AppProtocol, CreateAppPasswordRequest, CreateAppPasswordResponse, DeleteAppPasswordRequest,
    DeleteAppPasswordResponse, ListAppPasswordsRequest, ListAppPasswordsResponse,
    app_password_service_server::AppPasswordService,
};
use tonic::{Request, Response, Status};

use super::opened;
use crate::{
    Account,
    error::AccountError,
    fields::{self, invalid},
};

pub(super) struct AppPasswords(pub(super) Arc<Account>);

#[tonic::async_trait]
impl AppPasswordService for AppPasswords {
    async fn create_app_password(
        &self,
        request: Request<CreateAppPasswordRequest>,
    ) -> Result<Response<CreateAppPasswordResponse>, Status> {
        let (caller, request) = opened(request)?;
        let mailbox = fields::mailbox_name("mailbox", &request.mailbox)?;
        let protocol = protocol(request.protocol)?;
        let name = token_name("display_name", &request.display_name)?;
        let (made, secret) = self.0.create_app_password(&caller, &mailbox, protocol, &name).await?;
        Ok(Response::new(CreateAppPasswordResponse { app_password: Some(made), secret }))
    }

    async fn list_app_passwords(
        &self,
        request: Request<ListAppPasswordsRequest>,
    ) -> Result<Response<ListAppPasswordsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let mailbox = fields::mailbox_name("mailbox", &request.mailbox)?;
        let app_passwords = self.0.app_passwords(&caller, &mailbox).await?;
        Ok(Response::new(ListAppPasswordsResponse { app_passwords }))
    }

    async fn delete_app_password(
        &self,
        request: Request<DeleteAppPasswordRequest>,
    ) -> Result<Response<DeleteAppPasswordResponse>, Status> {
        let (caller, request) = opened(request)?;
        let mailbox = fields::mailbox_name("mailbox", &request.mailbox)?;
        self.0.delete_app_password(&caller, &mailbox, request.app_password_id).await?;
        Ok(Response::new(DeleteAppPasswordResponse {}))
    }
}

fn protocol(number: i32) -> Result<AppProtocol, AccountError> {
    match AppProtocol::try_from(number) {
        Ok(protocol) if protocol != AppProtocol::Unspecified => Ok(protocol),
        _ => invalid("protocol", "must be POP3 or SMTP"),
    }
}

/// A name for people that must be there, 1 to 100 characters.
pub(super) fn token_name(field: &str, text: &str) -> Result<String, AccountError> {
    const NAME_MAX_CHARS: usize = 100;
    let name = fields::display_name(field, text)?;
    if name.is_empty() || name.chars().count() > NAME_MAX_CHARS {
        return invalid(field, format_args!("1 to {NAME_MAX_CHARS} characters that say what it is for"));
    }
    Ok(name)
}
