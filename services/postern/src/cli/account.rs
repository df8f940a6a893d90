//! `postern account`: POP3 boxes and their passwords.

use clap::Subcommand;
use postern_mesh::client::MeshChannel;
use postern_proto::{
    account::v1::{
        ActivityState, CreateMailboxRequest, DeleteMailboxRequest, ListMailboxesRequest,
        ListMailboxesResponse, Mailbox, SetMailboxPasswordRequest, UpdateMailboxRequest,
        mailbox_service_client::MailboxServiceClient,
    },
    google::FieldMask,
};

use super::{
    Failure,
    customer::state_name,
    operator::{Operator, PAGE_SIZE, all_pages, request_id},
    password::PasswordArgs,
    table::{Table, time},
};

/// What can be done with an account.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Create a box; its login is the whole address
    #[command(after_help = "Example:\n  postern account add anna@homepage.test")]
    Add {
        /// Address of the box
        address: String,
        /// Name for people
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List the boxes of a domain
    #[command(after_help = "Example:\n  postern account list homepage.test")]
    List {
        /// Name of the domain
        domain: String,
    },
    /// Set the password; grants won with the old one end, open sessions that rely on them are cut
    #[command(after_help = "Example:\n  postern account passwd anna@homepage.test")]
    Passwd {
        /// Address of the box
        address: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Stop logins and sending; mail is still taken and kept
    #[command(after_help = "Example:\n  postern account suspend anna@homepage.test")]
    Suspend {
        /// Address of the box
        address: String,
    },
    /// End a suspension
    #[command(after_help = "Example:\n  postern account resume anna@homepage.test")]
    Resume {
        /// Address of the box
        address: String,
    },
    /// Remove a box; what it holds is kept apart
    #[command(after_help = "Example:\n  postern account remove anna@homepage.test")]
    Remove {
        /// Address of the box
        address: String,
    },
}

impl AccountCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = MailboxServiceClient::new(operator.account.clone());
        match self {
            Self::Add { address, name, password } => {
                let password = Some(password.read(&address)?);
                let request = CreateMailboxRequest {
                    address,
                    password,
                    display_name: name,
                    request_id: request_id(),
                    quota_bytes: None,
                };
                let answer = client.create_mailbox(request).await?.into_inner();
                operator.show(&answer, |a| {
                    let mailbox = a.mailbox.clone().unwrap_or_default();
                    format!("account {} is created (mailbox {})", mailbox.address, mailbox.mailbox_id)
                })
            }
            Self::List { domain } => {
                let mut all = ListMailboxesResponse::default();
                all_pages(async |page_token| {
                    let request =
                        ListMailboxesRequest { domain: domain.clone(), page_size: PAGE_SIZE, page_token };
                    let page = client.list_mailboxes(request).await?.into_inner();
                    all.mailboxes.extend(page.mailboxes);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Passwd { address, password } => {
                let password = Some(password.read(&address)?);
                let said = format!("the password of {address} is changed");
                let request = SetMailboxPasswordRequest { address, password };
                operator.done(&client.set_mailbox_password(request).await?.into_inner(), said)
            }
            Self::Suspend { address } => set_state(operator, client, address, ActivityState::Suspended).await,
            Self::Resume { address } => set_state(operator, client, address, ActivityState::Active).await,
            Self::Remove { address } => {
                let said = format!("account {address} is removed");
                operator
                    .done(&client.delete_mailbox(DeleteMailboxRequest { address }).await?.into_inner(), said)
            }
        }
    }
}

async fn set_state(
    operator: &Operator,
    mut client: MailboxServiceClient<MeshChannel>,
    address: String,
    state: ActivityState,
) -> Result<(), Failure> {
    let said = format!("account {address} is {}", state_name(state.into()));
    let mailbox = Mailbox { address, state: state.into(), ..Mailbox::default() };
    let update_mask = Some(FieldMask { paths: vec!["state".to_owned()] });
    let request = UpdateMailboxRequest { mailbox: Some(mailbox), update_mask };
    operator.done(&client.update_mailbox(request).await?.into_inner(), said)
}

fn table(answer: &ListMailboxesResponse) -> Table {
    let mut table = Table::new(["LOGIN", "STATE", "MAILBOX", "CREATED", "NAME"], "no accounts");
    for mailbox in &answer.mailboxes {
        let name = if mailbox.default_box { "(default box)" } else { &mailbox.display_name };
        table.row([
            mailbox.login.clone(),
            state_name(mailbox.state),
            mailbox.mailbox_id.to_string(),
            time(mailbox.create_time.as_ref()),
            name.to_owned(),
        ]);
    }
    table
}
