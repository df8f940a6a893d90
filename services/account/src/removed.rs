//! Removed mailboxes, and bringing one back while the vault holds it.

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::identity::Caller;
use postern_proto::account::v1::{Mailbox, RemovedMailbox};

use crate::{
    Account,
    error::{AccountError, Doing as _},
    limits,
    mailboxes::deed,
    paging::Page,
    store::{
        Tx, mailboxes,
        removed::{self, Removed},
        standing::{self, Newcomer},
        storage, versions,
    },
};

/// What has the address after a restore.
pub(crate) struct Restored {
    pub(crate) mailbox: Mailbox,
    /// The removed mailbox whose mail is still apart, when another one has the address now.
    pub(crate) merge_from: Option<i64>,
}

impl Account {
    /// A page of a domain's removed mailboxes that can be restored, newest first, and the token of the next one. A domain that
    /// somebody else has now shows only what its owner of now removed; one that nobody has, what the caller removed.
    pub(crate) async fn removed_mailboxes(
        &self,
        caller: &Caller,
        domain: &DomainName,
        name: Option<&str>,
        page: &Page,
    ) -> Result<(Vec<RemovedMailbox>, String), AccountError> {
        let customer = (!caller.is_staff()).then_some(caller.customer.as_str());
        let mut rows =
            removed::list(self.store.pool(), domain, name, customer, self.vault_days, page).await?;
        if rows.is_empty() {
            // Another customer's domain is one that is not hosted; one's own that is gone has no more to show.
            self.domain(caller, domain).await?;
        }
        let next = page.finish(&mut rows, |row| &row.key);
        Ok((rows.into_iter().map(|row| row.mailbox).collect(), next))
    }

    /// Brings a removed mailbox back: the one that was removed last, or `mailbox_id`. When another mailbox has its address,
    /// nothing is changed and both are named.
    pub(crate) async fn restore_mailbox(
        &self,
        caller: &Caller,
        name: &str,
        mailbox_id: i64,
    ) -> Result<Restored, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let seen = self.removed_in(&mut tx, name, mailbox_id).await?;
        let domain: DomainName =
            seen.domain.parse().map_err(|_| AccountError::Stored("a stored domain is no domain name"))?;
        limits::room_at(&mut tx, &self.limits, &domain, limits::Kind::Mailboxes, 1).await?;
        let change = versions::try_enter(&mut tx, domain.as_str()).await?;
        let Some(change) = change.filter(|change| change.customer_id == seen.customer_id) else {
            return Err(AccountError::Precondition(format!(
                "domain {domain} is not hosted here any more for the owner of {name}: add the domain first"
            )));
        };
        // As it is under the lock.
        let found = self.removed_in(&mut tx, name, seen.mailbox_id).await?;
        if found.expired {
            return Err(AccountError::Precondition(format!(
                "mailbox {name} was removed more than {} days ago: its mail is gone",
                self.vault_days
            )));
        }
        if mailboxes::exists(&mut tx, name).await? {
            let mailbox = mailboxes::get_in(&mut tx, name).await?;
            return Ok(Restored { mailbox, merge_from: Some(found.mailbox_id) });
        }
        if found.default_box {
            return Err(AccountError::Precondition(format!(
                "{name} was the default box of {domain}, which has another one now"
            )));
        }
        let address: EmailAddress =
            name.parse().map_err(|_| AccountError::Stored("a stored address is none"))?;
        standing::refuse_taken(&mut tx, &address, Newcomer::Mailbox).await?;
        removed::restore(&mut tx, found.mailbox_id, change.version).await?;
        storage::judge(&mut tx, &self.limits.as_limits(), &change.domain).await?;
        let mailbox = mailboxes::get_in(&mut tx, name).await?;
        deed(&change, &mailbox, "restore").created(&mut tx, &mailbox).await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit a restored mailbox")?;
        Ok(Restored { mailbox, merge_from: None })
    }

    /// The removed mailbox of this name, if it is the caller's.
    async fn removed_in(&self, tx: &mut Tx, name: &str, mailbox_id: i64) -> Result<Removed, AccountError> {
        let customer = (!tx.caller.is_staff()).then(|| tx.caller.customer.clone());
        let found = removed::find(tx, name, mailbox_id, customer.as_deref(), self.vault_days).await?;
        found.ok_or_else(|| {
            AccountError::NotFound(match mailbox_id {
                0 => format!("no removed mailbox {name} can be restored"),
                id => format!("no removed mailbox {name} with id {id} can be restored"),
            })
        })
    }
}
