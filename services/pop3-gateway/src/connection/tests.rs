//! Whole sessions over a pipe, with auth and delivery played by fakes behind real generated clients and servers.

mod fakes;

use std::{sync::atomic::Ordering, time::Duration};

use postern_mesh::{
    admission::Admission, client::MeshChannel, identity::MeshKey, settings::MeshSettings, settings::from_env,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, duplex},
    task::JoinHandle,
};

use super::*;
use crate::upstream::Upstreams;
use fakes::{Auth, Delivery};

/// Injected instead of 20 s.
const RENEW_EVERY: Duration = Duration::from_millis(50);
/// Injected instead of what is never reached in a test.
const LONG: Duration = Duration::from_secs(3600);

struct House {
    gateway: Arc<Gateway>,
    delivery: Delivery,
    auth: Auth,
}

impl House {
    fn with(messages: Vec<Vec<u8>>) -> Self {
        Self::with_times(messages, Times::of(&from_env().expect("defaults")))
    }

    fn with_times(messages: Vec<Vec<u8>>, times: Times) -> Self {
        let mesh = MeshSettings::with_key(MeshKey::random());
        let (auth, delivery) = (Auth::default(), Delivery::with(messages));
        let upstreams = Upstreams {
            auth: MeshChannel::local(auth.routes(), "pop3-gateway", &mesh),
            delivery: MeshChannel::local(delivery.routes(), "pop3-gateway", &mesh),
        };
        let shutdown = Shutdown::new();
        let gateway = Arc::new(Gateway {
            settings: from_env().expect("defaults"),
            times,
            upstream: Upstream::new(upstreams, "test".to_owned(), &shutdown),
            locks: Arc::new(Locks::every(RENEW_EVERY, RENEW_EVERY)),
            shutdown,
            ended: CancellationToken::new(),
        });
        Self { gateway, delivery, auth }
    }

    fn connect(&self) -> Client {
        let (client, server) = duplex(64 * 1024);
        let peer = PeerIp::new([127, 0, 0, 1].into());
        let place = self.place(peer);
        let session = tokio::spawn(serve(Arc::clone(&self.gateway), server, Door::Pop3, None, peer, place));
        Client { stream: BufReader::new(client), session }
    }

    fn place(&self, peer: PeerIp) -> Place {
        Admission::new(self.gateway.settings.admission.clone()).admit(peer).expect("a place")
    }

    async fn log_in(&self) -> Client {
        let mut client = self.connect();
        client.transcript("S: +OK*\nC: USER user@homepage.test\nS: +OK*\nC: PASS secret\nS: +OK*").await;
        client
    }
}

struct Client {
    stream: BufReader<DuplexStream>,
    session: JoinHandle<()>,
}

impl Client {
    async fn send(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.expect("the session reads");
    }

    /// A line with its end; empty at the end of the connection.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await.expect("a line");
        String::from_utf8_lossy(&line).into_owned()
    }

    /// A multi-line answer behind its first line, unstuffed; `None` when the connection ends first.
    async fn content(&mut self) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        loop {
            let mut line = Vec::new();
            self.stream.read_until(b'\n', &mut line).await.expect("a line");
            match &line[..] {
                b"" => return None,
                b".\r\n" => return Some(content),
                [b'.', rest @ ..] => content.extend_from_slice(rest),
                line => content.extend_from_slice(line),
            }
        }
    }

    /// `C:` lines are sent, `S:` lines must come; a `*` at the end stands for anything.
    async fn transcript(&mut self, script: &str) {
        for step in script.lines() {
            let step = step.trim_start();
            if let Some(text) = step.strip_prefix("C: ") {
                self.send(&format!("{text}\r\n")).await;
            } else if let Some(expected) = step.strip_prefix("S: ") {
                let line = self.line().await;
                match expected.strip_suffix('*') {
                    Some(begin) => {
                        assert!(line.starts_with(begin) && line.ends_with("\r\n"), "{step}\ngot {line:?}")
                    }
                    None => assert_eq!(line, format!("{expected}\r\n")),
                }
            } else {
                panic!("neither C: nor S: in {step:?}");
            }
        }
    }

    /// The server closes without another word.
    async fn closes(mut self) {
        assert_eq!(self.line().await, "");
        self.session.await.expect("no panic");
    }
}

fn letter(body: &str) -> Vec<u8> {
    format!("Subject: x\r\n\r\n{body}\r\n").into_bytes()
}

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
async fn a_client_that_takes_nothing_is_cut_and_its_box_freed() {
    let times = Times { login: LONG, idle: LONG, write: Duration::from_millis(200) };
    let house = House::with_times(vec![letter(&"x".repeat(1_000_000))], times);
    let mut client = house.log_in().await;
    client.send("RETR 1\r\n").await;
    client.session.await.expect("no panic");
    assert!(!house.delivery.is_locked());
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
