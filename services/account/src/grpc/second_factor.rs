//! `postern.account.v1.SecondFactorService`.

use std::sync::Arc;

use postern_proto::account::v1::{
    BeginSecondFactorRequest, BeginSecondFactorResponse, CheckSecondFactorRequest, CheckSecondFactorResponse,
    ConfirmSecondFactorRequest, ConfirmSecondFactorResponse, DeleteSecondFactorRequest,
    DeleteSecondFactorResponse, GetSecondFactorRequest, GetSecondFactorResponse,
    second_factor_service_server::SecondFactorService,
};
use tonic::{Request, Response, Status};

use super::opened;
use crate::{Account, error::AccountError, fields};

pub(super) struct SecondFactors(pub(super) Arc<Account>);

#[tonic::async_trait]
impl SecondFactorService for SecondFactors {
    async fn get_second_factor(
        &self,
        request: Request<GetSecondFactorRequest>,
    ) -> Result<Response<GetSecondFactorResponse>, Status> {
        let (caller, request) = opened(request)?;
        let login = login(&request.login)?;
        let second_factor = Some(self.0.second_factor(&caller, &login).await?);
        Ok(Response::new(GetSecondFactorResponse { second_factor }))
    }

    async fn begin_second_factor(
        &self,
        request: Request<BeginSecondFactorRequest>,
    ) -> Result<Response<BeginSecondFactorResponse>, Status> {
        let (caller, request) = opened(request)?;
        let secret = self.0.begin_second_factor(&caller, &login(&request.login)?).await?;
        Ok(Response::new(BeginSecondFactorResponse { secret }))
    }

    async fn confirm_second_factor(
        &self,
        request: Request<ConfirmSecondFactorRequest>,
    ) -> Result<Response<ConfirmSecondFactorResponse>, Status> {
        let (caller, request) = opened(request)?;
        let (login, code) = (login(&request.login)?, fields::code("code", &request.code)?);
        let (factor, recovery_codes) = self.0.confirm_second_factor(&caller, &login, code).await?;
        Ok(Response::new(ConfirmSecondFactorResponse { second_factor: Some(factor), recovery_codes }))
    }

    async fn delete_second_factor(
        &self,
        request: Request<DeleteSecondFactorRequest>,
    ) -> Result<Response<DeleteSecondFactorResponse>, Status> {
        let (caller, request) = opened(request)?;
        let (login, code) = (login(&request.login)?, fields::code("code", &request.code)?);
        self.0.delete_second_factor(&caller, &login, code).await?;
        Ok(Response::new(DeleteSecondFactorResponse {}))
    }

    async fn check_second_factor(
        &self,
        request: Request<CheckSecondFactorRequest>,
    ) -> Result<Response<CheckSecondFactorResponse>, Status> {
        let (caller, request) = opened(request)?;
        // Whatever was typed at sign-in is a code, if a wrong one.
        let code = fields::code("code", &request.code).unwrap_or_default();
        let verdict = self.0.check_second_factor(&caller, &login(&request.login)?, code).await?.into();
        Ok(Response::new(CheckSecondFactorResponse { verdict }))
    }
}

fn login(text: &str) -> Result<String, AccountError> {
    fields::mailbox_name("login", text)
}
