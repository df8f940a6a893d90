//! The other services for tests: real generated servers behind the real mesh stack, with the answers of a small world.
//!
//! homepage.test is hosted (user@ and postmaster@), pending.test is not live, everything else is outside.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use postern_mail::Reason;
use postern_mesh::{
    admission::Admission,
    client::MeshChannel,
    failure,
    identity::MeshKey,
    memory::MemoryBudget,
    settings::{MeshSettings, from_env},
    shutdown::Shutdown,
};
use postern_proto::{account::v1 as account, auth::v1 as auth, delivery::v1 as delivery};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    sync::broadcast,
};
use tokio_stream::{Stream, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming, service::Routes};

use super::super::{Connection, Gateway, Slowest};
use crate::{
    session::{Door, Profile},
    upstream::Upstream,
};

type Answer<T> = Result<Response<T>, Status>;
type Watch<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What delivery took.
#[derive(Clone, Debug)]
pub(super) struct Taken {
    pub(super) envelope: delivery::Envelope,
    pub(super) content: Vec<u8>,
    pub(super) frames: usize,
    pub(super) answer_within_millis: u32,
}

/// Switches of the small world, and what came of it.
#[derive(Default)]
pub(super) struct World {
    pub(super) granted: AtomicBool,
    pub(super) account_away: AtomicBool,
    pub(super) auth_away: AtomicBool,
    /// What delivery answers instead of taking a message.
    pub(super) delivery_says: Mutex<Option<Reason>>,
    /// Delivery breaks off after so many octets of a message; 0: never.
    pub(super) delivery_breaks_after: AtomicUsize,
    pub(super) taken: Mutex<Vec<Taken>>,
    /// Streams that ended without `last`.
    pub(super) dropped: AtomicUsize,
    pub(super) relay_questions: AtomicUsize,
    /// Messages counted for recipients.
    pub(super) inbound: Mutex<HashMap<String, i32>>,
    pub(super) batches: AtomicUsize,
}

/// Messages of strangers that a recipient gets in an hour; the first 2 of them without a question.
pub(super) const INBOUND_LIMIT: u32 = 32;

/// The small world as gRPC services, and a gateway in front of it.
#[derive(Clone)]
pub(super) struct TestHouse {
    pub(super) world: Arc<World>,
    pub(super) gateway: Gateway,
    pub(super) revoke: broadcast::Sender<auth::Revocation>,
}

#[derive(Clone)]
struct Services {
    world: Arc<World>,
    revoke: broadcast::Sender<auth::Revocation>,
}

impl TestHouse {
    pub(super) fn new() -> Self {
        let world = Arc::new(World::default());
        let (revoke, _) = broadcast::channel(16);
        let services = Services { world: Arc::clone(&world), revoke: revoke.clone() };
        let settings = MeshSettings::with_key(MeshKey::random());
        let routes =
            Routes::new(account::directory_service_server::DirectoryServiceServer::new(services.clone()))
                .add_service(auth::login_service_server::LoginServiceServer::new(services.clone()))
                .add_service(auth::relay_service_server::RelayServiceServer::new(services.clone()))
                .add_service(delivery::submission_service_server::SubmissionServiceServer::new(services));
        let channel = MeshChannel::local(routes, "smtp-gateway", &settings);
        let shutdown = Shutdown::new();
        let postmasters = vec!["postmaster@homepage.test".parse().expect("address")];
        let upstream = Upstream::new(
            channel.clone(),
            channel.clone(),
            channel,
            "mail.postern.test",
            postmasters,
            INBOUND_LIMIT,
            &shutdown,
        );
        let gateway = Gateway {
            upstream,
            tls: None,
            idle: Duration::from_secs(300),
            slowest: Slowest { bytes_per_second: 500, window: Duration::from_secs(60) },
            greet_delay: Duration::ZERO,
            data_limits: postern_smtp::data::DataLimits::default(),
            content_memory: MemoryBudget::new(4 << 20, 4 << 20),
            shutdown,
            content_end: CancellationToken::new(),
        };
        Self { world, gateway, revoke }
    }

