//! What people ask a mailing list for by mail: to be a member, or not to be. Each proves with a token that the address is
//! theirs.

use postern_mail::EmailAddress;
use postern_mesh::{audit::Action, identity::Caller};
use postern_proto::account::v1::{AddListMembersRequest, ListChange, MemberOrigin};
use ring::digest;

use crate::{
    Account,
    error::{AccountError, Doing as _},
    limits,
    list_members::{count, deed, enter_with, gone},
    mailing_lists::found,
    settings::LimitDefaults,
    store::{
        Tx,
        list_changes::{self, WaitingChange},
        list_members, lists, versions,
    },
};

/// What a token is made of: 5 bits a character (RFC 4648 section 6), lower case as mail programs may fold it.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// 130 bits: nobody tries them all.
const TOKEN_CHARS: usize = 26;
/// Tokens for one address in a day, over all lists: nobody is bombed with them.
const TOKENS_A_DAY: i64 = 3;

/// What was confirmed.
pub(crate) struct Confirmed {
    pub(crate) address: String,
    pub(crate) change: ListChange,
    pub(crate) list: String,
}

impl Account {
    /// Makes a token; empty when there is nothing to change.
    pub(crate) async fn request_list_change(
        &self,
        caller: &Caller,
        list_id: i64,
        address: &EmailAddress,
        change: ListChange,
    ) -> Result<String, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let gone = || AccountError::NotFound("there is no such mailing list".to_owned());
        let list = lists::find_id_in(&mut tx, list_id).await?.ok_or_else(gone)?;
        let member = address.canonical().to_string();
        let is_member = list_members::is_member(&mut tx, list.list_id, &member).await?;
        if is_member == (change == ListChange::Subscribe) {
            return Ok(String::new());
        }
        if list_changes::count_of_day(&mut tx, &member).await? >= TOKENS_A_DAY {
            return Err(AccountError::LimitReached(format!(
                "{member} was asked to confirm {TOKENS_A_DAY} times within a day already"
            )));
        }
        let token = new_token();
        let waiting = WaitingChange { list_id, address: address.to_string(), change: change.into() };
        list_changes::insert(&mut tx, &hashed(&token), &member, &waiting).await?;
        tx.commit().await.doing("commit a change that was asked for")?;
        Ok(token)
    }

    /// Does what a token stands for; `None`: it is unknown, used or too old, or of another list. `list_id` 0: any list.
    pub(crate) async fn confirm_list_change(
        &self,
        caller: &Caller,
        token: &str,
        list_id: i64,
    ) -> Result<Option<Confirmed>, AccountError> {
        let token = token.to_ascii_lowercase();
        if token.len() != TOKEN_CHARS {
            return Ok(None);
        }
        let token = hashed(&token);
        let mut tx = self.store.begin(caller).await?;
        let waiting = list_changes::find(&mut tx, &token).await?;
        let Some(waiting) = waiting.filter(|waiting| list_id == 0 || waiting.list_id == list_id) else {
            return Ok(None);
        };
        let stored = || AccountError::Stored("a stored address is no address");
        let address: EmailAddress = waiting.address.parse().map_err(|_| stored())?;
        let Some(list) = lists::find_id_in(&mut tx, waiting.list_id).await? else { return Ok(None) };
        let name: EmailAddress = list.address.parse().map_err(|_| stored())?;
        let change = list_changes::change(waiting.change)?;
        let confirmed = Confirmed { address: waiting.address, change, list: list.address };
        let done = match change {
            ListChange::Subscribe => subscribe(&mut tx, &self.limits, &token, &name, address).await?,
            _ => unsubscribe(&mut tx, &token, &name, address).await?,
        };
        if !done {
            return Ok(None);
        }
        tx.commit().await.doing("commit a change that was confirmed")?;
        Ok(Some(confirmed))
    }
}

/// False when another call was faster with this token.
async fn subscribe(
    tx: &mut Tx,
    defaults: &LimitDefaults,
    token: &[u8],
    list: &EmailAddress,
    address: EmailAddress,
) -> Result<bool, AccountError> {
    limits::room_at(tx, defaults, list.domain(), limits::Kind::ListMembers, 1).await?;
    let members = [address];
    let (change, list, barred) = enter_with(tx, list, &members).await?;
    if !list_changes::use_up(tx, token).await? {
        return Ok(false);
    }
    if let Some(why) = barred.into_values().next() {
        return Err(AccountError::Precondition(why));
    }
    if !list_members::insert(tx, list.list_id, &members, MemberOrigin::Subscribed).await?.is_empty() {
        count(tx, &list, 1, true).await?;
        let addresses = members.iter().map(EmailAddress::to_string).collect();
        let after = AddListMembersRequest {
            list: list.address.clone(),
            addresses,
            ..AddListMembersRequest::default()
        };
        deed(&change, &list.address, Action::Create).created(tx, &after).await?;
        change.announce(tx, &[]).await?;
    }
    Ok(true)
}

async fn unsubscribe(
    tx: &mut Tx,
    token: &[u8],
    list: &EmailAddress,
    address: EmailAddress,
) -> Result<bool, AccountError> {
    let change = versions::enter(tx, list.domain()).await?;
    let list = found(tx, list).await?;
    if !list_changes::use_up(tx, token).await? {
        return Ok(false);
    }
    let removed = list_members::remove(tx, list.list_id, &[address]).await?;
    if !removed.is_empty() {
        count(tx, &list, removed.len(), false).await?;
        // By an own wish: nothing that the owner of the list would undo.
        deed(&change, &list.address, Action::Unsubscribe).removed(tx, &gone(&list, removed)).await?;
        change.announce(tx, &[]).await?;
    }
    Ok(true)
}

/// A token that nobody guesses.
pub(crate) fn new_token() -> String {
    let random: [u8; TOKEN_CHARS] = rand::random();
    random.iter().map(|octet| char::from(ALPHABET[usize::from(octet & 31)])).collect()
}

/// Only this is stored: who reads the database cannot confirm for others.
pub(crate) fn hashed(token: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, token.as_bytes()).as_ref().to_vec()
}
