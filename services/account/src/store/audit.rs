//! Rows of the audit: each is written in the transaction of the change that it tells of.

use serde::Serialize;

use super::Tx;
use crate::error::{AccountError, Doing as _};

/// What was done to which thing. `before` and `after` are messages of the gRPC face, which hold no secret.
pub(crate) struct Deed<'d> {
    /// Login of the customer whose thing it is; empty for the platform's own.
    pub(crate) customer: &'d str,
    /// As in `AuditEntry.kind`.
    pub(crate) kind: &'static str,
    pub(crate) name: &'d str,
    /// As in `AuditEntry.action`.
    pub(crate) action: &'static str,
}

impl Deed<'_> {
    /// Writes it down in the name of the transaction's caller.
    pub(crate) async fn note<B: Serialize, A: Serialize>(
        self,
        tx: &mut Tx,
        before: Option<&B>,
        after: Option<&A>,
    ) -> Result<(), AccountError> {
        let (before, after) = (json(before)?, json(after)?);
        let caller = tx.caller.clone();
        sqlx::query(
            "insert into audit (actor_role, actor, peer_ip, customer, kind, name, action, before_json, after_json) \
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(caller.role.as_str())
        .bind(&caller.subject)
        .bind(caller.peer.map(|peer| peer.to_string()).unwrap_or_default())
        .bind(self.customer)
        .bind(self.kind)
        .bind(self.name)
        .bind(self.action)
        .bind(before)
        .bind(after)
        .execute(&mut **tx)
        .await
        .doing("write the audit")
        .map(drop)
    }

    pub(crate) async fn created<A: Serialize>(self, tx: &mut Tx, after: &A) -> Result<(), AccountError> {
        self.note::<A, A>(tx, None, Some(after)).await
    }

    pub(crate) async fn changed<T: Serialize>(
        self,
        tx: &mut Tx,
        before: &T,
        after: &T,
    ) -> Result<(), AccountError> {
        self.note(tx, Some(before), Some(after)).await
    }

    pub(crate) async fn removed<B: Serialize>(self, tx: &mut Tx, before: &B) -> Result<(), AccountError> {
        self.note::<B, B>(tx, Some(before), None).await
    }

    /// A deed that leaves nothing to show, such as a new password.
    pub(crate) async fn done(self, tx: &mut Tx) -> Result<(), AccountError> {
        self.note::<(), ()>(tx, None, None).await
    }
}

fn json<T: Serialize>(thing: Option<&T>) -> Result<String, AccountError> {
    match thing {
        None => Ok(String::new()),
        Some(thing) => {
            serde_json::to_string(thing).map_err(|_| AccountError::Stored("a thing has no JSON form"))
        }
    }
}
