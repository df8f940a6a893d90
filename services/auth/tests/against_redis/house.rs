//! An auth service over a private Redis and a directory in memory, asked through its gRPC face.

use bytes::Bytes;
use clap::Parser;
use postern_auth::Settings;
use postern_mail::Reason;
use postern_mesh::{
    client::MeshChannel, failure, identity::MeshKey, settings::MeshSettings, shutdown::Shutdown,
};
use postern_proto::{
    account::v1::directory_service_server::DirectoryServiceServer,
    auth::v1::{
        AuthenticateRequest, AuthenticateResponse, AuthenticatedSubmitter, CheckRelayRequest,
        CheckRelayResponse, ExchangeTokenRequest, Protocol, login_service_client::LoginServiceClient,
        relay_service_client::RelayServiceClient,
    },
};
use tonic::{Status, service::Routes};

use crate::{fake_directory::FakeDirectory, private_redis::PrivateRedis};

pub(crate) const TOKEN: &str = "operator-token-of-the-tests";
/// Clients of the tests (RFC 5737).
pub(crate) const HOME: &str = "203.0.113.9";
pub(crate) const CAFE: &str = "198.51.100.7";

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    settings: Settings,
}

pub(crate) fn settings(redis: &PrivateRedis, more: &[&str]) -> Settings {
    let url = redis.url();
    let fixed = ["auth", "--redis-url", &url, "--operator-token", TOKEN];
    Program::parse_from(fixed.iter().chain(more)).settings
}

/// One replica of auth.
pub(crate) struct Replica {
    channel: MeshChannel,
    pub(crate) shutdown: Shutdown,
}

impl Replica {
    pub(crate) async fn open(redis: &PrivateRedis, directory: &FakeDirectory, more: &[&str]) -> Self {
        // Replicas of one house share its key.
        let mesh = MeshSettings::with_key(MeshKey::from_hex(&"5e".repeat(32)).unwrap());
        let shutdown = Shutdown::new();
        let account = Routes::new(DirectoryServiceServer::new(directory.clone()));
        let account = MeshChannel::local(account, "auth", &mesh);
        let routes =
            postern_auth::open(&settings(redis, more), &mesh, account, None, &shutdown).await.unwrap();
        Self { channel: MeshChannel::local(routes, "smtp-gateway", &mesh), shutdown }
    }

    pub(crate) fn relay(&self) -> RelayServiceClient<MeshChannel> {
        RelayServiceClient::new(self.channel.clone())
    }

    pub(crate) fn login(&self) -> LoginServiceClient<MeshChannel> {
        LoginServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn operator(&self) -> RelayServiceClient<MeshChannel> {
        let request = ExchangeTokenRequest { token: TOKEN.to_owned() };
        let answer = self.login().exchange_token(request).await.unwrap().into_inner();
        RelayServiceClient::new(self.channel.with_assertion(answer.assertion))
    }

    pub(crate) async fn pop3(
        &self,
        login: &str,
        password: &str,
        peer: &str,
    ) -> Result<AuthenticateResponse, Status> {
        self.authenticate(login, password, peer, Protocol::Pop3).await
    }

    pub(crate) async fn authenticate(
        &self,
        login: &str,
        password: &str,
        peer: &str,
        protocol: Protocol,
    ) -> Result<AuthenticateResponse, Status> {
        self.login_as(login, password, peer, protocol, false).await
    }

    /// A login whose password others can read on its way.
    pub(crate) async fn in_clear_text(
        &self,
        login: &str,
        password: &str,
    ) -> Result<AuthenticateResponse, Status> {
        self.login_as(login, password, HOME, Protocol::Pop3, true).await
    }

    async fn login_as(
        &self,
        login: &str,
        password: &str,
        peer: &str,
        protocol: Protocol,
        clear_text: bool,
    ) -> Result<AuthenticateResponse, Status> {
        let request = AuthenticateRequest {
            login: login.to_owned(),
            password: Bytes::copy_from_slice(password.as_bytes()),
            protocol: protocol.into(),
            peer_ip: peer.to_owned(),
            session_id: "test".to_owned(),
            clear_text,
        };
        self.login().authenticate(request).await.map(tonic::Response::into_inner)
    }

    pub(crate) async fn check(&self, peer: &str, sender: &str) -> Result<CheckRelayResponse, Reason> {
        self.check_counting(peer, sender, None, 1).await
    }

    pub(crate) async fn check_counting(
        &self,
        peer: &str,
        sender: &str,
        authenticated: Option<AuthenticatedSubmitter>,
        recipient_count: i32,
    ) -> Result<CheckRelayResponse, Reason> {
        let (peer_ip, sender) = (peer.to_owned(), sender.to_owned());
        let request = CheckRelayRequest { peer_ip, sender, authenticated, recipient_count };
        let answer = self.relay().check_relay(request).await;
        answer.map(tonic::Response::into_inner).map_err(|status| failure::reason_of(&status))
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

pub(crate) fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> Reason {
    failure::reason_of(&answer.unwrap_err())
}

/// Two customers with a box each, and a second box of the first.
pub(crate) fn directory() -> FakeDirectory {
    let directory = FakeDirectory::new();
    directory.add_domain("homepage.test", "homepage");
    directory.add_domain("other.test", "other");
    directory.add_box(1, "user@homepage.test", "homepage", "sesame-1");
    directory.add_box(2, "second@homepage.test", "homepage", "sesame-2");
    directory.add_box(3, "user@other.test", "other", "sesame-3");
    directory.add_box(4, "homepage", "homepage", "sesame-4");
    directory
}
