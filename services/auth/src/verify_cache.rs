//! Spares repeat polls the argon2 check: remembers for 60 s that this password was right for this credential.
//!
//! What is kept is an HMAC under a key that this process made up and never shows. The credential version is part of it,
//! so that a changed password is another entry, and only right passwords are kept: a hit says nothing to somebody who
//! does not have the password already.

use std::time::Duration;

use moka::sync::Cache;
use postern_proto::account::v1::LoginIdentity;
use ring::hmac;

/// How long a right password is remembered.
const REMEMBERED_FOR: Duration = Duration::from_secs(60);
/// Entries at most.
const ENTRIES_MAX: u64 = 200_000;

/// What an entry is found by.
pub(crate) type VerifyKey = [u8; 32];

/// Right passwords of the last minute.
pub(crate) struct VerifyCache {
    secret: hmac::Key,
    /// The value is the mailbox.
    entries: Cache<VerifyKey, i64>,
}

impl VerifyCache {
    pub(crate) fn new() -> Self {
        let secret = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
        let entries = Cache::builder()
            .max_capacity(ENTRIES_MAX)
            .time_to_live(REMEMBERED_FOR)
            .support_invalidation_closures()
            .build();
        Self { secret, entries }
    }

    pub(crate) fn key(&self, identity: &LoginIdentity, password: &[u8]) -> VerifyKey {
        let mut context = hmac::Context::with_key(&self.secret);
        // Numbers of fixed length come first and the login's length is told, so that no two questions are one text.
        context.update(&identity.mailbox_id.to_be_bytes());
        context.update(&identity.credential_version.to_be_bytes());
        context.update(&identity.login.len().to_be_bytes());
        context.update(identity.login.as_bytes());
        context.update(password);
        let mut key = VerifyKey::default();
        key.copy_from_slice(context.sign().as_ref());
        key
    }

    pub(crate) fn holds(&self, key: &VerifyKey) -> bool {
        self.entries.contains_key(key)
    }

    pub(crate) fn remember(&self, key: VerifyKey, mailbox_id: i64) {
        self.entries.insert(key, mailbox_id);
    }

    /// Drops what is remembered of these mailboxes.
    pub(crate) fn forget(&self, mailbox_ids: &[i64]) {
        let ids: Vec<i64> = mailbox_ids.to_vec();
        if self.entries.invalidate_entries_if(move |_, mailbox| ids.contains(mailbox)).is_err() {
            // Cannot be while the builder above allows closures; a minute of argon2 is the price if it is.
            self.entries.invalidate_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(mailbox_id: i64, login: &str, credential_version: i64) -> LoginIdentity {
        LoginIdentity { mailbox_id, login: login.to_owned(), credential_version, ..Default::default() }
    }

    #[test]
    fn only_the_same_password_of_the_same_credential_hits() {
        let cache = VerifyCache::new();
        let known = identity(1, "user@x.test", 1);
        cache.remember(cache.key(&known, b"sesame"), 1);
        assert!(cache.holds(&cache.key(&known, b"sesame")));
        for (other, password) in [
            (identity(1, "user@x.test", 1), &b"sesam"[..]),
            (identity(1, "user@x.test", 2), b"sesame"),
            (identity(2, "user@x.test", 1), b"sesame"),
            (identity(1, "user@x.tes", 1), b"tsesame"),
        ] {
            assert!(!cache.holds(&cache.key(&other, password)), "{other:?}");
        }
        assert!(!VerifyCache::new().holds(&cache.key(&known, b"sesame")));
    }

    #[test]
    fn a_mailbox_is_forgotten_at_once_and_alone() {
        let cache = VerifyCache::new();
        let (one, two) = (identity(1, "a", 1), identity(2, "b", 1));
        cache.remember(cache.key(&one, b"sesame"), 1);
        cache.remember(cache.key(&two, b"sesame"), 2);
        cache.forget(&[1]);
        assert!(!cache.holds(&cache.key(&one, b"sesame")));
        assert!(cache.holds(&cache.key(&two, b"sesame")));
    }
}
