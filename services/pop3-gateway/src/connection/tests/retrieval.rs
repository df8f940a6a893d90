//! Messages on their way: asked ahead, damaged, broken off, and to who reads slowly.

use super::{
    house::{House, letter},
    *,
};

#[tokio::test]
async fn p_73_pipelined_commands_are_answered_in_order_and_asked_ahead() {
    let house = House::with((0..1000).map(|n| letter(&format!("{n:05}{}", "x".repeat(1000)))).collect());
    let mut client = house.log_in().await;
    let mut commands = String::from("STAT\r\n");
    for number in 1..=1000 {
        commands.push_str(&format!("RETR {number}\r\nDELE {number}\r\n"));
    }
    commands.push_str("QUIT\r\n");
    let (mut reading, mut writing) = tokio::io::split(client.stream.into_inner());
    let sent = tokio::spawn(async move {
        writing.write_all(commands.as_bytes()).await.expect("the session reads");
        writing
    });
    let mut all = Vec::new();
    reading.read_to_end(&mut all).await.expect("replies");
    let all = String::from_utf8(all).expect("ASCII");
    let mut rest = &all[..];
    for number in 0..1000 {
        let at = rest.find(&format!("{number:05}x")).expect("in order");
        rest = &rest[at..];
    }
    assert!(all.starts_with("+OK 1000 ") && all.ends_with("+OK goodbye, 1000 messages removed\r\n"));
    drop(sent.await.expect("no panic"));
    client.session = tokio::spawn(async {});
    assert!(house.delivery.uids().is_empty());
    let calls = house.delivery.reads();
    assert!(calls.iter().all(|uids| uids.len() * 1021 <= 256 * 1024), "within 256 KiB of read-ahead");
    assert!(calls.len() < 100, "{} calls for 1000 messages", calls.len());
}

#[tokio::test]
async fn one_after_the_other_is_read_ahead_and_only_what_was_taken_is_told() {
    let house = House::with((0..40).map(|n| letter(&format!("{n:05}"))).collect());
    let mut client = house.log_in().await;
    for number in 1..=20 {
        client.send(&format!("RETR {number}\r\n")).await;
        assert!(client.line().await.starts_with("+OK"));
        assert_eq!(client.content().await, Some(letter(&format!("{:05}", number - 1))));
        client.transcript(&format!("C: DELE {number}\nS: +OK*")).await;
    }
    client.transcript("C: QUIT\nS: +OK*").await;
    client.closes().await;
    let taken: Vec<u64> = (1..=20).map(|n| n * 10).collect();
    assert_eq!(house.delivery.retrieved(), taken);
    let calls: Vec<usize> = house.delivery.reads().iter().map(Vec::len).collect();
    assert_eq!(calls, [5, 17], "calls, by messages");

    let mut other = house.log_in().await;
    for number in [7, 3] {
        other.send(&format!("RETR {number}\r\n")).await;
        assert!(other.line().await.starts_with("+OK"));
        assert!(other.content().await.is_some());
    }
    drop(other.stream);
    other.session.await.expect("no panic");
    let calls: Vec<usize> = house.delivery.reads().iter().skip(2).map(Vec::len).collect();
    assert_eq!(calls, [1, 1], "nothing is guessed of who takes what they want");
    assert_eq!(house.delivery.retrieved()[20..], [270, 230]);
}

#[tokio::test]
async fn large_messages_are_read_ahead_within_bounds() {
    let house = House::with((0..10).map(|_| letter(&"x".repeat(100_000))).collect());
    let mut client = house.log_in().await;
    for number in 1..=10 {
        client.send(&format!("RETR {number}\r\n")).await;
        assert!(client.line().await.starts_with("+OK"));
        assert_eq!(client.content().await, Some(letter(&"x".repeat(100_000))));
    }
    assert!(house.delivery.reads().iter().all(|uids| uids.len() <= 2), "{:?}", house.delivery.reads());
}

#[tokio::test]
async fn p_45_a_damaged_message_harms_only_itself() {
    let house = House::with(vec![letter("one"), letter("two"), letter("three")]);
    house.delivery.damage(20, 0);
    let mut client = house.log_in().await;
    client.send("RETR 1\r\nRETR 2\r\nRETR 3\r\n").await;
    assert!(client.line().await.starts_with("+OK"));
    assert_eq!(client.content().await, Some(letter("one")));
    assert!(client.line().await.starts_with("-ERR [SYS/PERM] this message is damaged"));
    assert!(client.line().await.starts_with("+OK"));
    assert_eq!(client.content().await, Some(letter("three")));
    client.transcript("C: NOOP\nS: +OK*").await;
}

#[tokio::test]
async fn p_45_damage_found_at_the_end_of_a_small_message_is_told_too() {
    let house = House::with(vec![letter(&"x".repeat(30_000))]);
    house.delivery.damage(10, 20_000);
    let mut client = house.log_in().await;
    client.transcript("C: RETR 1\nS: -ERR [SYS/PERM]*\nC: NOOP\nS: +OK*").await;
}

#[tokio::test]
async fn p_46_a_message_that_breaks_off_has_no_final_dot() {
    let house = House::with(vec![letter(&"x\r\n".repeat(100_000))]);
    house.delivery.damage(10, 200_000);
    let mut client = house.log_in().await;
    client.send("RETR 1\r\nNOOP\r\n").await;
    assert!(client.line().await.starts_with("+OK"));
    assert_eq!(client.content().await, None);
    client.session.await.expect("no panic");
    assert!(!house.delivery.is_locked() && house.delivery.uids() == [10]);
}

#[tokio::test]
async fn p_66_top_of_a_large_message_reads_little_of_it() {
    let house = House::with(vec![letter(&"x\r\n".repeat(5_000_000)), letter("two")]);
    let mut client = house.log_in().await;
    client.send("TOP 1 2\r\nRETR 2\r\n").await;
    client.transcript("S: +OK*\nS: Subject: x\nS: \nS: x\nS: x\nS: .").await;
    assert!(client.line().await.starts_with("+OK"));
    assert_eq!(client.content().await, Some(letter("two")));
    let produced = house.delivery.produced.load(Ordering::Relaxed);
    assert!(produced < 2_000_000, "{produced} of 15,000,000 octets");
}

#[tokio::test]
async fn a_slow_reader_of_50_mb_costs_little_memory() {
    let house = House::with(vec![letter(&".2345678\r\n".repeat(5_000_000))]);
    let mut client = house.log_in().await;
    client.send("RETR 1\r\n").await;
    assert!(client.line().await.starts_with("+OK"));
    let mut taken = 0u64;
    let mut piece = vec![0; 100_000];
    let mut most = 0;
    for _ in 0..200 {
        client.stream.read_exact(&mut piece).await.expect("content");
        taken += piece.len() as u64;
        most = most.max(house.delivery.produced.load(Ordering::Relaxed).saturating_sub(taken));
    }
    assert!(most < 2_000_000, "{most} octets ahead of the client");
}
