//! Undo: a forward, mailing list or autoresponder that was removed, or members of a list, come back from the audit entry that
//! tells of it.
//!
//! The entry holds a forward and an autoresponder whole, and of members how they came; a list is still there with its members,
//! and is found by its id.

mod members;

use postern_mail::EmailAddress;
use postern_mesh::{
    audit::{Action, Thing},
    identity::{Caller, Role},
};
use postern_proto::account::v1::{AuditEntry, Autoresponder, Forward, MailingList};
use serde::de::DeserializeOwned;

use crate::{
    Account, autoresponders,
    error::{AccountError, Doing as _},
    forwards,
    limits::{self, Kind},
    mailing_lists,
    settings::LimitDefaults,
    store::{
        Tx,
        audit::{self, Deed},
        lists, mailboxes,
        standing::{self, Newcomer},
        versions::{self, DomainChange},
    },
};

/// Of what kinds a removal can be undone.
const KINDS: [&str; 4] = ["forward", "list", "list-member", "autoresponder"];
/// What a mailbox user has removed at the own address comes back for that user too.
const OWN_KINDS: [&str; 2] = ["forward", "autoresponder"];

impl Account {
    /// Undoes the removal that an entry tells of, and returns the entry that tells of the undoing.
    pub(crate) async fn restore_audit_entry(
        &self,
        caller: &Caller,
        audit_id: i64,
    ) -> Result<AuditEntry, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let found = audit::find_in(&mut tx, audit_id, self.vault_days).await?;
        let not_found = || AccountError::NotFound(format!("there is no audit entry {audit_id}"));
        let (entry, over) = found.ok_or_else(not_found)?;
        if !may_undo(&mut tx, &entry).await? {
            return Err(not_found());
        }
        if entry.action != "delete" || !KINDS.contains(&entry.kind.as_str()) {
            return Err(AccountError::Precondition(format!(
                "audit entry {audit_id} tells of no removal of a forward, mailing list or autoresponder, or of members"
            )));
        }
        if over {
            return Err(AccountError::Precondition(format!(
                "the {} days for restoring {} {} are over",
                self.vault_days, entry.kind, entry.name
            )));
        }
        let restored_id = restore(&mut tx, &self.limits, &entry).await?;
        let restored = audit::find_in(&mut tx, restored_id, self.vault_days).await?;
        tx.commit().await.doing("commit what was restored")?;
        restored.map(|(entry, _)| entry).ok_or(AccountError::Stored("an audit entry vanished"))
    }
}

/// Whether the entry is the caller's business: all of its customer, or what stood at the own address.
async fn may_undo(tx: &mut Tx, entry: &AuditEntry) -> Result<bool, AccountError> {
    let caller = tx.caller.clone();
    if caller.role != Role::Mailbox {
        return Ok(caller.may_act_for(&entry.customer));
    }
    if caller.customer != entry.customer || !OWN_KINDS.contains(&entry.kind.as_str()) {
        return Ok(false);
    }
    Ok(mailboxes::id_in(tx, &entry.name).await? == Some(caller.mailbox_id))
}

async fn restore(tx: &mut Tx, defaults: &LimitDefaults, entry: &AuditEntry) -> Result<i64, AccountError> {
    if entry.kind == "list-member" {
        return members::restore(tx, defaults, entry).await;
    }
    let address = address_of(entry)?;
    room_for(tx, defaults, entry).await?;
    versions::lock_graph(tx).await?;
    // Asks again, under the lock, whether a mailbox user has this address.
    let change = forwards::enter_address(tx, &address).await?;
    refuse_other_owner(&change, entry)?;
    let restored_id = bring_back(tx, entry, &change).await?;
    change.announce(tx, &[]).await?;
    Ok(restored_id)
}

fn refuse_other_owner(change: &DomainChange, entry: &AuditEntry) -> Result<(), AccountError> {
    if change.customer == entry.customer {
        return Ok(());
    }
    Err(AccountError::Precondition(format!("domain {} belongs to another customer now", change.domain)))
}

