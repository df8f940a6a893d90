//! Domains: whose they are, how they behave, and the default box that each has from its first moment.

use postern_mail::DomainName;
use postern_mesh::identity::Caller;
use postern_proto::account::v1::{ActivityState, Domain, DomainState};
use prost::Message as _;

use crate::{
    Account,
    customers::answered,
    error::{AccountError, Doing as _},
    paging::Page,
    store::{
        Tx,
        audit::Deed,
        customers, domains,
        domains::DomainUpdate,
        logins,
        mailboxes::{self, NewMailbox},
        requests, versions,
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
    pub(crate) request_id: Option<String>,
}

impl Account {
    pub(crate) async fn domain(&self, caller: &Caller, name: &DomainName) -> Result<Domain, AccountError> {
        self.may_see_domain(caller, name).await?;
        domains::get(self.store.pool(), name).await
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
            Some(login) => domains::list_of(self.store.pool(), login, page).await?,
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
        versions::lock_new(&mut tx, &new.name).await?;
        if domains::is_hosted(&mut tx, &new.name).await? {
            return Err(AccountError::AlreadyExists(format!("domain {} is hosted here already", new.name)));
        }
        let live = new.live || self.new_domains_live;
        let state = if live { DomainState::Live } else { DomainState::Pending };
        add_with_default_box(&mut tx, &new.name, &owner, state).await?;
        let domain = domains::get_in(&mut tx, &new.name).await?;
        deed(&domain, "create").created(&mut tx, &domain).await?;
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
        let change = versions::enter(&mut tx, name).await?;
        let before = domains::get_in(&mut tx, name).await?;
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
        // From now on AUTH only: the grants that its mailboxes have already end too.
        let revoked = if update.auth_only == Some(true) && !before.auth_only {
            mailboxes::revoke(&mut tx, &change.domain, false, change.version).await?
        } else {
            Vec::new()
        };
        change.announce(&mut tx, &revoked).await?;
        let domain = domains::get_in(&mut tx, name).await?;
        deed(&domain, "update").changed(&mut tx, &before, &domain).await?;
        tx.commit().await.doing("commit a change of a domain")?;
        Ok(domain)
    }

    pub(crate) async fn delete_domain(&self, caller: &Caller, name: &DomainName) -> Result<(), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let change = versions::enter(&mut tx, name).await?;
        let before = domains::get_in(&mut tx, name).await?;
        let removed = mailboxes::remove_all(&mut tx, &change.domain, change.version).await?;
        logins::retire(&mut tx, &change.domain, change.customer_id).await?;
        domains::remove(&mut tx, &change.domain).await?;
        change.announce(&mut tx, &removed).await?;
        deed(&before, "delete").removed(&mut tx, &before).await?;
        tx.commit().await.doing("commit the removal of a domain")
    }
}

fn deed<'d>(domain: &'d Domain, action: &'static str) -> Deed<'d> {
    Deed { customer: &domain.customer, kind: "domain", name: &domain.name, action }
}

async fn add_with_default_box(
    tx: &mut Tx,
    name: &DomainName,
    owner: &customers::LockedCustomer,
    state: DomainState,
) -> Result<(), AccountError> {
    let change = versions::draw(tx, name, owner).await?;
    let login = logins::give_to_domain(tx, name, owner.customer_id, &owner.login).await?;
    let default_box = NewMailbox {
        address: "",
        login: &login,
        domain: name.as_str(),
        customer_id: owner.customer_id,
        phc: None,
        display_name: "",
        state: ActivityState::Active.into(),
        revision: change.version,
    };
    let mailbox_id = mailboxes::insert(tx, &default_box).await?;
    domains::insert(tx, name, owner.customer_id, state.into(), &login, mailbox_id, change.version).await?;
    change.announce(tx, &[]).await
}
