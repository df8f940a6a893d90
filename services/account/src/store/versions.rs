//! Versions of domains: every write to a domain locks its row, draws a new version, and tells it to the listeners.

use postern_mail::DomainName;
use sqlx::Row as _;

use super::{Tx, customers::LockedCustomer};
use crate::{
    changes,
    error::{AccountError, Doing as _},
};

/// A write to one domain that holds its lock.
#[derive(Debug)]
#[must_use = "a change that is not announced is not seen"]
pub(crate) struct DomainChange {
    pub(crate) domain: String,
    /// The new version; also the revision of the rows that change with it.
    pub(crate) version: i64,
    pub(crate) customer_id: i64,
    /// Login of the owner.
    pub(crate) customer: String,
}

impl DomainChange {
    /// Tells the listeners with the commit. `revoked`: mailboxes whose credentials die with this change.
    pub(crate) async fn announce(self, tx: &mut Tx, revoked: &[i64]) -> Result<(), AccountError> {
        announce(tx, &self.domain, self.version, revoked).await
    }
}

/// Locks a hosted domain for a write. For a customer or mailbox user another customer's domain is one that is not hosted; what
/// of the domain a mailbox user may write is asked by who writes it.
pub(crate) async fn enter(tx: &mut Tx, domain: &DomainName) -> Result<DomainChange, AccountError> {
    let change = try_enter(tx, domain.as_str()).await?;
    let bound = !tx.caller.is_staff();
    let change = change.filter(|change| !bound || change.customer == tx.caller.customer);
    change.ok_or_else(|| AccountError::NotFound(format!("domain {domain} is not hosted here")))
}

/// The same; `None` when the domain is not hosted (any more).
pub(crate) async fn try_enter(tx: &mut Tx, domain: &str) -> Result<Option<DomainChange>, AccountError> {
    if !lock(tx, domain).await? {
        return Ok(None);
    }
    // A statement of its own: what it reads was committed before the lock was ours.
    let row = sqlx::query(
        "update versions v set version = nextval('change_number') from domains d join customers c using (customer_id) \
         where v.domain = $1 and d.domain = v.domain returning v.version, d.customer_id, c.login",
    )
    .bind(domain)
    .fetch_optional(&mut **tx)
    .await
    .doing("draw a version")?;
    let Some(row) = row else { return Ok(None) };
    let read = || {
        Ok(DomainChange {
            domain: domain.to_owned(),
            version: row.try_get("version")?,
            customer_id: row.try_get("customer_id")?,
            customer: row.try_get("login")?,
        })
    };
    read().map(Some).doing("read a version")
}

/// Locks a domain that is not hosted yet, or is and will be refused; its version grows only by [`draw`].
pub(crate) async fn lock_new(tx: &mut Tx, domain: &DomainName) -> Result<(), AccountError> {
    sqlx::query("insert into versions (domain, version) values ($1, 0) on conflict do nothing")
        .bind(domain.as_str())
        .execute(&mut **tx)
        .await
        .doing("add a version")?;
    lock(tx, domain.as_str()).await.map(drop)
}

/// A new version of a domain whose lock is held.
pub(crate) async fn draw(
    tx: &mut Tx,
    domain: &DomainName,
    owner: &LockedCustomer,
) -> Result<DomainChange, AccountError> {
    let version = sqlx::query_scalar(
        "update versions set version = nextval('change_number') where domain = $1 returning version",
    )
    .bind(domain.as_str())
    .fetch_one(&mut **tx)
    .await
    .doing("draw a version")?;
    let (customer_id, customer) = (owner.customer_id, owner.login.clone());
    Ok(DomainChange { domain: domain.as_str().to_owned(), version, customer_id, customer })
}

/// Forwards lead from domain to domain: whoever writes one that stays in the house looks for cycles, and those looks
/// must not overlap. Taken before the lock of a domain.
pub(crate) async fn lock_graph(tx: &mut Tx) -> Result<(), AccountError> {
    sqlx::query("select pg_advisory_xact_lock(hashtextextended('postern account graph of forwards', 0))")
        .execute(&mut **tx)
        .await
        .doing("lock the graph of forwards")
        .map(drop)
}

async fn lock(tx: &mut Tx, domain: &str) -> Result<bool, AccountError> {
    let locked = sqlx::query("select 1 from versions where domain = $1 for update")
        .bind(domain)
        .fetch_optional(&mut **tx)
        .await
        .doing("lock a domain")?;
    Ok(locked.is_some())
}

async fn announce(tx: &mut Tx, domain: &str, version: i64, revoked: &[i64]) -> Result<(), AccountError> {
    sqlx::query("select pg_notify($1, payload) from unnest($2::text[]) payload")
        .bind(changes::CHANNEL)
        .bind(changes::payloads(domain, version, revoked))
        .execute(&mut **tx)
        .await
        .doing("announce a change")
        .map(drop)
}
