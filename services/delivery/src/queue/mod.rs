//! What still has to leave: rows of Postgres that workers lease, send, and end.
//!
//! The walk: `accept` commits rows that are born leased to this replica and offers them here; the `dispatch` loop joins
//! them into jobs (and polls for what others left), a `worker` sends a job through `outbound`, and `record` writes down
//! how it went: delivered rows go, deferred ones wait, failed ones end in a `bounce` in the same transaction. Rows that are
//! errands take the same walk, but are done in the house (`errand`).

mod bounces;
mod contents;
mod dispatch;
mod errand;
mod lanes;
mod leases;
mod listing;
mod overdue;
mod pace;
mod poll;
mod record;
mod schedule;
mod settings;
mod store;
mod trickle;
mod turns;
mod upkeep;
mod worker;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId, ReversePath};
use postern_mesh::{StartError, directory::Directory, shutdown::Shutdown};
use postern_smtp::dsn::{MessageDsn, RecipientDsn};
use tokio::sync::{Notify, mpsc};

use crate::{
    accept::{Acceptor, MessageFlags, NewMessage, NewQueueRow, QueueClass, StoredContent},
    departure::Departures,
    lists::CopyFates,
    outbound::{ContentError, Outbound, OutboundSettings},
};

pub(crate) use bounces::{Bounces, FatedRow};
pub use contents::StoredContents;
use dispatch::Dispatcher;
pub use errand::{ErrandOutcome, ErrandRunner};
use leases::{Leases, Ticket};
pub(crate) use listing::{EntryFilter, EntryRow};
pub use schedule::Schedule;
pub use settings::QueueSettings;
pub(crate) use store::Ended;
pub use store::QueueStore;
use worker::Worker;

/// Offers that wait for the dispatcher. What does not fit is found when its birth lease ends.
const OFFERS_MAX: usize = 1024;

/// A message that must leave.
#[derive(Clone, Debug)]
pub struct QueuedMessage {
    /// Its id.
    pub id: MessageId,
    /// Envelope sender.
    pub sender: ReversePath,
    /// Header fields of ours.
    pub prefix: Bytes,
    /// What was received, or where it is.
    pub content: StoredContent,
    /// Octets of the content.
    pub content_bytes: u64,
    /// CRC-32C of the content.
    pub checksum: u32,
    /// What else is known of it.
    pub flags: MessageFlags,
    /// When we took it.
    pub accept_time: Timestamp,
    /// What its sender wants to hear of it.
    pub dsn: MessageDsn,
    /// Customer on whose behalf it was submitted.
    pub customer: Option<String>,
    /// The trace that it was accepted in.
    pub traceparent: Option<String>,
}

impl From<&NewMessage> for QueuedMessage {
    fn from(message: &NewMessage) -> Self {
        Self {
            id: message.id,
            sender: message.sender.clone(),
            prefix: message.prefix.clone(),
            content: message.content.clone(),
            content_bytes: message.content_bytes,
            checksum: message.checksum,
            flags: message.flags,
            accept_time: Timestamp::now(),
            dsn: message.dsn.clone(),
            customer: message.customer.clone(),
            traceparent: message.traceparent.clone(),
        }
    }
}

/// A queue row that this replica holds the lease of.
#[derive(Clone, Debug)]
pub struct LeasedRow {
    /// Its id.
    pub id: i64,
    /// By which it is known while it waits here.
    pub(crate) ticket: Ticket,
    /// Its message.
    pub message_id: MessageId,
    /// Where it must go.
    pub recipient: EmailAddress,
    /// Our address that forwards it.
    pub via: Option<EmailAddress>,
    /// What kind of work it is.
    pub class: QueueClass,
    /// The list or autoresponder that an errand is about.
    pub subject_id: Option<i64>,
    /// How far an errand is, or what it needs; of a copy of a list the member, when that is another address.
    pub note: Option<String>,
    /// Attempts so far.
    pub attempts: u32,
    /// Its time is over: if it cannot leave now, the sender is told.
    pub expired: bool,
    /// An operator stopped it: it is not to be tried, only ended.
    pub held: bool,
    /// On whose behalf it leaves.
    pub customer: Option<String>,
    /// What the sender wants to hear of this recipient.
    pub dsn: RecipientDsn,
    /// It is so old that the sender is to be told, and was not told yet.
    pub delay_due: bool,
    /// What the last attempt met.
    pub last_outcome: String,
    /// The message, when it is at hand; else it is read when its turn comes.
    pub message: Option<Arc<QueuedMessage>>,
}

/// The rows of a message that was just committed, ready for [`QueueHandle::offer`]. `ids` are those of the commit.
#[must_use]
pub fn born(message: &NewMessage, rows: &[NewQueueRow], ids: &[i64]) -> Vec<LeasedRow> {
    let shared = Arc::new(QueuedMessage::from(message));
    let leased = |(row, id): (&NewQueueRow, &i64)| LeasedRow {
        id: *id,
        ticket: Ticket::default(),
        message_id: message.id,
        recipient: row.recipient.clone(),
        via: row.via.clone(),
        class: row.class,
        subject_id: row.subject_id,
        note: row.note.clone(),
        attempts: 0,
        expired: false,
        held: false,
        customer: row.customer.as_ref().or(message.customer.as_ref()).cloned(),
        dsn: row.dsn.clone(),
        delay_due: false,
        last_outcome: String::new(),
        message: Some(Arc::clone(&shared)),
    };
    rows.iter().zip(ids).map(leased).collect()
}

