//! How sessions end that did not say QUIT: rights that die, silence, the end of the process.

use super::*;

#[tokio::test]
async fn a_revoked_right_cuts_the_session_at_once() {
    let house = TestHouse::new();
    house.world.granted.store(true, Ordering::SeqCst);
    // The watch of the gateway must stand before anything is told.
    while house.revoke.receiver_count() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let text = script("C: MAIL FROM:<u@homepage.test>\nS: 250\nC: RCPT TO:<x@far.test>\nS: 250");
    let mut idle = house.transcript(Door::Mx, &text).await;
    let mut in_data = house.transcript(Door::Mx, &format!("{text}\nC: DATA\nS: 354")).await;
    in_data.write(b"half a message").await;
    let mut stranger = house.transcript(Door::Mx, START).await;
    house.revoke.send(auth::Revocation { client: String::new(), mailbox_id: 8 }).expect("heard");
    house.revoke.send(auth::Revocation { client: "203.0.113.9".into(), mailbox_id: 7 }).expect("heard");
    for client in [&mut idle, &mut in_data] {
        assert_eq!(client.line().await, "421 4.7.0 disconnected by administrator");
        assert_eq!(client.rest().await, "");
    }
    stranger.write(b"NOOP\r\n").await;
    assert!(stranger.line().await.starts_with("250"));
    assert!(house.world.taken.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn s_28_shutdown_lets_a_message_finish() {
    let house = TestHouse::new();
    let mut idle = house.transcript(Door::Mx, START).await;
    let mut busy = house.transcript(Door::Mx, START).await;
    busy.write(b"MAIL FROM:<>\r\nRCPT TO:<user@homepage.test>\r\nDATA\r\n").await;
    for _ in 0..3 {
        busy.line().await;
    }
    house.gateway.shutdown.trigger();
    assert!(idle.line().await.starts_with("421 4.3.2"));
    assert_eq!(idle.rest().await, "");
    busy.write(b"x\r\n.\r\n").await;
    assert!(busy.line().await.starts_with("250 2.0.0 queued"));
    assert!(busy.line().await.starts_with("421 4.3.2"));
}

#[tokio::test]
async fn s_28_silence_ends_a_session() {
    let mut house = TestHouse::new();
    house.gateway.idle = Duration::from_millis(50);
    let mut client = house.transcript(Door::Mx, START).await;
    assert!(client.line().await.starts_with("421 4.4.2"));
    let mut client = house.transcript(Door::Mx, START).await;
    client.write(b"MAIL FROM:<>\r\nRCPT TO:<user@homepage.test>\r\nDATA\r\n").await;
    for _ in 0..3 {
        client.line().await;
    }
    client.write(b"half a message").await;
    assert!(client.line().await.starts_with("421 4.4.2"));
}

#[tokio::test]
async fn s_28_content_that_is_not_complete_shortly_before_the_end_gets_421() {
    let house = TestHouse::new();
    let begin = b"MAIL FROM:<>\r\nRCPT TO:<user@homepage.test>\r\n";
    let mut in_data = house.transcript(Door::Mx, START).await;
    in_data.write(&[&begin[..], b"DATA\r\n"].concat()).await;
    let mut in_chunk = house.transcript(Door::Mx, START).await;
    in_chunk.write(&[&begin[..], b"BDAT 100000\r\n"].concat()).await;
    for (client, replies) in [(&mut in_data, 3), (&mut in_chunk, 2)] {
        for _ in 0..replies {
            client.line().await;
        }
        client.write(b"half a message").await;
    }
    house.gateway.shutdown.trigger();
    house.gateway.content_end.cancel();
    for client in [&mut in_data, &mut in_chunk] {
        assert!(client.line().await.starts_with("421 4.3.2"));
        assert_eq!(client.rest().await, "");
    }
    assert!(house.world.taken.lock().expect("lock").is_empty());
}

#[tokio::test]
async fn s_28_a_command_that_drips_ends_a_session() {
    let mut house = TestHouse::new();
    house.gateway.idle = Duration::from_millis(200);
    // Within a command, within one that is too long already, and within AUTH.
    for (begin, replies) in [("", 0), ("x", 0), ("AUTH LOGIN\r\n", 1)] {
        let mut client = house.transcript(Door::Submission, START).await;
        let begin = if begin == "x" { "x".repeat(3000) } else { begin.to_owned() };
        client.write(begin.as_bytes()).await;
        for _ in 0..replies {
            client.line().await;
        }
        let dripping = async {
            loop {
                client.write(b"N").await;
                let reply = tokio::time::timeout(Duration::from_millis(20), client.line());
                if let Ok(reply) = reply.await {
                    return reply;
                }
            }
        };
        let reply = tokio::time::timeout(Duration::from_secs(20), dripping).await.expect("it waits for ever");
        assert!(reply.starts_with("421 4.4.2"), "{reply}");
    }
}
