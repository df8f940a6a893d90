//! The directory as everybody but account sees it: questions to `account.DirectoryService`, whose answers are kept as
//! long as the change stream proves them current (PROMISES.md, "Real time").
//!
//! Nothing is evicted when something changes. Each kept answer carries the version and the epoch it is good for, and is
//! used only while both still hold; so a change that arrives while a question is under way can never be lost.

mod freshness;
mod place;
mod posting;
mod sender;
mod watch;

use std::{sync::Arc, time::Instant};

use moka::sync::Cache;
use postern_mail::{DomainName, EmailAddress, ReversePath};
use postern_proto::account::v1::{
    BatchResolveRecipientsRequest, DomainIdentity, LoginIdentity, LookupDomainRequest, LookupLoginRequest,
    LookupMailboxRequest, MailboxIdentity, RemoteOutcome, Resolution, ResolveRecipientRequest,
    directory_service_client::DirectoryServiceClient, resolution::Outcome,
};
use tokio::sync::broadcast;
use tonic::Status;

use crate::{client::MeshChannel, shutdown::Shutdown};
use freshness::{Freshness, Told};
pub use place::{Place, inbound_recipient};
pub use posting::refusal_of_post;
pub use sender::may_use_sender;

/// Answers of each kind kept at most.
const KEPT_MAX: u64 = 200_000;
/// Addresses of one batch question.
const BATCH_MAX: usize = 1000;
/// Events that a slow listener may be behind before it is told that it missed some.
const EVENTS_MAX: usize = 4096;

/// What the change stream tells. A listener that lags behind (`RecvError::Lagged`) must act as on [`Self::Reset`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryEvent {
    /// Something of this domain changed.
    Change {
        /// The domain.
        domain: String,
        /// Its version now.
        version: i64,
        /// Mailboxes whose credentials died: their grants and the sessions that rely on them must end.
        revoked_mailbox_ids: Vec<i64>,
    },
    /// Changes may have been missed: forget whatever came from the directory.
    Reset,
}

/// Cached client of `account.DirectoryService`. Cheap to clone; clones share one cache and one change stream.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    client: DirectoryServiceClient<MeshChannel>,
    freshness: Freshness,
    resolutions: Cache<EmailAddress, Kept<Arc<Resolution>>>,
    logins: Cache<String, Kept<Option<Arc<LoginIdentity>>>>,
    mailboxes: Cache<i64, Kept<Arc<MailboxIdentity>>>,
    domains: Cache<DomainName, Kept<Option<Arc<DomainIdentity>>>>,
    changes: broadcast::Sender<DirectoryEvent>,
}

/// An answer and what it is good for.
#[derive(Clone)]
struct Kept<T> {
    answer: T,
    domain: Arc<str>,
    version: i64,
    epoch: u64,
}

impl Directory {
    /// Begins to watch for changes at once, as a task of `shutdown`. Answers are to be had before the stream stands;
    /// they are only not kept.
    #[must_use]
    pub fn new(account: MeshChannel, shutdown: &Shutdown) -> Self {
        let (changes, _) = broadcast::channel(EVENTS_MAX);
        let inner = Arc::new(Inner {
            client: DirectoryServiceClient::new(account),
            freshness: Freshness::default(),
            resolutions: Cache::new(KEPT_MAX),
            logins: Cache::new(KEPT_MAX),
            mailboxes: Cache::new(KEPT_MAX),
            domains: Cache::new(KEPT_MAX),
            changes,
        });
        let (watched, ending) = (Arc::downgrade(&inner), shutdown.clone());
        shutdown.spawn(async move {
            tokio::select! {
                () = watch::run(watched) => {}
                () = ending.triggered() => {}
            }
        });
        Self { inner }
    }

    /// Where an address leads, by one step. "Unknown" and "remote" are answers.
    ///
    /// # Errors
    /// The status of the directory, or `UNAVAILABLE`.
    pub async fn resolve(&self, address: &EmailAddress) -> Result<Arc<Resolution>, Status> {
        let key = address.lookup_form();
        if let Some(resolution) = self.inner.kept_resolution(&key) {
            return Ok(resolution);
        }
        let told = self.inner.freshness.told(key.domain().as_str());
        let request = ResolveRecipientRequest { address: key.to_string() };
        let answer = self.inner.client.clone().resolve_recipient(request).await?.into_inner();
        let resolution = Arc::new(answer.resolution.ok_or_else(|| incomplete("ResolveRecipient"))?);
        self.inner.keep_resolution(key, &resolution, told);
        Ok(resolution)
    }

