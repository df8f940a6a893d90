//! What happens to content on its way to delivery.

use postern_mesh::memory::{Holder, MemoryBudget};
use proptest::prelude::*;

use super::*;

#[tokio::test]
async fn bad_content_is_refused_after_its_true_end_and_the_session_lives() {
    let house = TestHouse::new();
    let mut client = house.transcript(Door::Mx, START).await;
    for (content, reply) in [
        (&b"a\nb\r\n.\r\n"[..], "550 5.6.0"),
        (b"a\r\n.\nb\r\n.\r\n", "550 5.6.0"),
        (b"\0\r\n.\r\n", "550 5.6.0"),
        (b"good\r\n.\r\n", "250 2.0.0"),
    ] {
        client.write(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\nDATA\r\n").await;
        for expected in ["250", "250", "354"] {
            assert!(client.line().await.starts_with(expected));
        }
        client.write(content).await;
        let answer = client.line().await;
        assert!(answer.starts_with(reply), "{answer}");
    }
    assert_eq!(house.world.taken.lock().expect("lock").len(), 1);
}

/// `size` octets of lines.
fn body(size: usize) -> Vec<u8> {
    b"0123456789012345678901234567890123456789012345678901234567890123456789012345\r\n"
        .iter()
        .copied()
        .cycle()
        .take(size / 78 * 78)
        .collect()
}

async fn send(house: &TestHouse, content: &[u8]) -> String {
    let mut client = house.transcript(Door::Mx, START).await;
    client.write(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\nDATA\r\n").await;
    for expected in ["250", "250", "354"] {
        assert!(client.line().await.starts_with(expected));
    }
    client.write(content).await;
    client.write(b".\r\n").await;
    let answer = client.line().await;
    client.write(b"NOOP\r\n").await;
    assert!(client.line().await.starts_with("250"), "the session lives");
    answer
}

#[tokio::test]
async fn large_content_streams_in_bounded_frames() {
    let house = TestHouse::new();
    let content = body(3_000_000);
    assert!(send(&house, &content).await.starts_with("250 2.0.0"));
    let taken = house.world.taken.lock().expect("lock").clone();
    assert!(taken[0].content == content, "byte-exact");
    assert!(taken[0].frames > 20, "{} frames", taken[0].frames);
    assert_eq!(taken[0].answer_within_millis, 40_000);
}

#[tokio::test]
async fn s_51_too_large_is_read_to_its_end_and_dropped() {
    let mut house = TestHouse::new();
    house.gateway.data_limits.message_max_bytes = Some(500_000);
    assert!(send(&house, &body(2_000_000)).await.starts_with("552 5.3.4"));
    assert!(house.world.taken.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn delivery_that_breaks_or_refuses() {
    for size in [100, 2_000_000] {
        let house = TestHouse::new();
        for (says, reply) in [
            (Reason::MailLoop, "554 5.4.6"),
            (Reason::InsufficientStorage, "452 4.3.1"),
            (Reason::Unavailable, "451 4.3.0"),
            // Not delivery's to say: a gateway that gets it was misunderstood.
            (Reason::InvalidArgument, "451 4.3.0"),
            (Reason::TooManyErrors, "451 4.3.0"),
        ] {
            *house.world.delivery_says.lock().expect("lock") = Some(says);
            let answer = send(&house, &body(size)).await;
            assert!(answer.starts_with(reply), "{says:?} {size}: {answer}");
        }
        assert!(house.world.taken.lock().expect("lock").is_empty());
    }
    let house = TestHouse::new();
    house.world.delivery_breaks_after.store(200_000, Ordering::SeqCst);
    assert!(send(&house, &body(5_000_000)).await.starts_with("451 4.3.0"));
}

#[tokio::test]
async fn s_20_a_client_that_goes_away_before_the_dot_leaves_nothing() {
    for size in [100, 1_000_000] {
        let house = TestHouse::new();
        let mut client = house.transcript(Door::Mx, START).await;
        client.write(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\nDATA\r\n").await;
        for _ in 0..3 {
            client.line().await;
        }
        client.write(&body(size)).await;
        drop(client);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(house.world.taken.lock().expect("lock").is_empty());
    }
}

#[tokio::test]
async fn s_61_chunks_make_one_message_as_it_is() {
    let house = TestHouse::new();
    let mut client = house.transcript(Door::Mx, START).await;
    let begin = b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\n";
    // All in one write; a CRLF that is cut in two, a dot line that means nothing, an empty last chunk.
    client.write(begin).await;
    client.write(b"BDAT 5\r\na: b\rBDAT 12\r\n\n\r\n.\r\nBDAT\r\nBDAT 0 LAST\r\nNOOP\r\n").await;
    for expected in ["250", "250", "250 2.0.0 5 ", "250 2.0.0 12 ", "250 2.0.0 queued as ", "250"] {
        let line = client.line().await;
        assert!(line.starts_with(expected), "{expected}: {line}");
    }
    let taken = house.world.taken.lock().expect("lock").clone();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].content, b"a: b\r\n\r\n.\r\nBDAT\r\n");
}

#[tokio::test]
async fn s_61_octets_that_nobody_wants_are_no_commands() {
    let house = TestHouse::new();
    let mut client = house.transcript(Door::Mx, START).await;
    client.write(b"BDAT 7 LAST\r\nQUIT\r\nxNOOP\r\n").await;
    for expected in ["503 5.5.1", "250 2.0.0"] {
        assert!(client.line().await.starts_with(expected), "{expected}");
    }
}

#[tokio::test]
async fn s_62_a_chunk_cut_short_and_rset_leave_nothing() {
    let house = TestHouse::new();
    let begin = b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\nBDAT 3\r\na\r\n";
    let mut client = house.transcript(Door::Mx, START).await;
    client.write(begin).await;
    client.write(b"RSET\r\nMAIL FROM:<>\r\nRCPT TO:<user@homepage.test>\r\nBDAT 3 LAST\r\nb\r\n").await;
    for expected in ["250", "250", "250 2.0.0 3 ", "250", "250", "250", "250 2.0.0 queued"] {
        let line = client.line().await;
        assert!(line.starts_with(expected), "{expected}: {line}");
    }
    client.write(begin).await;
    client.write(b"BDAT 100 LAST\r\nonly this").await;
    drop(client);
    let mut client = house.transcript(Door::Mx, START).await;
    client.write(b"NOOP\r\n").await;
    assert!(client.line().await.starts_with("250"));
    let taken = house.world.taken.lock().expect("lock").clone();
    assert_eq!(taken.iter().map(|mail| mail.content.as_slice()).collect::<Vec<_>>(), [b"b\r\n"]);
}

#[tokio::test]
async fn s_62_what_follows_a_bdat_that_cannot_be_read_is_never_executed() {
    let house = TestHouse::new();
    let long = [b"BDAT ".as_slice(), &b"1".repeat(3000), b"\r\n"].concat();
    for line in [&b"BDAT 5\t\r\n"[..], b"bdat\t5 LAST\r\n", b"BDAT 5\xff\r\n", &long] {
        let mut client = house.transcript(Door::Mx, START).await;
        client.write(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\n").await;
        client.write(&[line, b"RSET\r\nNOOP\r\n"].concat()).await;
        for expected in ["250", "250", "501 5.5.4"] {
            let reply = client.line().await;
            assert!(reply.starts_with(expected), "{}: {reply}", line.escape_ascii());
        }
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn content_that_finds_no_memory_is_put_off_and_customers_find_some() {
    let house = TestHouse::new();
    let mut others = house.gateway.content_memory.share(Holder { stranger: true, client: None });
    others.hold(3 << 20).expect("all that strangers may hold");
    for size in [100, 2_000_000] {
        assert!(send(&house, &body(size)).await.starts_with("452 4.3.1"), "{size}");
    }
    assert!(house.world.taken.lock().expect("lock").is_empty());
    house.world.granted.store(true, Ordering::SeqCst);
    let text =
        script("C: MAIL FROM:<u@homepage.test>\nS: 250\nC: RCPT TO:<x@far.test>\nS: 250\nC: DATA\nS: 354");
    let mut customer = house.transcript(Door::Submission, &text).await;
    customer.write(&[&body(2_000_000)[..], b".\r\n"].concat()).await;
    assert!(customer.line().await.starts_with("250 2.0.0"));
    drop(others);
    assert!(send(&house, &body(2_000_000)).await.starts_with("250 2.0.0"));
    assert_eq!(house.gateway.content_memory.held_bytes(), 0);
}

#[tokio::test]
async fn recipients_without_end_find_no_memory_and_those_before_them_are_kept() {
    let mut house = TestHouse::new();
    house.gateway.content_memory = MemoryBudget::new(64 * 1024, 0);
    house.world.granted.store(true, Ordering::SeqCst);
    let mut client = house.transcript(Door::Mx, &script("C: MAIL FROM:<u@homepage.test>\nS: 250")).await;
    let mut heard = Vec::new();
    for number in 0..200 {
        client.write(format!("RCPT TO:<{number:064}@far.test>\r\n").as_bytes()).await;
        heard.push(client.line().await);
    }
    let taken = heard.iter().take_while(|reply| reply.starts_with("250")).count();
    assert!((20..150).contains(&taken), "{taken}");
    assert!(heard[taken..].iter().all(|reply| reply.starts_with("452 4.3.1")), "{:?}", heard.last());
    client.write(b"DATA\r\n").await;
    assert!(client.line().await.starts_with("354"));
    client.write(b"x\r\n.\r\n").await;
    assert!(client.line().await.starts_with("250 2.0.0"));
    assert_eq!(house.world.taken.lock().expect("lock")[0].envelope.recipients.len(), taken);
    assert_eq!(house.gateway.content_memory.held_bytes(), 0);
}

/// Whoever brings a message of which little comes does not keep others out.
#[tokio::test]
async fn who_drips_gives_way_to_who_does_not_and_hears_it_at_the_end() {
    tokio::join!(gives_way("DATA", ".\r\n"), gives_way("BDAT 1950", "BDAT 0 LAST\r\n"));
}

async fn gives_way(command: &str, end: &str) {
    let house = TestHouse::new();
    let mut slow = house.transcript(Door::Mx, START).await;
    slow.write(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\n").await;
    slow.write(format!("{command}\r\n").as_bytes()).await;
    for _ in 0..if command == "DATA" { 3 } else { 2 } {
        slow.line().await;
    }
    slow.write(&body(1950)).await;
    let memory = &house.gateway.content_memory;
    until(|| memory.held_bytes() > 1900).await;
    if command != "DATA" {
        assert!(slow.line().await.starts_with("250 2.0.0 1950 "));
    }
    let mut others = memory.share(Holder { stranger: true, client: None });
    let made_room = async {
        // Nobody gives way before its time.
        let bytes = (3 << 20) - memory.held_bytes() + 1;
        while others.hold(bytes).is_err() {
            others.came(1 << 30);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(40), made_room).await.expect("it gives way");
    slow.write(end.as_bytes()).await;
    assert!(slow.line().await.starts_with("452 4.3.1"), "{command}");
    slow.write(b"NOOP\r\n").await;
    assert!(slow.line().await.starts_with("250"), "the session lives");
    assert!(house.world.taken.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn what_unfinished_content_holds_is_counted_and_given_back() {
    let house = TestHouse::new();
    let memory = &house.gateway.content_memory;
    let begin = b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\n";
    for (command, replies) in [(&b"DATA\r\n"[..], 3), (b"BDAT 100000\r\n", 2)] {
        let mut client = house.transcript(Door::Mx, START).await;
        client.write(&[&begin[..], command].concat()).await;
        for _ in 0..replies {
            client.line().await;
        }
        client.write(&body(60_000)).await;
        until(|| memory.held_bytes() >= 59_000).await;
        // What would be a frame is sent, and held no more.
        client.write(&body(10_000)).await;
        until(|| memory.held_bytes() == 0).await;
        client.write(&body(1000)).await;
        until(|| memory.held_bytes() > 0).await;
        drop(client);
        until(|| memory.held_bytes() == 0).await;
    }
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
async fn chunks_with_other_commands_between_them_have_a_pace_too() {
    let mut house = TestHouse::new();
    house.gateway.slowest = Slowest { bytes_per_second: 500, window: Duration::from_secs(1) };
    let mut client = house.transcript(Door::Mx, START).await;
    client.write(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\n").await;
    for _ in 0..2 {
        client.line().await;
    }
    let dripping = async {
        loop {
            client.write(b"BDAT 1\r\nx").await;
            let reply = client.line().await;
            if !reply.starts_with("250") {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            client.write(b"NOOP\r\n").await;
            let reply = client.line().await;
            if !reply.starts_with("250") {
                return reply;
            }
        }
    };
    let reply = tokio::time::timeout(Duration::from_secs(20), dripping).await.expect("it goes on for ever");
    assert!(reply.starts_with("421 4.4.2"), "{reply}");
    assert_eq!(house.gateway.content_memory.held_bytes(), 0);
}

#[tokio::test]
async fn large_chunks_stream_in_bounded_frames() {
    let house = TestHouse::new();
    let content = body(3_000_000);
    let mut client = house.transcript(Door::Mx, START).await;
    client.write(b"MAIL FROM:<a@far.test>\r\nRCPT TO:<user@homepage.test>\r\n").await;
    client.write(format!("BDAT {} LAST\r\n", content.len()).as_bytes()).await;
    client.write(&content).await;
    for expected in ["250", "250", "250 2.0.0 queued"] {
        assert!(client.line().await.starts_with(expected));
    }
    let taken = house.world.taken.lock().expect("lock").clone();
    assert!(taken[0].content == content, "byte-exact");
    assert!(taken[0].frames > 20, "{} frames", taken[0].frames);
}

#[test]
fn s_63_the_same_message_is_taken_alike_by_either_way() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let house = runtime.block_on(async { TestHouse::new() });
    let part = prop::sample::select(vec![
        "a",
        "From: a",
        ".",
        "..",
        "\r\n",
        "\r\n.\r\nQUIT\r\n",
        "\r",
        "\n",
        "\0",
        "\u{fc}",
    ]);
    let parts = prop::collection::vec(part, 0..20);
    proptest!(ProptestConfig::with_cases(64), |(parts in parts, cut in 1usize..100)| {
        let content = [parts.concat().as_bytes(), b"\r\n"].concat();
        // Dots are doubled where a line begins, and nothing else is.
        let stuffed = format!("\r\n{}", String::from_utf8_lossy(&content)).replace("\r\n.", "\r\n..");
        let after_data = [b"DATA\r\n".to_vec(), [&stuffed.as_bytes()[2..], b".\r\n"].concat()];
        let (first, last) = content.split_at(cut.min(content.len()));
        let in_chunks = [
            [format!("BDAT {}\r\n", first.len()).as_bytes(), first].concat(),
            [format!("BDAT {} LAST\r\n", last.len()).as_bytes(), last].concat(),
        ];
        runtime.block_on(async {
            let answers = (taken(&house, &after_data).await, taken(&house, &in_chunks).await);
            assert_eq!(answers.0, answers.1, "{content:?}");
            assert!(answers.0.1.is_none_or(|taken| taken == content), "byte-exact: {content:?}");
        });
    });
}

/// The last word on a message whose content is said so, up to its first refusal, and what delivery took.
async fn taken(house: &TestHouse, writes: &[Vec<u8>]) -> (String, Option<Vec<u8>>) {
    house.world.taken.lock().expect("lock").clear();
    let mut client = house.transcript(Door::Mx, START).await;
    let begin = b"MAIL FROM:<a@far.test>\r\n".to_vec();
    let mut word = String::new();
    for write in [begin, b"RCPT TO:<user@homepage.test>\r\n".to_vec()].iter().chain(writes) {
        client.write(write).await;
        word = client.line().await;
        if word.starts_with('5') {
            break;
        }
    }
    let code = word.get(..9).unwrap_or_default().to_owned();
    let taken = house.world.taken.lock().expect("lock").first().map(|mail| mail.content.clone());
    (code, taken)
}
