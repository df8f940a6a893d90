//! Domains: whose they are, how they behave, and the default box that each has from its first moment.

use postern_mail::DomainName;
use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::{Domain, DomainState, SpamHandling};
use prost::Message as _;

use crate::{
    Account,
    claims::{self, Heir},
    customers::answered,
    error::{AccountError, Doing as _},
    limits,
    paging::Page,
    store::{
        Tx,
        audit::Deed,
        claims as claim_rows, customers, domains,
        domains::DomainUpdate,
        mailboxes, requests,
        versions::{self, DomainChange},
    },
};

const KIND: &str = "domain";

/// A domain that is to be created; every field is checked.
pub(crate) struct NewDomain {
    pub(crate) name: DomainName,
    /// Login of the owner.
    pub(crate) customer: String,
    /// Into service without asking DNS.
    pub(crate) live: bool,
    /// The domain that it shall be a second name of.
    pub(crate) alias_of: Option<DomainName>,
    pub(crate) request_id: Option<String>,
}

impl Account {
    pub(crate) async fn domain(&self, caller: &Caller, name: &DomainName) -> Result<Domain, AccountError> {
        match self.may_see_domain(caller, name).await {
            Ok(()) => domains::get(self.store.pool(), name).await,
            Err(unseen) => self.claimed_domain(caller, name).await?.ok_or(unseen),
        }
    }

    /// A page of all domains or of one customer's, and the token of the next one.
    pub(crate) async fn domains(
        &self,
        caller: &Caller,
        customer: Option<&str>,
        page: &Page,
    ) -> Result<(Vec<Domain>, String), AccountError> {
        let customer = match customer {
            None if !caller.is_staff() => Some(caller.customer.as_str()),
            Some(login) if !caller.may_act_for(login) => return Ok((Vec::new(), String::new())),
            customer => customer,
        };
        let mut rows = match customer {
            None => domains::list(self.store.pool(), page).await?,
            Some(login) => {
                let pool = self.store.pool();
                let (mut rows, claimed) = tokio::try_join!(
                    domains::list_of(pool, login, page),
                    claim_rows::list_of(pool, login, page)
                )?;
                rows.extend(claimed);
                rows.sort_by(|a, b| a.name.cmp(&b.name));
                rows.truncate(usize::try_from(page.limit()).unwrap_or(usize::MAX));
                rows
            }
        };
        let next = page.finish(&mut rows, |domain| &domain.name);
        Ok((rows, next))
    }

    pub(crate) async fn create_domain(
        &self,
        caller: &Caller,
        new: NewDomain,
    ) -> Result<Domain, AccountError> {
        let request_id = new.request_id.as_deref();
        let subject = format!("{} {}", new.name, new.customer);
        let mut tx = self.store.begin(caller).await?;
        if let Some(answer) = requests::claim(&mut tx, KIND, request_id, &subject).await? {
            return answered(&answer);
        }
        let owner = customers::lock(&mut tx, &new.customer).await?;
        limits::room_for(&mut tx, &self.limits, &owner.login, limits::Kind::Domains, 1).await?;
        let target = match &new.alias_of {
            Some(target) => Some(claims::enter_target(&mut tx, target, &owner).await?),
            None => None,
        };
        let alias_of = target.as_ref().map(|target| target.domain.clone());
        versions::lock_new(&mut tx, &new.name).await?;
        let domain = match domains::holder(&mut tx, &new.name).await? {
            Some(holder) if holder == owner.customer_id => {
                return Err(AccountError::AlreadyExists(format!(
                    "domain {} is hosted here already",
                    new.name
                )));
            }
            Some(_) if new.live => return Err(held_by_another(&new)),
            Some(_) => claims::claim(&mut tx, &new.name, &owner, alias_of.as_deref()).await?,
            None => {
                let live = new.live || self.new_domains_live;
                let state = if live { DomainState::Live } else { DomainState::Pending };
                claims::add(&mut tx, &new.name, &owner, state, alias_of.as_deref()).await?;
                let domain = domains::get_in(&mut tx, &new.name).await?;
                deed(&domain, Action::Create).created(&mut tx, &domain).await?;
                domain
            }
        };
        if let Some(target) = target {
            target.announce(&mut tx, &[]).await?;
        }
        requests::answer(&mut tx, KIND, request_id, &domain.encode_to_vec()).await?;
        tx.commit().await.doing("commit a new domain")?;
        Ok(domain)
    }

