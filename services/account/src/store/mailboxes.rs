//! Rows of mailboxes. Removed ones stay: an id means the same box for ever.

use postern_mail::DomainName;
use postern_proto::{account::v1::Mailbox, google::Timestamp};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, etag, number, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

/// A quota that is none.
pub(crate) const NO_QUOTA: i64 = -1;

/// Columns of [`mailbox`], of boxes that are not removed.
macro_rules! select_mailboxes {
    ($rest:literal) => {
        concat!(
            "select mailbox_id, address, login, domain, state, default_box, display_name, credential_version, revision, \
             quota_bytes, over_quota, coalesce(used_bytes, 0) as used_bytes, coalesce(quota_bytes, (select l.mailbox_storage_bytes \
             from limits l where l.customer_id = mailboxes.customer_id)) as held_quota_bytes, \
             (extract(epoch from create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from update_time) * 1000000)::bigint as update_micros \
             from mailboxes left join box_usage using (mailbox_id) where removed_time is null and ",
            $rest
        )
    };
}
pub(super) use select_mailboxes;

/// A new mailbox.
pub(crate) struct NewMailbox<'m> {
    /// Empty for a default box.
    pub(crate) address: &'m str,
    pub(crate) login: &'m str,
    pub(crate) domain: &'m str,
    pub(crate) customer_id: i64,
    /// `None` for a default box.
    pub(crate) phc: Option<&'m str>,
    pub(crate) display_name: &'m str,
    pub(crate) state: i32,
    /// As in `Mailbox`.
    pub(crate) quota_bytes: Option<i64>,
    pub(crate) revision: i64,
}

/// What may be changed of a mailbox; `None` leaves it.
#[derive(Debug, Default)]
pub(crate) struct MailboxUpdate {
    pub(crate) display_name: Option<String>,
    pub(crate) state: Option<i32>,
    /// `Some(None)`: what the limits of its customer say.
    pub(crate) quota_bytes: Option<Option<i64>>,
    /// A new PHC string.
    pub(crate) phc: Option<String>,
    /// Its credentials die.
    pub(crate) revoke: bool,
}

/// By login: the address, or the login of a default box.
pub(crate) async fn get(pool: &PgPool, login: &str) -> Result<Mailbox, AccountError> {
    let found = read!(
        sqlx::query(select_mailboxes!("login = $1"))
            .bind(login)
            .try_map(|row| mailbox(&row))
            .fetch_optional(pool)
    );
    found.doing("read a mailbox")?.ok_or_else(|| not_found(login))
}

/// Reads what this transaction made of a mailbox; `None`: there is none.
pub(crate) async fn get_in(tx: &mut Tx, login: &str) -> Result<Mailbox, AccountError> {
    let found = sqlx::query(select_mailboxes!("login = $1")).bind(login).try_map(|row| mailbox(&row));
    found.fetch_optional(&mut **tx).await.doing("read a mailbox")?.ok_or_else(|| not_found(login))
}

/// The default box comes first: its address is empty.
pub(crate) async fn list(
    pool: &PgPool,
    domain: &DomainName,
    page: &Page,
) -> Result<Vec<Mailbox>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_mailboxes!(
            "domain = $1 and address >= $2 and address < $4 order by domain, address limit $3"
        ))
        .bind(domain.as_str())
        .bind(&from)
        .bind(page.limit())
        .bind(&until)
        .try_map(|row| mailbox(&row))
        .fetch_all(pool)
    )
    .doing("list mailboxes")
}

/// Id of the mailbox with this login.
pub(crate) async fn id_of(pool: &PgPool, login: &str) -> Result<Option<i64>, AccountError> {
    read!(
        sqlx::query_scalar("select mailbox_id from mailboxes where login = $1 and removed_time is null")
            .bind(login)
            .fetch_optional(pool)
    )
    .doing("look for a mailbox")
}

/// The same within a write.
pub(crate) async fn id_in(tx: &mut Tx, login: &str) -> Result<Option<i64>, AccountError> {
    sqlx::query_scalar("select mailbox_id from mailboxes where login = $1 and removed_time is null")
        .bind(login)
        .fetch_optional(&mut **tx)
        .await
        .doing("look for a mailbox")
}

/// True when a live mailbox has this address.
pub(crate) async fn exists(tx: &mut Tx, address: &str) -> Result<bool, AccountError> {
    sqlx::query_scalar("select exists (select from mailboxes where login = $1 and removed_time is null)")
        .bind(address)
        .fetch_one(&mut **tx)
        .await
        .doing("look for a mailbox")
}

/// True when this is the address of a mailbox of this customer.
pub(crate) async fn is_of_customer(tx: &mut Tx, address: &str, customer: &str) -> Result<bool, AccountError> {
    sqlx::query_scalar(
        "select exists (select from mailboxes m join customers c using (customer_id) \
         where m.login = $1 and m.address = $1 and m.removed_time is null and c.login = $2)",
    )
    .bind(address)
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
    .doing("look for a mailbox of a customer")
}

