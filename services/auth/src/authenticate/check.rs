//! Whether it is the password, in the account's turn: remembered, an app password, or by its hash; and letting its owner in.

use std::sync::Arc;

use bytes::Bytes;
use postern_mail::{Reason, limits::PASSWORD_MAX_BYTES};
use postern_mesh::clock::unix_millis;
use postern_proto::{
    account::v1::{AppProtocol, LoginIdentity},
    auth::v1::Protocol,
};
use ring::digest;
use tokio::time::Instant;

use super::{Authenticator, GoodLogin, LoginAttempt, LoginError, TURNS, refusal_at};
use crate::{
    password::{PasswordError, QUEUE_WAIT_MAX},
    password_memory::Remembered,
    redis_store::{Noted, Password as Shown},
    throttle::Attempt,
};

/// Longest text that is looked at as an app password, octets: 24 letters and their hyphens.
const APP_PASSWORD_MAX_BYTES: usize = 64;

impl Authenticator {
    pub(super) async fn check(
        &self,
        identity: Option<Arc<LoginIdentity>>,
        attempt: LoginAttempt,
        counted: Attempt,
        remembered: Option<Remembered>,
    ) -> Result<GoodLogin, LoginError> {
        let deadline = Instant::now() + QUEUE_WAIT_MAX;
        let mut waited = false;
        let _turn =
            match self.turns.get(counted.place(&self.spread, TURNS)).map(|turn| (turn, turn.try_lock())) {
                Some((_, Ok(taken))) => Some(taken),
                Some((turn, Err(_))) => {
                    waited = true;
                    let taken = tokio::time::timeout_at(deadline, turn.lock()).await;
                    Some(taken.map_err(|_| PasswordError::Overloaded)?)
                }
                None => None,
            };
        // Another session of the same owner may have been first.
        if waited
            && let (Some(identity), Some(remembered)) = (&identity, &remembered)
            && let Some(login) = self.let_in_again(identity, &attempt, &counted, remembered).await?
        {
            return Ok(login);
        }
        if !self.store.admit(&counted, self.limits, unix_millis()).await? {
            return Err(LoginError::Throttled);
        }
        let app_password_id =
            identity.as_ref().map_or(0, |identity| self.app_password_of(identity, &attempt));
        let by_app_password = app_password_id != 0;
        let fits =
            by_app_password || self.password_fits(identity.as_deref(), &attempt.password.0, deadline).await?;
        let refusal = identity.as_ref().and_then(|identity| refusal_at(identity, attempt.protocol));
        match identity.filter(|_| fits && refusal != Some(Reason::BadCredentials)) {
            Some(_) if refusal.is_some() => Err(LoginError::Suspended),
            // Not remembered: it is good for its protocol only, and checking it costs nothing.
            Some(identity) if by_app_password => {
                self.let_in(&identity, &attempt, &counted, None, app_password_id).await
            }
            Some(identity) => self.let_in(&identity, &attempt, &counted, remembered.as_ref(), 0).await,
            None => {
                let failures = self.store.failed_login(&counted, self.limits, unix_millis()).await?;
                Err(LoginError::BadCredentials {
                    answer_after: failures.hold_back(self.limits.hold_back_max),
                })
            }
        }
    }

    /// The same work whether or not there is such a login, and however long the password is.
    async fn password_fits(
        &self,
        identity: Option<&LoginIdentity>,
        password: &Bytes,
        deadline: Instant,
    ) -> Result<bool, PasswordError> {
        let is_plausible = !password.is_empty() && password.len() <= PASSWORD_MAX_BYTES;
        let password = password.slice(..password.len().min(PASSWORD_MAX_BYTES));
        let phc = identity.map(|identity| identity.password_phc.as_str());
        Ok(self.passwords.verify(phc, password, deadline).await? && is_plausible)
    }

