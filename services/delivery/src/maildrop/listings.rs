//! Listings of large boxes, kept from one session to the next: a program that leaves its mail here asks for the same one every few
//! minutes, and Postgres takes tens of milliseconds for a hundred thousand rows. A kept listing is used only when the statement that
//! opens the box finds it unchanged, so it cannot be stale, whichever replica changed the box.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;

use super::{Form, IndexPage};

/// Messages of a box from which on it is worth it.
const MESSAGES_MIN: usize = 256;
/// Octets of all kept listings, of which a message takes 16.
const KEPT_MAX_BYTES: u64 = 64 << 20;
/// So long one is kept that nobody asks for.
const KEPT_IDLE: Duration = Duration::from_secs(15 * 60);

/// What differs whenever a box holds something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Grows with each change, in its transaction.
    pub(super) usage_version: i64,
    // A store that was restored counts versions again, from an older one.
    pub(super) message_count: i64,
    pub(super) used_bytes: i64,
}

impl Stamp {
    /// Of no box.
    pub(super) const NONE: Self = Self { usage_version: -1, message_count: -1, used_bytes: -1 };
}

/// A whole listing.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    pub(super) stamp: Stamp,
    pub(super) pages: Vec<Arc<IndexPage>>,
}

impl Listing {
    fn messages(&self) -> usize {
        self.pages.iter().map(|page| page.uids.len()).sum()
    }
}

/// The kept listings. Clones are the same ones.
#[derive(Clone, Debug)]
pub(super) struct Listings(Cache<(i64, Form), Arc<Listing>>);

impl Listings {
    pub(super) fn new() -> Self {
        let weigher = |_: &(i64, Form), listing: &Arc<Listing>| {
            u32::try_from(listing.messages() * size_of::<[i64; 2]>()).unwrap_or(u32::MAX)
        };
        let cache = Cache::builder().weigher(weigher).max_capacity(KEPT_MAX_BYTES).time_to_idle(KEPT_IDLE);
        Self(cache.build())
    }

    pub(super) fn get(&self, mailbox_id: i64, form: Form) -> Option<Arc<Listing>> {
        self.0.get(&(mailbox_id, form))
    }

    /// Keeps it when it is large enough.
    pub(super) fn keep(&self, mailbox_id: i64, form: Form, listing: Listing) {
        if listing.messages() >= MESSAGES_MIN {
            self.0.insert((mailbox_id, form), Arc::new(listing));
        }
    }
}
