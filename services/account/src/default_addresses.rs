//! Default addresses: what happens to mail for names that nothing else takes.

use postern_mail::{DomainName, EmailAddress};
use postern_mesh::{
    audit::{Action, Thing},
    identity::Caller,
};
use postern_proto::account::v1::DefaultAddress;

use crate::{
    Account,
    cycles::{self, Start},
    error::{AccountError, Doing as _},
    forwards::lock_graph_if_local,
    resolver::DefaultRule,
    store::{audit::Deed, domains, versions},
};

/// The rule as it shall be.
pub(crate) enum NewRule {
    Box,
    Reject,
    Discard,
    Address(EmailAddress),
}

impl Account {
    pub(crate) async fn default_address(
        &self,
        caller: &Caller,
        domain: &DomainName,
    ) -> Result<DefaultAddress, AccountError> {
        self.may_see_domain(caller, domain).await?;
        domains::get_default_address(self.store.pool(), domain).await
    }

    pub(crate) async fn set_default_address(
        &self,
        caller: &Caller,
        domain: &DomainName,
        etag: &str,
        rule: NewRule,
    ) -> Result<DefaultAddress, AccountError> {
        let mut tx = self.store.begin(caller).await?;
        if let NewRule::Address(target) = &rule {
            lock_graph_if_local(&mut tx, std::slice::from_ref(target)).await?;
        }
        let change = versions::enter(&mut tx, domain).await?;
        let before = domains::default_address_in(&mut tx, domain).await?;
        if !etag.is_empty() && etag != before.etag {
            return Err(AccountError::EtagMismatch(format!("the default address of domain {domain}")));
        }
        let rule = match rule {
            NewRule::Box => DefaultRule::Box,
            NewRule::Reject => DefaultRule::Reject,
            NewRule::Discard => DefaultRule::Discard,
            NewRule::Address(target) => {
                let start = Start::DefaultAddress { domain: domain.as_str().to_owned() };
                cycles::refuse(&mut tx, &start, std::slice::from_ref(&target)).await?;
                DefaultRule::Address(target.to_string())
            }
        };
        domains::set_default_address(&mut tx, domain, &rule, change.version).await?;
        let after = domains::default_address_in(&mut tx, domain).await?;
        Deed {
            customer: &change.customer,
            kind: Thing::DefaultAddress,
            name: domain.as_str(),
            action: Action::Update,
        }
        .changed(&mut tx, &before, &after)
        .await?;
        change.announce(&mut tx, &[]).await?;
        tx.commit().await.doing("commit a default address")?;
        Ok(after)
    }
}
