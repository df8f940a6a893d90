//! Ends rows that will never be delivered: one bounce for all of them, committed together with their end.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use postern_mail::{MessageId, ReversePath};
use postern_mesh::directory::Directory;
use tokio::time::Instant;

use super::{
    ContentSource, QueueHandle, QueuedMessage, born,
    record::{Note, Recorder},
    store::Deferral,
};
use crate::{
    accept::{Acceptor, QueueClass},
    bounce::{self, Failure, RETURNED_HEADER_MAX_BYTES, Undelivered},
};

/// Time for the commit of a bounce.
const COMMIT_TIME: Duration = Duration::from_secs(30);
/// Pause before rows whose bounce could not be made are looked at again.
const REPEAT_PAUSE: Duration = Duration::from_secs(60);

/// A row that failed for good.
#[derive(Clone, Debug)]
pub(crate) struct FailedRow {
    pub(crate) id: i64,
    pub(crate) class: QueueClass,
    pub(crate) failure: Failure,
}

/// Makes bounces.
pub(crate) struct Bounces {
    pub(super) acceptor: Acceptor,
    pub(super) directory: Directory,
    pub(super) mail_host: String,
    pub(super) contents: Arc<dyn ContentSource>,
    pub(super) handle: QueueHandle,
    pub(super) recorder: Recorder,
}

impl Bounces {
    /// Ends failed rows of one message. Whatever goes wrong, they stay in the queue and are looked at again.
    /// True when they are ended, or surely will be.
    pub(crate) async fn end(&self, message: &QueuedMessage, failed: Vec<FailedRow>) -> bool {
        for FailedRow { class, failure, .. } in &failed {
            tracing::info!(queue_id = %message.id, ?class, recipient = %failure.recipient, why = failure.text, "not delivered");
        }
        let (told, untold): (Vec<_>, Vec<_>) = failed.into_iter().partition(|row| row.class.is_told());
        if !untold.is_empty() {
            let ids = untold.into_iter().map(|row| row.id).collect();
            self.end_silently(message.id, ids, "not_to_be_told").await;
        }
        if told.is_empty() {
            return true;
        }
        self.tell(message, told).await
    }

    async fn tell(&self, message: &QueuedMessage, failed: Vec<FailedRow>) -> bool {
        let ids: Vec<i64> = failed.iter().map(|row| row.id).collect();
        let failures: Vec<Failure> = failed.into_iter().map(|row| row.failure).collect();
        let ReversePath::Address(sender) = &message.sender else {
            // Never a bounce for a bounce (RFC 5321 section 6.1).
            return self.end_silently(message.id, ids, "null_sender").await;
        };
        let beginning = self.beginning(message).await;
        let undelivered = Undelivered {
            bounce_id: MessageId::new(),
            message_id: message.id,
            sender,
            arrival: message.accept_time,
            beginning: &beginning,
            failures: &failures,
        };
        let unit = match bounce::compose(&self.directory, &self.mail_host, &undelivered).await {
            Ok(Some(unit)) => unit,
            Ok(None) => return self.end_silently(message.id, ids, "sender_unknown").await,
            Err(status) => return self.postpone(ids, &failures, status.message()).await,
        };
        let unit = crate::accept::AcceptUnit { finished_queue_ids: ids.clone(), ..unit };
        let (bounce, rows) = (unit.message.clone(), unit.queue.clone());
        match self.acceptor.commit(unit, Instant::now() + COMMIT_TIME).await {
            Ok(committed) => {
                metrics::counter!("postern_bounces_total").increment(1);
                tracing::info!(queue_id = %message.id, bounce = %bounce.id, "the sender was told");
                self.handle.leases.end(ids);
                self.handle.offer(born(&bounce, &rows, &committed.queue_ids));
                true
            }
            Err(error) => self.postpone(ids, &failures, &error.to_string()).await,
        }
    }

    async fn end_silently(&self, queue_id: MessageId, ids: Vec<i64>, why: &'static str) -> bool {
        tracing::warn!(%queue_id, why, "a message failed and there is nobody to tell");
        metrics::counter!("postern_bounces_without_sender_total", "why" => why).increment(1);
        for id in ids {
            self.recorder.note(Note::Finished(id)).await;
        }
        true
    }

    async fn postpone(&self, ids: Vec<i64>, failures: &[Failure], why: &str) -> bool {
        tracing::warn!(why, "a bounce cannot be made now");
        for (id, failure) in ids.into_iter().zip(failures) {
            let outcome = failure.text.clone();
            self.recorder.note(Note::Deferred(Deferral { id, pause: REPEAT_PAUSE, outcome })).await;
        }
        false
    }

    /// As much of the message as can hold the header that is given back.
    async fn beginning(&self, message: &QueuedMessage) -> Vec<u8> {
        let mut beginning = message.prefix.to_vec();
        let mut content = self.contents.open(message);
        while beginning.len() < RETURNED_HEADER_MAX_BYTES {
            match content.next().await {
                Some(Ok(piece)) => beginning.extend_from_slice(&piece),
                // The sender is told all the same, with less of the header.
                Some(Err(_)) | None => break,
            }
        }
        beginning
    }
}
