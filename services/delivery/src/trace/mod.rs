//! What becomes of mail, told line by line: one for each recipient, from acceptance to its end, kept when the mail is gone.
//!
//! The walk: `grpc/submission`, `bounce` and `answer` make the lines here -> `accept` writes them in the statement that
//! accepts the message (those of a list's copies: `lists`, with the copies) -> `queue` writes how attempts went in the
//! statements that end or defer its rows -> what boxes tell (`notes`) and what it sums up to (`traffic`) follows in batches -> `grpc/trace` reads it back (`store`).

mod notes;
mod store;
mod sweep;
mod traffic;

use std::collections::{HashMap, HashSet};

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::directory::Directory;
use postern_proto::account::v1::DomainState;

use crate::{
    accept::{NewQueueRow, QueueClass},
    route::{FailedRecipient, PlannedEntry},
};

pub(crate) use notes::{BoxNotes, run as run_notes};
pub(crate) use store::{
    Attempt, Key, ListFilter, Row, Scope, Side, Summary, Traces, TrafficFilter, TrafficRow,
};
pub(crate) use sweep::run as run_sweep;
pub use sweep::sweep;
pub(crate) use traffic::Traffic;

/// What became of a message for one recipient, as `trace.state` holds it (postern.delivery.v1.TraceState).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TraceState {
    /// It waits in the queue.
    Queued = 1,
    /// It is in a box.
    Delivered = 2,
    /// A host outside took it.
    Sent = 3,
    /// It was given up.
    Failed = 4,
    /// It led on to other lines, to a list, or to nobody.
    PassedOn = 5,
    /// An operator removed it without a word.
    Removed = 6,
}

impl TraceState {
    /// As the database holds it.
    #[must_use]
    pub fn code(self) -> i16 {
        self as i16
    }
}

/// How a message begins for one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// Where it goes in the end.
    pub recipient: String,
    /// Address of ours that led there.
    pub via: Option<String>,
    /// Customer whose address took it; `None`: an address outside.
    pub customer: Option<String>,
    /// Box that gets it.
    pub mailbox_id: Option<i64>,
    /// Where it stands.
    pub state: TraceState,
    /// Why it failed, or what else there is to tell of it; may be empty.
    pub outcome: String,
}

/// What a commit adds to the stories of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Box of the login that sent the message.
    pub submit_mailbox_id: Option<i64>,
    /// A line for each of its recipients.
    pub lines: Vec<TraceLine>,
    /// Why queue rows (of another message) that end with this commit were given up: the row's id and the last word.
    pub endings: Vec<(i64, String)>,
}

/// Where a message goes, as far as its story needs it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Routed<'a> {
    /// As the envelope named them.
    pub(crate) recipients: &'a [EmailAddress],
    pub(crate) entries: &'a [PlannedEntry],
    pub(crate) queue: &'a [NewQueueRow],
    pub(crate) failed: &'a [FailedRecipient],
    pub(crate) submit_mailbox_id: Option<i64>,
    /// What is to be told of each copy in a box; may be empty.
    pub(crate) note: &'a str,
}

/// The beginning of a message's story. Whose addresses they are is asked of the directory, which keeps its answers; an address
/// of which it knows nothing now is nobody's.
pub(crate) async fn begin(directory: &Directory, routed: Routed<'_>) -> Story {
    let mut lines = lines(&routed);
    let mut owners: HashMap<DomainName, Option<String>> = HashMap::new();
    for line in &mut lines {
        // What leaves is outside, whoever claims the domain: only a forward of ours makes it somebody's here.
        let ours = match (line.state, &line.via) {
            (TraceState::Queued, via) => via.as_deref(),
            _ => Some(line.recipient.as_str()),
        };
        let Some(address) = ours.and_then(|text| text.parse::<EmailAddress>().ok()) else { continue };
        let owner = match owners.get(address.domain()) {
            Some(owner) => owner.clone(),
            None => {
                let owner = owner(directory, address.domain()).await;
                owners.insert(address.domain().clone(), owner.clone());
                owner
            }
        };
        line.customer = owner;
    }
    Story { submit_mailbox_id: routed.submit_mailbox_id, lines, endings: Vec::new() }
}

