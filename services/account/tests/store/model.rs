//! Random sequences of settings through the real service, against a plain model of what the promise says: after each setting,
//! every address leads where the model says, and what the model refuses is refused.
//!
//! The seed is printed; `POSTERN_TEST_SEED` repeats a sequence.

use std::collections::{BTreeMap, BTreeSet};

use crate::asking::{new_answer, new_forward, new_list, new_mailbox, paths};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::account::v1::{
    BatchResolveRecipientsRequest, BoxUsage, CreateDomainRequest, DefaultAction, DefaultAddress,
    DeleteAutoresponderRequest, DeleteDomainRequest, DeleteForwardRequest, DeleteMailboxRequest,
    DeleteMailingListRequest, Domain, DomainState, Forward, LocalOutcome, Mailbox, MailingList,
    ReportBoxUsageRequest, Resolution, RestoreMailboxRequest, UpdateDefaultAddressRequest,
    UpdateDomainRequest, UpdateForwardRequest, UpdateMailboxRequest, UpdateMailingListRequest,
    resolution::Outcome,
};
use tonic::Status;

const DOMAIN: &str = "m.test";
/// Its second name: every address is asked under both.
const SECOND: &str = "m-too.test";
/// Where forwards lead: outside, and to what the default address takes.
const TARGETS: [&str; 3] = ["p@else.test", "q@else.test", "nobody@m-too.test"];
/// A quota, and what a box holds that is full.
const QUOTA: i64 = 50;
/// Names that get in each other's way.
const NAMES: [&str; 13] = [
    "a",
    "b",
    "a+t",
    "b+t",
    "a-owner",
    "a-request+t",
    "a-bounces",
    "b-subscribe",
    "a-owner-request",
    "postmaster",
    "abuse",
    "b-unsubscribe+t",
    "c",
];
/// Asked after each setting, beside the names.
const ASKED: [&str; 9] =
    ["A", "a+u", "c+t", "a-request+Tag", "b-owner", "b-bounces+x", "abuse+t", "a-owner+t", "nobody"];
const SETTINGS: usize = 400;

/// A small generator (splitmix64): the same numbers for the same seed, for ever.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap()
    }
    fn of<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.below(things.len())]
    }
}

/// A box that was removed, with what went with it.
struct Removed {
    id: i64,
    forward: Option<(String, bool)>,
    answers: bool,
}

/// What a customer has set, in plain maps by local part.
#[derive(Default)]
struct Model {
    /// Neither the domain nor its second name takes mail; the second name does not.
    domain_sleeps: bool,
    second_sleeps: bool,
    /// By name, the newest last.
    removed: BTreeMap<String, Vec<Removed>>,
    full: BTreeSet<i64>,
    /// Of the reports of usage.
    reports: i64,
    default_box: i64,
    boxes: BTreeMap<String, i64>,
    forwards: BTreeMap<String, (String, bool)>,
    /// Id and list server.
    lists: BTreeMap<String, (i64, String)>,
    answers: BTreeSet<String>,
    rule: Option<DefaultAction>,
}

