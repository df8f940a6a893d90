//! The browser of a test ends with the test, however that ends.

use std::{path::PathBuf, time::Duration};

use postern_tests::{
    browser::{Browser, Looks},
    eventually,
};

/// Whether a process with this id is there, and is more than what its parent has not asked for yet.
fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(PathBuf::from(format!("/proc/{pid}/stat"))).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_that_breaks_off_leaves_no_browser() -> anyhow::Result<()> {
    let nobody = "127.0.0.1:9".parse()?;
    let browser = Browser::start(nobody, Looks::default()).await?;
    let processes = browser.processes();
    // Some of what it starts is there for a moment only.
    assert!(processes.iter().filter(|pid| runs(**pid)).count() > 3, "{processes:?}");
    let broke_off = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _browser = browser;
        panic!("a test that breaks off");
    }));
    assert!(broke_off.is_err());
    let ended = eventually(Duration::from_secs(10), async || !processes.iter().any(|pid| runs(*pid))).await;
    assert!(ended, "{processes:?}");
    Ok(())
}
