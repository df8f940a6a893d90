//! The pure core of routing: a breadth-first walk from each recipient through forwards, over answers that are given.
//!
//! Each recipient has its own walk, so that what one leads to never depends on the others (and their order), and a
//! forward loop or a bomb harms only itself. Copies are counted once at the end: one for each box, one for each remote
//! address. A recipient that leads nowhere at all is in a loop; nothing accepted disappears silently.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use postern_mail::{
    EmailAddress, Reason,
    limits::{EXPANSION_ADDRESSES_MAX, EXPANSION_DEPTH_MAX},
};
use postern_proto::account::v1::{Resolution, resolution::Outcome};

use crate::accept::QueueClass;

use super::{
    FailedRecipient, ListBounce, Plan, PlannedEntry, PlannedErrand, PlannedRemote,
    local::{Here, ListStop},
};

/// Addresses of all walks of one message together. Beyond it the submitter is to split the message.
const TOTAL_ADDRESSES_MAX: usize = 20 * EXPANSION_ADDRESSES_MAX;

/// What one address turned out to be, reduced to what routing needs.
#[derive(Clone, Debug)]
enum Answer {
    Local(Here),
    Discard,
    Unknown,
    Remote,
    NotLive,
    /// The directory gave no outcome: a version of it that we do not know.
    None,
}

/// One address on the way of one walk.
#[derive(Clone, Debug)]
struct Step {
    address: EmailAddress,
    /// The forward that led here.
    via: Option<EmailAddress>,
}

/// The walk of one recipient.
#[derive(Debug)]
struct Walk {
    start: EmailAddress,
    depth: usize,
    frontier: Vec<Step>,
    visited: HashSet<EmailAddress>,
    entries: BTreeSet<PlannedEntry>,
    queue: BTreeSet<PlannedRemote>,
    failed: BTreeMap<EmailAddress, Reason>,
    errands: BTreeSet<PlannedErrand>,
    list_bounces: BTreeSet<ListBounce>,
    discarded: usize,
}

/// All walks of one message.
#[derive(Debug)]
pub struct Expansion {
    walks: Vec<Walk>,
    known: HashMap<EmailAddress, Answer>,
    may_relay: bool,
    /// Canonical.
    seen: HashSet<EmailAddress>,
    /// A reason why the message cannot be planned now.
    obstacle: Option<Reason>,
}

impl Expansion {
    /// Begins a walk for each recipient; the same one twice counts once.
    #[must_use]
    pub fn begin(recipients: &[EmailAddress], may_relay: bool, delivered_to_seen: &[EmailAddress]) -> Self {
        let starts: BTreeSet<_> = recipients.iter().collect();
        Self {
            walks: starts.into_iter().map(Walk::begin).collect(),
            known: HashMap::new(),
            may_relay,
            seen: delivered_to_seen.iter().map(EmailAddress::canonical).collect(),
            obstacle: None,
        }
    }

    /// Addresses that must be resolved before the walks can go on; empty at the end.
    #[must_use]
    pub fn wanted(&self) -> Vec<EmailAddress> {
        if self.obstacle.is_some() {
            return Vec::new();
        }
        let steps = self.walks.iter().flat_map(|walk| &walk.frontier);
        let wanted: BTreeSet<_> =
            steps.map(|step| &step.address).filter(|address| !self.known.contains_key(*address)).collect();
        wanted.into_iter().cloned().collect()
    }

    /// Takes the answers to [`Self::wanted`] and walks on until more is wanted.
    pub fn take<'a>(&mut self, answers: impl IntoIterator<Item = (&'a EmailAddress, &'a Resolution)>) {
        for (address, resolution) in answers {
            self.known.insert(address.clone(), Answer::of(resolution));
        }
        while self.obstacle.is_none() && self.walks.iter().any(|walk| walk.can_go_on(&self.known)) {
            let mut total = 0;
            for walk in &mut self.walks {
                if walk.can_go_on(&self.known)
                    && let Err(reason) = walk.go_on(&self.known, self.may_relay, &self.seen)
                {
                    self.obstacle = Some(reason);
                }
                total += walk.visited.len();
            }
            if total > TOTAL_ADDRESSES_MAX {
                self.obstacle = Some(Reason::TooManyRecipients);
            }
        }
    }

    /// The plan, in an order that depends on nothing but its content.
    ///
    /// # Errors
    /// The temporary reason why there is none.
    pub fn finish(self) -> Result<Plan, Reason> {
        match self.obstacle {
            Some(reason) => Err(reason),
            None => Ok(together(self.walks)),
        }
    }

    /// A plan for each recipient as if it were alone.
    ///
    /// # Errors
    /// The temporary reason why there is none.
    pub fn finish_each(self) -> Result<HashMap<EmailAddress, Plan>, Reason> {
        match self.obstacle {
            Some(reason) => Err(reason),
            None => {
                Ok(self.walks.into_iter().map(|walk| (walk.start.clone(), together(vec![walk]))).collect())
            }
        }
    }
}

