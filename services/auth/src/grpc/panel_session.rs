//! `postern.auth.v1.PanelSessionService`.

use std::sync::Arc;

use postern_mail::{PeerIp, Reason};
use postern_mesh::{
    failure,
    identity::{Caller, Role},
};
use postern_proto::auth::v1::{
    CreatePanelSessionRequest, CreatePanelSessionResponse, DeletePanelSessionRequest,
    DeletePanelSessionResponse, Protocol, panel_session_service_server::PanelSessionService,
};
use tonic::{Request, Response, Status};

use super::{invalid, login::token_refused, peer_ip};
use crate::{
    authenticate::{Authenticator, LoginAttempt, Password},
    panel_session::PanelSessions,
    redis_store::StoreError,
    tokens::Tokens,
};

pub(crate) struct PanelSessionFace {
    pub(crate) logins: Arc<Authenticator>,
    pub(crate) sessions: PanelSessions,
    pub(crate) tokens: Arc<Tokens>,
}

#[tonic::async_trait]
impl PanelSessionService for PanelSessionFace {
    async fn create_panel_session(
        &self,
        request: Request<CreatePanelSessionRequest>,
    ) -> Result<Response<CreatePanelSessionResponse>, Status> {
        let peer = client_of(&request)?;
        let request = request.into_inner();
        if !request.token.is_empty() {
            let opened = self.tokens.open_session(&request.token, Some(peer.ip())).await;
            let (token, session) = opened.map_err(|error| token_refused(&error))?;
            return Ok(Response::new(CreatePanelSessionResponse { token, session: Some(session) }));
        }
        let attempt = LoginAttempt {
            login: request.login,
            password: Password(request.password),
            protocol: Protocol::Panel,
            peer,
            session_id: "panel".to_owned(),
            clear_text: false,
        };
        let login = self.logins.authenticate(attempt).await;
        let login = login.map_err(|error| failure::status(error.reason()))?;
        let opened = self.sessions.open(&login.identity, Some(peer.ip())).await;
        let (token, session) = opened.map_err(away)?;
        Ok(Response::new(CreatePanelSessionResponse { token, session: Some(session) }))
    }

    async fn delete_panel_session(
        &self,
        request: Request<DeletePanelSessionRequest>,
    ) -> Result<Response<DeletePanelSessionResponse>, Status> {
        if self.sessions.end(&request.get_ref().token).await.map_err(away)? {
            Ok(Response::new(DeletePanelSessionResponse {}))
        } else {
            Err(failure::status_with(Reason::NotFound, "there is no such session"))
        }
    }
}

/// Where the person is: what a service of ours says, else where the call comes from.
fn client_of(request: &Request<CreatePanelSessionRequest>) -> Result<PeerIp, Status> {
    let named = &request.get_ref().peer_ip;
    let by_service = request.extensions().get::<Caller>().is_some_and(|caller| caller.role == Role::Service);
    if by_service && !named.is_empty() {
        return peer_ip(named);
    }
    match request.remote_addr() {
        Some(address) => Ok(PeerIp::new(address.ip())),
        None => Err(invalid("peer_ip", "is missing")),
    }
}

fn away(error: StoreError) -> Status {
    tracing::warn!(error = &error as &dyn std::error::Error, "no panel session can be kept or ended");
    failure::status(Reason::Unavailable)
}
