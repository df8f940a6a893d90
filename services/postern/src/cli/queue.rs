//! `postern queue`: what still has to leave.

use clap::{Args, Subcommand, ValueEnum};
use postern_mail::MessageId;
use postern_proto::delivery::v1::{
    GetQueueEntryRequest, HoldQueueEntriesRequest, HoldQueueEntriesResponse, ListQueueEntriesRequest,
    ListQueueEntriesResponse, QueueEntry, QueueSelection, QueueState, RemoveQueueEntriesRequest,
    RemoveQueueEntriesResponse, RetryQueueEntriesRequest, RetryQueueEntriesResponse,
    queue_service_client::QueueServiceClient,
};

use super::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages},
    table::{Fields, Table, counted, time},
};

/// What can be done with the queue.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// List what still has to leave, oldest first
    #[command(after_help = "Example:\n  postern queue list --domain outside.test --state held")]
    List(Filter),
    /// Show one entry
    #[command(after_help = "Example:\n  postern queue show 17")]
    Show {
        /// Number of the entry
        entry: i64,
    },
    /// Make entries due now, held ones too
    #[command(after_help = "Example:\n  postern queue retry 17 18")]
    Retry(Entries),
    /// Stop attempts; the five days run on
    #[command(after_help = "Example:\n  postern queue hold 01998877665544332211009988776655")]
    Hold(Entries),
    /// Give entries up; the sender gets a bounce
    #[command(after_help = "Example:\n  postern queue remove 17 --silent")]
    Remove {
        #[command(flatten)]
        entries: Entries,
        /// Without a bounce
        #[arg(long)]
        silent: bool,
    },
}

/// Which entries are listed.
#[derive(Args, Debug)]
pub struct Filter {
    /// On behalf of this customer
    #[arg(long, value_name = "LOGIN", default_value = "", hide_default_value = true)]
    customer: String,
    /// To this recipient domain
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    domain: String,
    /// In this state
    #[arg(long)]
    state: Option<StateName>,
    /// Of this message (32 hex digits)
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true)]
    message: String,
}

/// Which entries are acted on.
#[derive(Args, Debug)]
pub struct Entries {
    /// Numbers of entries, or message ids (32 hex digits) for all entries of a message
    #[arg(required = true, value_name = "ENTRY|MESSAGE", value_parser = parse_entry)]
    entries: Vec<EntryName>,
}

/// States by name.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateName {
    Waiting,
    Active,
    Held,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum EntryName {
    Number(i64),
    Message(MessageId),
}

fn parse_entry(text: &str) -> Result<EntryName, String> {
    if let Ok(id) = text.parse::<MessageId>() {
        return Ok(EntryName::Message(id));
    }
    text.parse().map(EntryName::Number).map_err(|_| "neither an entry's number nor a message id".to_owned())
}

impl Entries {
    /// One selection for all numbers, one for each message.
    fn selections(&self) -> Vec<QueueSelection> {
        let numbers = self.entries.iter().filter_map(|e| match e {
            EntryName::Number(number) => Some(*number),
            EntryName::Message(_) => None,
        });
        let numbers = QueueSelection { entry_ids: numbers.collect(), queue_id: String::new() };
        let messages = self.entries.iter().filter_map(|e| match e {
            EntryName::Message(id) => {
                Some(QueueSelection { entry_ids: Vec::new(), queue_id: id.to_string() })
            }
            EntryName::Number(_) => None,
        });
        std::iter::once(numbers).filter(|s| !s.entry_ids.is_empty()).chain(messages).collect()
    }
}

