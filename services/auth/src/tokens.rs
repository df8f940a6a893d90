//! Tokens become assertions: the operator token, API tokens (`pst_<id>_<secret>`) and those of panel sessions (`pss_...`).

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mesh::{
    client::MeshChannel,
    identity::{Caller, MeshKey, Role, Scopes},
};
use postern_proto::{
    account::v1::{
        ApiToken, LookupApiTokenRequest, LookupApiTokenResponse, TokenRole,
        api_token_service_client::ApiTokenServiceClient,
    },
    auth::v1::PanelSession,
};
use ring::digest;
use thiserror::Error;
use tonic::Status;

use crate::{
    comparer::Comparer,
    operator_token::{OperatorTokens, TokenError},
    panel_session::{PanelSessions, SESSION_PREFIX, SessionError, Shown},
    redis_store::StoreError,
};

const API_PREFIX: &str = "pst_";
/// Longest token that is looked at, octets.
const TOKEN_MAX_BYTES: usize = 256;

/// Why no assertion was given. Only the first is a verdict.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    #[error(transparent)]
    Refused(#[from] TokenError),
    #[error("account: {}", .0.message())]
    Account(#[source] Box<Status>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SessionError> for ExchangeError {
    fn from(error: SessionError) -> Self {
        match error {
            SessionError::Account(status) => Self::Account(status),
            SessionError::Store(error) => Self::Store(error),
        }
    }
}

/// Knows all kinds of tokens.
pub(crate) struct Tokens {
    operators: OperatorTokens,
    account: ApiTokenServiceClient<MeshChannel>,
    sessions: PanelSessions,
    comparer: Comparer,
    mesh_key: MeshKey,
}

impl Tokens {
    pub(crate) fn new(
        operators: OperatorTokens,
        account: MeshChannel,
        sessions: PanelSessions,
        mesh_key: MeshKey,
    ) -> Self {
        let account = ApiTokenServiceClient::new(account);
        Self { operators, account, sessions, comparer: Comparer::new(), mesh_key }
    }

    /// An assertion for the bearer, who calls from `peer`. Wrong ones of every kind wait in one line; a right one never does.
    pub(crate) async fn exchange(&self, token: &str, peer: Option<IpAddr>) -> Result<String, ExchangeError> {
        let caller = if token.len() > TOKEN_MAX_BYTES {
            None
        } else if token.starts_with(SESSION_PREFIX) {
            // Too long to be guessed, and ended ones come from honest browsers all day: nobody waits in the line of wrong tokens.
            let caller = self.of_session(token, peer).await?.ok_or(TokenError::Wrong)?;
            return Ok(self.mesh_key.assertion(&caller));
        } else if let Some((token_id, secret)) = api_token(token) {
            self.tool(token_id, secret).await?.map(|caller| Caller { peer, ..caller })
        } else {
            return Ok(self.operators.exchange(token, peer).await?);
        };
        match caller {
            Some(caller) => Ok(self.mesh_key.assertion(&caller)),
            None => Err(self.operators.refuse().await.into()),
        }
    }

    /// A session for the bearer of the operator token or of an API token.
    pub(crate) async fn open_session(
        &self,
        token: &str,
        peer: Option<IpAddr>,
    ) -> Result<(String, PanelSession), ExchangeError> {
        let shown = match api_token(token).filter(|_| token.len() <= TOKEN_MAX_BYTES) {
            Some((token_id, secret)) => {
                let caller = self.tool(token_id, secret).await?;
                caller.map(|caller| (caller, Shown::ApiToken(token_id), digest_of(secret)))
            }
            None if self.operators.knows(token) => {
                let known = self.operators.fingerprint().unwrap_or_default().to_owned();
                Some((operator(), Shown::OperatorToken, known))
            }
            None => None,
        };
        match shown {
            Some((caller, shown, known)) => {
                Ok(self.sessions.open_for(&Caller { peer, ..caller }, shown, &known).await?)
            }
            None => Err(self.operators.refuse().await.into()),
        }
    }

    /// Who opened a session, if what opened it still holds. A session that holds no more is ended.
    async fn of_session(&self, token: &str, peer: Option<IpAddr>) -> Result<Option<Caller>, ExchangeError> {
        let Some(kept) = self.sessions.kept(token).await? else { return Ok(None) };
        let caller = match kept.shown {
            Shown::Password => self.sessions.person(token, &kept).await?,
            Shown::OperatorToken => {
                let known = self.operators.fingerprint();
                known.filter(|known| kept.is_proved_by(token, known)).map(|_| operator())
            }
            Shown::ApiToken(token_id) => {
                let found = self.look_up(token_id, Vec::new()).await?;
                let known = URL_SAFE_NO_PAD.encode(&found.secret_sha256);
                let still = found.token.filter(|_| kept.is_proved_by(token, &known));
                still.and_then(|token| acting_as(&token))
            }
        };
        match caller {
            Some(caller) => {
                self.sessions.renew(token, &kept).await?;
                Ok(Some(Caller { peer: kept.peer.or(peer), ..caller }))
            }
            None => {
                self.sessions.end(token).await?;
                Ok(None)
            }
        }
    }

    async fn tool(&self, token_id: i64, secret: &str) -> Result<Option<Caller>, ExchangeError> {
        let shown = digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().to_vec();
        let found = self.look_up(token_id, shown.clone()).await?;
        let is_right = self.comparer.same(&shown, &found.secret_sha256);
        Ok(found.token.filter(|_| is_right).and_then(|token| acting_as(&token)))
    }

    async fn look_up(&self, token_id: i64, shown: Vec<u8>) -> Result<LookupApiTokenResponse, ExchangeError> {
        let request = LookupApiTokenRequest { token_id, secret_sha256: shown.into() };
        let found = self.account.clone().lookup_api_token(request).await;
        Ok(found.map_err(|status| ExchangeError::Account(Box::new(status)))?.into_inner())
    }
}

/// Its id and secret, if it has the form of one.
fn api_token(token: &str) -> Option<(i64, &str)> {
    let (id, secret) = token.strip_prefix(API_PREFIX)?.split_once('_')?;
    Some((id.parse().ok()?, secret))
}

fn operator() -> Caller {
    Caller::new("operator", Role::Operator)
}

/// As a session keeps what was shown: no secret can be learned from it.
fn digest_of(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, secret.as_bytes()))
}

