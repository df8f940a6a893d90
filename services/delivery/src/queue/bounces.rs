//! Tells senders what became of their message: one report for all rows that failed together, committed together with their
//! end; and, where they asked for it or it takes long, one that it was handed on or is delayed (RFC 3461).

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use postern_mail::{EmailAddress, MessageId, ReversePath};
use postern_mesh::directory::Directory;
use postern_smtp::dsn::{RecipientDsn, ReturnContent};
use tokio::time::Instant;

use super::{
    ContentSource, QueueHandle, QueueStore, QueuedMessage, born,
    record::{Note, Recorder},
    store::{Deferral, Ended},
};
use crate::{
    accept::{AcceptError, AcceptUnit, Acceptor, QueueClass},
    bounce::{self, Fate, Notice, RETURNED_MAX_BYTES},
    trace::TraceState,
};

/// Time for the commit of a bounce.
const COMMIT_TIME: Duration = Duration::from_secs(30);
/// Pause before rows whose bounce could not be made are looked at again.
const REPEAT_PAUSE: Duration = Duration::from_secs(60);

/// A row and what is to be said of it.
#[derive(Clone, Debug)]
pub(crate) struct FatedRow {
    pub(crate) id: i64,
    pub(crate) class: QueueClass,
    /// An address of ours sent it on.
    pub(crate) is_forward: bool,
    pub(crate) dsn: RecipientDsn,
    pub(crate) fate: Fate,
}

impl FatedRow {
    pub(super) fn failed(&self) -> Ended {
        Ended {
            id: self.id,
            state: Some(TraceState::Failed),
            outcome: self.fate.text.clone(),
            is_copy: self.class == QueueClass::ListCopy,
        }
    }

    /// A report of any kind about what a forward of ours sent on would reach whoever was named as its sender (F-06).
    fn is_backscatter(&self, message: &QueuedMessage) -> bool {
        self.is_forward && message.flags.unproven
    }
}

/// Makes reports.
pub(crate) struct Bounces {
    pub(super) store: QueueStore,
    pub(super) acceptor: Acceptor,
    pub(super) directory: Directory,
    pub(super) mail_host: String,
    pub(super) contents: Arc<dyn ContentSource>,
    pub(super) handle: QueueHandle,
    pub(super) recorder: Recorder,
}

