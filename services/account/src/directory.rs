//! The questions of the mail path. "Unknown" is an answer, not an error.

use postern_mail::{DomainName, EmailAddress, is_customer_login};
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

/// A whole address or the login of a default box, as they are stored.
pub(crate) fn canonical_login(login: &str) -> Option<String> {
    if login.contains('@') {
        return login.parse::<EmailAddress>().ok().map(|address| address.canonical().to_string());
    }
    let login = login.to_ascii_lowercase();
    is_customer_login(&login).then_some(login)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_have_one_form_and_junk_has_none() {
        for (given, canonical) in [
            ("User@HomePage.Test", Some("user@homepage.test")),
            ("user@Müller.test", Some("user@xn--mller-kva.test")),
            ("HomePage", Some("homepage")),
            ("homepage2", None),
            ("", None),
            ("@", None),
            ("home page", None),
            ("homepage\0", None),
            ("user@", None),
            ("user@homepage.test\r\n", None),
        ] {
            assert_eq!(canonical_login(given).as_deref(), canonical, "{given:?}");
        }
    }
}
