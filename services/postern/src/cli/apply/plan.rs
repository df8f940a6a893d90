//! What must be done so that the settings become what a document says: the difference of two documents, in a safe order.
//! Domains come first (aliases after what they are an alias of), then what addresses lead to, then the default addresses and
//! where spam goes, and what is to go goes last, save where its address is needed for something else. Pure.

use std::collections::{BTreeMap, BTreeSet};

use postern_mail::DomainName;
use postern_proto::{
    account::v1::{
        Autoresponder, CreateDomainRequest, CreateMailboxRequest, DefaultAddress, Forward, Mailbox,
        MailingList, NewPassword, new_password::Secret,
    },
    google::Timestamp,
};

use super::{deed::Deed, switches};
use crate::cli::{
    document::{
        AutoresponderSettings, Document, DomainSettings, ForwardSettings, ListSettings, MailboxSettings,
        default_rule, key,
    },
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
        if before.is_some_and(|before| before.alias_of != wanted.alias_of) {
            self.warnings.push(format!("domain {name}: alias_of is set at creation and stays as it is"));
        }
        let word = |settings: &DomainSettings| settings.default_address.clone();
        let was = before.and_then(word).unwrap_or_else(|| "box".to_owned());
        if let Some(word) = wanted.default_address.clone().filter(|word| key(word) != key(&was)) {
            let (action, target) = default_rule(&word);
            let rule = DefaultAddress { domain: name, action: action.into(), target };
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
        let boxes: BTreeSet<String> =
            before.mailboxes.iter().chain(&wanted.mailboxes).map(|m| key(&m.address)).collect();
        for (address, forward) in &then {
            if boxes.contains(address) && !forward.keep_copy {
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

fn new_mailbox(mailbox: &MailboxSettings) -> Step {
    let phc = mailbox.password_phc.clone();
    let what = if phc.is_none() { "with a random password" } else { "with the given hash" };
    let request = CreateMailboxRequest {
        address: mailbox.address.clone(),
        password: phc.map(|phc| NewPassword { secret: Some(Secret::Phc(phc)) }),
        display_name: mailbox.name.clone().unwrap_or_default(),
        request_id: request_id(),
        quota_bytes: mailbox.quota_bytes,
    };
    step("+", Deed::CreateMailbox(request), what.to_owned())
}

fn changed_mailbox(was: &MailboxSettings, wanted: &MailboxSettings) -> Option<Step> {
    let mut mailbox = Mailbox { address: was.address.clone(), ..Mailbox::default() };
    let (mut paths, mut what) = (Vec::new(), Vec::new());
    if let Some(name) = wanted.name.as_ref().filter(|name| **name != was.name.clone().unwrap_or_default()) {
        mailbox.display_name.clone_from(name);
        paths.push("display_name");
        what.push(format!("name {name:?}"));
    }
    if let Some(quota) = wanted.quota_bytes.filter(|quota| Some(*quota) != was.quota_bytes) {
        mailbox.quota_bytes = Some(quota);
        paths.push("quota_bytes");
        what.push(format!("quota_bytes {quota}"));
    }
    (!paths.is_empty()).then(|| step("~", Deed::UpdateMailbox(mailbox, paths), what.join(", ")))
}

fn changed_forward(was: &ForwardSettings, wanted: &ForwardSettings) -> Option<Step> {
    let targets = |forward: &ForwardSettings| -> BTreeSet<String> {
        forward.targets.iter().map(|target| key(target)).collect()
    };
    let mut paths = Vec::new();
    if targets(was) != targets(wanted) {
        paths.push("targets");
    }
    if was.keep_copy != wanted.keep_copy {
        paths.push("keep_copy");
    }
    let what = format!("{} -> {}", was.targets.join(", "), wanted.targets.join(", "));
    (!paths.is_empty()).then(|| step("~", Deed::UpdateForward(proto_forward(wanted), paths), what))
}

fn changed_list(was: &ListSettings, wanted: &ListSettings) -> Option<Step> {
    let differs = |then: bool, path: &'static str| then.then_some(path);
    let text = |now: &Option<String>, then: &Option<String>| {
        then.as_ref().is_some_and(|then| *then != now.clone().unwrap_or_default())
    };
    let paths: Vec<&'static str> = [
        differs(wanted.posting.is_some() && wanted.posting != was.posting, "posting"),
        differs(wanted.replies.is_some() && wanted.replies != was.replies, "replies"),
        differs(text(&was.subject_prefix, &wanted.subject_prefix), "subject_prefix"),
        differs(
            wanted.owner.as_deref().is_some_and(|o| key(o) != key(was.owner.as_deref().unwrap_or(""))),
            "owner",
        ),
        differs(text(&was.description, &wanted.description), "description"),
        differs(
            wanted.message_max_bytes.is_some_and(|max| max != was.message_max_bytes.unwrap_or(0)),
            "message_max_bytes",
        ),
        differs(text(&was.listserv, &wanted.listserv), "listserv"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let what = paths.join(", ");
    (!paths.is_empty()).then(|| step("~", Deed::UpdateList(proto_list(wanted), paths), what))
}

fn same_answer(was: &AutoresponderSettings, wanted: &AutoresponderSettings) -> bool {
    const WEEK_SECONDS: i64 = 7 * 24 * 3600;
    let form = |a: &AutoresponderSettings| {
        let text = a.text.replace("\r\n", "\n");
        (a.subject.clone(), text, a.start, a.end, a.interval_seconds.unwrap_or(WEEK_SECONDS))
    };
    form(was) == form(wanted)
}

fn proto_forward(forward: &ForwardSettings) -> Forward {
    Forward {
        address: forward.address.clone(),
        targets: forward.targets.clone(),
        keep_copy: forward.keep_copy,
        ..Forward::default()
    }
}

fn proto_list(list: &ListSettings) -> MailingList {
    MailingList {
        address: list.address.clone(),
        posting: list.posting.map_or(0, |posting| posting.proto().into()),
        replies: list.replies.map_or(0, |replies| replies.proto().into()),
        subject_prefix: list.subject_prefix.clone().unwrap_or_default(),
        owner: list.owner.clone().unwrap_or_default(),
        description: list.description.clone().unwrap_or_default(),
        message_max_bytes: list.message_max_bytes.unwrap_or(0),
        listserv: list.listserv.clone().unwrap_or_default(),
        ..MailingList::default()
    }
}

fn proto_autoresponder(settings: &AutoresponderSettings) -> Autoresponder {
    let time = |moment: Option<jiff::Timestamp>| {
        moment.map(|moment| Timestamp { seconds: moment.as_second(), nanos: moment.subsec_nanosecond() })
    };
    Autoresponder {
        address: settings.address.clone(),
        subject: settings.subject.clone(),
        text: settings.text.clone(),
        start_time: time(settings.start),
        end_time: time(settings.end),
        interval_seconds: settings.interval_seconds.unwrap_or(0),
        ..Autoresponder::default()
    }
}

fn step(change: &'static str, deed: Deed, what: String) -> Step {
    Step { change, deed, what }
}

fn by_name(domains: &[DomainSettings]) -> BTreeMap<String, &DomainSettings> {
    domains.iter().map(|domain| (domain_key(&domain.name), domain)).collect()
}

fn domain_key(name: &str) -> String {
    name.parse::<DomainName>().map_or_else(|_| name.to_owned(), |name| name.to_string())
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
