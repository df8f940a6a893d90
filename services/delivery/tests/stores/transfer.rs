//! Import: as it is, each message once, within the quota, and a bad one harms only itself.

use bytes::Bytes;
use postern_delivery::{
    content::IngestLimits,
    transfer::{Arrival, ImportError, Importer, Refusal, Report},
};
use postern_mail::Reason;
use postern_mesh::memory::MemoryBudget;

use crate::house::{House, files, new_box};

const LIMITS: IngestLimits = IngestLimits { inline_max_bytes: 1000, message_max_bytes: Some(50_000) };

fn importer(house: &House) -> Importer {
    Importer::new(house.store.clone(), house.blobs.clone(), MemoryBudget::new(16 << 20, 0), LIMITS)
}

async fn import(
    house: &House,
    mailbox_id: i64,
    quota_bytes: Option<i64>,
    messages: &[(&[u8], Arrival)],
) -> Result<Report, ImportError> {
    let mut import = importer(house).begin(mailbox_id, quota_bytes, false).await?;
    for (content, arrival) in messages {
        import.begin_message(*arrival, String::new());
        for piece in content.chunks(700) {
            import.content(Bytes::copy_from_slice(piece)).await?;
        }
        import.end_message().await?;
    }
    import.finish().await?;
    Ok(import.report().clone())
}

fn counts(report: &Report) -> (i64, i64, i64) {
    (report.imported, report.duplicates, report.refused)
}

#[tokio::test]
async fn the_same_message_is_taken_once_and_kept_as_it_is() {
    let house = House::new().await;
    let (one, two) = (new_box(), new_box());
    let large = [b"Return-Path: <kept@remote.test>\r\n\r\n".to_vec(), b"x\r\n".repeat(5000)].concat();
    let small = b"Return-Path: <kept@remote.test>\r\nSubject: s\r\n\r\nbody\r\n";
    let when = 1_000_000_000_000_000;
    let messages: [(&[u8], Arrival); 3] = [(small, Some(when)), (&large, None), (small, Some(when + 1))];
    let first = import(&house, one, None, &messages).await.expect("imported");
    assert_eq!(counts(&first), (2, 1, 0));
    let again = import(&house, one, None, &messages).await.expect("imported");
    assert_eq!(counts(&again), (0, 3, 0));
    assert_eq!(files(house.blob_folder.path()).len(), 1, "no blob of what was left out");
    let other = import(&house, two, None, &messages).await.expect("another box");
    assert_eq!(counts(&other), (2, 1, 0));

    let stored: Vec<(Option<Vec<u8>>, i64, i64)> = sqlx::query_as(
        "SELECT m.content, e.size_bytes, (extract(epoch FROM e.accept_time) * 1000000)::bigint
        FROM entries e JOIN messages m ON m.id = e.message_id WHERE e.mailbox_id = $1 ORDER BY e.uid",
    )
    .bind(one)
    .fetch_all(house.pool())
    .await
    .expect("entries");
    assert_eq!(stored[0], (Some(small.to_vec()), small.len() as i64, when), "octets and time as given");
    assert_eq!((stored[1].0.is_none(), stored[1].1), (true, large.len() as i64), "large ones go to a blob");
    let used = "SELECT count(*) FROM mailboxes m WHERE (used_bytes, message_count) <>
        (SELECT sum(size_bytes)::bigint, count(*) FROM entries WHERE mailbox_id = m.mailbox_id)";
    assert_eq!(house.number(used).await, 0);
    assert_eq!(house.number("SELECT count(*) FROM messages WHERE references_count <> 1").await, 0);
}

#[tokio::test]
async fn a_bad_message_is_refused_alone() {
    let house = House::new().await;
    let mailbox = new_box();
    let too_large = b"x\r\n".repeat(20_000);
    let messages: [(&[u8], Arrival); 6] = [
        (b"A: good 1\r\n", None),
        (b"A: bare\nline feed\r\n", None),
        (&too_large, None),
        (b"", None),
        (b"A: nul\0\r\n", None),
        (b"A: good 2\r\n", None),
    ];
    let report = import(&house, mailbox, None, &messages).await.expect("imported");
    assert_eq!(counts(&report), (2, 0, 4));
    let told = [
        (1, Reason::BadContent),
        (2, Reason::MessageTooLarge),
        (3, Reason::InvalidArgument),
        (4, Reason::BadContent),
    ];
    let refusals: Vec<_> = report.refusals.iter().map(|refusal| (refusal.index, refusal.reason)).collect();
    assert_eq!(refusals, told);
    assert_eq!(house.uids(mailbox).await.len(), 2);
}

#[tokio::test]
async fn a_message_that_is_damaged_where_it_comes_from_is_told_by_its_name() {
    let house = House::new().await;
    let mailbox = new_box();
    let mut import = importer(&house).begin(mailbox, None, false).await.expect("begun");
    for (name, content, is_whole) in [
        ("cur/1", "A: 1\r\n".to_owned(), true),
        // So large that it lies in a blob already.
        ("cur/2", "x\r\n".repeat(5000), false),
        ("cur/3", "A: bare\nline feed\r\n".to_owned(), false),
        ("cur/4", "A: 4\r\n".to_owned(), true),
    ] {
        import.begin_message(None, name.to_owned());
        import.content(content.into()).await.expect("taken");
        if is_whole {
            import.end_message().await.expect("taken");
        } else {
            import.break_message();
        }
        assert!(!import.is_open());
    }
    import.finish().await.expect("imported");
    let refusal = |index, reason, name: &str| Refusal { index, reason, name: name.to_owned() };
    assert_eq!(counts(import.report()), (2, 0, 2));
    assert_eq!(
        import.report().refusals,
        [refusal(1, Reason::MessageDamaged, "cur/2"), refusal(2, Reason::BadContent, "cur/3")]
    );
    assert_eq!(house.uids(mailbox).await.len(), 2);
    assert!(files(house.blob_folder.path()).is_empty(), "nothing is left of it");
}

#[tokio::test]
async fn a_full_box_stops_the_import_with_what_was_done() {
    let house = House::new().await;
    let mailbox = new_box();
    let messages: [(&[u8], Arrival); 3] = [(b"A: 1\r\n", None), (b"A: 2\r\n", None), (b"A: 3\r\n", None)];
    let stopped = import(&house, mailbox, Some(12), &messages).await.expect_err("full");
    assert_eq!(stopped.reason(), Reason::OverQuota);
    let ImportError::Full(report) = stopped else { panic!("full") };
    assert_eq!(counts(&report), (2, 0, 0));
    // What is there already needs no room; with more room the rest follows.
    let again = import(&house, mailbox, Some(12), &messages[..2]).await.expect("nothing new");
    assert_eq!(counts(&again), (0, 2, 0));
    let rest = import(&house, mailbox, Some(18), &messages).await.expect("room");
    assert_eq!(counts(&rest), (1, 2, 0));
}

#[tokio::test]
async fn two_imports_of_the_same_at_once_take_each_message_once() {
    let house = House::new().await;
    let mailbox = new_box();
    let texts: Vec<String> = (0..300).map(|number| format!("A: {number}\r\n")).collect();
    let messages: Vec<(&[u8], Arrival)> = texts.iter().map(|text| (text.as_bytes(), None)).collect();
    let (one, two) =
        tokio::join!(import(&house, mailbox, None, &messages), import(&house, mailbox, None, &messages));
    let (one, two) = (one.expect("imported"), two.expect("imported"));
    assert_eq!((one.imported + two.imported, one.duplicates + two.duplicates), (300, 300));
    assert_eq!(house.uids(mailbox).await.len(), 300);
}
