//! Members of mailing lists: thousands at once, with a report for each line.

use std::collections::{HashMap, HashSet};

use postern_mail::EmailAddress;
use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::{
    AddListMembersRequest, ListMember, MailingList, MemberAddition, MemberLine, MemberLineOutcome,
    MemberOrigin, RemovedListMembers,
};

use crate::{
    Account,
    cycles::{self, Start},
    error::{AccountError, Doing as _},
    fields::{self, invalid},
    limits::{self, Kind},
    mailing_lists::found,
    paging::Page,
    store::{
        Tx,
        audit::Deed,
        directory,
        list_additions::{self, Addition},
        list_bounces, list_members, lists,
        versions::{self, DomainChange},
    },
};

/// A line of the report, characters.
const LINE_SHOWN_MAX_CHARS: usize = 320;

/// A line that was not empty.
struct Line {
    shown: String,
    /// Or why it is none.
    address: Result<EmailAddress, String>,
}

impl Account {
    /// A page of members, and the token of the next one.
    pub(crate) async fn list_members(
        &self,
        caller: &Caller,
        address: &EmailAddress,
        page: &Page,
    ) -> Result<(Vec<ListMember>, String), AccountError> {
        let list = self.mailing_list(caller, address).await?;
        let mut rows = list_members::page(self.store.pool(), list.list_id, page).await?;
        let next = page.finish(&mut rows, |(key, _)| key);
        Ok((rows.into_iter().map(|(_, member)| member).collect(), next))
    }

    /// How far members are that are added in several calls, newest first.
    pub(crate) async fn member_additions(
        &self,
        caller: &Caller,
        address: &EmailAddress,
    ) -> Result<Vec<MemberAddition>, AccountError> {
        let list = self.mailing_list(caller, address).await?;
        list_additions::of_list(self.store.pool(), list.list_id).await
    }

    /// Adds an address for each line and says what became of it; as a part of an addition, it is written down, too.
    pub(crate) async fn add_list_members(
        &self,
        caller: &Caller,
        address: &EmailAddress,
        lines: &[String],
        addition: Option<Addition>,
    ) -> Result<Vec<MemberLine>, AccountError> {
        let lines: Vec<_> = lines.iter().filter(|line| !line.trim().is_empty()).map(|l| read(l)).collect();
        let mut seen = HashSet::new();
        let members: Vec<_> = lines
            .iter()
            .filter_map(|line| line.address.as_ref().ok())
            .filter(|member| seen.insert(member.canonical()))
            .cloned()
            .collect();
        let mut tx = self.store.begin(caller).await?;
        let room = limits::room_left_at(&mut tx, &self.limits, address.domain(), Kind::ListMembers).await?;
        let (change, list, barred) = enter_with(&mut tx, address, &members).await?;
        let mut admitted: Vec<_> =
            members.into_iter().filter(|member| !barred.contains_key(&key(member))).collect();
        let over = match room {
            Some(room) => leave_out(&mut tx, list.list_id, &mut admitted, room).await?,
            None => HashSet::new(),
        };
        let added = list_members::insert(&mut tx, list.list_id, &admitted, MemberOrigin::Added).await?;
        // Who is added again gets posts again.
        let keys: Vec<_> = admitted.iter().map(key).collect();
        let forgiven = list_bounces::forgive(&mut tx, list.list_id, &keys).await?;
        let is_change = !added.is_empty() || forgiven > 0;
        if is_change {
            count(&mut tx, &list, added.len(), true).await?;
            let told = admitted.iter().filter(|member| forgiven > 0 || added.contains(&key(member)));
            let addresses = told.map(EmailAddress::to_string).collect();
            let after = AddListMembersRequest {
                list: list.address.clone(),
                addresses,
                ..AddListMembersRequest::default()
            };
            deed(&change, &list.address, Action::Create).created(&mut tx, &after).await?;
            change.announce(&mut tx, &[]).await?;
        }
        let report = report(lines, &barred, &over, added);
        if let Some(addition) = addition
            && !list_additions::note(&mut tx, list.list_id, addition, &report).await?
        {
            return invalid("addition_id", "is that of an addition to another list");
        }
        if is_change || addition.is_some() {
            tx.commit().await.doing("commit the members of a mailing list")?;
        }
        Ok(report)
    }

    /// Removes those that are members and returns how many they were, and the audit entry that tells of it; 0: none.
    pub(crate) async fn remove_list_members(
        &self,
        caller: &Caller,
        address: &EmailAddress,
        members: &[EmailAddress],
    ) -> Result<(usize, i64), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let change = versions::enter(&mut tx, address.domain()).await?;
        let list = found(&mut tx, address).await?;
        let removed = list_members::remove(&mut tx, list.list_id, members).await?;
        let (removed_count, mut audit_id) = (removed.len(), 0);
        if removed_count > 0 {
            count(&mut tx, &list, removed_count, false).await?;
            let before = gone(&list, removed);
            let told = deed(&change, &list.address, Action::Delete);
            audit_id =
                told.note::<RemovedListMembers, RemovedListMembers>(&mut tx, Some(&before), None).await?;
            change.announce(&mut tx, &[]).await?;
            tx.commit().await.doing("commit the members of a mailing list")?;
        }
        Ok((removed_count, audit_id))
    }
}

