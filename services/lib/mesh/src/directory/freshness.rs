//! What the change stream has told: is it alive, how often was everything to be forgotten, and the last version of each
//! domain that changed since then.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use postern_mail::limits::DIRECTORY_FRESH_MILLIS;

const FRESH_FOR: Duration = Duration::from_millis(DIRECTORY_FRESH_MILLIS);

/// What was known when a question was asked, or what an answer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// Last version of the domain; 0 when it did not change.
    pub(super) version: i64,
    /// How often everything was to be forgotten.
    pub(super) epoch: u64,
}

#[derive(Debug)]
pub(super) struct Freshness {
    /// Beats are counted from here.
    origin: Instant,
    /// Milliseconds from the origin to the end of the freshness that the last beat gave; 0 without one.
    fresh_until_millis: AtomicU64,
    told: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    epoch: u64,
    /// Of domains that changed in this epoch.
    versions: HashMap<String, i64>,
}

impl Default for Freshness {
    fn default() -> Self {
        Self { origin: Instant::now(), fresh_until_millis: AtomicU64::new(0), told: RwLock::default() }
    }
}

impl Freshness {
    /// What has been told of a domain up to now.
    pub(super) fn told(&self, domain: &str) -> Told {
        let state = self.told.read().unwrap_or_else(PoisonError::into_inner);
        Told { version: state.versions.get(domain).copied().unwrap_or(0), epoch: state.epoch }
    }

    /// The same without a domain, for questions whose answer names it.
    pub(super) fn told_any(&self) -> Told {
        Told { version: 0, epoch: self.told.read().unwrap_or_else(PoisonError::into_inner).epoch }
    }

    /// True while nothing newer than this version was told in this epoch.
    pub(super) fn holds(&self, domain: &str, version: i64, epoch: u64) -> bool {
        let state = self.told.read().unwrap_or_else(PoisonError::into_inner);
        state.epoch == epoch && state.versions.get(domain).is_none_or(|told| *told <= version)
    }

    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        self.millis(now) < self.fresh_until_millis.load(Ordering::Acquire)
    }

    pub(super) fn beat(&self, now: Instant) {
        self.fresh_until_millis.store(self.millis(now + FRESH_FOR), Ordering::Release);
    }

    pub(super) fn change(&self, domain: &str, version: i64) {
        let mut state = self.told.write().unwrap_or_else(PoisonError::into_inner);
        match state.versions.get_mut(domain) {
            Some(told) => *told = version.max(*told),
            None => {
                state.versions.insert(domain.to_owned(), version);
            }
        }
    }

    /// Everything kept is to be forgotten, and nothing is fresh before the next beat.
    pub(super) fn reset(&self) {
        self.fresh_until_millis.store(0, Ordering::Release);
        let mut state = self.told.write().unwrap_or_else(PoisonError::into_inner);
        state.epoch += 1;
        state.versions.clear();
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.origin).as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_for_750_ms_after_a_beat_and_not_before_the_first() {
        let freshness = Freshness::default();
        let start = freshness.origin + Duration::from_secs(5);
        assert!(!freshness.is_fresh(freshness.origin));
        freshness.beat(start);
        assert!(freshness.is_fresh(start));
        assert!(freshness.is_fresh(start + Duration::from_millis(749)));
        assert!(!freshness.is_fresh(start + Duration::from_millis(750)));
        freshness.beat(start + Duration::from_millis(900));
        assert!(freshness.is_fresh(start + Duration::from_millis(1600)));
    }

    #[test]
    fn an_answer_holds_until_a_newer_version_of_its_domain_is_told() {
        let freshness = Freshness::default();
        let asked = freshness.told("a.test");
        assert_eq!(asked, Told { version: 0, epoch: 0 });
        assert!(freshness.holds("a.test", 7, asked.epoch));
        freshness.change("a.test", 8);
        freshness.change("b.test", 90);
        assert!(!freshness.holds("a.test", 7, asked.epoch));
        assert!(freshness.holds("a.test", 8, asked.epoch));
        // An older one told late changes nothing.
        freshness.change("a.test", 5);
        assert_eq!(freshness.told("a.test").version, 8);
    }

    #[test]
    fn after_a_reset_nothing_old_holds_and_nothing_is_fresh() {
        let freshness = Freshness::default();
        let now = Instant::now();
        freshness.beat(now);
        freshness.change("a.test", 8);
        let before = freshness.told("a.test");
        freshness.reset();
        assert!(!freshness.holds("a.test", i64::MAX, before.epoch));
        assert!(!freshness.is_fresh(now));
        let after = freshness.told("a.test");
        assert_eq!(after.version, 0);
        assert!(freshness.holds("a.test", 1, after.epoch));
    }
}
