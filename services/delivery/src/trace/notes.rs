//! What boxes tell of their mail: first fetched when, deleted when. Kept in memory and written in batches, so that no RETR
//! and no QUIT writes for it; a crash loses the last seconds of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use postern_mesh::shutdown::Shutdown;
use uuid::Uuid;

use crate::store::{Store, begin_unhurried, in_time};

/// Between two writes.
const EVERY: Duration = Duration::from_secs(2);
/// Notes that wait at most; while the database is away further ones are dropped and counted.
const NOTES_MAX: usize = 200_000;
/// Notes of one statement.
const BATCH_MAX: usize = 2000;

/// The first time counts, also over replicas.
const WRITE: &str = "
UPDATE trace t SET read_time = coalesce(t.read_time, to_timestamp(n.read_micros / 1000000.0)),
    delete_time = coalesce(t.delete_time, to_timestamp(n.delete_micros / 1000000.0))
FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[])
    AS n (message_id, mailbox_id, read_micros, delete_micros)
WHERE t.message_id = n.message_id AND t.mailbox_id = n.mailbox_id
    AND ((t.read_time IS NULL AND n.read_micros IS NOT NULL)
        OR (t.delete_time IS NULL AND n.delete_micros IS NOT NULL))";

/// Microseconds of the Unix epoch.
#[derive(Clone, Copy, Debug, Default)]
struct Note {
    read: Option<i64>,
    deleted: Option<i64>,
}

/// Notes that are not written yet, by message and box. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoxNotes(Arc<Mutex<HashMap<(Uuid, i64), Note>>>);

impl BoxNotes {
    /// These messages were sent to a mail program as a whole.
    pub(crate) fn read(&self, mailbox_id: i64, messages: &[Uuid]) {
        self.note(mailbox_id, messages, |note, now| note.read = note.read.or(Some(now)));
    }

    /// These were deleted.
    pub(crate) fn deleted(&self, mailbox_id: i64, messages: &[Uuid]) {
        self.note(mailbox_id, messages, |note, now| note.deleted = note.deleted.or(Some(now)));
    }

    fn note(&self, mailbox_id: i64, messages: &[Uuid], mark: impl Fn(&mut Note, i64)) {
        let now = Timestamp::now().as_microsecond();
        // A map is whole whatever its holder did.
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            if notes.len() >= NOTES_MAX {
                metrics::counter!("postern_trace_notes_dropped_total").increment(1);
                continue;
            }
            mark(notes.entry((*message, mailbox_id)).or_default(), now);
        }
    }

    fn take(&self) -> Vec<((Uuid, i64), Note)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    fn put_back(&self, taken: &[((Uuid, i64), Note)]) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, old) in taken {
            if notes.len() >= NOTES_MAX {
                return;
            }
            let note = notes.entry(*key).or_default();
            *note = Note { read: old.read.or(note.read), deleted: old.deleted.or(note.deleted) };
        }
    }

    /// Writes everything that waits; what fails waits on.
    async fn write(&self, store: &Store) -> Result<(), sqlx::Error> {
        let taken = self.take();
        for (number, batch) in taken.chunks(BATCH_MAX).enumerate() {
            if let Err(error) = in_time(write(store, batch)).await {
                self.put_back(&taken[number * BATCH_MAX..]);
                return Err(error);
            }
        }
        Ok(())
    }
}

async fn write(store: &Store, batch: &[((Uuid, i64), Note)]) -> Result<(), sqlx::Error> {
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((message, mailbox_id), note) in batch {
        columns.0.push(*message);
        columns.1.push(*mailbox_id);
        columns.2.push(note.read);
        columns.3.push(note.deleted);
    }
    let mut transaction = begin_unhurried(store.pool()).await?;
    sqlx::query(WRITE)
        .bind(columns.0)
        .bind(columns.1)
        .bind(columns.2)
        .bind(columns.3)
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Writes notes and traffic until the shutdown, and once more then.
pub(crate) async fn run(store: Store, shutdown: Shutdown) {
    loop {
        let goes_on = tokio::select! {
            () = tokio::time::sleep(EVERY) => true,
            () = shutdown.triggered() => false,
        };
        for (what, outcome) in [
            ("what boxes tell", store.notes().write(&store).await),
            ("traffic", store.traffic().write(&store).await),
        ] {
            if let Err(error) = outcome {
                tracing::warn!(%error, what, "the trace is written later");
            }
        }
        if !goes_on {
            return;
        }
    }
}
