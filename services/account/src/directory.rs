//! The questions of the mail path. "Unknown" is an answer, not an error.

use postern_mail::{DomainName, EmailAddress, canonical_login};
use postern_proto::account::v1::{DomainIdentity, Limits, LoginIdentity, MailboxIdentity, Resolution};

use crate::{
    Account,
    error::AccountError,
    resolver::{Question, resolve},
    store::directory,
};

impl Account {
    /// Where the addresses lead, in their order, all read at one moment.
    pub(crate) async fn resolve(&self, addresses: &[EmailAddress]) -> Result<Vec<Resolution>, AccountError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let questions: Vec<_> = addresses.iter().map(Question::new).collect();
        let snapshot = directory::snapshot(self.store.pool(), &questions).await?;
        Ok(questions.iter().map(|question| resolve(question, &snapshot)).collect())
    }

    /// Whose login this is; what cannot be one is nobody's.
    pub(crate) async fn login(&self, login: &str) -> Result<Option<LoginIdentity>, AccountError> {
        match canonical_login(login) {
            Some(canonical) => directory::login(self.store.pool(), &canonical, false).await,
            None => Ok(None),
        }
    }

    /// The same for a panel session: a customer login that opens no box is one too.
    pub(crate) async fn panel_login(&self, login: &str) -> Result<Option<LoginIdentity>, AccountError> {
        let Some(canonical) = canonical_login(login) else { return Ok(None) };
        match directory::login(self.store.pool(), &canonical, true).await? {
            Some(identity) => Ok(Some(identity)),
            None => directory::customer_login(self.store.pool(), &canonical).await,
        }
    }

    pub(crate) async fn mailbox_identity(
        &self,
        mailbox_id: i64,
    ) -> Result<Option<MailboxIdentity>, AccountError> {
        let mut found = directory::mailbox(self.store.pool(), mailbox_id).await?;
        if let Some(mailbox) = &mut found {
            let messages_per_hour = mailbox.customer_messages_per_hour;
            let mailbox_storage_bytes = mailbox.quota_bytes;
            let set = Limits { messages_per_hour, mailbox_storage_bytes, ..Limits::default() };
            let holds = self.limits.effective(&set);
            mailbox.customer_messages_per_hour = holds.messages_per_hour;
            mailbox.quota_bytes = holds.mailbox_storage_bytes;
        }
        Ok(found)
    }

    pub(crate) async fn domain_identity(
        &self,
        name: &DomainName,
    ) -> Result<Option<DomainIdentity>, AccountError> {
        directory::domain(self.store.pool(), name).await
    }
}
