//! When to try again: pauses that grow, with a little chance in them, for five days. Pure.

use std::time::Duration;

/// Before a message is given up it was tried so often at least: a clock that jumps must not bounce what is fresh.
const ATTEMPTS_BEFORE_EXPIRY: u32 = 3;
/// Part of a pause by which it varies either way, so that what failed together does not come back together.
const JITTER: f64 = 0.1;

/// Pauses between attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    pauses: Vec<Duration>,
}

impl Schedule {
    /// The pause after the first attempt, after the second, ...; the last one repeats. Empty: one hour each.
    #[must_use]
    pub fn new(pauses: Vec<Duration>) -> Self {
        Self { pauses }
    }

    /// The pause after `attempts` attempts (1 and more). `chance` is from 0 to 1.
    #[must_use]
    pub fn pause_after(&self, attempts: u32, chance: f64) -> Duration {
        let index = usize::try_from(attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let pause =
            self.pauses.get(index).or(self.pauses.last()).copied().unwrap_or(Duration::from_secs(3600));
        pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0))
    }

    /// True when a row whose time is over was tried often enough to be given up.
    #[must_use]
    pub fn may_expire(&self, attempts: u32) -> bool {
        attempts >= ATTEMPTS_BEFORE_EXPIRY
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn standard() -> Schedule {
        Schedule::new([300, 600, 1200, 2400, 3600].map(Duration::from_secs).to_vec())
    }

    #[test]
    fn s_96_pauses_grow_from_five_minutes_to_an_hour() {
        let minutes: Vec<_> =
            (1..8).map(|n| standard().pause_after(n, 0.5).as_secs_f64().round() as u64 / 60).collect();
        assert_eq!(minutes, [5, 10, 20, 40, 60, 60, 60]);
    }

    #[test]
    fn nothing_is_given_up_after_one_look() {
        assert!(!standard().may_expire(2));
        assert!(standard().may_expire(3));
    }

    proptest! {
        #[test]
        fn chance_moves_a_pause_by_a_tenth(attempts in any::<u32>(), chance in 0.0f64..1.0) {
            let middle = standard().pause_after(attempts, 0.5).as_secs_f64();
            let pause = standard().pause_after(attempts, chance).as_secs_f64();
            prop_assert!((pause - middle).abs() <= middle * 0.101);
            prop_assert!(pause >= 269.0);
        }
    }
}
