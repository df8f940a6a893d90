//! What is under way to each destination, and what it may have (pure).

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    super::pace::{Manners, Pace},
    Lane, Limits, copies_limit,
};
use crate::outbound::Destination;

/// Jobs that may wait here for each one that may run: enough that a connection never waits for the database.
const WAITING_PER_JOB: usize = 10;
/// A destination that got nothing for so long is forgotten: it begins anew.
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// How often it is looked for those.
const FORGET_EVERY: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, Default)]
struct Load {
    running: usize,
    mail_waits: usize,
    copies_wait: usize,
}

impl Load {
    fn waiting(&mut self, lane: &Lane) -> &mut usize {
        if matches!(lane, Lane::Copies(_)) { &mut self.copies_wait } else { &mut self.mail_waits }
    }
}

/// Hosts outside, as far as there is work for them.
pub(super) struct Outside {
    limits: Limits,
    loads: HashMap<Destination, Load>,
    paces: HashMap<Destination, Pace>,
    /// Of these, such as are on hold, or were a moment ago.
    on_hold: HashSet<Destination>,
    slowed: usize,
    forgot: Option<Instant>,
}

impl Outside {
    pub(super) fn new(limits: Limits) -> Self {
        let (loads, paces, on_hold) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { limits, loads, paces, on_hold, slowed: 0, forgot: None }
    }

    fn limit(&self, destination: &Destination) -> usize {
        // All outside mail goes to the smarthost: its own limit is the total.
        if *destination == Destination::Smarthost { self.limits.total } else { self.limits.per_domain }
    }

    /// Jobs of this lane that may run at once.
    fn allowed(&self, lane: &Lane, now: Instant) -> usize {
        let Some(destination) = lane.destination() else { return usize::MAX };
        let limit = self.limit(destination);
        let allowed = if *destination == Destination::Smarthost {
            // It is the operator's, and the only way out.
            limit
        } else {
            let pace = self.paces.get(destination).copied().unwrap_or_else(|| Pace::first(limit, now));
            pace.allowed(now).min(limit)
        };
        if matches!(lane, Lane::Copies(_)) { copies_limit(allowed) } else { allowed }
    }

    /// Jobs to the destination of this lane that run, and those of the lane that wait.
    fn load(&self, lane: &Lane) -> (usize, usize) {
        let load = lane.destination().and_then(|destination| self.loads.get(destination));
        load.copied().map_or((0, 0), |mut load| (load.running, *load.waiting(lane)))
    }

    pub(super) fn may_start(&self, lane: &Lane, now: Instant) -> bool {
        self.load(lane).0 < self.allowed(lane, now)
    }

    fn places(&self, lane: &Lane, now: Instant) -> usize {
        self.allowed(lane, now).saturating_mul(WAITING_PER_JOB)
    }

    /// Jobs that may wait for a domain that nothing is known of.
    pub(super) fn places_of_new(&self) -> usize {
        Pace::first_allowed(self.limits.per_domain) * WAITING_PER_JOB
    }

    /// Whether another job may wait in this lane.
    pub(super) fn has_place(&self, lane: &Lane, now: Instant) -> bool {
        self.load(lane).1 < self.places(lane, now)
    }

    /// How many more jobs wait in this lane than may: none, unless its destination became slower.
    pub(super) fn surplus(&self, lane: &Lane, now: Instant) -> usize {
        self.load(lane).1.saturating_sub(self.places(lane, now))
    }

    /// Whether what waits here is not enough to keep the destination busy.
    pub(super) fn wants_more(&self, lane: &Lane, now: Instant) -> bool {
        let (running, waiting) = self.load(lane);
        running + waiting < self.allowed(lane, now)
    }

    /// For how long the destination is to be left alone.
    pub(super) fn pause(&self, lane: &Lane, now: Instant) -> Duration {
        let pace = lane.destination().and_then(|destination| self.paces.get(destination));
        pace.and_then(|pace| pace.hold_until(now)).map_or(Duration::ZERO, |until| until - now)
    }

