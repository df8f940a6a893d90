//! Versions of domains: every write to a domain locks its row, draws a new version, and tells it to the listeners.
//!
//! Second names of a domain are locked by the lock of that domain, and get each of its versions too.

use postern_mail::DomainName;
use sqlx::Row as _;

use super::{Tx, customers::LockedCustomer};
use crate::{
    changes,
    error::{AccountError, Doing as _},
};

/// A write to one domain that holds its lock, and with it that of all names of the same boxes: what is answered under one
/// of them depends on all.
#[derive(Debug)]
#[must_use = "a change that is not announced is not seen"]
pub(crate) struct DomainChange {
    pub(crate) domain: String,
    /// The new version; also the revision of the rows that change with it.
    pub(crate) version: i64,
    pub(crate) customer_id: i64,
    /// Login of the owner.
    pub(crate) customer: String,
    /// The domain that has the boxes: `domain` itself, or the one that it is a second name of.
    pub(crate) target: String,
    /// The other names of the same boxes, ordered.
    pub(crate) others: Vec<String>,
}

impl DomainChange {
    /// Tells the listeners with the commit. `revoked`: mailboxes whose credentials die with this change.
    pub(crate) async fn announce(self, tx: &mut Tx, revoked: &[i64]) -> Result<(), AccountError> {
        announce(tx, &self.domain, self.version, revoked).await?;
        for other in &self.others {
            announce(tx, other, self.version, &[]).await?;
        }
        Ok(())
    }

    /// True for a second name.
    pub(crate) fn is_alias(&self) -> bool {
        self.target != self.domain
    }

    /// Its second names; those of a second name are not its own.
    pub(crate) fn aliases(&self) -> &[String] {
        if self.is_alias() { &[] } else { &self.others }
    }
}

/// Locks a hosted domain for a write to what is in it: a second name has nothing in it. For a customer or mailbox user another
/// customer's domain is one that is not hosted; what of the domain a mailbox user may write is asked by who writes it.
pub(crate) async fn enter(tx: &mut Tx, domain: &DomainName) -> Result<DomainChange, AccountError> {
    let change = enter_name(tx, domain).await?;
    if change.is_alias() {
        return Err(AccountError::Precondition(format!(
            "{domain} is a second name of {0}: everything in it is set under {0}",
            change.target
        )));
    }
    Ok(change)
}

/// The same for a write to the domain itself, which may be a second name.
pub(crate) async fn enter_name(tx: &mut Tx, domain: &DomainName) -> Result<DomainChange, AccountError> {
    let change = try_enter(tx, domain.as_str()).await?;
    let bound = !tx.caller.is_staff();
    let change = change.filter(|change| !bound || change.customer == tx.caller.customer);
    change.ok_or_else(|| AccountError::NotFound(format!("domain {domain} is not hosted here")))
}

/// The same; `None` when the domain is not hosted (any more).
pub(crate) async fn try_enter(tx: &mut Tx, domain: &str) -> Result<Option<DomainChange>, AccountError> {
    let Some(target) = lock_names(tx, domain).await? else { return Ok(None) };
    // A statement of its own: what it reads was committed before the lock was ours.
    let rows = sqlx::query(
        "with entered as (select d.customer_id, c.login from domains d join customers c using (customer_id) \
         where d.domain = $1 and coalesce(d.alias_of, d.domain) = $2), \
         drawn as (select customer_id, login, nextval('change_number') as version from entered) \
         update versions v set version = drawn.version from drawn where v.domain = \
         any(array(select $2 union all select domain from domains where alias_of = $2)) \
         returning v.domain, v.version, drawn.customer_id, drawn.login",
    )
    .bind(domain)
    .bind(&target)
    .fetch_all(&mut **tx)
    .await
    .doing("draw a version")?;
    let Some(first) = rows.first() else { return Ok(None) };
    let read = || {
        let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get("domain")).collect();
        let mut others = names?;
        others.retain(|name| name != domain);
        others.sort_unstable();
        Ok(DomainChange {
            domain: domain.to_owned(),
            version: first.try_get("version")?,
            customer_id: first.try_get("customer_id")?,
            customer: first.try_get("login")?,
            target,
            others,
        })
    };
    read().map(Some).doing("read a version")
}

/// Locks a domain and all names of the same boxes by the lock of the one that has them, and returns its name; `None`: the
/// domain was never hosted.
pub(crate) async fn lock_names(tx: &mut Tx, domain: &str) -> Result<Option<String>, AccountError> {
    let mut locked = None;
    loop {
        let target: Option<String> =
            sqlx::query_scalar("select coalesce(alias_of, domain) from domains where domain = $1")
                .bind(domain)
                .fetch_optional(&mut **tx)
                .await
                .doing("look for the target of a domain")?;
        let target = target.unwrap_or_else(|| domain.to_owned());
        // What stood before the lock may have been removed and made anew as something else while we waited.
        if locked.as_ref() == Some(&target) {
            return Ok(locked);
        }
        if !lock(tx, &target).await? {
            return Ok(None);
        }
        locked = Some(target);
    }
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
    let domain = domain.as_str().to_owned();
    Ok(DomainChange { target: domain.clone(), domain, version, customer_id, customer, others: Vec::new() })
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
