//! Refuses a forward or default address that leads back to itself through addresses of the house.
//!
//! It walks as delivery will, with the same resolver. Delivery stops loops by itself too: a change elsewhere can still
//! close a ring.

use std::collections::HashSet;

use postern_mail::{
    EmailAddress,
    limits::{EXPANSION_ADDRESSES_MAX, EXPANSION_DEPTH_MAX},
};
use postern_proto::account::v1::{DomainState, MatchKind, resolution::Outcome};

use crate::{
    error::AccountError,
    resolver::{DefaultRule, ForwardRow, Question, Snapshot, is_itself, resolve},
    store::{Tx, directory},
};

/// What is being written.
pub(crate) enum Start {
    /// A forward; `has_box`: a mailbox carries it, so that its own address as target means "keep a copy".
    Forward { address: String, has_box: bool },
    /// The default address of a domain.
    DefaultAddress { domain: String },
}

impl Start {
    fn shown(&self) -> String {
        match self {
            Self::Forward { address, .. } => address.clone(),
            Self::DefaultAddress { domain } => format!("*@{domain}"),
        }
    }
}

/// An address on the way, and how it was reached.
struct Step {
    question: Question,
    path: Vec<String>,
}

/// Where the walk is.
struct Walk<'w> {
    start: &'w Start,
    /// What the start is going to lead to.
    targets: Vec<String>,
    seen: HashSet<String>,
}

/// Walks from the targets; the locks of the graph and of the start's domain are held.
pub(crate) async fn refuse(tx: &mut Tx, start: &Start, targets: &[EmailAddress]) -> Result<(), AccountError> {
    let targets = targets.iter().map(EmailAddress::to_string).collect();
    let mut walk = Walk { start, targets, seen: HashSet::new() };
    let mut frontier = walk.first();
    for _ in 0..EXPANSION_DEPTH_MAX {
        if frontier.is_empty() {
            return Ok(());
        }
        let questions: Vec<_> = frontier.iter().map(|step| step.question.clone()).collect();
        let snapshot = directory::snapshot_in(tx, &questions).await?;
        frontier = walk.next(&frontier, snapshot)?;
    }
    match frontier.first() {
        None => Ok(()),
        Some(step) => Err(AccountError::Precondition(format!(
            "leads on over more than {EXPANSION_DEPTH_MAX} addresses: {}",
            step.path.join(" -> ")
        ))),
    }
}