impl Model {
    /// The command address of which list, of those that could be.
    fn could_command(name: &str) -> Option<(&str, &'static str)> {
        let user = name.split('+').next().unwrap();
        ["subscribe", "unsubscribe", "request", "owner", "bounces"].into_iter().find_map(|command| {
            let list = user.strip_suffix(command)?.strip_suffix('-')?;
            (!list.is_empty()).then_some((list, command))
        })
    }
    fn commands<'n>(&self, name: &'n str) -> Option<(&'n str, &'static str)> {
        Self::could_command(name).filter(|(list, _)| self.lists.contains_key(*list))
    }
    fn may_have_box(&self, name: &str) -> bool {
        !self.boxes.contains_key(name) && self.may_have_forward(name)
    }
    fn may_have_forward(&self, name: &str) -> bool {
        !self.forwards.contains_key(name) && self.may_have_answer(name)
    }
    fn may_have_answer(&self, name: &str) -> bool {
        !self.lists.contains_key(name) && self.commands(name).is_none()
    }
    fn may_have_list(&self, name: &str) -> bool {
        let mut all =
            self.boxes.keys().chain(self.forwards.keys()).chain(&self.answers).chain(self.lists.keys());
        self.commands(name).is_none()
            && !all.any(|other| {
                other == name || Self::could_command(other).is_some_and(|(list, _)| list == name)
            })
    }

    /// A removal of a box takes along what stands beside it.
    fn remove_box(&mut self, name: &str) -> bool {
        let Some(id) = self.boxes.remove(name) else { return false };
        let (forward, answers) = (self.forwards.remove(name), self.answers.remove(name));
        self.removed.entry(name.to_owned()).or_default().push(Removed { id, forward, answers });
        true
    }

    /// The box that was removed last comes back with what it had, unless something stands there. True when it is no error.
    fn restore_box(&mut self, name: &str) -> bool {
        let free = self.may_have_box(name);
        let Some(removed) = self.removed.get_mut(name).filter(|removed| !removed.is_empty()) else {
            return false;
        };
        if self.boxes.contains_key(name) {
            return true;
        }
        let Some(Removed { id, forward, answers }) = removed.pop_if(|_| free) else { return false };
        self.boxes.insert(name.to_owned(), id);
        self.forwards.extend(forward.map(|forward| (name.to_owned(), forward)));
        if answers {
            self.answers.insert(name.to_owned());
        }
        true
    }

    fn shown(&self, id: i64) -> String {
        if self.full.contains(&id) { format!("{id} full") } else { id.to_string() }
    }

    /// The same under the second name.
    fn leads_under(&self, domain: &str, asked: &str) -> String {
        match self.domain_sleeps || (domain == SECOND && self.second_sleeps) {
            true => "not live".into(),
            false => self.leads(asked),
        }
    }

    /// Where an address leads, in one line.
    fn leads(&self, asked: &str) -> String {
        let name = asked.to_lowercase();
        let tag = asked.split_once('+').map_or("", |(_, tag)| tag);
        if let Some((list, command)) = self.commands(&name) {
            let (id, listserv) = &self.lists[list];
            return match (listserv.as_str(), command) {
                ("", "owner") => "command to postmaster@m.test".into(),
                ("", command) => format!("command {id} {command} {tag}"),
                (listserv, _) => format!("command to {listserv}"),
            };
        }
        let (user, tagged) = name.split_once('+').map_or((name.as_str(), false), |(user, _)| (user, true));
        if let Some(found) = self.exactly(&name, tag) {
            return format!("exact {found}");
        }
        if let Some(found) = self.exactly(user, tag).filter(|_| tagged) {
            return format!("tagged {found}");
        }
        if name == "postmaster" || name == "abuse" {
            return format!("role {}", self.default_box);
        }
        match self.rule {
            None | Some(DefaultAction::Box) => format!("default {}", self.default_box),
            Some(DefaultAction::Address) => "default to catch@else.test".into(),
            Some(DefaultAction::Discard) => "discard".into(),
            _ => "unknown".into(),
        }
    }
    fn exactly(&self, name: &str, tag: &str) -> Option<String> {
        let answer = if self.answers.contains(name) { " and answers" } else { "" };
        match (self.boxes.get(name), self.forwards.get(name)) {
            (Some(id), None) => return Some(format!("{}{answer}", self.shown(*id))),
            (Some(id), Some((target, true))) => {
                return Some(format!("{} to {target}{answer}", self.shown(*id)));
            }
            (_, Some((target, _))) => return Some(format!("to {target}{answer}")),
            (None, None) => {}
        }
        match self.lists.get(name) {
            Some((id, listserv)) if listserv.is_empty() => Some(format!("{id} post {tag}")),
            Some((_, listserv)) => Some(format!("to {listserv}")),
            None if self.answers.contains(name) => Some("and answers".into()),
            None => None,
        }
    }
}

/// The answer of the service in the same words.
fn told(resolution: &Resolution) -> String {
    match resolution.outcome.as_ref().unwrap() {
        Outcome::Local(local) => said(local),
        Outcome::Discard(_) => "discard".into(),
        Outcome::Unknown(_) => "unknown".into(),
        Outcome::Remote(_) => "remote".into(),
        Outcome::NotLive(_) => "not live".into(),
    }
}

fn said(local: &LocalOutcome) -> String {
    let matched = match local.r#match().as_str_name().trim_start_matches("MATCH_KIND_") {
        "EXACT" => "exact",
        "SUB_ADDRESS" => "tagged",
        "DEFAULT" => "default",
        "ROLE" => "role",
        "LIST_COMMAND" => "command",
        other => panic!("{other}"),
    };
    let mut words = vec![matched.to_owned()];
    words.extend(local.mailbox.as_ref().map(|mailbox| mailbox.mailbox_id.to_string()));
    words.extend(local.mailbox.as_ref().filter(|mailbox| mailbox.full).map(|_| "full".to_owned()));
    if let Some(list) = &local.list {
        let role = list.role().as_str_name().trim_start_matches("LIST_ADDRESS_").to_lowercase();
        words.push(format!("{} {role} {}", list.list_id, list.tag));
    }
    words.extend(local.forward_targets.iter().map(|target| format!("to {target}")));
    if local.autoresponder_id != 0 {
        words.push("and answers".into());
    }
    words.join(" ")
}

