//! The questions of a login up to its password, shared by the explanation of a login and of sending with one.

use std::sync::Arc;

use postern_mail::{EmailAddress, PeerIp, Reason};
use postern_proto::{
    account::v1::{ActivityState, DomainState, LoginIdentity, resolution::Outcome},
    auth::v1::Verdict,
};

use super::{Explainer, sight::Sight, way::Way};
use crate::{
    authenticate::{LoginError, refusal_of},
    throttle::Wait,
};

/// A login that is to be explained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TypedLogin<'q> {
    /// As typed.
    pub(crate) login: &'q str,
    /// `None`: from any client.
    pub(crate) peer: Option<PeerIp>,
    /// Without TLS.
    pub(crate) clear_text: bool,
}

/// Whose login it is, or why nobody gets in with it.
pub(super) struct Account {
    pub(super) identity: Option<Arc<LoginIdentity>>,
    /// What a client is told that gives the right password; `None`: it gets in.
    pub(super) refusal: Option<Reason>,
}

impl Explainer {
    /// Walks the questions in the order in which they are decided. The password is never looked at.
    pub(super) async fn account_of(&self, way: &mut Way, sight: &Sight, typed: TypedLogin<'_>) -> Account {
        let (login, found) = match self.logins.identify(typed.login).await {
            Ok(known) => known,
            Err(error) => return away(way, "login-known", "the directory", &error),
        };
        let identity = found.filter(|identity| sight.sees_box(&identity.customer, identity.mailbox_id));
        if typed.clear_text {
            match self.takes_clear_text(sight, login.as_deref(), identity.as_deref(), typed.peer).await {
                Ok(Some(why)) => way.passed("encrypted", why),
                Ok(None) => {
                    in_clear_text(way);
                    return refused(Reason::EncryptionRequired, identity);
                }
                Err(error) => return away(way, "encrypted", "the directory", &error),
            }
        }
        let Some(login) = login else {
            way.stopped(
                "login-form",
                "nobody can have this login",
                Verdict::Refused,
                "this is no login",
                "Type the login as it was given to you: the whole address, as in anna@homepage.test.",
            );
            return refused(Reason::BadCredentials, identity);
        };
        way.passed("login-form", "a login can look like this");
        // Who asks about what they may not see gets the answer for a login that nobody tried.
        if identity.is_some() || sight.sees_all() {
            let known_as = identity.as_ref().map_or(login.as_str(), |identity| identity.login.as_str());
            let mailbox_id = identity.as_ref().map_or(0, |identity| identity.mailbox_id);
            match self.logins.waiting(known_as, mailbox_id, typed.peer).await {
                Ok(None) => way.passed("may-try-now", "not too many wrong passwords lately"),
                Ok(Some(wait)) => {
                    throttled(way, wait);
                    return refused(Reason::LoginThrottled, identity);
                }
                Err(error) => return away(way, "may-try-now", "Redis", &error),
            }
        }
        let Some(identity) = identity else {
            self.unknown_login(way, sight, &login).await;
            return refused(Reason::BadCredentials, None);
        };
        way.passed("login-known", format!("it opens the mailbox {}", identity.address));
        in_service(way, &identity);
        Account { refusal: refusal_of(&identity), identity: Some(identity) }
    }

