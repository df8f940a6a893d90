//! Jobs of one kind that wait, and whose turn it is among customers (pure).

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use super::{super::worker::Job, Lane};
use crate::outbound::Destination;

/// Jobs by the customer on whose behalf they are done; what is nobody's (bounces to strangers) stands under the empty name.
#[derive(Default)]
pub(super) struct Line {
    waiting: BTreeMap<String, VecDeque<Job>>,
    count: usize,
    running: HashMap<String, usize>,
    running_count: usize,
    /// When a customer that has jobs was served last, in turns.
    served: HashMap<String, u64>,
    turn: u64,
}

impl Line {
    pub(super) fn push(&mut self, job: Job) {
        self.waiting.entry(job.customer.clone()).or_default().push_back(job);
        self.count += 1;
    }

    /// Jobs that wait.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Jobs that run.
    pub(super) fn running(&self) -> usize {
        self.running_count
    }

    /// The same of a customer.
    pub(super) fn running_of(&self, customer: &str) -> usize {
        self.running.get(customer).copied().unwrap_or_default()
    }

    /// Its jobs that run, and those that wait.
    pub(super) fn of(&self, customer: &str) -> usize {
        self.running_of(customer) + self.waiting.get(customer).map_or(0, VecDeque::len)
    }

    /// The next job that may start: of the customer whose turn it is, its oldest. `most`: jobs that a customer may have at once.
    pub(super) fn take(
        &mut self,
        most: impl Fn(&str) -> usize,
        may_start: impl Fn(&Lane) -> bool,
    ) -> Option<Job> {
        let mut order: Vec<(usize, u64, &String)> = self
            .waiting
            .keys()
            .map(|customer| {
                let served = self.served.get(customer).copied().unwrap_or_default();
                (self.running_of(customer), served, customer)
            })
            .filter(|(running, _, customer)| *running < most(customer))
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
        let job = self.remove(&customer, index)?;
        self.turn += 1;
        self.served.insert(customer.clone(), self.turn);
        *self.running.entry(customer).or_default() += 1;
        self.running_count += 1;
        Some(job)
    }

    /// Jobs that wait for nothing but their turn, as [`Self::take`] judges them; counted up to `enough`.
    pub(super) fn startable(
        &self,
        most: impl Fn(&str) -> usize,
        may_start: impl Fn(&Lane) -> bool,
        enough: usize,
    ) -> usize {
        let may_have_more = |customer: &&String| self.running_of(customer) < most(customer);
        let of = |customer: &String| self.waiting.get(customer).into_iter().flatten();
        let ready = self.waiting.keys().filter(may_have_more).flat_map(of).filter(|job| may_start(&job.lane));
        ready.take(enough).count()
    }

    fn remove(&mut self, customer: &str, index: usize) -> Option<Job> {
        let jobs = self.waiting.get_mut(customer)?;
        let job = jobs.remove(index)?;
        if jobs.is_empty() {
            self.waiting.remove(customer);
            if !self.running.contains_key(customer) {
                self.served.remove(customer);
            }
        }
        self.count -= 1;
        Some(job)
    }

    pub(super) fn ended(&mut self, customer: &str) {
        let Some(running) = self.running.get_mut(customer) else { return };
        *running = running.saturating_sub(1);
        self.running_count = self.running_count.saturating_sub(1);
        if *running == 0 {
            self.running.remove(customer);
            if !self.waiting.contains_key(customer) {
                self.served.remove(customer);
            }
        }
    }

    /// Customers whose jobs run.
    pub(super) fn customers_at_work(&self) -> impl Iterator<Item = &str> {
        self.running.keys().map(String::as_str)
    }

    /// Customers that have jobs here.
    pub(super) fn customers(&self) -> impl Iterator<Item = &str> {
        let waiting = self.waiting.keys().filter(|customer| !self.running.contains_key(*customer));
        waiting.chain(self.running.keys()).map(String::as_str)
    }

    /// Jobs of the customer of whom most wait.
    pub(super) fn longest(&self) -> usize {
        self.waiting.values().map(VecDeque::len).max().unwrap_or_default()
    }

    /// Takes a job away from the customer of whom most wait: its newest one to where most of them go.
    pub(super) fn give_way(&mut self) -> Option<Job> {
        let (customer, jobs) = self.waiting.iter().max_by_key(|(_, jobs)| jobs.len())?;
        let mut by_lane: HashMap<&Lane, (usize, usize)> = HashMap::new();
        for (index, job) in jobs.iter().enumerate() {
            let (count, newest) = by_lane.entry(&job.lane).or_default();
            *count += 1;
            *newest = index;
        }
        let (_, newest) = by_lane.into_values().max()?;
        let customer = customer.clone();
        self.remove(&customer, newest)
    }

    /// Takes up to `count` jobs to this destination away, the newest of each customer first.
    pub(super) fn take_back(&mut self, destination: &Destination, count: usize) -> Vec<Job> {
        let mut taken = Vec::new();
        if count == 0 {
            return taken;
        }
        let customers: Vec<String> = self.waiting.keys().cloned().collect();
        for customer in customers {
            while taken.len() < count {
                let index = self.waiting.get(&customer).and_then(|jobs| {
                    jobs.iter().rposition(|job| job.lane.destination() == Some(destination))
                });
                let Some(job) = index.and_then(|index| self.remove(&customer, index)) else { break };
                taken.push(job);
            }
        }
        taken
    }

    /// Takes everything that waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Job> {
        self.count = 0;
        std::mem::take(&mut self.waiting).into_values().flatten()
    }
}
