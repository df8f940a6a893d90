//! `postern.account.v1.ApiTokenService`.

use std::sync::Arc;

use jiff::Timestamp;
use postern_proto::account::v1::{
    ApiToken, CreateApiTokenRequest, CreateApiTokenResponse, DeleteApiTokenRequest, DeleteApiTokenResponse,
    ListApiTokensRequest, ListApiTokensResponse, LookupApiTokenRequest, LookupApiTokenResponse, TokenRole,
    api_token_service_server::ApiTokenService,
};
use tonic::{Request, Response, Status};

use super::{app_password::token_name, opened, present};
use crate::{
    Account,
    api_tokens::NewToken,
    error::AccountError,
    fields::{self, invalid},
    paging::Page,
};

/// Scopes of one token.
const SCOPES_MAX: usize = 40;
/// Life of a token, seconds: unless said otherwise a year, at most ten.
const LIFE_SECONDS: i64 = 365 * 86_400;
const LIFE_MAX_SECONDS: i64 = 3653 * 86_400;

pub(super) struct ApiTokens(pub(super) Arc<Account>);

#[tonic::async_trait]
impl ApiTokenService for ApiTokens {
    async fn create_api_token(
        &self,
        request: Request<CreateApiTokenRequest>,
    ) -> Result<Response<CreateApiTokenResponse>, Status> {
        let (caller, request) = opened(request)?;
        let mut token = present("token", request.token)?;
        if token.customer.is_empty() && token.role() == TokenRole::Customer {
            token.customer.clone_from(&caller.customer);
        }
        let new = new_token(token, Timestamp::now().as_second())?;
        let (token, secret) = self.0.create_api_token(&caller, new).await?;
        Ok(Response::new(CreateApiTokenResponse { token: Some(token), secret }))
    }

    async fn list_api_tokens(
        &self,
        request: Request<ListApiTokensRequest>,
    ) -> Result<Response<ListApiTokensResponse>, Status> {
        let (caller, request) = opened(request)?;
        let page = Page::new(request.page_size, &request.page_token)?;
        let customer = match request.customer.as_str() {
            "" => None,
            login => Some(fields::login("customer", login)?),
        };
        let (tokens, next_page_token) = self.0.api_tokens(&caller, customer.as_deref(), &page).await?;
        Ok(Response::new(ListApiTokensResponse { tokens, next_page_token }))
    }

    async fn delete_api_token(
        &self,
        request: Request<DeleteApiTokenRequest>,
    ) -> Result<Response<DeleteApiTokenResponse>, Status> {
        let (caller, request) = opened(request)?;
        self.0.delete_api_token(&caller, request.token_id).await?;
        Ok(Response::new(DeleteApiTokenResponse {}))
    }

    async fn lookup_api_token(
        &self,
        request: Request<LookupApiTokenRequest>,
    ) -> Result<Response<LookupApiTokenResponse>, Status> {
        let LookupApiTokenRequest { token_id, secret_sha256 } = request.into_inner();
        Ok(Response::new(self.0.look_up_api_token(token_id, &secret_sha256).await?))
    }
}

fn new_token(token: ApiToken, now: i64) -> Result<NewToken, AccountError> {
    let role = match TokenRole::try_from(token.role) {
        Ok(role) if role != TokenRole::Unspecified => role,
        _ => return invalid("token.role", "must be OPERATOR, SUPPORT or CUSTOMER"),
    };
    let customer = match role {
        TokenRole::Customer => fields::login("token.customer", &token.customer)?,
        _ if token.customer.is_empty() => String::new(),
        _ => return invalid("token.customer", "only a token in the role of a customer has one"),
    };
    if token.scopes.is_empty() || token.scopes.len() > SCOPES_MAX {
        return invalid("token.scopes", format_args!("1 to {SCOPES_MAX}"));
    }
    let seconds = token.expire_time.map_or(now + LIFE_SECONDS, |time| time.seconds);
    if seconds <= now || seconds > now + LIFE_MAX_SECONDS {
        return invalid("token.expire_time", "must be to come, and at most 10 years away");
    }
    let expires = Timestamp::from_second(seconds)
        .or_else(|_| invalid("token.expire_time", "is no time that can be"))?;
    let mut scopes = token.scopes;
    scopes.sort();
    scopes.dedup();
    let display_name = token_name("token.display_name", &token.display_name)?;
    Ok(NewToken { role, customer, display_name, scopes, expires })
}
