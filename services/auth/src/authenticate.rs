//! One login, in the order of its questions: who is that (directory), may this client try now and was this password right
//! lately (throttle and password memory), is it right (argon2), and then in one step of Redis: the count, the good name and the
//! grant. The first step of Redis is the last one, too, when the password is remembered.
//!
//! Unknown login, wrong password, suspended and not live take the same way to the same answer.

mod check;
mod outcome;

use std::{collections::hash_map::RandomState, sync::Arc, time::Duration};

use postern_mail::{Password, PeerIp, Reason, canonical_login};
use postern_mesh::{client::MeshChannel, clock::unix_millis, directory::Directory};
use postern_proto::{
    account::v1::{
        ActivityState, DomainState, LoginIdentity, LookupLoginRequest,
        directory_service_client::DirectoryServiceClient,
    },
    auth::v1::{LoginFailure, Protocol},
};
use tokio::{sync::Mutex, time::Instant};
use tracing::Instrument as _;

pub(crate) use self::outcome::{GoodLogin, LoginError, temporary_reason};
use crate::{
    comparer::Comparer,
    grant::GrantPolicy,
    login_history::LoginHistory,
    password::Passwords,
    password_memory::PasswordMemory,
    redis_store::{Password as Shown, RedisStore, StoreError},
    throttle::{Attempt, ThrottleLimits, Wait},
};

/// Attempts on one account are checked one after the other; accounts are spread over so many places.
const TURNS: usize = 4096;
/// A "no" is held back by a random time between these, milliseconds, far more than any difference between the reasons
/// for it, such as a directory answer that was kept and one that was not.
const REFUSAL_DELAY_MILLIS: std::ops::Range<u64> = 20..120;

/// A login as it came.
#[derive(Clone, Debug)]
pub(crate) struct LoginAttempt {
    pub(crate) login: String,
    pub(crate) password: Password,
    pub(crate) protocol: Protocol,
    pub(crate) peer: PeerIp,
    pub(crate) session_id: String,
    /// Others can read the password on its way, and the domain of the login decides.
    pub(crate) clear_text: bool,
}

/// Checks logins. One for the whole process.
pub(crate) struct Authenticator {
    directory: Directory,
    store: RedisStore,
    passwords: Passwords,
    memory: PasswordMemory,
    policy: GrantPolicy,
    limits: ThrottleLimits,
    account: DirectoryServiceClient<MeshChannel>,
    history: LoginHistory,
    comparer: Comparer,
    /// So that an attack on one account cannot try many passwords between two counts, and that many sessions of one
    /// owner share one check.
    turns: Vec<Mutex<()>>,
    spread: RandomState,
}

impl Authenticator {
    pub(crate) fn new(
        directory: Directory,
        account: MeshChannel,
        store: RedisStore,
        (passwords, memory): (Passwords, PasswordMemory),
        policy: GrantPolicy,
        limits: ThrottleLimits,
        history: LoginHistory,
    ) -> Self {
        let turns = std::iter::repeat_with(|| Mutex::new(())).take(TURNS).collect();
        let spread = RandomState::new();
        let account = DirectoryServiceClient::new(account);
        let comparer = Comparer::new();
        Self {
            directory,
            store,
            passwords,
            memory,
            policy,
            limits,
            account,
            history,
            comparer,
            turns,
            spread,
        }
    }

    /// Lets somebody in or says why not.
    pub(crate) async fn authenticate(
        self: &Arc<Self>,
        attempt: LoginAttempt,
    ) -> Result<GoodLogin, LoginError> {
        let (who, peer, protocol) = (attempt.session_id.clone(), attempt.peer, attempt.protocol);
        let begun = Instant::now();
        let result = self.decide(attempt).await;
        outcome::note(&result, &who, peer, protocol, begun.elapsed());
        if matches!(result, Err(LoginError::BadCredentials { .. })) {
            tokio::time::sleep(Duration::from_millis(rand::random_range(REFUSAL_DELAY_MILLIS))).await;
        }
        result
    }

    async fn decide(self: &Arc<Self>, attempt: LoginAttempt) -> Result<GoodLogin, LoginError> {
        let (login, identity) = match attempt.protocol {
            Protocol::Panel => self.identify_for_panel(&attempt.login).await?,
            _ => self.identify(&attempt.login).await?,
        };
        let (protocol, peer) = (attempt.protocol, attempt.peer);
        let owner = identity.clone();
        let result = self.judge(login, identity, attempt).await;
        if let Some(owner) = owner {
            self.note(&owner, protocol, peer, &result);
        }
        result
    }

    /// For the owner of the mailbox, who asks when it was used and what went wrong.
    fn note(
        &self,
        owner: &LoginIdentity,
        protocol: Protocol,
        peer: PeerIp,
        result: &Result<GoodLogin, LoginError>,
    ) {
        let why = match result {
            // Half a proof is no login.
            Ok(_) if protocol == Protocol::Panel && owner.second_factor => return,
            Ok(login) => return self.history.good(owner.mailbox_id, protocol, peer, login.app_password_id),
            Err(LoginError::BadCredentials { .. })
                if refusal_at(owner, protocol) == Some(Reason::BadCredentials) =>
            {
                LoginFailure::DomainNotLive
            }
            Err(LoginError::BadCredentials { .. }) => LoginFailure::Password,
            Err(LoginError::Suspended) => LoginFailure::Suspended,
            Err(LoginError::Throttled) => LoginFailure::Throttled,
            Err(LoginError::EncryptionRequired) => LoginFailure::ClearText,
            // A part was away: that says nothing about the login.
            Err(_) => return,
        };
        self.history.failed(owner.mailbox_id, protocol, peer, why);
    }

