//! Whose things a caller may see. Writes ask by themselves under their locks (`store/versions.rs`, `store/customers.rs`);
//! this is for reads, which come before. What is another customer's is answered as what does not exist.

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::identity::{Caller, Role};

use crate::{
    Account,
    error::AccountError,
    store::{domains, mailboxes},
};

impl Account {
    /// Refuses a caller whose domain this is not.
    pub(crate) async fn may_see_domain(
        &self,
        caller: &Caller,
        domain: &DomainName,
    ) -> Result<(), AccountError> {
        if caller.is_staff() {
            return Ok(());
        }
        match domains::owner(self.store.pool(), domain.as_str()).await? {
            Some(owner) if caller.may_act_for(&owner) => Ok(()),
            _ => Err(domains::not_found(domain)),
        }
    }

    /// Refuses a caller whose mailbox this is not: the address, or the login of a default box.
    pub(crate) async fn may_see_mailbox(&self, caller: &Caller, name: &str) -> Result<(), AccountError> {
        if caller.is_staff() {
            return Ok(());
        }
        match mailboxes::owner(self.store.pool(), name).await? {
            Some((id, owner)) if caller.may_act_for_mailbox(&owner, id) => Ok(()),
            _ => Err(mailboxes::not_found(name)),
        }
    }

    /// Refuses a caller whose address this is not, with what is said of an address that has nothing. A mailbox user has the
    /// own address only.
    pub(crate) async fn may_see_address(
        &self,
        caller: &Caller,
        address: &EmailAddress,
        not_found: impl FnOnce() -> AccountError,
    ) -> Result<(), AccountError> {
        let sees = match caller.role {
            Role::Mailbox => {
                let own = mailboxes::id_of(self.store.pool(), &address.canonical().to_string()).await?;
                own == Some(caller.mailbox_id)
            }
            Role::Customer => {
                let owner = domains::owner(self.store.pool(), address.domain().as_str()).await?;
                owner.is_some_and(|owner| caller.may_act_for(&owner))
            }
            Role::Service | Role::Operator | Role::Support => true,
        };
        if sees { Ok(()) } else { Err(not_found()) }
    }
}
