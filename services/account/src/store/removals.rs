//! Removes what stands in a domain that is removed, except its mailboxes.

use super::Tx;
use crate::error::{AccountError, Doing as _};

/// Lists stay for the days of the vault, as everywhere.
pub(crate) async fn of_domain(tx: &mut Tx, domain: &str, revision: i64) -> Result<(), AccountError> {
    for removing in ["delete from forwards where domain = $1", "delete from autoresponders where domain = $1"]
    {
        sqlx::query(removing)
            .bind(domain)
            .execute(&mut **tx)
            .await
            .doing("remove the forwards and autoresponders of a domain")?;
    }
    sqlx::query(
        "update lists set removed_time = now(), revision = $2 where domain = $1 and removed_time is null",
    )
    .bind(domain)
    .bind(revision)
    .execute(&mut **tx)
    .await
    .doing("remove the mailing lists of a domain")
    .map(drop)
}
