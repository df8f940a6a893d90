//! How many messages of strangers a recipient here gets in an hour: what this gateway took is counted here, and from a share of
//! the limit on by auth for all gateways together, so that quiet boxes cost no question. When auth is away mail is taken: mail to
//! boxes here must not depend on it (PROMISES.md, promise 3).

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use postern_mesh::{clock::unix_seconds, failure};
use postern_proto::auth::v1::{CountInboundRequest, InboundCount};

use super::{Upstream, away};

/// Of the limit, a gateway takes one part of so many before it asks auth.
const QUIET_PART: u32 = 16;
/// Recipients that are counted here; what is more is asked for each time.
const RECIPIENTS_MAX: usize = 100_000;

/// What this gateway took in this hour. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct InboundCounts {
    /// Messages an hour; 0 = off.
    limit: u32,
    hour: Arc<Mutex<Hour>>,
}

#[derive(Debug, Default)]
struct Hour {
    number: u64,
    counts: HashMap<String, Count>,
}

/// Of one recipient.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    /// Taken here and not told to auth yet.
    untold: u32,
    /// The quiet share is used up: auth is asked for each message.
    asks: bool,
}

impl InboundCounts {
    /// Counts against so many messages an hour; 0 = off.
    #[must_use]
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, hour: Arc::default() }
    }

    /// One more message for this recipient. `None`: it is taken; else what auth is to be asked for, this one included.
    fn take(&self, recipient: &str, now_seconds: u64) -> Option<u32> {
        if self.limit == 0 {
            return None;
        }
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        let number = now_seconds / 3600;
        if hour.number != number {
            *hour = Hour { number, counts: HashMap::new() };
        }
        let is_full = hour.counts.len() >= RECIPIENTS_MAX;
        let count = match hour.counts.get_mut(recipient) {
            Some(count) => count,
            None if is_full => return Some(1),
            None => hour.counts.entry(recipient.to_owned()).or_default(),
        };
        if !count.asks && count.untold < self.limit / QUIET_PART {
            count.untold += 1;
            return None;
        }
        count.asks = true;
        Some(std::mem::take(&mut count.untold) + 1)
    }

    /// What auth did not count is told with the next message.
    fn put_back(&self, recipient: &str, messages: u32) {
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = hour.counts.get_mut(recipient) {
            count.untold = count.untold.saturating_add(messages);
        }
    }
}

impl Upstream {
    /// Counts one message for each of these recipients (`None`: not counted), for the same one once; false: it gets no more in this
    /// hour.
    pub(super) async fn count_inbound(&self, recipients: &[Option<String>], session_id: &str) -> Vec<bool> {
        let mut taken = vec![true; recipients.len()];
        let now = unix_seconds();
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, recipient) in recipients.iter().enumerate() {
            if let Some(recipient) = recipient {
                places.entry(recipient).or_default().push(at);
            }
        }
        let (places, counts): (Vec<Vec<usize>>, Vec<InboundCount>) = places
            .into_iter()
            .filter_map(|(recipient, places)| {
                let messages = self.inbound.take(recipient, now)?;
                let messages = i32::try_from(messages).unwrap_or(i32::MAX);
                Some((places, InboundCount { recipient: recipient.to_owned(), messages }))
            })
            .unzip();
        if counts.is_empty() {
            return taken;
        }
        let untold = |count: &InboundCount, this_one: u32| {
            self.inbound.put_back(&count.recipient, count.messages.unsigned_abs().saturating_sub(this_one));
        };
        match self.relay.clone().count_inbound(CountInboundRequest { counts: counts.clone() }).await {
            Ok(answer) => {
                for over in answer.into_inner().over {
                    let Ok(over) = usize::try_from(over) else { continue };
                    let (Some(places), Some(count)) = (places.get(over), counts.get(over)) else { continue };
                    untold(count, 1);
                    for at in places {
                        if let Some(taken) = taken.get_mut(*at) {
                            *taken = false;
                        }
                    }
                    metrics::counter!("postern_smtp_inbound_limited_total").increment(1);
                    tracing::info!(
                        session_id,
                        recipient = count.recipient,
                        "gets too much mail in this hour"
                    );
                }
            }
            Err(status) => {
                away("auth", &status, session_id, failure::reason_of(&status));
                counts.iter().for_each(|count| untold(count, 0));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auth_is_asked_once_the_quiet_share_is_used_up_and_told_of_it() {
        let counts = InboundCounts::new(32);
        assert_eq!([counts.take("a", 0), counts.take("a", 9)], [None, None]);
        assert_eq!(counts.take("a", 3599), Some(3));
        assert_eq!(counts.take("a", 3599), Some(1));
        // What was not counted comes with the next one; another recipient is another.
        counts.put_back("a", 2);
        assert_eq!(counts.take("a", 3599), Some(3));
        assert_eq!(counts.take("b", 3599), None);
        // The next hour begins anew.
        assert_eq!([counts.take("a", 3600), counts.take("a", 3600)], [None, None]);
        assert_eq!(counts.take("a", 3600), Some(3));
    }

    #[test]
    fn a_small_limit_is_asked_for_from_the_first_and_none_never() {
        assert_eq!(InboundCounts::new(3).take("a", 0), Some(1));
        let off = InboundCounts::new(0);
        assert!((0..1000).all(|_| off.take("a", 0).is_none()));
    }
}
