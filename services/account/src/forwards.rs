//! Forwards: to an address of the house (an alias), to the outside, to several.

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::{
    audit::{Action, Thing},
    identity::{Caller, Role},
};
use postern_proto::account::v1::Forward;
use prost::Message as _;

use crate::{
    Account,
    customers::answered,
    cycles::{self, Start},
    error::{AccountError, Doing as _},
    limits,
    paging::Page,
    store::{
        Tx,
        audit::Deed,
        domains, forwards, mailboxes, requests,
        standing::{self, Newcomer},
        versions::{self, DomainChange},
    },
};

const KIND: &str = "forward";

/// A forward as it shall be; every field is checked.
pub(crate) struct NewForward {
    /// Canonical.
    pub(crate) address: EmailAddress,
    pub(crate) targets: Vec<EmailAddress>,
    pub(crate) keep_copy: bool,
    pub(crate) request_id: Option<String>,
}

/// What is to be changed; `None` leaves it.
pub(crate) struct ForwardUpdate {
    /// Canonical.
    pub(crate) address: EmailAddress,
    /// Empty: whatever is there.
    pub(crate) etag: String,
    pub(crate) targets: Option<Vec<EmailAddress>>,
    pub(crate) keep_copy: Option<bool>,
}

impl Account {
    pub(crate) async fn forward(
        &self,
        caller: &Caller,
        address: &EmailAddress,
    ) -> Result<Forward, AccountError> {
        self.may_see_address(caller, address, || forwards::not_found(address)).await?;
        forwards::get(self.store.pool(), address).await
    }

    /// A page of a domain's forwards, and the token of the next one.
    pub(crate) async fn forwards(
        &self,
        caller: &Caller,
        domain: &DomainName,
        page: &Page,
    ) -> Result<(Vec<Forward>, String), AccountError> {
        self.may_see_domain(caller, domain).await?;
        let mut rows = forwards::list(self.store.pool(), domain, page).await?;
        if rows.is_empty() {
            self.domain(caller, domain).await?;
        }
        let next = page.finish(&mut rows, |forward| &forward.address);
        Ok((rows, next))
    }

    pub(crate) async fn create_forward(
        &self,
        caller: &Caller,
        new: NewForward,
    ) -> Result<Forward, AccountError> {
        let request_id = new.request_id.as_deref();
        let mut tx = self.store.begin(caller).await?;
        if let Some(answer) = requests::claim(&mut tx, KIND, request_id, &new.address.to_string()).await? {
            return answered(&answer);
        }
        limits::room_at(&mut tx, &self.limits, new.address.domain(), limits::Kind::Forwards, 1).await?;
        lock_graph_if_local(&mut tx, &new.targets).await?;
        let change = enter_address(&mut tx, &new.address).await?;
        add(&mut tx, &new.address, &new.targets, new.keep_copy, change.version).await?;
        let forward = found(&mut tx, &new.address).await?;
        deed(&change, &forward, Action::Create).created(&mut tx, &forward).await?;
        change.announce(&mut tx, &[]).await?;
        requests::answer(&mut tx, KIND, request_id, &forward.encode_to_vec()).await?;
        tx.commit().await.doing("commit a new forward")?;
        Ok(forward)
    }

    pub(crate) async fn update_forward(
        &self,
        caller: &Caller,
        update: ForwardUpdate,
    ) -> Result<Forward, AccountError> {
        let address = &update.address;
        let mut tx = self.store.begin(caller).await?;
        lock_graph_if_local(&mut tx, update.targets.as_deref().unwrap_or_default()).await?;
        let change = enter_address(&mut tx, address).await?;
        let before = found(&mut tx, address).await?;
        if !update.etag.is_empty() && update.etag != before.etag {
            return Err(AccountError::EtagMismatch(format!("forward {address}")));
        }
        let keep_copy = update.keep_copy.unwrap_or(before.keep_copy);
        match &update.targets {
            Some(targets) => check(&mut tx, address, targets, keep_copy).await?,
            None => refuse_copy_without_box(&mut tx, address, keep_copy).await.map(drop)?,
        }
        forwards::update(&mut tx, address, update.targets.as_deref(), keep_copy, change.version).await?;
        let forward = found(&mut tx, address).await?;
        deed(&change, &forward, Action::Update).changed(&mut tx, &before, &forward).await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit a change of a forward")?;
        Ok(forward)
    }