/// Whose live domain it is.
pub(crate) async fn owner(directory: &Directory, domain: &DomainName) -> Option<String> {
    match directory.domain(domain).await {
        Ok(identity) => identity
            .filter(|identity| identity.state() == DomainState::Live)
            .map(|identity| identity.customer.clone()),
        Err(status) => {
            tracing::warn!(%domain, error = status.message(), "whose mail it is cannot be told in its story");
            None
        }
    }
}

/// Pure: a line for each end, and one for each address that only led there.
fn lines(routed: &Routed<'_>) -> Vec<TraceLine> {
    let mut lines = Vec::with_capacity(routed.entries.len() + routed.queue.len() + routed.failed.len());
    let line = |recipient: String, state| TraceLine {
        recipient,
        via: None,
        customer: None,
        mailbox_id: None,
        state,
        outcome: String::new(),
    };
    for entry in routed.entries {
        lines.push(TraceLine {
            mailbox_id: Some(entry.mailbox_id),
            outcome: routed.note.to_owned(),
            ..line(entry.delivered_to.clone(), TraceState::Delivered)
        });
    }
    for row in routed.queue {
        let state = match row.class {
            // The answer has a story of its own.
            QueueClass::Autoreply => continue,
            class if class.is_errand() => TraceState::PassedOn,
            _ => TraceState::Queued,
        };
        let via = row.via.as_ref().map(ToString::to_string);
        lines.push(TraceLine { via, ..line(row.recipient.to_string(), state) });
    }
    for failed in routed.failed {
        let outcome = failed.reason.smtp_reply().to_string();
        lines.push(TraceLine { outcome, ..line(failed.recipient.to_string(), TraceState::Failed) });
    }
    let told: HashSet<String> = lines
        .iter()
        .flat_map(|line| [Some(&line.recipient), line.via.as_ref()])
        .flatten()
        .filter_map(|text| Some(text.parse::<EmailAddress>().ok()?.canonical().to_string()))
        .collect();
    let mut passed_on =
        routed.recipients.iter().filter(|recipient| !told.contains(&recipient.canonical().to_string()));
    if let ([only], [recipient]) = (&mut lines[..], routed.recipients)
        && only.via.is_none()
    {
        // One address, one end: one line says it all.
        if passed_on.next().is_some() {
            only.via = Some(recipient.to_string());
        }
        return lines;
    }
    let passed_on: Vec<_> =
        passed_on.map(|recipient| line(recipient.to_string(), TraceState::PassedOn)).collect();
    lines.extend(passed_on);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().expect(text)
    }

    fn entry(mailbox_id: i64, to: &str) -> PlannedEntry {
        PlannedEntry { mailbox_id, delivered_to: to.to_owned() }
    }

    fn shown(routed: Routed<'_>) -> Vec<String> {
        let line =
            |line: TraceLine| format!("{} {} {:?}", line.via.unwrap_or_default(), line.recipient, line.state);
        lines(&routed).into_iter().map(line).collect()
    }

    #[test]
    fn one_line_tells_of_one_address_and_its_end() {
        let (plain, entries) = ([address("A@x.test")], [entry(1, "a@x.test")]);
        let routed = Routed { recipients: &plain, entries: &entries, ..Routed::default() };
        assert_eq!(shown(routed), [" a@x.test Delivered"]);
        let caught = [address("sales@x.test")];
        assert_eq!(shown(Routed { recipients: &caught, ..routed }), ["sales@x.test a@x.test Delivered"]);
    }

    #[test]
    fn addresses_that_only_lead_on_have_a_line_of_their_own() {
        let recipients = [address("all@x.test"), address("list@x.test")];
        let entries = [entry(1, "a@x.test"), entry(2, "b@x.test")];
        let row = |to: &str, via: Option<&str>, class| NewQueueRow {
            via: via.map(address),
            ..NewQueueRow::to(address(to), class)
        };
        let queue = [
            row("far@y.test", Some("all@x.test"), QueueClass::Mail),
            row("list@x.test", None, QueueClass::ListPost),
            row("a@x.test", None, QueueClass::Autoreply),
        ];
        let routed =
            Routed { recipients: &recipients, entries: &entries, queue: &queue, ..Routed::default() };
        assert_eq!(
            shown(routed),
            [
                " a@x.test Delivered",
                " b@x.test Delivered",
                "all@x.test far@y.test Queued",
                " list@x.test PassedOn"
            ]
        );
        let more = [address("all@x.test"), address("other@x.test")];
        assert!(shown(Routed { recipients: &more, ..routed }).contains(&" other@x.test PassedOn".to_owned()));
    }
}
