//! TLS between the services: who shows no certificate, a foreign one, one with another name or one whose time is over is
//! refused, RPC by RPC; certificates that change are taken while the service runs.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use postern_mesh::{
    access::{self, Callers, Method},
    client::MeshChannel,
    house::NAMES,
    identity::{Caller, MeshKey, Role},
    mesh_tls::MeshTlsSettings,
    server,
    settings::MeshSettings,
    shutdown::Shutdown,
};
use postern_proto::account::v1::{ResolveRecipientRequest, directory_service_client::DirectoryServiceClient};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tonic::{Code, Status, body::Body};
use tower::Service as _;

use crate::fake::FakeDirectory;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// An authority of a house, with its certificate as PEM.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes a certificate for this DNS name that ends then, and its key.
    fn certify(&self, name: &str, ends: SystemTime, certificate: &Path, key_file: &Path) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = (ends - 30 * DAY).into();
        params.not_after = ends.into();
        fs::write(certificate, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(key_file, key.serialize_pem()).unwrap();
    }
}

/// A folder of certificates and the key of the mesh.
struct Keys {
    folder: TempDir,
    authority: Authority,
    key: MeshKey,
}

impl Keys {
    fn new() -> Self {
        let keys = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
            key: MeshKey::random(),
        };
        fs::write(keys.file("ca.pem"), &keys.authority.pem).unwrap();
        keys
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn without_tls(&self) -> MeshSettings {
        MeshSettings::with_key(self.key.clone())
    }

    /// Settings with the certificate of these files; the authority that is trusted is always the right one.
    fn settings(&self, files: &str) -> MeshSettings {
        let tls = MeshTlsSettings {
            mesh_tls_ca: Some(self.file("ca.pem")),
            mesh_tls_certificate: Some(self.file(&format!("{files}.pem"))),
            mesh_tls_key: Some(self.file(&format!("{files}-key.pem"))),
        };
        MeshSettings { tls, ..self.without_tls() }
    }

    fn made_by(&self, authority: &Authority, files: &str, name: &str, ends: SystemTime) -> MeshSettings {
        let (certificate, key) = (self.file(&format!("{files}.pem")), self.file(&format!("{files}-key.pem")));
        authority.certify(name, ends, &certificate, &key);
        self.settings(files)
    }

    /// A good certificate of a service.
    fn of(&self, service: &str) -> MeshSettings {
        self.made_by(
            &self.authority,
            service,
            &format!("{service}.postern.internal"),
            SystemTime::now() + DAY,
        )
    }
}

/// The account service with a certificate.
struct House {
    keys: Keys,
    fake: FakeDirectory,
    address: SocketAddr,
    _shutdown: Shutdown,
}

impl House {
    async fn new() -> Self {
        let keys = Keys::new();
        let settings = keys.of("account");
        Self::with(keys, &settings).await
    }

    async fn with(keys: Keys, settings: &MeshSettings) -> Self {
        let (fake, shutdown) = (FakeDirectory::default(), Shutdown::new());
        fake.set_version("homepage.test", 1);
        let any = "127.0.0.1:0".parse().unwrap();
        let address = server::serve(any, fake.routes(), "account", settings, &shutdown).await.unwrap();
        Self { keys, fake, address, _shutdown: shutdown }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    fn channel(&self, service: &'static str, settings: &MeshSettings) -> MeshChannel {
        MeshChannel::connect(&self.url(), service, settings).unwrap()
    }

    /// TLS without a certificate, and the assertion of whoever knows the key.
    fn without_certificate(&self, caller: &Caller) -> MeshChannel {
        let channel = MeshChannel::connect_tool(&self.url(), Some(&self.keys.file("ca.pem"))).unwrap();
        channel.with_assertion(self.keys.key.assertion(caller))
    }
}

async fn resolve(channel: MeshChannel) -> Result<(), Status> {
    let request = ResolveRecipientRequest { address: "user@homepage.test".into() };
    DirectoryServiceClient::new(channel).resolve_recipient(request).await.map(drop)
}

/// Calls an RPC with an empty message and says how it was answered.
async fn call(channel: &MeshChannel, method: &Method) -> Status {
    let empty_message = Full::new(Bytes::from_static(&[0; 5]));
    let request = Request::post(format!("http://any{}", method.path))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(empty_message))
        .unwrap();
    match channel.clone().call(request).await {
        Err(status) => status,
        Ok(response) => {
            Status::from_header_map(response.headers()).unwrap_or_else(|| Status::new(Code::Ok, "answered"))
        }
    }
}

/// What services call in their own name, of account: the server in these tests.
fn calls_of_services() -> impl Iterator<Item = &'static Method> {
    access::table().iter().filter(|row| {
        row.callers != Callers::ANYBODY
            && row.callers.admit(Role::Service)
            && row.path.starts_with("/postern.account.")
    })
}

#[tokio::test]
async fn services_with_their_certificates_reach_each_other() {
    let house = House::new().await;
    resolve(house.channel("delivery", &house.keys.of("delivery"))).await.unwrap();
    assert_eq!(house.fake.asked(), 1);
    let caller = house.fake.callers.lock().unwrap()[0].clone();
    assert_eq!(caller, Caller::new("delivery", Role::Service));
}

