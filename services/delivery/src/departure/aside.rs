//! A thread that gives way: the work of copies of lists that takes a processor for a while, each their signature. Whoever else is
//! ready to run goes before it, so that ten thousand signatures are in nobody's way.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::mpsc,
};

use tokio::sync::oneshot;

/// The lowest of ordinary threads.
const NICENESS: i32 = 19;

type Task = Box<dyn FnOnce() + Send>;

/// Where such work is handed in. The thread ends with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Aside(mpsc::Sender<Task>);

impl Aside {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(super) fn start() -> io::Result<Self> {
        let (tasks, handed_in) = mpsc::channel::<Task>();
        std::thread::Builder::new().name("aside".to_owned()).spawn(move || {
            // To be more modest is never forbidden; where it is all the same, the work is done as any other.
            if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
                tracing::info!(%error, "copies of lists are signed at the priority of everything else");
            }
            for task in handed_in {
                // Whoever asked hears that there is no answer; the next ones have theirs.
                if catch_unwind(AssertUnwindSafe(task)).is_err() {
                    tracing::error!("work of a copy panicked");
                }
            }
        })?;
        Ok(Self(tasks))
    }

    /// Has it done in its turn; `None`: it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, is_done) = oneshot::channel();
        let task = move || {
            // Whoever asked may be gone.
            let _ = done.send(work());
        };
        self.0.send(Box::new(task)).ok()?;
        is_done.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_gives_way_and_outlives_a_panic() {
        let aside = Aside::start().expect("a thread");
        let niceness = || rustix::process::getpriority_process(None).expect("known");
        let here = niceness();
        assert_eq!(aside.run(niceness).await, Some(NICENESS));
        assert_eq!(aside.run(|| panic!("as a test wants it")).await, None::<()>);
        assert_eq!(aside.run(|| 7).await, Some(7));
        assert_eq!(niceness(), here, "only that thread");
    }
}
