//! What settings will be once a document is applied to those that are there. Pure.

use std::collections::BTreeSet;

use super::{
    Document, DomainSettings, ListSettings,
    check::{domain_key, key},
};

/// The domains of `wanted` with all that will be in them; `prune`: what `wanted` does not name is gone.
pub(crate) fn merged(present: &Document, wanted: &Document, prune: bool) -> Document {
    let nothing = DomainSettings::default();
    let before = |name: &str| {
        let found = present.domains.iter().find(|domain| domain_key(&domain.name) == domain_key(name));
        found.unwrap_or(&nothing)
    };
    let domains = wanted.domains.iter().map(|domain| one(before(&domain.name), domain, prune)).collect();
    Document { customer: wanted.customer.clone(), domains }
}

fn one(before: &DomainSettings, wanted: &DomainSettings, prune: bool) -> DomainSettings {
    let lists = wanted.lists.iter().map(|list| {
        let was = before.lists.iter().find(|was| key(&was.address) == key(&list.address));
        was.map_or_else(|| list.clone(), |was| list_after(was, list, prune))
    });
    DomainSettings {
        name: wanted.name.clone(),
        // What a domain stands for is set when it is made.
        alias_of: if before.name.is_empty() { wanted.alias_of.clone() } else { before.alias_of.clone() },
        default_address: wanted.default_address.clone().or_else(|| before.default_address.clone()),
        mailboxes: all(&before.mailboxes, wanted.mailboxes.clone(), |m| &m.address, prune),
        forwards: all(&before.forwards, wanted.forwards.clone(), |f| &f.address, prune),
        lists: all(&before.lists, lists.collect(), |l| &l.address, prune),
        autoresponders: all(&before.autoresponders, wanted.autoresponders.clone(), |a| &a.address, prune),
        ..DomainSettings::default()
    }
}

fn list_after(was: &ListSettings, wanted: &ListSettings, prune: bool) -> ListSettings {
    ListSettings {
        listserv: wanted.listserv.clone().or_else(|| was.listserv.clone()),
        members: all(&was.members, wanted.members.clone(), |member| member, prune),
        ..wanted.clone()
    }
}

/// What is wanted, and what was there under other addresses.
fn all<T: Clone>(before: &[T], wanted: Vec<T>, address: impl Fn(&T) -> &String, prune: bool) -> Vec<T> {
    let named: BTreeSet<String> = wanted.iter().map(|thing| key(address(thing))).collect();
    let stays = before.iter().filter(|thing| !prune && !named.contains(&key(address(thing)))).cloned();
    wanted.into_iter().chain(stays).collect()
}