    /// The same for many, in their order, with one question for those that are not kept (one for each 1000).
    ///
    /// # Errors
    /// The status of the directory, or `UNAVAILABLE`; then there is no answer for any of them.
    pub async fn resolve_all(&self, addresses: &[EmailAddress]) -> Result<Vec<Arc<Resolution>>, Status> {
        let mut found: Vec<Option<Arc<Resolution>>> = Vec::with_capacity(addresses.len());
        let mut missing = Vec::new();
        for (index, address) in addresses.iter().enumerate() {
            let key = address.lookup_form();
            let kept = self.inner.kept_resolution(&key);
            if kept.is_none() {
                missing.push((index, key));
            }
            found.push(kept);
        }
        for batch in missing.chunks(BATCH_MAX) {
            for (index, resolution) in self.ask_batch(batch).await? {
                if let Some(place) = found.get_mut(index) {
                    *place = Some(resolution);
                }
            }
        }
        found.into_iter().map(|one| one.ok_or_else(|| incomplete("BatchResolveRecipients"))).collect()
    }

    async fn ask_batch(
        &self,
        batch: &[(usize, EmailAddress)],
    ) -> Result<Vec<(usize, Arc<Resolution>)>, Status> {
        let told: Vec<_> =
            batch.iter().map(|(_, key)| self.inner.freshness.told(key.domain().as_str())).collect();
        let addresses = batch.iter().map(|(_, key)| key.to_string()).collect();
        let request = BatchResolveRecipientsRequest { addresses };
        let answer = self.inner.client.clone().batch_resolve_recipients(request).await?.into_inner();
        if answer.resolutions.len() != batch.len() {
            return Err(incomplete("BatchResolveRecipients"));
        }
        let answered = batch.iter().zip(told).zip(answer.resolutions);
        Ok(answered
            .map(|(((index, key), told), resolution)| {
                let resolution = Arc::new(resolution);
                self.inner.keep_resolution(key.clone(), &resolution, told);
                (*index, resolution)
            })
            .collect())
    }

    /// What a login stands for; `None`: there is no such login. Upper and lower case are the same.
    ///
    /// # Errors
    /// The status of the directory, or `UNAVAILABLE`.
    pub async fn login(&self, login: &str) -> Result<Option<Arc<LoginIdentity>>, Status> {
        let address = login.parse::<EmailAddress>().ok().map(|address| address.canonical());
        let key = address.as_ref().map_or_else(|| login.to_ascii_lowercase(), ToString::to_string);
        if let Some(identity) = self.inner.kept(&self.inner.logins, &key) {
            return Ok(identity);
        }
        let asked = self.inner.freshness.told_any();
        let told = address.as_ref().map(|address| self.inner.freshness.told(address.domain().as_str()));
        let request = LookupLoginRequest { login: login.to_owned(), for_panel: false };
        let answer = self.inner.client.clone().lookup_login(request).await?.into_inner();
        let identity = answer.identity.map(Arc::new);
        match (&identity, address) {
            (Some(known), _) => {
                let told = Told { version: known.domain_version, ..asked };
                self.inner.keep(&self.inner.logins, key, identity.clone(), &known.domain, told);
            }
            // Its domain tells when it comes to be. An unknown customer login belongs to no domain and is asked anew.
            (None, Some(address)) => {
                if let Some(told) = told {
                    self.inner.keep(&self.inner.logins, key, None, address.domain().as_str(), told);
                }
            }
            (None, None) => {}
        }
        Ok(identity)
    }

    /// What the mail path must know of a mailbox, also of a removed one; `None`: there never was one.
    ///
    /// # Errors
    /// The status of the directory, or `UNAVAILABLE`.
    pub async fn mailbox(&self, mailbox_id: i64) -> Result<Option<Arc<MailboxIdentity>>, Status> {
        if let Some(mailbox) = self.inner.kept(&self.inner.mailboxes, &mailbox_id) {
            return Ok(Some(mailbox));
        }
        let asked = self.inner.freshness.told_any();
        let request = LookupMailboxRequest { mailbox_id };
        let answer = self.inner.client.clone().lookup_mailbox(request).await?.into_inner();
        let Some(mailbox) = answer.mailbox.map(Arc::new) else { return Ok(None) };
        let told = Told { version: mailbox.domain_version, ..asked };
        self.inner.keep(&self.inner.mailboxes, mailbox_id, Arc::clone(&mailbox), &mailbox.domain, told);
        Ok(Some(mailbox))
    }

