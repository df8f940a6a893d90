//! Which rows this replica is working on, so that their leases are renewed and their work can be stopped.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::outbound::Transit;

/// How the work on a job can be stopped.
#[derive(Debug, Default)]
pub(super) struct JobControl {
    pub(super) transit: Transit,
    pub(super) stopped: CancellationToken,
}

/// All rows at work here, waiting ones included.
#[derive(Debug, Default)]
pub(super) struct Leases {
    rows: Mutex<HashMap<i64, Option<Arc<JobControl>>>>,
}

impl Leases {
    fn rows(&self) -> MutexGuard<'_, HashMap<i64, Option<Arc<JobControl>>>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a row up; false when it is at work already.
    pub(super) fn begin(&self, id: i64) -> bool {
        let mut rows = self.rows();
        let is_new = !rows.contains_key(&id);
        if is_new {
            rows.insert(id, None);
        }
        is_new
    }

    /// From now on these rows are stopped by `control`.
    pub(super) fn set_control(&self, ids: impl Iterator<Item = i64>, control: &Arc<JobControl>) {
        let mut rows = self.rows();
        for id in ids {
            if let Some(row) = rows.get_mut(&id) {
                *row = Some(Arc::clone(control));
            }
        }
    }

    /// The work on these rows is written down.
    pub(super) fn end(&self, ids: impl IntoIterator<Item = i64>) {
        let mut rows = self.rows();
        for id in ids {
            rows.remove(&id);
        }
    }

    /// All rows at work.
    pub(super) fn ids(&self) -> Vec<i64> {
        self.rows().keys().copied().collect()
    }

    /// True when the row is at work here.
    pub(super) fn contains(&self, id: i64) -> bool {
        self.rows().contains_key(&id)
    }

    /// Stops the work on these rows unless the host may have the mail already; gives those that go on.
    pub(super) fn stop(&self, ids: &[i64]) -> Vec<i64> {
        let rows = self.rows();
        let goes_on = |id: &&i64| match rows.get(id) {
            Some(Some(control)) if control.transit.is_dot_sent() => true,
            Some(Some(control)) => {
                control.stopped.cancel();
                false
            }
            Some(None) | None => false,
        };
        ids.iter().filter(goes_on).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_taken_up_once() {
        let leases = Leases::default();
        assert!(leases.begin(1));
        assert!(!leases.begin(1));
        leases.end([1]);
        assert!(leases.begin(1));
        assert_eq!(leases.ids(), [1]);
    }

    #[test]
    fn what_is_not_sent_yet_can_be_stopped() {
        let leases = Leases::default();
        leases.begin(1);
        assert_eq!(leases.stop(&[1, 2]), Vec::<i64>::new());
        let control = Arc::new(JobControl::default());
        leases.set_control([1].into_iter(), &control);
        assert_eq!(leases.stop(&[1]), Vec::<i64>::new());
        assert!(control.stopped.is_cancelled());
    }
}
