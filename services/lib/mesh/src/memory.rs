//! Memory that many messages hold together while they come in, and who may hold how much of it.
//!
//! Some of it is kept for those with a right to send, and no client may have more than its part: so strangers, however many, fill
//! their own share, and one of them not even that (DECISIONS.md, 95). Where all of it is held, whoever brings content slowly gives
//! way to whoever brings it fast (DECISIONS.md, 111). Counted in octets, in this process alone.

use std::{
    cmp::Ordering::Equal,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use postern_mail::ClientKey;
use thiserror::Error;
use tokio::sync::Notify;

/// Strangers together may hold all but one part in so many.
const KEPT_PART: usize = 4;
/// One client with a right to send may hold one part in so many.
const CUSTOMER_PART: usize = 4;
/// One stranger may hold one part in so many.
const STRANGER_PART: usize = 16;
/// Nobody gives way before that, however slow.
const GRACE: Duration = Duration::from_secs(10);
/// Only to who is so many times as fast: among equals whoever came first stays.
const FASTER_TIMES: f64 = 2.0;

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
    numbers: AtomicU64,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    strangers: usize,
    /// Only clients that hold something.
    by_client: HashMap<ClientKey, usize>,
    /// Shares that hold something and give way, by their numbers.
    giving_way: HashMap<u64, Yielding>,
}

/// A share that gives way.
#[derive(Debug)]
struct Yielding {
    holder: Holder,
    bytes: usize,
    course: Arc<Course>,
}

/// How the content of a share comes in, and whether it is still wanted.
#[derive(Debug)]
struct Course {
    since: Instant,
    came_bytes: AtomicU64,
    is_lost: AtomicBool,
    told: Notify,
}

/// What is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Short {
    /// This client has its part.
    Client,
    /// Strangers have theirs.
    Strangers,
    /// There is no more.
    All,
}

/// What one message holds; given back when dropped.
#[derive(Debug)]
pub struct MemoryShare {
    inner: Arc<Inner>,
    holder: Holder,
    bytes: usize,
    number: u64,
    course: Arc<Course>,
    gives_way: bool,
}

impl MemoryBudget {
    /// So many octets for all. `least_bytes`: what one client may hold however small its part is.
    #[must_use]
    pub fn new(all_bytes: usize, least_bytes: usize) -> Self {
        let (held, numbers) = (Mutex::default(), AtomicU64::new(0));
        Self { inner: Arc::new(Inner { all_bytes, least_bytes, held, numbers }) }
    }

    /// A share that holds nothing yet.
    #[must_use]
    pub fn share(&self, holder: Holder) -> MemoryShare {
        MemoryShare::begin(&self.inner, holder, Instant::now())
    }

    /// What all hold now, octets.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.inner.held().all
    }
}

impl MemoryShare {
    fn begin(inner: &Arc<Inner>, holder: Holder, since: Instant) -> Self {
        let course = Course {
            since,
            came_bytes: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            told: Notify::new(),
        };
        Self {
            inner: Arc::clone(inner),
            holder,
            bytes: 0,
            number: inner.numbers.fetch_add(1, Ordering::Relaxed),
            course: Arc::new(course),
            gives_way: false,
        }
    }

    /// The same, of content that comes at its sender's pace ([`Self::came`]): when memory is short it is taken from the slowest, who
    /// must look at [`Self::lost`] while waiting for more.
    #[must_use]
    pub fn giving_way(mut self) -> Self {
        self.gives_way = true;
        self
    }

    /// So many octets of its content came in.
    pub fn came(&self, bytes: usize) {
        self.course.came_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Ends when what it holds was given to others: then all of it is to be freed, and no more can be held.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let course = Arc::clone(&self.course);
        async move {
            while !course.is_lost.load(Ordering::Acquire) {
                course.told.notified().await;
            }
        }
    }

    /// Holds so many octets from now on, more or fewer than before.
    ///
    /// # Errors
    /// It would be more than there is for this holder, or what it held was given to others; what was held before stays. To hold
    /// nothing never fails.
    pub fn hold(&mut self, bytes: usize) -> Result<(), NoMemory> {
        self.hold_at(bytes, Instant::now())
    }

    fn hold_at(&mut self, bytes: usize, now: Instant) -> Result<(), NoMemory> {
        if bytes == self.bytes && bytes == 0 {
            return Ok(());
        }
        let mut held = self.inner.held();
        if self.course.is_lost.load(Ordering::Acquire) {
            self.bytes = 0;
            return if bytes == 0 { Ok(()) } else { Err(NoMemory) };
        }
        match bytes.checked_sub(self.bytes) {
            Some(0) => return Ok(()),
            Some(more) => {
                self.inner.make_room(&mut held, self.holder, more, self.course.pace(now), now)?;
                held.take(self.holder, more);
            }
            None => held.give_back(self.holder, self.bytes - bytes),
        }
        if self.gives_way {
            held.note(self.number, self.holder, bytes, &self.course);
        }
        drop(held);
        self.bytes = bytes;
        Ok(())
    }

