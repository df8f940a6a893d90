//! The change stream: held open for as long as somebody uses the directory, opened anew when it ends.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use postern_proto::account::v1::{
    Reset, WatchChangesRequest, directory_service_client::DirectoryServiceClient,
    watch_changes_response::Event,
};
use tonic::Status;

use super::{DirectoryEvent, Inner};
use crate::client::MeshChannel;

/// First and longest pause before a new stream.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A stream that is silent for so long is given up; it should beat four times a second.
const SILENCE_MAX: Duration = Duration::from_secs(3);

pub(super) async fn run(directory: Weak<Inner>) {
    let mut pause = PAUSE_FIRST;
    loop {
        let Some(inner) = directory.upgrade() else { return };
        let client = inner.client.clone();
        drop(inner);
        let mut spoke = false;
        let ended = follow(client, &directory, &mut spoke).await;
        let Some(inner) = directory.upgrade() else { return };
        inner.freshness.reset();
        drop(inner);
        pause = if spoke { PAUSE_FIRST } else { PAUSE_MAX.min(pause * 2) };
        match ended {
            Ok(()) => tracing::info!("the change stream of the directory ended, opening a new one"),
            Err(status) => {
                tracing::warn!(code = ?status.code(), "no change stream of the directory: {}", status.message())
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// One stream, from its first event to its end. `spoke` becomes true with the first event.
async fn follow(
    mut client: DirectoryServiceClient<MeshChannel>,
    directory: &Weak<Inner>,
    spoke: &mut bool,
) -> Result<(), Status> {
    let mut stream = client.watch_changes(WatchChangesRequest {}).await?.into_inner();
    loop {
        let message = tokio::time::timeout(SILENCE_MAX, stream.message())
            .await
            .map_err(|_| Status::unavailable(format!("silent for {SILENCE_MAX:?}")))??;
        let Some(message) = message else { return Ok(()) };
        let Some(inner) = directory.upgrade() else { return Ok(()) };
        // Changes may have been missed before a stream, whatever it begins with.
        if !std::mem::replace(spoke, true) && !matches!(message.event, Some(Event::Reset(_))) {
            take(&inner, Event::Reset(Reset {}));
        }
        if let Some(event) = message.event {
            take(&inner, event);
        }
    }
}

fn take(inner: &Arc<Inner>, event: Event) {
    let told = match event {
        Event::Beat(_) => return inner.freshness.beat(Instant::now()),
        Event::Reset(_) => {
            inner.freshness.reset();
            DirectoryEvent::Reset
        }
        Event::Change(change) => {
            inner.freshness.change(&change.domain, change.version);
            DirectoryEvent::Change {
                domain: change.domain,
                version: change.version,
                revoked_mailbox_ids: change.revoked_mailbox_ids,
            }
        }
    };
    // Nobody listening is fine.
    let _ = inner.changes.send(told);
}
