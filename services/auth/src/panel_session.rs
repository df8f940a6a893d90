//! Sessions of people who gave a login and its password, or showed a token. Redis keeps each under the hash of its own token.
//!
//! What was proved is kept as a hash of token and password hash (or of the digest of what was shown) together: with another
//! password it fits no more, and nobody can learn anything from it.

use std::net::IpAddr;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mesh::{client::MeshChannel, clock::unix_millis, identity::Caller};
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

use crate::redis_store::{RedisStore, StoreError};

pub(crate) const SESSION_PREFIX: &str = "pss_";
/// Of what waits for the code of a second factor.
const WAITING_PREFIX: &str = "psc_";
/// A session that is not used for so long ends, seconds.
const IDLE_SECONDS: i64 = 30 * 60;
/// Every session ends after so long, seconds.
const LIFE_SECONDS: i64 = 12 * 3600;
/// So long somebody may look for the code of a second factor, seconds.
const WAITING_SECONDS: u64 = 5 * 60;
/// Sessions of one person; of more the longest unused end.
const SESSIONS_MAX: usize = 50;

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
    #[serde(default)]
    created: i64,
    expires: i64,
    proof: String,
    #[serde(default)]
    pub(crate) shown: Shown,
}

impl Kept {
    fn person_key(&self) -> String {
        person_key(self.mailbox_id, &self.customer, &self.login)
    }

    /// What is told of it.
    fn shown(&self, hash: &str, used: i64) -> PanelSession {
        let time = |seconds| Some(Timestamp { seconds, nanos: 0 });
        PanelSession {
            login: self.login.clone(),
            customer: self.customer.clone(),
            mailbox_id: self.mailbox_id,
            create_time: time(self.created),
            expire_time: time(self.expires),
            session_id: hash.to_owned(),
            peer_ip: self.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            last_use_time: time(used),
        }
    }

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

    /// Opens one for somebody who gave the right password, and the code of the second factor if there is one; its token is
    /// shown only here.
    pub(crate) async fn open(
        &self,
        identity: &LoginIdentity,
        peer: Option<IpAddr>,
    ) -> Result<(String, PanelSession), StoreError> {
        let caller = Caller { peer, ..person_of(identity) };
        self.open_for(&caller, Shown::Password, &identity.password_phc).await
    }

    /// Opens one for somebody who showed what is `known` to be right.
    pub(crate) async fn open_for(
        &self,
        caller: &Caller,
        shown: Shown,
        known: &str,
    ) -> Result<(String, PanelSession), StoreError> {
        let token = new_token(SESSION_PREFIX);
        let (hash, kept) = (hash(&token), kept_of(caller, shown, &proof(&token, known)));
        let (person, text) = (kept.person_key(), serde_json::to_string(&kept).unwrap_or_default());
        let lives = (IDLE_SECONDS, LIFE_SECONDS);
        self.store.keep_session((&person, &hash), &text, lives, kept.created).await?;
        self.end_more_than_allowed(&person).await?;
        Ok((token, kept.shown(&hash, kept.created)))
    }

    /// Keeps that somebody gave the right password, until the code of the second factor comes.
    pub(crate) async fn wait_for_code(
        &self,
        identity: &LoginIdentity,
        peer: Option<IpAddr>,
    ) -> Result<String, StoreError> {
        let token = new_token(WAITING_PREFIX);
        let caller = Caller { peer, ..person_of(identity) };
        let kept = kept_of(&caller, Shown::Password, &proof(&token, &identity.password_phc));
        let text = serde_json::to_string(&kept).unwrap_or_default();
        self.store.keep_waiting(&hash(&token), &text, WAITING_SECONDS).await?;
        Ok(token)
    }

    /// Whose code this token waits for; `None`: nobody's (any more).
    pub(crate) async fn waiting(&self, token: &str) -> Result<Option<LoginIdentity>, SessionError> {
        if !token.starts_with(WAITING_PREFIX) {
            return Ok(None);
        }
        let Some(text) = self.store.waiting_session(&hash(token)).await? else { return Ok(None) };
        match serde_json::from_str::<Kept>(&text) {
            Ok(kept) => self.still(token, &kept).await,
            Err(_) => Ok(None),
        }
    }

    /// The code came: the token waits for nothing more.
    pub(crate) async fn stop_waiting(&self, token: &str) -> Result<(), StoreError> {
        self.store.end_waiting(&hash(token)).await
    }

    /// The sessions of a person that live, the last used first.
    pub(crate) async fn list(&self, person: &str) -> Result<Vec<PanelSession>, StoreError> {
        let now = unix_millis() / 1000;
        let kept = self.store.sessions_of(person).await?.into_iter().filter_map(|(hash, used, text)| {
            let kept = serde_json::from_str::<Kept>(&text).ok().filter(|kept| kept.expires > now)?;
            Some(kept.shown(&hash, used))
        });
        Ok(kept.collect())
    }

    /// Ends one session of a person, or all but one (`except`, may be empty); how many there were.
    pub(crate) async fn end_of(
        &self,
        person: &str,
        session_id: &str,
        except: &str,
    ) -> Result<usize, StoreError> {
        let all = self.store.sessions_of(person).await?;
        let chosen = |hash: &str| if session_id.is_empty() { hash != except } else { hash == session_id };
        let ending: Vec<&str> =
            all.iter().map(|(hash, ..)| hash.as_str()).filter(|hash| chosen(hash)).collect();
        self.store.end_sessions(person, &ending).await
    }