    /// Why a password in clear text is taken for this login; `None`: it is not. The domain of a login that this person may not see
    /// takes none, like one that is not hosted.
    async fn takes_clear_text(
        &self,
        sight: &Sight,
        login: Option<&str>,
        identity: Option<&LoginIdentity>,
        peer: Option<PeerIp>,
    ) -> Result<Option<&'static str>, LoginError> {
        let peer = peer.unwrap_or(PeerIp::NOBODY);
        if !self.plaintext_login.is_offered_to(peer) {
            return Ok(None);
        }
        if !self.plaintext_login.asks_domain(peer) {
            return Ok(Some("passwords in clear text are taken from this client, whatever the login"));
        }
        let is_seen = identity.is_some() || sight.sees_all() || self.sees_domain_of(sight, login).await?;
        let taken = is_seen && self.logins.takes_clear_text(login, identity).await?;
        Ok(taken.then_some("the domain of this login takes passwords in clear text"))
    }

    async fn sees_domain_of(&self, sight: &Sight, login: Option<&str>) -> Result<bool, LoginError> {
        let address: Option<EmailAddress> = login.and_then(|login| login.parse().ok());
        let Some(address) = address else { return Ok(false) };
        let domain = self.directory.domain(address.domain()).await;
        let domain = domain.map_err(|status| LoginError::Directory(Box::new(status)))?;
        Ok(domain.is_some_and(|domain| sight.sees_customer(&domain.customer)))
    }

    /// There is no such login: what may have been meant.
    async fn unknown_login(&self, way: &mut Way, sight: &Sight, login: &str) {
        let (found, next) = match login.parse::<EmailAddress>() {
            Err(_) => (
                format!("no customer and no default box has the login {login}"),
                "A mailbox logs in with its whole address, as in anna@homepage.test; only the default box of a domain has a \
                 login without @."
                    .to_owned(),
            ),
            Ok(address) => self.unknown_address(sight, &address).await,
        };
        way.stopped("login-known", found, Verdict::Refused, "there is no such login", next);
    }

    async fn unknown_address(&self, sight: &Sight, address: &EmailAddress) -> (String, String) {
        let domain = address.domain();
        match self.resolve(sight, address).await.map(|resolution| resolution.outcome.clone()) {
            Ok(Some(Outcome::Remote(_))) => (
                format!("the domain {domain} is not hosted here"),
                format!("Check how {domain} is spelled, and that the mail program uses the right account."),
            ),
            Ok(Some(Outcome::Local(local))) if local.mailbox.is_none() && !local.forward_targets.is_empty() => (
                format!("{address} is a forward to {}", local.forward_targets.join(", ")),
                "A forward has no box and no password: log in as the address it leads to, or create a mailbox.".to_owned(),
            ),
            _ => (
                format!("{domain} is hosted here and has no mailbox {address}"),
                "Check the part before the @, or create the mailbox.".to_owned(),
            ),
        }
    }
}

fn in_clear_text(way: &mut Way) {
    way.stopped(
        "encrypted",
        "the password would come without TLS, and is not taken so for this login",
        Verdict::Refused,
        "encryption is required for this login",
        "Switch on TLS (\"SSL/TLS\" or \"STARTTLS\") for incoming and outgoing mail in the mail program. Only for programs that \
         have none: `postern domain set` with `--plaintext-login true`, where the platform leaves that to domains.",
    );
}

fn throttled(way: &mut Way, wait: Wait) {
    let Wait { account_failures, client_failures, pair_failures, seconds } = wait;
    way.stopped(
        "may-try-now",
        format!(
            "wrong passwords within 10 minutes: {account_failures} for this login from new places, {client_failures} from this \
             client, {pair_failures} from this client for this login"
        ),
        Verdict::Later,
        "too many wrong passwords were tried",
        format!(
            "Wait {} and try again with the right password; correct it first in every mail program that still has an old one.",
            in_words(seconds)
        ),
    );
}

/// Names what [`refusal_of`] goes by.
fn in_service(way: &mut Way, identity: &LoginIdentity) {
    let domain = &identity.domain;
    if identity.domain_state() == DomainState::Live {
        way.passed("domain-live", format!("{domain} is in service"));
    } else {
        way.stopped(
            "domain-live",
            format!("{domain} is {}", super::domain::state_word(identity.domain_state())),
            Verdict::Refused,
            format!("{domain} is not in service, so none of its logins works"),
            format!("Have {domain} delegated to this platform; `postern explain domain {domain}` says what is missing."),
        );
    }
    if identity.state() == ActivityState::Active {
        way.passed("not-suspended", "neither the mailbox nor its customer is suspended");
    } else {
        way.stopped(
            "not-suspended",
            "the operator has suspended the mailbox or its customer",
            Verdict::Refused,
            "this account is suspended",
            "Contact the provider; the operator ends a suspension with `postern account resume` or `postern customer resume`.",
        );
    }
}

fn refused(reason: Reason, identity: Option<Arc<LoginIdentity>>) -> Account {
    Account { identity, refusal: Some(reason) }
}

fn away(way: &mut Way, name: &str, part: &str, error: &LoginError) -> Account {
    tracing::warn!(error = error as &dyn std::error::Error, "a login cannot be explained");
    way.away(name, part);
    refused(error.reason(), None)
}

/// `40 seconds`, `9 minutes`.
fn in_words(seconds: u32) -> String {
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}
