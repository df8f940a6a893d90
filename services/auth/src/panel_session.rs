//! Sessions of people who gave a login and its password, or showed a token. Redis keeps each under the hash of its own token.
//!
//! What was proved is kept as a hash of token and password hash (or of the digest of what was shown) together: with another
//! password it fits no more, and nobody can learn anything from it.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mesh::{client::MeshChannel, identity::Caller};
use postern_proto::{
    account::v1::{
        ActivityState, LoginIdentity, LookupLoginRequest, directory_service_client::DirectoryServiceClient,
    },
    auth::v1::PanelSession,
    google::Timestamp,
};
use ring::digest;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tonic::Status;

use crate::{
    grant::unix_now,
    redis_store::{RedisStore, StoreError},
};

pub(crate) const SESSION_PREFIX: &str = "pss_";
/// A session that is not used for so long ends, seconds.
const IDLE_SECONDS: i64 = 30 * 60;
/// Every session ends after so long, seconds.
const LIFE_SECONDS: i64 = 12 * 3600;

/// Why a session could not be asked for.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("account: {}", .0.message())]
    Account(#[source] Box<Status>),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What opened a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shown {
    /// A login and its password.
    #[default]
    Password,
    /// The operator token.
    OperatorToken,
    /// The API token of this number.
    ApiToken(i64),
}

/// As Redis holds it; times in seconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    login: String,
    customer: String,
    /// 0: for the whole customer, or for staff.
    mailbox_id: i64,
    pub(crate) peer: Option<IpAddr>,
    expires: i64,
    proof: String,
    #[serde(default)]
    pub(crate) shown: Shown,
}

impl Kept {
    /// True when what is known of the shown token is still what opened the session.
    pub(crate) fn is_proved_by(&self, token: &str, known: &str) -> bool {
        proof(token, known) == self.proof
    }
}

/// All sessions. Cheap to clone.
#[derive(Clone)]
pub(crate) struct PanelSessions {
    store: RedisStore,
    account: DirectoryServiceClient<MeshChannel>,
}

impl PanelSessions {
    pub(crate) fn new(store: RedisStore, account: MeshChannel) -> Self {
        Self { store, account: DirectoryServiceClient::new(account) }
    }

    /// Opens one for somebody who gave the right password; its token is shown only here.
    pub(crate) async fn open(
        &self,
        identity: &LoginIdentity,
        peer: Option<IpAddr>,
    ) -> Result<(String, PanelSession), StoreError> {
        let mailbox_id = if identity.default_box { 0 } else { identity.mailbox_id };
        let caller = match mailbox_id {
            0 => Caller::customer(&identity.login, &identity.customer),
            mailbox_id => Caller::mailbox(&identity.login, &identity.customer, mailbox_id),
        };
        self.open_for(&Caller { peer, ..caller }, Shown::Password, &identity.password_phc).await
    }

    /// Opens one for somebody who showed what is `known` to be right.
    pub(crate) async fn open_for(
        &self,
        caller: &Caller,
        shown: Shown,
        known: &str,
    ) -> Result<(String, PanelSession), StoreError> {
        let token = format!("{SESSION_PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()));
        let created = unix_now() / 1000;
        let kept = Kept {
            login: caller.subject.clone(),
            customer: caller.customer.clone(),
            mailbox_id: caller.mailbox_id,
            peer: caller.peer,
            expires: created + LIFE_SECONDS,
            proof: proof(&token, known),
            shown,
        };
        let text = serde_json::to_string(&kept).unwrap_or_default();
        self.store.keep_session(&hash(&token), &text, IDLE_SECONDS.unsigned_abs()).await?;
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        let session = PanelSession {
            login: kept.login,
            customer: kept.customer,
            mailbox_id: kept.mailbox_id,
            create_time: time(created),
            expire_time: time(kept.expires),
        };
        Ok((token, session))
    }

    /// What is kept of a session; `None`: there is no such session (any more).
    pub(crate) async fn kept(&self, token: &str) -> Result<Option<Kept>, StoreError> {
        let Some(text) = self.store.session(&hash(token)).await? else { return Ok(None) };
        let now = unix_now() / 1000;
        Ok(serde_json::from_str::<Kept>(&text).ok().filter(|kept| kept.expires > now))
    }

    /// A use keeps it alive.
    pub(crate) async fn renew(&self, token: &str, kept: &Kept) -> Result<(), StoreError> {
        let left = kept.expires - unix_now() / 1000;
        self.store.renew_session(&hash(token), IDLE_SECONDS.min(left)).await
    }

    /// Who gave the password that opened it; `None`: it holds no more.
    pub(crate) async fn person(&self, token: &str, kept: &Kept) -> Result<Option<Caller>, SessionError> {
        if !self.is_good(token, kept).await? {
            return Ok(None);
        }
        Ok(Some(match kept.mailbox_id {
            0 => Caller::customer(&kept.login, &kept.customer),
            mailbox_id => Caller::mailbox(&kept.login, &kept.customer, mailbox_id),
        }))
    }

    /// Ends the session of this token; false when there was none.
    pub(crate) async fn end(&self, token: &str) -> Result<bool, StoreError> {
        self.store.end_session(&hash(token)).await
    }

    /// Still the same person with the same password, and in service. Asked anew at each use, so that it holds at once.
    async fn is_good(&self, token: &str, kept: &Kept) -> Result<bool, SessionError> {
        let request = LookupLoginRequest { login: kept.login.clone(), for_panel: true };
        let answer = self.account.clone().lookup_login(request).await;
        let answer = answer.map_err(|status| SessionError::Account(Box::new(status)))?.into_inner();
        Ok(answer.identity.is_some_and(|identity| {
            identity.state() == ActivityState::Active
                && identity.customer == kept.customer
                && (kept.mailbox_id == 0) == identity.default_box
                && (kept.mailbox_id == 0 || kept.mailbox_id == identity.mailbox_id)
                && kept.is_proved_by(token, &identity.password_phc)
        }))
    }
}

/// A customer's session outlives that its login gets a box: what was proved is the password.
fn proof(token: &str, known: &str) -> String {
    hash(&format!("{token} {known}"))
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}