impl QueueCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = QueueServiceClient::new(operator.delivery.clone());
        let entries =
            |count: i32, what: &str| format!("{} {what}", counted(count.into(), "entry", "entries"));
        match self {
            Self::List(filter) => operator.show(&list(operator, filter).await?, table),
            Self::Show { entry } => {
                let answer =
                    client.get_queue_entry(GetQueueEntryRequest { entry_id: entry }).await?.into_inner();
                operator.show(&answer, |a| fields(&a.entry.clone().unwrap_or_default()))
            }
            Self::Retry(which) => {
                let mut all = RetryQueueEntriesResponse::default();
                for selection in which.selections() {
                    let request = RetryQueueEntriesRequest { selection: Some(selection) };
                    all.entry_count += client.retry_queue_entries(request).await?.into_inner().entry_count;
                }
                operator.show(&all, |a| entries(a.entry_count, "due now"))
            }
            Self::Hold(which) => {
                let mut all = HoldQueueEntriesResponse::default();
                for selection in which.selections() {
                    let request = HoldQueueEntriesRequest { selection: Some(selection) };
                    all.entry_count += client.hold_queue_entries(request).await?.into_inner().entry_count;
                }
                operator.show(&all, |a| entries(a.entry_count, "held"))
            }
            Self::Remove { entries: which, silent } => {
                let mut all = RemoveQueueEntriesResponse::default();
                for selection in which.selections() {
                    let request = RemoveQueueEntriesRequest { selection: Some(selection), silent };
                    all.entry_count += client.remove_queue_entries(request).await?.into_inner().entry_count;
                }
                operator.show(&all, |a| entries(a.entry_count, "given up"))
            }
        }
    }
}

async fn list(operator: &Operator, filter: Filter) -> Result<ListQueueEntriesResponse, Failure> {
    let mut client = QueueServiceClient::new(operator.delivery.clone());
    let state = match filter.state {
        None => QueueState::Unspecified,
        Some(StateName::Waiting) => QueueState::Waiting,
        Some(StateName::Active) => QueueState::Active,
        Some(StateName::Held) => QueueState::Held,
    };
    let mut all = ListQueueEntriesResponse::default();
    all_pages(async |page_token| {
        let request = ListQueueEntriesRequest {
            customer: filter.customer.clone(),
            recipient_domain: filter.domain.clone(),
            state: state.into(),
            queue_id: filter.message.clone(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = client.list_queue_entries(request).await?.into_inner();
        all.entries.extend(page.entries);
        Ok(page.next_page_token)
    })
    .await?;
    Ok(all)
}

fn table(answer: &ListQueueEntriesResponse) -> Table {
    let head = ["ENTRY", "STATE", "ATTEMPTS", "NEXT", "FROM", "TO", "LAST OUTCOME"];
    let mut table = Table::new(head, "the queue is empty");
    for entry in &answer.entries {
        table.row([
            entry.entry_id.to_string(),
            state_name(entry.state),
            entry.attempt_count.to_string(),
            time(entry.next_attempt_time.as_ref()),
            sender(entry),
            entry.recipient.clone(),
            entry.last_outcome.clone(),
        ]);
    }
    table
}

fn fields(entry: &QueueEntry) -> Fields {
    Fields::default()
        .add("entry", entry.entry_id)
        .add("message", &entry.queue_id)
        .add("state", state_name(entry.state))
        .add("from", sender(entry))
        .add("to", &entry.recipient)
        .add("customer", &entry.customer)
        .add("bytes", entry.size_bytes)
        .add("attempts", entry.attempt_count)
        .add("last outcome", &entry.last_outcome)
        .add("queued", time(entry.create_time.as_ref()))
        .add("next attempt", time(entry.next_attempt_time.as_ref()))
        .add("gives up at", time(entry.expire_time.as_ref()))
}

fn sender(entry: &QueueEntry) -> String {
    if entry.sender.is_empty() { "<>".to_owned() } else { entry.sender.clone() }
}

fn state_name(state: i32) -> String {
    match QueueState::try_from(state) {
        Ok(QueueState::Waiting) => "waiting".to_owned(),
        Ok(QueueState::Active) => "active".to_owned(),
        Ok(QueueState::Held) => "held".to_owned(),
        _ => format!("state {state}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_together_messages_one_by_one() {
        let id = "01998877665544332211009988776655";
        let entries: Vec<_> = ["7", id, "8"].iter().map(|t| parse_entry(t).expect(t)).collect();
        let selections = Entries { entries }.selections();
        assert_eq!(selections.len(), 2);
        assert_eq!(selections[0].entry_ids, [7, 8]);
        assert_eq!(selections[1].queue_id, id);
        assert!(parse_entry("x").is_err());
    }
}
