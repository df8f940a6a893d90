//! Rows of domains, with their default address.

use postern_mail::DomainName;
use postern_proto::account::v1::{DefaultAction, DefaultAddress, Domain};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, etag, number, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
    resolver::DefaultRule,
};

macro_rules! select_domains {
    ($rest:literal) => {
        concat!(
            "select d.domain, c.login as customer, d.state, d.login, d.default_mailbox_id, d.grant_ttl_seconds, \
             d.auth_only, d.sender_policy, d.allowed_senders, d.revision, \
             (extract(epoch from d.create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from d.update_time) * 1000000)::bigint as update_micros \
             from domains d join customers c on c.customer_id = d.customer_id where ",
            $rest
        )
    };
}

/// What may be changed of a domain; `None` leaves it.
#[derive(Debug, Default)]
pub(crate) struct DomainUpdate {
    pub(crate) state: Option<i32>,
    /// `Some(None)`: back to the platform's default.
    pub(crate) grant_ttl_seconds: Option<Option<i32>>,
    pub(crate) auth_only: Option<bool>,
    pub(crate) sender_policy: Option<i32>,
    pub(crate) allowed_senders: Option<Vec<String>>,
}

pub(crate) async fn get(pool: &PgPool, name: &DomainName) -> Result<Domain, AccountError> {
    let found = read!(
        sqlx::query(select_domains!("d.domain = $1"))
            .bind(name.as_str())
            .try_map(|row| domain(&row))
            .fetch_optional(pool)
    );
    found.doing("read a domain")?.ok_or_else(|| not_found(name))
}

/// Reads what this transaction made of a domain.
pub(crate) async fn get_in(tx: &mut Tx, name: &DomainName) -> Result<Domain, AccountError> {
    let found = sqlx::query(select_domains!("d.domain = $1")).bind(name.as_str()).try_map(|row| domain(&row));
    found.fetch_optional(&mut **tx).await.doing("read a domain")?.ok_or_else(|| not_found(name))
}

/// Lists all domains.
pub(crate) async fn list(pool: &PgPool, page: &Page) -> Result<Vec<Domain>, AccountError> {
    let from = page.from();
    read!(
        sqlx::query(select_domains!("d.domain >= $1 order by d.domain limit $2"))
            .bind(&from)
            .bind(page.limit())
            .try_map(|row| domain(&row))
            .fetch_all(pool)
    )
    .doing("list domains")
}

/// Lists the domains of one customer.
pub(crate) async fn list_of(pool: &PgPool, customer: &str, page: &Page) -> Result<Vec<Domain>, AccountError> {
    let from = page.from();
    read!(
        sqlx::query(select_domains!(
            "d.customer_id = (select customer_id from customers where login = $3) \
             and d.domain >= $1 order by d.domain limit $2"
        ))
        .bind(&from)
        .bind(page.limit())
        .bind(customer)
        .try_map(|row| domain(&row))
        .fetch_all(pool)
    )
    .doing("list the domains of a customer")
}

/// Login of the owner of a hosted domain.
pub(crate) async fn owner(pool: &PgPool, name: &str) -> Result<Option<String>, AccountError> {
    read!(
        sqlx::query_scalar(
            "select c.login from domains d join customers c using (customer_id) where d.domain = $1"
        )
        .bind(name)
        .fetch_optional(pool)
    )
    .doing("look up the owner of a domain")
}

pub(crate) async fn is_hosted(tx: &mut Tx, name: &DomainName) -> Result<bool, AccountError> {
    let found = sqlx::query("select 1 from domains where domain = $1").bind(name.as_str());
    Ok(found.fetch_optional(&mut **tx).await.doing("look for a domain")?.is_some())
}

/// True when one of these domains is hosted here.
pub(crate) async fn any_hosted(tx: &mut Tx, names: &[String]) -> Result<bool, AccountError> {
    sqlx::query_scalar("select exists (select from domains where domain = any($1))")
        .bind(names)
        .fetch_one(&mut **tx)
        .await
        .doing("look for domains")
}

pub(crate) async fn insert(
    tx: &mut Tx,
    name: &DomainName,
    customer_id: i64,
    state: i32,
    login: &str,
    default_mailbox_id: i64,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "insert into domains (domain, customer_id, state, login, default_mailbox_id, revision) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(name.as_str())
    .bind(customer_id)
    .bind(small(state))
    .bind(login)
    .bind(default_mailbox_id)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("add a domain")
    .map(drop)
}

