//! Reading the audit, deeds of the other services in it, and how long it is kept.

use std::time::Duration;

use postern_mesh::{identity::Caller, shutdown::Shutdown};
use postern_proto::account::v1::AuditEntry;

use crate::{
    Account,
    error::AccountError,
    paging::Page,
    store::{
        Store,
        audit::{self, EntryFilter},
        directory,
    },
};

/// What a page holds of things before and after: with the rest of its entries it fits into a message that every client takes
/// (4 MiB). One entry alone is never above that, for it was a request once.
const PAGE_MAX_BYTES: usize = 1 << 20;
/// How often old entries are swept away.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

impl Account {
    /// A page, newest first, and the token of the next one. A customer sees its own only.
    pub(crate) async fn audit_entries(
        &self,
        caller: &Caller,
        mut filter: EntryFilter,
        page: &Page,
    ) -> Result<(Vec<AuditEntry>, String), AccountError> {
        if !caller.is_staff() {
            if filter.customer.as_ref().is_some_and(|customer| !caller.may_act_for(customer)) {
                return Ok((Vec::new(), String::new()));
            }
            filter.customer = Some(caller.customer.clone());
        }
        let mut rows = audit::list(self.store.pool(), &filter, page, PAGE_MAX_BYTES).await?;
        let size = |entry: &AuditEntry| entry.before_json.len() + entry.after_json.len();
        let next = page.finish_below_within(PAGE_MAX_BYTES, &mut rows, |entry| entry.audit_id, size);
        Ok((rows, next))
    }

    /// Writes down what another service did for somebody.
    pub(crate) async fn record_audit_entry(
        &self,
        mut entry: AuditEntry,
        mailbox_id: i64,
    ) -> Result<(), AccountError> {
        if mailbox_id != 0
            && let Some(mailbox) = directory::mailbox(self.store.pool(), mailbox_id).await?
        {
            if entry.customer.is_empty() {
                entry.customer = mailbox.customer;
            }
            if entry.name.is_empty() {
                entry.name = mailbox.address;
            }
        }
        audit::record(self.store.pool(), &entry).await
    }
}

/// Removes entries that are too old, until shutdown.
pub(crate) fn sweep_now_and_then(store: &Store, days: i32, shutdown: &Shutdown) {
    let (pool, ending) = (store.pool().clone(), shutdown.clone());
    let sweeping = async move {
        let mut times = tokio::time::interval(SWEEP_EVERY);
        loop {
            times.tick().await;
            if let Err(error) = audit::sweep(&pool, days).await {
                tracing::warn!(%error, "old audit entries cannot be swept away; trying again later");
            }
        }
    };
    shutdown.spawn(async move {
        tokio::select! {
            () = sweeping => {}
            () = ending.triggered() => {}
        }
    });
}