/// Each box and each remote address once.
fn together(walks: Vec<Walk>) -> Plan {
    let mut entries = BTreeMap::new();
    let mut queue: BTreeMap<EmailAddress, Option<EmailAddress>> = BTreeMap::new();
    let mut failed = BTreeMap::new();
    let mut errands = BTreeMap::new();
    let mut list_bounces = BTreeSet::new();
    let mut discarded = 0;
    for walk in walks {
        if walk.leads_nowhere() {
            failed.entry(walk.start).or_insert(Reason::MailLoop);
            continue;
        }
        discarded += walk.discarded;
        for entry in walk.entries {
            entries.entry(entry.mailbox_id).or_insert(entry);
        }
        for remote in walk.queue {
            // None sorts first: who was named by the client gets the message as it is.
            let via = queue.entry(remote.recipient).or_insert_with(|| remote.via.clone());
            *via = std::cmp::min(via.take(), remote.via);
        }
        for errand in walk.errands {
            // By whichever of its addresses it was reached: one post, one answer.
            let key = (errand.class, errand.subject_id, errand.note.clone());
            errands.entry(key).or_insert(errand);
        }
        list_bounces.extend(walk.list_bounces);
        failed.extend(walk.failed);
    }
    Plan {
        entries: entries.into_values().collect(),
        queue: queue.into_iter().map(|(recipient, via)| PlannedRemote { recipient, via }).collect(),
        failed: failed.into_iter().map(|(recipient, reason)| FailedRecipient { recipient, reason }).collect(),
        errands: errands.into_values().collect(),
        list_bounces: list_bounces.into_iter().collect(),
        discarded,
    }
}

impl Walk {
    fn begin(start: &EmailAddress) -> Self {
        Self {
            start: start.clone(),
            depth: 0,
            frontier: vec![Step { address: start.clone(), via: None }],
            visited: HashSet::from([start.clone()]),
            entries: BTreeSet::new(),
            queue: BTreeSet::new(),
            failed: BTreeMap::new(),
            errands: BTreeSet::new(),
            list_bounces: BTreeSet::new(),
            discarded: 0,
        }
    }

    fn can_go_on(&self, known: &HashMap<EmailAddress, Answer>) -> bool {
        !self.frontier.is_empty() && self.frontier.iter().all(|step| known.contains_key(&step.address))
    }

    fn leads_nowhere(&self) -> bool {
        self.entries.is_empty()
            && self.queue.is_empty()
            && self.failed.is_empty()
            && self.errands.is_empty()
            && self.list_bounces.is_empty()
            && self.discarded == 0
    }

    /// Takes one level.
    fn go_on(
        &mut self,
        known: &HashMap<EmailAddress, Answer>,
        may_relay: bool,
        seen: &HashSet<EmailAddress>,
    ) -> Result<(), Reason> {
        let level = std::mem::take(&mut self.frontier);
        for step in level {
            let answer = known.get(&step.address).unwrap_or(&Answer::None);
            self.take_step(step, answer, may_relay, seen)?;
        }
        self.depth += 1;
        if self.visited.len() > EXPANSION_ADDRESSES_MAX {
            // A bomb: nobody gets it, its sender is told.
            self.give_up();
        }
        Ok(())
    }

    fn take_step(
        &mut self,
        step: Step,
        answer: &Answer,
        may_relay: bool,
        seen: &HashSet<EmailAddress>,
    ) -> Result<(), Reason> {
        match answer {
            Answer::None => return Err(Reason::Unavailable),
            Answer::Discard => self.discarded += 1,
            Answer::Unknown => self.fail(step.address, Reason::NoSuchMailbox),
            // What a forward of ours leads to may always leave: its owner asked for it.
            Answer::Remote | Answer::NotLive if may_relay || step.via.is_some() => {
                self.queue.insert(PlannedRemote { recipient: step.address, via: step.via });
            }
            Answer::Remote => self.fail(step.address, Reason::RelayProhibited),
            Answer::NotLive => return Err(Reason::DomainNotLive),
            // It was here before and came back (RFC 5321 section 6.3).
            Answer::Local(_) if seen.contains(&step.address.canonical()) => {
                self.fail(step.address, Reason::MailLoop);
            }
            Answer::Local(here) => self.enter(&step.address, here),
        }
        Ok(())
    }

    fn enter(&mut self, address: &EmailAddress, here: &Here) {
        self.entries.extend(here.mailbox.clone());
        match &here.list {
            Some(ListStop::Errand { class, list_id, note }) => {
                self.errands.insert(PlannedErrand {
                    class: *class,
                    subject_id: *list_id,
                    note: note.clone(),
                    recipient: address.clone(),
                });
            }
            Some(ListStop::Bounce(bounce)) => drop(self.list_bounces.insert(bounce.clone())),
            None => {}
        }
        if let Some(autoresponder_id) = here.autoresponder_id {
            self.errands.insert(PlannedErrand {
                class: QueueClass::Autoreply,
                subject_id: autoresponder_id,
                note: None,
                recipient: address.clone(),
            });
        }
        for target in &here.targets {
            match target {
                Err(()) => self.fail(address.clone(), Reason::BadRecipientAddress),
                Ok(target) if self.visited.contains(target) => {}
                Ok(target) if self.depth >= EXPANSION_DEPTH_MAX => {
                    self.fail(target.clone(), Reason::MailLoop)
                }
                Ok(target) => {
                    self.visited.insert(target.clone());
                    self.frontier.push(Step { address: target.clone(), via: Some(address.clone()) });
                }
            }
        }
    }

    fn fail(&mut self, recipient: EmailAddress, reason: Reason) {
        self.failed.insert(recipient, reason);
    }

    fn give_up(&mut self) {
        let start = self.start.clone();
        *self = Self { frontier: Vec::new(), visited: HashSet::new(), ..Self::begin(&start) };
        self.fail(start, Reason::MailLoop);
    }
}

impl Answer {
    fn of(resolution: &Resolution) -> Self {
        match &resolution.outcome {
            Some(Outcome::Local(local)) => Here::of(local).map_or(Self::None, Self::Local),
            Some(Outcome::Discard(_)) => Self::Discard,
            Some(Outcome::Unknown(_)) => Self::Unknown,
            Some(Outcome::Remote(_)) => Self::Remote,
            Some(Outcome::NotLive(_)) => Self::NotLive,
            None => Self::None,
        }
    }
}

#[cfg(test)]
mod tests;
