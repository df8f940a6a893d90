//! Rows of mailing lists. Removed ones stay for the days of the vault, with their members.

use postern_mail::{DomainName, EmailAddress};
use postern_proto::account::v1::MailingList;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, etag, number, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

macro_rules! select_lists {
    ($rest:literal) => {
        concat!(
            "select l.list_id, l.address, l.domain, l.posting, l.replies, l.subject_prefix, l.owner, l.description, \
             l.message_max_bytes, l.listserv, l.member_count, l.revision, \
             (extract(epoch from l.create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from l.update_time) * 1000000)::bigint as update_micros from lists l where ",
            $rest
        )
    };
}

/// What can be set of a list.
#[derive(Clone, Debug)]
pub(crate) struct ListSettings {
    pub(crate) posting: i32,
    pub(crate) replies: i32,
    pub(crate) subject_prefix: String,
    pub(crate) owner: EmailAddress,
    pub(crate) description: String,
    /// Octets; 0: what the platform takes.
    pub(crate) message_max_bytes: i64,
    /// `None`: the list is kept here.
    pub(crate) listserv: Option<EmailAddress>,
}

impl ListSettings {
    fn listserv(&self) -> (String, String) {
        let shown = |address: Option<EmailAddress>| address.map(|a| a.to_string()).unwrap_or_default();
        (shown(self.listserv.clone()), shown(self.listserv.as_ref().map(EmailAddress::canonical)))
    }
}

/// What delivery must know of a list.
pub(crate) struct FoundList {
    pub(crate) list: MailingList,
    /// Login of the owner of its domain.
    pub(crate) customer: String,
    pub(crate) is_member: bool,
    /// Of the tokens in List-Unsubscribe.
    pub(crate) unsubscribe_key: Vec<u8>,
}

pub(crate) async fn get(pool: &PgPool, address: &EmailAddress) -> Result<MailingList, AccountError> {
    let key = address.to_string();
    let found = read!(
        sqlx::query(select_lists!("l.address = $1 and l.removed_time is null"))
            .bind(&key)
            .try_map(|row| list(&row))
            .fetch_optional(pool)
    );
    found.doing("read a mailing list")?.ok_or_else(|| not_found(address))
}

/// Reads what this transaction made of a list; `None`: there is none.
pub(crate) async fn find_in(
    tx: &mut Tx,
    address: &EmailAddress,
) -> Result<Option<MailingList>, AccountError> {
    sqlx::query(select_lists!("l.address = $1 and l.removed_time is null"))
        .bind(address.to_string())
        .try_map(|row| list(&row))
        .fetch_optional(&mut **tx)
        .await
        .doing("read a mailing list")
}

/// By its id, unless it was removed.
pub(crate) async fn find_id_in(tx: &mut Tx, list_id: i64) -> Result<Option<MailingList>, AccountError> {
    sqlx::query(select_lists!("l.list_id = $1 and l.removed_time is null"))
        .bind(list_id)
        .try_map(|row| list(&row))
        .fetch_optional(&mut **tx)
        .await
        .doing("read a mailing list")
}

pub(crate) async fn page(
    pool: &PgPool,
    domain: &DomainName,
    page: &Page,
) -> Result<Vec<MailingList>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_lists!(
            "l.domain = $1 and l.address >= $2 and l.address < $4 and l.removed_time is null order by l.domain, l.address limit $3"
        ))
        .bind(domain.as_str())
        .bind(&from)
        .bind(page.limit())
        .bind(&until)
        .try_map(|row| list(&row))
        .fetch_all(pool)
    )
    .doing("list mailing lists")
}

/// All of a domain.
pub(crate) async fn of_domain(tx: &mut Tx, domain: &str) -> Result<Vec<MailingList>, AccountError> {
    sqlx::query(select_lists!("l.domain = $1 and l.removed_time is null order by l.address"))
        .bind(domain)
        .try_map(|row| list(&row))
        .fetch_all(&mut **tx)
        .await
        .doing("list mailing lists")
}

/// A list, and whether an address (canonical; empty: not asked) is a member.
pub(crate) async fn look_up(
    pool: &PgPool,
    list_id: i64,
    member: &str,
) -> Result<Option<FoundList>, AccountError> {
    const LOOK_UP: &str = "\
        select l.*, (extract(epoch from l.create_time) * 1000000)::bigint as create_micros, \
        (extract(epoch from l.update_time) * 1000000)::bigint as update_micros, c.login as customer, \
        exists (select from list_members m where m.list_id = l.list_id and m.member = $2) as is_member \
        from lists l join domains d on d.domain = l.domain join customers c on c.customer_id = d.customer_id \
        where l.list_id = $1 and l.removed_time is null";
    let found = read!(
        sqlx::query(LOOK_UP)
            .bind(list_id)
            .bind(member)
            .try_map(|row: PgRow| {
                let (customer, is_member) = (row.try_get("customer")?, row.try_get("is_member")?);
                let unsubscribe_key = row.try_get("unsubscribe_key")?;
                Ok(FoundList { list: list(&row)?, customer, is_member, unsubscribe_key })
            })
            .fetch_optional(pool)
    );
    found.doing("look up a mailing list")
}

