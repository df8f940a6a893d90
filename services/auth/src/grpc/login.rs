//! `postern.auth.v1.LoginService`.

use std::sync::Arc;

use postern_mail::{Password, Reason};
use postern_mesh::{failure, identity::ASSERTION_SECONDS, opened};
use postern_proto::auth::v1::{
    AuthenticateRequest, AuthenticateResponse, ExchangeTokenRequest, ExchangeTokenResponse,
    GetLoginHistoryRequest, GetLoginHistoryResponse, Protocol, login_service_server::LoginService,
};
use tonic::{Request, Response, Status};

use super::{invalid, panel_session::whose, peer_ip};
use crate::{
    authenticate::{Authenticator, GoodLogin, LoginAttempt, temporary_reason},
    login_history::LoginHistory,
    operator_token::TokenError,
    panel_session::PanelSessions,
    tokens::{ExchangeError, Tokens},
};

/// Longest session id, characters.
const SESSION_ID_MAX: usize = 64;

pub(crate) struct LoginFace {
    pub(crate) logins: Arc<Authenticator>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) sessions: PanelSessions,
    pub(crate) history: LoginHistory,
}

#[tonic::async_trait]
impl LoginService for LoginFace {
    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        let attempt = attempt(request.into_inner())?;
        match self.logins.authenticate(attempt).await {
            Ok(login) => Ok(Response::new(answer(login))),
            Err(error) => Err(error.status()),
        }
    }

    async fn exchange_token(
        &self,
        request: Request<ExchangeTokenRequest>,
    ) -> Result<Response<ExchangeTokenResponse>, Status> {
        let peer = request.remote_addr().map(|address| address.ip());
        match self.tokens.exchange(&request.get_ref().token, peer).await {
            Ok(assertion) => Ok(Response::new(ExchangeTokenResponse {
                assertion,
                expires_in_seconds: i32::try_from(ASSERTION_SECONDS).unwrap_or(0),
            })),
            Err(error) => Err(token_refused(&error)),
        }
    }

    async fn get_login_history(
        &self,
        request: Request<GetLoginHistoryRequest>,
    ) -> Result<Response<GetLoginHistoryResponse>, Status> {
        let (caller, request) = opened(request)?;
        let identity = whose(&self.sessions, &caller, &request.login).await?;
        match self.history.of(identity.mailbox_id).await {
            Ok(history) => Ok(Response::new(history)),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "logins cannot be told");
                Err(failure::status(Reason::Unavailable))
            }
        }
    }
}

/// What the bearer of a token hears that opened nothing.
pub(super) fn token_refused(error: &ExchangeError) -> Status {
    tracing::warn!("token refused: {error}");
    let reason = match error {
        ExchangeError::Refused(TokenError::Wrong) => Reason::CallerUnknown,
        ExchangeError::Refused(TokenError::TooManyWrong) => Reason::LoginThrottled,
        ExchangeError::Account(status) => return failure::status(temporary_reason(status)),
        ExchangeError::Store(_) => return failure::status(Reason::Unavailable),
    };
    failure::status_with(reason, error.to_string())
}

fn attempt(request: AuthenticateRequest) -> Result<LoginAttempt, Status> {
    let protocol = request.protocol();
    if protocol == Protocol::Unspecified {
        return Err(invalid("protocol", "POP3, SMTP or PANEL"));
    }
    Ok(LoginAttempt {
        peer: peer_ip(&request.peer_ip)?,
        session_id: request.session_id.chars().take(SESSION_ID_MAX).collect(),
        protocol,
        login: request.login,
        password: Password(request.password),
        clear_text: request.clear_text,
    })
}

fn answer(login: GoodLogin) -> AuthenticateResponse {
    let identity = login.identity;
    AuthenticateResponse {
        mailbox_id: identity.mailbox_id,
        login: identity.login.clone(),
        address: identity.address.clone(),
        domain: identity.domain.clone(),
        customer: identity.customer.clone(),
        credential_version: identity.credential_version,
        granted: login.granted,
    }
}
