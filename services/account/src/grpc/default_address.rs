//! `postern.account.v1.DefaultAddressService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    DefaultAction, DefaultAddress, GetDefaultAddressRequest, GetDefaultAddressResponse,
    UpdateDefaultAddressRequest, UpdateDefaultAddressResponse,
    default_address_service_server::DefaultAddressService,
};
use tonic::{Request, Response, Status};

use super::{opened, present};
use crate::{
    Account,
    default_addresses::NewRule,
    error::AccountError,
    fields::{self, invalid},
};

pub(super) struct DefaultAddresses(pub(super) Arc<Account>);

#[tonic::async_trait]
impl DefaultAddressService for DefaultAddresses {
    async fn get_default_address(
        &self,
        request: Request<GetDefaultAddressRequest>,
    ) -> Result<Response<GetDefaultAddressResponse>, Status> {
        let (caller, request) = opened(request)?;
        let domain = fields::domain("domain", &request.domain)?;
        let default_address = Some(self.0.default_address(&caller, &domain).await?);
        Ok(Response::new(GetDefaultAddressResponse { default_address }))
    }

    async fn update_default_address(
        &self,
        request: Request<UpdateDefaultAddressRequest>,
    ) -> Result<Response<UpdateDefaultAddressResponse>, Status> {
        let (caller, request) = opened(request)?;
        let message = present("default_address", request.default_address)?;
        let domain = fields::domain("default_address.domain", &message.domain)?;
        let rule = rule(&message)?;
        let default_address = Some(self.0.set_default_address(&caller, &domain, &message.etag, rule).await?);
        Ok(Response::new(UpdateDefaultAddressResponse { default_address }))
    }
}

fn rule(message: &DefaultAddress) -> Result<NewRule, AccountError> {
    const TARGET: &str = "default_address.target";
    let rule = match DefaultAction::try_from(message.action) {
        Ok(DefaultAction::Box) => NewRule::Box,
        Ok(DefaultAction::Reject) => NewRule::Reject,
        Ok(DefaultAction::Discard) => NewRule::Discard,
        Ok(DefaultAction::Address) => return fields::address(TARGET, &message.target).map(NewRule::Address),
        Ok(DefaultAction::Unspecified) | Err(_) => {
            return invalid("default_address.action", "must be BOX, REJECT, DISCARD or ADDRESS");
        }
    };
    if message.target.is_empty() { Ok(rule) } else { invalid(TARGET, "only with the action ADDRESS") }
}
