//! What must be done so that the settings become what a document says: the difference of two documents, in a safe order.
//! Domains come first (aliases after what they are an alias of), then what addresses lead to, then the default addresses and
//! where spam goes, and what is to go goes last, save where its address is needed for something else. Pure.

use std::collections::{BTreeMap, BTreeSet};

use postern_proto::account::v1::{CreateDomainRequest, DefaultAddress};

use super::{
    deed::Deed,
    difference::{
        changed_forward, changed_list, changed_mailbox, new_mailbox, proto_autoresponder, proto_forward,
        proto_list, same_answer,
    },
    switches,
};
use crate::cli::{
    document::{Document, DomainSettings, ListSettings, default_rule, domain_key, key},
    operator::request_id,
};

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// `+`, `~` or `-`.
    pub(super) change: &'static str,
    pub(super) deed: Deed,
    /// What changes, for people.
    pub(super) what: String,
}

/// The steps from `present` to `wanted`, and what somebody should know before they are taken.
pub(super) fn plan(present: &Document, wanted: &Document, prune: bool) -> (Vec<Step>, Vec<String>) {
    let mut plan = Plan { prune, ..Plan::default() };
    let now = by_name(&present.domains);
    let (aliases, others): (Vec<_>, Vec<_>) =
        wanted.domains.iter().partition(|domain| domain.alias_of.is_some());
    for domain in others.into_iter().chain(aliases) {
        let name = domain_key(&domain.name);
        let before = now.get(&name).copied();
        plan.domain(&wanted.customer, before, domain);
        let nothing = DomainSettings::default();
        plan.contents(before.unwrap_or(&nothing), domain);
    }
    let steps = [plan.first, plan.domains, plan.contents, plan.finally, plan.last].concat();
    (steps, plan.warnings)
}

#[derive(Default)]
struct Plan {
    prune: bool,
    /// What stands in the way of something new.
    first: Vec<Step>,
    domains: Vec<Step>,
    contents: Vec<Step>,
    /// What names an address that must be there.
    finally: Vec<Step>,
    last: Vec<Step>,
    warnings: Vec<String>,
}

impl Plan {
    fn domain(&mut self, customer: &str, before: Option<&DomainSettings>, wanted: &DomainSettings) {
        let name = domain_key(&wanted.name);
        if before.is_none() {
            let request = CreateDomainRequest {
                name: name.clone(),
                customer: customer.to_owned(),
                alias_of: wanted.alias_of.clone().unwrap_or_default(),
                request_id: request_id(),
                ..CreateDomainRequest::default()
            };
            self.domains.push(step("+", Deed::CreateDomain(request), String::new()));
        }
        // A new domain has the platform's defaults.
        let new = DomainSettings { grant_seconds: Some(0), ..DomainSettings::default() };
        let was = before.unwrap_or(&new);
        for (steps, (domain, paths, what)) in [
            (&mut self.domains, switches::of_domain(&name, was, wanted)),
            (&mut self.finally, switches::of_spam(&name, was, wanted)),
        ] {
            if !paths.is_empty() {
                steps.push(step("~", Deed::UpdateDomain(domain, paths), what));
            }
        }
        let stands_for = |settings: &DomainSettings| settings.alias_of.as_deref().map(domain_key);
        if wanted.alias_of.is_some() && before.is_some_and(|before| stands_for(before) != stands_for(wanted))
        {
            self.warnings.push(format!("domain {name}: alias_of is set at creation and stays as it is"));
        }
        let word = |settings: &DomainSettings| settings.default_address.clone();
        let was = before.and_then(word).unwrap_or_else(|| "box".to_owned());
        if let Some(word) = wanted.default_address.clone().filter(|word| key(word) != key(&was)) {
            let (action, target) = default_rule(&word);
            let rule =
                DefaultAddress { domain: name, action: action.into(), target, ..DefaultAddress::default() };
            self.finally.push(step("~", Deed::SetDefault(rule), format!("{was} -> {word}")));
        }
    }

