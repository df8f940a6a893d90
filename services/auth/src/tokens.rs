//! Tokens become assertions: the operator token, API tokens (`pst_<id>_<secret>`) and those of panel sessions (`pss_...`).

use std::net::IpAddr;

use postern_mesh::{
    client::MeshChannel,
    identity::{Caller, MeshKey, Role, Scopes},
};
use postern_proto::account::v1::{
    ApiToken, LookupApiTokenRequest, TokenRole, api_token_service_client::ApiTokenServiceClient,
};
use ring::digest;
use thiserror::Error;
use tonic::Status;

use crate::{
    comparer::Comparer,
    operator_token::{OperatorTokens, TokenError},
    panel_session::{PanelSessions, SESSION_PREFIX, SessionError},
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
            self.sessions.caller(token, peer).await?
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

    async fn tool(&self, token_id: i64, secret: &str) -> Result<Option<Caller>, ExchangeError> {
        let shown = digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().to_vec();
        let request = LookupApiTokenRequest { token_id, secret_sha256: shown.clone().into() };
        let found = self.account.clone().lookup_api_token(request).await;
        let found = found.map_err(|status| ExchangeError::Account(Box::new(status)))?.into_inner();
        let is_right = self.comparer.same(&shown, &found.secret_sha256);
        Ok(found.token.filter(|_| is_right).and_then(|token| acting_as(&token)))
    }
}

/// Its id and secret, if it has the form of one.
fn api_token(token: &str) -> Option<(i64, &str)> {
    let (id, secret) = token.strip_prefix(API_PREFIX)?.split_once('_')?;
    Some((id.parse().ok()?, secret))
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