impl Bounces {
    /// Ends failed rows of one message. Whatever goes wrong, they stay in the queue and are looked at again.
    /// True when they are ended, or surely will be; false also when they are in other hands by now.
    pub(crate) async fn end(&self, message: &QueuedMessage, failed: Vec<FatedRow>) -> bool {
        for FatedRow { class, fate, .. } in &failed {
            tracing::info!(queue_id = %message.id, ?class, recipient = %fate.recipient, why = fate.text, "not delivered");
        }
        let (forged, failed): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|row| row.is_backscatter(message));
        let (told, untold): (Vec<_>, Vec<_>) =
            failed.into_iter().partition(|row| row.class.is_told() && row.dsn.wants_failure());
        for (rows, why) in [(forged, "unproven_sender"), (untold, "not_to_be_told")] {
            if !rows.is_empty() {
                self.end_silently(message.id, &rows, why).await;
            }
        }
        if told.is_empty() {
            return true;
        }
        self.tell(message, told).await
    }

    async fn tell(&self, message: &QueuedMessage, failed: Vec<FatedRow>) -> bool {
        let ReversePath::Address(sender) = &message.sender else {
            // Never a bounce for a bounce (RFC 5321 section 6.1).
            return self.end_silently(message.id, &failed, "null_sender").await;
        };
        let mut unit = match self.compose(message, sender, &failed).await {
            Ok(Some(unit)) => unit,
            Ok(None) => return self.end_silently(message.id, &failed, "sender_unknown").await,
            Err(status) => return self.postpone(&failed, status.message()).await,
        };
        unit.finished_queue_ids = failed.iter().map(|row| row.id).collect();
        unit.story.endings = failed.iter().map(|row| (row.id, row.fate.text.clone())).collect();
        match self.commit(message.id, unit).await {
            Ok(is_new) => {
                if is_new {
                    metrics::counter!("postern_bounces_total").increment(1);
                }
                self.handle.leases.end(failed.iter().map(|row| row.id));
                is_new
            }
            Err(error) => self.postpone(&failed, &error.to_string()).await,
        }
    }

    /// Tells that rows were handed on, as the sender asked (RFC 3461 section 4.1). They are ended: what cannot be told now is not
    /// told, for sending them again would be worse.
    pub(super) async fn tell_success(&self, message: &QueuedMessage, mut rows: Vec<FatedRow>) {
        rows.retain(|row| !row.is_backscatter(message));
        self.tell_once(message, &rows, "success").await;
    }

    /// Tells that rows wait for long, once in their life (B-04).
    pub(super) async fn tell_delay(&self, message: &QueuedMessage, mut rows: Vec<FatedRow>) {
        // Also those that nobody is told of: they are not asked for again.
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        rows.retain(|row| row.class.is_told() && row.dsn.wants_delay() && !row.is_backscatter(message));
        match self.store.claim_delay_notices(&ids).await {
            Ok(claimed) => rows.retain(|row| claimed.contains(&row.id)),
            Err(error) => {
                tracing::warn!(%error, queue_id = %message.id, "that it takes long is told with the next attempt");
                return;
            }
        }
        self.tell_once(message, &rows, "delay").await;
    }

    async fn tell_once(&self, message: &QueuedMessage, rows: &[FatedRow], what: &'static str) {
        let ReversePath::Address(sender) = &message.sender else { return };
        if rows.is_empty() {
            return;
        }
        let why = match self.compose(message, sender, rows).await {
            Ok(Some(unit)) => match self.commit(message.id, unit).await {
                Ok(_) => return metrics::counter!("postern_notices_total", "what" => what).increment(1),
                Err(error) => error.to_string(),
            },
            Ok(None) => "the sender cannot be reached".to_owned(),
            Err(status) => status.message().to_owned(),
        };
        tracing::warn!(queue_id = %message.id, what, why, "the sender was not told");
    }

    async fn compose(
        &self,
        message: &QueuedMessage,
        sender: &EmailAddress,
        rows: &[FatedRow],
    ) -> Result<Option<AcceptUnit>, tonic::Status> {
        let beginning = self.beginning(message).await;
        let whole_bytes = message.prefix.len() as u64 + message.content_bytes;
        let fates: Vec<Fate> = rows.iter().map(|row| row.fate.clone()).collect();
        let notice = Notice {
            report_id: MessageId::new(),
            message_id: message.id,
            sender,
            arrival: message.accept_time,
            envelope_id: message.dsn.envelope_id.as_deref(),
            beginning: &beginning,
            give_back_all: message.dsn.return_content == Some(ReturnContent::Full)
                && beginning.len() as u64 == whole_bytes,
            smtp_utf8: message.flags.smtp_utf8,
            fates: &fates,
        };
        bounce::compose(&self.directory, &self.mail_host, &notice).await
    }

    /// False: it was there already, or the rows that it ends are not ours any more.
    async fn commit(&self, queue_id: MessageId, unit: AcceptUnit) -> Result<bool, AcceptError> {
        let (report, rows) = (unit.message.clone(), unit.queue.clone());
        let committed = self.acceptor.commit(unit, Instant::now() + COMMIT_TIME).await?;
        if committed.repeated {
            tracing::info!(%queue_id, "the sender is told by somebody else");
            return Ok(false);
        }
        tracing::info!(%queue_id, report = %report.id, "the sender was told");
        self.handle.offer(born(&report, &rows, &committed.queue_ids));
        Ok(true)
    }

    async fn end_silently(&self, queue_id: MessageId, rows: &[FatedRow], why: &'static str) -> bool {
        tracing::warn!(%queue_id, why, "a message failed and there is nobody to tell");
        metrics::counter!("postern_bounces_without_sender_total", "why" => why).increment(1);
        for row in rows {
            self.recorder.note(Note::Finished(row.failed())).await;
        }
        true
    }

    async fn postpone(&self, failed: &[FatedRow], why: &str) -> bool {
        tracing::warn!(why, "a bounce cannot be made now");
        for row in failed {
            let outcome = row.fate.text.clone();
            self.recorder.note(Note::Deferred(Deferral { id: row.id, pause: REPEAT_PAUSE, outcome })).await;
        }
        false
    }

    /// As much of the message as is given back at most.
    async fn beginning(&self, message: &QueuedMessage) -> Vec<u8> {
        let mut beginning = message.prefix.to_vec();
        let mut content = self.contents.open(message);
        while beginning.len() < RETURNED_MAX_BYTES {
            match content.next().await {
                Some(Ok(piece)) => beginning.extend_from_slice(&piece),
                // The sender is told all the same, with less of the message.
                Some(Err(_)) | None => break,
            }
        }
        beginning
    }
}
