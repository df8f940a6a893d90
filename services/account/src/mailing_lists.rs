//! Mailing lists: one address, many members, three choices. Members are in `list_members.rs`, what people ask for by mail in
//! `list_changes.rs`.

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::{MailingList, Reference};
use prost::Message as _;

use crate::{
    Account,
    customers::answered,
    cycles::{self, Start},
    error::{AccountError, Doing as _},
    limits,
    paging::Page,
    store::{
        Tx,
        audit::Deed,
        list_members,
        lists::{self, FoundList, ListSettings},
        references, requests,
        standing::{self, Newcomer},
        versions::{self, DomainChange},
    },
};

const KIND: &str = "list";

/// A list that is to be created; every field is checked.
pub(crate) struct NewList {
    /// Canonical.
    pub(crate) address: EmailAddress,
    pub(crate) settings: ListSettings,
    pub(crate) request_id: Option<String>,
}

/// What is to be changed; `None` leaves it.
#[derive(Default)]
pub(crate) struct ListUpdate {
    /// Empty: whatever is there.
    pub(crate) etag: String,
    pub(crate) posting: Option<i32>,
    pub(crate) replies: Option<i32>,
    pub(crate) subject_prefix: Option<String>,
    pub(crate) owner: Option<EmailAddress>,
    pub(crate) description: Option<String>,
    pub(crate) message_max_bytes: Option<i64>,
    /// `Some(None)`: kept here again.
    pub(crate) listserv: Option<Option<EmailAddress>>,
}

impl Account {
    pub(crate) async fn mailing_list(
        &self,
        caller: &Caller,
        address: &EmailAddress,
    ) -> Result<MailingList, AccountError> {
        self.may_see_address(caller, address, || lists::not_found(address)).await?;
        lists::get(self.store.pool(), address).await
    }

    /// A page of a domain's lists, and the token of the next one.
    pub(crate) async fn mailing_lists(
        &self,
        caller: &Caller,
        domain: &DomainName,
        page: &Page,
    ) -> Result<(Vec<MailingList>, String), AccountError> {
        self.may_see_domain(caller, domain).await?;
        let mut rows = lists::page(self.store.pool(), domain, page).await?;
        if rows.is_empty() {
            self.domain(caller, domain).await?;
        }
        let next = page.finish(&mut rows, |list| &list.address);
        Ok((rows, next))
    }

    pub(crate) async fn create_mailing_list(
        &self,
        caller: &Caller,
        new: NewList,
    ) -> Result<MailingList, AccountError> {
        let request_id = new.request_id.as_deref();
        let mut tx = self.store.begin(caller).await?;
        if let Some(answer) = requests::claim(&mut tx, KIND, request_id, &new.address.to_string()).await? {
            return answered(&answer);
        }
        limits::room_at(&mut tx, &self.limits, new.address.domain(), limits::Kind::Lists, 1).await?;
        versions::lock_graph(&mut tx).await?;
        let change = versions::enter(&mut tx, new.address.domain()).await?;
        standing::refuse_taken(&mut tx, &new.address, Newcomer::List).await?;
        lists::insert(&mut tx, &new.address, &new.settings, change.version).await?;
        let list = found(&mut tx, &new.address).await?;
        refuse_cycles(&mut tx, &list).await?;
        deed(&change, &list, Action::Create).created(&mut tx, &list).await?;
        change.announce(&mut tx, &[]).await?;
        requests::answer(&mut tx, KIND, request_id, &list.encode_to_vec()).await?;
        tx.commit().await.doing("commit a new mailing list")?;
        Ok(list)
    }

