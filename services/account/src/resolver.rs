//! Where an address leads: the one function that everybody asks, over rows that were read before. Pure.
//!
//! A rewritten sender leads back to who it was made of, and a mailing list's command addresses come next. Then explicit beats catch-all, whatever was created first (PROMISES.md,
//! promise 5): a mailbox, forward, list or autoresponder of exactly this name, then `user` for `user+tag`, then postmaster and
//! abuse to the default box, then the rule of the domain.

use std::collections::{HashMap, HashSet};

use postern_mail::{
    EmailAddress,
    rewritten_sender::{SenderKey, is_rewritten, restore},
};
use postern_proto::account::v1::{
    DiscardOutcome, DomainState, ListAddress, LocalList, LocalMailbox, LocalOutcome, MatchKind,
    NotLiveOutcome, RemoteOutcome, Resolution, UnknownOutcome, resolution::Outcome,
};

use crate::list_addresses::{Command, command_of};

/// Names that every domain must answer to (RFC 5321 section 4.5.1, RFC 2142 section 4).
const ROLES: [&str; 2] = ["postmaster", "abuse"];

/// The rows that can matter to the addresses asked for, all of one moment. Addresses are canonical.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) mailboxes: HashMap<String, i64>,
    pub(crate) forwards: HashMap<String, ForwardRow>,
    pub(crate) lists: HashMap<String, ListRow>,
    /// Those that have not ended.
    pub(crate) autoresponders: HashMap<String, AutoresponderRow>,
    pub(crate) domains: HashMap<String, DomainRow>,
    /// Mailboxes that hold as much as they may.
    pub(crate) full: HashSet<i64>,
    /// Where rewritten senders are asked for: the keys of their marks.
    pub(crate) sender_keys: Vec<SenderKey>,
    /// Days since 1970.
    pub(crate) today: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct ForwardRow {
    pub(crate) targets: Vec<String>,
    pub(crate) keep_copy: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct ListRow {
    pub(crate) list_id: i64,
    pub(crate) owner: String,
    /// Everything goes there instead.
    pub(crate) listserv: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct AutoresponderRow {
    pub(crate) autoresponder_id: i64,
    /// Until then it takes no mail alone: what it does not answer it must not swallow.
    pub(crate) started: bool,
}

/// A domain that is or was hosted.
#[derive(Clone, Debug)]
pub(crate) struct DomainRow {
    pub(crate) version: i64,
    /// `None` once it is removed.
    pub(crate) hosted: Option<HostedDomain>,
}

#[derive(Clone, Debug)]
pub(crate) struct HostedDomain {
    pub(crate) state: DomainState,
    /// The domain that it is a second name of: then it has no box and no rule of its own.
    pub(crate) alias_of: Option<String>,
    /// 0 for a second name.
    pub(crate) default_mailbox_id: i64,
    pub(crate) default_rule: DefaultRule,
}

/// What happens to what nothing else takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefaultRule {
    Box,
    Reject,
    Discard,
    Address(String),
}

/// An address with the keys that its resolution looks up.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    address: EmailAddress,
    pub(crate) exact: String,
    pub(crate) without_tag: Option<String>,
    /// The list whose command address it is, if there is such a list.
    pub(crate) command: Option<(String, Command)>,
    /// What stands after the `+`, as it was asked.
    tag: String,
    /// As it was asked, when it has the form of a rewritten sender.
    pub(crate) rewritten: Option<EmailAddress>,
}

impl Question {
    pub(crate) fn new(address: &EmailAddress) -> Self {
        let tag = address.local().split_once('+').map_or("", |(_user, tag)| tag).to_owned();
        let rewritten = is_rewritten(address.local()).then(|| address.clone());
        let address = address.canonical();
        let exact = address.to_string();
        let without_tag = address.without_tag().map(|user| user.to_string());
        let command = command_of(&address);
        Self { address, exact, without_tag, command, tag, rewritten }
    }

    pub(crate) fn domain(&self) -> &str {
        self.address.domain().as_str()
    }

