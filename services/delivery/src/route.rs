//! Where each recipient of a message ends: boxes of ours, remote hosts, nowhere, or a failure.
//!
//! Stands between the envelope and the accept transaction. The one resolver of account is asked level by level; what
//! its answers mean together is decided by the pure [`Expansion`], which is tested without any service.

mod expansion;
mod local;

use std::sync::Arc;

use postern_mail::{EmailAddress, Reason};
use postern_mesh::{directory::Directory, failure};
use postern_proto::{account::v1::Resolution, delivery::v1::Submitter};
use tonic::Status;

use crate::accept::QueueClass;

pub use expansion::Expansion;

/// Addresses of one question to the directory (the contract of BatchResolveRecipients).
const QUESTION_MAX_ADDRESSES: usize = 1000;

/// What is to be done with a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One copy for each box.
    pub entries: Vec<PlannedEntry>,
    /// One copy for each remote recipient.
    pub queue: Vec<PlannedRemote>,
    /// Who cannot get it, and why, for good.
    pub failed: Vec<FailedRecipient>,
    /// What is to be done inside the house: posts and commands of lists, answers of autoresponders.
    pub errands: Vec<PlannedErrand>,
    /// Bounces for members of lists: they end here.
    pub list_bounces: Vec<ListBounce>,
    /// Addresses whose mail is thrown away by their owner's wish.
    pub discarded: usize,
}

impl Plan {
    /// True when nobody gets it and nothing is done with it.
    #[must_use]
    pub fn leads_nowhere(&self) -> bool {
        self.entries.is_empty()
            && self.queue.is_empty()
            && self.errands.is_empty()
            && self.list_bounces.is_empty()
            && self.discarded == 0
    }
}

/// A copy into a box.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlannedEntry {
    /// The box.
    pub mailbox_id: i64,
    /// What Delivered-To says.
    pub delivered_to: String,
}

/// A copy to the outside.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlannedRemote {
    /// Whom it is for.
    pub recipient: EmailAddress,
    /// Our address that forwards it: Delivered-To for the copy.
    pub via: Option<EmailAddress>,
}

/// Something to be done inside the house.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlannedErrand {
    /// What; an errand always.
    pub class: QueueClass,
    /// The list or autoresponder.
    pub subject_id: i64,
    /// The token of a request.
    pub note: Option<String>,
    /// The address that it came for, as it was written.
    pub recipient: EmailAddress,
}

/// A bounce that came back for a copy of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListBounce {
    /// The list.
    pub list_id: i64,
    /// Which member's copy, as the address told it.
    pub member: String,
}

/// Somebody who cannot get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedRecipient {
    /// The address that failed; with a forward this is the target.
    pub recipient: EmailAddress,
    /// Why; always permanent.
    pub reason: Reason,
}

/// Plans a message.
///
/// `submitter` is whoever may relay: then remote recipients are queued, and domains that are not live count as remote.
/// `delivered_to_seen` are the Delivered-To fields that the message brings along.
///
/// # Errors
/// Only temporary ones: the directory is away, a domain is not live yet, or the expansion is too large as a whole.
pub async fn plan(
    directory: &Directory,
    recipients: &[EmailAddress],
    submitter: Option<&Submitter>,
    delivered_to_seen: &[EmailAddress],
) -> Result<Plan, Status> {
    let mut expansion = Expansion::begin(recipients, submitter.is_some(), delivered_to_seen);
    resolve(directory, &mut expansion).await?;
    expansion.finish().map_err(failure::status)
}

/// Plans our own mail (what it leads to may leave) for each of many recipients by itself, in their order.
///
/// # Errors
/// As [`plan`].
pub async fn plan_each(directory: &Directory, recipients: &[EmailAddress]) -> Result<Vec<Plan>, Status> {
    let mut expansion = Expansion::begin(recipients, true, &[]);
    resolve(directory, &mut expansion).await?;
    let mut plans = expansion.finish_each().map_err(failure::status)?;
    Ok(recipients.iter().map(|recipient| plans.remove(recipient).unwrap_or_default()).collect())
}

/// Asks the directory until nothing is wanted any more.
async fn resolve(directory: &Directory, expansion: &mut Expansion) -> Result<(), Status> {
    loop {
        let wanted = expansion.wanted();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut answers: Vec<(EmailAddress, Arc<Resolution>)> = Vec::with_capacity(wanted.len());
        for question in wanted.chunks(QUESTION_MAX_ADDRESSES) {
            let resolutions = directory.resolve_all(question).await?;
            if resolutions.len() != question.len() {
                return Err(failure::status_with(Reason::Unavailable, "the directory left addresses out"));
            }
            answers.extend(question.iter().cloned().zip(resolutions));
        }
        expansion.take(answers.iter().map(|(address, resolution)| (address, resolution.as_ref())));
    }
}
