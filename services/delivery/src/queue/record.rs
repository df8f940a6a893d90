//! Writes down how attempts went, many in one statement: while one is under way the next ones gather.
//!
//! "Delivered" is written only after the host's 250 to the end of data. If the database is away it is written as soon as
//! it is back: until then the rows stay ours, so that nobody sends the message again.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};

use super::{
    Leases, QueueStore,
    store::{Deferral, Ended},
};
use crate::store::in_time;

/// Notes that wait to be written; more make the workers wait.
const NOTES_MAX: usize = 4096;
/// Notes of one statement.
const BATCH_MAX: usize = 512;
/// Pause before a failed write is repeated.
const REPEAT_PAUSE: Duration = Duration::from_secs(1);

/// What is to be written about a row.
#[derive(Debug)]
pub(super) enum Note {
    /// It is done with: delivered, or nobody is to be told.
    Finished(Ended),
    /// Again later.
    Deferred(Deferral),
    /// Tells when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Where workers drop their notes. The writer ends when the last clone is gone.
#[derive(Clone, Debug)]
pub(super) struct Recorder {
    notes: mpsc::Sender<Note>,
}

impl Recorder {
    pub(super) async fn note(&self, note: Note) {
        if self.notes.send(note).await.is_err() {
            tracing::error!("the queue's writer is gone; the row is found again when its lease ends");
        }
    }

    /// Waits until all notes so far are written, at most for `limit`; true when they are.
    pub(super) async fn flush(&self, limit: Duration) -> bool {
        let (written, is_written) = oneshot::channel();
        let flushing = async {
            self.note(Note::Flush(written)).await;
            is_written.await.is_ok()
        };
        tokio::time::timeout(limit, flushing).await.unwrap_or(false)
    }
}

/// Starts the writer.
pub(super) fn start(store: QueueStore, leases: Arc<Leases>) -> Recorder {
    let (notes, noted) = mpsc::channel(NOTES_MAX);
    tokio::spawn(write_all(store, leases, noted));
    Recorder { notes }
}

async fn write_all(store: QueueStore, leases: Arc<Leases>, mut noted: mpsc::Receiver<Note>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let (mut hurried, mut unhurried) = (store.hurried(), store.unhurried());
    while noted.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let mut finished = Vec::new();
        let mut deferred = Vec::new();
        let mut waiting = Vec::new();
        for note in batch.drain(..) {
            match note {
                Note::Finished(ended) => finished.push(ended),
                Note::Deferred(deferral) => deferred.push(deferral),
                Note::Flush(written) => waiting.push(written),
            }
        }
        let (copies, mail): (Vec<Ended>, Vec<Ended>) = finished.into_iter().partition(|ended| ended.is_copy);
        while let Err(error) = in_time(store.finish_by(&mut hurried, &mail)).await {
            pause("finished", &error).await;
        }
        while let Err(error) = in_time(store.finish_by(&mut unhurried, &copies)).await {
            pause("finished", &error).await;
        }
        while !deferred.is_empty() {
            match in_time(store.defer(&mut unhurried, &deferred)).await {
                Ok(()) => break,
                Err(error) => pause("deferred", &error).await,
            }
        }
        let finished = mail.into_iter().chain(copies).map(|ended| ended.id);
        leases.end(finished.chain(deferred.into_iter().map(|deferral| deferral.id)));
        for written in waiting {
            // Whoever waited may have gone.
            let _ = written.send(());
        }
    }
}

async fn pause(what: &str, error: &sqlx::Error) {
    tracing::warn!(%error, what, "queue rows cannot be written, trying again");
    tokio::time::sleep(REPEAT_PAUSE).await;
}