/// What the queue stands on.
pub struct QueueParts {
    /// Its rows.
    pub store: QueueStore,
    /// Where bounces are committed.
    pub acceptor: Acceptor,
    /// Where bounces are routed.
    pub directory: Directory,
    /// Where large contents are.
    pub contents: Arc<dyn ContentSource>,
    /// Who does errands.
    pub errands: Arc<dyn ErrandRunner>,
    /// What stands in front of what leaves.
    pub departures: Departures,
    /// Where it is told how copies of lists fare.
    pub(crate) fates: CopyFates,
}

/// Gives stored content back.
pub trait ContentSource: Send + Sync {
    /// The whole content in pieces. An error, also of the checksum, comes before the end.
    fn open(&self, message: &QueuedMessage) -> BoxStream<'static, Result<Bytes, ContentError>>;
}

/// The running queue.
pub struct Queue {
    /// For those who commit queue rows.
    pub handle: QueueHandle,
    /// Its rows.
    pub store: QueueStore,
    /// Ends rows for good.
    pub(crate) bounces: Arc<Bounces>,
}

/// How the rest of the service talks to the workers. Clones are the same workers.
#[derive(Clone, Debug)]
pub struct QueueHandle {
    offers: mpsc::Sender<Vec<LeasedRow>>,
    wake: Arc<Notify>,
    leases: Arc<Leases>,
}

impl QueueHandle {
    /// Hands rows over that were born leased to this replica. Never waits: what does not fit is found by the poll when
    /// its lease ends.
    pub fn offer(&self, rows: Vec<LeasedRow>) {
        if rows.is_empty() {
            return;
        }
        if self.offers.try_send(rows).is_err() {
            metrics::counter!("postern_queue_offers_left_to_poll_total").increment(1);
        }
    }

    /// Something became due: look now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops work on these rows; gives those whose end of data may already have reached the host.
    pub(crate) fn stop(&self, ids: &[i64]) -> Vec<i64> {
        self.leases.stop(ids)
    }
}

/// Starts the workers of this replica:
///
/// ```ignore
/// let outbound = settings.queue.outbound(settings.smarthost.as_deref(), &settings.mail_host)?;
/// let rows = QueueStore::new(store.pool().clone(), replica, settings.queue.lifetime());
/// let contents = Arc::new(StoredContents::new(blobs));
/// let queue = queue::start(QueueParts { store: rows, acceptor, directory, contents, errands, departures }, &settings.queue, outbound, shutdown)?;
/// // after a commit: queue.handle.offer(queue::born(&message, &unit_queue, &committed.queue_ids));
/// // the door: QueueServiceServer::new(grpc::queue::QueueDoor::new(Arc::new(queue)))
/// ```
///
/// `replica` is the lease owner that the acceptor writes.
///
/// # Errors
/// The resolver or TLS cannot be set up.
pub fn start(
    parts: QueueParts,
    settings: &QueueSettings,
    outbound: OutboundSettings,
    shutdown: &Shutdown,
) -> Result<Queue, StartError> {
    let (offers, offered) = mpsc::channel(OFFERS_MAX);
    let wake = Arc::new(Notify::new());
    let leases = Arc::new(Leases::default());
    let handle = QueueHandle { offers, wake: Arc::clone(&wake), leases: Arc::clone(&leases) };
    let mail_host = outbound.mail_host.clone();
    let outbound = Outbound::new(outbound)?.keeping_policies(parts.store.pool().clone());
    let outbound = Arc::new(outbound);
    let recorder = record::start(parts.store.clone(), Arc::clone(&leases));
    let bounces = Arc::new(Bounces {
        store: parts.store.clone(),
        acceptor: parts.acceptor,
        directory: parts.directory,
        mail_host,
        contents: Arc::clone(&parts.contents),
        handle: handle.clone(),
        recorder: recorder.clone(),
    });
    let queue = Queue { handle, store: parts.store.clone(), bounces: Arc::clone(&bounces) };
    let dispatcher = Dispatcher {
        worker: Arc::new(Worker {
            store: parts.store,
            contents: parts.contents,
            outbound,
            recorder,
            schedule: settings.schedule(),
            leases,
            errands: parts.errands,
            departures: parts.departures,
            fates: parts.fates,
            posts: worker::posts(),
            handle: queue.handle.clone(),
        }),
        bounces,
        limits: settings.limits(),
        wake,
    };
    let until = shutdown.clone();
    shutdown.spawn(async move { dispatcher.run(offered, until).await });
    Ok(queue)
}

#[cfg(test)]
pub(crate) mod tests;
