//! Jobs that wait, and who may go next: mail before the copies of lists, errands beside them, each within its limits.
//!
//! Among the jobs of a lane it is customers who take turns: who has the fewest jobs running goes next, then who was served
//! longest ago. So one customer's ten thousand mails delay another one's single mail by one job at most. A destination gets as
//! many jobs as its limit and its manners allow (`pace`).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use tokio::time::Instant;

use super::{
    LeasedRow,
    errand::ERRANDS_MAX,
    pace::{Manners, Pace},
    trickle::Trickle,
    worker::Job,
};
use crate::{
    accept::QueueClass,
    outbound::{Destination, RECIPIENTS_MAX},
};

/// Jobs that wait for a free connection. Further offers are left to the poll.
pub(super) const PENDING_MAX: usize = 2000;
/// Of these one customer's: the others always find room.
const PENDING_OF_CUSTOMER_MAX: usize = PENDING_MAX / 4;
/// Waiting jobs that keep their message in memory; later ones read it again.
const PENDING_WITH_MESSAGE_MAX: usize = 200;

/// Where a job is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// At a host outside, for mail.
    Mail(Destination),
    /// At a host outside, for copies of lists.
    Copies(Destination),
    /// Here.
    Errand,
}

impl Lane {
    /// Of a row.
    pub(super) fn of(class: QueueClass, destination: impl FnOnce() -> Destination) -> Self {
        match class {
            QueueClass::Mail | QueueClass::Bounce => Self::Mail(destination()),
            QueueClass::ListCopy => Self::Copies(destination()),
            _ => Self::Errand,
        }
    }

    fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Mail(destination) | Self::Copies(destination) => Some(destination),
            Self::Errand => None,
        }
    }
}

/// Jobs of one class, by the customer on whose behalf they leave; what is nobody's (bounces) stands under the empty name.
#[derive(Default)]
struct Turns {
    waiting: BTreeMap<String, VecDeque<Job>>,
    count: usize,
    running: HashMap<String, usize>,
    /// When a customer that has jobs was served last, in turns.
    served: HashMap<String, u64>,
    turn: u64,
}

impl Turns {
    fn push(&mut self, job: Job) {
        self.waiting.entry(job.customer.clone()).or_default().push_back(job);
        self.count += 1;
    }

    fn waiting_of(&self, customer: &str) -> usize {
        self.waiting.get(customer).map_or(0, VecDeque::len)
    }

    /// The next job that may start: of the customer whose turn it is, its oldest.
    fn take(&mut self, running_max: usize, may_start: impl Fn(&Lane) -> bool) -> Option<Job> {
        let running = |customer: &str| self.running.get(customer).copied().unwrap_or_default();
        let mut order: Vec<(usize, u64, &String)> = self
            .waiting
            .keys()
            .map(|customer| {
                (running(customer), self.served.get(customer).copied().unwrap_or_default(), customer)
            })
            .filter(|(running, ..)| *running < running_max)
            .collect();
        order.sort_unstable();
        // A destination that may not start now is asked once, not for each of its jobs.
        let mut refused: HashSet<&Lane> = HashSet::new();
        let found = order.into_iter().find_map(|(_, _, customer)| {
            let index = self.waiting.get(customer)?.iter().position(|job| {
                if refused.contains(&job.lane) {
                    return false;
                }
                let may = may_start(&job.lane);
                if !may {
                    refused.insert(&job.lane);
                }
                may
            })?;
            Some((customer.clone(), index))
        });
        let (customer, index) = found?;
        let jobs = self.waiting.get_mut(&customer)?;
        let job = jobs.remove(index)?;
        if jobs.is_empty() {
            self.waiting.remove(&customer);
        }
        self.count -= 1;
        self.turn += 1;
        self.served.insert(customer.clone(), self.turn);
        *self.running.entry(customer).or_default() += 1;
        Some(job)
    }

    fn ended(&mut self, customer: &str) {
        if let Some(running) = self.running.get_mut(customer) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(customer);
                if !self.waiting.contains_key(customer) {
                    self.served.remove(customer);
                }
            }
        }
    }

    fn running(&self) -> usize {
        self.running.values().sum()
    }

    fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.waiting.values().flatten()
    }

    fn drain(&mut self) -> impl Iterator<Item = Job> {
        self.count = 0;
        std::mem::take(&mut self.waiting).into_values().flatten()
    }
}