    pub(super) fn profile(&self, door: Door) -> Profile {
        Profile {
            door,
            mail_host: "mail.postern.test".into(),
            peer: "203.0.113.9".parse().expect("address"),
            tls_available: self.gateway.tls.is_some(),
            plaintext_login: true,
            plaintext_by_domain: false,
            message_max_bytes: self.gateway.data_limits.message_max_bytes,
            recipients_max: 1000,
            refused_recipients_max: Some(20),
            inbound_limited: true,
        }
    }

    /// A client that is connected.
    pub(super) fn connect(&self, door: Door) -> TestClient {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let profile = self.profile(door);
        let admission = Admission::new(from_env().expect("defaults"));
        let place = admission.admit(profile.peer).expect("a place");
        let connection =
            Connection::new(self.gateway.clone(), Box::new(server), profile, "session".into(), place);
        tokio::spawn(connection.run());
        TestClient { stream: client, read: Vec::new() }
    }

    /// Runs a transcript: `C:` lines that stand together are one write, `S:` lines are the starts of reply lines, `E:`
    /// is the end of the connection.
    pub(super) async fn transcript(&self, door: Door, text: &str) -> TestClient {
        let mut client = self.connect(door);
        let mut write = String::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (who, rest) = line.split_at(2);
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            if who == "C:" {
                write.push_str(&rest.replace("\\n", "\n").replace("\\r", "\r").replace("\\0", "\0"));
                if !rest.ends_with("\\n") {
                    write.push_str("\r\n");
                }
                continue;
            }
            client.write(std::mem::take(&mut write).as_bytes()).await;
            match who {
                "S:" => {
                    let reply = client.line().await;
                    assert!(reply.starts_with(rest), "expected {rest:?}, got {reply:?} in\n{text}");
                }
                "E:" => assert_eq!(client.rest().await, "", "in\n{text}"),
                other => panic!("{other} in a transcript"),
            }
        }
        client
    }
}

/// The client's end.
pub(super) struct TestClient {
    pub(super) stream: DuplexStream,
    read: Vec<u8>,
}

impl TestClient {
    pub(super) async fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.expect("the server reads");
    }

    /// One reply line without CRLF.
    pub(super) async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(2).position(|w| w == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).expect("ascii");
            }
            let mut piece = [0; 4096];
            let count = tokio::time::timeout(Duration::from_secs(20), self.stream.read(&mut piece))
                .await
                .expect("a reply in time")
                .expect("readable");
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&piece[..count]);
        }
    }

    /// Whatever comes up to the end of the connection.
    pub(super) async fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.read);
        tokio::time::timeout(Duration::from_secs(20), self.stream.read_to_end(&mut rest))
            .await
            .expect("an end in time")
            .expect("readable");
        String::from_utf8(rest).expect("ascii")
    }
}

fn resolution(address: &str) -> account::Resolution {
    use account::resolution::Outcome;
    let (local, domain) = address.rsplit_once('@').expect("address");
    let outcome = match (domain, local) {
        ("homepage.test", "user" | "postmaster") => Outcome::Local(account::LocalOutcome::default()),
        ("homepage.test", "discard") => Outcome::Discard(account::DiscardOutcome {}),
        ("homepage.test", _) => Outcome::Unknown(account::UnknownOutcome {}),
        ("pending.test", _) => Outcome::NotLive(account::NotLiveOutcome {}),
        _ => Outcome::Remote(account::RemoteOutcome {}),
    };
    account::Resolution {
        address: address.to_owned(),
        domain: domain.to_owned(),
        domain_version: 1,
        outcome: Some(outcome),
    }
}

impl Services {
    fn account_is_there(&self) -> Result<(), Status> {
        if self.world.account_away.load(Ordering::SeqCst) { Err(Status::unavailable("away")) } else { Ok(()) }
    }

    fn auth_is_there(&self) -> Result<(), Status> {
        if self.world.auth_away.load(Ordering::SeqCst) { Err(Status::unavailable("away")) } else { Ok(()) }
    }
}

