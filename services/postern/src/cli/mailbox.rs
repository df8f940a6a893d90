//! `postern mailbox`: what a box holds, and its undo.

use std::time::Duration;

use clap::{Args, Subcommand};
use postern_proto::{
    account::v1::{
        GetMailboxRequest, ListRemovedMailboxesRequest, ListRemovedMailboxesResponse, Mailbox,
        RestoreMailboxRequest, RestoreMailboxResponse, mailbox_service_client::MailboxServiceClient,
    },
    delivery::v1::{
        Box as MailBox, ClearBoxRequest, ClearBoxResponse, ClearScope, GetBoxRequest, ListClearingsRequest,
        ListClearingsResponse, MoveMessagesRequest, RestoreBoxRequest, box_service_client::BoxServiceClient,
    },
};
use serde::Serialize;
use tonic::Request;

use super::{
    Failure,
    customer::state_name,
    operator::{Operator, PAGE_SIZE, all_pages},
    table::{Fields, Table, counted, time},
};

/// How long a large box may take.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What can be done with a box.
#[derive(Debug, Subcommand)]
pub enum MailboxCommand {
    /// Show how much a box holds
    #[command(
        after_help = "Examples:\n  postern mailbox show anna@homepage.test\n  postern mailbox show homepage"
    )]
    Show {
        /// Address of the box, or the login of a default box
        address: String,
    },
    /// Move damaged messages, or all, to the vault; `postern mailbox restore` brings them back
    #[command(
        after_help = "Examples:\n  postern mailbox clear anna@homepage.test\n  postern mailbox clear anna@homepage.test --all --dry-run"
    )]
    Clear(ClearArgs),
    /// Bring back a removed box, or what was cleared from one
    #[command(
        after_help = "Examples:\n  postern mailbox restore anna@homepage.test --list\n  postern mailbox restore anna@homepage.test\n  \
                      postern mailbox restore anna@homepage.test --clearing 7"
    )]
    Restore(RestoreArgs),
}

/// What is cleared.
#[derive(Args, Debug)]
pub struct ClearArgs {
    /// Address of the box, or the login of a default box
    address: String,
    /// Only messages whose content is damaged or missing (this is the default)
    #[arg(long, conflicts_with = "all")]
    damaged_only: bool,
    /// All messages
    #[arg(long)]
    all: bool,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

/// What is brought back.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Address that the box has or had, or the login of a default box
    address: String,
    /// The removed box with this id, when the address was removed more than once
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    id: i64,
    /// What this clearing took from the box; 0: what all clearings took
    #[arg(long, value_name = "N", conflicts_with = "id")]
    clearing: Option<i64>,
    /// Where the address has a new box: move the mail of the removed one into it; whoever has the new box can read it
    #[arg(long, conflicts_with = "clearing")]
    merge: bool,
    /// Only list what can be brought back
    #[arg(long, conflicts_with_all = ["id", "clearing", "merge"])]
    list: bool,
}

/// Two answers side by side, each in its protobuf JSON.
#[derive(Serialize)]
struct Shown {
    mailbox: Mailbox,
    r#box: MailBox,
}

/// What can be brought back.
#[derive(Serialize)]
struct Restorable {
    removed: ListRemovedMailboxesResponse,
    cleared: ListClearingsResponse,
}

impl MailboxCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        match self {
            Self::Show { address } => show(operator, address).await,
            Self::Clear(args) => clear(operator, args).await,
            Self::Restore(args) if args.list => {
                operator.show(&restorable(operator, args.address).await?, restorable_table)
            }
            Self::Restore(RestoreArgs { address, clearing: Some(clearing_id), .. }) => {
                restore_cleared(operator, address, clearing_id).await
            }
            Self::Restore(RestoreArgs { address, id, merge, .. }) => {
                restore_removed(operator, address, id, merge).await
            }
        }
    }
}

