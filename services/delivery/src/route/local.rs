//! What stands at an address of ours, as account tells it, reduced to what routing needs.

use postern_mail::EmailAddress;
use postern_proto::account::v1::{ListAddress, LocalList, LocalOutcome};

use super::{ListBounce, PlannedEntry};
use crate::accept::QueueClass;

/// Everything at one address.
#[derive(Clone, Debug)]
pub(super) struct Here {
    pub(super) mailbox: Option<PlannedEntry>,
    /// Of a forward; `Err`: a target that is no address.
    pub(super) targets: Vec<Result<EmailAddress, ()>>,
    pub(super) list: Option<ListStop>,
    pub(super) autoresponder_id: Option<i64>,
}

/// What a list's address leads to.
#[derive(Clone, Debug)]
pub(super) enum ListStop {
    Errand { class: QueueClass, list_id: i64, note: Option<String> },
    Bounce(ListBounce),
}

impl Here {
    /// `None`: a version of the directory that we do not know.
    pub(super) fn of(local: &LocalOutcome) -> Option<Self> {
        let list = match &local.list {
            Some(list) => Some(ListStop::of(list)?),
            None => None,
        };
        Some(Self {
            mailbox: local.mailbox.as_ref().map(|mailbox| PlannedEntry {
                mailbox_id: mailbox.mailbox_id,
                delivered_to: mailbox.address.clone(),
            }),
            targets: local.forward_targets.iter().map(|target| target.parse().map_err(|_| ())).collect(),
            list,
            autoresponder_id: Some(local.autoresponder_id).filter(|id| *id != 0),
        })
    }
}

impl ListStop {
    fn of(list: &LocalList) -> Option<Self> {
        let list_id = list.list_id;
        let class = match list.role() {
            ListAddress::Post => QueueClass::ListPost,
            ListAddress::Subscribe => QueueClass::ListSubscribe,
            ListAddress::Unsubscribe => QueueClass::ListUnsubscribe,
            ListAddress::Request => QueueClass::ListRequest,
            ListAddress::Bounces => {
                return Some(Self::Bounce(ListBounce { list_id, member: list.tag.clone() }));
            }
            ListAddress::Unspecified => return None,
        };
        let has_token = class == QueueClass::ListRequest && !list.tag.is_empty();
        Some(Self::Errand { class, list_id, note: has_token.then(|| list.tag.clone()) })
    }
}
