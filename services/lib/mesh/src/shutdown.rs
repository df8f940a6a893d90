//! Going down in order: one trigger that everybody sees, and the tasks that must end before the process does.

use std::{future::Future, time::Duration};

use tokio::{signal::unix, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Handle to the end of a process (or of one house in it). Clones are the same handle.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    trigger: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A new one, not triggered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks everybody to end. Further calls change nothing.
    pub fn trigger(&self) {
        self.trigger.cancel();
    }

    /// True once triggered.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.trigger.is_cancelled()
    }

    /// Ends when triggered; safe in `select!`.
    pub async fn triggered(&self) {
        self.trigger.cancelled().await;
    }

    /// For those who need the token itself.
    pub(crate) fn token(&self) -> CancellationToken {
        self.trigger.clone()
    }

    /// Runs a task that [`Self::finish`] waits for. The task has to look at [`Self::triggered`] by itself.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(task)
    }

    /// Ends once [`Self::finish`] was called and all tasks ended.
    pub(crate) async fn all_ended(&self) {
        self.tasks.wait().await;
    }

    /// Triggers and waits for all tasks, at most for `grace`. True when all ended in time.
    pub async fn finish(&self, grace: Duration) -> bool {
        self.trigger();
        self.tasks.close();
        tokio::time::timeout(grace, self.tasks.wait()).await.is_ok()
    }

    /// SIGTERM and SIGINT trigger from now on.
    pub fn on_signals(&self) {
        for kind in [unix::SignalKind::terminate(), unix::SignalKind::interrupt()] {
            let shutdown = self.clone();
            match unix::signal(kind) {
                Ok(mut signal) => {
                    // Not tracked: it ends with the process.
                    tokio::spawn(async move {
                        if signal.recv().await.is_some() {
                            tracing::info!("going down on signal {}", kind.as_raw_value());
                            shutdown.trigger();
                        }
                    });
                }
                Err(error) => tracing::error!(%error, "signals cannot be received"),
            }
        }
    }
}
