//! Percentiles, and how sure a mean of pairs is. Pure.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;

/// Times that the pairs are drawn anew.
const DRAWS: usize = 10_000;
/// The same draws for the same figures.
const SEED: u64 = 20_260_101;

/// A mean, and where it lies with 95 % certainty.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Interval {
    pub(crate) mean: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// The same on another scale.
    pub(crate) fn map(self, scale: impl Fn(f64) -> f64) -> Self {
        Self { mean: scale(self.mean), low: scale(self.low), high: scale(self.high) }
    }
}

/// The value that so many percent of the values do not exceed; 0 without any.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1) as f64;
    sorted.get((last * percent / 100.0).round() as usize).copied().unwrap_or_default()
}

/// The mean of differences of pairs with its bootstrap interval: the pairs are drawn anew, with replacement, many times, and the
/// means of the middle 95 % of the draws are its bounds. Nothing is supposed of how they are spread.
pub(crate) fn mean_with_interval(differences: &[f64]) -> Interval {
    if differences.is_empty() {
        return Interval { mean: 0.0, low: 0.0, high: 0.0 };
    }
    let count = differences.len();
    let mut random = StdRng::seed_from_u64(SEED);
    let mut means: Vec<f64> = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        let drawn = (0..count).map(|_| differences[random.random_range(0..count)]);
        means.push(drawn.sum::<f64>() / count as f64);
    }
    Interval {
        mean: differences.iter().sum::<f64>() / count as f64,
        low: percentile(&means, 2.5),
        high: percentile(&means, 97.5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_there() {
        let values: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        for (percent, value) in [(0.0, 0.0), (50.0, 50.0), (99.0, 99.0), (100.0, 100.0)] {
            assert_eq!(percentile(&values, percent), value);
        }
        assert_eq!(percentile(&[], 99.0), 0.0);
    }

    #[test]
    fn the_interval_holds_the_mean_and_narrows_with_the_pairs() {
        let same = mean_with_interval(&[3.0; 10]);
        assert_eq!(same, Interval { mean: 3.0, low: 3.0, high: 3.0 });
        let spread = |pairs: usize| {
            let some: Vec<f64> = (0..pairs).map(|n| if n % 2 == 0 { -1.0 } else { 1.0 }).collect();
            mean_with_interval(&some)
        };
        let (few, many) = (spread(10), spread(1000));
        assert!(few.low < -0.4 && few.high > 0.4 && few.mean == 0.0, "{few:?}");
        assert!(many.low > -0.1 && many.high < 0.1, "{many:?}");
    }
}