    fn contents(&mut self, before: &DomainSettings, wanted: &DomainSettings) {
        let taken: BTreeSet<String> = wanted
            .mailboxes
            .iter()
            .map(|m| ('m', &m.address))
            .chain(wanted.forwards.iter().map(|f| ('f', &f.address)))
            .chain(wanted.lists.iter().map(|l| ('l', &l.address)))
            .map(|(kind, address)| format!("{kind}{}", key(address)))
            .collect();
        let blocks = |kinds: &str, address: &str| {
            kinds.chars().any(|kind| taken.contains(&format!("{kind}{}", key(address))))
        };
        self.mailboxes(before, wanted, &|address| blocks("l", address));
        self.forwards(before, wanted, &|address| blocks("ml", address));
        self.lists(before, wanted, &|address| blocks("mf", address));
        self.autoresponders(before, wanted);
    }

    /// What goes: at once where its address is needed, else last.
    fn remove(&mut self, deed: Deed, in_the_way: bool) {
        let place = if in_the_way { &mut self.first } else { &mut self.last };
        place.push(step("-", deed, String::new()));
    }

    fn mailboxes(
        &mut self,
        before: &DomainSettings,
        wanted: &DomainSettings,
        in_the_way: &dyn Fn(&str) -> bool,
    ) {
        let now = keyed(&before.mailboxes, |m| &m.address);
        let then = keyed(&wanted.mailboxes, |m| &m.address);
        for (address, mailbox) in &then {
            match now.get(address) {
                None => self.contents.push(new_mailbox(mailbox)),
                Some(was) => self.contents.extend(changed_mailbox(was, mailbox)),
            }
        }
        for (address, mailbox) in &now {
            if self.prune && !then.contains_key(address) {
                self.remove(Deed::DeleteMailbox(mailbox.address.clone()), in_the_way(address));
            }
        }
    }

    fn forwards(
        &mut self,
        before: &DomainSettings,
        wanted: &DomainSettings,
        in_the_way: &dyn Fn(&str) -> bool,
    ) {
        let now = keyed(&before.forwards, |f| &f.address);
        let then = keyed(&wanted.forwards, |f| &f.address);
        let stay = before.mailboxes.iter().filter(|_| !self.prune);
        let boxes: BTreeSet<String> = stay.chain(&wanted.mailboxes).map(|m| key(&m.address)).collect();
        for (address, forward) in &then {
            // Its own address among the targets keeps a copy, too.
            let keeps = forward.keep_copy || forward.targets.iter().any(|target| key(target) == *address);
            if boxes.contains(address) && !keeps {
                let text = "mail goes to the forward only; the mailbox of the same address gets none";
                self.warnings.push(format!("forward {address}: {text} (keep_copy: true keeps a copy)"));
            }
            match now.get(address) {
                None => {
                    let what = forward.targets.join(", ");
                    self.contents.push(step("+", Deed::CreateForward(proto_forward(forward)), what));
                }
                Some(was) => self.contents.extend(changed_forward(was, forward)),
            }
        }
        for (address, forward) in &now {
            if self.prune && !then.contains_key(address) {
                self.remove(Deed::DeleteForward(forward.address.clone()), in_the_way(address));
            }
        }
    }

    fn lists(&mut self, before: &DomainSettings, wanted: &DomainSettings, in_the_way: &dyn Fn(&str) -> bool) {
        let now = keyed(&before.lists, |l| &l.address);
        let then = keyed(&wanted.lists, |l| &l.address);
        let nobody = ListSettings::default();
        for (address, list) in &then {
            let was = now.get(address).copied();
            match was {
                None => self.contents.push(step("+", Deed::CreateList(proto_list(list)), String::new())),
                Some(was) => self.contents.extend(changed_list(was, list)),
            }
            self.members(was.unwrap_or(&nobody), list);
        }
        for (address, list) in &now {
            if self.prune && !then.contains_key(address) {
                self.remove(Deed::DeleteList(list.address.clone()), in_the_way(address));
            }
        }
    }

