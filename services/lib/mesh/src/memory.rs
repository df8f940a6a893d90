//! Memory that many messages hold together while they come in, and who may hold how much of it.
//!
//! Some of it is kept for those with a right to send, and no client may have more than its part: so strangers, however many, fill
//! their own share, and one of them not even that (DECISIONS.md, 95). Counted in octets, in this process alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use postern_mail::ClientKey;
use thiserror::Error;

/// Strangers together may hold all but one part in so many.
const KEPT_PART: usize = 4;
/// One client with a right to send may hold one part in so many.
const CUSTOMER_PART: usize = 4;
/// One stranger may hold one part in so many.
const STRANGER_PART: usize = 16;

/// There is no memory left, or what is left is for others; after a while there is.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("too much is being received at once")]
pub struct NoMemory;

/// For whom memory is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Has shown no right to send.
    pub stranger: bool,
    /// Whose part it is of; `None`: of nobody's, as what our own parts do and what others' mail servers pass on for many.
    pub client: Option<ClientKey>,
}

/// Octets that many may hold together. Clones are the same one.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    all_bytes: usize,
    /// What one client may hold in any case.
    least_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    strangers: usize,
    /// Only clients that hold something.
    by_client: HashMap<ClientKey, usize>,
}

/// What one message holds; given back when dropped.
#[derive(Debug)]
pub struct MemoryShare {
    inner: Arc<Inner>,
    holder: Holder,
    bytes: usize,
}

impl MemoryBudget {
    /// So many octets for all. `least_bytes`: what one client may hold however small its part is.
    #[must_use]
    pub fn new(all_bytes: usize, least_bytes: usize) -> Self {
        Self { inner: Arc::new(Inner { all_bytes, least_bytes, held: Mutex::default() }) }
    }

    /// A share that holds nothing yet.
    #[must_use]
    pub fn share(&self, holder: Holder) -> MemoryShare {
        MemoryShare { inner: Arc::clone(&self.inner), holder, bytes: 0 }
    }

    /// What all hold now, octets.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.inner.held().all
    }
}

impl MemoryShare {
    /// Holds so many octets from now on, more or fewer than before.
    ///
    /// # Errors
    /// It would be more than there is for this holder; what was held before stays. To hold less never fails.
    pub fn hold(&mut self, bytes: usize) -> Result<(), NoMemory> {
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => self.inner.take(self.holder, more)?,
            None => self.inner.give_back(self.holder, self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }

    /// What it holds, octets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        self.inner.give_back(self.holder, self.bytes);
    }
}

impl Inner {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, holder: Holder, bytes: usize) -> Result<(), NoMemory> {
        let mut held = self.held();
        let of_client = holder.client.map(|client| held.by_client.get(&client).copied().unwrap_or(0));
        let part = if holder.stranger { STRANGER_PART } else { CUSTOMER_PART };
        let client_bytes = (self.all_bytes / part).max(self.least_bytes);
        let fits = |held: usize, max: usize| held.saturating_add(bytes) <= max;
        if !fits(held.all, self.all_bytes)
            || holder.stranger && !fits(held.strangers, self.all_bytes - self.all_bytes / KEPT_PART)
            || of_client.is_some_and(|held| !fits(held, client_bytes))
        {
            return Err(NoMemory);
        }
        gauge().increment(bytes as f64);
        held.all += bytes;
        if holder.stranger {
            held.strangers += bytes;
        }
        if let Some(client) = holder.client {
            *held.by_client.entry(client).or_insert(0) += bytes;
        }
        Ok(())
    }

    fn give_back(&self, holder: Holder, bytes: usize) {
        if bytes == 0 {
            return;
        }
        gauge().decrement(bytes as f64);
        let mut held = self.held();
        held.all -= bytes;
        if holder.stranger {
            held.strangers -= bytes;
        }
        let Some(client) = holder.client else { return };
        if let Some(of_client) = held.by_client.get_mut(&client) {
            *of_client -= bytes;
            if *of_client == 0 {
                held.by_client.remove(&client);
            }
        }
    }
}

/// What is held, octets.
fn gauge() -> metrics::Gauge {
    metrics::gauge!("postern_content_memory_bytes")
}

#[cfg(test)]
mod tests {
    use postern_mail::PeerIp;

    use super::*;

    fn client(text: &str) -> Option<ClientKey> {
        Some(text.parse::<PeerIp>().expect("an address").client_key())
    }

    fn stranger(number: u8) -> Holder {
        Holder { stranger: true, client: client(&format!("203.0.113.{number}")) }
    }

    #[test]
    fn what_is_dropped_is_given_back_and_nobody_is_remembered() {
        let budget = MemoryBudget::new(1600, 0);
        let mut share = budget.share(stranger(1));
        for (bytes, answer) in [(100, Ok(())), (40, Ok(())), (101, Err(NoMemory)), (0, Ok(())), (7, Ok(()))] {
            assert_eq!(share.hold(bytes), answer, "{bytes}");
            let held = if answer.is_ok() { bytes } else { 40 };
            assert_eq!((share.bytes(), budget.held_bytes()), (held, held));
        }
        drop(share);
        assert_eq!(budget.held_bytes(), 0);
        assert!(budget.inner.held().by_client.is_empty());
    }

    #[test]
    fn one_client_has_its_part_whatever_it_opens() {
        let budget = MemoryBudget::new(1600, 0);
        let (mut one, mut another) = (budget.share(stranger(1)), budget.share(stranger(1)));
        assert_eq!(one.hold(60), Ok(()));
        assert_eq!(another.hold(41), Err(NoMemory));
        assert_eq!(another.hold(40), Ok(()));
        assert_eq!(budget.share(stranger(2)).hold(100), Ok(()), "somebody else's part");
        let mut customer = budget.share(Holder { stranger: false, client: client("203.0.113.1") });
        assert_eq!(customer.hold(301), Err(NoMemory), "it has 100 already");
        assert_eq!(customer.hold(300), Ok(()));
        let least = MemoryBudget::new(1600, 500);
        assert_eq!(least.share(stranger(1)).hold(500), Ok(()));
        assert_eq!(least.share(stranger(1)).hold(501), Err(NoMemory));
    }

    #[test]
    fn strangers_together_leave_a_quarter_for_others() {
        let budget = MemoryBudget::new(1600, 0);
        let mut all: Vec<_> = (1..=13).map(|number| budget.share(stranger(number))).collect();
        for share in &mut all[..12] {
            assert_eq!(share.hold(100), Ok(()));
        }
        assert_eq!(all[12].hold(1), Err(NoMemory));
        let mut of_many = budget.share(Holder { stranger: true, client: None });
        assert_eq!(of_many.hold(1), Err(NoMemory));
        let mut ours = budget.share(Holder::default());
        assert_eq!(ours.hold(401), Err(NoMemory));
        assert_eq!(ours.hold(400), Ok(()));
        drop(all);
        assert_eq!(of_many.hold(1200), Ok(()), "no part of a client");
        assert_eq!(budget.share(stranger(1)).hold(1), Err(NoMemory));
    }
}