/// Refuses what its customer may not have. Comes before the locks of the graph and of domains.
pub(crate) async fn room_for(
    tx: &mut Tx,
    defaults: &LimitDefaults,
    entry: &AuditEntry,
) -> Result<(), AccountError> {
    let address = address_of(entry)?;
    match entry.kind.as_str() {
        "forward" => limits::room_at(tx, defaults, address.domain(), Kind::Forwards, 1).await,
        "list" => {
            let list: MailingList = thing(entry)?;
            limits::room_at(tx, defaults, address.domain(), Kind::Lists, 1).await?;
            let members = i64::from(list.member_count);
            limits::room_at(tx, defaults, address.domain(), Kind::ListMembers, members).await
        }
        _ => limits::room_at(tx, defaults, address.domain(), Kind::Autoresponders, 1).await,
    }
}

/// Makes it again where it may stand, and returns the number of the entry that tells of it. The locks of the graph and of the
/// domain are held; what is refused has changed nothing.
pub(crate) async fn bring_back(
    tx: &mut Tx,
    entry: &AuditEntry,
    change: &DomainChange,
) -> Result<i64, AccountError> {
    let address = address_of(entry)?;
    match entry.kind.as_str() {
        "forward" => restore_forward(tx, entry, &address, change).await,
        "list" => restore_list(tx, entry, &address, change).await,
        _ => restore_autoresponder(tx, entry, &address, change).await,
    }
}

fn address_of(entry: &AuditEntry) -> Result<EmailAddress, AccountError> {
    entry.name.parse().map_err(|_| AccountError::Stored("a stored address is no address"))
}

async fn restore_forward(
    tx: &mut Tx,
    entry: &AuditEntry,
    address: &EmailAddress,
    change: &DomainChange,
) -> Result<i64, AccountError> {
    let before: Forward = thing(entry)?;
    let targets = before.targets.iter().map(|target| target.parse()).collect::<Result<Vec<_>, _>>();
    let targets = targets.map_err(|_| AccountError::Stored("a stored address is no address"))?;
    forwards::add(tx, address, &targets, before.keep_copy, change.version).await?;
    let after = forwards::found(tx, address).await?;
    deed(change, Thing::Forward, &entry.name).note::<Forward, Forward>(tx, None, Some(&after)).await
}

async fn restore_list(
    tx: &mut Tx,
    entry: &AuditEntry,
    address: &EmailAddress,
    change: &DomainChange,
) -> Result<i64, AccountError> {
    let before: MailingList = thing(entry)?;
    standing::refuse_taken(tx, address, Newcomer::List).await?;
    if !lists::restore(tx, before.list_id, change.version).await? {
        return Err(AccountError::Precondition(format!("the mailing list {address} is gone for good")));
    }
    let after = mailing_lists::found(tx, address).await?;
    mailing_lists::refuse_cycles(tx, &after).await?;
    deed(change, Thing::List, &entry.name).note::<MailingList, MailingList>(tx, None, Some(&after)).await
}

async fn restore_autoresponder(
    tx: &mut Tx,
    entry: &AuditEntry,
    address: &EmailAddress,
    change: &DomainChange,
) -> Result<i64, AccountError> {
    let before: Autoresponder = thing(entry)?;
    let settings = autoresponders::settings_of(&before)?;
    // The same text: who was answered with it is not answered again.
    autoresponders::add(tx, address, &settings, before.text_version, change).await?;
    let after = autoresponders::found(tx, address).await?;
    deed(change, Thing::Autoresponder, &entry.name)
        .note::<Autoresponder, Autoresponder>(tx, None, Some(&after))
        .await
}

fn deed<'d>(change: &'d DomainChange, kind: Thing, name: &'d str) -> Deed<'d> {
    Deed { customer: &change.customer, kind, name, action: Action::Restore }
}

/// The thing as it was.
fn thing<T: DeserializeOwned>(entry: &AuditEntry) -> Result<T, AccountError> {
    serde_json::from_str(&entry.before_json)
        .map_err(|_| AccountError::Stored("an audit entry holds what this version does not understand"))
}
