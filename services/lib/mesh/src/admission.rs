//! Who may come in at the doors of a gateway: how many connections there may be, in all and of one client, at once and new within a
//! minute. Counted in memory, by this replica alone; nobody is asked when a client connects.
//!
//! Some places are kept for clients that are known: that logged in here within the last day, or sent with a right to relay. So a
//! flood of strangers fills its own share and never that of customers (DECISIONS.md, 56).

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use clap::Args;
use ipnet::IpNet;
use postern_mail::{ClientKey, PeerIp, SiteKey};

use crate::memory::Holder;

/// New connections are counted in steps of this time.
const MINUTE: Duration = Duration::from_secs(60);
/// Clients whose new connections are counted; more are let in uncounted until the minute is over.
const COUNTED_MAX: usize = 200_000;
/// What the strangers of one site may do together, in times of what one client may: else one household with its many /64, or whoever
/// rents a few IPv4 /24, would fill the places of all. Customers are not counted: a mobile network has thousands of them in one. A /24
/// has more, for large senders have many hosts in theirs.
fn site_factor(site: SiteKey) -> usize {
    match site {
        SiteKey::V4(_) => 16,
        SiteKey::V6(_) => 4,
    }
}
/// How long a client is known after it showed a right.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// Clients that are known at most.
const KNOWN_MAX: u64 = 100_000;

/// Limits of connections.
#[derive(Args, Clone, Debug)]
pub struct AdmissionSettings {
    /// Connections at once to one gateway (0 = no limit)
    #[arg(long, env = "POSTERN_LIMIT_CONNECTIONS", value_name = "COUNT", default_value_t = 10_000)]
    pub limit_connections: usize,

    /// Connections at once from one client: an IPv4 address or an IPv6 /64; strangers of one IPv6 /48 four times as many, of one IPv4 /24
    /// sixteen times (0 = no limit)
    #[arg(long, env = "POSTERN_LIMIT_CONNECTIONS_PER_CLIENT", value_name = "COUNT", default_value_t = 50)]
    pub limit_connections_per_client: usize,

    /// New connections within a minute from one client: an IPv4 address or an IPv6 /64; strangers of one IPv6 /48 four times as many,
    /// of one IPv4 /24 sixteen times (0 = no limit)
    #[arg(
        long,
        env = "POSTERN_LIMIT_NEW_CONNECTIONS_PER_MINUTE",
        value_name = "COUNT",
        default_value_t = 100
    )]
    pub limit_new_connections_per_minute: u32,

    /// Share of POSTERN_LIMIT_CONNECTIONS for clients that logged in or relayed at this gateway within a day, percent (0 to 90)
    #[arg(long, env = "POSTERN_RESERVED_CONNECTIONS_PERCENT", value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u8).range(0..=90))]
    pub reserved_connections_percent: u8,

    /// Networks that the limits on connections and refused recipients do not hold for, separated by commas
    #[arg(long, env = "POSTERN_LIMITS_EXEMPT_NETWORKS", value_name = "NETWORKS", value_delimiter = ',')]
    pub limits_exempt_networks: Vec<IpNet>,
}

/// Why a client is turned away. All of it is over after a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// All places are taken.
    Full,
    /// What is left is for clients that are known.
    Reserved,
    /// This client, or the strangers of its site, have too many connections.
    Client,
    /// This client, or the strangers of its site, connect too often.
    TooOften,
}

impl TurnedAway {
    /// Name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Reserved => "reserved",
            Self::Client => "client",
            Self::TooOften => "too often",
        }
    }
}

