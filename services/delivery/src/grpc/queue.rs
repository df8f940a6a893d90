//! The operators' door to the queue: look, retry, hold, remove.

use std::{collections::BTreeMap, sync::Arc};

use postern_mail::{DomainName, MessageId, Reason};
use postern_mesh::{
    audit::{self, Thing},
    failure,
    identity::Caller,
    opened,
};
use postern_proto::{
    delivery::v1::{
        GetQueueEntryRequest, GetQueueEntryResponse, HoldQueueEntriesRequest, HoldQueueEntriesResponse,
        ListQueueEntriesRequest, ListQueueEntriesResponse, QueueEntry, QueueSelection, QueueState,
        RemoveQueueEntriesRequest, RemoveQueueEntriesResponse, RetryQueueEntriesRequest,
        RetryQueueEntriesResponse, queue_service_server::QueueService,
    },
    google::Timestamp,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{customer, rights::Rights};
use crate::{
    bounce::{Action, Fate},
    queue::{Ended, EntryFilter, EntryRow, FatedRow, LeasedRow, Queue},
    trace::TraceState,
};

const PAGE_SIZE_DEFAULT: i32 = 100;
const PAGE_SIZE_MAX: i32 = 1000;
/// Entries that one call acts on.
const SELECTION_MAX: usize = 10_000;
/// Entries that one line of the audit names; it counts all.
const AUDITED_MAX: usize = 20;

/// QueueService over the queue of this replica and the common store.
#[derive(Clone)]
pub(crate) struct QueueDoor {
    queue: Arc<Queue>,
    rights: Rights,
}

impl QueueDoor {
    pub(crate) fn new(queue: Arc<Queue>, rights: Rights) -> Self {
        Self { queue, rights }
    }

    /// Writes what was done to these rows into the audit, a line for each customer whose mail it was.
    async fn record(&self, caller: &Caller, action: audit::Action, deeds: &[EntryRow]) {
        let mut by_customer: BTreeMap<&str, Vec<&EntryRow>> = BTreeMap::new();
        for row in deeds {
            by_customer.entry(row.customer.as_deref().unwrap_or_default()).or_default().push(row);
        }
        for (customer, rows) in by_customer {
            let shown: Vec<_> = rows
                .iter()
                .take(AUDITED_MAX)
                .map(|row| {
                    serde_json::json!({
                        "entryId": row.id.to_string(),
                        "queueId": row.message_id.simple().to_string(),
                        "recipient": row.recipient,
                    })
                })
                .collect();
            let before = serde_json::json!({ "count": rows.len(), "entries": shown });
            let name = rows.first().map(|row| row.message_id.simple().to_string()).unwrap_or_default();
            let deed = (Thing::QueueEntry, action);
            self.rights.record_for(caller, deed, customer, &name, before.to_string()).await;
        }
    }

    /// The rows as they are now, for the audit.
    async fn rows(&self, ids: &[i64]) -> Result<Vec<EntryRow>, Status> {
        self.queue.store.entries(ids).await.map_err(unavailable)
    }

    /// The ids that a selection names; those that do not exist are left out.
    async fn selected(&self, selection: Option<QueueSelection>) -> Result<Vec<i64>, Status> {
        let selection = selection.ok_or_else(|| invalid("selection is missing"))?;
        if selection.entry_ids.is_empty() == selection.queue_id.is_empty() {
            return Err(invalid("selection: give either entry_ids or queue_id"));
        }
        if selection.entry_ids.len() > SELECTION_MAX {
            return Err(invalid(format!("selection: at most {SELECTION_MAX} entries")));
        }
        let message = optional_id(&selection.queue_id)?;
        let found = self.queue.store.existing(&selection.entry_ids, message).await.map_err(unavailable)?;
        if found.is_empty() {
            return Err(failure::status_with(Reason::NotFound, "no such queue entry"));
        }
        Ok(found)
    }

    /// Ends rows; how many. They are held first: what is not ended when this is cut off does not leave, and stays to be seen.
    async fn remove(&self, rows: &[EntryRow], silent: bool) -> Result<usize, Status> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        // Work that can still be stopped is; where the host may have the mail already, its answer decides.
        let undecided = self.queue.handle.stop(&ids);
        let rows = rows.iter().filter(|row| !undecided.contains(&row.id));
        let ids: Vec<i64> = rows.clone().map(|row| row.id).collect();
        if silent {
            let removed: Vec<Ended> = ids.iter().copied().map(removed).collect();
            self.queue.store.finish(&removed).await.map_err(unavailable)?;
            return Ok(ids.len());
        }
        self.queue.store.hold(&ids).await.map_err(unavailable)?;
        let mut by_message: BTreeMap<Uuid, Vec<i64>> = BTreeMap::new();
        for row in rows {
            by_message.entry(row.message_id).or_default().push(row.id);
        }
        let mut given_up_count = 0;
        for ids in by_message.into_values() {
            given_up_count += self.give_up(&ids).await?;
        }
        Ok(given_up_count)
    }

    /// Ends rows of one message and tells its sender; how many.
    async fn give_up(&self, ids: &[i64]) -> Result<usize, Status> {
        let rows = self.queue.store.seize(ids).await.map_err(unavailable)?;
        let count = rows.len();
        let Some(id) = rows.first().map(|row| row.message_id) else { return Ok(0) };
        let Some(message) = self.queue.store.message(id).await.map_err(unavailable)? else {
            // Nothing is left that a bounce could be about.
            let gone: Vec<Ended> = rows.iter().map(|row| removed(row.id)).collect();
            self.queue.store.finish(&gone).await.map_err(unavailable)?;
            return Ok(count);
        };
        let failed = rows.into_iter().map(given_up).collect();
        // A worker may have come first: then there is nothing left to end, or a row that was put off.
        let is_ended = self.queue.bounces.end(&message, failed).await;
        if !is_ended && !self.queue.store.existing(ids, None).await.map_err(unavailable)?.is_empty() {
            let why = format!("the bounce for {id} cannot be made now; what is not removed yet is held");
            return Err(failure::status_with(Reason::Unavailable, why));
        }
        Ok(count)
    }
}

