//! Which rights were taken away: from auth (grants) and from the directory (passwords, suspensions, removals), so that
//! one of both being away hides little. Sessions listen; nobody else does.

use std::time::Duration;

use postern_mesh::{
    client::MeshChannel,
    directory::{Directory, DirectoryEvent},
    failure,
    shutdown::Shutdown,
};
use postern_proto::auth::v1::{
    WatchRevocationsRequest, relay_service_client::RelayServiceClient, watch_revocations_response::Event,
};
use tokio::{sync::broadcast, time};
use tonic::Status;

use crate::session::Revocation;

/// Revocations that a slow session may be behind; one that is further behind is cut off.
const WAITING_MAX: usize = 1024;
/// Auth beats every second; a stream that is silent for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(5);
/// Pause before a broken stream is opened again.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// Where sessions hear of it.
#[derive(Clone, Debug)]
pub(crate) struct Revocations(broadcast::Sender<Revocation>);

impl Revocations {
    /// Everything from now on.
    #[must_use]
    pub(crate) fn listen(&self) -> broadcast::Receiver<Revocation> {
        self.0.subscribe()
    }

    pub(super) fn watch(
        relay: RelayServiceClient<MeshChannel>,
        directory: &Directory,
        shutdown: &Shutdown,
    ) -> Self {
        let (sender, _) = broadcast::channel(WAITING_MAX);
        let (ending, told) = (shutdown.clone(), sender.clone());
        shutdown.spawn(async move {
            tokio::select! {
                () = follow_auth(relay, &told) => {}
                () = ending.triggered() => {}
            }
        });
        let (ending, told, changes) = (shutdown.clone(), sender.clone(), directory.changes());
        shutdown.spawn(async move {
            tokio::select! {
                () = follow_directory(changes, &told) => {}
                () = ending.triggered() => {}
            }
        });
        Self(sender)
    }
}

async fn follow_auth(relay: RelayServiceClient<MeshChannel>, told: &broadcast::Sender<Revocation>) {
    let mut away = false;
    loop {
        let status = match follow_stream(relay.clone(), told).await {
            Ok(()) => Status::unavailable("the stream ended"),
            Err(status) => status,
        };
        // Once an outage, not once an attempt.
        if !std::mem::replace(&mut away, true) {
            tracing::warn!(detail = failure::detail_of(&status), code = ?status.code(), "revocations are not heard");
        }
        time::sleep(RECONNECT_AFTER).await;
    }
}

async fn follow_stream(
    mut relay: RelayServiceClient<MeshChannel>,
    told: &broadcast::Sender<Revocation>,
) -> Result<(), Status> {
    let mut stream = relay.watch_revocations(WatchRevocationsRequest {}).await?.into_inner();
    loop {
        let message = time::timeout(SILENCE_MAX, stream.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no beat"))??;
        match message.map(|message| message.event) {
            None => return Ok(()),
            Some(Some(Event::Revocation(revocation))) => {
                // Nobody listening is fine.
                let _ = told.send(Revocation {
                    client: Some(revocation.client).filter(|client| !client.is_empty()),
                    mailbox_id: Some(revocation.mailbox_id).filter(|id| *id != 0),
                });
            }
            Some(Some(Event::Beat(_)) | None) => {}
        }
    }
}

async fn follow_directory(
    mut changes: broadcast::Receiver<DirectoryEvent>,
    told: &broadcast::Sender<Revocation>,
) {
    loop {
        match changes.recv().await {
            Ok(DirectoryEvent::Change { revoked_mailbox_ids, .. }) => {
                for mailbox_id in revoked_mailbox_ids {
                    let _ = told.send(Revocation { client: None, mailbox_id: Some(mailbox_id) });
                }
            }
            // Every relay question compares the credential anyway; this stream only cuts sooner.
            Ok(DirectoryEvent::Reset) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}
