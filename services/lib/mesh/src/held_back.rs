//! The answer to a wrong password is held back the longer the more often it was wrong. Auth says how long, with the counts that
//! all its replicas share; whoever has the client on the line waits, so that no call stays open for it (DECISIONS.md, 57).

use std::{collections::HashMap, sync::Arc, time::Duration};

use postern_mail::Reason;
use tokio::sync::Semaphore;
use tonic::Status;

use crate::{failure, shutdown::Shutdown};

/// Answers that are held back at once by one process; more are told that it is overloaded, whatever the password was.
const HELD_MAX: usize = 2000;
/// Nobody is believed who asks for more.
const LONGEST: Duration = Duration::from_secs(60);
/// In `ErrorInfo.metadata` of a refusal.
const ANSWER_AFTER_MILLIS: &str = "answer_after_millis";

/// A refusal that the client is to hear only after this time.
#[must_use]
pub fn status(reason: Reason, answer_after: Duration) -> Status {
    if answer_after.is_zero() {
        return failure::status(reason);
    }
    let metadata = HashMap::from([(ANSWER_AFTER_MILLIS.to_owned(), answer_after.as_millis().to_string())]);
    failure::status_with_metadata(reason, reason.text(), metadata)
}

/// Holds answers back. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HeldBack {
    places: Arc<Semaphore>,
    shutdown: Shutdown,
}

impl HeldBack {
    /// Holds answers back until `shutdown`.
    #[must_use]
    pub fn new(shutdown: &Shutdown) -> Self {
        Self { places: Arc::new(Semaphore::new(HELD_MAX)), shutdown: shutdown.clone() }
    }

    /// Waits as long as the status says, mostly not at all. What the client is to hear then: the reason of the status, or that
    /// too many are waiting already.
    pub async fn reason_of(&self, status: &Status) -> Reason {
        let answer_after =
            failure::metadata_of(status).get(ANSWER_AFTER_MILLIS).and_then(|text| text.parse().ok());
        if let Some(millis) = answer_after {
            let Ok(_place) = self.places.try_acquire() else {
                metrics::counter!("postern_logins_held_back_total", "outcome" => "too many").increment(1);
                return Reason::Overloaded;
            };
            metrics::counter!("postern_logins_held_back_total", "outcome" => "held").increment(1);
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(millis).min(LONGEST)) => {}
                () = self.shutdown.triggered() => {}
            }
        }
        failure::reason_of(status)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn refusal(millis: u64) -> Status {
        status(Reason::BadCredentials, Duration::from_millis(millis))
    }

    #[tokio::test]
    async fn an_answer_waits_as_long_as_auth_says_and_others_do_not() {
        let held_back = HeldBack::new(&Shutdown::new());
        let begun = Instant::now();
        assert_eq!(held_back.reason_of(&refusal(300)).await, Reason::BadCredentials);
        assert!(begun.elapsed() >= Duration::from_millis(300));
        for (status, reason) in [
            (refusal(0), Reason::BadCredentials),
            (failure::status(Reason::LoginThrottled), Reason::LoginThrottled),
            (Status::unavailable("away"), Reason::Unavailable),
        ] {
            assert!(failure::metadata_of(&status).is_empty(), "{status:?}");
            assert_eq!(held_back.reason_of(&status).await, reason);
        }
    }

    #[tokio::test]
    async fn the_number_that_waits_is_bounded_and_the_end_of_the_process_waits_for_none() {
        let shutdown = Shutdown::new();
        let held_back = HeldBack::new(&shutdown);
        let waiting: Vec<_> = (0..HELD_MAX)
            .map(|_| {
                let held_back = held_back.clone();
                tokio::spawn(async move { held_back.reason_of(&refusal(60_000)).await })
            })
            .collect();
        while held_back.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(held_back.reason_of(&refusal(60_000)).await, Reason::Overloaded);
        shutdown.trigger();
        for one in waiting {
            assert_eq!(one.await.expect("ended"), Reason::BadCredentials);
        }
    }
}
