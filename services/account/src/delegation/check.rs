//! A check of a domain from the question to the write, by itself from time to time or because somebody asks.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use postern_mail::DomainName;
use postern_mesh::{
    audit::Action,
    identity::{Caller, Role},
    shutdown::Shutdown,
};
use postern_proto::account::v1::{DnsFinding, Domain, DomainState};
use tokio::time::timeout;

use super::{
    Evidence,
    decision::{Step, decide},
};
use crate::{
    Account,
    claims::{self, Heir},
    domains::deed,
    error::{AccountError, Doing as _},
    store::{Tx, checks, claims as claim_rows, domains, versions},
};

/// How often we look for domains that are due.
const PATROL_EVERY: Duration = Duration::from_secs(5);
/// Domains taken in one go, and checked at once.
const PATROL_TAKES: i64 = 64;
const PATROL_AT_ONCE: usize = 8;
/// How long somebody who asks for a check waits for a turn.
const TURN_TIMEOUT: Duration = Duration::from_millis(500);
/// A domain that changes under our eyes is looked at again, so often.
const ATTEMPTS_MAX: u32 = 3;

/// Checks domains that are due until shutdown. Replicas share the work: who takes a domain puts it off for the others.
pub(crate) fn keep_checking(account: &Account, shutdown: &Shutdown) {
    let Some(every) = account.delegation.every else { return };
    let (account, ending) = (account.clone(), shutdown.clone());
    let checking = async move {
        let mut times = tokio::time::interval(PATROL_EVERY.min(every));
        loop {
            times.tick().await;
            while account.check_due(every).await >= usize::try_from(PATROL_TAKES).unwrap_or(usize::MAX) {}
        }
    };
    shutdown.spawn(async move {
        tokio::select! {
            () = checking => {}
            () = ending.triggered() => {}
        }
    });
}

impl Account {
    /// Checks what is due now and returns how many that were.
    async fn check_due(&self, every: Duration) -> usize {
        let due = match checks::take_due(self.store.pool(), every, PATROL_TAKES).await {
            Ok(due) => due,
            Err(error) => {
                tracing::warn!(%error, "domains that are due for a check cannot be read; trying again later");
                return 0;
            }
        };
        stream::iter(&due)
            .for_each_concurrent(PATROL_AT_ONCE, async |name| {
                let Ok(domain) = name.parse::<DomainName>() else { return };
                if let Err(error) = self.tend_keys(&domain).await {
                    tracing::warn!(%domain, %error, "the signing keys of a domain cannot be looked after; trying again later");
                }
                match self.check(&domain).await {
                    // Removed a moment ago.
                    Ok(()) | Err(AccountError::NotFound(_)) => {}
                    Err(error) => {
                        tracing::warn!(%domain, %error, "what DNS says of a domain cannot be written; trying again later");
                    }
                }
            })
            .await;
        due.len()
    }

    /// Looks at all records of a domain. Its keys are those that there are: none is made for a domain that may never send.
    async fn check(&self, name: &DomainName) -> Result<(), AccountError> {
        let before = domains::get(self.store.pool(), name).await?;
        let dkim = self.dkim_records_there_are(name).await?;
        let (look, findings) = self.delegation.examine(name, &before, Some(&dkim)).await;
        self.conclude(name, &look.evidence(&self.delegation.expected)).await?;
        self.keep_findings(name, &before, &findings).await
    }

