//! Which login was ever given to whom. Rows are never deleted (LOGINS.md).

use std::collections::HashMap;

use postern_mail::DomainName;
use sqlx::Row as _;

use super::Tx;
use crate::{
    error::{AccountError, Doing as _},
    logins,
};

/// Candidates that are looked at in one go.
const BATCH: usize = 64;

/// Gives a new customer its login. False when somebody has or had it.
pub(crate) async fn give_to_customer(
    tx: &mut Tx,
    login: &str,
    customer_id: i64,
) -> Result<bool, AccountError> {
    let given = sqlx::query("insert into logins (login, customer_id) values ($1, $2) on conflict do nothing")
        .bind(login)
        .bind(customer_id)
        .execute(&mut **tx)
        .await
        .doing("give a login")?;
    Ok(given.rows_affected() == 1)
}

/// Gives the default box of a domain its login: the old one, the customer's own, or the first that is free.
pub(crate) async fn give_to_domain(
    tx: &mut Tx,
    domain: &DomainName,
    customer_id: i64,
    own: &str,
) -> Result<String, AccountError> {
    let old = sqlx::query_scalar(
        "update logins set removed_time = null where customer_id = $1 and domain = $2 returning login",
    )
    .bind(customer_id)
    .bind(domain.as_str())
    .fetch_optional(&mut **tx)
    .await
    .doing("look for the old login of a domain")?;
    if let Some(login) = old {
        return Ok(login);
    }
    let base = logins::base(domain);
    let mut candidates = logins::candidates(&base);
    loop {
        let batch: Vec<_> = candidates.by_ref().take(BATCH).collect();
        if batch.is_empty() {
            return Err(AccountError::Precondition(format!("no login is left that begins like {base}")));
        }
        let taken = taken(tx, &batch).await?;
        for login in batch {
            let given = match taken.get(&login) {
                None => give_free(tx, &login, domain, customer_id).await?,
                Some(unbound) if *unbound == Some(customer_id) && login == own => {
                    bind_own(tx, &login, domain, customer_id).await?
                }
                Some(_) => false,
            };
            if given {
                return Ok(login);
            }
        }
    }
}

/// Marks the login of a removed domain. It stays the customer's.
pub(crate) async fn retire(tx: &mut Tx, domain: &str, customer_id: i64) -> Result<(), AccountError> {
    sqlx::query("update logins set removed_time = now() where customer_id = $1 and domain = $2")
        .bind(customer_id)
        .bind(domain)
        .execute(&mut **tx)
        .await
        .doing("retire a login")
        .map(drop)
}

/// Those of the candidates that were ever given; with the customer when the login opens no box yet.
async fn taken(tx: &mut Tx, candidates: &[String]) -> Result<HashMap<String, Option<i64>>, AccountError> {
    let rows = sqlx::query("select login, case when domain is null then customer_id end as unbound from logins where login = any($1)")
        .bind(candidates)
        .fetch_all(&mut **tx)
        .await
        .doing("look for a free login")?;
    let read = rows.iter().map(|row| Ok((row.try_get("login")?, row.try_get("unbound")?)));
    read.collect::<Result<_, _>>().doing("look for a free login")
}

async fn give_free(
    tx: &mut Tx,
    login: &str,
    domain: &DomainName,
    customer_id: i64,
) -> Result<bool, AccountError> {
    // Another domain may take it at the same moment: then the next candidate is tried.
    let given = sqlx::query(
        "insert into logins (login, customer_id, domain) values ($1, $2, $3) on conflict (login) do nothing",
    )
    .bind(login)
    .bind(customer_id)
    .bind(domain.as_str())
    .execute(&mut **tx)
    .await
    .doing("give a login")?;
    Ok(given.rows_affected() == 1)
}

async fn bind_own(
    tx: &mut Tx,
    login: &str,
    domain: &DomainName,
    customer_id: i64,
) -> Result<bool, AccountError> {
    let bound =
        sqlx::query("update logins set domain = $3 where login = $1 and customer_id = $2 and domain is null")
            .bind(login)
            .bind(customer_id)
            .bind(domain.as_str())
            .execute(&mut **tx)
            .await
            .doing("bind a login")?;
    Ok(bound.rows_affected() == 1)
}
