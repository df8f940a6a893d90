//! A DirectoryService that answers what the test says, counts what it was asked, and streams what the test tells.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use postern_mail::Reason;
use postern_mesh::{failure, identity::Caller};
use postern_proto::account::v1::{
    directory_service_server::{DirectoryService, DirectoryServiceServer},
    watch_changes_response::Event,
    *,
};
use tokio::sync::{Semaphore, broadcast};
use tokio_stream::{Stream, StreamExt as _, wrappers::BroadcastStream};
use tonic::{Request, Response, Status, service::Routes};

#[derive(Clone)]
pub(crate) struct FakeDirectory {
    /// Versions of hosted domains; a domain without one is not hosted.
    pub(crate) versions: Arc<Mutex<HashMap<String, i64>>>,
    pub(crate) asked: Arc<AtomicUsize>,
    /// A question reads its answer, then takes a permit, then answers.
    pub(crate) gate: Arc<Semaphore>,
    /// A question stands at the gate.
    pub(crate) at_gate: Arc<Semaphore>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) callers: Arc<Mutex<Vec<Caller>>>,
    /// Fails the next questions as unavailable.
    pub(crate) failures: Arc<AtomicUsize>,
}

impl Default for FakeDirectory {
    fn default() -> Self {
        Self {
            versions: Arc::default(),
            asked: Arc::default(),
            gate: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            at_gate: Arc::new(Semaphore::new(0)),
            events: broadcast::channel(64).0,
            callers: Arc::default(),
            failures: Arc::default(),
        }
    }
}

impl FakeDirectory {
    pub(crate) fn routes(&self) -> Routes {
        Routes::new(DirectoryServiceServer::new(self.clone()))
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn set_version(&self, domain: &str, version: i64) {
        self.versions.lock().unwrap().insert(domain.to_owned(), version);
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events.send(event).expect("somebody watches");
    }

    pub(crate) fn tell_change(&self, domain: &str, version: i64) {
        let change = Change { domain: domain.to_owned(), version, revoked_mailbox_ids: vec![version] };
        self.tell(Event::Change(change));
    }

    pub(crate) fn tell_beat(&self) {
        self.tell(Event::Beat(Beat { version: 1 }));
    }

    /// Waits until the change stream stands.
    pub(crate) async fn watched(&self) {
        tokio::time::timeout(Duration::from_secs(10), async {
            while self.events.receiver_count() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("watched");
    }

    async fn answer<T>(&self, caller: Option<&Caller>, read: impl FnOnce(&Self) -> T) -> Result<T, Status> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.callers.lock().unwrap().extend(caller.cloned());
        let failing = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        if failing.is_ok() {
            return Err(failure::status_with(Reason::Unavailable, "the test says so"));
        }
        let answer = read(self);
        self.at_gate.add_permits(1);
        self.gate.acquire().await.expect("gate").forget();
        Ok(answer)
    }

    fn version(&self, domain: &str) -> i64 {
        self.versions.lock().unwrap().get(domain).copied().unwrap_or(0)
    }

    fn resolution(&self, address: &str) -> Resolution {
        let domain = address.rsplit('@').next().unwrap().to_owned();
        let domain_version = self.version(&domain);
        let outcome = match domain_version {
            0 => resolution::Outcome::Remote(RemoteOutcome {}),
            _ => resolution::Outcome::Unknown(UnknownOutcome {}),
        };
        Resolution { address: address.to_owned(), domain, domain_version, outcome: Some(outcome) }
    }
}

#[tonic::async_trait]
impl DirectoryService for FakeDirectory {
    async fn resolve_recipient(
        &self,
        request: Request<ResolveRecipientRequest>,
    ) -> Result<Response<ResolveRecipientResponse>, Status> {
        let address = request.get_ref().address.clone();
        if address.starts_with("bad@") {
            return Err(failure::status_with(Reason::InvalidArgument, "address: the test says so"));
        }
        let resolution = self.answer(request.extensions().get(), |fake| fake.resolution(&address)).await?;
        Ok(Response::new(ResolveRecipientResponse { resolution: Some(resolution) }))
    }

    async fn batch_resolve_recipients(
        &self,
        request: Request<BatchResolveRecipientsRequest>,
    ) -> Result<Response<BatchResolveRecipientsResponse>, Status> {
        let addresses = request.get_ref().addresses.clone();
        let resolutions = self
            .answer(request.extensions().get(), |fake| addresses.iter().map(|a| fake.resolution(a)).collect())
            .await?;
        Ok(Response::new(BatchResolveRecipientsResponse { resolutions }))
    }

    async fn lookup_login(
        &self,
        request: Request<LookupLoginRequest>,
    ) -> Result<Response<LookupLoginResponse>, Status> {
        let login = request.get_ref().login.clone();
        let identity = self
            .answer(request.extensions().get(), |fake| {
                (login == "homepage").then(|| LoginIdentity {
                    login: login.clone(),
                    domain: "homepage.test".to_owned(),
                    domain_version: fake.version("homepage.test"),
                    ..LoginIdentity::default()
                })
            })
            .await?;
        Ok(Response::new(LookupLoginResponse { identity }))
    }

    async fn lookup_mailbox(
        &self,
        request: Request<LookupMailboxRequest>,
    ) -> Result<Response<LookupMailboxResponse>, Status> {
        let mailbox_id = request.get_ref().mailbox_id;
        let mailbox = self
            .answer(request.extensions().get(), |fake| {
                (mailbox_id > 0).then(|| MailboxIdentity {
                    mailbox_id,
                    domain: "homepage.test".to_owned(),
                    domain_version: fake.version("homepage.test"),
                    ..MailboxIdentity::default()
                })
            })
            .await?;
        Ok(Response::new(LookupMailboxResponse { mailbox }))
    }

    async fn lookup_domain(
        &self,
        request: Request<LookupDomainRequest>,
    ) -> Result<Response<LookupDomainResponse>, Status> {
        let name = request.get_ref().name.clone();
        let domain = self
            .answer(request.extensions().get(), |fake| {
                let domain_version = fake.version(&name);
                (domain_version != 0).then(|| DomainIdentity {
                    name: name.clone(),
                    domain_version,
                    ..DomainIdentity::default()
                })
            })
            .await?;
        Ok(Response::new(LookupDomainResponse { domain }))
    }

    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        _request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let events = BroadcastStream::new(self.events.subscribe());
        let first = tokio_stream::once(Ok(Event::Reset(Reset {})));
        let stream = first.chain(events).map(|event| match event {
            // The test ends the stream by a beat of version -1.
            Ok(Event::Beat(Beat { version: -1 })) => Err(Status::unavailable("the test ends the stream")),
            Ok(event) => Ok(WatchChangesResponse { event: Some(event) }),
            Err(_) => Err(Status::data_loss("the test told too much")),
        });
        Ok(Response::new(Box::pin(stream)))
    }
}
