//! A relay grant: this mailbox checked its mail from this client. How it is written in Redis, when it holds, and who
//! may win one. No I/O.

use postern_mail::PeerIp;
use postern_proto::{account::v1::LoginIdentity, auth::v1::Protocol};

use crate::{redis_store::WantedGrant, settings::Networks};

/// How far a grant may come from the future: clocks of two replicas differ a little, a set-back clock by more.
const CLOCK_SKEW_MILLIS: i64 = 120_000;
/// Longest life, seconds, whatever a domain says.
const GRANT_MAX_SECONDS: u32 = 3600;
/// A poll renews a grant at most so often, seconds (PROMISES.md, "Where the speed comes from").
const RENEW_AFTER_SECONDS: u32 = 10;

/// One mailbox's grant at one client, as Redis holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantEntry {
    pub(crate) mailbox_id: i64,
    /// Milliseconds since 1970 by the clock of the replica that wrote it.
    pub(crate) issued_at: i64,
    pub(crate) ttl_seconds: u32,
    /// Of the password that won it.
    pub(crate) credential_version: i64,
    /// Milliseconds since 1970 by the clock of Redis.
    pub(crate) redis_expiry: i64,
    pub(crate) domain: String,
    pub(crate) login: String,
    /// The text it was read from, so that only this very entry is removed.
    pub(crate) written: String,
}

impl GrantEntry {
    /// Reads what `good_login.lua` wrote: `issued ttl credential redis_expiry domain login`. The login comes last, for
    /// a quoted one may have spaces.
    pub(crate) fn parse(field: &str, value: &str) -> Option<Self> {
        let mut parts = value.splitn(6, ' ');
        Some(Self {
            mailbox_id: field.parse().ok()?,
            issued_at: parts.next()?.parse().ok()?,
            ttl_seconds: parts.next()?.parse().ok()?,
            credential_version: parts.next()?.parse().ok()?,
            redis_expiry: parts.next()?.parse().ok()?,
            domain: parts.next()?.to_owned(),
            login: parts.next()?.to_owned(),
            written: value.to_owned(),
        })
    }

    /// True while its life lasts by both clocks, milliseconds: ours (`now`) and that of Redis. A jump of either ends it early, never
    /// late.
    pub(crate) fn holds(&self, now: i64, redis_now: i64) -> bool {
        let age = now.saturating_sub(self.issued_at);
        age >= -CLOCK_SKEW_MILLIS && age < self.life_millis() && self.redis_expiry > redis_now
    }

    /// When it ends, milliseconds since 1970, unless it is renewed.
    pub(crate) fn expires_at(&self) -> i64 {
        self.issued_at.saturating_add(self.life_millis())
    }

    fn life_millis(&self) -> i64 {
        i64::from(self.ttl_seconds) * 1000
    }
}

/// Who may win a grant, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct GrantPolicy {
    /// Seconds.
    pub(crate) default_life: u32,
    pub(crate) refused_networks: Networks,
    /// Mailboxes with a grant at one client; 0 = off.
    pub(crate) per_client_max: u32,
    /// Mailboxes of several customers that, being nearly all that check mail, make one client address nobody's own; 0 = off.
    pub(crate) crowd_boxes: u32,
}

impl GrantPolicy {
    /// Life of the grant that a good login wins, seconds; `None`: it wins none.
    pub(crate) fn life_for(&self, identity: &LoginIdentity, protocol: Protocol, peer: PeerIp) -> Option<u32> {
        if protocol != Protocol::Pop3 || identity.auth_only || !self.may_hold_grant(peer) {
            return None;
        }
        let life = identity.grant_ttl_seconds.and_then(|seconds| u32::try_from(seconds).ok());
        Some(life.unwrap_or(self.default_life).clamp(1, GRANT_MAX_SECONDS))
    }

    /// False for an address that cannot be a client's own. Asked when a grant is won and when it is used, for a list
    /// that grew must hold at once.
    pub(crate) fn may_hold_grant(&self, peer: PeerIp) -> bool {
        !self.refused_networks.hold(peer)
    }

