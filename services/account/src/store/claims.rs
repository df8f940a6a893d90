//! Rows of claims: who has, had or wants a domain, and the token that proves it in its DNS. All writes happen under the lock
//! of the domain's version.

use postern_mail::DomainName;
use postern_proto::account::v1::{Domain, DomainClaim, DomainState};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::LockedCustomer, etag, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

macro_rules! select_claims {
    ($rest:literal) => {
        concat!(
            "select k.claim_id, k.domain, c.login as customer, k.token, coalesce(k.alias_of, '') as alias_of, \
             (extract(epoch from k.create_time) * 1000000)::bigint as create_micros \
             from domain_claims k join customers c on c.customer_id = k.customer_id where k.waiting and ",
            $rest
        )
    };
}

/// Somebody's word that a domain is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) claim_id: i64,
    pub(crate) customer_id: i64,
    pub(crate) token: String,
    /// Asked for while another customer has it.
    pub(crate) waiting: bool,
    /// Of a waiting claim: the domain that it shall be a second name of.
    pub(crate) alias_of: Option<String>,
}

/// Every claim to a domain, in the order in which they were made.
pub(crate) async fn of(tx: &mut Tx, domain: &str) -> Result<Vec<Claim>, AccountError> {
    sqlx::query(
        "select claim_id, customer_id, token, waiting, alias_of from domain_claims where domain = $1 order by claim_id",
    )
    .bind(domain)
    .try_map(|row| claim(&row))
    .fetch_all(&mut **tx)
    .await
    .doing("list the claims to a domain")
}

/// The first that waits for a domain.
pub(crate) async fn first_waiting(tx: &mut Tx, domain: &str) -> Result<Option<Claim>, AccountError> {
    Ok(of(tx, domain).await?.into_iter().find(|claim| claim.waiting))
}

/// Notes that a domain is now hosted for a customer.
pub(crate) async fn hold(tx: &mut Tx, domain: &DomainName, customer_id: i64) -> Result<(), AccountError> {
    sqlx::query(
        "insert into domain_claims (domain, customer_id, held, waiting) values ($1, $2, true, false) \
         on conflict (domain, customer_id) do update set held = true, waiting = false, alias_of = null",
    )
    .bind(domain.as_str())
    .bind(customer_id)
    .execute(&mut **tx)
    .await
    .doing("note the holder of a domain")
    .map(drop)
}

/// Notes that a customer waits for a domain. False when it waits already.
pub(crate) async fn wait(
    tx: &mut Tx,
    domain: &DomainName,
    customer_id: i64,
    alias_of: Option<&str>,
) -> Result<bool, AccountError> {
    let noted = sqlx::query(
        "insert into domain_claims as k (domain, customer_id, held, waiting, alias_of) values ($1, $2, false, true, $3) \
         on conflict (domain, customer_id) do update set waiting = true, alias_of = $3, create_time = now() \
         where not k.waiting",
    )
    .bind(domain.as_str())
    .bind(customer_id)
    .bind(alias_of)
    .execute(&mut **tx)
    .await
    .doing("note a claim to a domain")?;
    Ok(noted.rows_affected() == 1)
}

/// Takes a waiting claim back. A former holder stays known as one.
pub(crate) async fn withdraw(tx: &mut Tx, domain: &DomainName, login: &str) -> Result<(), AccountError> {
    for statement in [
        "delete from domain_claims where domain = $1 and waiting and not held \
         and customer_id = (select customer_id from customers where login = $2)",
        "update domain_claims set waiting = false, alias_of = null where domain = $1 and waiting \
         and customer_id = (select customer_id from customers where login = $2)",
    ] {
        let done = sqlx::query(statement).bind(domain.as_str()).bind(login).execute(&mut **tx).await;
        done.doing("take a claim back")?;
    }
    Ok(())
}

/// Takes back all that a customer waits for.
pub(crate) async fn withdraw_all(tx: &mut Tx, owner: &LockedCustomer) -> Result<(), AccountError> {
    for statement in [
        "delete from domain_claims where customer_id = $1 and waiting and not held",
        "update domain_claims set waiting = false, alias_of = null where customer_id = $1 and waiting",
    ] {
        let done = sqlx::query(statement).bind(owner.customer_id).execute(&mut **tx).await;
        done.doing("take the claims of a customer back")?;
    }
    Ok(())
}

/// A waiting claim as the domain that it may become; `None`: this customer does not wait for it.
pub(crate) async fn get(
    pool: &PgPool,
    name: &DomainName,
    customer: &str,
) -> Result<Option<Domain>, AccountError> {
    read!(
        sqlx::query(select_claims!("k.domain = $1 and c.login = $2"))
            .bind(name.as_str())
            .bind(customer)
            .try_map(|row| claimed(&row))
            .fetch_optional(pool)
    )
    .doing("read a claim")
}

/// Reads what this transaction made of it.
pub(crate) async fn get_in(
    tx: &mut Tx,
    name: &DomainName,
    customer: &str,
) -> Result<Option<Domain>, AccountError> {
    sqlx::query(select_claims!("k.domain = $1 and c.login = $2"))
        .bind(name.as_str())
        .bind(customer)
        .try_map(|row| claimed(&row))
        .fetch_optional(&mut **tx)
        .await
        .doing("read a claim")
}

/// What a customer waits for, ordered by name.
pub(crate) async fn list_of(pool: &PgPool, customer: &str, page: &Page) -> Result<Vec<Domain>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_claims!(
            "k.customer_id = (select customer_id from customers where login = $3) \
             and k.domain >= $1 and k.domain < $4 order by k.domain limit $2"
        ))
        .bind(&from)
        .bind(page.limit())
        .bind(customer)
        .bind(&until)
        .try_map(|row| claimed(&row))
        .fetch_all(pool)
    )
    .doing("list the claims of a customer")
}

/// How a claim is proven: where the record stands and what it says.
pub(crate) fn proof(domain: &str, token: &str, needed: bool) -> DomainClaim {
    DomainClaim {
        txt_name: format!("_postern.{domain}"),
        txt_value: format!("postern-claim={token}"),
        txt_required: needed,
    }
}

fn claim(row: &PgRow) -> Result<Claim, sqlx::Error> {
    Ok(Claim {
        claim_id: row.try_get("claim_id")?,
        customer_id: row.try_get("customer_id")?,
        token: row.try_get("token")?,
        waiting: row.try_get("waiting")?,
        alias_of: row.try_get("alias_of")?,
    })
}

fn claimed(row: &PgRow) -> Result<Domain, sqlx::Error> {
    let name: String = row.try_get("domain")?;
    let token: String = row.try_get("token")?;
    let create_time = timestamp(row, "create_micros")?;
    Ok(Domain {
        customer: row.try_get("customer")?,
        state: DomainState::Claimed.into(),
        alias_of: row.try_get("alias_of")?,
        claim: Some(proof(&name, &token, true)),
        create_time,
        update_time: create_time,
        etag: etag(row.try_get("claim_id")?),
        name,
        ..Domain::default()
    })
}