/// Counts connections. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    settings: AdmissionSettings,
    known: moka::sync::Cache<ClientKey, ()>,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    all: usize,
    /// Of clients that were not known when they came and have shown no right since.
    strangers: usize,
    /// Only clients with at least one connection.
    by_client: HashMap<ClientKey, usize>,
    /// Strangers among them, by their site.
    strangers_by_site: HashMap<SiteKey, usize>,
    /// New connections in this minute.
    new: HashMap<ClientKey, u32>,
    /// Those of strangers.
    new_by_site: HashMap<SiteKey, u32>,
    minute: Instant,
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub struct Place {
    inner: Arc<Inner>,
    client: ClientKey,
    /// `Some`: it counts among the strangers of this site.
    site: Option<SiteKey>,
    stranger: bool,
    exempt: bool,
}

/// Who asks for a place.
struct Asker {
    client: ClientKey,
    /// Of strangers only.
    site: Option<SiteKey>,
    known: bool,
}

impl Admission {
    /// Nobody is in, nobody is known.
    #[must_use]
    pub fn new(settings: AdmissionSettings) -> Self {
        let known = moka::sync::Cache::builder().max_capacity(KNOWN_MAX).time_to_live(KNOWN_FOR).build();
        let counts = Counts {
            all: 0,
            strangers: 0,
            by_client: HashMap::new(),
            strangers_by_site: HashMap::new(),
            new: HashMap::new(),
            new_by_site: HashMap::new(),
            minute: Instant::now(),
        };
        Self { inner: Arc::new(Inner { settings, known, counts: Mutex::new(counts) }) }
    }

    /// True when the limits do not hold for this peer.
    #[must_use]
    pub fn is_exempt(&self, peer: PeerIp) -> bool {
        peer.is_in(&self.inner.settings.limits_exempt_networks)
    }

    /// A place for one more connection. Whoever is exempt is counted and let in.
    ///
    /// # Errors
    /// Why there is none.
    pub fn admit(&self, peer: PeerIp) -> Result<Place, TurnedAway> {
        self.admit_at(peer, Instant::now())
    }

    fn admit_at(&self, peer: PeerIp, now: Instant) -> Result<Place, TurnedAway> {
        let (client, exempt) = (peer.client_key(), self.is_exempt(peer));
        let known = exempt || self.inner.known.contains_key(&client);
        let site = (!known).then(|| peer.site_key());
        let mut counts = self.inner.counts();
        if !exempt {
            counts.judge(&Asker { client, site, known }, &self.inner.settings, now)?;
        }
        counts.all += 1;
        counts.strangers += usize::from(!known);
        *counts.by_client.entry(client).or_default() += 1;
        if let Some(site) = site {
            *counts.strangers_by_site.entry(site).or_default() += 1;
        }
        Ok(Place { inner: Arc::clone(&self.inner), client, site, stranger: !known, exempt })
    }

    /// Connections now.
    #[must_use]
    pub fn open(&self) -> usize {
        self.inner.counts().all
    }
}

impl Place {
    /// The client showed a right: a good login, a live grant. From now on it is known, and this connection fills no place of
    /// strangers any more.
    pub fn is_customers(&mut self) {
        // Looked up first: to write is dearer, and sessions show their right with each message.
        if !self.inner.known.contains_key(&self.client) {
            self.inner.known.insert(self.client, ());
        }
        if self.stranger {
            self.stranger = false;
            let mut counts = self.inner.counts();
            counts.strangers -= 1;
            counts.leave_site(self.site.take());
        }
    }
}

