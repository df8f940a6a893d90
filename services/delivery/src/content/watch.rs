//! Whether the blob store answers, as a gauge. It is no part of readiness: most mail does without, and the rest is put off.

use std::time::Duration;

use postern_mesh::shutdown::Shutdown;

use super::Blobs;

/// Between two questions: a store may want money for each.
const EVERY: Duration = Duration::from_secs(60);

/// Asks until shutdown.
pub(crate) async fn run(blobs: Blobs, shutdown: Shutdown) {
    loop {
        let up = tokio::select! {
            up = blobs.is_ready() => up,
            () = shutdown.triggered() => return,
        };
        metrics::gauge!("postern_delivery_blobs_up").set(if up { 1.0 } else { 0.0 });
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.triggered() => return,
        }
    }
}