    /// The same local part in the domain whose second name it was asked under; `None`: it is no second name.
    pub(crate) fn at_home(&self, snapshot: &Snapshot) -> Option<Self> {
        let target = snapshot.domains.get(self.domain())?.hosted.as_ref()?.alias_of.as_ref()?;
        let address: EmailAddress = format!("{}@{target}", self.address.local()).parse().ok()?;
        // A tag is somebody's token: it stays as it was typed.
        Some(Self { tag: self.tag.clone(), ..Self::new(&address) })
    }
}

/// Answers where an address leads.
pub(crate) fn resolve(question: &Question, snapshot: &Snapshot) -> Resolution {
    let domain = snapshot.domains.get(question.domain());
    let mut outcome = match domain.and_then(|row| row.hosted.as_ref()) {
        None => Outcome::Remote(RemoteOutcome {}),
        Some(hosted) if hosted.state != DomainState::Live => Outcome::NotLive(NotLiveOutcome {}),
        // What was not made here, or too long ago, is nobody: never the default box.
        Some(_) if question.rewritten.is_some() => rewritten(question, snapshot),
        Some(hosted) if hosted.alias_of.is_some() => under_second_name(question, snapshot),
        Some(hosted) => local(question, snapshot, hosted),
    };
    if let Outcome::Local(LocalOutcome { mailbox: Some(mailbox), .. }) = &mut outcome {
        mailbox.full = snapshot.full.contains(&mailbox.mailbox_id);
    }
    Resolution {
        address: question.exact.clone(),
        domain: question.domain().to_owned(),
        domain_version: domain.map_or(0, |row| row.version),
        outcome: Some(outcome),
    }
}

/// Back to the sender that it was made of, whoever writes to it: bounces have the null sender, other answers have not.
fn rewritten(question: &Question, snapshot: &Snapshot) -> Outcome {
    let address = question.rewritten.as_ref();
    match address.and_then(|address| restore(address, &snapshot.sender_keys, snapshot.today)) {
        Some(Ok(sender)) => taken(MatchKind::RewrittenSender, None, vec![sender.to_string()]),
        _ => Outcome::Unknown(UnknownOutcome {}),
    }
}

/// As in the domain that it stands for; Delivered-To keeps the address that was asked for.
fn under_second_name(question: &Question, snapshot: &Snapshot) -> Outcome {
    let Some(home) = question.at_home(snapshot) else { return Outcome::NotLive(NotLiveOutcome {}) };
    let mut outcome = match snapshot.domains.get(home.domain()).and_then(|row| row.hosted.as_ref()) {
        Some(hosted) if hosted.state == DomainState::Live => local(&home, snapshot, hosted),
        _ => Outcome::NotLive(NotLiveOutcome {}),
    };
    if let Outcome::Local(LocalOutcome { mailbox: Some(mailbox), .. }) = &mut outcome {
        mailbox.address.clone_from(&question.exact);
    }
    outcome
}

fn local(question: &Question, snapshot: &Snapshot, hosted: &HostedDomain) -> Outcome {
    let address = &question.exact;
    if let Some(outcome) = list_command(question, snapshot) {
        return outcome;
    }
    if let Some(outcome) = explicit(address, question, MatchKind::Exact, snapshot) {
        return outcome;
    }
    if let Some(user) = &question.without_tag
        && let Some(outcome) = explicit(user, question, MatchKind::SubAddress, snapshot)
    {
        return outcome;
    }
    let default_box = |matched| {
        let mailbox =
            LocalMailbox { mailbox_id: hosted.default_mailbox_id, address: address.clone(), full: false };
        taken(matched, Some(mailbox), Vec::new())
    };
    if ROLES.contains(&question.address.local()) {
        return default_box(MatchKind::Role);
    }
    match &hosted.default_rule {
        DefaultRule::Box => default_box(MatchKind::Default),
        DefaultRule::Reject => Outcome::Unknown(UnknownOutcome {}),
        DefaultRule::Discard => Outcome::Discard(DiscardOutcome {}),
        DefaultRule::Address(target) => taken(MatchKind::Default, None, vec![target.clone()]),
    }
}

