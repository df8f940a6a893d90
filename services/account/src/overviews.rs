//! What a first page shows: what needs somebody at a domain, and how a box came to hold what it holds.

use postern_mail::DomainName;
use postern_mesh::identity::Caller;
use postern_proto::account::v1::{DomainOverview, MailboxDay};

use crate::{
    Account,
    error::AccountError,
    store::{dns_findings, overviews},
};

impl Account {
    /// What needs somebody at a domain, and its largest boxes.
    pub(crate) async fn domain_overview(
        &self,
        caller: &Caller,
        domain: &DomainName,
    ) -> Result<DomainOverview, AccountError> {
        self.may_see_domain(caller, domain).await?;
        let (pool, name) = (self.store.pool(), domain.as_str());
        let room_bytes = self.limits.as_limits().mailbox_storage_bytes;
        let (overview, findings) =
            tokio::try_join!(overviews::of_domain(pool, name, room_bytes), dns_findings::of(pool, name))?;
        let mut overview = DomainOverview { findings, ..overview };
        let parts = [
            &mut overview.nearly_full_mailboxes,
            &mut overview.suspended_mailboxes,
            &mut overview.largest_mailboxes,
        ];
        for mailbox in parts.into_iter().flatten() {
            *mailbox = self.shown(std::mem::take(mailbox));
        }
        Ok(overview)
    }

    /// What a box held day by day.
    pub(crate) async fn mailbox_days(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Vec<MailboxDay>, AccountError> {
        let mailbox = self.mailbox(caller, name).await?;
        overviews::days_of(self.store.pool(), mailbox.mailbox_id).await
    }
}
