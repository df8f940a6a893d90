//! Jobs that wait, and who may go next: mail before the copies of lists, errands beside them, each within its limits.
//!
//! Among the jobs of a line it is customers who take turns (`line`): who has the fewest jobs running goes next, then who was
//! served longest ago. So one customer's ten thousand mails delay another one's single mail by one job at most. A destination gets
//! as many jobs as its limit and its manners allow (`outside`).
//!
//! Only what will start soon waits here, where no other replica can take it. A job has a place while its destination takes mail, in
//! proportion to how much; all others go back to Postgres, and are polled for when there is room for them again (`left`). When all
//! places are taken, the newest job of the customer with most of them gives way.

mod line;
mod outside;

use std::{
    collections::{BTreeSet, HashSet},
    time::Duration,
};

use line::Line;
use outside::Outside;
use tokio::time::Instant;

use super::{LeasedRow, pace::Manners, trickle::Trickle, worker::Job};
use crate::{
    accept::QueueClass,
    outbound::{Destination, RECIPIENTS_MAX},
};

/// Jobs that wait here at most.
const PENDING_MAX: usize = 2000;
/// Waiting jobs that keep their message in memory; later ones read it again.
const PENDING_WITH_MESSAGE_MAX: usize = 200;
/// Errands at once. Few: they only prepare work, and interactive mail shares the database with them.
const ERRANDS_MAX: usize = 4;
/// Posts to lists among them: each of these may take an hour, the others are done at once.
const POSTS_MAX: usize = 2;
/// Posts of one customer among these: however many it has, another one's begins.
const POSTS_OF_CUSTOMER_MAX: usize = 1;
/// Others among them: a flood of these keeps no post from its turn.
const OTHER_ERRANDS_MAX: usize = 3;
/// Errands that may wait here. Posts do not: another replica may have a place for them.
const ERRANDS_WAITING_MAX: usize = 40;
/// How often it is looked whether there is room again for what was left in Postgres.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Held rows of so many messages are ended at once.
const ENDINGS_MAX: usize = 4;

/// Where a job is done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// At a host outside, for mail.
    Mail(Destination),
    /// At a host outside, for copies of lists.
    Copies(Destination),
    /// Here: a post is given to the members of a list.
    Post,
    /// Here: any other errand.
    Errand,
    /// Nowhere: an operator held it until its time was over.
    Ending,
}

impl Lane {
    /// Of a row.
    pub(super) fn of(row: &LeasedRow, destination: impl FnOnce() -> Destination) -> Self {
        match row.class {
            _ if row.held => Self::Ending,
            QueueClass::Mail | QueueClass::Bounce => Self::Mail(destination()),
            QueueClass::ListCopy => Self::Copies(destination()),
            QueueClass::ListPost => Self::Post,
            QueueClass::ListSubscribe
            | QueueClass::ListUnsubscribe
            | QueueClass::ListRequest
            | QueueClass::Autoreply => Self::Errand,
        }
    }

