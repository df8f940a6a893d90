//! Who answers what the scanner called spam answers somebody who never wrote (A-01).

use super::*;

const PASS: Script =
    Script::Json(r#"{"score":0,"required_score":15,"action":"no action","symbols":{"A":{}}}"#);

#[tokio::test(flavor = "multi_thread")]
async fn a_01_what_our_own_scanner_calls_spam_is_not_answered() -> anyhow::Result<()> {
    let scanner = Scripted::start().await?;
    let (platform, admin) = house(scanner.address, &[]).await?;
    admin.autoresponder(BOX, "Away", "Back soon").await?;
    // It is marked and delivered, as long as the domain says nothing else.
    for (script, subject) in [(REJECT, "spam"), (PASS, "hello")] {
        scanner.says(script);
        let from = format!("{subject}@far.test");
        let content = format!(
            "From: {from}\r\nTo: {BOX}\r\nSubject: {subject}\r\nMessage-ID: <{subject}@far.test>\r\n\r\nbody\r\n"
        );
        let reply = smtp::send(platform.smtp(0), &from, &[BOX], content.as_bytes()).await?;
        assert!(reply.starts_with("250 "), "{reply}");
    }
    let both = box_of(&platform, BOX).await?;
    assert_eq!(both.iter().filter(|text| text.contains("X-Spam-Flag: YES")).count(), 1, "{both:?}");
    assert_eq!(both.len(), 2);
    let database = sqlx::PgPool::connect(&platform.stores.database_url()).await?;
    let done = eventually(LIMIT, async || {
        let rows: Result<i64, _> =
            sqlx::query_scalar("select count(*) from mail.queue").fetch_one(&database).await;
        rows.is_ok_and(|rows| rows == 0)
    });
    assert!(done.await, "both errands are done");
    let answered: Vec<_> =
        platform.sink.messages().into_iter().flat_map(|answer| answer.recipients).collect();
    assert_eq!(answered, ["hello@far.test"]);
    Ok(())
}