#[tonic::async_trait]
impl account::directory_service_server::DirectoryService for Services {
    async fn resolve_recipient(
        &self,
        request: Request<account::ResolveRecipientRequest>,
    ) -> Answer<account::ResolveRecipientResponse> {
        self.account_is_there()?;
        let resolution = Some(resolution(&request.into_inner().address));
        Ok(Response::new(account::ResolveRecipientResponse { resolution }))
    }

    async fn batch_resolve_recipients(
        &self,
        request: Request<account::BatchResolveRecipientsRequest>,
    ) -> Answer<account::BatchResolveRecipientsResponse> {
        self.account_is_there()?;
        self.world.batches.fetch_add(1, Ordering::SeqCst);
        let resolutions = request.into_inner().addresses.iter().map(|address| resolution(address)).collect();
        Ok(Response::new(account::BatchResolveRecipientsResponse { resolutions }))
    }

    async fn lookup_login(
        &self,
        _: Request<account::LookupLoginRequest>,
    ) -> Answer<account::LookupLoginResponse> {
        Err(Status::unimplemented("not asked by the gateway"))
    }

    async fn lookup_mailbox(
        &self,
        _: Request<account::LookupMailboxRequest>,
    ) -> Answer<account::LookupMailboxResponse> {
        Err(Status::unimplemented("not asked by the gateway"))
    }

    async fn lookup_domain(
        &self,
        request: Request<account::LookupDomainRequest>,
    ) -> Answer<account::LookupDomainResponse> {
        self.account_is_there()?;
        let name = request.into_inner().name;
        let customer = match name.as_str() {
            "homepage.test" => Some("homepage"),
            "customer.test" => Some("other"),
            _ => None,
        };
        let domain = customer.map(|customer| account::DomainIdentity {
            name,
            customer: customer.into(),
            state: account::DomainState::Live.into(),
            ..Default::default()
        });
        Ok(Response::new(account::LookupDomainResponse { domain }))
    }

    type WatchChangesStream = Watch<account::WatchChangesResponse>;

    async fn watch_changes(
        &self,
        _: Request<account::WatchChangesRequest>,
    ) -> Answer<Self::WatchChangesStream> {
        use account::watch_changes_response::Event;
        let first = tokio_stream::once(Event::Reset(account::Reset {}));
        let beats = tokio_stream::StreamExt::throttle(
            tokio_stream::iter(std::iter::repeat_with(|| Event::Beat(account::Beat { version: 1 }))),
            Duration::from_millis(100),
        );
        let events = first.chain(beats).map(|event| Ok(account::WatchChangesResponse { event: Some(event) }));
        Ok(Response::new(Box::pin(events)))
    }
}

#[tonic::async_trait]
impl auth::login_service_server::LoginService for Services {
    async fn authenticate(
        &self,
        request: Request<auth::AuthenticateRequest>,
    ) -> Answer<auth::AuthenticateResponse> {
        self.auth_is_there()?;
        let request = request.into_inner();
        assert_eq!(request.protocol(), auth::Protocol::Smtp);
        if request.login != "user@homepage.test" || request.password != "right" {
            return Err(failure::status(Reason::BadCredentials));
        }
        Ok(Response::new(auth::AuthenticateResponse {
            mailbox_id: 7,
            login: request.login,
            customer: "homepage".into(),
            credential_version: 3,
            ..Default::default()
        }))
    }

    async fn exchange_token(
        &self,
        _: Request<auth::ExchangeTokenRequest>,
    ) -> Answer<auth::ExchangeTokenResponse> {
        Err(Status::unimplemented("not asked by the gateway"))
    }

    async fn get_login_history(
        &self,
        _: Request<auth::GetLoginHistoryRequest>,
    ) -> Answer<auth::GetLoginHistoryResponse> {
        Err(Status::unimplemented("not asked by the gateway"))
    }
}

