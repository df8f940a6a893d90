//! Who gets a name that several ask for: the claims of those who wait, and how a domain goes from one to the next.
//!
//! Lock order: the customer who is to get it, then the domain.

use postern_mail::DomainName;
use postern_mesh::{audit::Action, identity::Caller};
use postern_proto::account::v1::{ActivityState, Domain, DomainState};

use crate::{
    Account,
    domains::deed,
    error::AccountError,
    removals,
    store::{
        Tx,
        claims::{self, Claim},
        customers::{self, LockedCustomer},
        domains::{self, Place},
        logins,
        mailboxes::{self, NewMailbox},
        versions::{self, DomainChange},
    },
};

/// Who waits for a domain and is locked before the domain is: it comes to them when its holder goes.
pub(crate) struct Heir {
    claim: Claim,
    owner: LockedCustomer,
}

impl Heir {
    /// Locks the customer of a waiting claim; `None`: that customer was removed.
    pub(crate) async fn lock(tx: &mut Tx, claim: Claim) -> Result<Option<Self>, AccountError> {
        let owner = customers::lock_heir(tx, claim.customer_id).await?;
        Ok(owner.map(|owner| Self { claim, owner }))
    }

    pub(crate) fn claim_id(&self) -> i64 {
        self.claim.claim_id
    }

    /// The first who waits.
    pub(crate) async fn first(tx: &mut Tx, name: &DomainName) -> Result<Option<Self>, AccountError> {
        match claims::first_waiting(tx, name.as_str()).await? {
            Some(claim) => Self::lock(tx, claim).await,
            None => Ok(None),
        }
    }

    /// Gives them the domain, which is free now. The lock of the domain is held.
    pub(crate) async fn inherit(self, tx: &mut Tx, name: &DomainName) -> Result<Domain, AccountError> {
        let target = match &self.claim.alias_of {
            Some(target) => own_target(tx, target, &self.owner).await?,
            None => None,
        };
        let alias_of = target.as_ref().map(|target| target.domain.clone());
        add(tx, name, &self.owner, DomainState::Pending, alias_of.as_deref()).await?;
        if let Some(target) = target {
            target.announce(tx, &[]).await?;
        }
        let domain = domains::get_in(tx, name).await?;
        deed(&domain, Action::Create).created(tx, &domain).await?;
        Ok(domain)
    }
}

impl Account {
    /// What a customer waits for.
    pub(crate) async fn claimed_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
    ) -> Result<Option<Domain>, AccountError> {
        if caller.is_staff() || !caller.may_act_for(&caller.customer) {
            return Ok(None);
        }
        claims::get(self.store.pool(), name, &caller.customer).await
    }
}

/// Notes that a customer wants what another one has. The lock of the domain is held.
pub(crate) async fn claim(
    tx: &mut Tx,
    name: &DomainName,
    owner: &LockedCustomer,
    alias_of: Option<&str>,
) -> Result<Domain, AccountError> {
    if !claims::wait(tx, name, owner.customer_id, alias_of).await? {
        return Err(AccountError::AlreadyExists(format!(
            "domain {name} is claimed by {} already: its TXT record is to prove the claim",
            owner.login
        )));
    }
    let domain = claims::get_in(tx, name, &owner.login).await?;
    let domain = domain.ok_or(AccountError::Stored("a claim that was noted is not there"))?;
    deed(&domain, Action::Create).created(tx, &domain).await?;
    Ok(domain)
}

/// Takes back that a customer waits for a domain; `None`: it does not wait. The lock of the domain is held.
pub(crate) async fn withdraw(
    tx: &mut Tx,
    name: &DomainName,
    customer: &str,
) -> Result<Option<()>, AccountError> {
    let Some(claimed) = claims::get_in(tx, name, customer).await? else { return Ok(None) };
    claims::withdraw(tx, name, customer).await?;
    deed(&claimed, Action::Delete).removed(tx, &claimed).await.map(Some)
}

/// Adds a domain that nobody has: with its default box, or as a second name.
pub(crate) async fn add(
    tx: &mut Tx,
    name: &DomainName,
    owner: &LockedCustomer,
    state: DomainState,
    alias_of: Option<&str>,
) -> Result<(), AccountError> {
    let change = versions::draw(tx, name, owner).await?;
    let (customer_id, revision) = (owner.customer_id, change.version);
    let new = |place| domains::NewDomain { name, customer_id, state, revision, place };
    match alias_of {
        Some(target) => domains::insert(tx, &new(Place::AliasOf(target))).await?,
        None => {
            let login = logins::give_to_domain(tx, name, customer_id, &owner.login).await?;
            let default_box = NewMailbox {
                address: "",
                login: &login,
                domain: name.as_str(),
                customer_id,
                phc: None,
                display_name: "",
                quota_bytes: None,
                state: ActivityState::Active.into(),
                revision,
            };
            let default_mailbox_id = mailboxes::insert(tx, &default_box).await?;
            domains::insert(tx, &new(Place::Own { login: &login, default_mailbox_id })).await?;
        }
    }
    claims::hold(tx, name, customer_id).await?;
    change.announce(tx, &[]).await
}

/// Removes what a locked domain is: its boxes and forwards, or the second name.
pub(crate) async fn remove(tx: &mut Tx, name: &DomainName, change: DomainChange) -> Result<(), AccountError> {
    let before = domains::get_in(tx, name).await?;
    let mut removed = Vec::new();
    if !change.is_alias() {
        removed = mailboxes::remove_all(tx, &change.domain, change.version).await?;
        logins::retire(tx, &change.domain, change.customer_id).await?;
        removals::with_domain(tx, &change).await?;
    }
    domains::remove(tx, &change.domain).await?;
    change.announce(tx, &removed).await?;
    deed(&before, Action::Delete).removed(tx, &before).await
}

/// The domain that a second name shall stand for, locked, if it is still this customer's and has boxes of its own.
async fn own_target(
    tx: &mut Tx,
    target: &str,
    owner: &LockedCustomer,
) -> Result<Option<DomainChange>, AccountError> {
    let found = versions::try_enter(tx, target).await?;
    let found = found.filter(|target| target.customer_id == owner.customer_id && !target.is_alias());
    Ok(found)
}

/// The same for a second name that is being asked for.
pub(crate) async fn enter_target(
    tx: &mut Tx,
    target: &DomainName,
    owner: &LockedCustomer,
) -> Result<DomainChange, AccountError> {
    let found = versions::try_enter(tx, target.as_str()).await?;
    let found = found.filter(|target| target.customer_id == owner.customer_id);
    let Some(found) = found else {
        return Err(AccountError::NotFound(format!(
            "alias_of: domain {target} is not hosted here for {}",
            owner.login
        )));
    };
    if found.is_alias() {
        return Err(AccountError::Precondition(format!(
            "alias_of: {target} is a second name itself, of {}: name that one",
            found.target
        )));
    }
    Ok(found)
}

/// What waits and was locked must still be what waits.
pub(crate) async fn still_first(
    tx: &mut Tx,
    name: &DomainName,
    heir: Option<&Heir>,
) -> Result<(), AccountError> {
    let now = claims::first_waiting(tx, name.as_str()).await?.map(|claim| claim.claim_id);
    if now == heir.map(Heir::claim_id) {
        return Ok(());
    }
    Err(AccountError::EtagMismatch(format!("who waits for domain {name}")))
}