/// One setting at the service and in the model, which must agree on whether it is done.
async fn set(replica: &Replica, model: &mut Model, dice: &mut Dice) -> String {
    let name = dice.of(&NAMES).to_owned();
    let address = format!("{name}@{DOMAIN}");
    let agree = |what: &str, may: bool, done: Result<(), Status>| {
        match &done {
            Ok(()) => assert!(may, "{what} must be refused"),
            Err(status) => {
                let reason = failure::typed_reason(status);
                assert!(!may, "{what}: {status}");
                let expected = [
                    Reason::AlreadyExists,
                    Reason::NotFound,
                    Reason::FailedPrecondition,
                    Reason::InvalidArgument,
                ];
                assert!(reason.is_some_and(|reason| expected.contains(&reason)), "{what}: {status}");
            }
        }
        format!("{what} {}", if may { "done" } else { "refused" })
    };
    match dice.below(26) {
        0..=2 => {
            let made = replica.mailboxes().create_mailbox(new_mailbox(&address)).await;
            let id = made.as_ref().ok().map(|made| made.get_ref().mailbox.as_ref().unwrap().mailbox_id);
            let said = agree(&format!("box {name}"), model.may_have_box(&name), made.map(drop));
            if let Some(id) = id {
                model.boxes.insert(name, id);
            }
            said
        }
        3..=5 => {
            let (keeps, target) = (dice.below(2) == 1, dice.of(&TARGETS));
            let made = replica.forwards().create_forward(new_forward(&address, &[target], keeps)).await;
            let may = model.may_have_forward(&name) && (!keeps || model.boxes.contains_key(&name));
            if may {
                model.forwards.insert(name.clone(), (target.to_owned(), keeps));
                // Of itself it is no longer free.
                let said = agree(&format!("forward {name}"), true, made.map(drop));
                return said;
            }
            agree(&format!("forward {name}"), false, made.map(drop))
        }
        6..=8 => {
            let made = replica.lists().create_mailing_list(new_list(&address)).await;
            let may = model.may_have_list(&name) && !name.contains('+');
            let id = made.as_ref().ok().map(|made| made.get_ref().list.as_ref().unwrap().list_id);
            let said = agree(&format!("list {name}"), may, made.map(drop));
            if let Some(id) = id {
                model.lists.insert(name, (id, String::new()));
            }
            said
        }
        9..=10 => {
            let may = model.may_have_answer(&name);
            let done = replica.autoresponders().update_autoresponder(new_answer(&address)).await;
            if may {
                model.answers.insert(name.clone());
            }
            agree(&format!("answer {name}"), may, done.map(drop))
        }
        11 => {
            let done = replica.mailboxes().delete_mailbox(DeleteMailboxRequest { address }).await;
            agree(&format!("no box {name}"), model.remove_box(&name), done.map(drop))
        }
        12 => {
            let done = replica.forwards().delete_forward(DeleteForwardRequest { address }).await;
            agree(&format!("no forward {name}"), model.forwards.remove(&name).is_some(), done.map(drop))
        }
        13 => {
            let done = replica.lists().delete_mailing_list(DeleteMailingListRequest { address }).await;
            agree(&format!("no list {name}"), model.lists.remove(&name).is_some(), done.map(drop))
        }
        14 => {
            let request = DeleteAutoresponderRequest { address };
            let done = replica.autoresponders().delete_autoresponder(request).await;
            agree(&format!("no answer {name}"), model.answers.remove(&name), done.map(drop))
        }
        15 => {
            let target = dice.of(&["r@else.test", "s@else.test"]);
            let forward = Forward { address, targets: vec![target.to_owned()], ..Default::default() };
            let request = UpdateForwardRequest { forward: Some(forward), update_mask: paths(&["targets"]) };
            let done = replica.forwards().update_forward(request).await;
            let had = model.forwards.get_mut(&name).map(|forward| forward.0 = target.to_owned()).is_some();
            agree(&format!("forward {name} to {target}"), had, done.map(drop))
        }
        16 => {
            let listserv = dice.of(&["", "serv@lists.test"]);
            let list = MailingList { address, listserv: listserv.to_owned(), ..Default::default() };
            let request = UpdateMailingListRequest { list: Some(list), update_mask: paths(&["listserv"]) };
            let done = replica.lists().update_mailing_list(request).await;
            let had = model.lists.get_mut(&name).map(|list| list.1 = listserv.to_owned()).is_some();
            agree(&format!("list {name} handed to {listserv:?}"), had, done.map(drop))
        }
        17..=18 => {
            use DefaultAction::{Address, Box, Discard, Reject};
            let action = dice.of(&[Box, Reject, Discard, Address]);
            let target = if action == Address { "catch@else.test" } else { "" }.to_owned();
            let rule =
                DefaultAddress { domain: DOMAIN.into(), action: action.into(), target, ..Default::default() };
            let request = UpdateDefaultAddressRequest { default_address: Some(rule) };
            replica.defaults().update_default_address(request).await.unwrap();
            model.rule = Some(action);
            format!("default {action:?}")
        }
        19..=21 => {
            let done =
                replica.mailboxes().restore_mailbox(RestoreMailboxRequest { address, mailbox_id: 0 }).await;
            agree(&format!("box {name} back"), model.restore_box(&name), done.map(drop))
        }
        22..=23 => {
            use DomainState::{Live, Lost, Pending};
            let (domain, state) = (dice.of(&[DOMAIN, SECOND]), dice.of(&[Live, Live, Live, Pending, Lost]));
            let wanted = Domain { name: domain.into(), state: state.into(), ..Default::default() };
            let request = UpdateDomainRequest { domain: Some(wanted), update_mask: paths(&["state"]) };
            replica.domains().update_domain(request).await.unwrap();
            match domain {
                DOMAIN => model.domain_sleeps = state != Live,
                _ => model.second_sleeps = state != Live,
            }
            format!("{domain} {state:?}")
        }
        24 => {
            let Some(id) = model.boxes.get(&name).copied() else { return "nothing".into() };
            let mailbox = Mailbox { address, quota_bytes: Some(QUOTA), ..Default::default() };
            let request =
                UpdateMailboxRequest { mailbox: Some(mailbox), update_mask: paths(&["quota_bytes"]) };
            replica.mailboxes().update_mailbox(request).await.unwrap();
            let is_full = dice.below(2) == 1;
            model.reports += 1;
            let used_bytes = if is_full { QUOTA } else { QUOTA - 1 };
            let told = BoxUsage { mailbox_id: id, used_bytes, message_count: 1, version: model.reports };
            replica.storage().report_box_usage(ReportBoxUsageRequest { boxes: vec![told] }).await.unwrap();
            if is_full {
                model.full.insert(id)
            } else {
                model.full.remove(&id)
            };
            format!("{name} holds {used_bytes}")
        }
        // The whole domain, but rarely.
        _ if dice.below(4) == 0 => {
            let names: Vec<String> = model.boxes.keys().cloned().collect();
            for name in names {
                model.remove_box(&name);
            }
            for name in [SECOND, DOMAIN] {
                let request = DeleteDomainRequest { name: name.into(), ..Default::default() };
                replica.domains().delete_domain(request).await.unwrap();
            }
            let default_box = new_domain(replica).await;
            let Model { removed, full, reports, .. } = std::mem::take(model);
            *model = Model { default_box, removed, full, reports, ..Model::default() };
            "a new domain".into()
        }
        _ => "nothing".into(),
    }
}

