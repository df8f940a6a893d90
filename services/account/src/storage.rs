//! What boxes hold and may hold: delivery reports, here it is decided who is full, and the change is told to every gateway as
//! any change of a domain is; so RCPT answers 452 4.2.2 within a second, and takes mail again as soon.

use postern_mesh::identity::Caller;
use postern_proto::account::v1::BoxUsage;

use crate::{
    Account,
    error::{AccountError, Doing as _},
    store::{storage, versions},
};

impl Account {
    /// Keeps what boxes hold, and marks those that became full or free.
    pub(crate) async fn report_usage(&self, caller: &Caller, boxes: &[BoxUsage]) -> Result<(), AccountError> {
        storage::keep(self.store.pool(), boxes).await?;
        let ids: Vec<i64> = boxes.iter().map(|told| told.mailbox_id).collect();
        self.judge_boxes(caller, &ids, None).await
    }

    /// Marks boxes as full or free: these, and all of a customer whose limits changed. One domain after the other, so that no
    /// lock of one is held while another is waited for.
    pub(crate) async fn judge_boxes(
        &self,
        caller: &Caller,
        mailbox_ids: &[i64],
        customer_id: Option<i64>,
    ) -> Result<(), AccountError> {
        let defaults = self.limits.as_limits();
        for domain in
            storage::misjudged_domains(self.store.pool(), &defaults, mailbox_ids, customer_id).await?
        {
            let mut tx = self.store.begin(caller).await?;
            let Some(change) = versions::try_enter(&mut tx, &domain).await? else { continue };
            if storage::judge(&mut tx, &defaults, &domain).await? == 0 {
                // Somebody else was faster.
                continue;
            }
            change.announce(&mut tx, &[]).await?;
            tx.commit().await.doing("commit which boxes are full")?;
        }
        Ok(())
    }

    /// Removed mailboxes whose days in the vault are over.
    pub(crate) async fn expired_mailboxes(&self, limit: i64) -> Result<Vec<i64>, AccountError> {
        storage::expire(self.store.pool(), self.vault_days, limit).await
    }

    /// The mail of these is gone.
    pub(crate) async fn forget_mailboxes(
        &self,
        caller: &Caller,
        mailbox_ids: &[i64],
    ) -> Result<(), AccountError> {
        let mut tx = self.store.begin(caller).await?;
        storage::forget(&mut tx, mailbox_ids).await?;
        tx.commit().await.doing("commit which mailboxes are gone")
    }
}
