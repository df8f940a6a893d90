//! Mailboxes: one address, one box, one id for ever.

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::{ActivityState, DeleteMailboxResponse, Limits, Mailbox};
use prost::Message as _;

use crate::{
    Account,
    customers::answered,
    error::{AccountError, Doing as _},
    limits,
    paging::Page,
    passwords::NewPassword,
    removals,
    store::{
        Tx,
        audit::Deed,
        mailboxes::{self, MailboxUpdate},
        references, requests,
        standing::{self, Newcomer},
        storage,
        versions::{self, DomainChange},
    },
};

const KIND: &str = "mailbox";

/// A mailbox that is to be created; every field is checked.
pub(crate) struct NewMailbox {
    /// Canonical.
    pub(crate) address: EmailAddress,
    pub(crate) password: NewPassword,
    pub(crate) display_name: String,
    /// As in `Mailbox`.
    pub(crate) quota_bytes: Option<i64>,
    pub(crate) request_id: Option<String>,
}

/// What is to be changed; `None` leaves it.
pub(crate) struct ChangedMailbox {
    /// Canonical address, or the login of a default box.
    pub(crate) name: String,
    /// Empty: whatever is there.
    pub(crate) etag: String,
    pub(crate) display_name: Option<String>,
    pub(crate) state: Option<ActivityState>,
    /// `Some(None)`: what the limits of its customer say.
    pub(crate) quota_bytes: Option<Option<i64>>,
}

impl Account {
    pub(crate) async fn mailbox(&self, caller: &Caller, name: &str) -> Result<Mailbox, AccountError> {
        self.may_see_mailbox(caller, name).await?;
        mailboxes::get(self.store.pool(), name).await
    }

    /// A page of a domain's mailboxes, and the token of the next one.
    pub(crate) async fn mailboxes(
        &self,
        caller: &Caller,
        domain: &DomainName,
        page: &Page,
    ) -> Result<(Vec<Mailbox>, String), AccountError> {
        self.may_see_domain(caller, domain).await?;
        let mut rows = mailboxes::list(self.store.pool(), domain, page).await?;
        if rows.is_empty() {
            // Every hosted domain has a default box: an empty first page means that there is no domain.
            self.domain(caller, domain).await?;
        }
        let next = page.finish(&mut rows, |mailbox| &mailbox.address);
        Ok((rows, next))
    }

    pub(crate) async fn create_mailbox(
        &self,
        caller: &Caller,
        new: NewMailbox,
    ) -> Result<Mailbox, AccountError> {
        let phc = self.passwords.hash(new.password).await?;
        let request_id = new.request_id.as_deref();
        let address = new.address.to_string();
        let mut tx = self.store.begin(caller).await?;
        if let Some(answer) = requests::claim(&mut tx, KIND, request_id, &address).await? {
            return answered(&answer);
        }
        limits::room_at(&mut tx, &self.limits, new.address.domain(), limits::Kind::Mailboxes, 1).await?;
        let change = versions::enter(&mut tx, new.address.domain()).await?;
        limits::quota_within(&mut tx, &self.limits, &change.customer, "quota_bytes", new.quota_bytes).await?;
        standing::refuse_taken(&mut tx, &new.address, Newcomer::Mailbox).await?;
        let row = mailboxes::NewMailbox {
            address: &address,
            login: &address,
            domain: &change.domain,
            customer_id: change.customer_id,
            phc: Some(&phc),
            display_name: &new.display_name,
            state: ActivityState::Active.into(),
            quota_bytes: new.quota_bytes,
            revision: change.version,
        };
        mailboxes::insert(&mut tx, &row).await?;
        let mailbox = mailboxes::get_in(&mut tx, &address).await?;
        deed(&change, &mailbox, Action::Create).created(&mut tx, &mailbox).await?;
        change.announce(&mut tx, &[]).await?;
        requests::answer(&mut tx, KIND, request_id, &mailbox.encode_to_vec()).await?;
        tx.commit().await.doing("commit a new mailbox")?;
        Ok(mailbox)
    }

