//! What DNS said of a domain and when it is to be asked again.

use std::time::Duration;

use postern_proto::account::v1::DomainState;
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, number};
use crate::error::{AccountError, Doing as _};

/// Where the owner of a domain stands with DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) customer_id: i64,
    pub(crate) state: DomainState,
    pub(crate) live_without_dns: bool,
    pub(crate) grace: Grace,
}

/// The time that a live domain is given after it no longer points here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grace {
    /// It points here, as far as is known.
    NotNeeded,
    Running,
    Over,
}

/// Takes domains that are due for a check and puts them off by `every`, a little spread, so that no other replica takes them
/// too and they do not all come at once for ever.
pub(crate) async fn take_due(pool: &PgPool, every: Duration, count: i64) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(
        "update domains set next_check_time = now() + make_interval(secs => $1 * (0.9 + 0.2 * random())) \
         where domain = any(array(select domain from domains where next_check_time <= now() \
         order by next_check_time limit $2 for update skip locked)) returning domain",
    )
    .bind(every.as_secs_f64())
    .bind(count)
    .fetch_all(pool)
    .await
}

/// Under the lock of the domain; `None`: it is not hosted (any more).
pub(crate) async fn standing(tx: &mut Tx, domain: &str) -> Result<Option<Standing>, AccountError> {
    sqlx::query(
        "select customer_id, state, live_without_dns, \
         (case when grace_end_time is null then 0 when grace_end_time > now() then 1 else 2 end)::smallint as grace \
         from domains where domain = $1",
    )
    .bind(domain)
    .try_map(|row: PgRow| {
        Ok(Standing {
            customer_id: row.try_get("customer_id")?,
            state: DomainState::try_from(number(&row, "state")?).unwrap_or_default(),
            live_without_dns: row.try_get("live_without_dns")?,
            grace: match number(&row, "grace")? {
                0 => Grace::NotNeeded,
                1 => Grace::Running,
                _ => Grace::Over,
            },
        })
    })
    .fetch_optional(&mut **tx)
    .await
    .doing("read where a domain stands")
}

/// Notes that DNS answered.
pub(crate) async fn note(tx: &mut Tx, domain: &str) -> Result<(), AccountError> {
    sqlx::query("update domains set check_time = now() where domain = $1")
        .bind(domain)
        .execute(&mut **tx)
        .await
        .doing("note a check")
        .map(drop)
}

/// DNS points here: there is nothing to wait for, and from now on DNS decides.
pub(crate) async fn end_grace(tx: &mut Tx, domain: &str) -> Result<(), AccountError> {
    sqlx::query("update domains set grace_end_time = null, live_without_dns = false where domain = $1")
        .bind(domain)
        .execute(&mut **tx)
        .await
        .doing("end the grace of a domain")
        .map(drop)
}

/// DNS no longer points here: from now on there is so much time.
pub(crate) async fn begin_grace(tx: &mut Tx, domain: &str, grace: Duration) -> Result<(), AccountError> {
    sqlx::query(
        "update domains set grace_end_time = now() + make_interval(secs => $2), \
         next_check_time = least(next_check_time, now() + make_interval(secs => $2)) where domain = $1",
    )
    .bind(domain)
    .bind(grace.as_secs_f64())
    .execute(&mut **tx)
    .await
    .doing("begin the grace of a domain")
    .map(drop)
}

pub(crate) async fn set_state(
    tx: &mut Tx,
    domain: &str,
    state: DomainState,
    revision: i64,
) -> Result<(), AccountError> {
    sqlx::query(
        "update domains set state = $2, grace_end_time = null, revision = $3, update_time = now() where domain = $1",
    )
    .bind(domain)
    .bind(small(state.into()))
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("set the state of a domain")
    .map(drop)
}
