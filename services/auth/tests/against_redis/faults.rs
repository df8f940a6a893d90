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
