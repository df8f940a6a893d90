//! Jobs that wait, and who may go next: mail before the copies of lists, errands beside them, each within its limits.

use std::collections::{HashMap, VecDeque};

use super::{LeasedRow, errand::ERRANDS_MAX, worker::Job};
use crate::{
    accept::QueueClass,
    outbound::{Destination, RECIPIENTS_MAX},
};

/// Jobs that wait for a free connection. Further offers are left to the poll.
pub(super) const PENDING_MAX: usize = 2000;
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

/// What waits and what runs.
pub(super) struct Lanes {
    /// Jobs to outside hosts at once: in all, and to one domain.
    limits: (usize, usize),
    mail: VecDeque<Job>,
    copies: VecDeque<Job>,
    errands: VecDeque<Job>,
    running: HashMap<Destination, usize>,
    running_mail: usize,
    running_copies: usize,
    running_errands: usize,
}

impl Lanes {
    pub(super) fn new(limits: (usize, usize)) -> Self {
        Self {
            limits,
            mail: VecDeque::new(),
            copies: VecDeque::new(),
            errands: VecDeque::new(),
            running: HashMap::new(),
            running_mail: 0,
            running_copies: 0,
            running_errands: 0,
        }
    }

    fn limit(&self, destination: &Destination) -> usize {
        let (total, per_domain) = self.limits;
        // All outside mail goes to the smarthost: its own limit is the total.
        if *destination == Destination::Smarthost { total } else { per_domain }
    }

    /// Copies of lists have half of the connections, so that mail never waits for a list to be done.
    fn copies_limit(&self, limit: usize) -> usize {
        (limit / 2).max(1)
    }

    /// Jobs to the outside that could start now. What is pending while there is room waits for a busy domain, and the
    /// poll leaves busy domains out: a slow one cannot keep the others' rows from being looked at.
    pub(super) fn room(&self) -> usize {
        self.limits.0.saturating_sub(self.running_mail + self.running_copies)
    }

    /// The same for copies of lists.
    pub(super) fn copies_room(&self) -> usize {
        let free = self.copies_limit(self.limits.0).saturating_sub(self.running_copies);
        free.min(self.room()).saturating_sub(self.copies.len())
    }

    /// The same for errands.
    pub(super) fn errands_room(&self) -> usize {
        ERRANDS_MAX.saturating_sub(self.running_errands + self.errands.len())
    }

    pub(super) fn is_full(&self) -> bool {
        self.mail.len() + self.copies.len() + self.errands.len() >= PENDING_MAX
    }

    /// Whether another waiting job may keep its message.
    pub(super) fn keeps_messages(&self) -> bool {
        self.mail.len() + self.copies.len() + self.errands.len() < PENDING_WITH_MESSAGE_MAX
    }

    pub(super) fn push(&mut self, job: Job) {
        match job.lane {
            Lane::Mail(_) => self.mail.push_back(job),
            Lane::Copies(_) => self.copies.push_back(job),
            Lane::Errand => self.errands.push_back(job),
        }
    }

    /// The next job that the limits allow, now counted as running: mail first, oldest first.
    pub(super) fn next(&mut self) -> Option<Job> {
        if self.running_errands < ERRANDS_MAX
            && let Some(job) = self.errands.pop_front()
        {
            return Some(self.begun(job));
        }
        if self.room() == 0 {
            return None;
        }
        if let Some(index) = self.mail.iter().position(|job| self.may_start(&job.lane)) {
            let job = self.mail.remove(index)?;
            return Some(self.begun(job));
        }
        if self.running_copies >= self.copies_limit(self.limits.0) {
            return None;
        }
        let index = self.copies.iter().position(|job| self.may_start(&job.lane))?;
        let job = self.copies.remove(index)?;
        Some(self.begun(job))
    }

    fn may_start(&self, lane: &Lane) -> bool {
        let Some(destination) = lane.destination() else { return true };
        let running = self.running.get(destination).copied().unwrap_or_default();
        let limit = self.limit(destination);
        match lane {
            Lane::Copies(_) => running < self.copies_limit(limit),
            Lane::Mail(_) | Lane::Errand => running < limit,
        }
    }

    fn begun(&mut self, job: Job) -> Job {
        if let Some(destination) = job.lane.destination() {
            *self.running.entry(destination.clone()).or_default() += 1;
        }
        *self.counter(&job.lane) += 1;
        job
    }

    /// A job is over.
    pub(super) fn ended(&mut self, lane: &Lane) {
        let counter = self.counter(lane);
        *counter = counter.saturating_sub(1);
        let Some(destination) = lane.destination() else { return };
        if let Some(running) = self.running.get_mut(destination) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.running.remove(destination);
            }
        }
    }

    fn counter(&mut self, lane: &Lane) -> &mut usize {
        match lane {
            Lane::Mail(_) => &mut self.running_mail,
            Lane::Copies(_) => &mut self.running_copies,
            Lane::Errand => &mut self.running_errands,
        }
    }

    /// Domains with as many jobs as they may have: their rows are left to whoever has room.
    pub(super) fn busy_domains(&self) -> Vec<String> {
        let mut load: HashMap<&Destination, usize> = HashMap::new();
        for (destination, running) in &self.running {
            *load.entry(destination).or_default() += running;
        }
        for destination in self.mail.iter().chain(&self.copies).filter_map(|job| job.lane.destination()) {
            *load.entry(destination).or_default() += 1;
        }
        let is_busy = |(destination, load): (&Destination, usize)| match destination {
            Destination::Domain(domain) if load >= self.limit(destination) => Some(domain.to_string()),
            _ => None,
        };
        load.into_iter().filter_map(is_busy).collect()
    }

    /// Takes everything that waits, for the end.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.mail.drain(..).chain(self.copies.drain(..)).chain(self.errands.drain(..)).collect()
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
