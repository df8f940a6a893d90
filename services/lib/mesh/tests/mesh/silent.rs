//! A replica that hangs, or whose machine is cut off: its sockets stay open, and nothing comes back. Whoever calls is hardly
//! ever kept waiting for it, and it is used again once it answers.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use postern_mesh::{
    client::MeshChannel, identity::MeshKey, server, settings::MeshSettings, shutdown::Shutdown,
};
use postern_proto::account::v1::{ResolveRecipientRequest, directory_service_client::DirectoryServiceClient};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tonic::Status;

use crate::fake::FakeDirectory;

/// From the cut until nobody notices it any more.
const LIMIT: Duration = Duration::from_secs(5);

/// A way to a server that can be cut: then it still takes connections, and passes nothing on.
struct Wire {
    address: SocketAddr,
    cut: watch::Sender<bool>,
}

impl Wire {
    async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, is_cut.clone()));
            }
        });
        Self { address, cut }
    }
}

/// Until it is cut; from then on both ends keep their sockets, and nothing comes.
async fn carry(mut client: TcpStream, server: SocketAddr, mut is_cut: watch::Receiver<bool>) {
    if *is_cut.borrow_and_update() {
        return std::future::pending().await;
    }
    let mut server = TcpStream::connect(server).await.unwrap();
    let carried = tokio::select! {
        cut = is_cut.changed() => cut.is_err(),
        _ = copy_bidirectional(&mut client, &mut server) => true,
    };
    if !carried {
        std::future::pending().await
    }
}

async fn server(settings: &MeshSettings) -> (FakeDirectory, SocketAddr) {
    let (fake, shutdown) = (FakeDirectory::default(), Shutdown::new());
    let listen = "127.0.0.1:0".parse().unwrap();
    let address = server::serve(listen, fake.routes(), "account", settings, &shutdown).await.unwrap();
    (fake, address)
}

async fn resolve(channel: &MeshChannel) -> Result<(), Status> {
    let request = ResolveRecipientRequest { address: "a@b.test".to_owned() };
    DirectoryServiceClient::new(channel.clone()).resolve_recipient(request).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_falls_silent_is_left_alone_and_found_again() {
    let settings = MeshSettings::with_key(MeshKey::random());
    let (cut_off, behind) = server(&settings).await;
    let (other, there) = server(&settings).await;
    let wire = Wire::to(behind).await;
    let url = format!("http://{},http://{there}", wire.address);
    let channel = MeshChannel::connect(&url, "test", &settings).unwrap();
    while cut_off.asked() == 0 || other.asked() == 0 {
        resolve(&channel).await.unwrap();
    }

    wire.cut.send_replace(true);
    let begin = Instant::now();
    // Those that are on their way when it is cut off are asked elsewhere before their deadline.
    for asked in futures_util::future::join_all((0..8).map(|_| resolve(&channel))).await {
        asked.unwrap();
    }
    assert!(begin.elapsed() < LIMIT, "{:?}", begin.elapsed());
    let before = cut_off.asked();
    // From now on nobody is kept waiting, also not by the attempts to find it again.
    while begin.elapsed() < LIMIT + Duration::from_secs(2) {
        let call = Instant::now();
        resolve(&channel).await.unwrap();
        assert!(call.elapsed() < Duration::from_millis(500), "{:?}", call.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(cut_off.asked(), before);

    wire.cut.send_replace(false);
    let back = Instant::now();
    while cut_off.asked() == before {
        resolve(&channel).await.unwrap();
        assert!(back.elapsed() < LIMIT, "found again in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_silent_from_the_start_costs_one_call_a_second() {
    let settings = MeshSettings::with_key(MeshKey::random());
    // The kernel takes the connections of a process that never does.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_other, there) = server(&settings).await;
    let url = format!("http://{},http://{there}", silent.local_addr().unwrap());
    let channel = MeshChannel::connect(&url, "test", &settings).unwrap();
    let mut slow = 0;
    for _ in 0..100 {
        let call = Instant::now();
        resolve(&channel).await.unwrap();
        slow += usize::from(call.elapsed() > Duration::from_millis(500));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(slow <= 1, "{slow} calls waited for it");
}

/// Its port is taken and answers, and it is no server of ours at first: the one that comes afterwards is found.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_replica_that_ends_and_starts_anew_is_found() {
    let settings = MeshSettings::with_key(MeshKey::random());
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let channel = MeshChannel::connect(&format!("http://{address}"), "test", &settings).unwrap();
    resolve(&channel).await.unwrap_err();
    drop(silent);
    let (fake, shutdown) = (FakeDirectory::default(), Shutdown::new());
    server::serve(address, fake.routes(), "account", &settings, &shutdown).await.unwrap();
    let back = Instant::now();
    while resolve(&channel).await.is_err() {
        assert!(back.elapsed() < LIMIT, "found again in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(fake.asked() > 0);
}