    /// What it holds, octets.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Parts with all that it holds, for content that is on its way and waits for nobody outside: it gives way no more.
    #[must_use]
    pub fn part(&mut self) -> Self {
        let mut part = Self::begin(&self.inner, self.holder, self.course.since);
        let mut held = self.inner.held();
        held.giving_way.remove(&self.number);
        let bytes = std::mem::take(&mut self.bytes);
        part.bytes = if self.course.is_lost.load(Ordering::Acquire) { 0 } else { bytes };
        drop(held);
        part
    }
}

impl Drop for MemoryShare {
    fn drop(&mut self) {
        // What is lost holds nothing any more.
        let _ = self.hold(0);
    }
}

impl Course {
    /// Octets a second.
    fn pace(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.since).max(Duration::from_secs(1));
        self.came_bytes.load(Ordering::Relaxed) as f64 / age.as_secs_f64()
    }

    fn lose(&self) {
        self.is_lost.store(true, Ordering::Release);
        self.told.notify_one();
    }
}

impl Inner {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes from those who are slower than `pace` what is missing for so many octets. They free it within moments; it is counted as
    /// free at once.
    fn make_room(
        &self,
        held: &mut Held,
        holder: Holder,
        bytes: usize,
        pace: f64,
        now: Instant,
    ) -> Result<(), NoMemory> {
        // Nobody loses a message for nothing.
        if held.slow_bytes(holder.stranger, pace / FASTER_TIMES, now) < self.missing(held, holder, bytes) {
            return Err(NoMemory);
        }
        while let Some(short) = self.what_is_short(held, holder, bytes) {
            let of_strangers = holder.stranger || short == Short::Strangers;
            let slowest = match short {
                Short::Client => None,
                Short::Strangers | Short::All => held.slowest(of_strangers, pace / FASTER_TIMES, now),
            };
            let Some(slowest) = slowest else { return Err(NoMemory) };
            if let Some(given_up) = held.giving_way.remove(&slowest) {
                metrics::counter!("postern_content_memory_taken_from_slow_total").increment(1);
                held.give_back(given_up.holder, given_up.bytes);
                given_up.course.lose();
            }
        }
        Ok(())
    }

    /// Octets that others would have to give up.
    fn missing(&self, held: &Held, holder: Holder, bytes: usize) -> usize {
        let over = |held: usize, max: usize| held.saturating_add(bytes).saturating_sub(max);
        let of_strangers = over(held.strangers, self.all_bytes - self.all_bytes / KEPT_PART);
        over(held.all, self.all_bytes).max(if holder.stranger { of_strangers } else { 0 })
    }

    fn what_is_short(&self, held: &Held, holder: Holder, bytes: usize) -> Option<Short> {
        let part = if holder.stranger { STRANGER_PART } else { CUSTOMER_PART };
        let client_bytes = (self.all_bytes / part).max(self.least_bytes);
        let fits = |held: usize, max: usize| held.saturating_add(bytes) <= max;
        let of_client = holder.client.map(|client| held.by_client.get(&client).copied().unwrap_or(0));
        if of_client.is_some_and(|held| !fits(held, client_bytes)) {
            return Some(Short::Client);
        }
        if holder.stranger && !fits(held.strangers, self.all_bytes - self.all_bytes / KEPT_PART) {
            return Some(Short::Strangers);
        }
        (!fits(held.all, self.all_bytes)).then_some(Short::All)
    }
}

impl Held {
    fn take(&mut self, holder: Holder, bytes: usize) {
        gauge().increment(bytes as f64);
        self.all += bytes;
        if holder.stranger {
            self.strangers += bytes;
        }
        if let Some(client) = holder.client {
            *self.by_client.entry(client).or_insert(0) += bytes;
        }
    }

    fn give_back(&mut self, holder: Holder, bytes: usize) {
        gauge().decrement(bytes as f64);
        self.all -= bytes;
        if holder.stranger {
            self.strangers -= bytes;
        }
        let Some(client) = holder.client else { return };
        if let Some(of_client) = self.by_client.get_mut(&client) {
            *of_client -= bytes;
            if *of_client == 0 {
                self.by_client.remove(&client);
            }
        }
    }

    fn note(&mut self, number: u64, holder: Holder, bytes: usize, course: &Arc<Course>) {
        if bytes == 0 {
            self.giving_way.remove(&number);
        } else if let Some(known) = self.giving_way.get_mut(&number) {
            known.bytes = bytes;
        } else {
            self.giving_way.insert(number, Yielding { holder, bytes, course: Arc::clone(course) });
        }
    }