    fn members(&mut self, was: &ListSettings, list: &ListSettings) {
        let before: BTreeSet<String> = was.members.iter().map(|member| key(member)).collect();
        let after: BTreeSet<String> = list.members.iter().map(|member| key(member)).collect();
        let only = |members: &[String], others: &BTreeSet<String>| -> Vec<String> {
            members.iter().filter(|member| !others.contains(&key(member))).cloned().collect()
        };
        let (new, gone) = (only(&list.members, &before), only(&was.members, &after));
        if !new.is_empty() {
            let what = counted(&new);
            self.contents.push(step("+", Deed::AddMembers(list.address.clone(), new), what));
        }
        if self.prune && !gone.is_empty() {
            let what = counted(&gone);
            self.last.push(step("-", Deed::RemoveMembers(list.address.clone(), gone), what));
        }
    }

    fn autoresponders(&mut self, before: &DomainSettings, wanted: &DomainSettings) {
        let now = keyed(&before.autoresponders, |a| &a.address);
        let then = keyed(&wanted.autoresponders, |a| &a.address);
        for (address, autoresponder) in &then {
            let was = now.get(address);
            if was.is_some_and(|was| same_answer(was, autoresponder)) {
                continue;
            }
            let change = if was.is_none() { "+" } else { "~" };
            let deed = Deed::SetAutoresponder(proto_autoresponder(autoresponder));
            self.contents.push(step(change, deed, autoresponder.subject.clone()));
        }
        for (address, autoresponder) in &now {
            if self.prune && !then.contains_key(address) {
                self.remove(Deed::DeleteAutoresponder(autoresponder.address.clone()), false);
            }
        }
    }
}

pub(super) fn step(change: &'static str, deed: Deed, what: String) -> Step {
    Step { change, deed, what }
}

fn by_name(domains: &[DomainSettings]) -> BTreeMap<String, &DomainSettings> {
    domains.iter().map(|domain| (domain_key(&domain.name), domain)).collect()
}

fn keyed<'a, T>(things: &'a [T], address: impl Fn(&'a T) -> &'a String) -> BTreeMap<String, &'a T> {
    things.iter().map(|thing| (key(address(thing)), thing)).collect()
}

fn counted(members: &[String]) -> String {
    match members {
        [one] => one.clone(),
        many => format!("{} addresses", many.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::document::{ForwardSettings, MailboxSettings};

    #[test]
    fn a_forward_that_hides_its_mailbox_is_told_and_one_that_keeps_a_copy_is_not() {
        let mailbox = || MailboxSettings { address: "x@a.test".to_owned(), ..MailboxSettings::default() };
        let with = |mailboxes, forwards| {
            let domain = DomainSettings {
                name: "a.test".to_owned(),
                mailboxes,
                forwards,
                ..DomainSettings::default()
            };
            Document { customer: "a".to_owned(), domains: vec![domain] }
        };
        let present = with(vec![mailbox()], Vec::new());
        for (targets, keep_copy, in_document, prune, is_hidden) in [
            (&["out@c.test"][..], false, true, false, true),
            (&["out@c.test"], false, false, false, true),
            (&["out@c.test"], false, false, true, false),
            (&["out@c.test"], true, true, false, false),
            (&["out@c.test", "X@a.test"], false, true, false, false),
        ] {
            let targets: Vec<String> = targets.iter().map(|target| (*target).to_owned()).collect();
            let forward = ForwardSettings { address: "X@a.test".to_owned(), targets, keep_copy };
            let boxes = if in_document { vec![mailbox()] } else { Vec::new() };
            let (_, warnings) = plan(&present, &with(boxes, vec![forward.clone()]), prune);
            assert_eq!(warnings.len(), usize::from(is_hidden), "{forward:?} {warnings:?}");
            let told = warnings
                .iter()
                .all(|warning| warning.starts_with("forward x@a.test: mail goes to the forward only"));
            assert!(told, "{warnings:?}");
        }
    }
}