impl Place {
    /// Whose memory its messages are held in.
    #[must_use]
    pub fn holder(&self) -> Holder {
        Holder { stranger: self.stranger, client: (!self.exempt).then_some(self.client) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.inner.counts();
        counts.all -= 1;
        counts.strangers -= usize::from(self.stranger);
        one_less(&mut counts.by_client, &self.client);
        counts.leave_site(self.site);
    }
}

impl Inner {
    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn judge(&mut self, asker: &Asker, settings: &AdmissionSettings, now: Instant) -> Result<(), TurnedAway> {
        let full = |count: usize, limit: usize| limit > 0 && count >= limit;
        // Also those that are turned away for another reason are counted: trying again and again costs, too.
        if self.is_too_often(asker, settings.limit_new_connections_per_minute, now) {
            return Err(TurnedAway::TooOften);
        }
        let of_client = self.by_client.get(&asker.client).copied().unwrap_or(0);
        let most = settings.limit_connections_per_client;
        let is_site_full = |site| {
            let count = self.strangers_by_site.get(&site).copied().unwrap_or(0);
            full(count, most.saturating_mul(site_factor(site)))
        };
        if full(of_client, most) || asker.site.is_some_and(is_site_full) {
            return Err(TurnedAway::Client);
        }
        let total = settings.limit_connections;
        if full(self.all, total) {
            return Err(TurnedAway::Full);
        }
        let reserved = total * usize::from(settings.reserved_connections_percent) / 100;
        if !asker.known && full(self.strangers, total - reserved) {
            return Err(TurnedAway::Reserved);
        }
        Ok(())
    }

    fn is_too_often(&mut self, asker: &Asker, limit: u32, now: Instant) -> bool {
        if limit == 0 {
            return false;
        }
        if now.saturating_duration_since(self.minute) >= MINUTE {
            self.new = HashMap::new();
            self.new_by_site = HashMap::new();
            self.minute = now;
        }
        let of_client = one_more(&mut self.new, asker.client);
        let is_site_too_often = asker.site.is_some_and(|site| {
            let count = one_more(&mut self.new_by_site, site) as usize;
            count > (limit as usize).saturating_mul(site_factor(site))
        });
        of_client > limit || is_site_too_often
    }

    fn leave_site(&mut self, site: Option<SiteKey>) {
        if let Some(site) = site {
            one_less(&mut self.strangers_by_site, &site);
        }
    }
}

/// Counts one more connection within the minute; 0: it is not counted, for too many others are.
fn one_more<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) -> u32 {
    if counts.len() >= COUNTED_MAX && !counts.contains_key(&key) {
        return 0;
    }
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
    *count
}