    pub(crate) async fn update_mailing_list(
        &self,
        caller: &Caller,
        address: &EmailAddress,
        update: ListUpdate,
    ) -> Result<MailingList, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        versions::lock_graph(&mut tx).await?;
        let change = versions::enter(&mut tx, address.domain()).await?;
        let before = found(&mut tx, address).await?;
        if !update.etag.is_empty() && update.etag != before.etag {
            return Err(AccountError::EtagMismatch(format!("mailing list {address}")));
        }
        lists::update(&mut tx, before.list_id, &update.settings(&before)?, change.version).await?;
        let list = found(&mut tx, address).await?;
        refuse_cycles(&mut tx, &list).await?;
        deed(&change, &list, Action::Update).changed(&mut tx, &before, &list).await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit a change of a mailing list")?;
        Ok(list)
    }

    /// Removes a list and returns what still names its address, and the audit entry that tells of it.
    pub(crate) async fn delete_mailing_list(
        &self,
        caller: &Caller,
        address: &EmailAddress,
    ) -> Result<(Vec<Reference>, i64), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        let change = versions::enter(&mut tx, address.domain()).await?;
        let before = found(&mut tx, address).await?;
        lists::remove(&mut tx, before.list_id, change.version).await?;
        let told = deed(&change, &before, Action::Delete);
        let audit_id = told.note::<MailingList, MailingList>(&mut tx, Some(&before), None).await?;
        let references = references::to(&mut tx, &before.address, &change).await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit the removal of a mailing list")?;
        Ok((references, audit_id))
    }

    /// What delivery must know; `None`: it was removed.
    pub(crate) async fn look_up_mailing_list(
        &self,
        list_id: i64,
        member: Option<&EmailAddress>,
    ) -> Result<Option<FoundList>, AccountError> {
        let member = member.map(|member| member.canonical().to_string()).unwrap_or_default();
        lists::look_up(self.store.pool(), list_id, &member).await
    }
}

impl ListUpdate {
    /// What the list will be.
    fn settings(self, before: &MailingList) -> Result<ListSettings, AccountError> {
        let stored = |text: &str| {
            text.parse::<EmailAddress>().map_err(|_| AccountError::Stored("a stored address is no address"))
        };
        let listserv = match self.listserv {
            Some(listserv) => listserv,
            None if before.listserv.is_empty() => None,
            None => Some(stored(&before.listserv)?),
        };
        Ok(ListSettings {
            posting: self.posting.unwrap_or(before.posting),
            replies: self.replies.unwrap_or(before.replies),
            subject_prefix: self.subject_prefix.unwrap_or_else(|| before.subject_prefix.clone()),
            owner: self.owner.map_or_else(|| stored(&before.owner), Ok)?,
            description: self.description.unwrap_or_else(|| before.description.clone()),
            message_max_bytes: self.message_max_bytes.unwrap_or(before.message_max_bytes),
            listserv,
        })
    }
}

/// Refuses a list, as it is written, that leads back to itself: by its owner, its list server, or its members. The lock of the
/// graph is held.
pub(crate) async fn refuse_cycles(tx: &mut Tx, list: &MailingList) -> Result<(), AccountError> {
    let parsed =
        |text: &str| text.parse().map_err(|_| AccountError::Stored("a stored address is no address"));
    let address: EmailAddress = parsed(&list.address)?;
    if !list.listserv.is_empty() {
        let start = Start::Listserv { list: list.address.clone() };
        return cycles::refuse(tx, &start, &[parsed(&list.listserv)?]).await;
    }
    cycles::refuse(tx, &Start::Owner { list: address }, &[parsed(&list.owner)?]).await?;
    let members = list_members::inside(tx, &[list.list_id]).await?;
    let members: Vec<_> =
        members.iter().map(|(_, member)| parsed(member)).collect::<Result<_, AccountError>>()?;
    let start = Start::List { address: list.address.clone(), list_id: list.list_id };
    cycles::refuse(tx, &start, &members).await
}

pub(crate) fn deed<'d>(change: &'d DomainChange, list: &'d MailingList, action: Action) -> Deed<'d> {
    Deed { customer: &change.customer, kind: Thing::List, name: &list.address, action }
}

pub(crate) async fn found(tx: &mut Tx, address: &EmailAddress) -> Result<MailingList, AccountError> {
    lists::find_in(tx, address).await?.ok_or_else(|| lists::not_found(address))
}
