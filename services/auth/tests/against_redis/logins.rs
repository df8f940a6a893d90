//! Who is let in, what a "no" looks like, and who has to wait.

use postern_mail::Reason;
use postern_proto::{
    account::v1::{ActivityState, DomainState},
    auth::v1::Protocol,
};

use crate::{
    house::{CAFE, HOME, Replica, directory, reason},
    private_redis::PrivateRedis,
};

#[tokio::test]
async fn good_logins_of_both_name_spaces() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    let answer = auth.pop3("USER@HomePage.test", "sesame-1", HOME).await.unwrap();
    assert_eq!((answer.mailbox_id, answer.credential_version), (1, 1));
    assert_eq!((answer.login.as_str(), answer.customer.as_str()), ("user@homepage.test", "homepage"));
    assert!(answer.granted);
    let answer = auth.authenticate("HomePage", "sesame-4", HOME, Protocol::Smtp).await.unwrap();
    assert_eq!((answer.mailbox_id, answer.granted), (4, false));
}

#[tokio::test]
async fn every_no_looks_the_same() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    directory.edit_box(2, |entry| entry.login.state = ActivityState::Suspended.into());
    directory.edit_box(3, |entry| entry.login.domain_state = DomainState::Pending.into());
    // How long an answer is held back grows with the count, whatever the reason: that is the next test's.
    let settings = ["--limit-failed-logins-network", "0", "--login-hold-back-seconds", "0"];
    let auth = Replica::open(&redis, &directory, &settings).await;
    let long = "x".repeat(1025);
    let mut answers = Vec::new();
    for (login, password) in [
        ("user@homepage.test", "wrong"),
        ("user@homepage.test", ""),
        ("user@homepage.test", long.as_str()),
        ("nobody@homepage.test", "sesame-1"),
        ("user@nowhere.test", "sesame-1"),
        ("nobody", "sesame-1"),
        ("", "sesame-1"),
        ("a b\0c", "sesame-1"),
        (long.as_str(), "sesame-1"),
        ("second@homepage.test", "not sesame-2"),
        ("user@other.test", "sesame-3"),
    ] {
        let status = auth.pop3(login, password, HOME).await.unwrap_err();
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
        assert_eq!(postern_mesh::failure::reason_of(&status), Reason::BadCredentials, "{login}");
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

#[tokio::test]
async fn every_no_is_held_back_the_same_and_by_all_replicas_together() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    directory.edit_box(2, |entry| entry.login.state = ActivityState::Suspended.into());
    let (one, other) =
        (Replica::open(&redis, &directory, &[]).await, Replica::open(&redis, &directory, &[]).await);
    let mut answers = Vec::new();
    for (number, login) in
        ["user@homepage.test", "nobody@homepage.test", "second@homepage.test", "x@nowhere.test"]
            .iter()
            .enumerate()
    {
        let peer = format!("203.0.113.{number}");
        let mut of_login = Vec::new();
        for auth in [&one, &other, &one] {
            let status = auth.pop3(login, "wrong", &peer).await.unwrap_err();
            of_login.push(postern_mesh::failure::metadata_of(&status).get("answer_after_millis").cloned());
        }
        answers.push(of_login);
    }
    answers.dedup();
    assert_eq!(answers, [[None, Some("2000".to_owned()), Some("4000".to_owned())]]);
}

#[tokio::test]
async fn only_the_right_password_hears_of_a_suspension() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    directory.edit_box(2, |entry| entry.login.state = ActivityState::Suspended.into());
    let auth = Replica::open(&redis, &directory, &["--limit-failed-logins-network", "0"]).await;
    for (password, reason) in [
        ("sesame-2", Reason::AccountSuspended),
        ("sesame-1", Reason::BadCredentials),
        ("", Reason::BadCredentials),
    ] {
        let status = auth.pop3("second@homepage.test", password, HOME).await.unwrap_err();
        assert_eq!(postern_mesh::failure::reason_of(&status), reason, "{password}");
    }
}

#[tokio::test]
async fn p_30_a_domain_says_whether_it_takes_passwords_in_clear_text() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--limit-failed-logins-network", "0"]).await;
    // Whether the login exists or the password is right makes no difference.
    let mut answers = Vec::new();
    for (login, password) in [
        ("user@homepage.test", "sesame-1"),
        ("user@homepage.test", "wrong"),
        ("nobody@homepage.test", "wrong"),
        ("user@nowhere.test", "wrong"),
        ("homepage", "sesame-4"),
        ("nobody", "wrong"),
        ("", ""),
    ] {
        let status = auth.in_clear_text(login, password).await.unwrap_err();
        assert_eq!(postern_mesh::failure::reason_of(&status), Reason::EncryptionRequired, "{login}");
        answers.push((status.code(), status.message().to_owned(), status.details().to_vec()));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");

    directory.edit_box(1, |entry| entry.login.plaintext_login = true);
    directory.edit_domain("homepage.test", |domain| domain.plaintext_login = true);
    assert!(auth.in_clear_text("user@homepage.test", "sesame-1").await.unwrap().granted);
    for login in ["user@homepage.test", "nobody@homepage.test"] {
        assert_eq!(reason(auth.in_clear_text(login, "wrong").await), Reason::BadCredentials, "{login}");
    }
    assert_eq!(reason(auth.in_clear_text("user@other.test", "sesame-3").await), Reason::EncryptionRequired);
    // With TLS nothing of this counts.
    auth.pop3("user@other.test", "sesame-3", HOME).await.unwrap();
}

