//! `postern.account.v1.AutoresponderService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    Autoresponder, DeleteAutoresponderRequest, DeleteAutoresponderResponse, GetAutoresponderRequest,
    GetAutoresponderResponse, ListAutorespondersRequest, ListAutorespondersResponse,
    LookupAutoresponderRequest, LookupAutoresponderResponse, UpdateAutoresponderRequest,
    UpdateAutoresponderResponse, autoresponder_service_server::AutoresponderService,
};
use tonic::{Request, Response, Status};

use super::{mask, opened, present};
use crate::{
    Account,
    autoresponders::{AutoresponderUpdate, Wanted, settings_of},
    error::AccountError,
    fields,
    paging::Page,
};

pub(super) struct Autoresponders(pub(super) Arc<Account>);

#[tonic::async_trait]
impl AutoresponderService for Autoresponders {
    async fn get_autoresponder(
        &self,
        request: Request<GetAutoresponderRequest>,
    ) -> Result<Response<GetAutoresponderResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = fields::address("address", &request.address)?.canonical();
        let autoresponder = Some(self.0.autoresponder(&caller, &address).await?);
        Ok(Response::new(GetAutoresponderResponse { autoresponder }))
    }

    async fn list_autoresponders(
        &self,
        request: Request<ListAutorespondersRequest>,
    ) -> Result<Response<ListAutorespondersResponse>, Status> {
        let (caller, request) = opened(request)?;
        let domain = fields::domain("domain", &request.domain)?;
        let prefix = fields::prefix("prefix", &request.prefix)?;
        let page = Page::new(request.page_size, &request.page_token)?.beginning_with(prefix);
        let (autoresponders, next_page_token) = self.0.autoresponders(&caller, &domain, &page).await?;
        Ok(Response::new(ListAutorespondersResponse { autoresponders, next_page_token }))
    }

    async fn update_autoresponder(
        &self,
        request: Request<UpdateAutoresponderRequest>,
    ) -> Result<Response<UpdateAutoresponderResponse>, Status> {
        let (caller, request) = opened(request)?;
        let shown = present("autoresponder", request.autoresponder)?;
        let address = fields::local_address("autoresponder.address", &shown.address)?;
        let paths = mask(request.update_mask.as_ref(), &PATHS);
        let wanted = Wanted {
            update: paths.and_then(|paths| update(&paths, &shown)),
            new: request.allow_missing.then(|| settings_of(&shown)),
            etag: shown.etag,
        };
        let autoresponder = Some(self.0.set_autoresponder(&caller, &address, wanted).await?);
        Ok(Response::new(UpdateAutoresponderResponse { autoresponder }))
    }

    async fn delete_autoresponder(
        &self,
        request: Request<DeleteAutoresponderRequest>,
    ) -> Result<Response<DeleteAutoresponderResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = fields::address("address", &request.address)?.canonical();
        let audit_id = self.0.delete_autoresponder(&caller, &address).await?;
        Ok(Response::new(DeleteAutoresponderResponse { audit_id }))
    }

    async fn lookup_autoresponder(
        &self,
        request: Request<LookupAutoresponderRequest>,
    ) -> Result<Response<LookupAutoresponderResponse>, Status> {
        let (_, request) = opened(request)?;
        let found = self.0.look_up_autoresponder(request.autoresponder_id).await?;
        Ok(Response::new(found.map_or_else(
            LookupAutoresponderResponse::default,
            |(autoresponder, customer)| LookupAutoresponderResponse {
                autoresponder: Some(autoresponder),
                customer,
            },
        )))
    }
}

/// What an update may change.
const PATHS: [&str; 5] = ["subject", "text", "start_time", "end_time", "interval_seconds"];

fn update(paths: &[&str], shown: &Autoresponder) -> Result<AutoresponderUpdate, AccountError> {
    let named = |path: &str| paths.contains(&path);
    let mut update = AutoresponderUpdate::default();
    if named("subject") {
        update.subject = Some(fields::answer_subject("autoresponder.subject", &shown.subject)?);
    }
    if named("text") {
        update.text = Some(fields::answer_text("autoresponder.text", &shown.text)?);
    }
    if named("start_time") {
        update.start_micros = Some(fields::moment("autoresponder.start_time", shown.start_time.as_ref())?);
    }
    if named("end_time") {
        update.end_micros = Some(fields::moment("autoresponder.end_time", shown.end_time.as_ref())?);
    }
    if named("interval_seconds") {
        let seconds = fields::interval("autoresponder.interval_seconds", shown.interval_seconds)?;
        update.interval_seconds = Some(seconds);
    }
    Ok(update)
}