/// What there may be of jobs to outside hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// At once.
    pub(crate) total: usize,
    /// At once to one domain.
    pub(crate) per_domain: usize,
    /// Copies of lists that begin in a second; 0: no limit.
    pub(crate) copies_per_second: u32,
}

/// What waits and what runs.
pub(super) struct Lanes {
    limits: Limits,
    trickle: Trickle,
    mail: Turns,
    copies: Turns,
    errands: VecDeque<Job>,
    running: HashMap<Destination, usize>,
    running_errands: usize,
    /// Of destinations that are not at full speed.
    paces: HashMap<Destination, Pace>,
}

impl Lanes {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            trickle: Trickle::new(limits.copies_per_second),
            mail: Turns::default(),
            copies: Turns::default(),
            errands: VecDeque::new(),
            running: HashMap::new(),
            running_errands: 0,
            paces: HashMap::new(),
        }
    }

    fn limit(&self, destination: &Destination) -> usize {
        // All outside mail goes to the smarthost: its own limit is the total.
        if *destination == Destination::Smarthost { self.limits.total } else { self.limits.per_domain }
    }

    fn allowed(&self, destination: &Destination, now: Instant) -> usize {
        let limit = self.limit(destination);
        self.paces.get(destination).map_or(limit, |pace| pace.allowed(now).min(limit))
    }

    /// Copies of lists have half of the connections, so that mail never waits for a list to be done.
    fn copies_limit(&self, limit: usize) -> usize {
        if limit == 0 { 0 } else { (limit / 2).max(1) }
    }

    /// One customer has three quarters of the connections at most: hosts that are slow for one of them leave room for the
    /// mail of the others.
    fn customer_limit(&self) -> usize {
        (self.limits.total * 3 / 4).max(1)
    }

    /// Jobs to the outside that could start now. What is pending while there is room waits for a busy domain, and the
    /// poll leaves busy domains out: a slow one cannot keep the others' rows from being looked at.
    pub(super) fn room(&self) -> usize {
        self.limits.total.saturating_sub(self.mail.running() + self.copies.running())
    }

    /// The same for copies of lists. They trickle, so they are asked for by the dozen: none while half of the room has one waiting.
    pub(super) fn copies_room(&self) -> usize {
        let free = self.copies_limit(self.limits.total).saturating_sub(self.copies.running());
        let free = free.min(self.room());
        if self.copies.count * 2 > free { 0 } else { free - self.copies.count }
    }

    /// The same for errands.
    pub(super) fn errands_room(&self) -> usize {
        ERRANDS_MAX.saturating_sub(self.running_errands + self.errands.len())
    }

    fn pending(&self) -> usize {
        self.mail.count + self.copies.count + self.errands.len()
    }

    /// Whether nothing more of this customer can wait here.
    pub(super) fn is_full_for(&self, customer: &str) -> bool {
        let of_customer = self.mail.waiting_of(customer) + self.copies.waiting_of(customer);
        self.pending() >= PENDING_MAX || of_customer >= PENDING_OF_CUSTOMER_MAX
    }

    /// Whether another waiting job may keep its message.
    pub(super) fn keeps_messages(&self) -> bool {
        self.pending() < PENDING_WITH_MESSAGE_MAX
    }

    pub(super) fn push(&mut self, job: Job) {
        match job.lane {
            Lane::Mail(_) => self.mail.push(job),
            Lane::Copies(_) => self.copies.push(job),
            Lane::Errand => self.errands.push_back(job),
        }
    }

    /// The next job that the limits allow, now counted as running: mail first, customers in turn.
    pub(super) fn next(&mut self, now: Instant) -> Option<Job> {
        if self.running_errands < ERRANDS_MAX
            && let Some(job) = self.errands.pop_front()
        {
            self.running_errands += 1;
            return Some(job);
        }
        if self.room() == 0 {
            return None;
        }
        let mut mail = std::mem::take(&mut self.mail);
        let job = mail.take(self.customer_limit(), |lane| self.may_start(lane, now));
        self.mail = mail;
        let job = job.or_else(|| {
            let room = self.copies_limit(self.limits.total).saturating_sub(self.copies.running());
            if room == 0 || self.trickle.wait_until(now).is_some() {
                return None;
            }
            let mut copies = std::mem::take(&mut self.copies);
            let job = copies.take(usize::MAX, |lane| self.may_start(lane, now));
            self.copies = copies;
            job.inspect(|_| self.trickle.take(now))
        })?;
        if let Some(destination) = job.lane.destination() {
            *self.running.entry(destination.clone()).or_default() += 1;
        }
        Some(job)
    }

    fn may_start(&self, lane: &Lane, now: Instant) -> bool {
        let Some(destination) = lane.destination() else { return true };
        let running = self.running.get(destination).copied().unwrap_or_default();
        let allowed = self.allowed(destination, now);
        match lane {
            Lane::Copies(_) => running < self.copies_limit(allowed),
            Lane::Mail(_) | Lane::Errand => running < allowed,
        }
    }

    /// A job is over.
    pub(super) fn ended(&mut self, lane: &Lane, customer: &str, manners: Option<Manners>, now: Instant) {
        match lane {
            Lane::Mail(_) => self.mail.ended(customer),
            Lane::Copies(_) => self.copies.ended(customer),
            Lane::Errand => self.running_errands = self.running_errands.saturating_sub(1),
        }
        let Some(destination) = lane.destination() else { return };
        if let Some(running) = self.running.get_mut(destination) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(destination);
            }
        }
        if let Some(manners) = manners {
            self.note_manners(destination, manners, now);
        }
    }

    fn note_manners(&mut self, destination: &Destination, manners: Manners, now: Instant) {
        // The smarthost is the operator's, and the only way out.
        if *destination == Destination::Smarthost {
            return;
        }
        let limit = self.limit(destination);
        let pace = self.paces.entry(destination.clone()).or_insert_with(|| Pace::full(limit));
        pace.note(manners, limit, now);
        if pace.is_full(limit) {
            self.paces.remove(destination);
        }
        metrics::gauge!("postern_queue_slowed_destinations").set(self.paces.len() as f64);
    }

    /// When the first destination that is on hold may be tried again, or the next copy of a list may begin.
    pub(super) fn next_release(&self, now: Instant) -> Option<Instant> {
        if self.mail.count + self.copies.count == 0 {
            return None;
        }
        let next_copy = self.trickle.wait_until(now).filter(|_| self.copies.count > 0);
        self.paces.values().filter_map(|pace| pace.hold_until(now)).chain(next_copy).min()
    }

    /// Domains with as many jobs as they may have: their rows are left to whoever has room.
    pub(super) fn busy_domains(&self, now: Instant) -> Vec<String> {
        let mut load: HashMap<&Destination, usize> = HashMap::new();
        for (destination, running) in &self.running {
            *load.entry(destination).or_default() += running;
        }
        for destination in self.mail.jobs().chain(self.copies.jobs()).filter_map(|job| job.lane.destination())
        {
            *load.entry(destination).or_default() += 1;
        }
        for destination in self.paces.keys() {
            load.entry(destination).or_default();
        }
        let is_busy = |(destination, load): (&Destination, usize)| match destination {
            Destination::Domain(domain) if load >= self.allowed(destination, now) => Some(domain.to_string()),
            _ => None,
        };
        load.into_iter().filter_map(is_busy).collect()
    }

    /// Customers of whom nothing more can wait here, or who have all the connections that they may have.
    pub(super) fn busy_customers(&self) -> Vec<String> {
        let names = self.mail.running.keys().chain(self.mail.waiting.keys()).collect::<HashSet<_>>();
        let is_busy = |customer: &&String| {
            let running = self.mail.running.get(*customer).copied().unwrap_or_default();
            self.is_full_for(customer) || running + self.mail.waiting_of(customer) >= self.customer_limit()
        };
        names.into_iter().filter(is_busy).cloned().collect()
    }

    /// Takes everything that waits, for the end.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.mail.drain().chain(self.copies.drain()).chain(self.errands.drain(..)).collect()
    }
}

