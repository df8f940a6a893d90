//! `postern.auth.v1.ExplainService`.

use postern_mail::{EmailAddress, PeerIp, Reason};
use postern_mesh::{failure, identity::Caller};
use postern_proto::auth::v1::{
    ExplainDomainRequest, ExplainDomainResponse, ExplainLoginRequest, ExplainLoginResponse,
    ExplainRecipientRequest, ExplainRecipientResponse, ExplainSendRequest, ExplainSendResponse,
    explain_service_server::ExplainService,
};
use tonic::{Request, Response, Status};

use super::{invalid, peer_ip};
use crate::explain::{Explainer, SendQuestion, TypedLogin, sight::Sight};

/// Longest login that is looked at, octets.
const LOGIN_MAX_BYTES: usize = 320;

pub(crate) struct ExplainFace {
    pub(crate) explainer: Explainer,
}

#[tonic::async_trait]
impl ExplainService for ExplainFace {
    async fn explain_login(
        &self,
        request: Request<ExplainLoginRequest>,
    ) -> Result<Response<ExplainLoginResponse>, Status> {
        let (sight, request) = opened(request)?;
        let login = login("login", &request.login)?;
        if login.is_empty() {
            return Err(invalid("login", "is missing"));
        }
        let peer = optional_peer(&request.peer_ip)?;
        let typed = TypedLogin { login, peer, clear_text: request.clear_text };
        let explanation = Some(self.explainer.login(&sight, typed).await);
        Ok(Response::new(ExplainLoginResponse { explanation }))
    }

    async fn explain_send(
        &self,
        request: Request<ExplainSendRequest>,
    ) -> Result<Response<ExplainSendResponse>, Status> {
        let (sight, request) = opened(request)?;
        let question = SendQuestion {
            sender: request.sender.parse().map_err(|error| wrong("sender", &error))?,
            recipient: address("recipient", &request.recipient)?,
            peer: optional_peer(&request.peer_ip)?,
            login: login("login", &request.login)?.to_owned(),
            clear_text: request.clear_text,
        };
        Ok(Response::new(self.explainer.send(&sight, &question).await))
    }

    async fn explain_recipient(
        &self,
        request: Request<ExplainRecipientRequest>,
    ) -> Result<Response<ExplainRecipientResponse>, Status> {
        let (sight, request) = opened(request)?;
        let address = address("address", &request.address)?;
        let explained = self.explainer.recipient(&sight, &address).await;
        Ok(Response::new(ExplainRecipientResponse {
            explanation: Some(explained.explanation),
            path: explained.path,
        }))
    }

    async fn explain_domain(
        &self,
        request: Request<ExplainDomainRequest>,
    ) -> Result<Response<ExplainDomainResponse>, Status> {
        let (sight, request) = opened(request)?;
        let name = request.name.parse().map_err(|error| wrong("name", &error))?;
        Ok(Response::new(self.explainer.domain(&sight, &name).await?))
    }
}

/// Who asks, and what. The guard lets nobody through without saying who it is.
fn opened<T>(request: Request<T>) -> Result<(Sight, T), Status> {
    let (_, mut extensions, message) = request.into_parts();
    let caller = extensions.remove::<Caller>().ok_or_else(|| failure::status(Reason::CallerUnknown))?;
    Ok((Sight::new(caller), message))
}

fn login<'a>(field: &str, text: &'a str) -> Result<&'a str, Status> {
    if text.len() > LOGIN_MAX_BYTES {
        return Err(invalid(field, "at most 320 octets"));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(field, "has a control character"));
    }
    Ok(text)
}

fn address(field: &str, text: &str) -> Result<EmailAddress, Status> {
    text.parse().map_err(|error| wrong(field, &error))
}

fn optional_peer(text: &str) -> Result<Option<PeerIp>, Status> {
    if text.is_empty() { Ok(None) } else { peer_ip(text).map(Some) }
}

fn wrong(field: &str, error: &postern_mail::AddressError) -> Status {
    invalid(field, &error.to_string())
}
