//! Keys that delivery works with: what mail is signed with (made when it is first needed), and the keys of rewritten senders.

use postern_mail::DomainName;
use postern_proto::account::v1::{DomainState, SenderKey, SigningKey};

use crate::{
    Account,
    error::AccountError,
    store::{directory, mail_keys},
};

/// A younger key of rewritten senders is good enough, days.
const SENDER_KEY_RENEW_DAYS: i32 = 30;
/// So old a key is on no sender that is still good: renewal, the life of a sender, and time for caches, days.
const SENDER_KEY_KEEP_DAYS: i32 = 40;

impl Account {
    /// The key that a domain's mail is signed with; `None`: it is not live here.
    pub(crate) async fn signing_key(&self, domain: &DomainName) -> Result<Option<SigningKey>, AccountError> {
        let found = directory::domain(self.store.pool(), domain).await?;
        if found.is_none_or(|found| found.state() != DomainState::Live) {
            return Ok(None);
        }
        self.have_signing_key(domain).await?;
        let key = mail_keys::in_use(self.store.pool(), domain).await?;
        let (selector, private) = key.ok_or(AccountError::KeyGeneration)?;
        Ok(Some(SigningKey { selector, private_pkcs8: private.into() }))
    }

    /// The keys of rewritten senders, the one to use first.
    pub(crate) async fn sender_keys(&self) -> Result<Vec<SenderKey>, AccountError> {
        let secret: [u8; 32] = rand::random();
        let pool = self.store.pool();
        mail_keys::renew_sender_keys(pool, &secret, SENDER_KEY_RENEW_DAYS, SENDER_KEY_KEEP_DAYS).await?;
        mail_keys::sender_keys(pool).await
    }
}