    /// What the mail path must know of a domain; `None`: not hosted here.
    ///
    /// # Errors
    /// The status of the directory, or `UNAVAILABLE`.
    pub async fn domain(&self, name: &DomainName) -> Result<Option<Arc<DomainIdentity>>, Status> {
        if let Some(domain) = self.inner.kept(&self.inner.domains, name) {
            return Ok(domain);
        }
        let mut told = self.inner.freshness.told(name.as_str());
        let request = LookupDomainRequest { name: name.to_string() };
        let answer = self.inner.client.clone().lookup_domain(request).await?.into_inner();
        let domain = answer.domain.map(Arc::new);
        if let Some(domain) = &domain {
            told.version = domain.domain_version;
        }
        self.inner.keep(&self.inner.domains, name.clone(), domain.clone(), name.as_str(), told);
        Ok(domain)
    }

    /// The host where this sender checks mail, if its domain is hosted here. It goes into a hint only: a directory that
    /// does not answer knows none.
    pub async fn mail_host_of(&self, sender: &ReversePath) -> Option<String> {
        let domain = sender.address()?.domain();
        match self.domain(domain).await {
            Ok(Some(_)) => Some(domain.mail_host()),
            Ok(None) | Err(_) => None,
        }
    }

    /// Each change from now on.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<DirectoryEvent> {
        self.inner.changes.subscribe()
    }

    /// True while the last beat is younger than 750 ms: who keeps something of the directory by itself may use it only
    /// then.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.inner.freshness.is_fresh(Instant::now())
    }
}

impl Inner {
    fn kept<K, T>(&self, cache: &Cache<K, Kept<T>>, key: &K) -> Option<T>
    where
        K: std::hash::Hash + Eq + Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
    {
        self.current(cache, key).map(|kept| kept.answer)
    }

    fn current<K, T>(&self, cache: &Cache<K, Kept<T>>, key: &K) -> Option<Kept<T>>
    where
        K: std::hash::Hash + Eq + Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
    {
        if !self.freshness.is_fresh(Instant::now()) {
            return None;
        }
        let kept = cache.get(key)?;
        self.freshness.holds(&kept.domain, kept.version, kept.epoch).then_some(kept)
    }

    /// Keeps an answer for as long as nothing newer is told of its domain than what it was read at.
    fn keep<K, T>(&self, cache: &Cache<K, Kept<T>>, key: K, answer: T, domain: &str, good_for: Told)
    where
        K: std::hash::Hash + Eq + Send + Sync + 'static,
        T: Clone + Send + Sync + 'static,
    {
        // Without a stream nothing is good for later; also spares the cache while account is only half there.
        if self.freshness.holds(domain, good_for.version, good_for.epoch) {
            let kept =
                Kept { answer, domain: domain.into(), version: good_for.version, epoch: good_for.epoch };
            cache.insert(key, kept);
        }
    }

    /// Where an address leads, as far as it is known: of a domain that is not hosted here every address is remote, so that mail to
    /// the world costs no question for each of its recipients.
    fn kept_resolution(&self, key: &EmailAddress) -> Option<Arc<Resolution>> {
        if let Some(resolution) = self.kept(&self.resolutions, key) {
            return Some(resolution);
        }
        let domain = self.current(&self.domains, key.domain()).filter(|domain| domain.answer.is_none())?;
        Some(Arc::new(Resolution {
            address: key.canonical().to_string(),
            domain: key.domain().to_string(),
            domain_version: domain.version,
            outcome: Some(Outcome::Remote(RemoteOutcome {})),
        }))
    }

    fn keep_resolution(&self, key: EmailAddress, resolution: &Arc<Resolution>, mut told: Told) {
        // Version 0: not hosted. Such an answer is as good as what had been told when it was asked for.
        if resolution.domain_version != 0 {
            told.version = resolution.domain_version;
        }
        let domain = key.domain().clone();
        match resolution.outcome {
            Some(Outcome::Remote(_)) => self.keep(&self.domains, domain.clone(), None, domain.as_str(), told),
            _ => self.keep(&self.resolutions, key, Arc::clone(resolution), domain.as_str(), told),
        }
    }
}

/// An answer without its content is none (R0: temporary).
fn incomplete(method: &str) -> Status {
    Status::internal(format!("incomplete answer of {method}"))
}
