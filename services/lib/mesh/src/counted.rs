//! Gauges of what is there now.

use metrics::Gauge;

/// One more in a gauge, until it is dropped: however what is counted ends, by a panic or a cancelled task too.
#[must_use = "dropped at once, nothing is counted"]
pub struct Counted(Gauge);

impl Counted {
    /// One more from now on.
    pub fn in_gauge(gauge: Gauge) -> Self {
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