/// `None`: made by a newer version.
fn acting_as(token: &ApiToken) -> Option<Caller> {
    let subject = format!("token {} {}", token.token_id, token.display_name);
    let scopes = Scopes::parse(&token.scopes).ok()?;
    let caller = match token.role() {
        TokenRole::Operator => Caller::new(subject, Role::Operator),
        TokenRole::Support => Caller::new(subject, Role::Support),
        TokenRole::Customer if !token.customer.is_empty() => Caller::customer(subject, &token.customer),
        TokenRole::Customer | TokenRole::Unspecified => return None,
    };
    Some(Caller { scopes, ..caller })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_form_and_acts_in_its_role_only() {
        assert_eq!(api_token("pst_7_a_b"), Some((7, "a_b")));
        for bad in ["pst_", "pst_x_y", "pst_7", "7_y", "pss_7_y"] {
            assert_eq!(api_token(bad), None, "{bad}");
        }
        let token = |role: TokenRole, customer: &str| ApiToken {
            role: role.into(),
            customer: customer.to_owned(),
            scopes: vec!["mailboxes:read".to_owned()],
            ..ApiToken::default()
        };
        let caller = acting_as(&token(TokenRole::Customer, "homepage")).expect("a caller");
        assert!(caller.may_act_for("homepage") && !caller.may_act_for("other"));
        assert!(!Scopes::unbound().eq(&caller.scopes));
        assert!(acting_as(&token(TokenRole::Customer, "")).is_none());
        assert!(acting_as(&token(TokenRole::Unspecified, "homepage")).is_none());
    }
}