/// A command address of a list that is there.
fn list_command(question: &Question, snapshot: &Snapshot) -> Option<Outcome> {
    let (name, command) = question.command.as_ref()?;
    let list = snapshot.lists.get(name)?;
    let matched = MatchKind::ListCommand;
    Some(match (&list.listserv, command.role()) {
        (Some(listserv), _) => taken(matched, None, vec![listserv.clone()]),
        (None, None) => taken(matched, None, vec![list.owner.clone()]),
        (None, Some(role)) => for_list(matched, list, name, role, question),
    })
}

/// What stands at exactly `name`: a mailbox, a forward, or a mailbox that carries a forward, each with its autoresponder; a
/// list; an autoresponder alone. `None`: nothing.
fn explicit(name: &str, question: &Question, matched: MatchKind, snapshot: &Snapshot) -> Option<Outcome> {
    let autoresponder = snapshot.autoresponders.get(name);
    if let Some((mailbox, targets)) = box_or_forward(name, &question.exact, snapshot) {
        let id = autoresponder.map_or(0, |row| row.autoresponder_id);
        return Some(answered(matched, mailbox, targets, id));
    }
    if let Some(list) = snapshot.lists.get(name) {
        return Some(match &list.listserv {
            Some(listserv) => taken(matched, None, vec![listserv.clone()]),
            None => for_list(matched, list, name, ListAddress::Post, question),
        });
    }
    let alone = autoresponder.filter(|row| row.started)?;
    Some(answered(matched, None, Vec::new(), alone.autoresponder_id))
}

fn box_or_forward(
    name: &str,
    asked: &str,
    snapshot: &Snapshot,
) -> Option<(Option<LocalMailbox>, Vec<String>)> {
    let mailbox = snapshot.mailboxes.get(name).copied();
    let mailbox =
        mailbox.map(|mailbox_id| LocalMailbox { mailbox_id, address: asked.to_owned(), full: false });
    let Some(forward) = snapshot.forwards.get(name) else {
        return mailbox.map(|mailbox| (Some(mailbox), Vec::new()));
    };
    let targets: Vec<_> = forward.targets.iter().filter(|target| !is_itself(target, name)).cloned().collect();
    // A mailbox that forwards to itself keeps a copy (F-05).
    let keeps = forward.keep_copy || targets.len() < forward.targets.len();
    match mailbox {
        Some(mailbox) => Some((keeps.then_some(mailbox), targets)),
        // Refused when it is written; without this a message to it would be accepted and lead nowhere.
        None if targets.is_empty() => None,
        None => Some((None, targets)),
    }
}

/// True when a target, in the spelling of its owner, is this canonical address.
pub(crate) fn is_itself(target: &str, address: &str) -> bool {
    target == address
        || target.parse::<EmailAddress>().is_ok_and(|target| target.canonical().to_string() == address)
}

fn taken(matched: MatchKind, mailbox: Option<LocalMailbox>, forward_targets: Vec<String>) -> Outcome {
    answered(matched, mailbox, forward_targets, 0)
}

/// The same with an autoresponder; 0: none.
fn answered(
    matched: MatchKind,
    mailbox: Option<LocalMailbox>,
    forward_targets: Vec<String>,
    autoresponder_id: i64,
) -> Outcome {
    let r#match = matched.into();
    Outcome::Local(LocalOutcome { r#match, mailbox, forward_targets, list: None, autoresponder_id })
}

fn for_list(
    matched: MatchKind,
    list: &ListRow,
    name: &str,
    role: ListAddress,
    question: &Question,
) -> Outcome {
    let list = LocalList {
        list_id: list.list_id,
        address: name.to_owned(),
        role: role.into(),
        tag: question.tag.clone(),
    };
    Outcome::Local(LocalOutcome { r#match: matched.into(), list: Some(list), ..LocalOutcome::default() })
}

#[cfg(test)]
mod tests;
