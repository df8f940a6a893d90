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
    redis_store::Noted,
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
    ) -> Result<GoodLogin, LoginError> {
        let deadline = Instant::now() + QUEUE_WAIT_MAX;
        let turn = self.turns.get(counted.place(&self.spread, TURNS));
        let _turn = match turn {
            Some(turn) => {
                let taken = tokio::time::timeout_at(deadline, turn.lock()).await;
                Some(taken.map_err(|_| PasswordError::Overloaded)?)
            }
            None => None,
        };
        // Another session of the same owner may have been first.
        if let Some(identity) = identity.as_ref().filter(|identity| self.is_verified(identity, &attempt)) {
            return self.let_in(identity, &attempt, &counted, true, 0).await;
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
                self.let_in(&identity, &attempt, &counted, false, app_password_id).await
            }
            Some(identity) => {
                let key = self.verified.key(&identity, &attempt.password.0);
                self.verified.remember(key, identity.mailbox_id);
                self.let_in(&identity, &attempt, &counted, false, 0).await
            }
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

    pub(super) fn is_verified(&self, identity: &LoginIdentity, attempt: &LoginAttempt) -> bool {
        let password = &attempt.password.0;
        refusal_at(identity, attempt.protocol).is_none()
            && password.len() <= PASSWORD_MAX_BYTES
            && self.verified.holds(&self.verified.key(identity, password))
    }

    pub(super) async fn let_in(
        &self,
        identity: &Arc<LoginIdentity>,
        attempt: &LoginAttempt,
        counted: &Attempt,
        ask_throttle: bool,
        app_password_id: i64,
    ) -> Result<GoodLogin, LoginError> {
        if attempt.protocol == Protocol::Panel && identity.second_factor {
            // Half a proof makes no good name: that comes with the code.
            if ask_throttle && !self.store.admit(counted, self.limits, unix_millis()).await? {
                return Err(LoginError::Throttled);
            }
            return Ok(GoodLogin { identity: Arc::clone(identity), granted: false, app_password_id });
        }
        let life = self.policy.life_for(identity, attempt.protocol, attempt.peer);
        let grant = self.policy.wanted(identity, life, attempt.peer);
        match self.store.good_login(counted, self.limits, unix_millis(), ask_throttle, grant).await? {
            // Also with the right password: else the remembered ones could be guessed without an end.
            Noted::Throttled => Err(LoginError::Throttled),
            Noted::In { granted, new_crowd } => {
                if new_crowd {
                    tracing::warn!(
                        client = %attempt.peer.client_key(),
                        "nearly all customers come from this address: it is nobody's own, and wins no grants"
                    );
                }
                Ok(GoodLogin { identity: Arc::clone(identity), granted, app_password_id })
            }
        }
    }
}
