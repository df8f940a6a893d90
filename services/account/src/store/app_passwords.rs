//! Rows of app passwords.

use postern_proto::account::v1::{AppPassword, Mailbox};
use sqlx::{PgPool, Row as _, postgres::PgRow};

use super::{Tx, customers::small, number, read, timestamp};
use crate::error::{AccountError, Doing as _};

macro_rules! shown_columns {
    ($before:literal, $after:literal) => {
        concat!(
            $before,
            "app_password_id, protocol, display_name, (extract(epoch from create_time) * 1000000)::bigint as create_micros",
            $after
        )
    };
}

pub(crate) async fn list(pool: &PgPool, mailbox: &Mailbox) -> Result<Vec<AppPassword>, AccountError> {
    read!(
        sqlx::query(shown_columns!(
            "select ",
            " from app_passwords where mailbox_id = $1 order by app_password_id"
        ))
        .bind(mailbox.mailbox_id)
        .try_map(|row| shown(&row, mailbox))
        .fetch_all(pool)
    )
    .doing("list app passwords")
}

pub(crate) async fn count(tx: &mut Tx, mailbox_id: i64) -> Result<i64, AccountError> {
    sqlx::query_scalar("select count(*) from app_passwords where mailbox_id = $1")
        .bind(mailbox_id)
        .fetch_one(&mut **tx)
        .await
        .doing("count app passwords")
}

pub(crate) async fn insert(
    tx: &mut Tx,
    mailbox: &Mailbox,
    protocol: i32,
    display_name: &str,
    secret_sha256: &[u8],
) -> Result<AppPassword, AccountError> {
    sqlx::query(shown_columns!(
        "insert into app_passwords (mailbox_id, protocol, display_name, secret_sha256) values ($1, $2, $3, $4) returning ",
        ""
    ))
    .bind(mailbox.mailbox_id)
    .bind(small(protocol))
    .bind(display_name)
    .bind(secret_sha256)
    .try_map(|row| shown(&row, mailbox))
    .fetch_one(&mut **tx)
    .await
    .doing("add an app password")
}

/// What was removed; `None`: the mailbox has no such one.
pub(crate) async fn remove(
    tx: &mut Tx,
    mailbox: &Mailbox,
    app_password_id: i64,
) -> Result<Option<AppPassword>, AccountError> {
    sqlx::query(shown_columns!(
        "delete from app_passwords where mailbox_id = $1 and app_password_id = $2 returning ",
        ""
    ))
    .bind(mailbox.mailbox_id)
    .bind(app_password_id)
    .try_map(|row| shown(&row, mailbox))
    .fetch_optional(&mut **tx)
    .await
    .doing("remove an app password")
}

fn shown(row: &PgRow, mailbox: &Mailbox) -> Result<AppPassword, sqlx::Error> {
    Ok(AppPassword {
        app_password_id: row.try_get("app_password_id")?,
        mailbox: mailbox.login.clone(),
        protocol: number(row, "protocol")?,
        display_name: row.try_get("display_name")?,
        create_time: timestamp(row, "create_micros")?,
    })
}
