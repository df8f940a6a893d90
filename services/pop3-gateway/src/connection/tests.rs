//! Whole sessions over a pipe, with auth and delivery played by fakes behind real generated clients and servers.

mod ends;
mod fakes;
mod house;
mod retrieval;

use std::sync::atomic::Ordering;

use tokio::io::duplex;

use super::*;
use house::{House, letter};

#[tokio::test]
async fn a_whole_session() {
    let house = House::with(vec![letter("one"), letter(".dot\r\n..\r\nend"), letter("three")]);
    let mut client = house.connect();
    client
        .transcript(
            "S: +OK POP3 ready
             C: CAPA
             S: +OK capability list follows
             S: TOP
             S: UIDL
             S: RESP-CODES
             S: AUTH-RESP-CODE
             S: PIPELINING
             S: EXPIRE NEVER
             S: UTF8
             S: USER
             S: SASL PLAIN LOGIN
             S: IMPLEMENTATION Postern
             S: .
             C: USER user@homepage.test
             S: +OK send PASS
             C: PASS wrong
             S: -ERR [AUTH] login or password is wrong
             C: USER user@homepage.test
             S: +OK send PASS
             C: PASS secret
             S: +OK 3 messages, 69 octets
             C: STAT
             S: +OK 3 69
             C: LIST
             S: +OK 3 messages (69 octets)
             S: 1 19
             S: 2 29
             S: 3 21
             S: .
             C: UIDL 3
             S: +OK 3 u.5
             C: RETR 2
             S: +OK 29 octets
             S: Subject: x
             S: 
             S: ..dot
             S: ...
             S: end
             S: .
             C: TOP 2 1
             S: +OK top of message follows
             S: Subject: x
             S: 
             S: ..dot
             S: .
             C: DELE 2
             S: +OK*
             C: RETR 2
             S: -ERR this message is gone*
             C: RETR 3
             S: +OK 21 octets
             S: Subject: x
             S: 
             S: three
             S: .
             C: QUIT
             S: +OK goodbye, 1 messages removed",
        )
        .await;
    client.closes().await;
    assert_eq!(house.delivery.uids(), [10, 30]);
    assert!(!house.delivery.is_locked());
}

#[tokio::test]
async fn p_26_auth_plain_logs_in() {
    let house = House::with(Vec::new());
    let mut client = house.connect();
    // base64 of NUL user@homepage.test NUL secret
    client
        .transcript(
            "S: +OK*
             C: AUTH PLAIN
             S: + 
             C: AHVzZXJAaG9tZXBhZ2UudGVzdABzZWNyZXQ=
             S: +OK 0 messages, 0 octets
             C: QUIT
             S: +OK*",
        )
        .await;
    client.closes().await;
}

#[tokio::test]
async fn p_101_delivery_is_told_whether_utf_8_was_asked_for() {
    let house = House::with(vec![letter("one"), letter("two")]);
    for (asks, line) in [(true, "C: UTF8\nS: +OK*\n"), (false, "")] {
        let mut client = house.connect();
        let text = format!(
            "S: +OK*\n{line}C: USER user@homepage.test\nS: +OK*\nC: PASS secret\nS: +OK*\nC: RETR 1\nS: +OK*"
        );
        client.transcript(&text).await;
        assert!(client.content().await.is_some());
        client.transcript("C: QUIT\nS: +OK*").await;
        client.closes().await;
        let asked = house.delivery.asked_for_utf8();
        assert_eq!(asked[asked.len() - 2..], [asks, asks], "the listing and the message");
    }
}

#[tokio::test]
async fn p_40_who_holds_the_box_is_told() {
    let house = House::with(vec![letter("one")]);
    let mut first = house.log_in().await;
    let mut second = house.connect();
    second
        .transcript(
            "S: +OK*
             C: USER user@homepage.test
             S: +OK*
             C: PASS secret
             S: -ERR [IN-USE] can't lock account: in use since 12:03 from 203.0.113.9; it frees itself within 60 s of that session ending
             C: USER user@homepage.test
             S: +OK*
             C: PASS wrong
             S: -ERR [AUTH]*",
        )
        .await;
    first.transcript("C: STAT\nS: +OK 1*\nC: QUIT\nS: +OK*").await;
    second.transcript("C: USER user@homepage.test\nS: +OK*\nC: PASS secret\nS: +OK*").await;
}

#[tokio::test]
async fn p_42_parts_that_are_away_are_temporary() {
    let house = House::with(vec![letter("one")]);
    let mut client = house.connect();
    house.auth.away.store(true, Ordering::Relaxed);
    client.transcript("S: +OK*\nC: USER u\nS: +OK*\nC: PASS secret\nS: -ERR [SYS/TEMP]*").await;
    house.auth.away.store(false, Ordering::Relaxed);
    house.delivery.away.store(true, Ordering::Relaxed);
    client.transcript("C: USER u\nS: +OK*\nC: PASS secret\nS: -ERR [SYS/TEMP]*").await;
    house.delivery.away.store(false, Ordering::Relaxed);
    client.transcript("C: USER u\nS: +OK*\nC: PASS secret\nS: +OK*\nC: DELE 1\nS: +OK*").await;
    house.delivery.away.store(true, Ordering::Relaxed);
    client
        .transcript(
            "C: STAT
             S: +OK 0 0
             C: RSET
             S: +OK*
             C: RETR 1
             S: -ERR [SYS/TEMP]*
             C: DELE 1
             S: +OK*
             C: QUIT
             S: -ERR [SYS/TEMP] some deleted messages not removed",
        )
        .await;
    client.closes().await;
    assert_eq!(house.delivery.uids(), [10]);
}

#[tokio::test]
async fn p_04_p_05_hostile_lines() {
    let house = House::with(Vec::new());
    let mut client = house.log_in().await;
    client.send(&format!("NOOP {}QUIT\r\nNOOP\r\n", "x".repeat(500))).await;
    client.transcript("S: -ERR line too long\nS: +OK*").await;
    let (mut reading, mut writing) = tokio::io::split(client.stream.into_inner());
    let flood = tokio::spawn(async move { while writing.write_all(&[b'x'; 4096]).await.is_ok() {} });
    let mut said = String::new();
    reading.read_to_string(&mut said).await.expect("the end");
    assert_eq!(said, "-ERR line too long\r\n", "one answer, however long it went on");
    drop(reading);
    flood.await.expect("no panic");
    client.session.await.expect("no panic");
    assert!(!house.delivery.is_locked());
}

#[tokio::test]
async fn an_idle_session_is_small() {
    let house = House::with(Vec::new());
    let (_client, server) = duplex(64);
    let peer = PeerIp::new([127, 0, 0, 1].into());
    let session = serve(Arc::clone(&house.gateway), server, Door::Pop3, None, peer, house.place(peer));
    let octets = std::mem::size_of_val(&session);
    assert!(octets <= 4096, "{octets} octets for each session that waits");
}
