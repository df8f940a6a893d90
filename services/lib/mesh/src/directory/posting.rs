//! Whether a mailing list takes a post: one reading for the service that accepts it and for the one that explains it.

use postern_mail::{EmailAddress, Reason};
use postern_proto::account::v1::{ListPosting, MailingList};

/// Why a list does not take a post of this many octets; `None`: it does. `is_member`: the sender is one. A bounce (`None` as
/// sender) is no post, whoever may post.
#[must_use]
pub fn refusal_of_post(
    list: &MailingList,
    is_member: bool,
    sender: Option<&EmailAddress>,
    content_bytes: u64,
) -> Option<Reason> {
    let Some(sender) = sender else { return Some(Reason::PostingNotPermitted) };
    let owner = list.owner.parse::<EmailAddress>().ok();
    let is_owner = owner.is_some_and(|owner| owner.canonical() == sender.canonical());
    let may_post = match list.posting() {
        ListPosting::Anyone => true,
        ListPosting::Members | ListPosting::Unspecified => is_member || is_owner,
        ListPosting::Owner => is_owner,
    };
    let max = u64::try_from(list.message_max_bytes).unwrap_or_default();
    match () {
        () if !may_post => Some(Reason::PostingNotPermitted),
        () if max > 0 && content_bytes > max => Some(Reason::MessageTooLarge),
        () => None,
    }
}

#[cfg(test)]
mod tests {
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
            let sender = sender.map(address);
            let refused = refusal_of_post(&list, is_member, sender.as_ref(), 1000);
            assert_eq!(refused, (!taken).then_some(Reason::PostingNotPermitted), "{posting:?} {sender:?}");
            if taken {
                let larger = refusal_of_post(&list, is_member, sender.as_ref(), 1001);
                assert_eq!(larger, Some(Reason::MessageTooLarge));
            }
        }
    }
}