async fn show(operator: &Operator, address: String) -> Result<(), Failure> {
    let mailbox = get(operator, address).await?;
    let request = GetBoxRequest { mailbox_id: mailbox.mailbox_id };
    let answer = BoxServiceClient::new(operator.delivery.clone()).get_box(request).await?.into_inner();
    let shown = Shown { mailbox, r#box: answer.r#box.unwrap_or_default() };
    operator.show(&shown, fields)
}

async fn clear(operator: &Operator, args: ClearArgs) -> Result<(), Failure> {
    let mailbox = get(operator, args.address.clone()).await?;
    let scope = if args.all { ClearScope::All } else { ClearScope::Damaged };
    let request = ClearBoxRequest {
        mailbox_id: mailbox.mailbox_id,
        scope: scope.into(),
        validate_only: args.dry_run,
        ..ClearBoxRequest::default()
    };
    let mut client = BoxServiceClient::new(operator.delivery.clone());
    let cleared = client.clear_box(patient(request)).await?.into_inner();
    operator.show(&cleared, |cleared| said_of_clearing(&args, cleared))
}

fn said_of_clearing(args: &ClearArgs, cleared: &ClearBoxResponse) -> String {
    let what = if args.all { "message" } else { "damaged message" };
    let count = counted(cleared.cleared_count, what, &format!("{what}s"));
    let of = format!("{count} of {}", cleared.checked_count);
    match (args.dry_run, cleared.cleared_count) {
        (true, _) => format!("{of} would go to the vault"),
        (false, 0) => format!("{of}: nothing went"),
        (false, _) => format!(
            "{of} went to the vault as clearing {id}; until {until} `postern mailbox restore {} --clearing {id}` brings it back",
            args.address,
            id = cleared.clearing_id,
            until = time(cleared.restorable_until_time.as_ref()),
        ),
    }
}

async fn restore_cleared(operator: &Operator, address: String, clearing_id: i64) -> Result<(), Failure> {
    let mailbox = get(operator, address).await?;
    let request = RestoreBoxRequest { mailbox_id: mailbox.mailbox_id, clearing_id };
    let mut client = BoxServiceClient::new(operator.delivery.clone());
    let restored = client.restore_box(patient(request)).await?.into_inner();
    let said = format!("{} came back", counted(restored.restored_count, "message", "messages"));
    operator.done(&restored, said)
}

async fn restore_removed(
    operator: &Operator,
    address: String,
    mailbox_id: i64,
    merge: bool,
) -> Result<(), Failure> {
    let request = RestoreMailboxRequest { address: address.clone(), mailbox_id };
    let restored =
        MailboxServiceClient::new(operator.account.clone()).restore_mailbox(request).await?.into_inner();
    let mailbox = restored.mailbox.clone().unwrap_or_default();
    if restored.merge_from_mailbox_id == 0 {
        return operator.show(&restored, |restored| back(&address, restored));
    }
    if !merge {
        return Err(Failure::Refused(format!(
            "{address} is another mailbox now ({}), whose user would read the mail of the removed one: \
             `postern mailbox restore {address} --id {} --merge` moves it there",
            mailbox.mailbox_id, restored.merge_from_mailbox_id
        )));
    }
    let request = MoveMessagesRequest {
        from_mailbox_id: restored.merge_from_mailbox_id,
        to_mailbox_id: mailbox.mailbox_id,
    };
    let mut client = BoxServiceClient::new(operator.delivery.clone());
    let moved = client.move_messages(patient(request)).await?.into_inner();
    let said = format!(
        "{address} is another mailbox now ({}): {} of the removed one ({}) moved into it",
        mailbox.mailbox_id,
        counted(moved.moved_count, "message", "messages"),
        restored.merge_from_mailbox_id
    );
    operator.done(&moved, said)
}

/// What is back, and what of it is not.
fn back(address: &str, restored: &RestoreMailboxResponse) -> String {
    let mailbox_id = restored.mailbox.as_ref().map_or(0, |mailbox| mailbox.mailbox_id);
    let kinds = restored.went_along.iter().filter(|along| along.refused.is_empty());
    let kinds: Vec<_> = kinds.map(|along| format!("its {}", along.kind)).collect();
    let with = if kinds.is_empty() { String::new() } else { format!(", with {}", kinds.join(" and ")) };
    let mut said = format!("{address} is back as it was (mailbox {mailbox_id}){with}");
    for along in restored.went_along.iter().filter(|along| !along.refused.is_empty()) {
        let (kind, refused, id) = (&along.kind, &along.refused, along.audit_id);
        said.push_str(&format!("\nits {kind} is not: {refused}; later: `postern audit restore {id}`"));
    }
    said
}

/// Removed boxes of this address, and clearings of the one that has it now.
async fn restorable(operator: &Operator, address: String) -> Result<Restorable, Failure> {
    let live = get(operator, address.clone()).await;
    let domain = match (&live, address.split_once('@')) {
        (_, Some((_, domain))) => domain.to_owned(),
        (Ok(mailbox), None) => mailbox.domain.clone(),
        (Err(_), None) => return live.map(|_| Restorable::empty()),
    };
    let mut found = Restorable::empty();
    let mut client = MailboxServiceClient::new(operator.account.clone());
    all_pages(async |page_token| {
        let request = ListRemovedMailboxesRequest {
            domain: domain.clone(),
            address: address.clone(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = client.list_removed_mailboxes(request).await?.into_inner();
        found.removed.mailboxes.extend(page.mailboxes);
        Ok(page.next_page_token)
    })
    .await?;
    if let Ok(mailbox) = live {
        let request =
            ListClearingsRequest { mailbox_id: mailbox.mailbox_id, ..ListClearingsRequest::default() };
        let mut client = BoxServiceClient::new(operator.delivery.clone());
        found.cleared = client.list_clearings(request).await?.into_inner();
    }
    Ok(found)
}

impl Restorable {
    fn empty() -> Self {
        Self { removed: ListRemovedMailboxesResponse::default(), cleared: ListClearingsResponse::default() }
    }
}

/// A request whose answer may take its time.
pub(super) fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// The mailbox behind an address.
pub(super) async fn get(operator: &Operator, address: String) -> Result<Mailbox, Failure> {
    let mut client = MailboxServiceClient::new(operator.account.clone());
    let answer = client.get_mailbox(GetMailboxRequest { address: address.clone() }).await?.into_inner();
    answer.mailbox.ok_or_else(|| Failure::Later(format!("account gave an empty answer about {address}")))
}

fn restorable_table(found: &Restorable) -> Table {
    let head = ["WHAT", "ID", "SINCE", "UNTIL", "MESSAGES"];
    let mut table = Table::new(head, "nothing can be brought back");
    for removed in &found.removed.mailboxes {
        table.row([
            "removed box".to_owned(),
            removed.mailbox_id.to_string(),
            time(removed.remove_time.as_ref()),
            time(removed.restorable_until_time.as_ref()),
            String::new(),
        ]);
    }
    for clearing in &found.cleared.clearings {
        table.row([
            "clearing".to_owned(),
            clearing.clearing_id.to_string(),
            time(clearing.clear_time.as_ref()),
            time(clearing.restorable_until_time.as_ref()),
            clearing.message_count.to_string(),
        ]);
    }
    table
}

fn fields(shown: &Shown) -> Fields {
    let Shown { mailbox, r#box } = shown;
    let quota = mailbox.effective_quota_bytes.map_or_else(|| "none".to_owned(), |quota| quota.to_string());
    Fields::default()
        .add("login", &mailbox.login)
        .add("mailbox", mailbox.mailbox_id)
        .add("state", state_name(mailbox.state))
        .add("messages", r#box.message_count)
        .add("bytes", r#box.used_bytes)
        .add("quota", quota)
        .add("full", if mailbox.full { "yes: mail to it is answered 452 4.2.2" } else { "no" })
        .add("in the vault", counted(r#box.vault_message_count, "message", "messages"))
        .add("oldest", time(r#box.oldest_message_time.as_ref()))
        .add("newest", time(r#box.newest_message_time.as_ref()))
        .add("created", time(mailbox.create_time.as_ref()))
}
