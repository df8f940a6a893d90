//! Locks of all sessions of this gateway, renewed in one call every 20 s (PROMISES.md, "The lock"). Only sessions whose
//! connection is alive are in here: keep-alive ends those of dead peers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use postern_mail::limits::LOCK_RENEW_SECONDS;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{session::MaildropLock, upstream::Upstream};

/// Locks of one call.
const LOCKS_PER_CALL: usize = 1000;
/// A failed renewal is tried again soon, while the lock still lives.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
const RETRIES: usize = 2;
/// How long one renewal may take, its answer included: all tries end while the locks live.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(5);
/// A session that lost its lock may still say QUIT and hear why nothing was deleted (P-83), then it is closed.
const LOST_GRACE: Duration = Duration::from_secs(5);

/// All held locks and how to end their sessions.
#[derive(Debug)]
pub(crate) struct Locks {
    every: Duration,
    lost_grace: Duration,
    held: Mutex<HashMap<MaildropLock, CancellationToken>>,
}

/// Keeps one lock renewed until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    locks: Arc<Locks>,
    lock: MaildropLock,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.locks.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.lock);
    }
}

impl Default for Locks {
    fn default() -> Self {
        Self::every(Duration::from_secs(LOCK_RENEW_SECONDS), LOST_GRACE)
    }
}

impl Locks {
    /// None held yet; renewed so often, and a session that lost its lock goes on for `lost_grace`.
    pub(crate) fn every(every: Duration, lost_grace: Duration) -> Self {
        Self { every, lost_grace, held: Mutex::default() }
    }

    /// Renews this lock from now on; when it is lost, the session is ended by its token.
    #[must_use]
    pub(crate) fn hold(self: &Arc<Self>, lock: MaildropLock, session: CancellationToken) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).insert(lock, session);
        Held { locks: Arc::clone(self), lock }
    }

    /// Renews until told to end.
    pub(crate) async fn keep(self: Arc<Self>, upstream: Upstream, ended: CancellationToken) {
        let mut ticks = interval(self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let renewing = async {
            loop {
                ticks.tick().await;
                self.renew_all(&upstream).await;
            }
        };
        tokio::select! {
            () = renewing => {}
            () = ended.cancelled() => {}
        }
    }

    async fn renew_all(&self, upstream: &Upstream) {
        let held: Vec<MaildropLock> =
            self.held.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for locks in held.chunks(LOCKS_PER_CALL) {
            for attempt in 0..=RETRIES {
                // All locks wait for this one: an answer that never ends must not keep the next renewal from being asked.
                let answer = timeout(RENEWAL_PATIENCE, upstream.renew(locks)).await;
                match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time"))) {
                    Ok(lost) => {
                        lost.into_iter().for_each(|lock| self.lost(lock));
                        break;
                    }
                    // Sessions read on; at QUIT the token decides (fault matrix).
                    Err(status) if attempt == RETRIES => {
                        tracing::warn!(%status, locks = locks.len(), "locks are not renewed");
                    }
                    Err(_) => sleep(RETRY_PAUSE).await,
                }
            }
        }
    }

    fn lost(&self, lock: MaildropLock) {
        let session = self.held.lock().unwrap_or_else(PoisonError::into_inner).remove(&lock);
        if let Some(session) = session {
            let grace = self.lost_grace;
            tokio::spawn(async move {
                sleep(grace).await;
                session.cancel();
            });
        }
    }
}