/// Adds a mailbox and returns its id.
pub(crate) async fn insert(tx: &mut Tx, new: &NewMailbox<'_>) -> Result<i64, AccountError> {
    sqlx::query_scalar(
        "insert into mailboxes (address, login, domain, customer_id, default_box, password_phc, display_name, state, revision, quota_bytes) \
         values ($1, $2, $3, $4, $1 = '', $5, $6, $7, $8, $9) returning mailbox_id",
    )
    .bind(new.address)
    .bind(new.login)
    .bind(new.domain)
    .bind(new.customer_id)
    .bind(new.phc)
    .bind(new.display_name)
    .bind(small(new.state))
    .bind(new.revision)
    .bind(new.quota_bytes)
    .fetch_one(&mut **tx)
    .await
    .doing("add a mailbox")
}

pub(crate) async fn update(
    tx: &mut Tx,
    mailbox_id: i64,
    update: &MailboxUpdate,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "update mailboxes set display_name = coalesce($2, display_name), state = coalesce($3, state), \
         password_phc = coalesce($4, password_phc), credential_version = credential_version + $5, revision = $6, \
         quota_bytes = case when $7 then $8 else quota_bytes end, update_time = now() where mailbox_id = $1",
    )
    .bind(mailbox_id)
    .bind(update.display_name.as_deref())
    .bind(update.state.map(small))
    .bind(update.phc.as_deref())
    .bind(i64::from(update.revoke))
    .bind(revision)
    .bind(update.quota_bytes.is_some())
    .bind(update.quota_bytes.flatten())
    .execute(&mut **tx)
    .await
    .doing("change a mailbox")
    .map(drop)
}

/// Lets the credentials of a domain's mailboxes die: of all, or of the default box alone. Returns whose.
pub(crate) async fn revoke(
    tx: &mut Tx,
    domain: &str,
    default_box_only: bool,
    revision: i64,
) -> Result<Vec<i64>, AccountError> {
    sqlx::query_scalar(
        "update mailboxes set credential_version = credential_version + 1, revision = $3, update_time = now() \
         where domain = $1 and removed_time is null and (default_box or not $2) returning mailbox_id",
    )
    .bind(domain)
    .bind(default_box_only)
    .bind(revision)
    .fetch_all(&mut **tx)
    .await
    .doing("revoke credentials")
}

/// Removes one mailbox: its address is free, nobody logs in to it, its row stays. Its password stays with it until its mail is
/// destroyed, so that bringing it back brings back all of it. Returns until when it can be brought back.
pub(crate) async fn remove(
    tx: &mut Tx,
    mailbox_id: i64,
    revision: i64,
    vault_days: i32,
) -> Result<Option<Timestamp>, AccountError> {
    sqlx::query(
        "update mailboxes set removed_time = now(), update_time = now(), \
         credential_version = credential_version + 1, revision = $2 where mailbox_id = $1 \
         returning (extract(epoch from removed_time + make_interval(days => $3)) * 1000000)::bigint as until_micros",
    )
    .bind(mailbox_id)
    .bind(revision)
    .bind(vault_days)
    .try_map(|row: PgRow| timestamp(&row, "until_micros"))
    .fetch_one(&mut **tx)
    .await
    .doing("remove a mailbox")
}

/// Login of the customer of the mailbox with this login.
pub(crate) async fn owner(pool: &PgPool, login: &str) -> Result<Option<(i64, String)>, AccountError> {
    let row = read!(
        sqlx::query(
            "select m.mailbox_id, c.login from mailboxes m join customers c using (customer_id) \
             where m.login = $1 and m.removed_time is null"
        )
        .bind(login)
        .try_map(|row: PgRow| Ok((row.try_get(0)?, row.try_get(1)?)))
        .fetch_optional(pool)
    );
    row.doing("look up the owner of a mailbox")
}

/// Removes all mailboxes of a domain and returns their ids.
pub(crate) async fn remove_all(tx: &mut Tx, domain: &str, revision: i64) -> Result<Vec<i64>, AccountError> {
    sqlx::query_scalar(
        "update mailboxes set removed_time = now(), update_time = now(), \
         credential_version = credential_version + 1, revision = $2 \
         where domain = $1 and removed_time is null returning mailbox_id",
    )
    .bind(domain)
    .bind(revision)
    .fetch_all(&mut **tx)
    .await
    .doing("remove the mailboxes of a domain")
}

pub(super) fn mailbox(row: &PgRow) -> Result<Mailbox, sqlx::Error> {
    Ok(Mailbox {
        mailbox_id: row.try_get("mailbox_id")?,
        address: row.try_get("address")?,
        login: row.try_get("login")?,
        domain: row.try_get("domain")?,
        state: number(row, "state")?,
        default_box: row.try_get("default_box")?,
        display_name: row.try_get("display_name")?,
        credential_version: row.try_get("credential_version")?,
        quota_bytes: row.try_get("quota_bytes")?,
        // Where nothing is set, the platform's default holds: `Account::shown` knows it.
        effective_quota_bytes: row.try_get("held_quota_bytes")?,
        used_bytes: row.try_get("used_bytes")?,
        full: row.try_get("over_quota")?,
        create_time: timestamp(row, "create_micros")?,
        update_time: timestamp(row, "update_micros")?,
        etag: etag(row.try_get("revision")?),
    })
}

pub(crate) fn not_found(login: &str) -> AccountError {
    AccountError::NotFound(format!("there is no mailbox {login}"))
}
