//! What leads back to itself in settings: forwards, lists with their members, default addresses. It walks as the platform does;
//! what is outside of the settings ends the way. Pure.

use std::collections::{BTreeMap, BTreeSet};

use postern_mail::EmailAddress;

use super::{
    Document, DomainSettings,
    check::{domain_key, key},
};
use crate::cli::document::default_rule;

/// Role addresses that nothing stands at lead to the default box, whatever the default address is.
const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// How much of its domains a document holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Maybe not all: what is not in it may stand elsewhere.
    Part,
    /// All.
    Whole,
}

/// Refuses the first loop, with its path.
pub(super) fn loops(document: &Document, extent: Extent) -> Result<(), String> {
    let roads = roads(document, extent);
    let mut done = BTreeSet::new();
    for start in roads.keys() {
        follow(&roads, start, &mut done)?;
    }
    Ok(())
}

/// Where each address that leads on leads to, as far as that leads on itself.
fn roads(document: &Document, extent: Extent) -> BTreeMap<String, Vec<String>> {
    let places = Places::of(document, extent);
    let onward = |targets: &Vec<String>| targets.iter().filter_map(|target| places.landing(target)).collect();
    places.sources.iter().map(|(source, targets)| (source.clone(), onward(targets))).collect()
}

/// What stands where.
struct Places {
    /// The domain that has the addresses of each name.
    homes: BTreeMap<String, String>,
    /// What leads on, and to which addresses; the default address of a domain is `*@domain`.
    sources: BTreeMap<String, Vec<String>>,
    /// Where mail stays.
    ends: BTreeSet<String>,
}

impl Places {
    fn of(document: &Document, extent: Extent) -> Self {
        let mut places = Self { homes: BTreeMap::new(), sources: BTreeMap::new(), ends: BTreeSet::new() };
        for domain in &document.domains {
            let name = domain_key(&domain.name);
            let home = domain.alias_of.as_deref().map_or_else(|| name.clone(), domain_key);
            places.homes.insert(name.clone(), home);
            places.add(&name, domain, extent);
        }
        places
    }

    fn add(&mut self, name: &str, domain: &DomainSettings, extent: Extent) {
        let boxes: BTreeSet<String> = domain.mailboxes.iter().map(|mailbox| key(&mailbox.address)).collect();
        for forward in &domain.forwards {
            let address = key(&forward.address);
            // With a mailbox there, its own address means "keep a copy"; in a part of the settings it may be there.
            let keeps = extent == Extent::Part || boxes.contains(&address);
            let targets = forward.targets.iter().filter(|target| !keeps || key(target) != address);
            let targets = targets.cloned().collect();
            self.sources.insert(address, targets);
        }
        for list in &domain.lists {
            let targets = match list.listserv.as_deref() {
                Some(listserv) if !listserv.is_empty() => vec![listserv.to_owned()],
                _ => list.members.clone(),
            };
            self.sources.insert(key(&list.address), targets);
        }
        if extent == Extent::Whole
            && let Some(word) = &domain.default_address
        {
            let (_, target) = default_rule(word);
            if !target.is_empty() {
                self.sources.insert(format!("*@{name}"), vec![target]);
            }
        }
        self.ends.extend(boxes);
        self.ends.extend(domain.autoresponders.iter().map(|autoresponder| key(&autoresponder.address)));
    }

    /// What takes mail to an address and leads on; `None`: it stays somewhere, leaves, or is nobody's.
    fn landing(&self, target: &str) -> Option<String> {
        let asked = target.parse::<EmailAddress>().ok()?.canonical();
        let home = self.homes.get(asked.domain().as_str())?;
        let address: EmailAddress = format!("{}@{home}", asked.local()).parse().ok()?;
        let names = [Some(address.to_string()), address.without_tag().map(|plain| plain.to_string())];
        for name in names.into_iter().flatten() {
            if self.sources.contains_key(&name) {
                return Some(name);
            }
            if self.ends.contains(&name) {
                return None;
            }
        }
        let default = format!("*@{home}");
        (!ROLES.contains(&address.local()) && self.sources.contains_key(&default)).then_some(default)
    }
}