/// The domain and its second name, in service; the id of its default box.
async fn new_domain(replica: &Replica) -> i64 {
    let domain = replica.domain(DOMAIN, "model").await;
    let second = CreateDomainRequest {
        name: SECOND.into(),
        customer: "model".into(),
        alias_of: DOMAIN.into(),
        live: true,
        ..Default::default()
    };
    replica.domains().create_domain(second).await.unwrap();
    domain.default_mailbox_id
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_lead_where_a_plain_model_says_after_any_settings() {
    let seed = std::env::var("POSTERN_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    println!("POSTERN_TEST_SEED={seed}");
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("model")).await;
    replica.customer("model").await;
    let mut model = Model { default_box: new_domain(&replica).await, ..Model::default() };
    let mut dice = Dice(seed);
    let mut history = Vec::new();
    for _ in 0..SETTINGS {
        history.push(set(&replica, &mut model, &mut dice).await);
        let names = NAMES.iter().chain(&ASKED).copied();
        let asked: Vec<_> = names.flat_map(|name| [(name, DOMAIN), (name, SECOND)]).collect();
        let addresses = asked.iter().map(|(name, domain)| format!("{name}@{domain}")).collect();
        let request = BatchResolveRecipientsRequest { addresses };
        let answer = replica.directory().batch_resolve_recipients(request).await.unwrap().into_inner();
        for ((name, domain), resolution) in asked.iter().zip(&answer.resolutions) {
            let (service, model) = (told(resolution), model.leads_under(domain, name));
            assert_eq!(service.trim_end(), model.trim_end(), "{name}@{domain} after {}", history.join("; "));
        }
    }
    let done = history.iter().filter(|setting| setting.ends_with("done")).count();
    println!("{done} of {SETTINGS} settings were done");
    assert!(done > SETTINGS / 10, "the sequence must set something: {done}");
}
