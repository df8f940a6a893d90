//! How many connections there may be, in all and from one client. Counted in memory, by this replica alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use postern_mail::ClientKey;

/// Counts connections.
#[derive(Clone, Debug)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// 0: no limit.
    total_max: usize,
    /// 0: no limit.
    per_client_max: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    /// Only clients with at least one connection.
    by_client: HashMap<ClientKey, usize>,
}

/// A counted connection; not counted any more once dropped.
#[derive(Debug)]
pub struct Ticket {
    inner: Arc<Inner>,
    client: ClientKey,
}

impl Admission {
    /// 0 is "no limit".
    #[must_use]
    pub fn new(total_max: usize, per_client_max: usize) -> Self {
        Self { inner: Arc::new(Inner { total_max, per_client_max, open: Mutex::default() }) }
    }

    /// Lets one more connection in; `None` when that is one too many. An exempt client is counted and let in.
    #[must_use]
    pub fn admit(&self, client: ClientKey, exempt: bool) -> Option<Ticket> {
        let mut open = self.inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |count: usize, max: usize| max > 0 && count >= max;
        let here = open.by_client.get(&client).copied().unwrap_or(0);
        if !exempt && (over(open.total, self.inner.total_max) || over(here, self.inner.per_client_max)) {
            return None;
        }
        open.total += 1;
        open.by_client.insert(client, here + 1);
        Some(Ticket { inner: Arc::clone(&self.inner), client })
    }

    /// Connections now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.open.lock().unwrap_or_else(PoisonError::into_inner).total
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut open = self.inner.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::PeerIp;

    use super::*;

    fn client(text: &str) -> ClientKey {
        text.parse::<PeerIp>().expect("address").client_key()
    }

    #[test]
    fn limits_hold_and_places_come_back() {
        let admission = Admission::new(3, 2);
        let (a, b) = (client("192.0.2.1"), client("2001:db8::1"));
        let first = admission.admit(a, false).expect("first");
        let _second = admission.admit(a, false).expect("second");
        assert!(admission.admit(a, false).is_none(), "third of one client");
        let _third = admission.admit(b, false).expect("another client");
        assert!(admission.admit(client("2001:db8::ffff"), false).is_none(), "fourth of all");
        let exempt = admission.admit(a, true).expect("exempt");
        assert_eq!(admission.open(), 4);
        drop((first, exempt));
        assert!(admission.admit(client("192.0.2.9"), false).is_some());
    }

    #[test]
    fn zero_is_no_limit_and_nothing_is_remembered() {
        let admission = Admission::new(0, 0);
        let tickets: Vec<_> = (0..100).map(|_| admission.admit(client("192.0.2.1"), false)).collect();
        assert!(tickets.iter().all(Option::is_some));
        drop(tickets);
        assert_eq!(admission.open(), 0);
        assert!(admission.inner.open.lock().expect("lock").by_client.is_empty());
    }
}
