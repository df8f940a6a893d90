//! Reading: the right octets in the right order, and a bad message that harms only itself.

use postern_delivery::{
    lock::Asked,
    maildrop::{Form, Frame},
    vault::Scope,
};
use postern_mail::Reason;
use tokio::sync::mpsc;

use crate::house::{House, blob_unit, files, holder, new_box, unit};

/// What each of the messages asked for came to: its octets, or the octets before it failed and why.
async fn read(house: &House, mailbox: i64, uids: &[i64]) -> Vec<Result<Vec<u8>, (Vec<u8>, Reason)>> {
    read_as(house, mailbox, uids, Form::Stored).await
}

async fn read_as(
    house: &House,
    mailbox: i64,
    uids: &[i64],
    form: Form,
) -> Vec<Result<Vec<u8>, (Vec<u8>, Reason)>> {
    let (frames, mut taken) = mpsc::channel(2);
    let (reader, asked) = (house.maildrops.reader(mailbox, form), uids.to_vec());
    let reading = tokio::spawn(async move { reader.run(&asked, &frames).await });
    let mut messages = Vec::new();
    let (mut size, mut octets) = (None, Vec::new());
    while let Some((index, frame)) = taken.recv().await {
        assert_eq!(index as usize, messages.len());
        match frame {
            Frame::Size(bytes) => size = Some(bytes),
            Frame::Content(content) => {
                assert!(size.is_some() && content.len() <= 128 * 1024 && !content.is_empty());
                octets.extend_from_slice(&content);
            }
            Frame::End => {
                assert_eq!(size.take(), Some(octets.len() as u64));
                messages.push(Ok(std::mem::take(&mut octets)));
            }
            Frame::Failure(reason) => {
                size = None;
                messages.push(Err((std::mem::take(&mut octets), reason)));
            }
        }
    }
    reading.await.expect("read");
    messages
}

fn wire(mailbox: i64, content: &[u8]) -> Vec<u8> {
    let front = format!(
        "Return-Path: <sender@remote.test>\r\nDelivered-To: box{mailbox}@local.test\r\nReceived: from test\r\n"
    );
    [front.as_bytes(), content].concat()
}

#[tokio::test]
async fn p_63_messages_come_out_as_they_went_in() {
    let house = House::new().await;
    let mailbox = new_box();
    let contents: Vec<Vec<u8>> = [0, 5, 1000, 70_000, 300_000, 9, 200_000, 131_072, 1]
        .into_iter()
        .map(|size| (0..size).map(|n| (n % 251) as u8).collect())
        .collect();
    for (position, content) in contents.iter().enumerate() {
        let unit = if position % 2 == 0 {
            unit(content, &[mailbox])
        } else {
            blob_unit(&house.blobs, content, &[mailbox]).await
        };
        house.commit(unit).await;
    }
    let uids = house.uids(mailbox).await;
    let expected: Vec<_> = contents.iter().map(|content| Ok(wire(mailbox, content))).collect();
    assert!(read(&house, mailbox, &uids).await == expected);
    // In the order asked for, one of them twice.
    let asked = [uids[3], uids[0], uids[3]];
    let again = [expected[3].clone(), expected[0].clone(), expected[3].clone()];
    assert!(read(&house, mailbox, &asked).await == again);
    assert!(read(&house, mailbox, &uids[..1]).await == expected[..1]);
}

