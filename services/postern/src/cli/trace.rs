//! `postern trace`: what became of a message, or of everybody's mail.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use postern_mail::MessageId;
use postern_proto::{
    delivery::v1::{
        GetTraceRequest, GetTraceResponse, ListTracesRequest, ListTracesResponse, MailDirection, TraceEntry,
        TraceState, trace_service_client::TraceServiceClient,
    },
    google::Timestamp as ProtoTimestamp,
};

use super::{
    Failure,
    audit::moment,
    operator::Operator,
    table::{Table, time},
};

/// What became of mail: of one message by its id, else a list, newest first
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postern trace 01998877665544332211009988776655\n  postern trace --customer homepage --address friend@outside.test --since 7d"
)]
pub struct TraceArgs {
    /// Id of a message (32 hex digits), as in the 250 reply and in Received
    #[arg(value_name = "ID", conflicts_with_all = ["customer", "address", "sender", "direction", "state", "since"])]
    id: Option<MessageId>,
    /// Whose mail
    #[arg(long, value_name = "LOGIN", default_value = "", hide_default_value = true)]
    customer: String,
    /// Address of either end
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    address: String,
    /// Envelope sender; <> is the null sender
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true)]
    sender: String,
    /// Which way
    #[arg(long)]
    direction: Option<DirectionName>,
    /// What became of it
    #[arg(long)]
    state: Option<StateName>,
    /// From then on: 7d, 12h or 90m ago, or a time such as 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Lines at most
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum DirectionName {
    Received,
    Sent,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateName {
    Queued,
    Delivered,
    Sent,
    Failed,
    PassedOn,
    Removed,
}

impl TraceArgs {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        match self.id {
            Some(id) => {
                let request = GetTraceRequest { queue_id: id.to_string() };
                let mut client = TraceServiceClient::new(operator.delivery.clone());
                let answer = client.get_trace(request).await?.into_inner();
                operator.show(&answer, story)
            }
            None => operator.show(&self.list(operator).await?, table),
        }
    }

    async fn list(&self, operator: &Operator) -> Result<ListTracesResponse, Failure> {
        let mut client = TraceServiceClient::new(operator.delivery.clone());
        let mut all = ListTracesResponse::default();
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let mut page_token = String::new();
        loop {
            let page_size = i32::try_from((limit - all.entries.len()).min(1000)).unwrap_or(1000);
            let page = client.list_traces(self.request(page_size, page_token)).await?.into_inner();
            all.entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() || all.entries.len() >= limit {
                return Ok(all);
            }
        }
    }

    fn request(&self, page_size: i32, page_token: String) -> ListTracesRequest {
        let direction = match self.direction {
            None => MailDirection::Unspecified,
            Some(DirectionName::Received) => MailDirection::Received,
            Some(DirectionName::Sent) => MailDirection::Sent,
        };
        let state = match self.state {
            None => TraceState::Unspecified,
            Some(StateName::Queued) => TraceState::Queued,
            Some(StateName::Delivered) => TraceState::Delivered,
            Some(StateName::Sent) => TraceState::Sent,
            Some(StateName::Failed) => TraceState::Failed,
            Some(StateName::PassedOn) => TraceState::PassedOn,
            Some(StateName::Removed) => TraceState::Removed,
        };
        ListTracesRequest {
            customer: self.customer.clone(),
            mailbox_id: 0,
            direction: direction.into(),
            address: self.address.clone(),
            sender: self.sender.clone(),
            state: state.into(),
            begin_time: self.since.map(|since| ProtoTimestamp { seconds: since.as_second(), nanos: 0 }),
            end_time: None,
            page_size,
            page_token,
        }
    }
}

fn table(answer: &ListTracesResponse) -> Table {
    let head = ["TIME", "WAY", "STATE", "FROM", "TO", "MESSAGE", "OUTCOME"];
    let mut table = Table::new(head, "no mail");
    for entry in &answer.entries {
        table.row([
            time(entry.accept_time.as_ref()),
            match entry.direction() {
                MailDirection::Received => "received".to_owned(),
                MailDirection::Sent => "sent".to_owned(),
                MailDirection::Unspecified => String::new(),
            },
            state_name(entry.state()).to_owned(),
            sender(entry),
            recipient(entry),
            entry.queue_id.clone(),
            entry.outcome.clone(),
        ]);
    }
    table
}

/// What happened, in the order of its time, a line for each thing.
fn story(answer: &GetTraceResponse) -> Table {
    let mut table = Table::new(["TIME", "RECIPIENT", "WHAT", "DETAIL"], "no trace");
    if let Some(first) = answer.entries.first() {
        let from = if first.login.is_empty() { &first.peer_ip } else { &first.login };
        table.row([
            time(first.accept_time.as_ref()),
            String::new(),
            "accepted".to_owned(),
            format!("from {} by {from}, {} octets", sender(first), first.size_bytes),
        ]);
    }
    for entry in &answer.entries {
        let mut add = |at: Option<&ProtoTimestamp>, what: &str, detail: &str| {
            table.row([time(at), recipient(entry), what.to_owned(), detail.to_owned()]);
        };
        for attempt in &entry.attempts {
            add(attempt.attempt_time.as_ref(), "deferred", &attempt.outcome);
        }
        match entry.state() {
            TraceState::Queued => add(entry.next_attempt_time.as_ref(), "queued", "is tried then"),
            state => {
                let at = entry.outcome_time.as_ref().or(entry.accept_time.as_ref());
                add(at, state_name(state), &entry.outcome);
            }
        }
        if entry.read_time.is_some() {
            add(entry.read_time.as_ref(), "read", "");
        }
        if entry.delete_time.is_some() {
            add(entry.delete_time.as_ref(), "deleted", "");
        }
    }
    table
}

fn sender(entry: &TraceEntry) -> String {
    if entry.sender.is_empty() { "<>".to_owned() } else { entry.sender.clone() }
}

fn recipient(entry: &TraceEntry) -> String {
    match entry.via.as_str() {
        "" => entry.recipient.clone(),
        via => format!("{} (through {via})", entry.recipient),
    }
}

fn state_name(state: TraceState) -> &'static str {
    match state {
        TraceState::Unspecified => "unknown",
        TraceState::Queued => "queued",
        TraceState::Delivered => "delivered",
        TraceState::Sent => "sent",
        TraceState::Failed => "failed",
        TraceState::PassedOn => "passed on",
        TraceState::Removed => "removed",
    }
}
