//! `postern.auth.v1.PanelSessionService`.

use std::sync::Arc;

use postern_mail::{Password, PeerIp, Reason, canonical_login};
use postern_mesh::{
    audit::{Action, AuditTrail, Thing},
    client::MeshChannel,
    failure,
    identity::{Caller, Role},
    opened,
};
use postern_proto::{
    account::v1::{
        AuditEntry, CheckSecondFactorRequest, CodeVerdict, LoginIdentity,
        second_factor_service_client::SecondFactorServiceClient,
    },
    auth::v1::{
        ConfirmPanelSessionRequest, ConfirmPanelSessionResponse, CreatePanelSessionRequest,
        CreatePanelSessionResponse, DeletePanelSessionRequest, DeletePanelSessionResponse,
        EndPanelSessionsRequest, EndPanelSessionsResponse, ListPanelSessionsRequest,
        ListPanelSessionsResponse, Protocol, panel_session_service_server::PanelSessionService,
    },
};
use tonic::{Request, Response, Status};

use super::{NO_LOGIN, invalid, login::token_refused, peer_ip};
use crate::{
    authenticate::{Authenticator, LoginAttempt, temporary_reason},
    panel_session::{PanelSessions, SessionError, person_key, person_key_of, person_of},
    redis_store::StoreError,
    tokens::Tokens,
};

pub(crate) struct PanelSessionFace {
    pub(crate) logins: Arc<Authenticator>,
    pub(crate) sessions: PanelSessions,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) codes: SecondFactorServiceClient<MeshChannel>,
    pub(crate) audit: AuditTrail,
}

impl PanelSessionFace {
    /// Under what the sessions are listed that are meant, and who has the login that was named; without one they are the
    /// caller's own.
    async fn meant(&self, caller: &Caller, login: &str) -> Result<(String, Option<LoginIdentity>), Status> {
        if login.is_empty() {
            return Ok((key_of(caller), None));
        }
        let identity = whose(&self.sessions, caller, login).await?;
        Ok((person_key_of(&identity), Some(identity)))
    }

    /// Writes into the audit that somebody ended sessions of somebody else.
    async fn record(&self, caller: &Caller, identity: &LoginIdentity) {
        let entry = AuditEntry {
            customer: identity.customer.clone(),
            name: identity.login.clone(),
            ..AuditEntry::default()
        };
        let deed = (Thing::PanelSession, Action::End);
        self.audit.record(caller, deed, entry, person_of(identity).mailbox_id).await;
    }
}

/// Under what the caller's own sessions are listed.
fn key_of(caller: &Caller) -> String {
    person_key(caller.mailbox_id, &caller.customer, &caller.subject)
}

/// Who has this login, for a caller who may see that; else nobody has it.
pub(super) async fn whose(
    sessions: &PanelSessions,
    caller: &Caller,
    login: &str,
) -> Result<LoginIdentity, Status> {
    let canonical = canonical_login(login).ok_or_else(|| invalid("login", NO_LOGIN))?;
    let found = sessions.look_up(&canonical).await.map_err(asking_failed)?;
    let sees = |identity: &LoginIdentity| caller.may_act_for_mailbox(&identity.customer, identity.mailbox_id);
    found
        .filter(sees)
        .ok_or_else(|| failure::status_with(Reason::NotFound, format!("there is no login {login}")))
}