/// Nothing is kept of those that have none any more.
fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> PeerIp {
        text.parse().expect("an address")
    }

    fn admission(total: usize, per_client: usize, per_minute: u32, reserved: u8) -> Admission {
        Admission::new(AdmissionSettings {
            limit_connections: total,
            limit_connections_per_client: per_client,
            limit_new_connections_per_minute: per_minute,
            reserved_connections_percent: reserved,
            limits_exempt_networks: vec!["198.51.100.0/24".parse().expect("a network")],
        })
    }

    #[test]
    fn places_are_counted_by_client_and_given_back() {
        let admission = admission(3, 2, 0, 0);
        let first = admission.admit(peer("192.0.2.1")).expect("first");
        let second = admission.admit(peer("192.0.2.1")).expect("second");
        assert_eq!(admission.admit(peer("192.0.2.1")).err(), Some(TurnedAway::Client));
        let third = admission.admit(peer("2001:db8::1")).expect("another client");
        assert_eq!(admission.admit(peer("2001:db8::ffff")).err(), Some(TurnedAway::Full));
        let exempt = admission.admit(peer("198.51.100.1")).expect("exempt");
        assert_eq!(admission.open(), 4);
        drop((first, exempt));
        assert!(admission.admit(peer("192.0.2.9")).is_ok());
        drop((second, third));
        assert_eq!(admission.open(), 0);
        assert!(admission.inner.counts().by_client.is_empty(), "nothing is remembered");
    }

    #[test]
    fn zero_is_no_limit() {
        let admission = admission(0, 0, 0, 20);
        let places: Vec<_> = (0..500).map(|_| admission.admit(peer("192.0.2.1"))).collect();
        assert!(places.iter().all(Result::is_ok));
    }

    #[test]
    fn new_connections_are_limited_by_the_minute_also_for_those_that_go_at_once() {
        let admission = admission(0, 0, 100, 0);
        for number in 0..100 {
            assert!(admission.admit(peer("2001:db8::1")).is_ok(), "connection {number}");
        }
        // The same /64, however many addresses it has.
        assert_eq!(admission.admit(peer("2001:db8::2")).err(), Some(TurnedAway::TooOften));
        assert!(admission.admit(peer("2001:db8:0:1::1")).is_ok(), "another client");
        assert!(admission.admit(peer("198.51.100.1")).is_ok(), "exempt");
        let later = Instant::now() + MINUTE;
        assert!(admission.admit_at(peer("2001:db8::2"), later).is_ok(), "after the minute");
    }

    #[test]
    fn strangers_of_one_site_share_a_bound_and_its_customers_do_not() {
        let admission = admission(0, 2, 0, 0);
        let network = |number: usize| peer(&format!("2001:db8:77:{number:x}::1"));
        let mut places: Vec<_> =
            (0..8).map(|number| admission.admit(network(number)).expect("a place")).collect();
        assert_eq!(admission.admit(network(8)).err(), Some(TurnedAway::Client), "a ninth /64 of that /48");
        assert!(admission.admit(peer("2001:db8:78::1")).is_ok(), "another site");
        // One that shows a right is a customer: its place among the strangers of the site is free.
        places[0].is_customers();
        let ninth = admission.admit(network(8)).expect("the place of the customer");
        let again = admission.admit(network(0)).expect("customers are not counted");
        assert_eq!(admission.admit(network(9)).err(), Some(TurnedAway::Client));
        drop((ninth, again, places));
        assert!(admission.inner.counts().strangers_by_site.is_empty(), "nothing is remembered");
    }

    #[test]
    fn a_crowd_behind_one_24_does_not_fill_the_places_of_all() {
        let admission = admission(0, 2, 0, 0);
        let of = |number: usize| peer(&format!("203.0.113.{number}"));
        let crowd: Vec<_> = (0..32).map(|number| admission.admit(of(number)).expect("a place")).collect();
        assert_eq!(admission.admit(of(32)).err(), Some(TurnedAway::Client));
        assert!(admission.admit(peer("203.0.114.1")).is_ok(), "another /24");
        drop(crowd);
        assert!(admission.admit(of(32)).is_ok());
    }

    #[test]
    fn strangers_of_one_site_connect_so_often_in_a_minute() {
        let admission = admission(0, 0, 2, 0);
        let network = |number: usize| peer(&format!("2001:db8:77:{number:x}::1"));
        for number in 0..8 {
            assert!(admission.admit(network(number)).is_ok(), "connection {number}");
        }
        assert_eq!(admission.admit(network(8)).err(), Some(TurnedAway::TooOften));
        assert!(admission.admit_at(network(8), Instant::now() + MINUTE).is_ok(), "after the minute");
    }

    #[test]
    fn strangers_leave_the_places_of_customers_free() {
        let admission = admission(10, 0, 0, 20);
        let mut customer = admission.admit(peer("192.0.2.1")).expect("not known yet");
        customer.is_customers();
        let strangers: Vec<_> =
            (1..=8).map(|n| admission.admit(peer(&format!("203.0.113.{n}"))).expect("a place")).collect();
        assert_eq!(admission.admit(peer("203.0.113.9")).err(), Some(TurnedAway::Reserved));
        let again = admission.admit(peer("192.0.2.1")).expect("known");
        assert_eq!(admission.admit(peer("192.0.2.1")).err(), Some(TurnedAway::Full), "ten in all");
        // A stranger that shows a right is none any more: its place is another stranger's.
        drop(again);
        let mut strangers = strangers.into_iter();
        let mut one = strangers.next().expect("a stranger");
        one.is_customers();
        let next = admission.admit(peer("203.0.113.9")).expect("the place of one that is no stranger");
        assert_eq!(admission.admit(peer("203.0.113.10")).err(), Some(TurnedAway::Full), "ten in all");
        drop((customer, next));
        assert!(admission.admit(peer("203.0.113.10")).is_ok());
    }
}