#[tonic::async_trait]
impl QueueService for QueueDoor {
    async fn get_queue_entry(
        &self,
        request: Request<GetQueueEntryRequest>,
    ) -> Result<Response<GetQueueEntryResponse>, Status> {
        let (caller, GetQueueEntryRequest { entry_id: id }) = opened(request)?;
        let row = self.queue.store.entry(id).await.map_err(unavailable)?;
        let row = row.filter(|row| is_own(&caller, row));
        let row =
            row.ok_or_else(|| failure::status_with(Reason::NotFound, format!("no queue entry {id}")))?;
        Ok(Response::new(GetQueueEntryResponse { entry: Some(shown(row)) }))
    }

    async fn list_queue_entries(
        &self,
        request: Request<ListQueueEntriesRequest>,
    ) -> Result<Response<ListQueueEntriesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let page_size = match request.page_size {
            0 => PAGE_SIZE_DEFAULT,
            size @ 1..=PAGE_SIZE_MAX => size,
            _ => return Err(invalid(format!("page_size: 0 to {PAGE_SIZE_MAX}"))),
        };
        // Checked first: what is wrong with a question does not depend on who asks.
        let mut filter = filter(&request)?;
        if !caller.is_staff() {
            if filter.customer.as_ref().is_some_and(|customer| !caller.may_act_for(customer)) {
                return Ok(Response::new(ListQueueEntriesResponse::default()));
            }
            filter.customer = Some(caller.customer);
        }
        // One more than asked for tells whether there is another page.
        let mut rows = self.queue.store.list(&filter, i64::from(page_size) + 1).await.map_err(unavailable)?;
        let size = usize::try_from(page_size).unwrap_or_default();
        let more = rows.len() > size;
        rows.truncate(size);
        let last = rows.last().filter(|_| more).map(|row| row.id.to_string());
        Ok(Response::new(ListQueueEntriesResponse {
            entries: rows.into_iter().map(shown).collect(),
            next_page_token: last.unwrap_or_default(),
        }))
    }

    async fn retry_queue_entries(
        &self,
        request: Request<RetryQueueEntriesRequest>,
    ) -> Result<Response<RetryQueueEntriesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let ids = self.selected(request.selection).await?;
        let rows = self.rows(&ids).await?;
        let count = self.queue.store.retry(&ids).await.map_err(unavailable)?;
        self.record(&caller, audit::Action::Retry, &rows).await;
        // Other replicas look within five seconds.
        self.queue.handle.wake();
        Ok(Response::new(RetryQueueEntriesResponse { entry_count: clamped(count) }))
    }

    async fn hold_queue_entries(
        &self,
        request: Request<HoldQueueEntriesRequest>,
    ) -> Result<Response<HoldQueueEntriesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let ids = self.selected(request.selection).await?;
        let undecided = self.queue.handle.stop(&ids);
        let ids: Vec<i64> = ids.into_iter().filter(|id| !undecided.contains(id)).collect();
        let rows = self.rows(&ids).await?;
        let count = self.queue.store.hold(&ids).await.map_err(unavailable)?;
        self.record(&caller, audit::Action::Hold, &rows).await;
        Ok(Response::new(HoldQueueEntriesResponse { entry_count: clamped(count) }))
    }

    async fn remove_queue_entries(
        &self,
        request: Request<RemoveQueueEntriesRequest>,
    ) -> Result<Response<RemoveQueueEntriesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let ids = self.selected(request.selection).await?;
        let door = self.clone();
        // Bounces of many messages take longer than a caller waits: what was begun is done all the same.
        let removal = tokio::spawn(async move {
            let rows = door.rows(&ids).await?;
            let count = door.remove(&rows, request.silent).await?;
            let action = if request.silent { audit::Action::RemoveSilently } else { audit::Action::Remove };
            door.record(&caller, action, &rows).await;
            Ok::<_, Status>(count)
        });
        let count = removal.await.map_err(|error| Status::internal(error.to_string()))??;
        Ok(Response::new(RemoveQueueEntriesResponse { entry_count: clamped(count as u64) }))
    }
}

