//! Where two settings of one thing differ: the paths of the update and what it says to people; and things as messages. Pure.

use std::collections::BTreeSet;

use postern_proto::{
    account::v1::{
        Autoresponder, CreateMailboxRequest, Forward, Mailbox, MailingList, NewPassword, new_password::Secret,
    },
    google::Timestamp,
};

use super::{
    deed::Deed,
    plan::{Step, step},
};
use crate::cli::{
    document::{AutoresponderSettings, ForwardSettings, ListSettings, MailboxSettings, key},
    operator::request_id,
};

/// In a document: what the limits of the customer say.
const NO_QUOTA_OF_ITS_OWN: i64 = 0;

pub(super) fn new_mailbox(mailbox: &MailboxSettings) -> Step {
    let phc = mailbox.password_phc.clone();
    let what = if phc.is_none() { "with a random password" } else { "with the given hash" };
    let request = CreateMailboxRequest {
        address: mailbox.address.clone(),
        password: phc.map(|phc| NewPassword { secret: Some(Secret::Phc(phc)) }),
        display_name: mailbox.name.clone().unwrap_or_default(),
        request_id: request_id(),
        quota_bytes: mailbox.quota_bytes.and_then(set_quota),
    };
    step("+", Deed::CreateMailbox(request), what.to_owned())
}

pub(super) fn changed_mailbox(was: &MailboxSettings, wanted: &MailboxSettings) -> Option<Step> {
    let mut mailbox = Mailbox { address: was.address.clone(), ..Mailbox::default() };
    let (mut paths, mut what) = (Vec::new(), Vec::new());
    if let Some(name) = wanted.name.as_ref().filter(|name| **name != was.name.clone().unwrap_or_default()) {
        mailbox.display_name.clone_from(name);
        paths.push("display_name");
        what.push(format!("name {name:?}"));
    }
    if let Some(quota) =
        wanted.quota_bytes.filter(|quota| *quota != was.quota_bytes.unwrap_or(NO_QUOTA_OF_ITS_OWN))
    {
        mailbox.quota_bytes = set_quota(quota);
        paths.push("quota_bytes");
        what.push(
            mailbox
                .quota_bytes
                .map_or("quota_bytes as the customer's".to_owned(), |q| format!("quota_bytes {q}")),
        );
    }
    (!paths.is_empty()).then(|| step("~", Deed::UpdateMailbox(mailbox, paths), what.join(", ")))
}

pub(super) fn changed_forward(was: &ForwardSettings, wanted: &ForwardSettings) -> Option<Step> {
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

pub(super) fn changed_list(was: &ListSettings, wanted: &ListSettings) -> Option<Step> {
    let differs = |then: bool, path: &'static str| then.then_some(path);
    let text = |now: &Option<String>, then: &Option<String>| {
        then.as_ref().is_some_and(|then| *then != now.clone().unwrap_or_default())
    };
    let address = |now: &Option<String>, then: &Option<String>| {
        then.as_deref().is_some_and(|then| key(then) != key(now.as_deref().unwrap_or_default()))
    };
    let paths: Vec<&'static str> = [
        differs(wanted.posting.is_some() && wanted.posting != was.posting, "posting"),
        differs(wanted.replies.is_some() && wanted.replies != was.replies, "replies"),
        differs(text(&was.subject_prefix, &wanted.subject_prefix), "subject_prefix"),
        differs(address(&was.owner, &wanted.owner), "owner"),
        differs(text(&was.description, &wanted.description), "description"),
        differs(
            wanted.message_max_bytes.is_some_and(|max| max != was.message_max_bytes.unwrap_or(0)),
            "message_max_bytes",
        ),
        differs(address(&was.listserv, &wanted.listserv), "listserv"),
    ]
    .into_iter()
    .flatten()
    .collect();
    let what = paths.join(", ");
    (!paths.is_empty()).then(|| step("~", Deed::UpdateList(proto_list(wanted), paths), what))
}

pub(super) fn same_answer(was: &AutoresponderSettings, wanted: &AutoresponderSettings) -> bool {
    const WEEK_SECONDS: i64 = 7 * 24 * 3600;
    let form = |a: &AutoresponderSettings| {
        let text = a.text.replace("\r\n", "\n");
        (a.subject.clone(), text, a.start, a.end, a.interval_seconds.unwrap_or(WEEK_SECONDS))
    };
    form(was) == form(wanted)
}

pub(super) fn proto_forward(forward: &ForwardSettings) -> Forward {
    Forward {
        address: forward.address.clone(),
        targets: forward.targets.clone(),
        keep_copy: forward.keep_copy,
        ..Forward::default()
    }
}

pub(super) fn proto_list(list: &ListSettings) -> MailingList {
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

pub(super) fn proto_autoresponder(settings: &AutoresponderSettings) -> Autoresponder {
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

/// The quota of a document as the message has it.
fn set_quota(quota: i64) -> Option<i64> {
    Some(quota).filter(|quota| *quota != NO_QUOTA_OF_ITS_OWN)
}