    /// The slowest that had its time and is no faster than `pace`, a stranger if there is one.
    fn slowest(&self, of_strangers: bool, pace: f64, now: Instant) -> Option<u64> {
        let slow = self.slow(of_strangers, pace, now);
        let paces = slow.map(|(number, one)| (!one.holder.stranger, one.course.pace(now), number));
        let first = paces.min_by(|a, b| a.0.cmp(&b.0).then(a.1.partial_cmp(&b.1).unwrap_or(Equal)));
        first.map(|(_, _, number)| number)
    }

    /// What those hold together, octets.
    fn slow_bytes(&self, of_strangers: bool, pace: f64, now: Instant) -> usize {
        self.slow(of_strangers, pace, now).map(|(_, one)| one.bytes).sum()
    }

    /// Who had its time and came no faster than `pace`.
    fn slow(&self, of_strangers: bool, pace: f64, now: Instant) -> impl Iterator<Item = (u64, &Yielding)> {
        let asked = self.giving_way.iter().filter(move |(_, one)| one.holder.stranger || !of_strangers);
        let had_time = asked.filter(move |(_, one)| now.saturating_duration_since(one.course.since) >= GRACE);
        had_time.filter(move |(_, one)| one.course.pace(now) <= pace).map(|(number, one)| (*number, one))
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

    #[tokio::test]
    async fn the_slowest_give_way_to_the_fast_and_nobody_before_its_time() {
        let budget = MemoryBudget::new(1600, 0);
        let mut all: Vec<_> = (1..=12u8).map(|number| budget.share(stranger(number)).giving_way()).collect();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        for (share, came) in all.iter_mut().zip(1..) {
            share.came(came * 1000);
            assert_eq!(share.hold_at(100, begin), Ok(()));
        }
        // One whose pace nobody knows is never made to.
        let mut quiet = budget.share(Holder::default());
        assert_eq!(quiet.hold_at(400, begin), Ok(()));
        let mut fast = budget.share(stranger(13)).giving_way();
        fast.came(50_000);
        assert_eq!(fast.hold_at(10, at(9)), Err(NoMemory), "all have a while");
        let mut slow = budget.share(stranger(14)).giving_way();
        slow.came(1000);
        assert_eq!(slow.hold_at(10, at(10)), Err(NoMemory), "nobody is half as fast as this one");
        assert_eq!(fast.hold_at(100, at(10)), Ok(()));
        all[0].lost().await;
        assert_eq!(
            (all[0].hold(101), all[0].hold(100), all[0].hold(0)),
            (Err(NoMemory), Err(NoMemory), Ok(()))
        );
        assert_eq!((budget.held_bytes(), all[1].hold_at(99, at(11))), (1600, Ok(())), "no other one lost it");
        // Those with a right make strangers give way, never the other way round.
        let customer = Holder { stranger: false, client: client("192.0.2.1") };
        let mut customer = budget.share(customer).giving_way();
        customer.came(30_000);
        assert_eq!(customer.hold_at(150, at(12)), Ok(()));
        all[1].lost().await;
        all[2].lost().await;
        // What is on its way already gives way no more.
        let parts: Vec<_> = all.iter_mut().skip(3).map(MemoryShare::part).collect();
        let mut late = budget.share(stranger(15)).giving_way();
        late.came(1_000_000);
        assert_eq!(late.hold_at(100, at(60)), Ok(()), "of the one that was fast");
        assert_eq!(late.hold_at(400, at(60)), Err(NoMemory), "nor is there a part of others for one client");
        drop((all, parts, quiet, fast, slow, customer, late));
        assert_eq!(budget.held_bytes(), 0);
        let held = budget.inner.held();
        assert!(held.by_client.is_empty() && held.giving_way.is_empty(), "nobody is remembered");
    }

    #[tokio::test]
    async fn nobody_gives_way_where_it_would_not_do() {
        let budget = MemoryBudget::new(1600, 0);
        let begin = Instant::now();
        let hold = |number: u8, bytes: usize, came: usize| {
            let mut share = budget.share(stranger(number)).giving_way();
            share.came(came);
            assert_eq!(share.hold_at(bytes, begin), Ok(()));
            share
        };
        let fast: Vec<_> = (1..=11).map(|number| hold(number, 100, 10_000_000)).collect();
        let (_little, mut slow) = (hold(12, 50, 10_000_000), hold(13, 50, 100));
        let mut asks = budget.share(stranger(14)).giving_way();
        asks.came(1_000_000);
        let later = begin + Duration::from_secs(20);
        assert_eq!(asks.hold_at(100, later), Err(NoMemory));
        assert_eq!(slow.hold_at(49, later), Ok(()), "it would have been lost for nothing");
        assert_eq!(asks.hold_at(40, later), Ok(()));
        slow.lost().await;
        drop(fast);
    }
}
