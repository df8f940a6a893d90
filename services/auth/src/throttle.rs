//! Who tries to log in where, as the throttle counts it (DECISIONS.md, 8). The counting itself is
//! `redis_store/scripts/throttle.lua`.
//!
//! Failures are counted by account and by client network. An attack on an account must not lock its owner out, so a
//! client that logged in to this account within the last 30 days has a count of its own, which nobody else can fill:
//! 500 addresses may exhaust the account's count, and the owner still gets in from where they usually are.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use postern_mail::{ClientKey, PeerIp};
use ring::digest;

/// Life of a count of failures, seconds; begins with the first one.
pub(crate) const WINDOW_SECONDS: u32 = 600;
/// How long a good login gives a client a count of its own, seconds.
pub(crate) const GOOD_NAME_SECONDS: u32 = 30 * 24 * 3600;

/// How many failures of a network weigh as one of an account: many people may sit behind one address.
const NETWORK_SHARE: u32 = 5;
/// How long the answer to the second failure is held back; doubled with each one after it.
const HOLD_BACK_FIRST: Duration = Duration::from_secs(2);

/// How many failures until one has to wait; 0 = off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThrottleLimits {
    pub(crate) account: u32,
    pub(crate) client: u32,
    /// Longest time that the answer to a failure is held back; zero = off.
    pub(crate) hold_back_max: Duration,
}

/// The counts of a failed attempt, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failures {
    /// Of strangers at this account, or of this client alone when it logged in to it before.
    pub(crate) account: u32,
    /// Of this client network at whatever account; 0 for one that logged in to this account before.
    pub(crate) client: u32,
}

impl Failures {
    /// How long the client waits for its answer.
    pub(crate) fn hold_back(self, max: Duration) -> Duration {
        match self.account.max(self.client / NETWORK_SHARE) {
            0 | 1 => Duration::ZERO,
            count => HOLD_BACK_FIRST.saturating_mul(1 << (count - 2).min(16)).min(max),
        }
    }
}

/// What somebody who must wait has against them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Failed logins to this account from clients that never logged in to it.
    pub(crate) account_failures: u32,
    /// Failed logins of this client, to whatever account.
    pub(crate) client_failures: u32,
    /// Failed logins of this client to this account, which it logged in to before.
    pub(crate) pair_failures: u32,
    /// Seconds until the last of these counts ends.
    pub(crate) seconds: u32,
}

/// One login attempt and the Redis keys that it touches.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) client: String,
    /// 0 for a login that does not exist.
    pub(crate) mailbox_id: i64,
    /// Digest of the login: a key of bounded length, and nobody's mistyped password in Redis.
    account: String,
}

impl Attempt {
    /// `login` is canonical, so that all spellings of one account are one account; what nobody can have stands as typed.
    pub(crate) fn new(login: &str, mailbox_id: i64, client: ClientKey) -> Self {
        let hash = digest::digest(&digest::SHA256, login.as_bytes());
        let account = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default());
        Self { client: client.to_string(), mailbox_id, account }
    }

    /// An attempt from somewhere that never logged in to this account and has failed nowhere.
    pub(crate) fn of_anybody(login: &str, mailbox_id: i64) -> Self {
        Self { client: String::new(), ..Self::new(login, mailbox_id, PeerIp::NOBODY.client_key()) }
    }

    pub(crate) fn clients_key(&self) -> String {
        clients_key(self.mailbox_id)
    }

    pub(crate) fn account_key(&self) -> String {
        format!("failed_account:{}", self.account)
    }

    pub(crate) fn client_key(&self) -> String {
        format!("failed_client:{}", self.client)
    }

    pub(crate) fn pair_key(&self) -> String {
        format!("failed_pair:{}:{}", self.account, self.client)
    }

    /// Spreads attempts over `count` places, all those of one account on one place.
    pub(crate) fn place(&self, hasher: &impl std::hash::BuildHasher, count: usize) -> usize {
        let hash = hasher.hash_one(&self.account);
        usize::try_from(hash % u64::try_from(count.max(1)).unwrap_or(1)).unwrap_or(0)
    }
}

/// Clients with a good login of this mailbox, by time.
pub(crate) fn clients_key(mailbox_id: i64) -> String {
    format!("clients:{mailbox_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(login: &str, peer: &str) -> Attempt {
        Attempt::new(login, 1, peer.parse::<PeerIp>().unwrap().client_key())
    }

    #[test]
    fn the_first_failure_costs_nothing_and_each_one_after_it_twice_the_time() {
        let seconds =
            |account, client, max| Failures { account, client }.hold_back(Duration::from_secs(max)).as_secs();
        let growing: Vec<_> = (1..=7).map(|count| seconds(count, count, 15)).collect();
        assert_eq!(growing, [0, 2, 4, 8, 15, 15, 15]);
        // One after the other mistypes at a company's address, each at an account of their own.
        assert_eq!((seconds(1, 9, 15), seconds(1, 10, 15), seconds(1, 50, 15)), (0, 2, 15));
        assert_eq!((seconds(9, 0, 0), seconds(u32::MAX, u32::MAX, 60)), (0, 60));
    }

    #[test]
    fn keys_fold_clients_and_hide_logins() {
        let one = attempt("user@x.test", "2001:db8:1:2::1");
        let other = attempt("user@x.test", "2001:db8:1:2:ffff::9");
        assert_eq!(one.client_key(), "failed_client:2001:db8:1:2::/64");
        assert_eq!(one.client_key(), other.client_key());
        assert_eq!(one.pair_key(), other.pair_key());
        assert_eq!(attempt("a", "::ffff:203.0.113.9").client_key(), attempt("a", "203.0.113.9").client_key());
        assert!(!one.account_key().contains("user"));
        assert_ne!(one.account_key(), attempt("user@y.test", "2001:db8:1:2::1").account_key());
    }
}
