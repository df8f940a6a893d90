//! That `make scale` measures the right thing, with fewer mailboxes: answers are right, lists stay paged, and ten times as many
//! mailboxes do not make a question take ten times as long.

use std::time::Duration;

use postern_tests::{platform::Blueprint, scale::Crowd};

#[tokio::test(flavor = "multi_thread")]
async fn more_mailboxes_make_no_question_longer() -> anyhow::Result<()> {
    let platform = Blueprint::new()
        .set("POSTERN_LOG", "warn")
        // Nobody looks at the DNS of all these domains meanwhile.
        .set("POSTERN_DOMAIN_CHECK_SECONDS", "0")
        .start()
        .await?;
    let mut crowd = Crowd::new(&platform).await?;
    crowd.grow_to(1000).await?;
    let small = crowd.measure(3, 300).await?;
    crowd.grow_to(30_000).await?;
    let large = crowd.measure(3, 300).await?;
    println!("1,000 mailboxes {small:?}, 30,000 mailboxes {large:?}");
    // The median, and generously: other tests run on this machine at the same time. `make scale` looks at the 99th.
    for (small, large) in [(small.0, large.0), (small.1, large.1)] {
        assert!(large.p50 < small.p50 * 4.0, "{small:?} {large:?}");
    }
    assert!(crowd.list().await? < Duration::from_secs(5));
    Ok(())
}