impl Walk<'_> {
    fn first(&mut self) -> Vec<Step> {
        let targets = match self.start {
            Start::Forward { address, has_box: true } => {
                self.targets.iter().filter(|target| !is_itself(target, address)).cloned().collect()
            }
            _ => self.targets.clone(),
        };
        self.steps(&targets, &[self.start.shown()])
    }

    /// One step further from every address, or the ring that was found.
    fn next(&mut self, frontier: &[Step], mut snapshot: Snapshot) -> Result<Vec<Step>, AccountError> {
        self.write_into(&mut snapshot);
        let mut further = Vec::new();
        for step in frontier {
            let outcome = resolve(&step.question, &snapshot).outcome;
            let home = step.question.at_home(&snapshot);
            if self.is_start(home.as_ref().unwrap_or(&step.question), outcome.as_ref()) {
                return Err(AccountError::Precondition(format!(
                    "leads back to itself: {}",
                    self.ring(&step.path)
                )));
            }
            let Some(Outcome::Local(local)) = outcome else { continue };
            further.extend(self.steps(&local.forward_targets, &step.path));
        }
        if self.seen.len() > EXPANSION_ADDRESSES_MAX {
            return Err(AccountError::Precondition(format!(
                "leads to more than {EXPANSION_ADDRESSES_MAX} addresses"
            )));
        }
        Ok(further)
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
        }
    }

    /// True when what takes this address is what is being written.
    fn is_start(&self, question: &Question, outcome: Option<&Outcome>) -> bool {
        let matched = match outcome {
            Some(Outcome::Local(local)) => local.r#match(),
            _ => MatchKind::Unspecified,
        };
        match self.start {
            Start::DefaultAddress { domain } => matched == MatchKind::Default && question.domain() == domain,
            // Its own address is never left out here: the resolver passes over a forward that leads to itself only.
            Start::Forward { address, .. } if question.exact == *address => true,
            Start::Forward { address, .. } => {
                matched == MatchKind::SubAddress && question.without_tag.as_ref() == Some(address)
            }
        }
    }

    fn steps(&mut self, targets: &[String], path: &[String]) -> Vec<Step> {
        let mut steps = Vec::new();
        for target in targets {
            let Ok(address) = target.parse::<EmailAddress>() else { continue };
            let question = Question::new(&address);
            if self.seen.insert(question.exact.clone()) {
                let path = path.iter().cloned().chain([question.exact.clone()]).collect();
                steps.push(Step { question, path });
            }
        }
        steps
    }

    fn ring(&self, path: &[String]) -> String {
        let start = self.start.shown();
        let mut ring = path.to_vec();
        if ring.last() != Some(&start) {
            ring.push(start);
        }
        ring.join(" -> ")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::resolver::{DomainRow, HostedDomain};

    /// `address -> targets`; an address that begins with `*@` is the default address of its domain.
    fn house(rules: &[(&str, &[&str])]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for name in ["a.test", "b.test"] {
            let hosted = HostedDomain {
                state: DomainState::Pending,
                alias_of: None,
                default_mailbox_id: 1,
                default_rule: DefaultRule::Reject,
            };
            snapshot.domains.insert(name.into(), DomainRow { version: 1, hosted: Some(hosted) });
        }
        for (address, targets) in rules {
            match address.strip_prefix("*@") {
                Some(domain) => {
                    let row =
                        snapshot.domains.get_mut(domain).and_then(|row| row.hosted.as_mut()).expect(domain);
                    row.default_rule = DefaultRule::Address(targets[0].into());
                }
                None => {
                    let targets = targets.iter().map(|t| (*t).to_owned()).collect();
                    snapshot.forwards.insert((*address).into(), ForwardRow { targets, keep_copy: false });
                }
            }
        }
        snapshot.mailboxes = HashMap::from([("box@a.test".into(), 2)]);
        snapshot
    }

    /// What the walk says: nothing, or why it is refused.
    fn walked(start: &Start, targets: &[&str], house: &Snapshot) -> String {
        let targets = targets.iter().map(|t| (*t).to_owned()).collect();
        let mut walk = Walk { start, targets, seen: HashSet::new() };
        let mut frontier = walk.first();
        while !frontier.is_empty() {
            frontier = match walk.next(&frontier, house.clone()) {
                Ok(further) => further,
                Err(refused) => return refused.to_string(),
            };
        }
        String::new()
    }

    #[test]
    fn rings_are_found_and_shown() {
        let house = house(&[
            ("one@a.test", &["two@b.test", "out@else.test"]),
            ("two@b.test", &["new@a.test"]),
            ("tree@a.test", &["box@a.test", "two@else.test"]),
            ("left@a.test", &["right@a.test"]),
            ("right@a.test", &["left@a.test"]),
            ("*@b.test", &["new@a.test"]),
        ]);
        let forward = |address: &str| Start::Forward { address: address.into(), has_box: false };
        let rule = |domain: &str| Start::DefaultAddress { domain: domain.into() };
        for (start, targets, ring) in [
            (
                forward("new@a.test"),
                &["one@a.test"][..],
                "new@a.test -> one@a.test -> two@b.test -> new@a.test",
            ),
            (forward("new@a.test"), &["new@a.test"], "new@a.test -> new@a.test"),
            (forward("new@a.test"), &["New+tag@A.test"], "new@a.test -> new+tag@a.test -> new@a.test"),
            (forward("new@a.test"), &["any@b.test"], "new@a.test -> any@b.test -> new@a.test"),
            (forward("new@a.test"), &["tree@a.test", "out@else.test"], ""),
            // A ring of others is theirs; the walk ends all the same.
            (forward("new@a.test"), &["left@a.test"], ""),
            (forward("one@a.test"), &["any@a.test"], ""),
            (rule("a.test"), &["any@a.test"], "*@a.test -> any@a.test -> *@a.test"),
            (rule("a.test"), &["any@b.test"], "*@a.test -> any@b.test -> new@a.test -> *@a.test"),
            (rule("a.test"), &["box@a.test"], ""),
            (rule("a.test"), &["any@else.test"], ""),
        ] {
            let said = walked(&start, targets, &house);
            if ring.is_empty() {
                assert_eq!(said, "", "{targets:?}");
            } else {
                assert_eq!(said, format!("leads back to itself: {ring}"), "{targets:?}");
            }
        }
        let with_box = Start::Forward { address: "box@a.test".into(), has_box: true };
        assert_eq!(walked(&with_box, &["Box@a.test", "out@else.test"], &house), "");
    }
}
