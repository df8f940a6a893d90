//! Refuses what leads back to itself through addresses of the house: a forward, a default address, a mailing list.
//!
//! It walks as delivery will, with the same resolver, and through the members of lists. Delivery stops loops by itself too: a
//! change elsewhere can still close a ring.

use std::collections::{HashMap, VecDeque};

use postern_mail::{
    EmailAddress,
    limits::{EXPANSION_ADDRESSES_MAX, EXPANSION_DEPTH_MAX},
};
use postern_proto::account::v1::{DomainState, ListAddress, LocalOutcome, MatchKind, resolution::Outcome};

use crate::{
    error::AccountError,
    list_addresses::Command,
    resolver::{DefaultRule, ForwardRow, Question, Snapshot, is_itself, resolve},
    store::{Tx, directory, list_members},
};

/// Addresses of the house that a walk through lists may come by.
const WALK_ADDRESSES_MAX: usize = 100_000;

/// What is being written.
pub(crate) enum Start {
    /// A forward; `has_box`: a mailbox carries it, so that its own address as target means "keep a copy".
    Forward { address: String, has_box: bool },
    /// The default address of a domain.
    DefaultAddress { domain: String },
    /// The members of a list.
    List { address: String, list_id: i64 },
    /// The owner of a list that is written already.
    Owner { list: EmailAddress },
    /// The list server elsewhere of a list that is written already.
    Listserv { list: String },
}

impl Start {
    fn shown(&self) -> String {
        match self {
            Self::Forward { address, .. } | Self::List { address, .. } => address.clone(),
            Self::DefaultAddress { domain } => format!("*@{domain}"),
            Self::Owner { list } => crate::list_addresses::command_address(list, Command::Owner),
            Self::Listserv { list } => list.clone(),
        }
    }

    /// Each target is on trial by itself, and may be one of thousands.
    fn is_list(&self) -> bool {
        matches!(self, Self::List { .. })
    }
}

/// An address on the way, and from where it was reached.
struct Node {
    question: Question,
    from: Vec<usize>,
    /// Delivery expands a list by itself: what comes behind one does not count for the recipient.
    behind_list: bool,
}

/// Where the walk is. Roots are the first nodes.
struct Walk<'w> {
    start: &'w Start,
    /// What the start is going to lead to.
    targets: Vec<String>,
    nodes: Vec<Node>,
    known: HashMap<String, usize>,
    /// Nodes that are taken by what is being written.
    closing: Vec<usize>,
}

/// Refuses if one of the targets leads back; the locks of the graph and of the start's domain are held.
pub(crate) async fn refuse(tx: &mut Tx, start: &Start, targets: &[EmailAddress]) -> Result<(), AccountError> {
    let reasons = reasons(tx, start, targets).await?;
    let first = targets.iter().find_map(|target| reasons.get(&target.canonical().to_string()));
    first.map_or(Ok(()), |why| Err(AccountError::Precondition(why.clone())))
}

/// Why targets cannot be, by their canonical form; under the same locks.
pub(crate) async fn reasons(
    tx: &mut Tx,
    start: &Start,
    targets: &[EmailAddress],
) -> Result<HashMap<String, String>, AccountError> {
    let mut walk = Walk::new(start, targets.iter().map(EmailAddress::to_string).collect());
    let mut frontier = walk.roots();
    let mut depth = 0;
    while !frontier.is_empty() && depth < EXPANSION_DEPTH_MAX {
        let questions: Vec<_> = frontier.iter().map(|at| walk.nodes[*at].question.clone()).collect();
        let snapshot = directory::snapshot_in(tx, &questions).await?;
        let (mut further, lists) = walk.next(&frontier, snapshot);
        let ids: Vec<i64> = lists.keys().copied().collect();
        if !ids.is_empty() {
            for (list_id, member) in list_members::inside(tx, &ids).await? {
                let from = lists.get(&list_id).map(Vec::as_slice).unwrap_or_default();
                further.extend(walk.reach(&member, from, true));
            }
        }
        walk.refuse_too_many()?;
        frontier = further;
        depth += 1;
    }
    Ok(walk.reasons(&frontier))
}

impl<'w> Walk<'w> {
    fn new(start: &'w Start, targets: Vec<String>) -> Self {
        Self { start, targets, nodes: Vec::new(), known: HashMap::new(), closing: Vec::new() }
    }

    fn roots(&mut self) -> Vec<usize> {
        let targets = match self.start {
            Start::Forward { address, has_box: true } => {
                self.targets.iter().filter(|target| !is_itself(target, address)).cloned().collect()
            }
            _ => self.targets.clone(),
        };
        targets.iter().filter_map(|target| self.reach(target, &[], self.start.is_list())).collect()
    }

    /// Notes that an address is reached; its node, when it was not known.
    fn reach(&mut self, address: &str, from: &[usize], behind_list: bool) -> Option<usize> {
        let question = Question::new(&address.parse().ok()?);
        if let Some(known) = self.known.get(&question.exact) {
            self.nodes[*known].from.extend(from);
            return None;
        }
        let at = self.nodes.len();
        self.known.insert(question.exact.clone(), at);
        self.nodes.push(Node { question, from: from.to_vec(), behind_list });
        Some(at)
    }

