//! Removed mailboxes, and bringing one back while the vault holds it.

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::{audit::Action, identity::Caller};
use postern_proto::account::v1::{AuditEntry, Mailbox, RemovedMailbox, WentAlong};

use crate::{
    Account,
    error::{AccountError, Doing as _},
    limits,
    mailboxes::deed,
    paging::Page,
    restoring,
    store::{
        Tx, audit, mailboxes,
        removed::{self, Removed},
        standing::{self, Newcomer},
        storage,
        versions::{self, DomainChange},
    },
};

/// What has the address after a restore.
pub(crate) struct Restored {
    pub(crate) mailbox: Mailbox,
    /// The removed mailbox whose mail is still apart, when another one has the address now.
    pub(crate) merge_from: Option<i64>,
    /// What went with the mailbox, and whether it is back with it.
    pub(crate) went_along: Vec<WentAlong>,
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

    /// Brings a removed mailbox back: the one that was removed last, or `mailbox_id`, with the forward and the autoresponder that
    /// went with it as far as they may stand now. When another mailbox has its address, nothing is changed and both are named.
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
        let mut went_along = Vec::new();
        for entry in audit::removed_with_mailbox(&mut tx, seen.mailbox_id).await? {
            let room = refusal(restoring::room_for(&mut tx, &self.limits, &entry).await)?;
            went_along.push((entry, room));
        }
        if !went_along.is_empty() {
            versions::lock_graph(&mut tx).await?;
        }
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
            return Ok(Restored { mailbox, merge_from: Some(found.mailbox_id), went_along: Vec::new() });
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
        deed(&change, &mailbox, Action::Restore).created(&mut tx, &mailbox).await?;
        let went_along = bring_along(&mut tx, went_along, &change).await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit a restored mailbox")?;
        Ok(Restored { mailbox, merge_from: None, went_along })
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

/// Brings back what went with a mailbox, save what there is no room for. Nothing of it keeps the box away.
async fn bring_along(
    tx: &mut Tx,
    entries: Vec<(AuditEntry, Option<String>)>,
    change: &DomainChange,
) -> Result<Vec<WentAlong>, AccountError> {
    let mut went_along = Vec::with_capacity(entries.len());
    for (entry, no_room) in entries {
        let refused = match no_room {
            None => refusal(restoring::bring_back(tx, &entry, change).await.map(drop))?,
            refused => refused,
        };
        let refused = refused.unwrap_or_default();
        went_along.push(WentAlong { kind: entry.kind, audit_id: entry.audit_id, refused });
    }
    Ok(went_along)
}

/// Why it is refused as things stand; a failure of ours stays one.
fn refusal(done: Result<(), AccountError>) -> Result<Option<String>, AccountError> {
    match done {
        Ok(()) => Ok(None),
        Err(
            error @ (AccountError::AlreadyExists(_)
            | AccountError::Precondition(_)
            | AccountError::LimitReached(_)
            | AccountError::Invalid(_)),
        ) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}
