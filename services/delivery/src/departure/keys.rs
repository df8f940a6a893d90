//! The keys of domains, kept as long as the directory says that nothing changed, and the key of rewritten senders.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use postern_mail::{
    DomainName, Reason,
    rewritten_sender::{SenderKey, day_of},
};
use postern_mesh::{
    client::MeshChannel,
    clock::unix_seconds,
    directory::{Directory, may_use_sender},
    failure,
};
use postern_proto::account::v1::{
    DomainIdentity, DomainState, ListSenderKeysRequest, LookupSigningKeyRequest,
    mail_key_service_client::MailKeyServiceClient,
};
use ring::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use tonic::Status;

/// Keys that are kept.
const KEPT_MAX: u64 = 10_000;
/// A key of rewritten senders is good for weeks.
const SENDER_KEY_KEPT_FOR: Duration = Duration::from_secs(600);

/// The key that the mail of a domain is signed with.
#[derive(Debug)]
pub(super) struct DomainKey {
    pub(super) domain: DomainName,
    pub(super) selector: String,
    pair: RsaKeyPair,
}

impl DomainKey {
    pub(super) fn new(domain: DomainName, selector: String, private_pkcs8: &[u8]) -> Option<Self> {
        let pair = RsaKeyPair::from_pkcs8(private_pkcs8).ok()?;
        Some(Self { domain, selector, pair })
    }

    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 6376 section 3.3.2); `None`: there is no randomness to be had.
    pub(super) fn sign(&self, text: &[u8]) -> Option<Vec<u8>> {
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text, &mut signature).ok()?;
        Some(signature)
    }
}

/// Asks account for keys.
#[derive(Clone)]
pub(super) struct MailKeys {
    account: MailKeyServiceClient<MeshChannel>,
    directory: Directory,
    known: Cache<DomainName, Option<Arc<DomainIdentity>>>,
    /// With the version of the domain that it was asked at.
    keys: Cache<DomainName, (i64, Option<Arc<DomainKey>>)>,
    senders: Cache<(), Arc<SenderKey>>,
}

impl MailKeys {
    pub(super) fn new(account: MeshChannel, directory: Directory) -> Self {
        Self {
            account: MailKeyServiceClient::new(account),
            directory,
            known: Cache::new(KEPT_MAX),
            keys: Cache::new(KEPT_MAX),
            senders: Cache::builder().max_capacity(1).time_to_live(SENDER_KEY_KEPT_FOR).build(),
        }
    }

    /// The key of a domain, if it is live here and this customer may write as it.
    pub(super) async fn of_customer(
        &self,
        domain: &DomainName,
        customer: &str,
    ) -> Result<Option<Arc<DomainKey>>, Status> {
        match self.identity(domain).await? {
            Some(identity) if lets(&identity, customer) => self.of(domain, &identity).await,
            _ => Ok(None),
        }
    }

    /// The key of a domain, if it is live here: for what the platform itself says in its name.
    pub(super) async fn of_house(&self, domain: &DomainName) -> Result<Option<Arc<DomainKey>>, Status> {
        match self.identity(domain).await? {
            Some(identity) if identity.state() == DomainState::Live => self.of(domain, &identity).await,
            _ => Ok(None),
        }
    }

    pub(super) async fn is_live(&self, domain: &DomainName) -> Result<bool, Status> {
        let found = self.identity(domain).await?;
        Ok(found.is_some_and(|identity| identity.state() == DomainState::Live))
    }

    /// What a domain is; while account is away, what it was when it was asked last.
    async fn identity(&self, domain: &DomainName) -> Result<Option<Arc<DomainIdentity>>, Status> {
        match self.directory.domain(domain).await {
            Ok(found) => {
                self.known.insert(domain.clone(), found.clone());
                Ok(found)
            }
            Err(status) => self.known.get(domain).ok_or(status),
        }
    }

    async fn of(
        &self,
        domain: &DomainName,
        identity: &DomainIdentity,
    ) -> Result<Option<Arc<DomainKey>>, Status> {
        let kept = self.keys.get(domain);
        if let Some((version, key)) = &kept
            && *version == identity.domain_version
        {
            return Ok(key.clone());
        }
        let request = LookupSigningKeyRequest { domain: domain.to_string() };
        let answer = match (self.account.clone().lookup_signing_key(request).await, kept) {
            (Ok(answer), _) => answer.into_inner(),
            (Err(_), Some((_, key))) => return Ok(key),
            (Err(status), None) => return Err(status),
        };
        let key = match answer.key {
            Some(key) => {
                let unreadable = || failure::status_with(Reason::Misconfigured, "a signing key is none");
                let read = DomainKey::new(domain.clone(), key.selector, &key.private_pkcs8);
                Some(Arc::new(read.ok_or_else(unreadable)?))
            }
            None => None,
        };
        self.keys.insert(domain.clone(), (identity.domain_version, key.clone()));
        Ok(key)
    }

    /// The key that senders are rewritten with now.
    pub(super) async fn of_senders(&self) -> Result<Arc<SenderKey>, Status> {
        if let Some(key) = self.senders.get(&()) {
            return Ok(key);
        }
        let answer = self.account.clone().list_sender_keys(ListSenderKeysRequest {}).await?.into_inner();
        let newest = answer.keys.first();
        let newest = newest.ok_or_else(|| failure::status_with(Reason::Unavailable, "no key of senders"))?;
        let key = Arc::new(SenderKey::new(&newest.secret));
        self.senders.insert((), Arc::clone(&key));
        Ok(key)
    }
}

/// True when it is live here and this customer may write in its name.
pub(super) fn lets(identity: &DomainIdentity, customer: &str) -> bool {
    identity.state() == DomainState::Live && may_use_sender(customer, Some(identity))
}

pub(super) fn today() -> u64 {
    day_of(unix_seconds())
}