#[tokio::test]
async fn a_wrong_password_right_after_the_right_one_is_wrong() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    for _ in 0..2 {
        auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
        assert_eq!(reason(auth.pop3("user@homepage.test", "sesame-2", HOME).await), Reason::BadCredentials);
    }
    directory.set_password(1, "sesame-9");
    // A change has a second to be known everywhere; here it takes no network.
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(reason(auth.pop3("user@homepage.test", "sesame-1", HOME).await), Reason::BadCredentials);
    auth.pop3("user@homepage.test", "sesame-9", HOME).await.unwrap();
}

#[tokio::test]
async fn a_repeated_poll_is_one_round_trip_and_writes_no_second_grant() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    let written: String = redis.ask(&["HGET", "grant:203.0.113.9", "1"]).await;
    let calls = redis.script_calls().await;
    for _ in 0..10 {
        assert!(auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap().granted);
    }
    assert_eq!(redis.script_calls().await - calls, 10);
    let written_after: String = redis.ask(&["HGET", "grant:203.0.113.9", "1"]).await;
    assert_eq!(written, written_after);
}

#[tokio::test]
async fn the_account_limit_stops_strangers_and_not_its_owner() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--limit-failed-logins-account", "5"]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    for attacker in 1..=5 {
        let peer = format!("192.0.2.{attacker}");
        assert_eq!(reason(auth.pop3("user@homepage.test", "guess", &peer).await), Reason::BadCredentials);
    }
    // Limit reached: nobody new may try, in no spelling, not even with the right password that was just seen.
    for (login, password) in [("user@homepage.test", "guess"), ("USER@homepage.test", "sesame-1")] {
        assert_eq!(reason(auth.pop3(login, password, "192.0.2.99").await), Reason::LoginThrottled);
    }
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    auth.pop3("second@homepage.test", "sesame-2", CAFE).await.unwrap();
    // After the window: as if nothing had been.
    let keys: Vec<String> = redis.ask(&["KEYS", "failed_account:*"]).await;
    let left: i64 = redis.ask(&["TTL", &keys[0]]).await;
    assert!((590..=600).contains(&left), "{left}");
    let _: i64 = redis.ask(&["DEL", &keys[0]]).await;
    auth.pop3("user@homepage.test", "sesame-1", "192.0.2.99").await.unwrap();
}

#[tokio::test]
async fn what_nobody_can_have_as_a_login_is_counted_by_itself() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--limit-failed-logins-account", "2"]).await;
    for peer in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(reason(auth.pop3("john.smith", "sesame-1", peer).await), Reason::BadCredentials);
    }
    assert_eq!(reason(auth.pop3("john.smith", "sesame-1", "192.0.2.3").await), Reason::LoginThrottled);
    // Who mistypes in another way is none of theirs.
    for (login, peer) in [("john smith", "192.0.2.4"), ("", "192.0.2.5")] {
        assert_eq!(reason(auth.pop3(login, "sesame-1", peer).await), Reason::BadCredentials, "{login:?}");
    }
}

#[tokio::test]
async fn an_owners_own_mistakes_count_for_them_alone_and_end_with_success() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--limit-failed-logins-account", "3"]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(reason(auth.pop3("user@homepage.test", "oops", HOME).await), Reason::BadCredentials);
        }
        auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(reason(auth.pop3("user@homepage.test", "oops", HOME).await), Reason::BadCredentials);
    }
    assert_eq!(reason(auth.pop3("user@homepage.test", "sesame-1", HOME).await), Reason::LoginThrottled);
    auth.pop3("user@homepage.test", "sesame-1", CAFE).await.unwrap();
}

#[tokio::test]
async fn the_network_limit_counts_a_whole_64_over_all_logins() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--limit-failed-logins-network", "3"]).await;
    for host in 1..=3 {
        let (login, peer) = (format!("guess{host}@homepage.test"), format!("2001:db8::{host}"));
        assert_eq!(reason(auth.pop3(&login, "x", &peer).await), Reason::BadCredentials);
    }
    let throttled = auth.pop3("user@homepage.test", "sesame-1", "2001:db8::ffff:1").await;
    assert_eq!(reason(throttled), Reason::LoginThrottled);
    auth.pop3("user@homepage.test", "sesame-1", "2001:db8:0:1::1").await.unwrap();
}

#[tokio::test]
async fn many_sessions_at_once_cannot_outrun_the_count() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--limit-failed-logins-account", "4"]).await;
    let attempts = (0..20).map(|n| {
        let auth = &auth;
        async move { reason(auth.pop3("user@homepage.test", "guess", &format!("192.0.2.{n}")).await) }
    });
    let answers = futures_util::future::join_all(attempts).await;
    assert_eq!(answers.iter().filter(|reason| **reason == Reason::BadCredentials).count(), 4, "{answers:?}");
    assert_eq!(answers.iter().filter(|reason| **reason == Reason::LoginThrottled).count(), 16);
}

#[tokio::test]
async fn who_hangs_up_is_counted_all_the_same() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    for _ in 0..3 {
        let attempt = auth.pop3("user@homepage.test", "guess", HOME);
        let _ = tokio::time::timeout(std::time::Duration::from_millis(30), attempt).await;
    }
    let begun = std::time::Instant::now();
    loop {
        let keys: Vec<String> = redis.ask(&["KEYS", "failed_account:*"]).await;
        let count: Option<i64> = match keys.first() {
            Some(key) => redis.ask(&["GET", key]).await,
            None => None,
        };
        if count == Some(3) {
            return;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{count:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
