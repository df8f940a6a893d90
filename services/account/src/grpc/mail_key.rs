//! `postern.account.v1.MailKeyService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    ListSenderKeysRequest, ListSenderKeysResponse, LookupSigningKeyRequest, LookupSigningKeyResponse,
    mail_key_service_server::MailKeyService,
};
use tonic::{Request, Response, Status};

use crate::{Account, fields};

pub(super) struct MailKeys(pub(super) Arc<Account>);

#[tonic::async_trait]
impl MailKeyService for MailKeys {
    async fn lookup_signing_key(
        &self,
        request: Request<LookupSigningKeyRequest>,
    ) -> Result<Response<LookupSigningKeyResponse>, Status> {
        let domain = fields::domain("domain", &request.into_inner().domain)?;
        let key = self.0.signing_key(&domain).await?;
        Ok(Response::new(LookupSigningKeyResponse { key }))
    }

    async fn list_sender_keys(
        &self,
        _request: Request<ListSenderKeysRequest>,
    ) -> Result<Response<ListSenderKeysResponse>, Status> {
        Ok(Response::new(ListSenderKeysResponse { keys: self.0.sender_keys().await? }))
    }
}
