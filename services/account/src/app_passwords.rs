//! App passwords: a second password of a mailbox for one protocol, made here, shown once, kept as a hash.

use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::{AppPassword, AppProtocol, Mailbox};
use ring::digest;

use crate::{
    Account, base32,
    error::{AccountError, Doing as _},
    store::{Tx, app_passwords, audit::Deed, mailboxes, versions::DomainChange},
};

/// Of one mailbox.
const APP_PASSWORDS_MAX: i64 = 20;
/// Random octets of a secret: 24 characters of base32.
const SECRET_BYTES: usize = 15;
/// Letters of a secret that are shown together.
const GROUP: usize = 6;

impl Account {
    /// Makes one; its secret is in no later answer.
    pub(crate) async fn create_app_password(
        &self,
        caller: &Caller,
        mailbox: &str,
        protocol: AppProtocol,
        display_name: &str,
    ) -> Result<(AppPassword, String), AccountError> {
        let (mut tx, found, change) = self.enter_mailbox(caller, mailbox).await?;
        if app_passwords::count(&mut tx, found.mailbox_id).await? >= APP_PASSWORDS_MAX {
            return Err(AccountError::LimitReached(format!(
                "{mailbox} has {APP_PASSWORDS_MAX} app passwords: remove one that is not used any more"
            )));
        }
        let secret = base32::encode(&rand::random::<[u8; SECRET_BYTES]>());
        let hash = hash_of(&secret);
        let made = app_passwords::insert(&mut tx, &found, protocol.into(), display_name, &hash).await?;
        deed(&change, &found, Action::Create).created(&mut tx, &made).await?;
        // Kept answers about this login do not know it.
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit an app password")?;
        Ok((made, base32::in_groups(&secret, GROUP)))
    }

    pub(crate) async fn app_passwords(
        &self,
        caller: &Caller,
        mailbox: &str,
    ) -> Result<Vec<AppPassword>, AccountError> {
        let found = self.mailbox(caller, mailbox).await?;
        app_passwords::list(self.store.pool(), &found).await
    }

    /// Ends one. What was won with it dies: all grants and sessions of the mailbox, for they do not say by which password.
    pub(crate) async fn delete_app_password(
        &self,
        caller: &Caller,
        mailbox: &str,
        app_password_id: i64,
    ) -> Result<(), AccountError> {
        let (mut tx, found, change) = self.enter_mailbox(caller, mailbox).await?;
        let gone = app_passwords::remove(&mut tx, &found, app_password_id).await?;
        let Some(gone) = gone else {
            return Err(AccountError::NotFound(format!("{mailbox} has no app password {app_password_id}")));
        };
        self.revoke(&mut tx, &found, &change).await?;
        deed(&change, &found, Action::Delete).removed(&mut tx, &gone).await?;
        change.announce(&mut tx, &[found.mailbox_id]).await?;
        tx.commit().await.doing("commit the end of an app password")
    }

    async fn revoke(&self, tx: &mut Tx, found: &Mailbox, change: &DomainChange) -> Result<(), AccountError> {
        let update = mailboxes::MailboxUpdate { revoke: true, ..mailboxes::MailboxUpdate::default() };
        mailboxes::update(tx, found.mailbox_id, &update, change.version).await
    }
}

fn deed<'d>(change: &'d DomainChange, mailbox: &'d Mailbox, action: Action) -> Deed<'d> {
    Deed { customer: &change.customer, kind: Thing::AppPassword, name: &mailbox.login, action }
}

/// What is stored: SHA-256 of the secret without its hyphens.
fn hash_of(secret: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, secret.as_bytes()).as_ref().to_vec()
}
