//! Rows of customers.

use postern_proto::account::v1::Customer;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, etag, number, read, timestamp};
use crate::{
    error::{AccountError, Doing as _},
    paging::Page,
};

macro_rules! select_customers {
    ($rest:literal) => {
        concat!(
            "select c.customer_id, c.login, c.display_name, c.state, c.revision, \
             (extract(epoch from c.create_time) * 1000000)::bigint as create_micros, \
             (extract(epoch from c.update_time) * 1000000)::bigint as update_micros, \
             array(select d.domain from domains d where d.customer_id = c.customer_id order by d.domain)::text[] as domains \
             from customers c where c.removed_time is null and ",
            $rest
        )
    };
}

/// A customer whose row is locked.
#[derive(Debug)]
pub(crate) struct LockedCustomer {
    pub(crate) customer_id: i64,
    pub(crate) login: String,
    pub(crate) state: i32,
    pub(crate) revision: i64,
}

pub(crate) async fn get(pool: &PgPool, login: &str) -> Result<Customer, AccountError> {
    let found = read!(
        sqlx::query(select_customers!("c.login = $1"))
            .bind(login)
            .try_map(|row| customer(&row))
            .fetch_optional(pool)
    );
    found.doing("read a customer")?.ok_or_else(|| not_found(login))
}

/// Reads what this transaction made of a customer.
pub(crate) async fn get_in(tx: &mut Tx, login: &str) -> Result<Customer, AccountError> {
    let found = sqlx::query(select_customers!("c.login = $1")).bind(login).try_map(|row| customer(&row));
    found.fetch_optional(&mut **tx).await.doing("read a customer")?.ok_or_else(|| not_found(login))
}

pub(crate) async fn list(pool: &PgPool, page: &Page) -> Result<Vec<Customer>, AccountError> {
    let (from, until) = (page.from(), page.until());
    read!(
        sqlx::query(select_customers!("c.login >= $1 and c.login < $3 order by c.login limit $2"))
            .bind(&from)
            .bind(page.limit())
            .bind(&until)
            .try_map(|row| customer(&row))
            .fetch_all(pool)
    )
    .doing("list customers")
}

/// Locks a customer: its domains do not become more meanwhile. For a customer others do not exist.
pub(crate) async fn lock(tx: &mut Tx, login: &str) -> Result<LockedCustomer, AccountError> {
    if !tx.caller.may_act_for(login) {
        return Err(not_found(login));
    }
    sqlx::query(
        "select customer_id, login, state, revision from customers where login = $1 and removed_time is null for update",
    )
    .bind(login)
    .try_map(|row| locked(&row))
    .fetch_optional(&mut **tx)
    .await
    .doing("lock a customer")?
    .ok_or_else(|| not_found(login))
}

/// Locks a customer to whom something comes by itself, in whoever's name; `None`: it was removed.
pub(crate) async fn lock_heir(tx: &mut Tx, customer_id: i64) -> Result<Option<LockedCustomer>, AccountError> {
    sqlx::query(
        "select customer_id, login, state, revision from customers \
         where customer_id = $1 and removed_time is null for update",
    )
    .bind(customer_id)
    .try_map(|row| locked(&row))
    .fetch_optional(&mut **tx)
    .await
    .doing("lock a customer")
}

fn locked(row: &PgRow) -> Result<LockedCustomer, sqlx::Error> {
    Ok(LockedCustomer {
        customer_id: row.try_get("customer_id")?,
        login: row.try_get("login")?,
        state: number(row, "state")?,
        revision: row.try_get("revision")?,
    })
}

/// Adds a customer; `None` when the login belongs to one, removed ones included.
pub(crate) async fn insert(
    tx: &mut Tx,
    login: &str,
    display_name: &str,
    phc: &str,
    state: i32,
) -> Result<Option<i64>, AccountError> {
    sqlx::query_scalar(
        "insert into customers (login, display_name, password_phc, state, revision) \
         values ($1, $2, $3, $4, nextval('change_number')) on conflict (login) do nothing returning customer_id",
    )
    .bind(login)
    .bind(display_name)
    .bind(phc)
    .bind(small(state))
    .fetch_optional(&mut **tx)
    .await
    .doing("add a customer")
}

/// Changes what is given.
pub(crate) async fn update(
    tx: &mut Tx,
    customer_id: i64,
    display_name: Option<&str>,
    state: Option<i32>,
) -> Result<(), AccountError> {
    sqlx::query(
        "update customers set display_name = coalesce($2, display_name), state = coalesce($3, state), \
         revision = nextval('change_number'), update_time = now() where customer_id = $1",
    )
    .bind(customer_id)
    .bind(display_name)
    .bind(state.map(small))
    .execute(&mut **tx)
    .await
    .doing("change a customer")
    .map(drop)
}

pub(crate) async fn set_password(tx: &mut Tx, customer_id: i64, phc: &str) -> Result<(), AccountError> {
    sqlx::query(
        "update customers set password_phc = $2, credential_version = credential_version + 1, \
         revision = nextval('change_number'), update_time = now() where customer_id = $1",
    )
    .bind(customer_id)
    .bind(phc)
    .execute(&mut **tx)
    .await
    .doing("set the password of a customer")
    .map(drop)
}

/// Removes a customer. The row stays as the owner of its logins, without its name and password.
pub(crate) async fn remove(tx: &mut Tx, customer_id: i64) -> Result<(), AccountError> {
    sqlx::query(
        "update customers set removed_time = now(), display_name = '', password_phc = '', \
         revision = nextval('change_number'), update_time = now() where customer_id = $1",
    )
    .bind(customer_id)
    .execute(&mut **tx)
    .await
    .doing("remove a customer")
    .map(drop)
}

/// Names of a customer's domains, ordered.
pub(crate) async fn domains(tx: &mut Tx, customer_id: i64) -> Result<Vec<String>, AccountError> {
    sqlx::query_scalar("select domain from domains where customer_id = $1 order by domain")
        .bind(customer_id)
        .fetch_all(&mut **tx)
        .await
        .doing("list the domains of a customer")
}

/// The first of these logins that is no customer's.
pub(crate) async fn first_unknown(tx: &mut Tx, logins: &[String]) -> Result<Option<String>, AccountError> {
    sqlx::query_scalar(
        "select asked from unnest($1::text[]) asked where not exists \
         (select from customers c where c.login = asked and c.removed_time is null) limit 1",
    )
    .bind(logins)
    .fetch_optional(&mut **tx)
    .await
    .doing("look for customers")
}

fn customer(row: &PgRow) -> Result<Customer, sqlx::Error> {
    Ok(Customer {
        customer_id: row.try_get("customer_id")?,
        login: row.try_get("login")?,
        display_name: row.try_get("display_name")?,
        state: number(row, "state")?,
        create_time: timestamp(row, "create_micros")?,
        update_time: timestamp(row, "update_micros")?,
        etag: etag(row.try_get("revision")?),
        domains: row.try_get("domains")?,
    })
}

pub(crate) fn not_found(login: &str) -> AccountError {
    AccountError::NotFound(format!("there is no customer {login}"))
}

/// Numbers of our enums are small.
pub(super) fn small(number: i32) -> i16 {
    i16::try_from(number).unwrap_or_default()
}
