//! One client, two shapes: what a call meets on its way to a handler in this process and over HTTP/2.

use std::{
    net::SocketAddr,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use postern_mail::Reason;
use postern_mesh::{
    client::MeshChannel,
    failure,
    identity::{Caller, MeshKey, Role},
    server,
    settings::MeshSettings,
    shutdown::Shutdown,
};
use postern_proto::account::v1::{
    GetCustomerRequest, LookupMailboxRequest, ResolveRecipientRequest, WatchChangesRequest,
    customer_service_client::CustomerServiceClient, directory_service_client::DirectoryServiceClient,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tonic::{Code, Request, Status};

use crate::fake::FakeDirectory;

const ANY_PORT: &str = "127.0.0.1:0";

struct House {
    fake: FakeDirectory,
    settings: MeshSettings,
    address: SocketAddr,
    shutdown: Shutdown,
}

impl House {
    async fn new() -> Self {
        Self::with(MeshSettings::with_key(MeshKey::random())).await
    }

    async fn with(settings: MeshSettings) -> Self {
        let (fake, shutdown) = (FakeDirectory::default(), Shutdown::new());
        let listen = ANY_PORT.parse().unwrap();
        let address = server::serve(listen, fake.routes(), "account", &settings, &shutdown).await.unwrap();
        Self { fake, settings, address, shutdown }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn remote(&self) -> MeshChannel {
        MeshChannel::connect(&self.url(), "test", &self.settings).unwrap()
    }

    fn both(&self) -> [MeshChannel; 2] {
        [MeshChannel::local(self.fake.routes(), "test", &self.settings), self.remote()]
    }
}

async fn resolve(channel: &MeshChannel, address: &str) -> Result<String, Status> {
    let request = ResolveRecipientRequest { address: address.to_owned() };
    let answer = DirectoryServiceClient::new(channel.clone()).resolve_recipient(request).await?;
    Ok(answer.into_inner().resolution.unwrap().address)
}

#[tokio::test]
async fn both_shapes_carry_answer_caller_and_typed_failure() {
    let house = House::new().await;
    for channel in house.both() {
        assert_eq!(resolve(&channel, "a@b.test").await.unwrap(), "a@b.test");
        let caller = house.fake.callers.lock().unwrap().pop().expect("the handler saw the caller");
        assert_eq!(caller, Caller::new("test", Role::Service));

        let status = resolve(&channel, "bad@b.test").await.unwrap_err();
        assert_eq!(failure::reason_of(&status), Reason::InvalidArgument);
        assert_eq!(failure::detail_of(&status), "address: the test says so");
    }
}

#[tokio::test]
async fn who_does_not_say_who_it_is_is_refused_and_so_is_a_foreign_key() {
    let house = House::new().await;
    let stranger = MeshKey::random().assertion(&Caller::new("test", Role::Operator));
    for channel in house.both() {
        for assertion in [String::new(), "junk".to_owned(), "new\nline".to_owned(), stranger.clone()] {
            let status = resolve(&channel.with_assertion(assertion), "a@b.test").await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated);
            assert_eq!(failure::typed_reason(&status), Some(Reason::CallerUnknown));
            // To a gateway this is a wrong set-up, never a verdict on the mail (R0).
            assert_eq!(failure::reason_of(&status), Reason::Misconfigured);
        }
    }
    assert_eq!(house.fake.asked(), 0);
}

#[tokio::test]
async fn a_service_may_not_call_what_is_the_operators() {
    let house = House::new().await;
    for channel in house.both() {
        let request = || GetCustomerRequest { login: "homepage".to_owned() };
        let status = CustomerServiceClient::new(channel.clone()).get_customer(request()).await.unwrap_err();
        assert_eq!(failure::typed_reason(&status), Some(Reason::CallerNotPermitted));

        // The operator gets past the guard, to a server that has no such service.
        let operator = house.settings.mesh_key.assertion(&Caller::new("alice", Role::Operator));
        let channel = channel.with_assertion(operator);
        let status = CustomerServiceClient::new(channel.clone()).get_customer(request()).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(failure::reason_of(&status), Reason::Misconfigured);
        resolve(&channel, "a@b.test").await.unwrap();
        assert_eq!(house.fake.callers.lock().unwrap().pop().unwrap().subject, "alice");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_ends_the_call() {
    let house = House::new().await;
    house.fake.gate.forget_permits(Semaphore::MAX_PERMITS);
    for channel in house.both() {
        let mut request = Request::new(LookupMailboxRequest { mailbox_id: 1 });
        request.set_timeout(Duration::from_millis(60));
        let begin = Instant::now();
        let status = DirectoryServiceClient::new(channel).lookup_mailbox(request).await.unwrap_err();
        assert!(begin.elapsed() >= Duration::from_millis(60));
        assert!(begin.elapsed() < Duration::from_secs(2));
        assert_eq!(failure::reason_of(&status), Reason::Unavailable);
    }
}

#[tokio::test]
async fn a_call_over_the_limit_is_told_to_try_later() {
    let mut settings = MeshSettings::with_key(MeshKey::random());
    settings.concurrency_max = 1;
    let house = House::with(settings).await;
    for channel in house.both() {
        house.fake.at_gate.forget_permits(Semaphore::MAX_PERMITS);
        house.fake.gate.forget_permits(Semaphore::MAX_PERMITS);
        let first = tokio::spawn({
            let channel = channel.clone();
            async move { resolve(&channel, "a@b.test").await }
        });
        house.fake.at_gate.acquire().await.unwrap().forget();
        let status = resolve(&channel, "c@b.test").await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(failure::reason_of(&status), Reason::Overloaded);
        house.fake.gate.add_permits(1000);
        assert_eq!(first.await.unwrap().unwrap(), "a@b.test");
        resolve(&channel, "c@b.test").await.unwrap();
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable_at_once() {
    let free = TcpListener::bind(ANY_PORT).await.unwrap().local_addr().unwrap();
    let settings = MeshSettings::with_key(MeshKey::random());
    let channel = MeshChannel::connect(&format!("http://{free}"), "test", &settings).unwrap();
    for _ in 0..3 {
        let begin = Instant::now();
        let status = resolve(&channel, "a@b.test").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(failure::reason_of(&status), Reason::Unavailable);
        assert!(begin.elapsed() < Duration::from_secs(2));
    }
}

#[tokio::test]
async fn a_replica_that_is_away_is_passed_over() {
    let house = House::new().await;
    let free = TcpListener::bind(ANY_PORT).await.unwrap().local_addr().unwrap();
    let url = format!("http://{free}, {}", house.url());
    let channel = MeshChannel::connect(&url, "test", &house.settings).unwrap();
    for _ in 0..20 {
        resolve(&channel, "a@b.test").await.unwrap();
    }
    assert_eq!(house.fake.asked(), 20);
}

#[tokio::test]
async fn a_read_is_asked_once_more_and_not_twice_more() {
    let house = House::new().await;
    let channel = house.remote();
    house.fake.failures.store(1, Ordering::SeqCst);
    resolve(&channel, "a@b.test").await.unwrap();
    assert_eq!(house.fake.asked(), 2);
    house.fake.failures.store(2, Ordering::SeqCst);
    let status = resolve(&channel, "a@b.test").await.unwrap_err();
    assert_eq!(failure::reason_of(&status), Reason::Unavailable);
    assert_eq!(house.fake.asked(), 4);
}

#[tokio::test]
async fn retries_stop_when_their_budget_is_spent() {
    let house = House::new().await;
    let channel = house.remote();
    house.fake.failures.store(usize::MAX, Ordering::SeqCst);
    for _ in 0..50 {
        resolve(&channel, "a@b.test").await.unwrap_err();
    }
    // Ten saved up, and one for each ten calls.
    assert!((60..=66).contains(&house.fake.asked()), "{}", house.fake.asked());
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let house = House::new().await;
    let url = format!("http://localhost:{}", house.address.port());
    let channel = MeshChannel::connect(&url, "test", &house.settings).unwrap();
    resolve(&channel, "a@b.test").await.unwrap();
    let nowhere = MeshChannel::connect("http://nowhere.invalid:1", "test", &house.settings).unwrap();
    assert_eq!(failure::reason_of(&resolve(&nowhere, "a@b.test").await.unwrap_err()), Reason::Unavailable);
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let first = House::new().await;
    let channel = first.remote();
    resolve(&channel, "a@b.test").await.unwrap();
    assert!(first.shutdown.finish(Duration::from_secs(5)).await, "an idle server ends at once");
    let status = resolve(&channel, "a@b.test").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);

    let (again, shutdown) = (FakeDirectory::default(), Shutdown::new());
    server::serve(first.address, again.routes(), "account", &first.settings, &shutdown).await.unwrap();
    let begin = Instant::now();
    while resolve(&channel, "a@b.test").await.is_err() {
        assert!(begin.elapsed() < Duration::from_secs(5), "found again in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_goes_down_ends_watch_streams_and_lets_calls_finish() {
    let house = House::new().await;
    let channel = house.remote();
    let mut watch = DirectoryServiceClient::new(channel.clone())
        .watch_changes(WatchChangesRequest {})
        .await
        .unwrap()
        .into_inner();
    assert!(watch.message().await.unwrap().is_some(), "the first event");
    house.fake.gate.forget_permits(Semaphore::MAX_PERMITS);
    let running = tokio::spawn({
        let channel = channel.clone();
        async move { resolve(&channel, "a@b.test").await }
    });
    house.fake.at_gate.acquire().await.unwrap().forget();

    house.shutdown.trigger();
    let status = watch.message().await.unwrap_err();
    assert_eq!(failure::reason_of(&status), Reason::ShuttingDown);
    house.fake.gate.add_permits(1000);
    assert_eq!(running.await.unwrap().unwrap(), "a@b.test");
    assert!(house.shutdown.finish(Duration::from_secs(5)).await);
}

#[tokio::test]
async fn a_port_that_is_taken_and_a_url_that_is_none_are_said_clearly() {
    let house = House::new().await;
    let taken =
        server::serve(house.address, house.fake.routes(), "account", &house.settings, &Shutdown::new()).await;
    let text = taken.unwrap_err().to_string();
    assert!(text.contains(&house.address.to_string()), "{text}");
    for bad in
        ["", "127.0.0.1:7101", "https://a:1", "http://a", "http://a:1/path", "http://", "unix:/x", " , "]
    {
        let error = MeshChannel::connect(bad, "test", &house.settings).unwrap_err().to_string();
        assert!(error.contains("_URL"), "{bad}: {error}");
    }
}

#[tokio::test]
async fn anybody_may_ask_for_health_and_reflection_is_there_when_set() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let mut settings = MeshSettings::with_key(MeshKey::random());
    settings.reflection = true;
    let house = House::with(settings).await;
    let channel = MeshChannel::connect_unsigned(&house.url()).unwrap();
    let health = HealthClient::new(channel).check(HealthCheckRequest::default()).await.unwrap();
    assert_eq!(health.into_inner().status, 1);
}
