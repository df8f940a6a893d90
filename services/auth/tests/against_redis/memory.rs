//! What is remembered of right passwords: known to all replicas, and good for no credential that has changed.

use std::time::{Duration, Instant};

use postern_mail::Reason;
use postern_proto::{
    account::v1::{ActivityState, AppPasswordHash, AppProtocol, DomainState},
    auth::v1::Protocol,
};

use crate::{
    house::{HOME, Replica, directory, reason},
    private_redis::PrivateRedis,
};

const LOGIN: &str = "user@homepage.test";
/// A change is known everywhere within a second.
const KNOWN_WITHIN: Duration = Duration::from_secs(1);

/// Lets somebody in and tells whether that took a single step of Redis: then nothing was checked.
async fn was_remembered(redis: &PrivateRedis, auth: &Replica, password: &str) -> bool {
    let calls = redis.script_calls().await;
    auth.pop3(LOGIN, password, HOME).await.unwrap();
    redis.script_calls().await - calls == 1
}

async fn refused_soon(replicas: &[Replica; 2], password: &str, why: Reason) {
    for auth in replicas {
        let begun = Instant::now();
        while let Ok(login) = auth.pop3(LOGIN, password, HOME).await {
            assert!(begun.elapsed() < KNOWN_WITHIN, "{login:?}");
        }
        assert_eq!(reason(auth.pop3(LOGIN, password, HOME).await), why);
    }
}

async fn names(redis: &PrivateRedis) -> Vec<Vec<u8>> {
    redis.ask(&["KEYS", "pw:*"]).await
}

#[tokio::test]
async fn what_one_replica_checked_the_other_need_not() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let [one, other] =
        [Replica::open(&redis, &directory, &[]).await, Replica::open(&redis, &directory, &[]).await];
    assert!(!was_remembered(&redis, &one, "sesame-1").await);
    assert!(was_remembered(&redis, &one, "sesame-1").await);
    assert!(was_remembered(&redis, &other, "sesame-1").await);
    // One that is started later, too.
    assert!(was_remembered(&redis, &Replica::open(&redis, &directory, &[]).await, "sesame-1").await);
    assert_eq!(reason(other.pop3(LOGIN, "sesame-2", HOME).await), Reason::BadCredentials);
    assert_eq!(names(&redis).await.len(), 1, "wrong ones are not kept");
}

#[tokio::test]
async fn it_ends_so_long_after_its_last_use() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--password-memory-seconds", "1200"]).await;
    assert!(!was_remembered(&redis, &auth, "sesame-1").await);
    let kept = names(&redis).await.remove(0);
    let left = || async {
        let client = redis::Client::open(redis.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let left: i64 = redis::cmd("TTL").arg(&kept).query_async(&mut connection).await.unwrap();
        (left, connection)
    };
    let (life, mut connection) = left().await;
    assert!((1190..=1200).contains(&life), "{life}");
    // A poll before that makes it last again; one that had more from an earlier setting has no more than this one's.
    for seconds in [30, 90_000] {
        let mut expire = redis::cmd("EXPIRE");
        let () = expire.arg(&kept).arg(seconds).query_async(&mut connection).await.unwrap();
        assert!(was_remembered(&redis, &auth, "sesame-1").await);
        let (life, _) = left().await;
        assert!((1190..=1200).contains(&life), "{life}");
    }
    let () = redis::cmd("DEL").arg(&kept).query_async(&mut connection).await.unwrap();
    assert!(!was_remembered(&redis, &auth, "sesame-1").await);

    let without = Replica::open(&redis, &directory, &["--password-memory-seconds", "0"]).await;
    assert!(!was_remembered(&redis, &without, "sesame-1").await);
    assert!(!was_remembered(&redis, &without, "sesame-1").await);
}

/// Each way in which a password stops being good, while two replicas remember it.
#[tokio::test]
async fn no_replica_lets_in_whose_credential_has_changed() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let settings = [
        "--limit-failed-logins-account",
        "0",
        "--limit-failed-logins-network",
        "0",
        "--login-hold-back-seconds",
        "0",
    ];
    let replicas = [
        Replica::open(&redis, &directory, &settings).await,
        Replica::open(&redis, &directory, &settings).await,
    ];
    let remembered = async |password: &str| {
        replicas[0].pop3(LOGIN, password, HOME).await.unwrap();
        for auth in &replicas {
            assert!(was_remembered(&redis, auth, password).await);
        }
    };

    remembered("sesame-1").await;
    directory.set_password(1, "sesame-9");
    refused_soon(&replicas, "sesame-1", Reason::BadCredentials).await;

    // Suspended: the box, or its customer, which the directory tells alike.
    remembered("sesame-9").await;
    directory.edit_box(1, |entry| entry.login.state = ActivityState::Suspended.into());
    refused_soon(&replicas, "sesame-9", Reason::AccountSuspended).await;
    directory.edit_box(1, |entry| entry.login.state = ActivityState::Active.into());
    while replicas[0].pop3(LOGIN, "sesame-9", HOME).await.is_err() {}

    remembered("sesame-9").await;
    directory.edit_box(1, |entry| entry.login.domain_state = DomainState::Pending.into());
    refused_soon(&replicas, "sesame-9", Reason::BadCredentials).await;
    directory.edit_box(1, |entry| entry.login.domain_state = DomainState::Live.into());
    while replicas[0].pop3(LOGIN, "sesame-9", HOME).await.is_err() {}

    // An app password is taken back.
    directory.edit_box(1, |entry| {
        // SHA-256 of "abc".
        let secret_sha256 = [
            0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
            0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
        ];
        let secret_sha256 = bytes::Bytes::from_iter(secret_sha256);
        entry.login.app_passwords =
            vec![AppPasswordHash { app_password_id: 1, protocol: AppProtocol::Pop3.into(), secret_sha256 }];
    });
    for auth in &replicas {
        while auth.pop3(LOGIN, "abc", HOME).await.is_err() {}
    }
    directory.edit_box(1, |entry| entry.login.app_passwords.clear());
    refused_soon(&replicas, "abc", Reason::BadCredentials).await;

    // The login comes to somebody else, whose credential is as young as this one was.
    remembered("sesame-9").await;
    let version = 2;
    directory.set_password(1, "of another");
    directory.edit_box(1, |entry| entry.login.credential_version = version);
    refused_soon(&replicas, "sesame-9", Reason::BadCredentials).await;
}

#[tokio::test]
async fn who_owes_a_code_is_checked_each_time() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    directory.edit_box(1, |entry| entry.login.second_factor = true);
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.authenticate(LOGIN, "sesame-1", HOME, Protocol::Panel).await.unwrap();
    assert_eq!(names(&redis).await.len(), 0);
}