pub(crate) async fn update(
    tx: &mut Tx,
    name: &DomainName,
    update: &DomainUpdate,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "update domains set state = coalesce($2, state), \
         grant_ttl_seconds = case when $3 then $4 else grant_ttl_seconds end, \
         auth_only = coalesce($5, auth_only), sender_policy = coalesce($6, sender_policy), \
         allowed_senders = coalesce($7, allowed_senders), revision = $8, update_time = now() where domain = $1",
    )
    .bind(name.as_str())
    .bind(update.state.map(small))
    .bind(update.grant_ttl_seconds.is_some())
    .bind(update.grant_ttl_seconds.flatten())
    .bind(update.auth_only)
    .bind(update.sender_policy.map(small))
    .bind(update.allowed_senders.as_deref())
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("change a domain")
    .map(drop)
}

/// Removes a domain with its forwards. Its mailboxes are another matter.
pub(crate) async fn remove(tx: &mut Tx, domain: &str) -> Result<(), AccountError> {
    sqlx::query("delete from forwards where domain = $1")
        .bind(domain)
        .execute(&mut **tx)
        .await
        .doing("remove the forwards of a domain")?;
    sqlx::query("delete from domains where domain = $1")
        .bind(domain)
        .execute(&mut **tx)
        .await
        .doing("remove a domain")
        .map(drop)
}

const DEFAULT_ADDRESS: &str = "select domain, default_action, default_target from domains where domain = $1";

pub(crate) async fn get_default_address(
    pool: &PgPool,
    name: &DomainName,
) -> Result<DefaultAddress, AccountError> {
    let found = read!(
        sqlx::query(DEFAULT_ADDRESS)
            .bind(name.as_str())
            .try_map(|row| default_address(&row))
            .fetch_optional(pool)
    );
    found.doing("read a default address")?.ok_or_else(|| not_found(name))
}

/// Reads what this transaction made of it.
pub(crate) async fn default_address_in(
    tx: &mut Tx,
    name: &DomainName,
) -> Result<DefaultAddress, AccountError> {
    let found = sqlx::query(DEFAULT_ADDRESS).bind(name.as_str()).try_map(|row| default_address(&row));
    found.fetch_optional(&mut **tx).await.doing("read a default address")?.ok_or_else(|| not_found(name))
}

fn default_address(row: &PgRow) -> Result<DefaultAddress, sqlx::Error> {
    Ok(DefaultAddress {
        domain: row.try_get("domain")?,
        action: number(row, "default_action")?,
        target: row.try_get("default_target")?,
    })
}

pub(crate) async fn set_default_address(
    tx: &mut Tx,
    name: &DomainName,
    rule: &DefaultRule,
    revision: i64,
) -> Result<(), AccountError> {
    let (action, target) = stored_rule(rule);
    sqlx::query(
        "update domains set default_action = $2, default_target = $3, revision = $4, update_time = now() \
         where domain = $1",
    )
    .bind(name.as_str())
    .bind(small(action.into()))
    .bind(target)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("set a default address")
    .map(drop)
}

/// A rule as it is stored.
fn stored_rule(rule: &DefaultRule) -> (DefaultAction, &str) {
    match rule {
        DefaultRule::Box => (DefaultAction::Box, ""),
        DefaultRule::Reject => (DefaultAction::Reject, ""),
        DefaultRule::Discard => (DefaultAction::Discard, ""),
        DefaultRule::Address(target) => (DefaultAction::Address, target),
    }
}

/// A rule as it was stored.
pub(super) fn read_rule(action: i32, target: String) -> Result<DefaultRule, AccountError> {
    match DefaultAction::try_from(action) {
        Ok(DefaultAction::Box) => Ok(DefaultRule::Box),
        Ok(DefaultAction::Reject) => Ok(DefaultRule::Reject),
        Ok(DefaultAction::Discard) => Ok(DefaultRule::Discard),
        Ok(DefaultAction::Address) => Ok(DefaultRule::Address(target)),
        Ok(DefaultAction::Unspecified) | Err(_) => {
            Err(AccountError::Stored("an unknown default address is stored"))
        }
    }
}

fn domain(row: &PgRow) -> Result<Domain, sqlx::Error> {
    Ok(Domain {
        name: row.try_get("domain")?,
        customer: row.try_get("customer")?,
        state: number(row, "state")?,
        login: row.try_get("login")?,
        default_mailbox_id: row.try_get("default_mailbox_id")?,
        grant_ttl_seconds: row.try_get("grant_ttl_seconds")?,
        auth_only: row.try_get("auth_only")?,
        sender_policy: number(row, "sender_policy")?,
        allowed_senders: row.try_get("allowed_senders")?,
        create_time: timestamp(row, "create_micros")?,
        update_time: timestamp(row, "update_micros")?,
        etag: etag(row.try_get("revision")?),
        ..Domain::default()
    })
}

pub(crate) fn not_found(name: &DomainName) -> AccountError {
    AccountError::NotFound(format!("domain {name} is not hosted here"))
}
