//! How many jobs a destination gets at once: few at first, more while it takes mail, fewer when it says "later" (pure).
//!
//! As TCP does it: one more after each success until the first refusal; then half after a refusal, and one more after as many
//! successes as there are jobs. While it refuses on, the next job waits a little, each time twice as long.

use std::time::Duration;

use tokio::time::Instant;

use crate::outbound::Attempt;

/// Hosts that never answer are found out with so few connections.
const FIRST: usize = 5;
/// Wait after the first "later" that comes while one job is allowed; doubled with each further one.
const HOLD_MIN: Duration = Duration::from_secs(1);
const HOLD_DOUBLINGS_MAX: u32 = 6;
/// The longest one.
pub(super) const HOLD_MAX: Duration = Duration::from_secs(HOLD_MIN.as_secs() << HOLD_DOUBLINGS_MAX);

/// A destination that said "later" so often in a row, with pauses between, is failing.
const FAILING_AFTER: u32 = 3;

/// How a destination behaved in one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// It took mail, or said no for good: it works.
    Takes,
    /// It asked to be left alone for now (4xx, 421), or could not be reached.
    Later,
}

impl Manners {
    /// One recipient that it decided upon is enough: greylisting of the others is not haste. `None`: all that it said is about
    /// mailboxes (one that is full), and tells nothing of how it fares itself.
    pub(super) fn of(attempts: &[Attempt]) -> Option<Self> {
        let decided = |attempt: &Attempt| matches!(attempt, Attempt::Delivered(_) | Attempt::Refused(_));
        let is_of_mailbox =
            |attempt: &Attempt| matches!(attempt, Attempt::Deferred(later) if later.is_of_mailbox);
        if attempts.iter().any(decided) {
            Some(Self::Takes)
        } else if attempts.iter().any(is_of_mailbox) {
            None
        } else {
            Some(Self::Later)
        }
    }
}

/// The pace of one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Jobs at once; grows in parts.
    allowed: f64,
    /// It never said "later": each success is one more.
    is_new: bool,
    /// Refusals in a row.
    refusals: u32,
    hold_until: Option<Instant>,
    /// When a job to it ended last.
    noted: Instant,
}

impl Pace {
    /// Jobs at once to a destination that nothing is known of.
    pub(super) fn first_allowed(limit: usize) -> usize {
        limit.min(FIRST)
    }

    /// Of such a destination.
    pub(super) fn first(limit: usize, now: Instant) -> Self {
        let allowed = Self::first_allowed(limit) as f64;
        Self { allowed, is_new: true, refusals: 0, hold_until: None, noted: now }
    }

    /// Takes how a job went into account.
    pub(super) fn note(&mut self, manners: Manners, limit: usize, now: Instant) {
        self.noted = now;
        match manners {
            Manners::Takes => {
                self.refusals = 0;
                self.hold_until = None;
                let more = if self.is_new { 1.0 } else { 1.0 / self.allowed };
                self.allowed = (self.allowed + more).min(limit as f64);
            }
            Manners::Later => {
                self.is_new = false;
                // One job is all that is left.
                if self.allowed < 2.0 {
                    let doublings = self.refusals.min(HOLD_DOUBLINGS_MAX);
                    self.hold_until = Some(now + HOLD_MIN * 2u32.pow(doublings));
                    self.refusals += 1;
                }
                self.allowed = (self.allowed / 2.0).max(1.0);
            }
        }
    }

    /// Jobs that may run at once now.
    pub(super) fn allowed(&self, now: Instant) -> usize {
        if self.hold_until(now).is_some() { 0 } else { self.allowed as usize }
    }

    /// When a destination that is on hold may be tried again.
    pub(super) fn hold_until(&self, now: Instant) -> Option<Instant> {
        self.hold_until.filter(|until| now < *until)
    }

    /// It said "later", and has not recovered since.
    pub(super) fn is_slowed(&self, limit: usize) -> bool {
        !self.is_new && (self.hold_until.is_some() || self.allowed < limit as f64)
    }

    /// It said "later" again and again, and has taken nothing since.
    pub(super) fn is_failing(&self) -> bool {
        self.refusals >= FAILING_AFTER
    }

    /// No job to it ended for so long.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.noted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outbound::Later;

    #[test]
    fn a_new_destination_gets_few_and_each_success_is_one_more() {
        let now = Instant::now();
        let mut pace = Pace::first(20, now);
        assert_eq!(pace.allowed(now), 5);
        (0..15).for_each(|_| pace.note(Manners::Takes, 20, now));
        assert_eq!(pace.allowed(now), 20);
        assert!(!pace.is_slowed(20));
        assert_eq!(Pace::first(2, now).allowed(now), 2);
    }

    #[test]
    fn a_host_that_says_later_gets_less_and_comes_back() {
        let now = Instant::now();
        let mut pace = Pace::first(20, now);
        let mut after = |manners, count: usize, at| {
            (0..count).for_each(|_| pace.note(manners, 20, at));
            pace.allowed(at)
        };
        assert_eq!(after(Manners::Takes, 15, now), 20);
        assert_eq!(after(Manners::Later, 1, now), 10);
        assert_eq!(after(Manners::Later, 3, now), 1);
        // From one on it is left alone: 1 s, 2 s, 4 s.
        assert_eq!(after(Manners::Later, 1, now), 0);
        assert_eq!(after(Manners::Later, 0, now + Duration::from_secs(1)), 1);
        assert_eq!(after(Manners::Later, 1, now + Duration::from_secs(1)), 0);
        assert_eq!(after(Manners::Later, 0, now + Duration::from_secs(2)), 0);
        assert_eq!(after(Manners::Later, 0, now + Duration::from_secs(3)), 1);
        // It recovers, one by one.
        assert_eq!(after(Manners::Takes, 1, now + Duration::from_secs(3)), 2);
        assert_eq!(after(Manners::Takes, 2, now + Duration::from_secs(3)), 2);
        assert_eq!(after(Manners::Takes, 1, now + Duration::from_secs(3)), 3);
        assert_eq!(after(Manners::Takes, 250, now), 20);
    }

    #[test]
    fn a_full_mailbox_tells_nothing_of_its_host() {
        let later = |is_of_mailbox| Attempt::Deferred(Later { text: String::new(), is_of_mailbox });
        assert_eq!(Manners::of(&[later(true)]), None);
        assert_eq!(Manners::of(&[later(true), later(false)]), None, "it went on talking");
        assert_eq!(Manners::of(&[later(false)]), Some(Manners::Later));
    }

    proptest! {
        #[test]
        fn it_is_never_stuck_and_never_over_the_limit(steps in prop::collection::vec(any::<bool>(), 0..200), limit in 1usize..100) {
            let begin = Instant::now();
            let mut pace = Pace::first(limit, begin);
            for takes in steps {
                pace.note(if takes { Manners::Takes } else { Manners::Later }, limit, begin);
                prop_assert!(pace.allowed(begin) <= limit);
                prop_assert!(pace.allowed(begin + HOLD_MAX) >= 1);
            }
        }
    }
}