    /// One step further from every address, and the lists that were come by, each with the addresses that lead to it.
    fn next(&mut self, frontier: &[usize], mut snapshot: Snapshot) -> (Vec<usize>, HashMap<i64, Vec<usize>>) {
        self.write_into(&mut snapshot);
        let mut further = Vec::new();
        let mut lists: HashMap<i64, Vec<usize>> = HashMap::new();
        for at in frontier {
            let node = &self.nodes[*at];
            let behind_list = node.behind_list;
            let local = match resolve(&node.question, &snapshot).outcome {
                Some(Outcome::Local(local)) => Some(local),
                _ => None,
            };
            let home = node.question.at_home(&snapshot);
            if self.is_start(home.as_ref().unwrap_or(&node.question), local.as_ref()) {
                self.closing.push(*at);
                continue;
            }
            let Some(local) = local else { continue };
            for target in &local.forward_targets {
                further.extend(self.reach(target, &[*at], behind_list));
            }
            if let Some(list) = local.list.filter(|list| list.role() == ListAddress::Post) {
                lists.entry(list.list_id).or_default().push(*at);
            }
        }
        (further, lists)
    }

    /// The house as it will be, with every domain in service: a domain that is not may be tomorrow.
    fn write_into(&self, snapshot: &mut Snapshot) {
        for row in snapshot.domains.values_mut() {
            if let Some(hosted) = &mut row.hosted {
                hosted.state = DomainState::Live;
            }
        }
        match self.start {
            Start::Forward { address, .. } => {
                let row = ForwardRow { targets: self.targets.clone(), keep_copy: false };
                snapshot.forwards.insert(address.clone(), row);
            }
            Start::DefaultAddress { domain } => {
                if let Some(hosted) = snapshot.domains.get_mut(domain).and_then(|row| row.hosted.as_mut()) {
                    hosted.default_rule = DefaultRule::Address(self.targets.join(","));
                }
            }
            Start::List { .. } | Start::Owner { .. } | Start::Listserv { .. } => {}
        }
    }

    /// True when what takes this address is what is being written.
    fn is_start(&self, question: &Question, outcome: Option<&LocalOutcome>) -> bool {
        let matched = outcome.map_or(MatchKind::Unspecified, LocalOutcome::r#match);
        let command = question.command.as_ref();
        match self.start {
            Start::DefaultAddress { domain } => matched == MatchKind::Default && question.domain() == domain,
            // Its own address is never left out here: the resolver passes over a forward that leads to itself only.
            Start::Forward { address, .. } if question.exact == *address => true,
            Start::Forward { address, .. } => {
                matched == MatchKind::SubAddress && question.without_tag.as_ref() == Some(address)
            }
            Start::List { list_id, .. } => outcome
                .and_then(|local| local.list.as_ref())
                .is_some_and(|list| list.list_id == *list_id && list.role() == ListAddress::Post),
            Start::Owner { list } => {
                matched == MatchKind::ListCommand
                    && command.is_some_and(|(name, of)| *name == list.to_string() && *of == Command::Owner)
            }
            Start::Listserv { list } => {
                question.exact == *list
                    || (matched == MatchKind::SubAddress && question.without_tag.as_ref() == Some(list))
                    || (matched == MatchKind::ListCommand && command.is_some_and(|(name, _)| name == list))
            }
        }
    }

    fn refuse_too_many(&self) -> Result<(), AccountError> {
        let direct = self.nodes.iter().filter(|node| !node.behind_list).count();
        for (count, max) in [(direct, EXPANSION_ADDRESSES_MAX), (self.nodes.len(), WALK_ADDRESSES_MAX)] {
            if count > max {
                return Err(AccountError::Precondition(format!("leads to more than {max} addresses")));
            }
        }
        Ok(())
    }

    /// Why roots cannot be: those that lead to a closing node, and those whose way goes on at the `unfinished` ones.
    fn reasons(&self, unfinished: &[usize]) -> HashMap<String, String> {
        let mut reasons = HashMap::new();
        for (root, path) in self.ways(unfinished) {
            let path = path.join(" -> ");
            reasons.insert(root, format!("leads on over more than {EXPANSION_DEPTH_MAX} addresses: {path}"));
        }
        for (root, mut path) in self.ways(&self.closing) {
            let start = self.start.shown();
            if path.last() != Some(&start) {
                path.push(start);
            }
            reasons.insert(root, format!("leads back to itself: {}", path.join(" -> ")));
        }
        reasons
    }

    /// The shortest way from each root to one of these nodes, from the start on.
    fn ways(&self, ends: &[usize]) -> Vec<(String, Vec<String>)> {
        let mut onward: HashMap<usize, Option<usize>> = ends.iter().map(|end| (*end, None)).collect();
        let mut waiting: VecDeque<usize> = ends.iter().copied().collect();
        while let Some(at) = waiting.pop_front() {
            for from in &self.nodes[at].from {
                if !onward.contains_key(from) {
                    onward.insert(*from, Some(at));
                    waiting.push_back(*from);
                }
            }
        }
        let mut ways = Vec::new();
        for target in &self.targets {
            let Ok(address) = target.parse::<EmailAddress>() else { continue };
            let root = address.canonical().to_string();
            let Some(mut at) = self.known.get(&root).copied().filter(|at| onward.contains_key(at)) else {
                continue;
            };
            let mut path = vec![self.start.shown(), root.clone()];
            while let Some(next) = onward.get(&at).copied().flatten() {
                path.push(self.nodes[next].question.exact.clone());
                at = next;
            }
            ways.push((root, path));
        }
        ways
    }
}

#[cfg(test)]
mod tests;