    async fn end_more_than_allowed(&self, person: &str) -> Result<(), StoreError> {
        let all = self.store.sessions_of(person).await?;
        let over: Vec<&str> = all.iter().skip(SESSIONS_MAX).map(|(hash, ..)| hash.as_str()).collect();
        self.store.end_sessions(person, &over).await.map(drop)
    }

    /// What is kept of a session; `None`: there is no such session (any more).
    pub(crate) async fn kept(&self, token: &str) -> Result<Option<Kept>, StoreError> {
        let Some(text) = self.store.session(&hash(token)).await? else { return Ok(None) };
        let now = unix_millis() / 1000;
        Ok(serde_json::from_str::<Kept>(&text).ok().filter(|kept| kept.expires > now))
    }

    /// A use keeps it alive.
    pub(crate) async fn renew(&self, token: &str, kept: &Kept) -> Result<(), StoreError> {
        let now = unix_millis() / 1000;
        let life = IDLE_SECONDS.min(kept.expires - now);
        self.store.renew_session((&kept.person_key(), &hash(token)), life, now).await
    }

    /// Who gave the password that opened it; `None`: it holds no more.
    pub(crate) async fn person(&self, token: &str, kept: &Kept) -> Result<Option<Caller>, SessionError> {
        Ok(self.still(token, kept).await?.map(|_| match kept.mailbox_id {
            0 => Caller::customer(&kept.login, &kept.customer),
            mailbox_id => Caller::mailbox(&kept.login, &kept.customer, mailbox_id),
        }))
    }

    /// Ends the session of this token; false when there was none.
    pub(crate) async fn end(&self, token: &str) -> Result<bool, StoreError> {
        let Some(kept) = self.kept(token).await? else { return Ok(false) };
        Ok(self.store.end_sessions(&kept.person_key(), &[&hash(token)]).await? > 0)
    }

    /// Still the same person with the same password, and in service. Asked anew at each use, so that it holds at once.
    async fn still(&self, token: &str, kept: &Kept) -> Result<Option<LoginIdentity>, SessionError> {
        let identity = self.look_up(&kept.login).await?;
        Ok(identity.filter(|identity| {
            identity.state() == ActivityState::Active
                && identity.customer == kept.customer
                && (kept.mailbox_id == 0) == identity.default_box
                && (kept.mailbox_id == 0 || kept.mailbox_id == identity.mailbox_id)
                && kept.is_proved_by(token, &identity.password_phc)
        }))
    }

    /// Whose login it is, as the panel knows it.
    pub(crate) async fn look_up(&self, login: &str) -> Result<Option<LoginIdentity>, SessionError> {
        let request = LookupLoginRequest { login: login.to_owned(), for_panel: true };
        let answer = self.account.clone().lookup_login(request).await;
        Ok(answer.map_err(|status| SessionError::Account(Box::new(status)))?.into_inner().identity)
    }
}

/// Who somebody with this login is in the panel.
pub(crate) fn person_of(identity: &LoginIdentity) -> Caller {
    match identity.mailbox_id {
        mailbox_id if mailbox_id != 0 && !identity.default_box => {
            Caller::mailbox(&identity.login, &identity.customer, mailbox_id)
        }
        _ => Caller::customer(&identity.login, &identity.customer),
    }
}

/// Under what the sessions of one person are listed: all of a customer together, by whichever login or token.
pub(crate) fn person_key(mailbox_id: i64, customer: &str, login: &str) -> String {
    match (mailbox_id, customer) {
        (0, "") => format!("staff:{login}"),
        (0, customer) => format!("customer:{customer}"),
        (mailbox_id, _) => format!("mailbox:{mailbox_id}"),
    }
}

/// The same for whoever has this login.
pub(crate) fn person_key_of(identity: &LoginIdentity) -> String {
    let person = person_of(identity);
    person_key(person.mailbox_id, &person.customer, &person.subject)
}

fn kept_of(caller: &Caller, shown: Shown, proof: &str) -> Kept {
    let created = unix_millis() / 1000;
    Kept {
        login: caller.subject.clone(),
        customer: caller.customer.clone(),
        mailbox_id: caller.mailbox_id,
        peer: caller.peer,
        created,
        expires: created + LIFE_SECONDS,
        proof: proof.to_owned(),
        shown,
    }
}

fn new_token(prefix: &str) -> String {
    format!("{prefix}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// A customer's session outlives that its login gets a box: what was proved is the password.
fn proof(token: &str, known: &str) -> String {
    hash(&format!("{token} {known}"))
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_listed_by_who_has_them() {
        let customer = LoginIdentity {
            login: "second".to_owned(),
            customer: "homepage".to_owned(),
            mailbox_id: 7,
            default_box: true,
            ..LoginIdentity::default()
        };
        assert_eq!(person_key_of(&customer), "customer:homepage", "by whichever of its logins");
        let user = LoginIdentity { default_box: false, login: "a@b.test".to_owned(), ..customer.clone() };
        assert_eq!(person_key_of(&user), "mailbox:7");
        assert_eq!(person_key(0, "homepage", "token 9 backup"), "customer:homepage");
        assert_ne!(person_key(0, "", "operator"), person_key(0, "", "token 9 night watch"));
        let kept = kept_of(&person_of(&user), Shown::Password, "p");
        assert_eq!((kept.person_key().as_str(), kept.mailbox_id), ("mailbox:7", 7));
    }
}
