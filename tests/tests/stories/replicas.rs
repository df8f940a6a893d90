//! Two of everything, and one half is gone: its processes hang, then they are killed. The sessions of the other half go on, and new
//! ones work within seconds. (`tests/partition.rs` cuts the network.)

use nix::sys::signal::Signal;
use postern_tests::{
    halves::{HALF, Halves},
    platform::{Blueprint, Platform},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_half_that_hangs_or_dies_leaves_the_other_working() -> anyhow::Result<()> {
    let mut halves = Halves::start(Blueprint::new()).await?;
    halves.shared().await?;
    let signal = |platform: &mut Platform, signal: Signal| {
        HALF.into_iter().try_for_each(|service| platform.replica(service, 1).process.signal(signal))
    };
    halves.without_the_other_half("hangs", |platform| signal(platform, Signal::SIGSTOP)).await?;
    signal(&mut halves.platform, Signal::SIGCONT)?;
    halves.shared().await?;

    let kill = |platform: &mut Platform| {
        HALF.into_iter().try_for_each(|service| platform.replica(service, 1).process.kill())
    };
    halves.without_the_other_half("killed", kill).await?;
    for service in HALF {
        halves.platform.replica(service, 1).process.spawn()?;
    }
    for service in HALF {
        halves.platform.wait_ready(service).await?;
    }
    halves.shared().await?;
    halves.all_is_there().await
}