    /// Whether it is looked at how many come from this client. Loopback wins grants only where the site said so: the local
    /// profile, where it is everybody.
    pub(crate) fn watches_crowd(&self, peer: PeerIp) -> bool {
        self.crowd_boxes > 0 && !peer.is_loopback()
    }

    /// What a good login asks of the store.
    pub(crate) fn wanted<'a>(
        &self,
        identity: &'a LoginIdentity,
        life: Option<u32>,
        peer: PeerIp,
    ) -> WantedGrant<'a> {
        let crowd_boxes = if self.watches_crowd(peer) { self.crowd_boxes } else { 0 };
        WantedGrant { identity, life, per_client_max: self.per_client_max, crowd_boxes }
    }

    /// A grant of this life that is younger is not written again, seconds. A short life is renewed each time.
    pub(crate) fn renew_after(life: u32) -> u32 {
        RENEW_AFTER_SECONDS.min(life / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> GrantEntry {
        GrantEntry::parse("7", "1000000 60 3 1060000 x.test \"a b\"@x.test").unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let entry = entry();
        assert_eq!((entry.mailbox_id, entry.issued_at, entry.ttl_seconds), (7, 1_000_000, 60));
        assert_eq!((entry.credential_version, entry.redis_expiry), (3, 1_060_000));
        assert_eq!((entry.domain.as_str(), entry.login.as_str()), ("x.test", "\"a b\"@x.test"));
        for junk in ["", "1 2 3", "a 60 3 1060 x.test a@x.test", "1000 -1 3 1060 x.test a@x.test"] {
            assert_eq!(GrantEntry::parse("7", junk), None, "{junk}");
        }
        assert_eq!(GrantEntry::parse("seven", "1000 60 3 1060 x.test a@x.test"), None);
    }

    #[test]
    fn a_grant_holds_only_while_both_clocks_say_so() {
        for (now, redis_now, holds) in [
            (1_000_000, 1_000_000, true),
            (1_059_999, 1_059_999, true),
            (1_060_000, 1_059_999, false),
            (1_059_999, 1_060_000, false),
            (880_000, 1_000_000, true),
            (879_999, 1_000_000, false),
            (1_000_000 + 3_600_000, 1_000_000, false),
            (1_000_000 + 315_360_000_000, 1_000_000, false),
            (i64::MIN, 0, false),
        ] {
            assert_eq!(entry().holds(now, redis_now), holds, "{now} {redis_now}");
        }
    }

    #[test]
    fn who_wins_a_grant() {
        let policy = GrantPolicy {
            default_life: 1800,
            refused_networks: "10.0.0.0/8".parse().unwrap(),
            per_client_max: 0,
            crowd_boxes: 0,
        };
        let own: PeerIp = "203.0.113.9".parse().unwrap();
        let plain = LoginIdentity::default();
        assert_eq!(policy.life_for(&plain, Protocol::Pop3, own), Some(1800));
        assert_eq!(policy.life_for(&plain, Protocol::Smtp, own), None);
        assert_eq!(policy.life_for(&plain, Protocol::Panel, own), None);
        assert_eq!(policy.life_for(&plain, Protocol::Pop3, "10.1.1.1".parse().unwrap()), None);
        for written in ["::ffff:10.1.1.1", "64:ff9b::10.1.1.1"] {
            assert_eq!(policy.life_for(&plain, Protocol::Pop3, written.parse().unwrap()), None, "{written}");
        }
        let only_auth = LoginIdentity { auth_only: true, ..plain.clone() };
        assert_eq!(policy.life_for(&only_auth, Protocol::Pop3, own), None);
        for (set, life) in [(300, 300), (3600, 3600), (90_000, 3600), (0, 1), (-5, 1800)] {
            let identity = LoginIdentity { grant_ttl_seconds: Some(set), ..plain.clone() };
            assert_eq!(policy.life_for(&identity, Protocol::Pop3, own), Some(life), "{set}");
        }
    }

    #[test]
    fn a_short_grant_is_renewed_each_time() {
        assert_eq!(GrantPolicy::renew_after(1800), 10);
        assert_eq!(GrantPolicy::renew_after(50), 5);
        assert_eq!(GrantPolicy::renew_after(5), 0);
    }
}
