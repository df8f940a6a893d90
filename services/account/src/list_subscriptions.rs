//! One-click unsubscribe (RFC 8058): the token in a copy's List-Unsubscribe ends the subscription that it stands for, and
//! nothing else. Whoever has a copy has its token; so it only ends, and can be undone by its owner.

use postern_mail::{EmailAddress, UnsubscribeToken};
use postern_mesh::{audit::Action, identity::Caller};
use postern_proto::account::v1::{LookupListSubscriptionResponse, MailingList};

use crate::{
    Account,
    error::{AccountError, Doing as _},
    list_members::{count, deed, gone},
    mailing_lists::found,
    store::{list_members, lists, versions},
};

impl Account {
    /// Whom a token stands for; `None`: it is none of ours, or its list is gone.
    pub(crate) async fn list_subscription(
        &self,
        token: &str,
    ) -> Result<Option<LookupListSubscriptionResponse>, AccountError> {
        let Some((token, list)) = self.proven(token).await? else { return Ok(None) };
        let member = token.member.to_string();
        let found = lists::look_up(self.store.pool(), list.list_id, &member).await?;
        let is_member = found.is_some_and(|found| found.is_member);
        Ok(Some(LookupListSubscriptionResponse { list: list.address, address: member, is_member }))
    }

    /// Ends the subscription; twice is as good as once.
    pub(crate) async fn end_list_subscription(
        &self,
        caller: &Caller,
        token: &str,
    ) -> Result<Option<(String, EmailAddress)>, AccountError> {
        let Some((token, list)) = self.proven(token).await? else { return Ok(None) };
        let stored = || AccountError::Stored("a stored address is no address");
        let address: EmailAddress = list.address.parse().map_err(|_| stored())?;
        let mut tx = self.store.begin(caller).await?;
        let change = versions::enter(&mut tx, address.domain()).await?;
        let list = found(&mut tx, &address).await?;
        let removed =
            list_members::remove(&mut tx, list.list_id, std::slice::from_ref(&token.member)).await?;
        if !removed.is_empty() {
            count(&mut tx, &list, removed.len(), false).await?;
            deed(&change, &list.address, Action::Unsubscribe).removed(&mut tx, &gone(&list, removed)).await?;
            change.announce(&mut tx, &[]).await?;
            tx.commit().await.doing("commit the end of a subscription")?;
        }
        Ok(Some((list.address, token.member)))
    }

    async fn proven(&self, token: &str) -> Result<Option<(UnsubscribeToken, MailingList)>, AccountError> {
        let Some(token) = UnsubscribeToken::read(token) else { return Ok(None) };
        let found = lists::look_up(self.store.pool(), token.list_id, "").await?;
        Ok(found.filter(|found| token.is_made_with(&found.unsubscribe_key)).map(|found| (token, found.list)))
    }
}
