//! `postern.account.v1.LimitsService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    GetLimitsRequest, GetLimitsResponse, Limits, UpdateLimitsRequest, UpdateLimitsResponse,
    limits_service_server::LimitsService,
};
use tonic::{Request, Response, Status};

use super::{opened, present};
use crate::{
    Account,
    error::AccountError,
    fields::{self, invalid},
};

pub(super) struct LimitsFace(pub(super) Arc<Account>);

#[tonic::async_trait]
impl LimitsService for LimitsFace {
    async fn get_limits(
        &self,
        request: Request<GetLimitsRequest>,
    ) -> Result<Response<GetLimitsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let customer = fields::login("customer", &request.customer)?;
        let limits = Some(self.0.customer_limits(&caller, &customer).await?);
        Ok(Response::new(GetLimitsResponse { limits }))
    }

    async fn update_limits(
        &self,
        request: Request<UpdateLimitsRequest>,
    ) -> Result<Response<UpdateLimitsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let wanted = present("limits", request.limits)?;
        let customer = fields::login("limits.customer", &wanted.customer)?;
        let set = present("limits.limits", wanted.limits)?;
        check(&set)?;
        let limits = Some(self.0.update_limits(&caller, &customer, &wanted.etag, &set).await?);
        Ok(Response::new(UpdateLimitsResponse { limits }))
    }
}

fn check(set: &Limits) -> Result<(), AccountError> {
    for (field, most) in [
        ("domains", set.domains),
        ("mailboxes", set.mailboxes),
        ("forwards", set.forwards),
        ("lists", set.lists),
        ("list_members", set.list_members),
        ("autoresponders", set.autoresponders),
        ("storage_bytes", set.storage_bytes),
        ("mailbox_storage_bytes", set.mailbox_storage_bytes),
        ("messages_per_hour", set.messages_per_hour),
    ] {
        if most.is_some_and(|most| most < -1) {
            return invalid(&format!("limits.limits.{field}"), "-1 for no limit, or 0 and more");
        }
    }
    Ok(())
}
