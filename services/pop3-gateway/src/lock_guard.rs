//! The lock of a box from the moment at which it is ours: wherever its session ends, the box is freed.

use tokio::runtime::Handle;

use crate::{session::MaildropLock, upstream::Upstream};

/// A lock that we have. Dropped, it is given back by a task of its own, without deletes.
#[derive(Debug)]
pub(crate) struct LockGuard {
    lock: MaildropLock,
    upstream: Upstream,
    is_ours: bool,
}

impl LockGuard {
    /// Of a lock that delivery just gave us.
    #[must_use]
    pub(crate) fn new(lock: MaildropLock, upstream: Upstream) -> Self {
        Self { lock, upstream, is_ours: true }
    }

    /// Which.
    #[must_use]
    pub(crate) fn lock(&self) -> MaildropLock {
        self.lock
    }

    /// Gives it back now, and tells what was read.
    pub(crate) async fn release(mut self, retrieved_uids: Vec<u64>) {
        self.upstream.release(self.lock, retrieved_uids).await;
        self.is_ours = false;
    }

    /// It was given back, or is somebody else's now.
    pub(crate) fn ended(mut self) {
        self.is_ours = false;
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        // At the end of the process nobody is left to ask: it frees itself in 60 s.
        if let (true, Ok(runtime)) = (self.is_ours, Handle::try_current()) {
            let (lock, upstream) = (self.lock, self.upstream.clone());
            runtime.spawn(async move { upstream.release(lock, Vec::new()).await });
        }
    }
}