    /// Changes a domain; `etag` empty: whatever is there.
    pub(crate) async fn update_domain(
        &self,
        caller: &Caller,
        name: &DomainName,
        etag: &str,
        update: &DomainUpdate,
    ) -> Result<Domain, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let change = versions::enter_name(&mut tx, name).await?;
        let before = domains::get_in(&mut tx, name).await?;
        if change.is_alias() {
            refuse_what_the_target_has(&change, update)?;
        }
        if !etag.is_empty() && etag != before.etag {
            return Err(AccountError::EtagMismatch(format!("domain {name}")));
        }
        if let Some(logins) = &update.allowed_senders
            && let Some(unknown) = customers::first_unknown(&mut tx, logins).await?
        {
            return Err(AccountError::Invalid(format!(
                "domain.allowed_senders: there is no customer {unknown}"
            )));
        }
        domains::update(&mut tx, name, update, change.version).await?;
        if update.spam_handling == Some(SpamHandling::Quarantine.into()) || update.spam_mailbox.is_some() {
            let domain = domains::get_in(&mut tx, name).await?;
            has_a_place_for_spam(&mut tx, &domain).await?;
        }
        // From now on AUTH only: the grants that its mailboxes have already end too.
        let revoked = if update.auth_only == Some(true) && !before.auth_only {
            mailboxes::revoke(&mut tx, &change.domain, false, change.version).await?
        } else {
            Vec::new()
        };
        change.announce(&mut tx, &revoked).await?;
        let domain = domains::get_in(&mut tx, name).await?;
        deed(&domain, Action::Update).changed(&mut tx, &before, &domain).await?;
        tx.commit().await.doing("commit a change of a domain")?;
        Ok(domain)
    }

    /// Stops hosting a domain, or takes a claim back. Who waits for it gets it.
    pub(crate) async fn delete_domain(&self, caller: &Caller, name: &DomainName) -> Result<(), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let heir = Heir::first(&mut tx, name).await?;
        let change = match versions::enter_name(&mut tx, name).await {
            Ok(change) => change,
            Err(AccountError::NotFound(_)) => {
                let own = caller.customer.as_str();
                claims::withdraw(&mut tx, name, own).await?.ok_or_else(|| domains::not_found(name))?;
                return tx.commit().await.doing("commit the end of a claim");
            }
            Err(error) => return Err(error),
        };
        if !change.aliases().is_empty() {
            return Err(AccountError::Precondition(format!(
                "domain {name} has second names, remove them first: {}",
                change.aliases().join(", ")
            )));
        }
        claims::still_first(&mut tx, name, heir.as_ref()).await?;
        claims::remove(&mut tx, name, change).await?;
        if let Some(heir) = heir {
            heir.inherit(&mut tx, name).await?;
        }
        tx.commit().await.doing("commit the removal of a domain")
    }

    /// Takes back what a customer waits for; the domain stays with its holder.
    pub(crate) async fn withdraw_claim(
        &self,
        caller: &Caller,
        name: &DomainName,
        customer: &str,
    ) -> Result<(), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        versions::lock_names(&mut tx, name.as_str()).await?;
        let withdrawn = claims::withdraw(&mut tx, name, customer).await?;
        withdrawn.ok_or_else(|| {
            AccountError::NotFound(format!("customer {customer} does not wait for domain {name}"))
        })?;
        tx.commit().await.doing("commit the end of a claim")
    }
}

pub(crate) fn deed<'d>(domain: &'d Domain, action: Action) -> Deed<'d> {
    Deed { customer: &domain.customer, kind: Thing::Domain, name: &domain.name, action }
}

fn held_by_another(new: &NewDomain) -> AccountError {
    AccountError::Precondition(format!(
        "live: domain {} is hosted for another customer; without `live`, {} gets a claim that its TXT record proves",
        new.name, new.customer
    ))
}

/// Spam that is put aside must be put somewhere where its owner can look for what is none.
async fn has_a_place_for_spam(tx: &mut Tx, domain: &Domain) -> Result<(), AccountError> {
    let place = &domain.spam_mailbox;
    if place.is_empty() && domain.spam_handling() == SpamHandling::Quarantine {
        return Err(AccountError::Precondition(
            "domain.spam_mailbox: QUARANTINE needs the address of a mailbox".to_owned(),
        ));
    }
    if !place.is_empty() && !mailboxes::is_of_customer(tx, place, &domain.customer).await? {
        return Err(AccountError::Precondition(format!(
            "domain.spam_mailbox: customer {} has no mailbox {place}",
            domain.customer
        )));
    }
    Ok(())
}

/// How logins are treated is a matter of the boxes.
fn refuse_what_the_target_has(change: &DomainChange, update: &DomainUpdate) -> Result<(), AccountError> {
    let field = if update.grant_ttl_seconds.is_some() {
        "grant_ttl_seconds"
    } else if update.auth_only.is_some() {
        "auth_only"
    } else if update.plaintext_login.is_some() {
        "plaintext_login"
    } else if update.dmarc_handling.is_some() {
        "dmarc_handling"
    } else if update.spam_handling.is_some() {
        "spam_handling"
    } else if update.spam_mailbox.is_some() {
        "spam_mailbox"
    } else {
        return Ok(());
    };
    Err(AccountError::Precondition(format!(
        "domain.{field}: {} is a second name of {}: set it there",
        change.domain, change.target
    )))
}