    /// Asks DNS for somebody who waits for it: the domain as it is afterwards, and what was found.
    pub(crate) async fn verify_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
    ) -> Result<(Domain, Vec<DnsFinding>), AccountError> {
        let before = self.domain(caller, name).await?;
        let turn = timeout(TURN_TIMEOUT, self.delegation.room.acquire()).await;
        let _turn = turn.ok().and_then(Result::ok).ok_or(AccountError::ChecksBusy)?;
        // Who only claims a domain is not to make us search for primes.
        let dkim = match before.state() {
            DomainState::Claimed => None,
            _ => {
                self.tend_keys(name).await?;
                Some(self.dkim_records(name).await?)
            }
        };
        let (look, findings) = self.delegation.examine(name, &before, dkim.as_deref()).await;
        self.conclude(name, &look.evidence(&self.delegation.expected)).await?;
        if before.state() != DomainState::Claimed {
            self.keep_findings(name, &before, &findings).await?;
        }
        Ok((self.domain(caller, name).await?, findings))
    }

    /// Does what the evidence proves.
    async fn conclude(&self, name: &DomainName, evidence: &Evidence) -> Result<(), AccountError> {
        if evidence.delegated.is_none() && evidence.proofs.is_none() {
            return Ok(());
        }
        for _ in 1..ATTEMPTS_MAX {
            match self.conclude_once(name, evidence).await {
                Err(AccountError::EtagMismatch(_)) => {}
                done => return done,
            }
        }
        self.conclude_once(name, evidence).await
    }

    async fn conclude_once(&self, name: &DomainName, evidence: &Evidence) -> Result<(), AccountError> {
        // Whoever asked: what happens is the doing of DNS.
        let mut tx = self.store.begin(&Caller::new("account", Role::Service)).await?;
        // A customer who gets the domain is locked before it, so that who that is must be foreseen.
        let heir = match foresee(&mut tx, name, evidence).await? {
            Step::HandOver(winner) => {
                let mut claims = claim_rows::of(&mut tx, name.as_str()).await?;
                claims.retain(|claim| claim.claim_id == winner);
                match claims.pop() {
                    Some(claim) => Heir::lock(&mut tx, claim).await?,
                    None => None,
                }
            }
            _ => None,
        };
        versions::lock_names(&mut tx, name.as_str()).await?;
        let step = foresee(&mut tx, name, evidence).await?;
        match (step, heir) {
            (Step::Stay, _) => {}
            (Step::EndGrace, _) => checks::end_grace(&mut tx, name.as_str()).await?,
            (Step::BeginGrace, _) => {
                checks::begin_grace(&mut tx, name.as_str(), self.delegation.grace).await?;
            }
            (Step::Become(state), _) => become_state(&mut tx, name, state).await?,
            (Step::HandOver(winner), Some(heir)) if heir.claim_id() == winner => {
                hand_over(&mut tx, name, heir, evidence).await?;
            }
            (Step::HandOver(_), _) => {
                return Err(AccountError::EtagMismatch(format!("who gets domain {name}")));
            }
        }
        checks::note(&mut tx, name.as_str()).await?;
        tx.commit().await.doing("commit what DNS says of a domain")
    }
}

/// What is to be done, as far as this transaction sees.
async fn foresee(tx: &mut Tx, name: &DomainName, evidence: &Evidence) -> Result<Step, AccountError> {
    let Some(standing) = checks::standing(tx, name.as_str()).await? else { return Ok(Step::Stay) };
    let claims = claim_rows::of(tx, name.as_str()).await?;
    Ok(decide(standing, &claims, evidence))
}

async fn become_state(tx: &mut Tx, name: &DomainName, state: DomainState) -> Result<(), AccountError> {
    let Some(change) = versions::try_enter(tx, name.as_str()).await? else { return Ok(()) };
    let before = domains::get_in(tx, name).await?;
    checks::set_state(tx, name.as_str(), state, change.version).await?;
    let after = domains::get_in(tx, name).await?;
    deed(&after, Action::Verify).changed(tx, &before, &after).await?;
    tracing::info!(domain = %name, customer = after.customer, state = state.as_str_name(), "DNS moved a domain");
    change.announce(tx, &[]).await
}

/// The domain goes to who proved the claim; what its holder had in it goes as if the holder had removed it, second names
/// included.
async fn hand_over(
    tx: &mut Tx,
    name: &DomainName,
    heir: Heir,
    evidence: &Evidence,
) -> Result<(), AccountError> {
    let Some(change) = versions::try_enter(tx, name.as_str()).await? else { return Ok(()) };
    for alias in change.aliases().to_vec() {
        let alias = alias.parse().map_err(|_| AccountError::Stored("a stored domain is no domain name"))?;
        if let Some(change) = versions::try_enter(tx, DomainName::as_str(&alias)).await? {
            claims::remove(tx, &alias, change).await?;
        }
    }
    let former = change.customer.clone();
    claims::remove(tx, name, change).await?;
    let domain = heir.inherit(tx, name).await?;
    tracing::info!(domain = %name, from = former, to = domain.customer, "a claim was proven, the domain has a new owner");
    if evidence.delegated == Some(true) {
        become_state(tx, name, DomainState::Live).await?;
    }
    Ok(())
}