#[tonic::async_trait]
impl PanelSessionService for PanelSessionFace {
    async fn create_panel_session(
        &self,
        request: Request<CreatePanelSessionRequest>,
    ) -> Result<Response<CreatePanelSessionResponse>, Status> {
        let peer = client_of(&request, &request.get_ref().peer_ip)?;
        let request = request.into_inner();
        if !request.token.is_empty() {
            let opened = self.tokens.open_session(&request.token, Some(peer.ip())).await;
            let (token, session) = opened.map_err(|error| token_refused(&error))?;
            let session = Some(session);
            return Ok(Response::new(CreatePanelSessionResponse { token, session, ..Default::default() }));
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
        let login = login.map_err(|error| error.status())?;
        if login.identity.second_factor {
            let waiting = self.sessions.wait_for_code(&login.identity, Some(peer.ip())).await;
            let code_token = waiting.map_err(away)?;
            return Ok(Response::new(CreatePanelSessionResponse { code_token, ..Default::default() }));
        }
        let opened = self.sessions.open(&login.identity, Some(peer.ip())).await;
        let (token, session) = opened.map_err(away)?;
        let session = Some(session);
        Ok(Response::new(CreatePanelSessionResponse { token, session, ..Default::default() }))
    }

    async fn confirm_panel_session(
        &self,
        request: Request<ConfirmPanelSessionRequest>,
    ) -> Result<Response<ConfirmPanelSessionResponse>, Status> {
        let peer = client_of(&request, &request.get_ref().peer_ip)?;
        let ConfirmPanelSessionRequest { code_token, code, .. } = request.into_inner();
        let Some(identity) = self.sessions.waiting(&code_token).await.map_err(asking_failed)? else {
            return Err(failure::status_with(Reason::CallerUnknown, "nothing waits for this code any more"));
        };
        let question = CheckSecondFactorRequest { login: identity.login.clone(), code };
        let answer = self.codes.clone().check_second_factor(question).await;
        let verdict =
            answer.map_err(|status| failure::status(temporary_reason(&status)))?.into_inner().verdict();
        let right = verdict == CodeVerdict::Right;
        self.logins.code_came(&identity, peer, right).await.map_err(away)?;
        match verdict {
            CodeVerdict::Right => {}
            CodeVerdict::TooMany => return Err(failure::status(Reason::LoginThrottled)),
            CodeVerdict::Wrong | CodeVerdict::Unspecified => {
                return Err(failure::status(Reason::BadCredentials));
            }
        }
        self.sessions.stop_waiting(&code_token).await.map_err(away)?;
        let (token, session) = self.sessions.open(&identity, Some(peer.ip())).await.map_err(away)?;
        Ok(Response::new(ConfirmPanelSessionResponse { token, session: Some(session) }))
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

    async fn list_panel_sessions(
        &self,
        request: Request<ListPanelSessionsRequest>,
    ) -> Result<Response<ListPanelSessionsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let (person, _) = self.meant(&caller, &request.login).await?;
        let sessions = self.sessions.list(&person).await.map_err(away)?;
        Ok(Response::new(ListPanelSessionsResponse { sessions }))
    }

    async fn end_panel_sessions(
        &self,
        request: Request<EndPanelSessionsRequest>,
    ) -> Result<Response<EndPanelSessionsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let (person, named) = self.meant(&caller, &request.login).await?;
        let ended = self.sessions.end_of(&person, &request.session_id, &request.except_session_id).await;
        let ended = ended.map_err(away)?;
        if let Some(identity) = named.filter(|_| ended > 0 && person != key_of(&caller)) {
            self.record(&caller, &identity).await;
        }
        Ok(Response::new(EndPanelSessionsResponse { ended_count: i32::try_from(ended).unwrap_or(i32::MAX) }))
    }
}

/// Where the person is: what a service of ours says, else where the call comes from.
fn client_of<T>(request: &Request<T>, named: &str) -> Result<PeerIp, Status> {
    let by_service = request.extensions().get::<Caller>().is_some_and(|caller| caller.role == Role::Service);
    if by_service && !named.is_empty() {
        return peer_ip(named);
    }
    match request.remote_addr() {
        Some(address) => Ok(PeerIp::new(address.ip())),
        None => Err(invalid("peer_ip", "is missing")),
    }
}

fn asking_failed(error: SessionError) -> Status {
    match error {
        SessionError::Account(status) => failure::status(temporary_reason(&status)),
        SessionError::Store(error) => away(error),
    }
}

fn away(error: StoreError) -> Status {
    tracing::warn!(error = &error as &dyn std::error::Error, "no panel session can be kept or ended");
    failure::status(Reason::Unavailable)
}
