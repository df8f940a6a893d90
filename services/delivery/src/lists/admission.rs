//! May this sender post to this list? Decided when the sender is known and still there to be told (L-04).

use postern_mail::{Reason, ReversePath};
use postern_mesh::directory::refusal_of_post;
use tonic::Status;

use super::ListDirectory;
use crate::{
    accept::QueueClass,
    route::{FailedRecipient, Plan},
};

/// Takes posts that their lists do not want out of the plan and into its failures.
///
/// # Errors
/// Temporary ones of account.
pub(crate) async fn admit(
    lists: &ListDirectory,
    plan: &mut Plan,
    sender: &ReversePath,
    content_bytes: u64,
) -> Result<(), Status> {
    let mut admitted = Vec::with_capacity(plan.errands.len());
    for errand in std::mem::take(&mut plan.errands) {
        if errand.class != QueueClass::ListPost {
            // Nobody is there to be answered. To a list's command address it is nothing but a bounce.
            match sender {
                ReversePath::Null => plan.discarded += 1,
                ReversePath::Address(_) => admitted.push(errand),
            }
            continue;
        }
        let refusal = match lists.look_up(errand.subject_id, sender.address()).await? {
            None => Some(Reason::NoSuchMailbox),
            Some(found) => refusal_of_post(&found.list, found.is_member, sender.address(), content_bytes),
        };
        match refusal {
            None => admitted.push(errand),
            Some(reason) => plan.failed.push(FailedRecipient { recipient: errand.recipient, reason }),
        }
    }
    plan.errands = admitted;
    Ok(())
}
