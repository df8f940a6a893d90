//! A directory in which `box<N>@local.test` is mailbox N, `alias<N>@local.test` a forward to it, `rival.test` another customer's,
//! and every other domain far away. Lists and autoresponders are those that a test made.

use std::{
    collections::{HashMap, HashSet},
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{Stream, StreamExt as _, stream};
use postern_mail::Reason;
use postern_mesh::{client::MeshChannel, failure};
use postern_proto::account::v1::{
    directory_service_server::{DirectoryService, DirectoryServiceServer},
    storage_service_server::{StorageService, StorageServiceServer},
    watch_changes_response::Event,
    *,
};
use tonic::{Request, Response, Status, service::Routes};

use crate::{account::FakeAccount, house::local};

#[derive(Clone, Default)]
pub(crate) struct FakeDirectory {
    pub(crate) removed: Arc<Mutex<HashSet<i64>>>,
    pub(crate) is_away: Arc<Mutex<bool>>,
    pub(crate) account: FakeAccount,
    /// Removed mailboxes whose days are over.
    pub(crate) expired: Arc<Mutex<Vec<i64>>>,
    /// What was told of each box last.
    pub(crate) usage: Arc<Mutex<HashMap<i64, BoxUsage>>>,
    pub(crate) quotas: Arc<Mutex<HashMap<i64, i64>>>,
}

impl FakeDirectory {
    pub(crate) fn channel(&self) -> MeshChannel {
        let routes = Routes::new(DirectoryServiceServer::new(self.clone()));
        let routes = self.account.add_to(routes);
        local(routes.add_service(StorageServiceServer::new(self.clone())))
    }

    fn here(&self) -> Result<(), Status> {
        if *self.is_away.lock().unwrap() { Err(failure::status(Reason::Unavailable)) } else { Ok(()) }
    }

    fn resolution(&self, address: &str) -> Resolution {
        let (name, domain) = address.split_once('@').expect("an address");
        let number = |prefix: &str| name.strip_prefix(prefix).map(str::parse::<i64>);
        let list = self.account.list_at(address);
        let autoresponder_id = self.account.autoresponder_at(address);
        let outcome = match (number("box"), number("alias"), domain) {
            _ if list.is_some() => {
                resolution::Outcome::Local(LocalOutcome { list, ..LocalOutcome::default() })
            }
            (Some(Ok(mailbox_id)), _, "local.test") => resolution::Outcome::Local(LocalOutcome {
                r#match: MatchKind::Exact.into(),
                mailbox: Some(LocalMailbox { mailbox_id, address: address.to_owned(), full: false }),
                autoresponder_id,
                ..LocalOutcome::default()
            }),
            (_, Some(Ok(mailbox_id)), "local.test") => resolution::Outcome::Local(LocalOutcome {
                r#match: MatchKind::Exact.into(),
                forward_targets: vec![format!("box{mailbox_id}@local.test")],
                ..LocalOutcome::default()
            }),
            _ if autoresponder_id != 0 => {
                resolution::Outcome::Local(LocalOutcome { autoresponder_id, ..LocalOutcome::default() })
            }
            (_, _, "local.test") if name == "discard" => resolution::Outcome::Discard(DiscardOutcome {}),
            (_, _, "local.test") => resolution::Outcome::Unknown(UnknownOutcome {}),
            _ => resolution::Outcome::Remote(RemoteOutcome {}),
        };
        Resolution {
            address: address.to_owned(),
            domain: domain.to_owned(),
            domain_version: 1,
            outcome: Some(outcome),
        }
    }
}

/// Whose a box is.
pub(crate) fn customer_of(mailbox_id: i64) -> &'static str {
    if mailbox_id % 2 == 0 { "even" } else { "odd" }
}

#[tonic::async_trait]
impl DirectoryService for FakeDirectory {
    async fn resolve_recipient(
        &self,
        request: Request<ResolveRecipientRequest>,
    ) -> Result<Response<ResolveRecipientResponse>, Status> {
        self.here()?;
        let resolution = Some(self.resolution(&request.get_ref().address));
        Ok(Response::new(ResolveRecipientResponse { resolution }))
    }

