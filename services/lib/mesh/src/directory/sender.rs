//! Whose name a customer's boxes may write in: one rule for MAIL, for the authors in a header, and for signatures.

use postern_mail::DomainName;
use postern_proto::account::v1::{DomainIdentity, DomainState, SenderPolicy};
use tonic::Status;

use super::Directory;

/// May this customer's boxes write in the name of this domain? `None`: it is not hosted here. A domain that is not live here belongs
/// to the world, or whoever typed gmail.com could stop everyone's mail from it (PROMISES.md, "Delegation").
#[must_use]
pub fn may_use_sender(customer: &str, domain: Option<&DomainIdentity>) -> bool {
    let Some(domain) = domain.filter(|domain| domain.state() == DomainState::Live) else { return true };
    domain.customer == customer
        || match domain.sender_policy() {
            SenderPolicy::Anyone => true,
            SenderPolicy::Named => domain.allowed_senders.iter().any(|allowed| allowed == customer),
            SenderPolicy::Owner | SenderPolicy::Unspecified => false,
        }
}

impl Directory {
    /// The same by the name of the domain.
    ///
    /// # Errors
    /// The status of the directory, or `UNAVAILABLE`: then nobody knows, and nothing may be sent in this name.
    pub async fn may_use_sender(&self, customer: &str, domain: &DomainName) -> Result<bool, Status> {
        Ok(may_use_sender(customer, self.domain(domain).await?.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_sender_one_may_use() {
        use DomainState::{Live, Lost, Pending};
        use SenderPolicy::{Anyone, Named, Owner, Unspecified};
        for (customer, owner, policy, state, may) in [
            ("homepage", "homepage", Owner, Live, true),
            ("homepage", "other", Owner, Live, false),
            ("homepage", "other", Unspecified, Live, false),
            ("homepage", "other", Named, Live, false),
            ("named", "other", Named, Live, true),
            ("homepage", "homepage", Named, Live, true),
            ("homepage", "other", Anyone, Live, true),
            // Not live: a name of the world, which anybody may write.
            ("homepage", "other", Owner, Pending, true),
            ("homepage", "other", Owner, Lost, true),
        ] {
            let domain = DomainIdentity {
                customer: owner.to_owned(),
                state: state.into(),
                sender_policy: policy.into(),
                allowed_senders: vec!["named".to_owned()],
                ..DomainIdentity::default()
            };
            assert_eq!(may_use_sender(customer, Some(&domain)), may, "{customer} {domain:?}");
        }
        assert!(may_use_sender("homepage", None));
    }
}