/// Walks in depth with a list of its own, for settings may be a chain of any length.
fn follow<'a>(
    roads: &'a BTreeMap<String, Vec<String>>,
    start: &'a str,
    done: &mut BTreeSet<&'a str>,
) -> Result<(), String> {
    let onward = |address: &str| roads.get(address).map(|targets| targets.iter());
    let Some(first) = onward(start).filter(|_| !done.contains(start)) else { return Ok(()) };
    let mut path: Vec<(&str, std::slice::Iter<'_, String>)> = vec![(start, first)];
    while let Some((address, rest)) = path.last_mut() {
        let Some(next) = rest.next() else {
            done.insert(address);
            path.pop();
            continue;
        };
        if let Some(at) = path.iter().position(|(on_path, _)| on_path == next) {
            let names: Vec<&str> = path.iter().skip(at).map(|(name, _)| *name).collect();
            return Err(format!("a loop: {} -> {next}", names.join(" -> ")));
        }
        if !done.contains(next.as_str())
            && let Some(further) = onward(next)
        {
            path.push((next, further));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::document::{ForwardSettings, ListSettings, MailboxSettings};

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    fn forward(address: &str, targets: &[&str]) -> ForwardSettings {
        ForwardSettings { address: address.to_owned(), targets: texts(targets), keep_copy: false }
    }

    fn list(address: &str, members: &[&str]) -> ListSettings {
        ListSettings { address: address.to_owned(), members: texts(members), ..ListSettings::default() }
    }

    /// Of `a.test` with a mailbox `box@a.test`, and its second name `b.test`.
    fn walked(extent: Extent, edit: impl FnOnce(&mut DomainSettings)) -> Result<(), String> {
        let mailbox = MailboxSettings { address: "box@a.test".to_owned(), ..MailboxSettings::default() };
        let mut domain = DomainSettings {
            name: "a.test".to_owned(),
            mailboxes: vec![mailbox],
            ..DomainSettings::default()
        };
        edit(&mut domain);
        let alias_of = Some("A.test".to_owned());
        let alias = DomainSettings { name: "b.test".to_owned(), alias_of, ..DomainSettings::default() };
        loops(&Document { customer: "a".to_owned(), domains: vec![domain, alias] }, extent)
    }

    #[test]
    fn every_way_back_is_told_with_its_path() {
        type Edit = fn(&mut DomainSettings);
        let rings: [(Edit, &str); 7] = [
            (
                |d| {
                    d.forwards = vec![
                        forward("x@a.test", &["out@c.test", "Y@a.test"]),
                        forward("y@a.test", &["x@a.test"]),
                    ]
                },
                "a loop: x@a.test -> y@a.test -> x@a.test",
            ),
            (|d| d.forwards = vec![forward("x@a.test", &["x@b.test"])], "a loop: x@a.test -> x@a.test"),
            (|d| d.forwards = vec![forward("x@a.test", &["x+tag@a.test"])], "a loop: x@a.test -> x@a.test"),
            (
                |d| d.lists = vec![list("l@a.test", &["box@a.test", "l@a.test"])],
                "a loop: l@a.test -> l@a.test",
            ),
            (
                |d| {
                    d.lists = vec![list("l@a.test", &["x@a.test"])];
                    d.forwards = vec![forward("x@a.test", &["l@a.test"])];
                },
                "a loop: l@a.test -> x@a.test -> l@a.test",
            ),
            (
                |d| {
                    d.default_address = Some("x@a.test".to_owned());
                    d.forwards = vec![forward("x@a.test", &["nobody@b.test"])];
                },
                "a loop: *@a.test -> x@a.test -> *@a.test",
            ),
            (|d| d.default_address = Some("nobody@a.test".to_owned()), "a loop: *@a.test -> *@a.test"),
        ];
        for (edit, said) in rings {
            assert_eq!(walked(Extent::Whole, edit), Err(said.to_owned()));
        }
    }

    #[test]
    fn what_ends_is_no_loop() {
        type Edit = fn(&mut DomainSettings);
        let ways: [(Extent, Edit); 6] = [
            (Extent::Whole, |d| {
                d.forwards =
                    vec![forward("x@a.test", &["y@a.test", "z@a.test"]), forward("y@a.test", &["z@a.test"])];
            }),
            // A copy in the own box.
            (Extent::Whole, |d| d.forwards = vec![forward("box@a.test", &["box@a.test", "out@c.test"])]),
            (Extent::Whole, |d| d.default_address = Some("box@a.test".to_owned())),
            (Extent::Whole, |d| {
                d.default_address = Some("x@a.test".to_owned());
                d.forwards = vec![forward("x@a.test", &["postmaster@a.test", "box+tag@b.test"])];
            }),
            // Of a part nobody knows what else stands there.
            (Extent::Part, |d| d.forwards = vec![forward("x@a.test", &["x@a.test", "out@c.test"])]),
            (Extent::Part, |d| {
                d.default_address = Some("x@a.test".to_owned());
                d.forwards = vec![forward("x@a.test", &["nobody@a.test"])];
            }),
        ];
        for (at, (extent, edit)) in ways.into_iter().enumerate() {
            assert_eq!(walked(extent, edit), Ok(()), "{at}");
        }
    }
}