    async fn batch_resolve_recipients(
        &self,
        request: Request<BatchResolveRecipientsRequest>,
    ) -> Result<Response<BatchResolveRecipientsResponse>, Status> {
        self.here()?;
        let resolutions =
            request.get_ref().addresses.iter().map(|address| self.resolution(address)).collect();
        Ok(Response::new(BatchResolveRecipientsResponse { resolutions }))
    }

    async fn lookup_login(
        &self,
        _request: Request<LookupLoginRequest>,
    ) -> Result<Response<LookupLoginResponse>, Status> {
        Ok(Response::new(LookupLoginResponse { identity: None }))
    }

    async fn lookup_mailbox(
        &self,
        request: Request<LookupMailboxRequest>,
    ) -> Result<Response<LookupMailboxResponse>, Status> {
        self.here()?;
        let mailbox_id = request.get_ref().mailbox_id;
        let removed = self.removed.lock().unwrap().contains(&mailbox_id);
        let mailbox = MailboxIdentity {
            mailbox_id,
            domain: "local.test".to_owned(),
            domain_version: 1,
            customer: customer_of(mailbox_id).to_owned(),
            removed,
            quota_bytes: self.quotas.lock().unwrap().get(&mailbox_id).copied(),
            ..MailboxIdentity::default()
        };
        Ok(Response::new(LookupMailboxResponse { mailbox: Some(mailbox) }))
    }

    async fn lookup_domain(
        &self,
        request: Request<LookupDomainRequest>,
    ) -> Result<Response<LookupDomainResponse>, Status> {
        self.here()?;
        let name = request.into_inner().name;
        let customer = match name.as_str() {
            "local.test" => Some("me"),
            "rival.test" => Some("rival"),
            _ => None,
        };
        let domain = customer.map(|customer| DomainIdentity {
            name,
            domain_version: 1,
            customer: customer.to_owned(),
            state: DomainState::Live.into(),
            ..DomainIdentity::default()
        });
        Ok(Response::new(LookupDomainResponse { domain }))
    }

    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        _request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let told = |event| Ok(WatchChangesResponse { event: Some(event) });
        let beats = stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Some((Event::Beat(Beat { version: 1 }), ()))
        });
        let events = stream::once(async { Event::Reset(Reset {}) }).chain(beats).map(told);
        Ok(Response::new(events.boxed()))
    }
}

#[tonic::async_trait]
impl StorageService for FakeDirectory {
    async fn report_box_usage(
        &self,
        request: Request<ReportBoxUsageRequest>,
    ) -> Result<Response<ReportBoxUsageResponse>, Status> {
        self.here()?;
        let mut usage = self.usage.lock().unwrap();
        for told in request.into_inner().boxes {
            let newest = usage.get(&told.mailbox_id).is_none_or(|known| known.version < told.version);
            assert!(newest, "told twice without a change: {told:?}");
            usage.insert(told.mailbox_id, told);
        }
        Ok(Response::new(ReportBoxUsageResponse {}))
    }

    async fn list_expired_mailboxes(
        &self,
        _request: Request<ListExpiredMailboxesRequest>,
    ) -> Result<Response<ListExpiredMailboxesResponse>, Status> {
        self.here()?;
        let mailbox_ids = self.expired.lock().unwrap().clone();
        Ok(Response::new(ListExpiredMailboxesResponse { mailbox_ids }))
    }

    async fn confirm_destroyed_mailboxes(
        &self,
        request: Request<ConfirmDestroyedMailboxesRequest>,
    ) -> Result<Response<ConfirmDestroyedMailboxesResponse>, Status> {
        self.here()?;
        let gone = request.into_inner().mailbox_ids;
        self.expired.lock().unwrap().retain(|id| !gone.contains(id));
        Ok(Response::new(ConfirmDestroyedMailboxesResponse {}))
    }
}
