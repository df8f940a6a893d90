//! Ends sessions whose box may not be used any more. When account tells that the credentials of a suspended or removed mailbox
//! died, its lock is taken away; the gateway learns it at its next renewal, within 20 s, and closes the session, which deletes
//! nothing. A new password leaves sessions alone.
//!
//! A courtesy like the cutting of SMTP sessions: what was missed while a stream was down reads on until it ends by itself.

use std::time::Duration;

use postern_mesh::{
    directory::{Directory, DirectoryEvent},
    shutdown::Shutdown,
};
use postern_proto::account::v1::{ActivityState, MailboxIdentity};
use tokio::sync::broadcast::error::RecvError;

use super::{LockError, Locks};

/// Boxes whose locks are asked for at once.
const BOXES_PER_CALL: usize = 256;
/// Attempts while Redis or the directory is away.
const ATTEMPTS: u32 = 5;
/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// Follows the directory until shutdown.
pub(crate) async fn run(locks: Locks, directory: Directory, shutdown: Shutdown) {
    tokio::select! {
        () = follow(&locks, &directory) => {}
        () = shutdown.triggered() => {}
    }
}

async fn follow(locks: &Locks, directory: &Directory) {
    let mut changes = directory.changes();
    loop {
        match changes.recv().await {
            Ok(DirectoryEvent::Change { revoked_mailbox_ids: revoked, .. }) if !revoked.is_empty() => {
                tokio::spawn(end_sessions(locks.clone(), directory.clone(), revoked));
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

async fn end_sessions(locks: Locks, directory: Directory, mailbox_ids: Vec<i64>) {
    for boxes in mailbox_ids.chunks(BOXES_PER_CALL) {
        for _ in 0..ATTEMPTS {
            match try_to_end(&locks, &directory, boxes).await {
                Ok(()) => break,
                Err(error) => {
                    tracing::debug!(%error, "sessions of boxes that may not be used go on for now");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn try_to_end(locks: &Locks, directory: &Directory, mailbox_ids: &[i64]) -> Result<(), EndError> {
    for held in locks.get_many(mailbox_ids).await? {
        let mailbox_id = held.mailbox_id;
        let mailbox =
            directory.mailbox(mailbox_id).await.map_err(|status| EndError::Directory(Box::new(status)))?;
        // By its token: whoever opens the box after this is not meant.
        if may_not_be_used(mailbox.as_deref()) && locks.release(mailbox_id, held.token).await? {
            tracing::info!(
                mailbox_id,
                session_id = held.holder.session_id,
                "the box of a session may not be used any more"
            );
        }
    }
    Ok(())
}

fn may_not_be_used(mailbox: Option<&MailboxIdentity>) -> bool {
    mailbox.is_none_or(|mailbox| mailbox.removed || mailbox.state() != ActivityState::Active)
}

#[derive(Debug, thiserror::Error)]
enum EndError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("directory: {}", .0.message())]
    Directory(#[source] Box<tonic::Status>),
}