    pub(crate) async fn update_mailbox(
        &self,
        caller: &Caller,
        changed: ChangedMailbox,
    ) -> Result<Mailbox, AccountError> {
        let (mut tx, mailbox, change) = self.enter_mailbox(caller, &changed.name).await?;
        if !changed.etag.is_empty() && changed.etag != mailbox.etag {
            return Err(AccountError::EtagMismatch(format!("mailbox {}", changed.name)));
        }
        if let Some(wanted) = changed.quota_bytes.filter(|wanted| *wanted != mailbox.quota_bytes) {
            let field = "mailbox.quota_bytes";
            limits::quota_within(&mut tx, &self.limits, &change.customer, field, wanted).await?;
        }
        let suspended =
            changed.state == Some(ActivityState::Suspended) && mailbox.state() != ActivityState::Suspended;
        let update = MailboxUpdate {
            display_name: changed.display_name,
            state: changed.state.map(i32::from),
            quota_bytes: changed.quota_bytes,
            phc: None,
            revoke: suspended,
        };
        mailboxes::update(&mut tx, mailbox.mailbox_id, &update, change.version).await?;
        if changed.quota_bytes.is_some() {
            storage::judge(&mut tx, &self.limits.as_limits(), &change.domain).await?;
        }
        let after = mailboxes::get_in(&mut tx, &changed.name).await?;
        deed(&change, &mailbox, Action::Update).changed(&mut tx, &mailbox, &after).await?;
        let revoked: &[i64] = if suspended { &[mailbox.mailbox_id] } else { &[] };
        change.announce(&mut tx, revoked).await?;
        tx.commit().await.doing("commit a change of a mailbox")?;
        Ok(after)
    }

    pub(crate) async fn set_mailbox_password(
        &self,
        caller: &Caller,
        name: &str,
        password: NewPassword,
    ) -> Result<Mailbox, AccountError> {
        let phc = self.passwords.hash(password).await?;
        let (mut tx, mailbox, change) = self.enter_mailbox(caller, name).await?;
        if mailbox.default_box {
            return Err(AccountError::Precondition(format!(
                "{name} is the default box of {}: its password is that of the customer",
                mailbox.domain
            )));
        }
        let update = MailboxUpdate { phc: Some(phc), revoke: true, ..MailboxUpdate::default() };
        mailboxes::update(&mut tx, mailbox.mailbox_id, &update, change.version).await?;
        deed(&change, &mailbox, Action::SetPassword).done(&mut tx).await?;
        change.announce(&mut tx, &[mailbox.mailbox_id]).await?;
        let mailbox = mailboxes::get_in(&mut tx, name).await?;
        tx.commit().await.doing("commit the password of a mailbox")?;
        Ok(mailbox)
    }

    /// Removes a mailbox with the forward that it carries and its autoresponder; says what still names its address, and until
    /// when it can be brought back.
    pub(crate) async fn delete_mailbox(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<DeleteMailboxResponse, AccountError> {
        let (mut tx, mailbox, change) = self.enter_mailbox(caller, name).await?;
        if mailbox.default_box {
            return Err(AccountError::Precondition(format!(
                "{name} is the default box of {}: it goes with its domain",
                mailbox.domain
            )));
        }
        let restorable_until_time =
            mailboxes::remove(&mut tx, mailbox.mailbox_id, change.version, self.vault_days).await?;
        deed(&change, &mailbox, Action::Delete).removed(&mut tx, &mailbox).await?;
        removals::with_mailbox(&mut tx, &change, &mailbox.address).await?;
        let references = references::to(&mut tx, &mailbox.address, &change).await?;
        change.announce(&mut tx, &[mailbox.mailbox_id]).await?;
        tx.commit().await.doing("commit the removal of a mailbox")?;
        Ok(DeleteMailboxResponse { mailbox_id: mailbox.mailbox_id, references, restorable_until_time })
    }

    /// A mailbox as its owner reads it: what it may hold, the platform's default included.
    pub(crate) fn shown(&self, mailbox: Mailbox) -> Mailbox {
        let set = Limits { mailbox_storage_bytes: mailbox.effective_quota_bytes, ..Limits::default() };
        let effective_quota_bytes = self.limits.effective(&set).mailbox_storage_bytes;
        Mailbox { effective_quota_bytes, ..mailbox }
    }

    /// Begins a write to a mailbox: the lock of its domain is held, and the mailbox is as it is under that lock.
    pub(crate) async fn enter_mailbox(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<(Tx, Mailbox, DomainChange), AccountError> {
        self.may_see_mailbox(caller, name).await?;
        let mut tx = self.store.begin(caller).await?;
        let seen = mailboxes::get_in(&mut tx, name).await?;
        let domain =
            seen.domain.parse().map_err(|_| AccountError::Stored("a stored domain is no domain name"))?;
        let change = versions::enter(&mut tx, &domain).await?;
        let mailbox = mailboxes::get_in(&mut tx, name).await?;
        if mailbox.domain != seen.domain {
            // A login that moved between the two reads; who asks again finds it.
            return Err(AccountError::EtagMismatch(format!("mailbox {name}")));
        }
        if !caller.may_act_for_mailbox(&change.customer, mailbox.mailbox_id) {
            return Err(mailboxes::not_found(name));
        }
        Ok((tx, mailbox, change))
    }
}

pub(crate) fn deed<'d>(change: &'d DomainChange, mailbox: &'d Mailbox, action: Action) -> Deed<'d> {
    Deed { customer: &change.customer, kind: Thing::Mailbox, name: &mailbox.login, action }
}
