//! How sessions end, and what becomes of the box then.

use super::{
    house::{House, LONG, RENEW_EVERY, letter},
    *,
};

#[tokio::test]
async fn p_11_who_goes_without_quit_deletes_nothing_and_frees_the_box() {
    let house = House::with(vec![letter("one")]);
    let mut client = house.log_in().await;
    client.transcript("C: DELE 1\nS: +OK*").await;
    assert!(house.delivery.is_locked());
    drop(client.stream);
    client.session.await.expect("no panic");
    assert!(!house.delivery.is_locked() && house.delivery.uids() == [10]);
}

#[tokio::test]
async fn p_09_silence_ends_a_session_without_a_word() {
    let times = Times { login: LONG, idle: Duration::from_millis(200), write: LONG };
    let house = House::with_times(vec![letter("one")], times);
    let mut client = house.log_in().await;
    client.transcript("C: DELE 1\nS: +OK*").await;
    let begin = Instant::now();
    client.closes().await;
    assert!(begin.elapsed() >= Duration::from_millis(150));
    assert!(!house.delivery.is_locked() && house.delivery.uids() == [10]);
}

#[tokio::test]
async fn p_10_a_login_must_come_in_time() {
    let times = Times { login: Duration::from_millis(300), idle: LONG, write: LONG };
    let house = House::with_times(Vec::new(), times);
    let mut client = house.connect();
    client.transcript("S: +OK*\nC: USER a\nS: +OK*").await;
    client.closes().await;
}

#[tokio::test]
async fn p_10_nor_does_one_wait_who_takes_no_replies() {
    let times = Times { login: Duration::from_millis(300), idle: LONG, write: LONG };
    let house = House::with_times(Vec::new(), times);
    let mut client = house.connect();
    // More than fits between us.
    client.send(&"CAPA\r\n".repeat(2000)).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), client.session);
    ended.await.expect("it waits for ever").expect("no panic");
}

#[tokio::test]
async fn p_80_the_last_word_is_said_however_long_the_session_was() {
    let times = Times { login: Duration::from_millis(300), idle: LONG, write: LONG };
    let house = House::with_times(vec![letter("one")], times);
    let mut client = house.log_in().await;
    let begin = Instant::now();
    while begin.elapsed() <= times.login {
        client.transcript("C: NOOP\nS: +OK*").await;
    }
    client.transcript("C: DELE 1\nS: +OK*\nC: QUIT\nS: +OK*").await;
    client.closes().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_and_its_box_freed() {
    let times = Times { login: LONG, idle: LONG, write: Duration::from_millis(200) };
    let house = House::with_times(vec![letter(&"x".repeat(1_000_000))], times);
    let mut client = house.log_in().await;
    client.send("RETR 1\r\n").await;
    client.session.await.expect("no panic");
    assert!(!house.delivery.is_locked());
}

#[tokio::test]
async fn p_83_a_lost_lock_deletes_nothing_and_ends_the_session() {
    let house = House::with(vec![letter("one")]);
    tokio::spawn(
        Arc::clone(&house.gateway.locks).keep(house.gateway.upstream.clone(), CancellationToken::new()),
    );
    let mut first = house.log_in().await;
    first.transcript("C: DELE 1\nS: +OK*").await;
    house.delivery.take_lock_away();
    first.transcript("C: QUIT\nS: -ERR [SYS/TEMP] some deleted messages not removed*").await;
    first.closes().await;
    assert_eq!(house.delivery.uids(), [10]);

    let second = house.log_in().await;
    house.delivery.take_lock_away();
    second.closes().await;
}

#[tokio::test]
async fn locks_are_renewed_in_one_call_while_the_session_lives() {
    let house = House::with(vec![letter("one")]);
    tokio::spawn(
        Arc::clone(&house.gateway.locks).keep(house.gateway.upstream.clone(), CancellationToken::new()),
    );
    let mut client = house.log_in().await;
    let renewals = || house.delivery.renewals.load(Ordering::Relaxed);
    while renewals() < 5 {
        client.transcript("C: NOOP\nS: +OK*").await;
    }
    client.transcript("C: QUIT\nS: +OK*").await;
    client.closes().await;
    let then = renewals();
    tokio::time::sleep(3 * RENEW_EVERY).await;
    assert!(renewals() <= then + 1, "nothing is held, nothing is asked");
}

/// Nobody says QUIT for a session that is dropped where it stands, within its login too.
#[tokio::test]
async fn wherever_a_session_breaks_off_its_box_is_freed() {
    let house = House::with(vec![letter("one")]);
    let client = house.log_in().await;
    assert!(house.delivery.is_locked());
    client.session.abort();
    until(|| !house.delivery.is_locked()).await;

    house.delivery.stalls.store(true, Ordering::Relaxed);
    let mut client = house.connect();
    client.transcript("S: +OK*\nC: USER user@homepage.test\nS: +OK*\nC: PASS secret").await;
    until(|| house.delivery.is_locked()).await;
    client.session.abort();
    until(|| !house.delivery.is_locked()).await;
    assert_eq!(client.line().await, "", "a box is open when all of its listing is here");
    house.delivery.stalls.store(false, Ordering::Relaxed);
    house.log_in().await.transcript("C: STAT\nS: +OK 1 *").await;
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("in time");
}

#[tokio::test]
async fn at_the_end_sessions_are_closed_and_boxes_freed() {
    let house = House::with(vec![letter("one")]);
    let mut open = house.log_in().await;
    open.transcript("C: DELE 1\nS: +OK*").await;
    let mut idle = house.connect();
    idle.transcript("S: +OK*").await;
    house.gateway.shutdown.trigger();
    idle.closes().await;
    open.transcript("C: NOOP\nS: +OK*").await;
    house.gateway.ended.cancel();
    open.closes().await;
    assert!(!house.delivery.is_locked() && house.delivery.uids() == [10]);
}