/// Adds a list without members.
pub(crate) async fn insert(
    tx: &mut Tx,
    address: &EmailAddress,
    settings: &ListSettings,
    revision: i64,
) -> Result<(), AccountError> {
    let (listserv, listserv_key) = settings.listserv();
    sqlx::query(
        "insert into lists (address, domain, posting, replies, subject_prefix, owner, owner_key, description, \
         message_max_bytes, listserv, listserv_key, revision) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(address.to_string())
    .bind(address.domain().as_str())
    .bind(small(settings.posting))
    .bind(small(settings.replies))
    .bind(&settings.subject_prefix)
    .bind(settings.owner.to_string())
    .bind(settings.owner.canonical().to_string())
    .bind(&settings.description)
    .bind(settings.message_max_bytes)
    .bind(listserv)
    .bind(listserv_key)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("add a mailing list")
    .map(drop)
}

pub(crate) async fn update(
    tx: &mut Tx,
    list_id: i64,
    settings: &ListSettings,
    revision: i64,
) -> Result<(), AccountError> {
    let (listserv, listserv_key) = settings.listserv();
    sqlx::query(
        "update lists set posting = $2, replies = $3, subject_prefix = $4, owner = $5, owner_key = $6, description = $7, \
         message_max_bytes = $8, listserv = $9, listserv_key = $10, revision = $11, update_time = now() where list_id = $1",
    )
    .bind(list_id)
    .bind(small(settings.posting))
    .bind(small(settings.replies))
    .bind(&settings.subject_prefix)
    .bind(settings.owner.to_string())
    .bind(settings.owner.canonical().to_string())
    .bind(&settings.description)
    .bind(settings.message_max_bytes)
    .bind(listserv)
    .bind(listserv_key)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("change a mailing list")
    .map(drop)
}

/// Counts members that came (or, negative, went) with this transaction.
pub(crate) async fn add_to_count(tx: &mut Tx, list_id: i64, added: i64) -> Result<(), AccountError> {
    sqlx::query("update lists set member_count = member_count + $2, update_time = now() where list_id = $1")
        .bind(list_id)
        .bind(i32::try_from(added).unwrap_or_default())
        .execute(&mut **tx)
        .await
        .doing("count the members of a mailing list")
        .map(drop)
}

/// Removes a list; its row and its members stay for a while.
pub(crate) async fn remove(tx: &mut Tx, list_id: i64, revision: i64) -> Result<(), AccountError> {
    sqlx::query("update lists set removed_time = now(), revision = $2 where list_id = $1")
        .bind(list_id)
        .bind(revision)
        .execute(&mut **tx)
        .await
        .doing("remove a mailing list")
        .map(drop)
}

/// Brings a removed list back. False when it is gone, or is there.
pub(crate) async fn restore(tx: &mut Tx, list_id: i64, revision: i64) -> Result<bool, AccountError> {
    let restored = sqlx::query(
        "update lists set removed_time = null, update_time = now(), revision = $2 \
         where list_id = $1 and removed_time is not null",
    )
    .bind(list_id)
    .bind(revision)
    .execute(&mut **tx)
    .await;
    Ok(restored.doing("restore a mailing list")?.rows_affected() == 1)
}

/// Forgets lists that were removed so many days ago.
pub(crate) async fn sweep(pool: &PgPool, days: i32) -> Result<u64, sqlx::Error> {
    let swept = sqlx::query("delete from lists where removed_time < now() - make_interval(days => $1)")
        .bind(days)
        .execute(pool)
        .await?;
    Ok(swept.rows_affected())
}

fn list(row: &PgRow) -> Result<MailingList, sqlx::Error> {
    Ok(MailingList {
        address: row.try_get("address")?,
        list_id: row.try_get("list_id")?,
        domain: row.try_get("domain")?,
        posting: number(row, "posting")?,
        replies: number(row, "replies")?,
        subject_prefix: row.try_get("subject_prefix")?,
        owner: row.try_get("owner")?,
        description: row.try_get("description")?,
        message_max_bytes: row.try_get("message_max_bytes")?,
        listserv: row.try_get("listserv")?,
        member_count: row.try_get("member_count")?,
        create_time: timestamp(row, "create_micros")?,
        update_time: timestamp(row, "update_micros")?,
        etag: etag(row.try_get("revision")?),
    })
}

pub(crate) fn not_found(address: &EmailAddress) -> AccountError {
    AccountError::NotFound(format!("there is no mailing list {address}"))
}