    /// Returns the audit entry that tells of it.
    pub(crate) async fn delete_forward(
        &self,
        caller: &Caller,
        address: &EmailAddress,
    ) -> Result<i64, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let change = enter_address(&mut tx, address).await?;
        let before = found(&mut tx, address).await?;
        forwards::remove(&mut tx, &before.address).await?;
        let told = deed(&change, &before, Action::Delete);
        let audit_id = told.note::<Forward, Forward>(&mut tx, Some(&before), None).await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit the removal of a forward")?;
        Ok(audit_id)
    }
}

/// Adds a forward where it may stand; the locks of the graph and of the domain are held.
pub(crate) async fn add(
    tx: &mut Tx,
    address: &EmailAddress,
    targets: &[EmailAddress],
    keep_copy: bool,
    revision: i64,
) -> Result<(), AccountError> {
    standing::refuse_taken(tx, address, Newcomer::Forward).await?;
    check(tx, address, targets, keep_copy).await?;
    forwards::insert(tx, address, targets, keep_copy, revision).await
}

/// Begins a write to what stands at an address. A mailbox user writes at the own address only.
pub(crate) async fn enter_address(tx: &mut Tx, address: &EmailAddress) -> Result<DomainChange, AccountError> {
    // Before the domain is asked: whether it is hosted is no mailbox user's business. And again under its lock.
    refuse_others(tx, address).await?;
    let change = versions::enter(tx, address.domain()).await?;
    refuse_others(tx, address).await?;
    Ok(change)
}

async fn refuse_others(tx: &mut Tx, address: &EmailAddress) -> Result<(), AccountError> {
    if tx.caller.role == Role::Mailbox {
        let own = mailboxes::id_in(tx, &address.canonical().to_string()).await?;
        if own != Some(tx.caller.mailbox_id) {
            return Err(AccountError::NotFound(format!("there is nothing of yours at {address}")));
        }
    }
    Ok(())
}

fn deed<'d>(change: &'d DomainChange, forward: &'d Forward, action: Action) -> Deed<'d> {
    Deed { customer: &change.customer, kind: Thing::Forward, name: &forward.address, action }
}

/// Only a target in the house can lead back. Must come before the lock of a domain.
pub(crate) async fn lock_graph_if_local(tx: &mut Tx, targets: &[EmailAddress]) -> Result<(), AccountError> {
    let names: Vec<_> = targets.iter().map(|target| target.domain().as_str().to_owned()).collect();
    if !names.is_empty() && domains::any_hosted(tx, &names).await? {
        versions::lock_graph(tx).await?;
    }
    Ok(())
}

/// Refuses a forward that leads back to itself, or that keeps a copy where there is no box for it.
async fn check(
    tx: &mut Tx,
    address: &EmailAddress,
    targets: &[EmailAddress],
    keep_copy: bool,
) -> Result<(), AccountError> {
    let has_box = refuse_copy_without_box(tx, address, keep_copy).await?;
    let start = Start::Forward { address: address.to_string(), has_box };
    cycles::refuse(tx, &start, targets).await
}

/// True when there is a mailbox at the address.
async fn refuse_copy_without_box(
    tx: &mut Tx,
    address: &EmailAddress,
    keep_copy: bool,
) -> Result<bool, AccountError> {
    let has_box = mailboxes::exists(tx, &address.to_string()).await?;
    if keep_copy && !has_box {
        return Err(AccountError::Precondition(format!(
            "forward.keep_copy: there is no mailbox {address} to keep a copy in"
        )));
    }
    Ok(has_box)
}

pub(crate) async fn found(tx: &mut Tx, address: &EmailAddress) -> Result<Forward, AccountError> {
    forwards::find_in(tx, address).await?.ok_or_else(|| forwards::not_found(address))
}
