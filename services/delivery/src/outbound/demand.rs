//! What is demanded of the hosts of a destination before they get mail: the operator's word, else what the domain says by MTA-STS.

use std::{collections::HashMap, str::FromStr, sync::Arc};

use postern_mail::DomainName;

use super::sts::{Mode, Policy};

/// How sure a connection must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsPolicy {
    /// TLS when it works (RFC 7435).
    #[default]
    May,
    /// TLS, whoever the host is.
    Encrypt,
    /// TLS with a certificate of the host's name.
    Verify,
}

impl FromStr for TlsPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "may" => Ok(Self::May),
            "encrypt" => Ok(Self::Encrypt),
            "verify" => Ok(Self::Verify),
            _ => Err(format!("`{text}` is not may, encrypt or verify")),
        }
    }
}

/// The operator's policies by destination.
#[derive(Clone, Debug, Default)]
pub struct TlsPolicies(HashMap<DomainName, TlsPolicy>);

impl TlsPolicies {
    /// Of `domain=policy`.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut policies = HashMap::new();
        for word in words.iter().filter(|word| !word.is_empty()) {
            let (domain, policy) =
                word.split_once('=').ok_or_else(|| format!("`{word}` is not domain=policy"))?;
            let domain: DomainName = domain.parse().map_err(|error| format!("`{domain}`: {error}"))?;
            policies.insert(domain, policy.parse()?);
        }
        Ok(Self(policies))
    }

    pub(super) fn of(&self, domain: &DomainName) -> Option<TlsPolicy> {
        self.0.get(domain).copied()
    }
}

/// What is demanded for one attempt.
#[derive(Clone, Debug, Default)]
pub(super) struct Demand {
    pub(super) tls: TlsPolicy,
    /// Which hosts may be used at all.
    pub(super) policy: Option<Arc<Policy>>,
}

impl Demand {
    /// Of a domain's policy, where the operator said nothing.
    pub(super) fn of_policy(policy: Option<Arc<Policy>>) -> Self {
        let tls = match policy.as_ref().map(|policy| policy.mode) {
            Some(Mode::Enforce) => TlsPolicy::Verify,
            Some(Mode::Testing | Mode::None) | None => TlsPolicy::May,
        };
        Self { tls, policy }
    }

    /// Whether a host may have mail of this destination.
    pub(super) fn allows(&self, host: &str) -> bool {
        match &self.policy {
            Some(policy) if !policy.names(host) => {
                tracing::warn!(host, mode = ?policy.mode, "the domain's policy does not name this host");
                policy.mode != Mode::Enforce
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_domain_and_word() {
        let words = ["far.test=verify".to_owned(), "near.test=encrypt".to_owned(), String::new()];
        let policies = TlsPolicies::parse(&words).expect("good");
        assert_eq!(policies.of(&"FAR.test".parse().expect("domain")), Some(TlsPolicy::Verify));
        assert_eq!(policies.of(&"other.test".parse().expect("domain")), None);
        for bad in ["far.test", "far.test=must", "=verify", "a b=may"] {
            assert!(TlsPolicies::parse(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
