//! A directory in which `here.test` is ours and `a@here.test` has box 1.

use std::pin::Pin;

use futures_util::{Stream, StreamExt as _, stream};
use postern_mesh::{
    client::MeshChannel, directory::Directory, identity::MeshKey, settings::MeshSettings, shutdown::Shutdown,
};
use postern_proto::account::v1::{
    BatchResolveRecipientsRequest, BatchResolveRecipientsResponse, ListSenderKeysRequest,
    ListSenderKeysResponse, LocalMailbox, LocalOutcome, LookupDomainRequest, LookupDomainResponse,
    LookupLoginRequest, LookupLoginResponse, LookupMailboxRequest, LookupMailboxResponse,
    LookupSigningKeyRequest, LookupSigningKeyResponse, RemoteOutcome, Reset, Resolution,
    ResolveRecipientRequest, ResolveRecipientResponse, SenderKey, UnknownOutcome, WatchChangesRequest,
    WatchChangesResponse,
    directory_service_server::{DirectoryService, DirectoryServiceServer},
    mail_key_service_server::{MailKeyService, MailKeyServiceServer},
    resolution::Outcome,
    watch_changes_response::Event,
};
use tonic::{Request, Response, Status, service::Routes};

use crate::departure::Departures;

struct FakeDirectory;

/// Mail leaves as from a house without live domains.
pub(super) fn fake_departures(shutdown: &Shutdown) -> Departures {
    let routes = Routes::new(DirectoryServiceServer::new(FakeDirectory))
        .add_service(MailKeyServiceServer::new(FakeDirectory));
    let settings = MeshSettings::with_key(MeshKey::random());
    let account = MeshChannel::local(routes, "postern-delivery", &settings);
    let directory = Directory::new(account.clone(), shutdown);
    Departures::new(&account, directory, "https://mail.{domain}/unsubscribe/").expect("a thread")
}

#[tonic::async_trait]
impl MailKeyService for FakeDirectory {
    async fn lookup_signing_key(
        &self,
        _: Request<LookupSigningKeyRequest>,
    ) -> Result<Response<LookupSigningKeyResponse>, Status> {
        Ok(Response::new(LookupSigningKeyResponse::default()))
    }

    async fn list_sender_keys(
        &self,
        _: Request<ListSenderKeysRequest>,
    ) -> Result<Response<ListSenderKeysResponse>, Status> {
        let key = SenderKey { secret: vec![7; 32].into(), create_time: None };
        Ok(Response::new(ListSenderKeysResponse { keys: vec![key] }))
    }
}

pub(super) fn fake_directory(shutdown: &Shutdown) -> Directory {
    Directory::new(fake_account(), shutdown)
}

/// Has a directory and nothing else.
pub(super) fn fake_account() -> MeshChannel {
    let routes = Routes::new(DirectoryServiceServer::new(FakeDirectory));
    let settings = MeshSettings::with_key(MeshKey::random());
    MeshChannel::local(routes, "postern-delivery", &settings)
}

fn resolve(address: &str) -> Resolution {
    let outcome = match address {
        "a@here.test" => Outcome::Local(LocalOutcome {
            mailbox: Some(LocalMailbox { mailbox_id: 1, address: address.to_owned(), full: false }),
            ..LocalOutcome::default()
        }),
        other if other.ends_with("@here.test") => Outcome::Unknown(UnknownOutcome {}),
        _ => Outcome::Remote(RemoteOutcome {}),
    };
    Resolution { address: address.to_owned(), outcome: Some(outcome), ..Resolution::default() }
}

#[tonic::async_trait]
impl DirectoryService for FakeDirectory {
    async fn resolve_recipient(
        &self,
        request: Request<ResolveRecipientRequest>,
    ) -> Result<Response<ResolveRecipientResponse>, Status> {
        let resolution = Some(resolve(&request.into_inner().address));
        Ok(Response::new(ResolveRecipientResponse { resolution }))
    }

    async fn batch_resolve_recipients(
        &self,
        request: Request<BatchResolveRecipientsRequest>,
    ) -> Result<Response<BatchResolveRecipientsResponse>, Status> {
        let resolutions = request.into_inner().addresses.iter().map(|address| resolve(address)).collect();
        Ok(Response::new(BatchResolveRecipientsResponse { resolutions }))
    }

    async fn lookup_login(
        &self,
        _: Request<LookupLoginRequest>,
    ) -> Result<Response<LookupLoginResponse>, Status> {
        Ok(Response::new(LookupLoginResponse::default()))
    }

    async fn lookup_mailbox(
        &self,
        _: Request<LookupMailboxRequest>,
    ) -> Result<Response<LookupMailboxResponse>, Status> {
        Ok(Response::new(LookupMailboxResponse::default()))
    }

    async fn lookup_domain(
        &self,
        _: Request<LookupDomainRequest>,
    ) -> Result<Response<LookupDomainResponse>, Status> {
        Ok(Response::new(LookupDomainResponse::default()))
    }

    type WatchChangesStream = Pin<Box<dyn Stream<Item = Result<WatchChangesResponse, Status>> + Send>>;

    async fn watch_changes(
        &self,
        _: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let reset = WatchChangesResponse { event: Some(Event::Reset(Reset {})) };
        Ok(Response::new(stream::iter([Ok(reset)]).chain(stream::pending()).boxed()))
    }
}