fn filter(request: &ListQueueEntriesRequest) -> Result<EntryFilter, Status> {
    let domain = match request.recipient_domain.as_str() {
        "" => None,
        text => {
            let domain: DomainName = text.parse().map_err(|e| invalid(format!("recipient_domain: {e}")))?;
            Some(domain.to_string())
        }
    };
    let state = QueueState::try_from(request.state).map_err(|_| invalid("state: no such state"))?;
    let after = match request.page_token.as_str() {
        "" => 0,
        token => token.parse().map_err(|_| invalid("page_token: not one of ours"))?,
    };
    Ok(EntryFilter {
        customer: customer(&request.customer)?,
        domain,
        message: optional_id(&request.queue_id)?,
        state: match state {
            QueueState::Unspecified => None,
            QueueState::Waiting => Some(1),
            QueueState::Active => Some(2),
            QueueState::Held => Some(3),
        },
        after,
    })
}

/// What leaves on behalf of nobody, such as a bounce, is the platform's.
fn is_own(caller: &Caller, row: &EntryRow) -> bool {
    caller.is_staff() || row.customer.as_deref().is_some_and(|customer| caller.may_act_for(customer))
}

fn removed(id: i64) -> Ended {
    let outcome = "an administrator removed it from the queue".to_owned();
    Ended { id, state: Some(TraceState::Removed), outcome, is_copy: false }
}

fn given_up(row: LeasedRow) -> FatedRow {
    let text = "an administrator removed it from the queue".to_owned();
    let fate = Fate::here(row.recipient, &row.dsn, Action::Failed, (5, 7, 0), text);
    FatedRow { id: row.id, class: row.class, is_forward: row.via.is_some(), dsn: row.dsn, fate }
}

fn shown(row: EntryRow) -> QueueEntry {
    let state = match row.state {
        2 => QueueState::Active,
        3 => QueueState::Held,
        _ => QueueState::Waiting,
    };
    QueueEntry {
        entry_id: row.id,
        queue_id: row.message_id.simple().to_string(),
        sender: row.sender,
        recipient: row.recipient,
        state: state.into(),
        attempt_count: row.attempts,
        create_time: Some(time(row.create_micros)),
        next_attempt_time: Some(time(row.next_attempt_micros)),
        expire_time: Some(time(row.expire_micros)),
        last_outcome: row.last_outcome,
        size_bytes: row.size_bytes,
        customer: row.customer.unwrap_or_default(),
    }
}

fn time(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default();
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

fn optional_id(text: &str) -> Result<Option<uuid::Uuid>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let id: MessageId = text.parse().map_err(|e| invalid(format!("queue_id: {e}")))?;
    Ok(Some(id.as_uuid()))
}

fn invalid(why: impl Into<String>) -> Status {
    failure::status_with(Reason::InvalidArgument, why)
}

fn unavailable(error: sqlx::Error) -> Status {
    tracing::warn!(%error, "the queue cannot be read or changed");
    failure::status_with(Reason::Unavailable, "the queue cannot be read or changed now")
}

fn clamped(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