#[tokio::test]
async fn no_rpc_of_services_is_open_without_their_certificate() {
    let house = House::new().await;
    let keys = &house.keys;
    let (stranger, tomorrow) = (Authority::new(), SystemTime::now() + DAY);
    let good_name = "delivery.postern.internal";
    let cases = [
        ("none", house.without_certificate(&Caller::new("delivery", Role::Service)), Code::Unauthenticated),
        (
            "of another authority",
            house.channel("delivery", &keys.made_by(&stranger, "foreign", good_name, tomorrow)),
            Code::Unavailable,
        ),
        (
            "that is over",
            house.channel(
                "delivery",
                &keys.made_by(&keys.authority, "old", good_name, SystemTime::now() - DAY),
            ),
            Code::Unavailable,
        ),
        (
            "that names no service",
            house
                .channel("delivery", &keys.made_by(&keys.authority, "odd", "delivery.example.net", tomorrow)),
            Code::Unauthenticated,
        ),
        ("of another service", house.channel("delivery", &keys.of("pop3-gateway")), Code::PermissionDenied),
    ];
    let mut asked = 0;
    for (certificate, channel, expected) in &cases {
        for method in calls_of_services() {
            let status = call(channel, method).await;
            assert_eq!(status.code(), *expected, "certificate {certificate}, {}: {status:?}", method.path);
            asked += 1;
        }
    }
    assert!(asked > 5 * 10, "only {asked} calls");
    let plain = MeshChannel::connect(&format!("http://{}", house.address), "delivery", &keys.without_tls());
    assert_eq!(resolve(plain.unwrap()).await.unwrap_err().code(), Code::Unavailable, "without TLS");
    assert_eq!(house.fake.asked(), 0, "a call reached its handler");
}

#[tokio::test]
async fn each_service_calls_what_its_part_of_the_work_needs() {
    let house = House::new().await;
    let mut refused = 0;
    for service in NAMES {
        let channel = house.channel(service, &house.keys.of(service));
        for method in calls_of_services() {
            let status = call(&channel, method).await;
            if !method.admits_service(service) {
                assert_eq!(status.code(), Code::PermissionDenied, "{service} calls {}", method.path);
                refused += 1;
            } else {
                assert_ne!(
                    status.code(),
                    Code::PermissionDenied,
                    "{service} calls {}: {status:?}",
                    method.path
                );
            }
        }
    }
    assert!(refused > 20, "only {refused} calls were refused");
}

#[tokio::test]
async fn people_need_no_certificate_but_their_assertion() {
    let house = House::new().await;
    resolve(house.without_certificate(&Caller::new("ann", Role::Operator))).await.unwrap();
    let nobody = MeshChannel::connect_tool(&house.url(), Some(&house.keys.file("ca.pem"))).unwrap();
    assert_eq!(resolve(nobody).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_server_that_is_not_the_service_called_hears_nothing() {
    let (tomorrow, stranger) = (SystemTime::now() + DAY, Authority::new());
    for (of, authority, name) in [
        ("another service", None, "auth.postern.internal"),
        ("another authority", Some(&stranger), "account.postern.internal"),
    ] {
        let keys = Keys::new();
        let authority = authority.unwrap_or(&keys.authority);
        let settings = keys.made_by(authority, "server", name, tomorrow);
        let house = House::with(keys, &settings).await;
        let status = resolve(house.channel("delivery", &house.keys.of("delivery"))).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{of}");
        assert!(status.message().contains("TLS"), "{of}: {status:?}");
        assert_eq!(house.fake.asked(), 0, "{of}");
    }
}

#[tokio::test]
async fn certificates_that_change_are_taken_while_the_service_runs() {
    let house = House::new().await;
    let keys = &house.keys;
    resolve(house.channel("delivery", &keys.of("delivery"))).await.unwrap();
    // The house gets a new authority: new certificates for both, each file replaced as a whole.
    let (new, tomorrow) = (Authority::new(), SystemTime::now() + DAY);
    for service in ["account", "delivery"] {
        keys.made_by(&new, &format!("new-{service}"), &format!("{service}.postern.internal"), tomorrow);
        for part in ["", "-key"] {
            let (from, to) = (format!("new-{service}{part}.pem"), format!("{service}{part}.pem"));
            fs::rename(keys.file(&from), keys.file(&to)).unwrap();
        }
    }
    fs::write(keys.file("new-ca.pem"), &new.pem).unwrap();
    fs::rename(keys.file("new-ca.pem"), keys.file("ca.pem")).unwrap();
    // A client that begins now knows only the new authority; the server must come to it by itself.
    let client = house.channel("delivery", &keys.settings("delivery"));
    let begun = Instant::now();
    while let Err(status) = resolve(client.clone()).await {
        assert!(begun.elapsed() < Duration::from_secs(20), "{status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn urls_and_certificates_must_fit() {
    let house = House::new().await;
    let tls = house.keys.of("delivery");
    let wrong = |url: &str, settings: &MeshSettings| {
        MeshChannel::connect(url, "delivery", settings).unwrap_err().to_string()
    };
    assert!(wrong("http://127.0.0.1:1", &tls).contains("must begin with https://"));
    assert!(wrong("https://127.0.0.1:1", &house.keys.without_tls()).contains("POSTERN_MESH_TLS_CA"));
    fs::write(house.keys.file("delivery.pem"), "nothing").unwrap();
    assert!(wrong(&house.url(), &tls).contains("POSTERN_MESH_TLS_CERTIFICATE"));
}