    /// The code of the second factor came after the right password, and was right or not.
    pub(crate) async fn code_came(
        &self,
        identity: &LoginIdentity,
        peer: PeerIp,
        right: bool,
    ) -> Result<(), StoreError> {
        if !right {
            self.history.failed(identity.mailbox_id, Protocol::Panel, peer, LoginFailure::Code);
            return Ok(());
        }
        let counted = Attempt::new(&identity.login, counted_as(identity), peer.client_key());
        let grant = self.policy.wanted(identity, None, peer);
        self.store.good_login(&counted, self.limits, unix_millis(), Shown::Right(None), grant).await?;
        self.history.good(identity.mailbox_id, Protocol::Panel, peer, 0);
        Ok(())
    }

    async fn judge(
        self: &Arc<Self>,
        login: Option<String>,
        identity: Option<Arc<LoginIdentity>>,
        attempt: LoginAttempt,
    ) -> Result<GoodLogin, LoginError> {
        if attempt.clear_text && !self.takes_clear_text(login.as_deref(), identity.as_deref()).await? {
            return Err(LoginError::EncryptionRequired);
        }
        let known_as =
            identity.as_ref().map(|identity| &identity.login).or(login.as_ref()).unwrap_or(&attempt.login);
        let mailbox_id = identity.as_ref().map_or(0, |identity| counted_as(identity));
        let counted = Attempt::new(known_as, mailbox_id, attempt.peer.client_key());
        let remembered = identity.as_ref().and_then(|identity| self.remembered(identity, &attempt));
        if let (Some(identity), Some(remembered)) = (&identity, &remembered)
            && let Some(login) = self.let_in_again(identity, &attempt, &counted, remembered).await?
        {
            return Ok(login);
        }
        // In a task of its own: who hangs up before the answer has tried all the same, and is counted.
        let this = Arc::clone(self);
        let checking = async move { this.check(identity, attempt, counted, remembered).await };
        let checked = tokio::spawn(checking.in_current_span());
        checked.await.map_err(LoginError::Aborted)?
    }

    /// Whether passwords in clear text are taken for this login: a matter of its domain, so that it says nothing about who
    /// exists there.
    pub(crate) async fn takes_clear_text(
        &self,
        login: Option<&str>,
        identity: Option<&LoginIdentity>,
    ) -> Result<bool, LoginError> {
        if let Some(identity) = identity {
            return Ok(identity.plaintext_login);
        }
        let domain =
            login.and_then(|login| login.rsplit_once('@')).and_then(|(_, domain)| domain.parse().ok());
        let Some(domain) = domain else { return Ok(false) };
        let domain = self.directory.domain(&domain).await.map_err(|s| LoginError::Directory(Box::new(s)))?;
        Ok(domain.is_some_and(|domain| domain.plaintext_login))
    }

    /// The one form of a login as typed, and whose it is.
    pub(crate) async fn identify(
        &self,
        typed: &str,
    ) -> Result<(Option<String>, Option<Arc<LoginIdentity>>), LoginError> {
        let Some(login) = canonical_login(typed) else { return Ok((None, None)) };
        let identity = self.directory.login(&login).await.map_err(|s| LoginError::Directory(Box::new(s)))?;
        Ok((Some(login), identity))
    }

    /// The same for the panel, which also opens for a customer without a box. Asked anew each time: such a login has no
    /// domain that would tell its changes.
    async fn identify_for_panel(
        &self,
        typed: &str,
    ) -> Result<(Option<String>, Option<Arc<LoginIdentity>>), LoginError> {
        let Some(login) = canonical_login(typed) else { return Ok((None, None)) };
        let request = LookupLoginRequest { login: login.clone(), for_panel: true };
        let answer = self.account.clone().lookup_login(request).await;
        let identity = answer.map_err(|s| LoginError::Directory(Box::new(s)))?.into_inner().identity;
        Ok((Some(login), identity.map(Arc::new)))
    }

    /// Whether this client, or any that never logged in there (`None`), must wait before it may try a password for this
    /// login; nothing is counted.
    pub(crate) async fn waiting(
        &self,
        login: &str,
        mailbox_id: i64,
        peer: Option<PeerIp>,
    ) -> Result<Option<Wait>, LoginError> {
        let asked = match peer {
            Some(peer) => Attempt::new(login, mailbox_id, peer.client_key()),
            None => Attempt::of_anybody(login, mailbox_id),
        };
        if self.store.admit(&asked, self.limits, unix_millis()).await? {
            return Ok(None);
        }
        Ok(Some(self.store.failures(&asked).await?))
    }

    /// Gives memory back that was not needed lately; called now and then.
    pub(crate) fn rest(&self) {
        self.passwords.rest();
    }
}

/// Why nobody gets into this account, not even with its password; `None`: it is in service.
pub(crate) fn refusal_of(identity: &LoginIdentity) -> Option<Reason> {
    match (identity.domain_state(), identity.state()) {
        (DomainState::Live, ActivityState::Active) => None,
        (DomainState::Live, _) => Some(Reason::AccountSuspended),
        _ => Some(Reason::BadCredentials),
    }
}

/// The same at one door: who sets up a domain in the panel does so before it is in service.
fn refusal_at(identity: &LoginIdentity, protocol: Protocol) -> Option<Reason> {
    match protocol {
        Protocol::Panel => (identity.state() != ActivityState::Active).then_some(Reason::AccountSuspended),
        _ => refusal_of(identity),
    }
}

/// Whose good names are counted. A customer without a box has a number of its own, below those of boxes: its login read as one.
fn counted_as(identity: &LoginIdentity) -> i64 {
    match identity.mailbox_id {
        0 => -1 - i64::from_str_radix(&identity.login, 36).unwrap_or(0),
        mailbox_id => mailbox_id,
    }
}