    /// The number of the app password of this mailbox for this protocol that it is, with its hyphens or without; 0: none.
    fn app_password_of(&self, identity: &LoginIdentity, attempt: &LoginAttempt) -> i64 {
        let protocol = match attempt.protocol {
            Protocol::Pop3 => AppProtocol::Pop3,
            Protocol::Smtp => AppProtocol::Smtp,
            Protocol::Panel | Protocol::Unspecified => return 0,
        };
        let password = &attempt.password.0;
        if password.len() > APP_PASSWORD_MAX_BYTES {
            return 0;
        }
        let letters: Vec<u8> = password.iter().copied().filter(|octet| *octet != b'-').collect();
        let shown = digest::digest(&digest::SHA256, &letters);
        let mine = identity.app_passwords.iter().filter(|one| one.protocol() == protocol);
        // All are looked at, in constant time each.
        mine.fold(0, |found, one| {
            if self.comparer.same(shown.as_ref(), &one.secret_sha256) { one.app_password_id } else { found }
        })
    }

    /// Under what this password is remembered, if it may be: of an account in service, not where it is half a proof, and no app
    /// password, which costs nothing to check.
    pub(super) fn remembered(&self, identity: &LoginIdentity, attempt: &LoginAttempt) -> Option<Remembered> {
        let password = &attempt.password.0;
        let may_be = refusal_at(identity, attempt.protocol).is_none()
            && !is_half_a_proof(identity, attempt)
            && password.len() <= PASSWORD_MAX_BYTES
            && self.app_password_of(identity, attempt) == 0;
        may_be.then(|| self.memory.of(identity, password)).flatten()
    }

    /// Lets somebody in whose password was right lately; `None`: nothing is remembered of it.
    pub(super) async fn let_in_again(
        &self,
        identity: &Arc<LoginIdentity>,
        attempt: &LoginAttempt,
        counted: &Attempt,
        remembered: &Remembered,
    ) -> Result<Option<GoodLogin>, LoginError> {
        let noted = self.note_good(identity, attempt, counted, Shown::IfRemembered(remembered)).await?;
        good(identity, attempt, noted, 0)
    }

    /// Lets somebody in whose password is right; it is remembered where that is named.
    async fn let_in(
        &self,
        identity: &Arc<LoginIdentity>,
        attempt: &LoginAttempt,
        counted: &Attempt,
        remember: Option<&Remembered>,
        app_password_id: i64,
    ) -> Result<GoodLogin, LoginError> {
        if is_half_a_proof(identity, attempt) {
            // It makes no good name: that comes with the code.
            return Ok(GoodLogin { identity: Arc::clone(identity), granted: false, app_password_id });
        }
        let noted = self.note_good(identity, attempt, counted, Shown::Right(remember)).await?;
        let login = good(identity, attempt, noted, app_password_id)?;
        // A right password is never one that is not remembered.
        login.ok_or(LoginError::Throttled)
    }

    async fn note_good(
        &self,
        identity: &LoginIdentity,
        attempt: &LoginAttempt,
        counted: &Attempt,
        shown: Shown<'_>,
    ) -> Result<Noted, LoginError> {
        let life = self.policy.life_for(identity, attempt.protocol, attempt.peer);
        let grant = self.policy.wanted(identity, life, attempt.peer);
        Ok(self.store.good_login(counted, self.limits, unix_millis(), shown, grant).await?)
    }
}

/// In the panel the password of who has a second factor waits for its code.
fn is_half_a_proof(identity: &LoginIdentity, attempt: &LoginAttempt) -> bool {
    attempt.protocol == Protocol::Panel && identity.second_factor
}

/// What became of a login that Redis has noted; `None`: its password is not remembered.
fn good(
    identity: &Arc<LoginIdentity>,
    attempt: &LoginAttempt,
    noted: Noted,
    app_password_id: i64,
) -> Result<Option<GoodLogin>, LoginError> {
    match noted {
        // Also with the right password: else the remembered ones could be guessed without an end.
        Noted::Throttled => Err(LoginError::Throttled),
        Noted::NotRemembered => Ok(None),
        Noted::In { granted, new_crowd } => {
            if new_crowd {
                tracing::warn!(
                    client = %attempt.peer.client_key(),
                    "nearly all customers come from this address: it is nobody's own, and wins no grants"
                );
            }
            Ok(Some(GoodLogin { identity: Arc::clone(identity), granted, app_password_id }))
        }
    }
}
