//! How a domain comes into service and out of it: what the world's DNS says is asked without any lock (`dns`, `findings`), and
//! what that proves is decided (`decision`) and written (`check`) under the lock of the domain; what was found is kept for
//! people (`kept`). DNS that does not answer changes nothing.

mod check;
mod decision;
mod dkim;
mod dns;
mod findings;
mod kept;
mod settings;
mod spf;

use std::{sync::Arc, time::Duration};

use hickory_resolver::proto::rr::RecordType;
use postern_mail::DomainName;
use postern_mesh::StartError;
use tokio::{sync::Semaphore, time::Instant};

pub use settings::DelegationSettings;

pub(crate) use check::keep_checking;
use dns::{Answer, Dns};
use settings::Expected;

/// Time for all questions of one check: the caller of VerifyDomain waits 3 s.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);
/// Checks at once that somebody waits for.
const CHECKS_MAX: usize = 32;

/// What checks work with.
#[derive(Clone, Debug)]
pub(crate) struct Delegation {
    dns: Dns,
    expected: Arc<Expected>,
    /// How long a domain that no longer points here is served on.
    grace: Duration,
    key_change: dkim::KeyChange,
    /// `None`: only when somebody asks.
    every: Option<Duration>,
    room: Arc<Semaphore>,
    keys: dkim::KeyMaking,
}

/// What DNS says about whose a domain is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// It leads here, by its name servers or its MX; `None`: no answer that counts.
    pub(crate) delegated: Option<bool>,
    /// What stands at `_postern.<domain>`; `None`: no answer that counts.
    pub(crate) proofs: Option<Vec<String>>,
}

/// The answers that evidence is made of.
#[derive(Clone, Debug)]
struct Look {
    name_servers: Answer,
    exchangers: Answer,
    claims: Answer,
}

impl Delegation {
    /// # Errors
    /// A setting makes no sense.
    pub(crate) fn new(settings: &DelegationSettings) -> Result<Self, StartError> {
        Ok(Self {
            dns: Dns::new(&settings.resolver)?,
            expected: Arc::new(Expected::new(settings)?),
            grace: Duration::from_secs(settings.domain_grace_seconds),
            key_change: settings.key_change(),
            every: (settings.domain_check_seconds > 0)
                .then(|| Duration::from_secs(settings.domain_check_seconds)),
            room: Arc::new(Semaphore::new(CHECKS_MAX)),
            keys: dkim::KeyMaking::new(),
        })
    }

    async fn look(&self, domain: &DomainName, until: Instant) -> Look {
        let claim_name = format!("_postern.{domain}");
        let (name_servers, exchangers, claims) = tokio::join!(
            self.dns.ask(domain.as_str(), RecordType::NS, until),
            self.dns.ask(domain.as_str(), RecordType::MX, until),
            self.dns.ask(&claim_name, RecordType::TXT, until),
        );
        Look { name_servers, exchangers, claims }
    }
}

impl Look {
    fn evidence(&self, expected: &Expected) -> Evidence {
        let delegated = match (self.by_name_servers(expected), self.by_exchangers(expected)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        };
        Evidence { delegated, proofs: self.claims.texts() }
    }

    fn by_name_servers(&self, expected: &Expected) -> Option<bool> {
        if expected.name_servers.is_empty() {
            return Some(false);
        }
        let found = self.name_servers.name_servers()?;
        Some(found.iter().any(|name| expected.name_servers.contains(name)))
    }

    fn by_exchangers(&self, expected: &Expected) -> Option<bool> {
        Some(self.exchangers.exchangers()?.contains(&expected.mail_host))
    }
}