/// Begins a write that adds members: the locks are held; and why some of them cannot be, by their canonical form.
pub(crate) async fn enter_with(
    tx: &mut Tx,
    address: &EmailAddress,
    members: &[EmailAddress],
) -> Result<(DomainChange, MailingList, HashMap<String, String>), AccountError> {
    let domains: HashSet<_> = members.iter().map(|member| member.domain().as_str()).collect();
    let domains: Vec<_> = domains.into_iter().collect();
    let hosted = directory::hosted_among(tx, &domains).await?;
    let inside: Vec<_> =
        members.iter().filter(|member| hosted.contains(member.domain().as_str())).cloned().collect();
    if !inside.is_empty() {
        versions::lock_graph(tx).await?;
    }
    let change = versions::enter(tx, address.domain()).await?;
    let list = found(tx, address).await?;
    let start = Start::List { address: list.address.clone(), list_id: list.list_id };
    let barred =
        if inside.is_empty() { HashMap::new() } else { cycles::reasons(tx, &start, &inside).await? };
    Ok((change, list, barred))
}

/// Leaves out those that there is no room for, and returns them. Who is a member already needs none.
async fn leave_out(
    tx: &mut Tx,
    list_id: i64,
    admitted: &mut Vec<EmailAddress>,
    room: i64,
) -> Result<HashSet<String>, AccountError> {
    let keys: Vec<_> = admitted.iter().map(key).collect();
    let members = list_members::those_among(tx, list_id, &keys).await?;
    let mut room = usize::try_from(room).unwrap_or_default();
    let mut over = HashSet::new();
    admitted.retain(|member| {
        let key = key(member);
        if members.contains(&key) {
            return true;
        }
        if room == 0 {
            over.insert(key);
            return false;
        }
        room -= 1;
        true
    });
    Ok(over)
}

/// Counts what came or went.
pub(crate) async fn count(
    tx: &mut Tx,
    list: &MailingList,
    members: usize,
    came: bool,
) -> Result<(), AccountError> {
    let members = i64::try_from(members).unwrap_or_default();
    lists::add_to_count(tx, list.list_id, if came { members } else { -members }).await
}

/// Members are told to the audit by the name of their list.
pub(crate) fn deed<'d>(change: &'d DomainChange, list: &'d str, action: Action) -> Deed<'d> {
    Deed { customer: &change.customer, kind: Thing::ListMember, name: list, action }
}

/// What the audit holds of members that are gone.
pub(crate) fn gone(list: &MailingList, removed: Vec<(String, MemberOrigin)>) -> RemovedListMembers {
    let subscribed = removed.iter().filter(|(_, origin)| *origin == MemberOrigin::Subscribed);
    RemovedListMembers {
        list: list.address.clone(),
        list_id: list.list_id,
        subscribed_addresses: subscribed.map(|(address, _)| address.clone()).collect(),
        addresses: removed.into_iter().map(|(address, _)| address).collect(),
    }
}

/// What tells members apart.
pub(crate) fn key(member: &EmailAddress) -> String {
    member.canonical().to_string()
}

fn read(line: &str) -> Line {
    let address = fields::member("address", line.trim()).map_err(|error| {
        let why = error.to_string();
        why.strip_prefix("address: ").unwrap_or(&why).to_owned()
    });
    Line { shown: line.chars().take(LINE_SHOWN_MAX_CHARS).collect(), address }
}

/// What became of each line; the first of those that name one address is the one that was added.
fn report(
    lines: Vec<Line>,
    barred: &HashMap<String, String>,
    over: &HashSet<String>,
    mut added: HashSet<String>,
) -> Vec<MemberLine> {
    let outcome = |line: Line| {
        let (outcome, reason) = match line.address {
            Err(why) => (MemberLineOutcome::Invalid, why),
            Ok(member) => {
                let key = key(&member);
                if let Some(why) = barred.get(&key) {
                    (MemberLineOutcome::Invalid, why.clone())
                } else if over.contains(&key) {
                    (MemberLineOutcome::OverLimit, "there is no room for more list members".to_owned())
                } else if added.remove(&key) {
                    (MemberLineOutcome::Added, String::new())
                } else {
                    (MemberLineOutcome::Duplicate, format!("{key} is a member already"))
                }
            }
        };
        MemberLine { line: line.shown, outcome: outcome.into(), reason }
    };
    lines.into_iter().map(outcome).collect()
}
