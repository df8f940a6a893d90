//! When a part is away: temporary answers, soon, and recovery without help.

use std::time::{Duration, Instant};

use postern_auth::open;
use postern_mail::Reason;
use postern_mesh::{client::MeshChannel, identity::MeshKey, settings::MeshSettings, shutdown::Shutdown};
use postern_proto::auth::v1::Protocol;
use tonic::service::Routes;

use crate::{
    house::{CAFE, HOME, Replica, directory, reason, settings},
    private_redis::PrivateRedis,
};

/// Well under the deadline of a call.
const SOON: Duration = Duration::from_millis(2500);

async fn expect_unavailable(auth: &Replica) {
    for (login, password) in
        [("user@homepage.test", "sesame-1"), ("user@homepage.test", "x"), ("nobody", "x")]
    {
        let begun = Instant::now();
        assert_eq!(reason(auth.pop3(login, password, HOME).await), Reason::Unavailable, "{login}");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    let begun = Instant::now();
    assert_eq!(auth.check(HOME, "").await.unwrap_err(), Reason::Unavailable);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn redis_killed_is_temporary_and_one_that_comes_back_is_used() {
    let (mut redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    auth.check(HOME, "").await.unwrap();
    redis.kill();
    expect_unavailable(&auth).await;
    redis.start_again();
    tokio::time::sleep(Duration::from_millis(150)).await;
    // Empty now: the grant is lost, and the next poll wins it again.
    assert_eq!(auth.check(HOME, "").await.unwrap_err(), Reason::RelayProhibited);
    assert!(auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap().granted);
    auth.check(HOME, "").await.unwrap();
}

#[tokio::test]
async fn a_restart_between_two_questions_is_not_even_noticed() {
    let (mut redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    redis.kill();
    redis.start_again();
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
}

#[tokio::test]
async fn a_silent_redis_is_temporary() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    redis.signal("STOP");
    expect_unavailable(&auth).await;
    redis.signal("CONT");
    tokio::time::sleep(Duration::from_millis(200)).await;
    auth.check(HOME, "").await.unwrap();
}

#[tokio::test]
async fn a_directory_that_is_away_is_temporary_and_blames_nobody() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    directory.set_away(true);
    for _ in 0..12 {
        assert_eq!(reason(auth.pop3("user@homepage.test", "x", CAFE).await), Reason::Unavailable);
    }
    directory.set_away(false);
    auth.authenticate("user@homepage.test", "sesame-1", CAFE, Protocol::Smtp).await.unwrap();
}

#[tokio::test]
async fn a_stored_hash_that_cannot_be_used_is_the_operators_problem() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    directory.edit_box(1, |entry| entry.login.password_phc = "$2b$12$junk".to_owned());
    let auth = Replica::open(&redis, &directory, &[]).await;
    assert_eq!(reason(auth.pop3("user@homepage.test", "sesame-1", HOME).await), Reason::Misconfigured);
}

#[tokio::test]
async fn a_redis_that_evicts_ends_the_start_in_clear_words() {
    let redis = PrivateRedis::start_with_policy("allkeys-lru");
    let mesh = MeshSettings::with_key(MeshKey::random());
    let account = MeshChannel::local(Routes::default(), "auth", &mesh);
    let shutdown = Shutdown::new();
    let refused = open(&settings(&redis, &[]), &mesh, account, None, &shutdown).await.err().unwrap();
    let line = refused.to_string();
    assert!(line.contains("Redis") && line.contains("allkeys-lru") && line.contains("noeviction"), "{line}");
}

/// A planned failover: the primary becomes a replica and keeps its connections, and its address leads to another one.
#[tokio::test]
async fn a_primary_that_was_demoted_is_left_for_the_one_that_took_its_address() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    let ready = postern_auth::readiness(&settings(&redis, &[])).unwrap();
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    assert_eq!(ready.results().await["redis"], None);
    // Nobody is there to copy from: all the same it takes no writes.
    redis.demote().await;
    expect_unavailable(&auth).await;
    let ready = postern_auth::readiness(&settings(&redis, &[])).unwrap();
    let told = ready.results().await["redis"].clone().unwrap();
    assert!(told.contains("replica"), "{told}");
    let shutdown = Shutdown::new();
    let mesh = MeshSettings::with_key(MeshKey::random());
    let account = MeshChannel::local(Routes::default(), "auth", &mesh);
    let refused = open(&settings(&redis, &[]), &mesh, account, None, &shutdown).await.err().unwrap();
    assert!(refused.to_string().contains("name the primary"), "{refused}");

    let promoted = PrivateRedis::start();
    promoted.take_address_of(&redis);
    let begun = Instant::now();
    while let Err(status) = auth.pop3("user@homepage.test", "sesame-1", HOME).await {
        assert_eq!(postern_mesh::failure::reason_of(&status), Reason::Unavailable);
        assert!(begun.elapsed() < SOON, "auth stays with the replica");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    auth.check(HOME, "").await.unwrap();
    let ready = postern_auth::readiness(&settings(&redis, &[])).unwrap();
    assert_eq!(ready.results().await["redis"], None);
}

/// The demotion is seen at the very question that it comes before, where the next primary is there already.
#[tokio::test]
async fn a_failover_between_two_questions_is_not_even_noticed() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    redis.demote().await;
    let promoted = PrivateRedis::start();
    promoted.take_address_of(&redis);
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
}
