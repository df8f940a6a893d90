//! What is known in memory of a mail on its way: whether its end of data may have reached the host.

use std::sync::atomic::{AtomicBool, Ordering};

/// Shared between the worker that sends and whoever may want to stop it.
#[derive(Debug, Default)]
pub struct Transit {
    dot_sent: AtomicBool,
}

impl Transit {
    /// From now on stopping could send the message twice.
    pub(super) fn set_dot_sent(&self) {
        self.dot_sent.store(true, Ordering::Release);
    }

    /// A new transaction begins: nobody has it yet.
    pub(super) fn begin(&self) {
        self.dot_sent.store(false, Ordering::Release);
    }

    /// True once the end of data may have reached the host.
    #[must_use]
    pub fn is_dot_sent(&self) -> bool {
        self.dot_sent.load(Ordering::Acquire)
    }
}