    pub(super) fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Mail(destination) | Self::Copies(destination) => Some(destination),
            Self::Post | Self::Errand | Self::Ending => None,
        }
    }

    /// An errand may take long; whoever failed meanwhile is told without it.
    pub(super) fn is_errand(&self) -> bool {
        matches!(self, Self::Post | Self::Errand)
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

/// Copies of lists have half of the connections, so that mail never waits for a list to be done.
fn copies_limit(limit: usize) -> usize {
    if limit == 0 { 0 } else { (limit / 2).max(1) }
}

/// Jobs of one customer at once, of so many in all, mail and copies of its lists together. Three quarters: hosts that are slow for one
/// of them leave room for the mail of the others. What is nobody's, bounces to strangers and to nobody's forged senders, has a quarter.
fn share_of(customer: &str, total: usize) -> usize {
    if customer.is_empty() { (total / 4).max(1) } else { (total * 3 / 4).max(1) }
}

/// Copies of one customer's lists at once, beside its mail that is under way.
fn copies_of(customer: &str, limits: Limits, mail: &Line) -> usize {
    let left = share_of(customer, limits.total).saturating_sub(mail.running_of(customer));
    share_of(customer, copies_limit(limits.total)).min(left)
}

/// A job that has no place here, and how long nobody need look at it.
pub(super) struct GivenBack {
    pub(super) job: Job,
    pub(super) pause: Duration,
}

/// What waits and what runs.
pub(super) struct Lanes {
    limits: Limits,
    trickle: Trickle,
    outside: Outside,
    mail: Line,
    copies: Line,
    posts: Line,
    errands: Line,
    endings: Line,
    /// Where there is more in Postgres: jobs were given back for want of a place. Who comes later stands behind them.
    left: HashSet<Lane>,
    /// Customers whose posts had a turn since all others had theirs.
    had_turn: HashSet<String>,
    looked: Option<Instant>,
}

impl Lanes {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            trickle: Trickle::new(limits.copies_per_second),
            outside: Outside::new(limits),
            mail: Line::default(),
            copies: Line::default(),
            posts: Line::default(),
            errands: Line::default(),
            endings: Line::default(),
            left: HashSet::new(),
            had_turn: HashSet::new(),
            looked: None,
        }
    }

    fn line(&mut self, lane: &Lane) -> &mut Line {
        match lane {
            Lane::Mail(_) => &mut self.mail,
            Lane::Copies(_) => &mut self.copies,
            Lane::Post => &mut self.posts,
            Lane::Errand => &mut self.errands,
            Lane::Ending => &mut self.endings,
        }
    }

    /// Jobs to the outside that could start now. What is pending while there is room waits for a busy domain, and the
    /// poll leaves busy domains out: a slow one cannot keep the others' rows from being looked at.
    pub(super) fn room(&self) -> usize {
        self.limits.total.saturating_sub(self.mail.running() + self.copies.running())
    }

    /// The same for copies of lists. They trickle, so they are asked for by the dozen: none while half of the room has one waiting
    /// that may go. What waits for a slow destination or for its customer's other jobs keeps no other list's copies away.
    pub(super) fn copies_room(&self, now: Instant) -> usize {
        let free = copies_limit(self.limits.total).saturating_sub(self.copies.running());
        let free = free.min(self.room());
        let most = |customer: &str| copies_of(customer, self.limits, &self.mail);
        let ready = self.copies.startable(most, |lane| self.outside.may_start(lane, now), free / 2 + 1);
        if ready * 2 > free { 0 } else { free - ready }
    }

    /// The same for posts.
    pub(super) fn posts_room(&self) -> usize {
        POSTS_MAX.saturating_sub(self.posts.running() + self.posts.count())
    }

    /// The same for other errands.
    pub(super) fn errands_room(&self) -> usize {
        ERRANDS_WAITING_MAX.saturating_sub(self.errands.count())
    }

    fn pending(&self) -> usize {
        [&self.mail, &self.copies, &self.posts, &self.errands].into_iter().map(Line::count).sum()
    }

    /// Whether another waiting job may keep its message.
    pub(super) fn keeps_messages(&self) -> bool {
        self.pending() < PENDING_WITH_MESSAGE_MAX
    }

    /// A job waits from now on. What comes back has no place: this job, or one that gives way to it.
    pub(super) fn enter(&mut self, job: Job, now: Instant) -> Option<GivenBack> {
        if !self.has_place(&job.lane, &job.customer, now) {
            return Some(self.given_back(job, now));
        }
        self.outside.waits(&job.lane);
        self.line(&job.lane.clone()).push(job);
        if self.pending() <= PENDING_MAX {
            return None;
        }
        let lines = [&mut self.mail, &mut self.copies];
        let gives_way = lines.into_iter().max_by_key(|line| line.longest())?.give_way()?;
        self.outside.waits_no_more(&gives_way.lane);
        Some(self.given_back(gives_way, now))
    }

    fn has_place(&self, lane: &Lane, customer: &str, now: Instant) -> bool {
        match lane {
            Lane::Mail(_) | Lane::Copies(_) if self.left.contains(lane) => self.outside.wants_more(lane, now),
            Lane::Mail(_) | Lane::Copies(_) => self.outside.has_place(lane, now),
            Lane::Post => self.posts_room() > 0 && self.posts.of(customer) < POSTS_OF_CUSTOMER_MAX,
            Lane::Errand => self.errands_room() > 0,
            // Its row would not be held any more.
            Lane::Ending => true,
        }
    }

    fn given_back(&mut self, job: Job, now: Instant) -> GivenBack {
        self.left.insert(job.lane.clone());
        let pause = self.outside.pause(&job.lane, now);
        GivenBack { job, pause }
    }

    /// The next job that the limits allow, now counted as running: what is done here, then mail, customers in turn.
    pub(super) fn next(&mut self, now: Instant) -> Option<Job> {
        if let Some(job) = self.next_in_house() {
            return Some(job);
        }
        if self.room() == 0 {
            return None;
        }
        let (total, copies) = (self.limits.total, &self.copies);
        let most = |customer: &str| share_of(customer, total).saturating_sub(copies.running_of(customer));
        let job = self.mail.take(most, |lane| self.outside.may_start(lane, now));
        let job = job.or_else(|| self.next_copy(now))?;
        self.outside.began(&job.lane);
        Some(job)
    }

    fn next_in_house(&mut self) -> Option<Job> {
        let any = |_: &Lane| true;
        if self.endings.running() < ENDINGS_MAX
            && let Some(job) = self.endings.take(|_| ENDINGS_MAX, any)
        {
            return Some(job);
        }
        if self.posts.running() + self.errands.running() >= ERRANDS_MAX {
            return None;
        }
        if self.errands.running() < OTHER_ERRANDS_MAX
            && let Some(job) = self.errands.take(|_| OTHER_ERRANDS_MAX, any)
        {
            return Some(job);
        }
        if self.posts.running() < POSTS_MAX { self.posts.take(|_| POSTS_OF_CUSTOMER_MAX, any) } else { None }
    }

    fn next_copy(&mut self, now: Instant) -> Option<Job> {
        let (limits, mail) = (self.limits, &self.mail);
        if self.copies.running() >= copies_limit(limits.total) || self.trickle.wait_until(now).is_some() {
            return None;
        }
        let most = |customer: &str| copies_of(customer, limits, mail);
        let job = self.copies.take(most, |lane| self.outside.may_start(lane, now))?;
        self.trickle.take(now);
        Some(job)
    }

    /// A job is over. What comes back has lost its place: its destination takes less.
    pub(super) fn ended(
        &mut self,
        lane: &Lane,
        customer: &str,
        manners: Option<Manners>,
        now: Instant,
    ) -> Vec<GivenBack> {
        self.line(lane).ended(customer);
        if *lane == Lane::Post {
            self.had_turn.insert(customer.to_owned());
        }
        let Some(destination) = lane.destination() else { return Vec::new() };
        self.outside.ended(lane, manners, now);
        let mut given_back = Vec::new();
        for lane in [Lane::Mail(destination.clone()), Lane::Copies(destination.clone())] {
            let surplus = self.outside.surplus(&lane, now);
            for job in self.line(&lane).take_back(destination, surplus) {
                self.outside.waits_no_more(&lane);
                given_back.push(self.given_back(job, now));
            }
        }
        given_back
    }

    /// When the next copy of a list may begin, or, for whoever may poll, it is to be looked at what was left in Postgres.
    pub(super) fn next_release(&self, now: Instant, may_poll: bool) -> Option<Instant> {
        let next_copy = self.trickle.wait_until(now).filter(|_| self.copies.count() > 0);
        let next_look =
            (may_poll && !self.left.is_empty()).then(|| self.looked.map_or(now, |at| at + LOOK_EVERY));
        next_copy.into_iter().chain(next_look).min()
    }

    /// A poll brought all that it was to bring of this lane: there may be more.
    pub(super) fn leave(&mut self, lane: Lane) {
        self.left.insert(lane);
    }

    /// Whether there is room again for what was left in Postgres; whoever asks is going to poll.
    pub(super) fn wants_left(&mut self, now: Instant) -> bool {
        if self.left.is_empty() || self.looked.is_some_and(|at| now < at + LOOK_EVERY) {
            return false;
        }
        self.looked = Some(now);
        let (posts, errands) = (self.posts_room() > 0, self.errands_room() > 0);
        let before = self.left.len();
        let outside = &self.outside;
        self.left.retain(|lane| match lane {
            Lane::Mail(_) | Lane::Copies(_) => !outside.wants_more(lane, now),
            Lane::Post => !posts,
            Lane::Errand => !errands,
            Lane::Ending => false,
        });
        self.left.len() < before
    }

    /// How many rows of mail are wanted for a domain that nothing is known of.
    pub(super) fn places_of_new(&self) -> usize {
        self.outside.places_of_new()
    }

    /// How many more rows of mail are wanted for each domain that may not have as many as it likes.
    pub(super) fn wanted_of_domains(&mut self, now: Instant) -> Vec<(String, usize)> {
        self.outside.wanted_of_domains(Lane::Mail, now)
    }

    /// The same of copies of lists.
    pub(super) fn wanted_copies_of_domains(&mut self, now: Instant) -> Vec<(String, usize)> {
        self.outside.wanted_of_domains(Lane::Copies, now)
    }

    /// Customers who have all the connections that they may have. The other limits are no customer's affair: while one has less
    /// than that, what waits of it waits for destinations.
    pub(super) fn busy_customers(&self) -> Vec<String> {
        let running = |customer: &str| self.mail.running_of(customer) + self.copies.running_of(customer);
        self.at_work_and(|customer| running(customer) >= share_of(customer, self.limits.total))
    }

    /// The same of copies of their lists.
    pub(super) fn busy_with_copies(&self) -> Vec<String> {
        self.at_work_and(|customer| {
            self.copies.running_of(customer) >= copies_of(customer, self.limits, &self.mail)
        })
    }

    /// Customers for whom something leaves, and of whom this is true.
    fn at_work_and(&self, is_true: impl Fn(&str) -> bool) -> Vec<String> {
        let at_work = self.mail.customers_at_work().chain(self.copies.customers_at_work());
        let found: BTreeSet<&str> = at_work.filter(|customer| is_true(customer)).collect();
        found.into_iter().map(str::to_owned).collect()
    }

    /// Customers of whom no post is wanted: they have as many here as they may have, or had their turn.
    pub(super) fn posting_customers(&self) -> Vec<String> {
        self.posts.customers().chain(self.had_turn.iter().map(String::as_str)).map(str::to_owned).collect()
    }

    /// A poll for posts found none of anybody else: whoever had a turn has one again. True when there is somebody.
    pub(super) fn begin_turns(&mut self) -> bool {
        let had_turn = !self.had_turn.is_empty();
        self.had_turn.clear();
        had_turn
    }

    /// Domains whose hosts failed again and again, and have taken nothing since.
    pub(super) fn failing_domains(&self) -> Vec<String> {
        self.outside.failing_domains()
    }

    /// Takes everything that waits, for the end.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        let lines = [&mut self.mail, &mut self.copies, &mut self.posts, &mut self.errands, &mut self.endings];
        lines.into_iter().flat_map(|line| line.drain().collect::<Vec<_>>()).collect()
    }
}

/// Whether a row travels with a job: one message, one place, one kind of copy. A copy of a list has a sender of its own and
/// an errand is a work of its own: both go alone.
pub(super) fn fits(job: &Job, row: &LeasedRow, lane: &Lane) -> bool {
    matches!(lane, Lane::Mail(_) | Lane::Ending)
        && job.message_id == row.message_id
        && job.lane == *lane
        && job.via == row.via
        && job.customer == row.customer.as_deref().unwrap_or_default()
        && job.rows.len() < RECIPIENTS_MAX
}

#[cfg(test)]
mod tests;
