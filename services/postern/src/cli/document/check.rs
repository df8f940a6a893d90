//! What can be seen of settings without asking anybody: addresses, doubles, shadows within them, loops. Pure.

use std::collections::{BTreeMap, BTreeSet};

use postern_mail::{DomainName, EmailAddress};

use super::{
    Document, DomainSettings,
    loops::{Extent, loops},
};

/// The one form of an address, for comparing; what is none is compared as it is.
pub(crate) fn key(address: &str) -> String {
    address.parse::<EmailAddress>().map_or_else(|_| address.to_owned(), |a| a.canonical().to_string())
}

/// The one form of a domain name, likewise.
pub(crate) fn domain_key(name: &str) -> String {
    name.parse::<DomainName>().map_or_else(|_| name.to_owned(), |name| name.to_string())
}

/// The first thing that is wrong with a document by itself.
pub(super) fn check(document: &Document) -> Result<(), String> {
    if document.customer.is_empty() {
        return Err("customer: is missing".to_owned());
    }
    let mut names = BTreeSet::new();
    for domain in &document.domains {
        let name: DomainName =
            domain.name.parse().map_err(|error| format!("domains: {:?}: {error}", domain.name))?;
        if !names.insert(name.clone()) {
            return Err(format!("domains: {name} stands there twice"));
        }
        in_one_domain(domain, &name)?;
    }
    loops(document, Extent::Part)
}

fn in_one_domain(domain: &DomainSettings, name: &DomainName) -> Result<(), String> {
    let mut kinds: BTreeMap<String, &str> = BTreeMap::new();
    let mailboxes = domain.mailboxes.iter().map(|m| ("mailbox", m.address.as_str()));
    let forwards = domain.forwards.iter().map(|f| ("forward", f.address.as_str()));
    let lists = domain.lists.iter().map(|l| ("list", l.address.as_str()));
    for (kind, address) in mailboxes.chain(forwards).chain(lists) {
        let parsed = own_address(name, kind, address)?;
        match kinds.insert(parsed.to_string(), kind) {
            // A mailbox may carry a forward.
            None => {}
            Some("mailbox") if kind == "forward" => {}
            Some(before) if before == kind => {
                return Err(format!("{name}: {kind} {parsed} stands there twice"));
            }
            Some(before) => {
                return Err(format!("{name}: {parsed} is a {before} and a {kind}: one would hide the other"));
            }
        }
    }
    let mut answering = BTreeSet::new();
    for autoresponder in &domain.autoresponders {
        let parsed = own_address(name, "autoresponder", &autoresponder.address)?;
        if kinds.get(&parsed.to_string()) == Some(&"list") {
            return Err(format!("{name}: {parsed} is a list, which has no autoresponder"));
        }
        if !answering.insert(parsed.to_string()) {
            return Err(format!("{name}: autoresponder {parsed} stands there twice"));
        }
    }
    Ok(())
}

fn own_address(domain: &DomainName, kind: &str, text: &str) -> Result<EmailAddress, String> {
    let address: EmailAddress =
        text.parse().map_err(|error| format!("{domain}: {kind} {text:?}: {error}"))?;
    if address.domain() != domain {
        return Err(format!("{domain}: {kind} {address} belongs to another domain"));
    }
    Ok(address.canonical())
}

/// What is wrong with settings that are all there is of their domains.
pub(crate) fn standing(document: &Document) -> Result<(), String> {
    for domain in &document.domains {
        let name = domain.name.parse().map_err(|error| format!("domains: {:?}: {error}", domain.name))?;
        in_one_domain(domain, &name)?;
    }
    loops(document, Extent::Whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::document::{AutoresponderSettings, ForwardSettings, ListSettings, MailboxSettings};

    fn forward(address: &str, targets: &[&str]) -> ForwardSettings {
        let targets = targets.iter().map(|t| (*t).to_owned()).collect();
        ForwardSettings { address: address.to_owned(), targets, keep_copy: false }
    }

    fn checked(edit: impl FnOnce(&mut DomainSettings)) -> Result<(), String> {
        let mut domain = DomainSettings { name: "a.test".to_owned(), ..DomainSettings::default() };
        edit(&mut domain);
        check(&Document { customer: "a".to_owned(), domains: vec![domain] })
    }

    /// Spoils a domain with a mailbox or a list of some name.
    type Edit = fn(&mut DomainSettings, &dyn Fn(&str) -> MailboxSettings, &dyn Fn(&str) -> ListSettings);

    #[test]
    fn doubles_shadows_strangers_and_loops_are_refused_with_their_names() {
        let mailbox = |address: &str| MailboxSettings { address: address.to_owned(), ..Default::default() };
        let list = |address: &str| ListSettings { address: address.to_owned(), ..Default::default() };
        assert_eq!(checked(|_| {}), Ok(()));
        assert_eq!(
            checked(|d| {
                d.mailboxes = vec![mailbox("x@a.test")];
                d.forwards = vec![forward("x@a.test", &["y@b.test"])];
            }),
            Ok(())
        );
        let wrong = |edit: Edit| checked(|d| edit(d, &mailbox, &list)).expect_err("wrong");
        for (error, words) in [
            (
                wrong(|d, m, _| d.mailboxes = vec![m("x@a.test"), m("X@A.test")]),
                "x@a.test stands there twice",
            ),
            (wrong(|d, m, _| d.mailboxes = vec![m("x@b.test")]), "another domain"),
            (wrong(|d, m, _| d.mailboxes = vec![m("x y@a.test")]), "not allowed in an address"),
            (
                wrong(|d, m, l| {
                    d.mailboxes = vec![m("x@a.test")];
                    d.lists = vec![l("x@a.test")];
                }),
                "is a mailbox and a list",
            ),
            (
                wrong(|d, _, l| {
                    d.lists = vec![l("x@a.test")];
                    d.autoresponders =
                        vec![AutoresponderSettings { address: "x@a.test".to_owned(), ..Default::default() }];
                }),
                "which has no autoresponder",
            ),
            (
                wrong(|d, _, _| {
                    d.forwards = vec![
                        forward("a@a.test", &["B@a.test"]),
                        forward("b@a.test", &["out@c.test", "c@a.test"]),
                        forward("c@a.test", &["a@a.test"]),
                    ];
                }),
                "a loop: a@a.test -> b@a.test -> c@a.test -> a@a.test",
            ),
        ] {
            assert!(error.contains(words), "{error}");
        }
        // Two ways to one end are no loop.
        assert_eq!(
            checked(|d| d.forwards =
                vec![forward("a@a.test", &["b@a.test", "c@a.test"]), forward("b@a.test", &["c@a.test"])]),
            Ok(())
        );
    }
}