/// Whether a row travels with a job: one message, one place, one kind of copy. A copy of a list has a sender of its own and
/// an errand is a work of its own: both go alone.
pub(super) fn fits(job: &Job, row: &LeasedRow, lane: &Lane) -> bool {
    matches!(lane, Lane::Mail(_))
        && job.message_id == row.message_id
        && job.lane == *lane
        && job.via == row.via
        && job.held == row.held
        && job.rows.len() < RECIPIENTS_MAX
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use postern_mail::MessageId;

    use super::*;

    fn job(customer: &str, domain: &str) -> Job {
        Job {
            lane: Lane::Mail(Destination::Domain(domain.parse().expect(domain))),
            customer: customer.to_owned(),
            message_id: MessageId::new(),
            message: None,
            via: None,
            held: false,
            rows: Vec::new(),
        }
    }

    fn limits(total: usize, per_domain: usize) -> Limits {
        Limits { total, per_domain, copies_per_second: 0 }
    }

    fn started(lanes: &mut Lanes, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| lanes.next(now)).map(|job| job.customer).collect()
    }

    #[test]
    fn customers_take_turns_whoever_came_first() {
        let now = Instant::now();
        let mut lanes = Lanes::new(limits(4, 4));
        (0..400).for_each(|n| lanes.push(job("mass", &format!("d{n}.test"))));
        lanes.push(job("small", "one.test"));
        // Three quarters are the most that one customer gets; the other one's mail goes at once.
        assert_eq!(started(&mut lanes, now), ["mass", "small", "mass", "mass"]);
        let lane = job("", "one.test").lane;
        lanes.ended(&lane, "small", Some(Manners::Takes), now);
        assert_eq!(started(&mut lanes, now), Vec::<String>::new());
        lanes.push(job("other", "one.test"));
        lanes.push(job("small", "two.test"));
        assert_eq!(started(&mut lanes, now), ["other"], "who was never served goes first");
    }

    #[test]
    fn one_customer_cannot_fill_the_waiting_room() {
        let mut lanes = Lanes::new(limits(1, 1));
        (0..PENDING_OF_CUSTOMER_MAX).for_each(|_| lanes.push(job("mass", "far.test")));
        assert!(lanes.is_full_for("mass") && !lanes.is_full_for("small"));
        assert_eq!(lanes.busy_customers(), ["mass"]);
    }

    #[test]
    fn a_destination_that_says_later_is_given_less() {
        let now = Instant::now();
        let mut lanes = Lanes::new(limits(100, 4));
        (0..20).for_each(|_| lanes.push(job("one", "slow.test")));
        lanes.push(job("one", "fast.test"));
        assert_eq!(started(&mut lanes, now).len(), 5);
        let lane = job("", "slow.test").lane;
        (0..4).for_each(|_| lanes.ended(&lane, "one", Some(Manners::Later), now));
        assert!(started(&mut lanes, now).is_empty(), "it is on hold");
        assert_eq!(lanes.busy_domains(now), ["slow.test"]);
        let later = lanes.next_release(now).expect("a time");
        assert_eq!(started(&mut lanes, later).len(), 1);
        lanes.ended(&lane, "one", Some(Manners::Takes), later);
        assert_eq!(started(&mut lanes, later).len(), 2, "it recovers");
    }

    fn copy(number: usize) -> Job {
        let mail = job("lister", &format!("d{number}.test"));
        let Lane::Mail(destination) = mail.lane else { unreachable!("it is mail") };
        Job { lane: Lane::Copies(destination), ..mail }
    }

    #[test]
    fn copies_of_lists_are_asked_for_by_the_dozen() {
        let now = Instant::now();
        let mut lanes = Lanes::new(Limits { copies_per_second: 50, ..limits(100, 100) });
        assert_eq!(lanes.copies_room(), 50);
        (0..25).for_each(|n| lanes.push(copy(n)));
        assert_eq!(lanes.copies_room(), 25, "half of the room");
        lanes.push(copy(25));
        assert_eq!(lanes.copies_room(), 0);
        assert_eq!(started(&mut lanes, now), ["lister"]);
        assert_eq!(lanes.copies_room(), 0, "25 of 49 wait");
        assert_eq!(started(&mut lanes, now + Duration::from_millis(20)), ["lister"]);
        assert_eq!(lanes.copies_room(), 24);
    }

    #[test]
    fn copies_of_lists_trickle_and_mail_goes_by() {
        let now = Instant::now();
        let mut lanes = Lanes::new(Limits { copies_per_second: 50, ..limits(100, 100) });
        (0..40).for_each(|n| lanes.push(copy(n)));
        assert_eq!(started(&mut lanes, now), ["lister"]);
        lanes.push(job("other", "one.test"));
        assert_eq!(started(&mut lanes, now), ["other"]);
        let next = lanes.next_release(now).expect("the next copy");
        assert_eq!(next - now, Duration::from_millis(20));
        assert_eq!(started(&mut lanes, next), ["lister"]);
    }
}
