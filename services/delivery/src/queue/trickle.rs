//! How fast copies of lists begin to leave: in even steps, so that ten thousand of them never stand between others and a
//! processor, the disk or the network (pure).

use std::time::Duration;

use tokio::time::Instant;

/// Steps that could not be taken in time (the loop was busy) are caught up on, those of so long at most.
const CATCH_UP: Duration = Duration::from_millis(100);

/// Time between copies.
#[derive(Debug)]
pub(super) struct Trickle {
    /// `None`: no limit.
    step: Option<Duration>,
    /// When the next one may begin; `None`: none has begun yet.
    next: Option<Instant>,
}

impl Trickle {
    /// So many a second; 0: as many as there are connections for.
    pub(super) fn new(per_second: u32) -> Self {
        let step = (per_second > 0).then(|| Duration::from_secs(1) / per_second);
        Self { step, next: None }
    }

    /// When the next one may begin; `None`: now.
    pub(super) fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.next.filter(|next| *next > now)
    }

    /// One begins.
    pub(super) fn take(&mut self, now: Instant) {
        let Some(step) = self.step else { return };
        let due = self.next.unwrap_or(now).max(now.checked_sub(CATCH_UP).unwrap_or(now));
        self.next = Some(due + step);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copies that begin in this time by a loop that looks every `look`.
    fn begun(per_second: u32, time: Duration, look: Duration) -> usize {
        let begin = Instant::now();
        let (mut trickle, mut now, mut count) = (Trickle::new(per_second), begin, 0);
        while now < begin + time {
            while trickle.wait_until(now).is_none() && count < 100_000 {
                trickle.take(now);
                count += 1;
            }
            now += look;
        }
        count
    }

    #[test]
    fn steps_are_even_and_lost_ones_are_caught_up_on_for_a_while() {
        let second = Duration::from_secs(1);
        assert_eq!(begun(50, second, Duration::from_millis(1)), 50);
        let coarse = begun(50, second, Duration::from_millis(70));
        assert!((46..=56).contains(&coarse), "{coarse}");
        let asleep = begun(50, 10 * second, second);
        assert!(asleep <= 70, "what was missed in long pauses does not come at once: {asleep}");
        assert_eq!(begun(0, Duration::from_millis(1), Duration::from_millis(1)), 100_000);
    }
}
