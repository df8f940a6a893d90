//! May this sender post to this list? Decided when the sender is known and still there to be told (L-04).

use postern_mail::{EmailAddress, Reason, ReversePath};
use postern_proto::account::v1::ListPosting;
use tonic::Status;

use super::{FoundList, ListDirectory};
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
            Some(found) => refusal(&found, sender.address(), content_bytes),
        };
        match refusal {
            None => admitted.push(errand),
            Some(reason) => plan.failed.push(FailedRecipient { recipient: errand.recipient, reason }),
        }
    }
    plan.errands = admitted;
    Ok(())
}

/// Why a list does not take a post. A bounce is no post, whoever may post.
pub(super) fn refusal(
    found: &FoundList,
    sender: Option<&EmailAddress>,
    content_bytes: u64,
) -> Option<Reason> {
    let Some(sender) = sender else { return Some(Reason::PostingNotPermitted) };
    let owner = found.list.owner.parse::<EmailAddress>().ok();
    let is_owner = owner.is_some_and(|owner| owner.canonical() == sender.canonical());
    let may_post = match found.list.posting() {
        ListPosting::Anyone => true,
        ListPosting::Members | ListPosting::Unspecified => found.is_member || is_owner,
        ListPosting::Owner => is_owner,
    };
    let max = u64::try_from(found.list.message_max_bytes).unwrap_or_default();
    match () {
        () if !may_post => Some(Reason::PostingNotPermitted),
        () if max > 0 && content_bytes > max => Some(Reason::MessageTooLarge),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::account::v1::MailingList;

    use super::*;

    #[test]
    fn l_04_posting_modes() {
        let address = |text: &str| -> EmailAddress { text.parse().expect(text) };
        for (posting, sender, is_member, taken) in [
            (ListPosting::Anyone, Some("stranger@far.test"), false, true),
            (ListPosting::Anyone, None, false, false),
            (ListPosting::Members, Some("stranger@far.test"), false, false),
            (ListPosting::Members, Some("anna@far.test"), true, true),
            (ListPosting::Members, Some("Owner@x.test"), false, true),
            (ListPosting::Members, None, false, false),
            (ListPosting::Owner, Some("anna@far.test"), true, false),
            (ListPosting::Owner, Some("owner@x.test"), false, true),
            (ListPosting::Unspecified, Some("stranger@far.test"), false, false),
        ] {
            let list = MailingList {
                posting: posting.into(),
                owner: "owner@x.test".to_owned(),
                message_max_bytes: 1000,
                ..MailingList::default()
            };
            let found = FoundList {
                list,
                address: address("staff@x.test"),
                customer: String::new(),
                is_member,
                unsubscribe_key: Vec::new(),
            };
            let sender = sender.map(address);
            let refused = refusal(&found, sender.as_ref(), 1000);
            assert_eq!(refused, (!taken).then_some(Reason::PostingNotPermitted), "{posting:?} {sender:?}");
            if taken {
                assert_eq!(refusal(&found, sender.as_ref(), 1001), Some(Reason::MessageTooLarge));
            }
        }
    }
}