    /// How many more rows are wanted for each domain that may not have as many as it likes: 0 for those with as many jobs as they
    /// may have, whose rows are left to whoever has room. `lane`: makes the lane of a destination.
    pub(super) fn wanted_of_domains(
        &mut self,
        lane: fn(Destination) -> Lane,
        now: Instant,
    ) -> Vec<(String, usize)> {
        let paces = &self.paces;
        self.on_hold
            .retain(|destination| paces.get(destination).is_some_and(|pace| pace.hold_until(now).is_some()));
        let idle_on_hold = self.on_hold.iter().filter(|destination| !self.loads.contains_key(destination));
        let wanted = |destination: &Destination| {
            let Destination::Domain(domain) = destination else { return None };
            let lane = lane(destination.clone());
            let room = self.places(&lane, now).saturating_sub(self.load(&lane).1);
            Some((domain.to_string(), if self.wants_more(&lane, now) { room } else { 0 }))
        };
        self.loads.keys().chain(idle_on_hold).filter_map(wanted).collect()
    }

    pub(super) fn waits(&mut self, lane: &Lane) {
        let Some(destination) = lane.destination() else { return };
        *self.loads.entry(destination.clone()).or_default().waiting(lane) += 1;
    }

    pub(super) fn waits_no_more(&mut self, lane: &Lane) {
        self.change(lane, |load| less(load.waiting(lane)));
    }

    pub(super) fn began(&mut self, lane: &Lane) {
        self.change(lane, |load| {
            less(load.waiting(lane));
            load.running += 1;
        });
    }

    pub(super) fn ended(&mut self, lane: &Lane, manners: Option<Manners>, now: Instant) {
        self.change(lane, |load| less(&mut load.running));
        if let (Some(destination @ Destination::Domain(_)), Some(manners)) = (lane.destination(), manners) {
            self.note(destination, manners, now);
        }
    }

    pub(super) fn failing_domains(&self) -> Vec<String> {
        let failing = self.paces.iter().filter(|(_, pace)| pace.is_failing());
        failing
            .filter_map(|(destination, _)| match destination {
                Destination::Domain(domain) => Some(domain.to_string()),
                Destination::Smarthost => None,
            })
            .collect()
    }

    fn change(&mut self, lane: &Lane, how: impl FnOnce(&mut Load)) {
        let Some(destination) = lane.destination() else { return };
        let Some(load) = self.loads.get_mut(destination) else { return };
        how(load);
        if load.running + load.mail_waits + load.copies_wait == 0 {
            self.loads.remove(destination);
        }
    }

    fn note(&mut self, destination: &Destination, manners: Manners, now: Instant) {
        let limit = self.limit(destination);
        let pace = self.paces.entry(destination.clone()).or_insert_with(|| Pace::first(limit, now));
        let was_slowed = pace.is_slowed(limit);
        pace.note(manners, limit, now);
        self.slowed =
            (self.slowed + usize::from(pace.is_slowed(limit))).saturating_sub(usize::from(was_slowed));
        if pace.hold_until(now).is_some() {
            self.on_hold.insert(destination.clone());
        }
        self.forget(now);
        metrics::gauge!("postern_queue_slowed_destinations").set(self.slowed as f64);
    }

    fn forget(&mut self, now: Instant) {
        let forgot = *self.forgot.get_or_insert(now);
        if now.saturating_duration_since(forgot) < FORGET_EVERY {
            return;
        }
        self.forgot = Some(now);
        self.paces.retain(|_, pace| pace.idle(now) < FORGET_AFTER);
        let slowed = |(destination, pace): &(&Destination, &Pace)| pace.is_slowed(self.limit(destination));
        self.slowed = self.paces.iter().filter(slowed).count();
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.paces.len()
    }
}

fn less(count: &mut usize) {
    *count = count.saturating_sub(1);
}
