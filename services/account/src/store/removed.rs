//! Rows of removed mailboxes: they keep everything until their mail is destroyed.

use postern_mail::DomainName;
use postern_proto::account::v1::RemovedMailbox;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

/// A removed mailbox, as a restore must know it.
#[derive(Clone, Debug)]
pub(crate) struct Removed {
    pub(crate) mailbox_id: i64,
    pub(crate) domain: String,
    pub(crate) customer_id: i64,
    pub(crate) default_box: bool,
    /// Its days are over.
    pub(crate) expired: bool,
}

/// One of a listing.
pub(crate) struct Listed {
    pub(crate) mailbox: RemovedMailbox,
    /// Where it stands in the listing.
    pub(crate) key: String,
}

/// $2: only this name, or null. $3: only of this customer, or null: of the owner of the domain if it has one. $5, $6: only what
/// was removed before (microseconds, id).
const LIST: &str = "\
    select m.mailbox_id, m.login, (extract(epoch from m.removed_time) * 1000000)::bigint as removed_micros, \
        (extract(epoch from m.removed_time + make_interval(days => $4)) * 1000000)::bigint as until_micros \
    from mailboxes m join customers c using (customer_id) left join domains d on d.domain = m.domain \
    where m.domain = $1 and m.removed_time is not null and m.destroyed_time is null and m.expired_time is null \
        and m.removed_time > now() - make_interval(days => $4) \
        and ($2::text is null or m.login = $2) and ($3::text is null or c.login = $3) \
        and (d.customer_id is null or d.customer_id = m.customer_id) \
        and ((extract(epoch from m.removed_time) * 1000000)::bigint, m.mailbox_id) < ($5, $6) \
    order by m.removed_time desc, m.mailbox_id desc limit $7";

/// Newest removal first.
pub(crate) async fn list(
    pool: &PgPool,
    domain: &DomainName,
    name: Option<&str>,
    customer: Option<&str>,
    vault_days: i32,
    page: &Page,
) -> Result<Vec<Listed>, AccountError> {
    let (micros, id) = before(&page.from())?;
    read!(
        sqlx::query(LIST)
            .bind(domain.as_str())
            .bind(name)
            .bind(customer)
            .bind(vault_days)
            .bind(micros)
            .bind(id)
            .bind(page.limit())
            .try_map(|row| listed(&row))
            .fetch_all(pool)
    )
    .doing("list removed mailboxes")
}

/// The place that a page begins after: `micros.id`, as [`listed`] makes it.
fn before(from: &str) -> Result<(i64, i64), AccountError> {
    let from = from.trim_end_matches('\u{1}');
    if from.is_empty() {
        return Ok((i64::MAX, i64::MAX));
    }
    let place = from.split_once('.').and_then(|(micros, id)| Some((micros.parse().ok()?, id.parse().ok()?)));
    place.ok_or_else(|| AccountError::Invalid("page_token: is not one that this list gave".to_owned()))
}

fn listed(row: &PgRow) -> Result<Listed, sqlx::Error> {
    let (mailbox_id, micros): (i64, i64) = (row.try_get("mailbox_id")?, row.try_get("removed_micros")?);
    let mailbox = RemovedMailbox {
        mailbox_id,
        address: row.try_get("login")?,
        remove_time: timestamp(row, "removed_micros")?,
        restorable_until_time: timestamp(row, "until_micros")?,
    };
    Ok(Listed { mailbox, key: format!("{micros}.{mailbox_id}") })
}

/// The removed mailbox of this login, the one removed last or `mailbox_id`, of this customer or of anybody.
pub(crate) async fn find(
    tx: &mut Tx,
    login: &str,
    mailbox_id: i64,
    customer: Option<&str>,
    vault_days: i32,
) -> Result<Option<Removed>, AccountError> {
    sqlx::query(
        "select m.mailbox_id, m.domain, m.customer_id, m.default_box, \
            m.expired_time is not null or m.removed_time <= now() - make_interval(days => $4) as expired \
         from mailboxes m join customers c using (customer_id) \
         where m.login = $1 and m.removed_time is not null and m.destroyed_time is null \
            and ($2 = 0 or m.mailbox_id = $2) and ($3::text is null or c.login = $3) \
         order by m.removed_time desc, m.mailbox_id desc limit 1",
    )
    .bind(login)
    .bind(mailbox_id)
    .bind(customer)
    .bind(vault_days)
    .try_map(|row: PgRow| {
        Ok(Removed {
            mailbox_id: row.try_get("mailbox_id")?,
            domain: row.try_get("domain")?,
            customer_id: row.try_get("customer_id")?,
            default_box: row.try_get("default_box")?,
            expired: row.try_get("expired")?,
        })
    })
    .fetch_optional(&mut **tx)
    .await
    .doing("look for a removed mailbox")
}

/// Makes it live again, with all that it had.
pub(crate) async fn restore(tx: &mut Tx, mailbox_id: i64, revision: i64) -> Result<(), AccountError> {
    sqlx::query(
        "update mailboxes set removed_time = null, update_time = now(), revision = $2 \
         where mailbox_id = $1 and expired_time is null",
    )
    .bind(mailbox_id)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("restore a mailbox")
    .map(drop)
}
