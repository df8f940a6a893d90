//! `TraceService`: stories of messages, somebody's mail, and traffic, each as far as it is the caller's business.

use std::collections::HashMap;

use jiff::Timestamp;
use postern_mail::{DomainName, EmailAddress, MessageId, Reason};
use postern_mesh::{
    failure,
    identity::{Caller, Role},
    opened,
};
use postern_proto::{
    delivery::v1::{
        GetSendingSummaryRequest, GetSendingSummaryResponse, GetTraceRequest, GetTraceResponse,
        GetTrafficRequest, GetTrafficResponse, ListTracesRequest, ListTracesResponse, MailDirection,
        TraceAttempt, TraceEntry, TraceState, TraceStateCount, TrafficHour,
        trace_service_server::TraceService,
    },
    google,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::customer;
use crate::trace::{Attempt, Key, ListFilter, Row, Scope, Side, Summary, Traces, TrafficFilter, TrafficRow};

const PAGE_SIZE_DEFAULT: i32 = 100;
const PAGE_SIZE_MAX: i32 = 1000;
/// Attempts that are shown of one line.
const ATTEMPTS_SHOWN: usize = 100;
/// Longest time of one question for traffic.
const TRAFFIC_MAX_SECONDS: i64 = 100 * 86_400;
const DAY_SECONDS: i64 = 86_400;
/// What a summary looks back, unless it is told.
const SUMMARY_SECONDS: i64 = 7 * DAY_SECONDS;

/// The door.
pub(crate) struct TraceDoor {
    traces: Traces,
}

impl TraceDoor {
    pub(crate) fn new(traces: Traces) -> Self {
        Self { traces }
    }

    /// A page of one side.
    async fn page(&self, filter: &ListFilter, side: Side) -> Result<(Vec<Row>, Option<Key>), Status> {
        let filter = ListFilter { side, ..filter.clone() };
        self.traces.list(&filter).await.map_err(unavailable)
    }
}

#[tonic::async_trait]
impl TraceService for TraceDoor {
    async fn get_trace(
        &self,
        request: Request<GetTraceRequest>,
    ) -> Result<Response<GetTraceResponse>, Status> {
        let (caller, GetTraceRequest { queue_id }) = opened(request)?;
        let id: MessageId = queue_id.parse().map_err(|e| invalid(format!("queue_id: {e}")))?;
        let rows = self.traces.of_message(id).await.map_err(unavailable)?;
        let mine: Vec<(Side, Row)> =
            rows.into_iter().filter_map(|row| Some((side_of(&caller, &row)?, row))).collect();
        if mine.is_empty() {
            return Err(failure::status_with(
                Reason::NotFound,
                format!("no message {id}, or no trace of it any more"),
            ));
        }
        let attempts = self.traces.attempts(id).await.map_err(unavailable)?;
        let mut attempts_of: HashMap<String, Vec<Attempt>> = HashMap::new();
        for attempt in attempts {
            attempts_of.entry(attempt.recipient.clone()).or_default().push(attempt);
        }
        let next: HashMap<String, i64> =
            self.traces.next_attempts(id).await.map_err(unavailable)?.into_iter().collect();
        let entries = mine.into_iter().map(|(side, row)| {
            let attempts = attempts_of.remove(&row.key.recipient).unwrap_or_default();
            let next = next.get(&row.key.recipient).filter(|_| row.state == TraceState::Queued as i16);
            TraceEntry {
                attempts: attempts.into_iter().take(ATTEMPTS_SHOWN).map(shown_attempt).collect(),
                next_attempt_time: next.map(|micros| time(*micros)),
                ..shown(&caller, side, row)
            }
        });
        Ok(Response::new(GetTraceResponse { entries: entries.collect() }))
    }

    async fn list_traces(
        &self,
        request: Request<ListTracesRequest>,
    ) -> Result<Response<ListTracesResponse>, Status> {
        let (caller, request) = opened(request)?;
        let size = page_size(request.page_size)?;
        let direction = MailDirection::try_from(request.direction)
            .map_err(|_| invalid("direction: no such direction"))?;
        // Checked first: what is wrong with a question does not depend on who asks.
        let filter = filter(&request, i64::try_from(size).unwrap_or(i64::MAX) + 1)?;
        let Some(scope) = scope(&caller, customer(&request.customer)?, request.mailbox_id) else {
            return Ok(Response::new(ListTracesResponse::default()));
        };
        let filter = ListFilter { scope, ..filter };
        let sides = match direction {
            MailDirection::Received => &[Side::Received][..],
            MailDirection::Sent => &[Side::Sent],
            MailDirection::Unspecified => &[Side::Received, Side::Sent],
        };
        let mut found: Vec<(Side, Row)> = Vec::new();
        let mut horizon: Option<Key> = None;
        for side in sides {
            let (rows, cut) = self.page(&filter, *side).await?;
            // Behind the nearest cut the other side may go on, but this one is not known yet.
            horizon = horizon.max(cut);
            found.extend(rows.into_iter().map(|row| (*side, row)));
        }
        let (page, next_page_token) = cut_page(found, horizon, size);
        let entries = page.into_iter().map(|(side, row)| shown(&caller, side, row)).collect();
        Ok(Response::new(ListTracesResponse { entries, next_page_token }))
    }

    async fn get_traffic(
        &self,
        request: Request<GetTrafficRequest>,
    ) -> Result<Response<GetTrafficResponse>, Status> {
        let (caller, request) = opened(request)?;
        let filter = traffic_filter(&caller, &request)?;
        let Some(filter) = filter else { return Ok(Response::new(GetTrafficResponse::default())) };
        let hours = self.traces.traffic(&filter).await.map_err(unavailable)?;
        Ok(Response::new(GetTrafficResponse { hours: hours.into_iter().map(shown_hour).collect() }))
    }

    async fn get_sending_summary(
        &self,
        request: Request<GetSendingSummaryRequest>,
    ) -> Result<Response<GetSendingSummaryResponse>, Status> {
        let (caller, request) = opened(request)?;
        if request.mailbox_id < 0 {
            return Err(invalid("mailbox_id: not negative"));
        }
        let week_ago = Timestamp::from_second(Timestamp::now().as_second() - SUMMARY_SECONDS).ok();
        let begin = moment("begin_time", request.begin_time.as_ref())?.or(week_ago);
        let Some(scope) = scope(&caller, customer(&request.customer)?, request.mailbox_id) else {
            return Ok(Response::new(GetSendingSummaryResponse::default()));
        };
        let filter = ListFilter {
            scope,
            side: Side::Sent,
            address: None,
            sender: None,
            state: None,
            begin,
            end: None,
            after: Key::newest(),
            count: 0,
        };
        let Summary { counts, failures, is_partial } =
            self.traces.summary(&filter).await.map_err(unavailable)?;
        let count = |(state, count): (i16, i64)| TraceStateCount { state: i32::from(state), count };
        Ok(Response::new(GetSendingSummaryResponse {
            counts: counts.into_iter().map(count).collect(),
            failures: failures.into_iter().map(|row| shown(&caller, Side::Sent, row)).collect(),
            is_partial,
        }))
    }
}

/// Which end of it is the caller's; `None`: it is not its business.
fn side_of(caller: &Caller, row: &Row) -> Option<Side> {
    let is = |customer: &Option<String>, mailbox_id: Option<i64>| {
        customer
            .as_deref()
            .is_some_and(|customer| caller.may_act_for_mailbox(customer, mailbox_id.unwrap_or_default()))
    };
    if caller.is_staff() {
        return Some(if row.submit_customer.is_some() { Side::Sent } else { Side::Received });
    }
    if is(&row.customer, row.mailbox_id) {
        return Some(Side::Received);
    }
    is(&row.submit_customer, row.submit_mailbox_id).then_some(Side::Sent)
}

/// Whose mail is asked for; `None`: somebody else's.
fn scope(caller: &Caller, named: Option<String>, mailbox_id: i64) -> Option<Scope> {
    let customer = match (caller.is_staff(), named) {
        (true, named) => named,
        (false, Some(named)) if named != caller.customer => return None,
        (false, _) => Some(caller.customer.clone()),
    };
    if caller.role == Role::Mailbox {
        let asked = mailbox_id == 0 || mailbox_id == caller.mailbox_id;
        return asked.then_some(Scope::Mailbox(caller.mailbox_id, customer));
    }
    Some(match (mailbox_id, customer) {
        (0, None) => Scope::All,
        (0, Some(customer)) => Scope::Customer(customer),
        (mailbox_id, customer) => Scope::Mailbox(mailbox_id, customer),
    })
}

fn filter(request: &ListTracesRequest, count: i64) -> Result<ListFilter, Status> {
    let address = |name: &str, text: &str| -> Result<Option<String>, Status> {
        if text.is_empty() {
            return Ok(None);
        }
        let address: EmailAddress = text.parse().map_err(|e| invalid(format!("{name}: {e}")))?;
        Ok(Some(address.to_string().to_lowercase()))
    };
    let sender = match request.sender.as_str() {
        "<>" => Some(String::new()),
        text => address("sender", text)?,
    };
    let state = TraceState::try_from(request.state).map_err(|_| invalid("state: no such state"))?;
    if request.mailbox_id < 0 {
        return Err(invalid("mailbox_id: not negative"));
    }
    Ok(ListFilter {
        scope: Scope::All,
        side: Side::Received,
        address: address("address", &request.address)?,
        sender,
        state: (state != TraceState::Unspecified).then_some(state as i16),
        begin: moment("begin_time", request.begin_time.as_ref())?,
        end: moment("end_time", request.end_time.as_ref())?,
        after: after(&request.page_token)?,
        count,
    })
}

fn traffic_filter(caller: &Caller, request: &GetTrafficRequest) -> Result<Option<TrafficFilter>, Status> {
    let domain = match request.domain.as_str() {
        "" => None,
        text => {
            let domain: DomainName = text.parse().map_err(|e| invalid(format!("domain: {e}")))?;
            Some(domain.to_string())
        }
    };
    let end = moment("end_time", request.end_time.as_ref())?.unwrap_or_else(Timestamp::now);
    let day_before = || Timestamp::from_second(end.as_second().saturating_sub(DAY_SECONDS)).unwrap_or(end);
    let begin = moment("begin_time", request.begin_time.as_ref())?.unwrap_or_else(day_before);
    if end.as_second().saturating_sub(begin.as_second()) > TRAFFIC_MAX_SECONDS {
        return Err(invalid("begin_time: at most 100 days before the end"));
    }
    let customer = match (caller.is_staff(), customer(&request.customer)?) {
        (true, named) => named,
        (false, Some(named)) if named != caller.customer => return Ok(None),
        (false, _) => Some(caller.customer.clone()),
    };
    Ok(Some(TrafficFilter { customer, domain, begin, end }))
}

/// The newest `size` of what was found before the horizon, and where the next page begins.
fn cut_page(mut found: Vec<(Side, Row)>, horizon: Option<Key>, size: usize) -> (Vec<(Side, Row)>, String) {
    found.sort_by(|(_, a), (_, b)| b.key.cmp(&a.key));
    // A mail from one of theirs to another is one line: that of who received it.
    found.dedup_by(|(_, later), (_, first)| later.key == first.key);
    if let Some(horizon) = &horizon {
        found.retain(|(_, row)| row.key >= *horizon);
    }
    let more = found.len() > size;
    found.truncate(size);
    let next = if more { found.last().map(|(_, row)| row.key.clone()) } else { horizon };
    (found, next.map(|key| token(&key)).unwrap_or_default())
}

fn token(key: &Key) -> String {
    format!("{}{}", key.message_id.simple(), key.recipient)
}

fn after(token: &str) -> Result<Key, Status> {
    if token.is_empty() {
        return Ok(Key::newest());
    }
    let parts = token.split_at_checked(32).and_then(|(id, recipient)| {
        let is_clean = recipient.len() <= 400 && !recipient.contains('\0');
        Some((Uuid::try_parse(id).ok()?, recipient)).filter(|_| is_clean)
    });
    let (message_id, recipient) = parts.ok_or_else(|| invalid("page_token: not one of ours"))?;
    Ok(Key { message_id, recipient: recipient.to_owned() })
}

fn page_size(asked: i32) -> Result<usize, Status> {
    let size = match asked {
        0 => PAGE_SIZE_DEFAULT,
        size @ 1..=PAGE_SIZE_MAX => size,
        _ => return Err(invalid(format!("page_size: 0 to {PAGE_SIZE_MAX}"))),
    };
    Ok(usize::try_from(size).unwrap_or_default())
}

fn moment(name: &str, given: Option<&google::Timestamp>) -> Result<Option<Timestamp>, Status> {
    let time = given.map(|given| Timestamp::new(given.seconds, given.nanos)).transpose();
    time.map_err(|error| invalid(format!("{name}: {error}")))
}

/// What the caller may know of a line: all of its own side, of the other one only whether it arrived.
fn shown(caller: &Caller, side: Side, row: Row) -> TraceEntry {
    let receives = caller.is_staff() || side == Side::Received;
    let sends = caller.is_staff()
        || row.submit_customer.as_deref().is_some_and(|customer| {
            caller.may_act_for_mailbox(customer, row.submit_mailbox_id.unwrap_or_default())
        });
    TraceEntry {
        queue_id: row.key.message_id.simple().to_string(),
        direction: match side {
            Side::Received => MailDirection::Received,
            Side::Sent => MailDirection::Sent,
        }
        .into(),
        sender: row.sender,
        recipient: row.key.recipient,
        via: row.via.unwrap_or_default(),
        state: TraceState::try_from(i32::from(row.state)).unwrap_or_default().into(),
        accept_time: Some(time(row.accept_micros)),
        size_bytes: row.size_bytes,
        outcome: row.outcome,
        outcome_time: row.outcome_micros.map(time),
        read_time: row.read_micros.filter(|_| receives).map(time),
        delete_time: row.delete_micros.filter(|_| receives).map(time),
        mailbox_id: row.mailbox_id.filter(|_| receives).unwrap_or_default(),
        customer: row.customer.filter(|_| receives).unwrap_or_default(),
        login: row.login.filter(|_| sends).unwrap_or_default(),
        // A stranger's client stands in Received anyway; that of another customer is not told.
        peer_ip: row.peer_ip.filter(|_| sends || row.submit_customer.is_none()).unwrap_or_default(),
        attempts: Vec::new(),
        next_attempt_time: None,
    }
}

fn shown_attempt(attempt: Attempt) -> TraceAttempt {
    TraceAttempt { attempt_time: Some(time(attempt.micros)), outcome: attempt.outcome }
}

fn shown_hour(row: TrafficRow) -> TrafficHour {
    TrafficHour {
        begin_time: Some(google::Timestamp { seconds: row.hour_seconds, nanos: 0 }),
        received_count: row.received.0,
        received_bytes: row.received.1,
        sent_count: row.sent.0,
        sent_bytes: row.sent.1,
    }
}

fn time(micros: i64) -> google::Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or_default();
    google::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

fn invalid(why: impl Into<String>) -> Status {
    failure::status_with(Reason::InvalidArgument, why)
}

fn unavailable(error: sqlx::Error) -> Status {
    tracing::warn!(%error, "traces cannot be read");
    failure::status_with(Reason::Unavailable, "traces cannot be read now")
}
