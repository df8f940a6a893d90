//! How many jobs a destination gets at once: fewer when it says "later", more again when it takes mail (pure).
//!
//! As TCP does it: half after a refusal, one more after as many successes as there are jobs. While it refuses on, the next job
//! waits a little, each time twice as long.

use std::time::Duration;

use tokio::time::Instant;

use crate::outbound::Attempt;

/// Wait after the first "later" that comes while one job is allowed; doubled with each further one.
const HOLD_MIN: Duration = Duration::from_secs(1);
const HOLD_DOUBLINGS_MAX: u32 = 6;

/// How a destination behaved in one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    /// It took mail, or said no for good: it works.
    Takes,
    /// It asked to be left alone for now (4xx, 421), or could not be reached.
    Later,
}

impl Manners {
    /// One recipient that it decided upon is enough: greylisting of the others is not haste.
    pub(super) fn of(attempts: &[Attempt]) -> Self {
        let decided = |attempt: &Attempt| matches!(attempt, Attempt::Delivered(_) | Attempt::Refused(_));
        if attempts.iter().any(decided) { Self::Takes } else { Self::Later }
    }
}

/// The pace of one destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Jobs at once; grows in parts.
    allowed: f64,
    /// Refusals in a row.
    refusals: u32,
    hold_until: Option<Instant>,
}

impl Pace {
    /// At full speed.
    pub(super) fn full(limit: usize) -> Self {
        Self { allowed: limit as f64, refusals: 0, hold_until: None }
    }

    /// Takes how a job went into account.
    pub(super) fn note(&mut self, manners: Manners, limit: usize, now: Instant) {
        match manners {
            Manners::Takes => {
                self.refusals = 0;
                self.hold_until = None;
                self.allowed = (self.allowed + 1.0 / self.allowed).min(limit as f64);
            }
            Manners::Later => {
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
        if self.hold_until.is_some_and(|until| now < until) { 0 } else { self.allowed as usize }
    }

    /// When a destination that is on hold may be tried again.
    pub(super) fn hold_until(&self, now: Instant) -> Option<Instant> {
        self.hold_until.filter(|until| now < *until)
    }

    /// Nothing is to be remembered of it.
    pub(super) fn is_full(&self, limit: usize) -> bool {
        self.hold_until.is_none() && self.allowed >= limit as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_that_says_later_gets_less_and_comes_back() {
        let now = Instant::now();
        let mut pace = Pace::full(20);
        let mut after = |manners, count: usize, at| {
            (0..count).for_each(|_| pace.note(manners, 20, at));
            pace.allowed(at)
        };
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

    proptest! {
        #[test]
        fn it_is_never_stuck_and_never_over_the_limit(steps in prop::collection::vec(any::<bool>(), 0..200), limit in 1usize..100) {
            let begin = Instant::now();
            let mut pace = Pace::full(limit);
            for takes in steps {
                pace.note(if takes { Manners::Takes } else { Manners::Later }, limit, begin);
                prop_assert!(pace.allowed(begin) <= limit);
                prop_assert!(pace.allowed(begin + HOLD_MIN * 64) >= 1);
            }
        }
    }
}