#[tokio::test]
async fn p_101_p_62_both_forms_have_the_sizes_that_are_listed() {
    let house = House::new().await;
    let mailbox = new_box();
    let letter =
        |body: &str| format!("Subject: Gr\u{fc}\u{df}e\r\nX: \u{fc}\r\n\r\n{body}\u{fc}\r\n").into_bytes();
    let (small, large) = (letter("small"), letter(&"large ".repeat(60_000)));
    // The subject is 17 octets longer, and X goes with its 7; our own Received has 21.
    let grown = |content: &[u8]| Some(21 + content.len() as u64 + 17 - 7);
    let mut units = vec![unit(&small, &[mailbox]), blob_unit(&house.blobs, &large, &[mailbox]).await];
    for (unit, content) in units.iter_mut().zip([&small, &large]) {
        unit.message.plain_bytes = grown(content);
        unit.message.flags.smtp_utf8 = true;
    }
    // Only the sender is wide; and what did not come with SMTPUTF8 is as it is.
    let mut of_sender = unit(b"Subject: plain\r\n\r\nbody\r\n", &[mailbox]);
    of_sender.message.sender = "j\u{f6}rg@remote.test".parse().expect("a sender");
    units.push(of_sender);
    units.push(unit(&small, &[mailbox]));
    for unit in units {
        house.commit(unit).await;
    }
    for (form, session) in [(Form::Stored, "a"), (Form::Plain, "b")] {
        let open = house.maildrops.open(mailbox, &holder(session), Asked::First, form).await.expect("open");
        let messages = read_as(&house, mailbox, &open.first.uids, form).await;
        let sizes: Vec<i64> = messages.iter().map(|one| one.as_ref().expect("read").len() as i64).collect();
        assert_eq!(open.first.sizes_bytes, sizes, "{form:?}");
        for (position, message) in messages.iter().enumerate() {
            let message = message.as_ref().expect("read");
            let end = message.windows(4).position(|octets| octets == b"\r\n\r\n").expect("a header");
            assert_eq!(
                message[..end].is_ascii(),
                form == Form::Plain && position != 3,
                "{form:?} {position}"
            );
            let body = [&b"small\xc3\xbc\r\n"[..], b"large \xc3\xbc\r\n", b"body\r\n", b"small\xc3\xbc\r\n"]
                [position];
            assert!(message.ends_with(body), "{form:?} {position}");
        }
        house.maildrops.close(mailbox, open.token, &[]).await.expect("closed");
    }
    // Cleared and brought back, it is what it was.
    let listed = async || {
        let open =
            house.maildrops.open(mailbox, &holder("c"), Asked::First, Form::Plain).await.expect("open");
        house.maildrops.close(mailbox, open.token, &[]).await.expect("closed");
        (open.first.uids.clone(), open.first.sizes_bytes.clone())
    };
    let before = listed().await;
    house.clear(mailbox, Scope::All).await.expect("cleared");
    assert!(listed().await.0.is_empty());
    house.vault.restore(mailbox, 0).await.expect("restored");
    assert_eq!(listed().await, before);
    let other = new_box();
    house.vault.merge(mailbox, other).await.expect("merged");
    let open = house.maildrops.open(other, &holder("d"), Asked::First, Form::Plain).await.expect("open");
    assert_eq!(open.first.sizes_bytes, before.1);
}

#[tokio::test]
async fn p_45_a_damaged_message_harms_only_itself() {
    let house = House::new().await;
    let mailbox = new_box();
    for position in 0..4 {
        house.commit(unit(format!("A: row {position}\r\n").as_bytes(), &[mailbox])).await;
        let content = format!("A: blob {position}\r\n{}", "x".repeat(200_000));
        house.commit(blob_unit(&house.blobs, content.as_bytes(), &[mailbox]).await).await;
    }
    house.run("UPDATE messages SET content = 'A: row X\r\n' WHERE content = 'A: row 0\r\n'").await;
    house.run("UPDATE messages SET content = 'short' WHERE content = 'A: row 1\r\n'").await;
    house.run("DELETE FROM messages WHERE content = 'A: row 2\r\n'").await;
    for file in files(house.blob_folder.path()) {
        let text = std::fs::read(&file).expect("a blob");
        match text[8] {
            b'0' => {
                std::fs::write(&file, [&text[..150_000], b"y", &text[150_001..]].concat()).expect("spoilt")
            }
            b'1' => std::fs::write(&file, &text[..100]).expect("cut"),
            b'2' => std::fs::remove_file(&file).expect("removed"),
            _ => {}
        }
    }
    let uids = house.uids(mailbox).await;
    let mut asked = uids.clone();
    asked.insert(4, 1 << 50);
    let messages = read(&house, mailbox, &asked).await;
    let failed = |position: usize| messages[position].as_ref().expect_err("damaged").clone();
    for position in [0, 2, 3, 5, 6] {
        let (before, reason) = failed(position);
        assert!(reason == Reason::MessageDamaged && before.is_empty(), "{position}: {reason:?}");
    }
    assert_eq!(failed(4), (Vec::new(), Reason::MessageGone));
    let (before, reason) = failed(1);
    assert_eq!(reason, Reason::MessageDamaged);
    assert!(
        before.len() > 200_000,
        "P-46: it is told at the end, so that the gateway does not end the message"
    );
    assert_eq!(messages[7], Ok(wire(mailbox, b"A: row 3\r\n")));
    assert!(messages[8].is_ok());
    // Another box's message is gone for this one.
    assert_eq!(read(&house, new_box(), &uids[..1]).await, [Err((Vec::new(), Reason::MessageGone))]);
}

#[tokio::test]
async fn a_reader_that_goes_away_ends_the_read() {
    let house = House::new().await;
    let mailbox = new_box();
    house.commit(blob_unit(&house.blobs, &vec![b'x'; 2_000_000], &[mailbox]).await).await;
    let uids = house.uids(mailbox).await;
    let (frames, mut taken) = mpsc::channel(2);
    let reader = house.maildrops.reader(mailbox, Form::Stored);
    let reading = tokio::spawn(async move { reader.run(&uids, &frames).await });
    taken.recv().await.expect("a frame");
    drop(taken);
    tokio::time::timeout(std::time::Duration::from_secs(10), reading).await.expect("ended").expect("well");
}
