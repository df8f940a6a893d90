//! Rows of domains, with their default address.

use postern_mail::DomainName;
use postern_proto::account::v1::{DefaultAction, DefaultAddress, Domain, DomainState};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, claims, customers::small, etag, number, optional_timestamp, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
    resolver::DefaultRule,
};

macro_rules! select_domains {
    ($rest:literal) => {
        concat!(
            "select d.domain, c.login as customer, d.state, coalesce(d.login, '') as login, \
             coalesce(d.default_mailbox_id, 0) as default_mailbox_id, d.grant_ttl_seconds, d.auth_only, d.sender_policy, \
             d.allowed_senders, coalesce(d.alias_of, '') as alias_of, d.plaintext_login, d.live_without_dns, d.dmarc_handling, \
             d.spam_handling, d.spam_mailbox, d.revision, \
             (extract(epoch from d.create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from d.update_time) * 1000000)::bigint as update_micros, \
             (extract(epoch from d.check_time) * 1000000)::bigint as check_micros, \
             (extract(epoch from d.grace_end_time) * 1000000)::bigint as grace_micros, k.token, \
             exists (select from domain_claims o where o.domain = d.domain and o.customer_id <> d.customer_id) as contested \
             from domains d join customers c on c.customer_id = d.customer_id \
             left join domain_claims k on k.domain = d.domain and k.customer_id = d.customer_id where ",
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
    pub(crate) plaintext_login: Option<bool>,
    pub(crate) dmarc_handling: Option<i32>,
    pub(crate) spam_handling: Option<i32>,
    /// Empty: none.
    pub(crate) spam_mailbox: Option<String>,
}

/// A domain that is to be hosted.
pub(crate) struct NewDomain<'d> {
    pub(crate) name: &'d DomainName,
    pub(crate) customer_id: i64,
    pub(crate) state: DomainState,
    pub(crate) revision: i64,
    pub(crate) place: Place<'d>,
}

/// Where what comes to a domain is kept.
pub(crate) enum Place<'d> {
    /// In boxes of its own: the default box and its login.
    Own { login: &'d str, default_mailbox_id: i64 },
    /// In those of another domain.
    AliasOf(&'d str),
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
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_domains!("d.domain >= $1 and d.domain < $3 order by d.domain limit $2"))
            .bind(&from)
            .bind(page.limit())
            .bind(&until)
            .try_map(|row| domain(&row))
            .fetch_all(pool)
    )
    .doing("list domains")
}

/// Lists the domains of one customer.
pub(crate) async fn list_of(pool: &PgPool, customer: &str, page: &Page) -> Result<Vec<Domain>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_domains!(
            "d.customer_id = (select customer_id from customers where login = $3) \
             and d.domain >= $1 and d.domain < $4 order by d.domain limit $2"
        ))
        .bind(&from)
        .bind(page.limit())
        .bind(customer)
        .bind(&until)
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

/// Whose a domain is; `None`: it is not hosted.
pub(crate) async fn holder(tx: &mut Tx, name: &DomainName) -> Result<Option<i64>, AccountError> {
    sqlx::query_scalar("select customer_id from domains where domain = $1")
        .bind(name.as_str())
        .fetch_optional(&mut **tx)
        .await
        .doing("look for a domain")
}

/// The same within a write.
pub(crate) async fn owner_in(tx: &mut Tx, name: &str) -> Result<Option<String>, AccountError> {
    sqlx::query_scalar(
        "select c.login from domains d join customers c using (customer_id) where d.domain = $1",
    )
    .bind(name)
    .fetch_optional(&mut **tx)
    .await
    .doing("look up the owner of a domain")
}

/// True when one of these domains is hosted here.
pub(crate) async fn any_hosted(tx: &mut Tx, names: &[String]) -> Result<bool, AccountError> {
    sqlx::query_scalar("select exists (select from domains where domain = any($1))")
        .bind(names)
        .fetch_one(&mut **tx)
        .await
        .doing("look for domains")
}

/// Adds a domain. One that was put into service without DNS is not in a hurry to be checked.
pub(crate) async fn insert(tx: &mut Tx, new: &NewDomain<'_>) -> Result<(), AccountError> {
    let (login, default_mailbox_id, alias_of) = match new.place {
        Place::Own { login, default_mailbox_id } => (Some(login), Some(default_mailbox_id), None),
        Place::AliasOf(target) => (None, None, Some(target)),
    };
    sqlx::query(
        "insert into domains (domain, customer_id, state, login, default_mailbox_id, alias_of, live_without_dns, revision, \
         next_check_time) values ($1, $2, $3, $4, $5, $6, $7, $8, now() + case when $7 then interval '1 hour' \
         else interval '0' end)",
    )
    .bind(new.name.as_str())
    .bind(new.customer_id)
    .bind(small(new.state.into()))
    .bind(login)
    .bind(default_mailbox_id)
    .bind(alias_of)
    .bind(new.state == DomainState::Live)
    .bind(new.revision)
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
        "update domains set state = coalesce($2, state), plaintext_login = coalesce($9, plaintext_login), \
         dmarc_handling = coalesce($10, dmarc_handling), spam_handling = coalesce($11, spam_handling), \
         spam_mailbox = coalesce($12, spam_mailbox), \
         live_without_dns = case when $2 is null then live_without_dns else $2 = 2 end, \
         grace_end_time = case when $2 is null then grace_end_time end, \
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
    .bind(update.plaintext_login)
    .bind(update.dmarc_handling.map(small))
    .bind(update.spam_handling.map(small))
    .bind(update.spam_mailbox.as_deref())
    .execute(&mut **tx)
    .await
    .doing("change a domain")
    .map(drop)
}

/// Removes a domain. What stands in it is another matter.
pub(crate) async fn remove(tx: &mut Tx, domain: &str) -> Result<(), AccountError> {
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
    let (action, target): (i32, String) = (number(row, "default_action")?, row.try_get("default_target")?);
    // The rule itself: a change of anything else of the domain is none of the rule, and the same rule again is the same.
    let etag = format!("{action}:{target}");
    Ok(DefaultAddress { domain: row.try_get("domain")?, action, target, etag })
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
    let name: String = row.try_get("domain")?;
    let (token, contested): (Option<String>, bool) = (row.try_get("token")?, row.try_get("contested")?);
    Ok(Domain {
        claim: token.map(|token| claims::proof(&name, &token, contested)),
        alias_of: row.try_get("alias_of")?,
        plaintext_login: row.try_get("plaintext_login")?,
        live_without_dns: row.try_get("live_without_dns")?,
        dmarc_handling: number(row, "dmarc_handling")?,
        spam_handling: number(row, "spam_handling")?,
        spam_mailbox: row.try_get("spam_mailbox")?,
        check_time: optional_timestamp(row, "check_micros")?,
        grace_end_time: optional_timestamp(row, "grace_micros")?,
        name,
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
    })
}

pub(crate) fn not_found(name: &DomainName) -> AccountError {
    AccountError::NotFound(format!("domain {name} is not hosted here"))
}