#[tonic::async_trait]
impl auth::relay_service_server::RelayService for Services {
    async fn check_relay(
        &self,
        request: Request<auth::CheckRelayRequest>,
    ) -> Answer<auth::CheckRelayResponse> {
        self.auth_is_there()?;
        self.world.relay_questions.fetch_add(1, Ordering::SeqCst);
        let request = request.into_inner();
        let authenticated = request.authenticated.is_some();
        if request.sender == "other@customer.test" {
            return Err(failure::status(Reason::SenderNotPermitted));
        }
        if !authenticated && !self.world.granted.load(Ordering::SeqCst) {
            return Err(failure::status(Reason::RelayProhibited));
        }
        Ok(Response::new(auth::CheckRelayResponse {
            login: "user@homepage.test".into(),
            mailbox_id: 7,
            address: "user@homepage.test".into(),
            customer: "homepage".into(),
            authenticated,
        }))
    }

    async fn count_inbound(
        &self,
        request: Request<auth::CountInboundRequest>,
    ) -> Answer<auth::CountInboundResponse> {
        self.auth_is_there()?;
        let mut inbound = self.world.inbound.lock().expect("lock");
        let mut over = Vec::new();
        for (at, count) in request.into_inner().counts.into_iter().enumerate() {
            let counted = inbound.entry(count.recipient).or_default();
            if *counted + count.messages > INBOUND_LIMIT.cast_signed() {
                over.push(i32::try_from(at).expect("few"));
            } else {
                *counted += count.messages;
            }
        }
        Ok(Response::new(auth::CountInboundResponse { over }))
    }

    async fn list_grants(&self, _: Request<auth::ListGrantsRequest>) -> Answer<auth::ListGrantsResponse> {
        Err(Status::unimplemented("not asked by the gateway"))
    }

    async fn revoke_grant(&self, _: Request<auth::RevokeGrantRequest>) -> Answer<auth::RevokeGrantResponse> {
        Err(Status::unimplemented("not asked by the gateway"))
    }

    type WatchRevocationsStream = Watch<auth::WatchRevocationsResponse>;

    async fn watch_revocations(
        &self,
        _: Request<auth::WatchRevocationsRequest>,
    ) -> Answer<Self::WatchRevocationsStream> {
        use auth::watch_revocations_response::Event;
        let revocations = tokio_stream::wrappers::BroadcastStream::new(self.revoke.subscribe())
            .filter_map(Result::ok)
            .map(|one| Ok(auth::WatchRevocationsResponse { event: Some(Event::Revocation(one)) }));
        Ok(Response::new(Box::pin(revocations)))
    }
}

#[tonic::async_trait]
impl delivery::submission_service_server::SubmissionService for Services {
    async fn submit_message(
        &self,
        request: Request<Streaming<delivery::SubmitMessageRequest>>,
    ) -> Answer<delivery::SubmitMessageResponse> {
        let mut stream = request.into_inner();
        let said = *self.world.delivery_says.lock().expect("lock");
        let breaks_after = self.world.delivery_breaks_after.load(Ordering::SeqCst);
        let mut taken: Option<Taken> = None;
        while let Some(frame) = stream.message().await? {
            assert!(frame.content.len() <= 256 * 1024, "frames are bounded");
            if let Some(envelope) = frame.envelope {
                taken = Some(Taken { envelope, content: Vec::new(), frames: 0, answer_within_millis: 0 });
            }
            let message = taken.as_mut().ok_or_else(|| Status::invalid_argument("envelope first"))?;
            message.content.extend_from_slice(&frame.content);
            message.frames += 1;
            message.answer_within_millis = frame.answer_within_millis;
            if breaks_after > 0 && message.content.len() > breaks_after {
                return Err(Status::unavailable("broke off"));
            }
            if frame.last {
                if let Some(reason) = said {
                    return Err(failure::status(reason));
                }
                self.world.taken.lock().expect("lock").extend(taken);
                return Ok(Response::new(delivery::SubmitMessageResponse::default()));
            }
        }
        self.world.dropped.fetch_add(1, Ordering::SeqCst);
        Err(Status::aborted("no last frame"))
    }
}
