//! Where an address leads, step by step, by the resolver that RCPT and delivery use.

use std::collections::{HashSet, VecDeque};

use postern_mail::{EmailAddress, Reason};
use postern_mesh::directory::Place;
use postern_proto::{
    account::v1::{ListAddress, LocalOutcome, MatchKind, Resolution, resolution::Outcome},
    auth::v1::{Explanation, Verdict},
};
use postern_smtp::reply::Reply;

use super::{Explainer, sight::Sight, way::Way};

/// Lines of a path.
const PATH_MAX: usize = 100;

/// What there is to say about an address.
pub(crate) struct RecipientExplained {
    pub(crate) explanation: Explanation,
    /// As in `info@a.test -> anna@a.test`.
    pub(crate) path: Vec<String>,
}

impl Explainer {
    /// Follows an address to its ends.
    pub(crate) async fn recipient(&self, sight: &Sight, address: &EmailAddress) -> RecipientExplained {
        let mut way = Way::default();
        let mut path = Vec::new();
        let mut ends = Vec::new();
        let mut seen = HashSet::from([address.canonical()]);
        let mut open = VecDeque::from([address.clone()]);
        while let Some(next) = open.pop_front() {
            let resolution = match self.resolve(sight, &next).await {
                Ok(resolution) => resolution,
                Err(_) => {
                    way.away("address-known", "the directory");
                    way.smtp("RCPT", &Reason::Unavailable.into());
                    break;
                }
            };
            if next == *address {
                self.first(&mut way, address, &resolution).await;
            }
            for end in ends_of(&resolution) {
                path.push(format!("{next} -> {end}"));
                ends.push(end);
            }
            for target in targets_of(&resolution) {
                if path.len() >= PATH_MAX {
                    break;
                }
                path.push(format!("{next} -> {target}"));
                if let Ok(target) = target.parse::<EmailAddress>()
                    && seen.insert(target.canonical())
                {
                    open.push_back(target);
                }
            }
        }
        let summary = match ends.as_slice() {
            [] => "mail for this address is taken".to_owned(),
            ends => format!("mail for this address goes to {}", ends.join(", ")),
        };
        RecipientExplained { explanation: way.finish(summary, ""), path }
    }

    /// What RCPT says to a stranger, and the rule that took the address.
    async fn first(&self, way: &mut Way, address: &EmailAddress, resolution: &Resolution) {
        let place = Place::of(resolution);
        let domain = address.domain();
        let flooded = place == Place::Here && self.is_flooded(address, resolution).await;
        let reason = match place {
            _ if flooded => Some(Reason::InboundLimit),
            _ if !place.needs_relay() => place.refusal(),
            _ => Some(place.refused_relay(Reason::RelayProhibited)),
        };
        let reply = match reason {
            None => Reply::recipient_ok(),
            Some(Reason::RelayProhibited) => {
                // To a stranger: the hint names the platform's own host.
                Reply::failure(Reason::RelayProhibited, Some(&Reason::check_mail_first(&self.mail_host)))
            }
            Some(reason) => reason.into(),
        };
        way.smtp("RCPT", &reply);
        let (found, verdict, summary, next) = match place {
            Place::Here if flooded => (
                "it got as much mail of strangers as it may in an hour".to_owned(),
                Verdict::Later,
                "it gets too much mail now: more of it waits at the senders until the next hour",
                "Ask the operator what comes; POSTERN_LIMIT_INBOUND_PER_HOUR_MAILBOX is the limit."
                    .to_owned(),
            ),
            Place::Here => return way.passed("address-known", taken_by(resolution)),
            Place::Full => (
                "its box holds as much as it may".to_owned(),
                Verdict::Later,
                "the box is full: mail for it waits at the sender",
                "Delete mail, or raise the quota in the control panel.".to_owned(),
            ),
            Place::Nobody => (
                format!(
                    "{domain} is hosted here, nobody has this name, and its default address refuses what is unknown"
                ),
                Verdict::Refused,
                "there is no such address",
                "Create a mailbox or forward, or set a default address for the domain.".to_owned(),
            ),
            Place::NotLive => (
                format!("{domain} is known here and not in service"),
                Verdict::Later,
                "mail for this domain is not taken yet",
                format!("`postern explain domain {domain}` says what is missing."),
            ),
            Place::Outside => (
                format!("{domain} is not hosted here"),
                Verdict::Refused,
                "this address is not ours: it is reached only by who may relay",
                format!("Check how {domain} is spelled; if it should be hosted here, add it as a domain."),
            ),
            Place::NoAnswer => return way.away("address-known", "the directory"),
        };
        way.stopped("address-known", found, verdict, summary, next);
    }
}

fn local(resolution: &Resolution) -> Option<&LocalOutcome> {
    match &resolution.outcome {
        Some(Outcome::Local(local)) => Some(local),
        _ => None,
    }
}

fn taken_by(resolution: &Resolution) -> String {
    let rule = match local(resolution).map(LocalOutcome::r#match) {
        Some(MatchKind::Exact) => "an address of exactly this name",
        Some(MatchKind::SubAddress) => "the address before the +",
        Some(MatchKind::Role) => "the rule for postmaster and abuse: the default box",
        Some(MatchKind::RewrittenSender) => {
            "a sender that was rewritten when a forward left: it leads back to the original one"
        }
        Some(MatchKind::ListCommand) => "a mailing list, of which it is a command address",
        Some(MatchKind::Default | MatchKind::Unspecified) | None => "the default address of the domain",
    };
    format!("taken by {rule}")
}

/// Where mail stays.
fn ends_of(resolution: &Resolution) -> Vec<String> {
    let Some(local) = local(resolution) else {
        return match &resolution.outcome {
            Some(Outcome::Discard(_)) => vec!["thrown away".to_owned()],
            Some(Outcome::Unknown(_)) => vec!["nobody (refused)".to_owned()],
            Some(Outcome::Remote(_)) => vec![format!("the outside, {}", resolution.domain)],
            Some(Outcome::NotLive(_)) => vec![format!("{} (not in service)", resolution.domain)],
            Some(Outcome::Local(_)) | None => Vec::new(),
        };
    };
    let mut ends = Vec::new();
    if let Some(mailbox) = &local.mailbox {
        ends.push(format!("mailbox {} ({})", mailbox.mailbox_id, mailbox.address));
    }
    if let Some(list) = &local.list {
        ends.push(match list.role() {
            ListAddress::Post | ListAddress::Unspecified => format!("the members of list {}", list.address),
            _ => format!("a command of list {}", list.address),
        });
    }
    if local.autoresponder_id != 0 {
        ends.push("an automatic answer".to_owned());
    }
    ends
}

fn targets_of(resolution: &Resolution) -> &[String] {
    local(resolution).map_or(&[], |local| &local.forward_targets)
}
