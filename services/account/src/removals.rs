//! What goes with something else that is removed: the forward and autoresponder of a mailbox, everything of a domain. Each is
//! told to the audit as a removal of its own, so that it can be restored.

use postern_mesh::audit::{Action, Thing};

use crate::{
    error::AccountError,
    store::{
        Tx,
        audit::{self, Deed},
        autoresponders, forwards, lists, removals,
        versions::DomainChange,
    },
};

/// The address of the mailbox that is removed is canonical.
pub(crate) async fn with_mailbox(
    tx: &mut Tx,
    change: &DomainChange,
    address: &str,
) -> Result<(), AccountError> {
    let name = address.parse().map_err(|_| AccountError::Stored("a stored address is no address"))?;
    let customer = change.customer.as_str();
    if let Some(forward) = forwards::find_in(tx, &name).await? {
        forwards::remove(tx, address).await?;
        Deed { customer, kind: Thing::Forward, name: address, action: Action::Delete }
            .removed(tx, &forward)
            .await?;
    }
    if let Some(autoresponder) = autoresponders::find_in(tx, address).await? {
        autoresponders::remove(tx, address).await?;
        Deed { customer, kind: Thing::Autoresponder, name: address, action: Action::Delete }
            .removed(tx, &autoresponder)
            .await?;
    }
    Ok(())
}

/// Mailboxes have their own way, see `domains.rs`.
pub(crate) async fn with_domain(tx: &mut Tx, change: &DomainChange) -> Result<(), AccountError> {
    let (domain, customer) = (change.domain.as_str(), change.customer.as_str());
    let forwards: Vec<_> =
        forwards::of_domain(tx, domain).await?.into_iter().map(|f| (f.address.clone(), f)).collect();
    let lists: Vec<_> =
        lists::of_domain(tx, domain).await?.into_iter().map(|l| (l.address.clone(), l)).collect();
    let answers = autoresponders::of_domain(tx, domain).await?;
    let answers: Vec<_> = answers.into_iter().map(|a| (a.address.clone(), a)).collect();
    removals::of_domain(tx, domain, change.version).await?;
    audit::removed_all(tx, customer, Thing::Forward, &forwards).await?;
    audit::removed_all(tx, customer, Thing::List, &lists).await?;
    audit::removed_all(tx, customer, Thing::Autoresponder, &answers).await
}
