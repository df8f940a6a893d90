//! Where each recipient of a message ends: boxes of ours, remote hosts, nowhere, or a failure.
//!
//! Stands between the envelope and the accept transaction. The one resolver of account is asked level by level; what
//! its answers mean together is decided by the pure [`Expansion`], which is tested without any service.

mod expansion;

use std::sync::Arc;

use postern_mail::{EmailAddress, Reason};
use postern_mesh::{directory::Directory, failure};
use postern_proto::{account::v1::Resolution, delivery::v1::Submitter};
use tonic::Status;

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
    /// Addresses whose mail is thrown away by their owner's wish.
    pub discarded: usize,
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
    loop {
        let wanted = expansion.wanted();
        if wanted.is_empty() {
            break;
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
    expansion.finish().map_err(failure::status)
}
