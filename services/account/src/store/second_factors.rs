//! Rows of second factors, and whose they are.

use postern_proto::account::v1::SecondFactor;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, read, timestamp};
use crate::error::{AccountError, Doing as _};

/// Whose second factor a login has: the customer for all logins of default boxes, else the mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Login of the customer, or address of the mailbox.
    pub(crate) login: String,
    /// Login of the customer whose login it is.
    pub(crate) customer: String,
    /// Number of the customer.
    customer_id: i64,
    /// `None`: the customer itself.
    pub(crate) mailbox_id: Option<i64>,
}

/// A second factor, with its secret.
pub(crate) struct Factor {
    pub(crate) second_factor_id: i64,
    pub(crate) secret: Vec<u8>,
    pub(crate) is_on: bool,
    pub(crate) last_step: i64,
    /// Wrong codes in the time that counts.
    pub(crate) wrong_count: i32,
    pub(crate) recovery_sha256: Vec<Vec<u8>>,
    /// As it is shown.
    pub(crate) shown: SecondFactor,
}

/// What is kept after a code was looked at.
pub(crate) struct Taken<'t> {
    pub(crate) last_step: i64,
    pub(crate) wrong_count: i32,
    pub(crate) recovery_sha256: &'t [Vec<u8>],
}

/// Whose login this canonical one is; `None`: nobody's.
pub(crate) async fn owner(pool: &PgPool, login: &str) -> Result<Option<Owner>, AccountError> {
    read!(
        sqlx::query(
            "select c.login, c.login as customer, c.customer_id, null::bigint as mailbox_id \
             from customers c where c.login = $1 and c.removed_time is null \
             union all \
             select case when m.default_box then c.login else m.login end, c.login, c.customer_id, \
             case when m.default_box then null else m.mailbox_id end \
             from mailboxes m join customers c using (customer_id) where m.login = $1 and m.removed_time is null limit 1",
        )
        .bind(login)
        .try_map(|row: PgRow| {
            Ok(Owner {
                login: row.try_get("login")?,
                customer: row.try_get("customer")?,
                customer_id: row.try_get("customer_id")?,
                mailbox_id: row.try_get("mailbox_id")?,
            })
        })
        .fetch_optional(pool)
    )
    .doing("look for the owner of a second factor")
}

/// Selects the second factor of owner ($1 mailbox, $2 customer); wrong codes older than $3 minutes do not count.
macro_rules! select_factor {
    ($end:literal) => {
        concat!(
            "select second_factor_id, secret, confirm_time is not null as is_on, last_step, recovery_sha256, \
             case when wrong_time > now() - make_interval(mins => $3) then wrong_count else 0 end as wrong_count, \
             (extract(epoch from coalesce(confirm_time, create_time)) * 1000000)::bigint as confirm_micros \
             from second_factors where (mailbox_id = $1 or ($1 is null and customer_id = $2))",
            $end
        )
    };
}

/// The second factor of an owner, as it is shown. `None`: there is none.
pub(crate) async fn get(pool: &PgPool, owner: &Owner) -> Result<Option<SecondFactor>, AccountError> {
    read!(
        sqlx::query(select_factor!(""))
            .bind(owner.mailbox_id)
            .bind(owner.customer_id)
            .bind(0)
            .try_map(|row| factor(&row, &owner.login))
            .fetch_optional(pool)
    )
    .map(|found| found.map(|factor| factor.shown))
    .doing("read a second factor")
}

/// The second factor of an owner, locked; wrong codes older than so many minutes do not count. `None`: there is none.
pub(crate) async fn lock(tx: &mut Tx, owner: &Owner, minutes: i32) -> Result<Option<Factor>, AccountError> {
    sqlx::query(select_factor!(" for update"))
        .bind(owner.mailbox_id)
        .bind(owner.customer_id)
        .bind(minutes)
        .try_map(|row| factor(&row, &owner.login))
        .fetch_optional(&mut **tx)
        .await
        .doing("lock a second factor")
}

fn factor(row: &PgRow, login: &str) -> Result<Factor, sqlx::Error> {
    let recovery_sha256: Vec<Vec<u8>> = row.try_get("recovery_sha256")?;
    let is_on: bool = row.try_get("is_on")?;
    Ok(Factor {
        second_factor_id: row.try_get("second_factor_id")?,
        secret: row.try_get("secret")?,
        is_on,
        last_step: row.try_get("last_step")?,
        wrong_count: row.try_get("wrong_count")?,
        shown: SecondFactor {
            login: login.to_owned(),
            confirm_time: if is_on { timestamp(row, "confirm_micros")? } else { None },
            recovery_codes_left: i32::try_from(recovery_sha256.len()).unwrap_or(0),
        },
        recovery_sha256,
    })
}

/// Puts a secret that waits for its first code in place of what there was.
pub(crate) async fn begin(tx: &mut Tx, owner: &Owner, secret: &[u8]) -> Result<(), AccountError> {
    remove(tx, owner).await?;
    sqlx::query("insert into second_factors (customer_id, mailbox_id, secret) values ($1, $2, $3)")
        .bind(owner.mailbox_id.is_none().then_some(owner.customer_id))
        .bind(owner.mailbox_id)
        .bind(secret)
        .execute(&mut **tx)
        .await
        .doing("add a second factor")
        .map(drop)
}

/// Notes what became of a code.
pub(crate) async fn note(tx: &mut Tx, factor: &Factor, taken: &Taken<'_>) -> Result<(), AccountError> {
    sqlx::query(
        "update second_factors set last_step = $2, recovery_sha256 = $4, wrong_count = $3, \
         wrong_time = case when $3 = 1 then now() when $3 > 1 then wrong_time end where second_factor_id = $1",
    )
    .bind(factor.second_factor_id)
    .bind(taken.last_step)
    .bind(taken.wrong_count)
    .bind(taken.recovery_sha256)
    .execute(&mut **tx)
    .await
    .doing("note a code")
    .map(drop)
}

/// Turns it on, with these recovery codes.
pub(crate) async fn confirm(
    tx: &mut Tx,
    factor: &Factor,
    recovery_sha256: &[Vec<u8>],
) -> Result<(), AccountError> {
    sqlx::query(
        "update second_factors set confirm_time = now(), recovery_sha256 = $2 where second_factor_id = $1",
    )
    .bind(factor.second_factor_id)
    .bind(recovery_sha256)
    .execute(&mut **tx)
    .await
    .doing("turn a second factor on")
    .map(drop)
}

/// Takes it away, if there is one.
pub(crate) async fn remove(tx: &mut Tx, owner: &Owner) -> Result<(), AccountError> {
    sqlx::query("delete from second_factors where (mailbox_id = $1 or ($1 is null and customer_id = $2))")
        .bind(owner.mailbox_id)
        .bind(owner.customer_id)
        .execute(&mut **tx)
        .await
        .doing("remove a second factor")
        .map(drop)
}
