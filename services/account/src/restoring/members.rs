//! Members that were removed from a mailing list come back, each as it had come to it.

use std::collections::HashSet;

use postern_mail::EmailAddress;
use postern_mesh::audit::Action;
use postern_proto::account::v1::{
    AddListMembersRequest, AuditEntry, MailingList, MemberOrigin, RemovedListMembers,
};

use super::{address_of, refuse_other_owner, thing};
use crate::{
    error::AccountError,
    limits::{self, Kind},
    list_members::{self, count, enter_with},
    settings::LimitDefaults,
    store::{Tx, list_members as rows},
};

/// Adds those again that are no members (any more) and may be some; returns the number of the entry that tells of it. Refused when
/// there is nobody to add, or no room for all.
pub(super) async fn restore(
    tx: &mut Tx,
    defaults: &LimitDefaults,
    entry: &AuditEntry,
) -> Result<i64, AccountError> {
    let before: RemovedListMembers = thing(entry)?;
    let address = address_of(entry)?;
    let removed = read(&before.addresses)?;
    let how_many = i64::try_from(removed.len()).unwrap_or(i64::MAX);
    limits::room_at(tx, defaults, address.domain(), Kind::ListMembers, how_many).await?;
    let (change, list, barred) = enter_with(tx, &address, &removed).await?;
    refuse_other_owner(&change, entry)?;
    // Older entries do not tell which list it was.
    if ![0, list.list_id].contains(&before.list_id) {
        return Err(AccountError::Precondition(format!("the mailing list {address} is gone for good")));
    }
    let by_themselves: HashSet<_> = before.subscribed_addresses.iter().collect();
    let keys: Vec<_> = removed.iter().map(list_members::key).collect();
    let there = rows::those_among(tx, list.list_id, &keys).await?;
    let (subscribed, added): (Vec<_>, Vec<_>) = removed
        .into_iter()
        .filter(|member| {
            let key = list_members::key(member);
            !there.contains(&key) && !barred.contains_key(&key)
        })
        .partition(|member| by_themselves.contains(&member.to_string()));
    if subscribed.is_empty() && added.is_empty() {
        return Err(nobody(&list, barred.into_values().next()));
    }
    let mut back = HashSet::new();
    for (members, origin) in [(&subscribed, MemberOrigin::Subscribed), (&added, MemberOrigin::Added)] {
        back.extend(rows::insert(tx, list.list_id, members, origin).await?);
    }
    count(tx, &list, back.len(), true).await?;
    let mut addresses: Vec<_> = subscribed.iter().chain(&added).map(EmailAddress::to_string).collect();
    addresses.sort_unstable();
    let after =
        AddListMembersRequest { list: list.address.clone(), addresses, ..AddListMembersRequest::default() };
    let restored_id = list_members::deed(&change, &list.address, Action::Restore)
        .note::<AddListMembersRequest, AddListMembersRequest>(tx, None, Some(&after))
        .await?;
    change.announce(tx, &[]).await?;
    Ok(restored_id)
}

fn read(addresses: &[String]) -> Result<Vec<EmailAddress>, AccountError> {
    let addresses = addresses.iter().map(|address| address.parse::<EmailAddress>()).collect::<Result<_, _>>();
    addresses.map_err(|_| AccountError::Stored("a stored address is no address"))
}

/// `why`: one of them may be no member now.
fn nobody(list: &MailingList, why: Option<String>) -> AccountError {
    let all_there = || format!("all of them are members of {} already", list.address);
    AccountError::Precondition(why.unwrap_or_else(all_there))
}
