//! `postern account`: POP3 boxes and their passwords.

use clap::{Args, Subcommand};
use postern_mesh::client::MeshChannel;
use postern_proto::{
    account::v1::{
        ActivityState, CreateMailboxRequest, DeleteMailboxRequest, DeleteMailboxResponse,
        ListMailboxesRequest, ListMailboxesResponse, Mailbox, Reference, ReferenceKind,
        SetMailboxPasswordRequest, UpdateMailboxRequest, mailbox_service_client::MailboxServiceClient,
    },
    google::FieldMask,
};

use super::{
    Failure,
    customer::state_name,
    limits::{Wanted, size as quota},
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
        /// What it may hold, as in 500M, `none` (no bound of its own) or `default` (as the limits of its customer say)
        #[arg(long, value_name = "SIZE", value_parser = quota, default_value = "default", hide_default_value = true)]
        quota: Wanted,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Change what is named, and leave the rest
    #[command(after_help = "Examples:\n  postern account set anna@homepage.test --quota 2G\n  \
                      postern account set anna@homepage.test --quota default --name 'Anna Miller'")]
    Set {
        /// Address of the box, or the login of a default box
        address: String,
        #[command(flatten)]
        named: Named,
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

/// What is to be changed of a box.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct Named {
    /// Name for people
    #[arg(long)]
    name: Option<String>,
    /// What it may hold, as in 500M, `none` (no bound of its own) or `default` (as the limits of its customer say)
    #[arg(long, value_name = "SIZE", value_parser = quota)]
    quota: Option<Wanted>,
}

impl Named {
    fn request(self, address: String) -> UpdateMailboxRequest {
        let mut mailbox = Mailbox { address, ..Mailbox::default() };
        let mut paths = Vec::new();
        if let Some(name) = self.name {
            mailbox.display_name = name;
            paths.push("display_name".to_owned());
        }
        if let Some(Wanted(quota_bytes)) = self.quota {
            mailbox.quota_bytes = quota_bytes;
            paths.push("quota_bytes".to_owned());
        }
        UpdateMailboxRequest { mailbox: Some(mailbox), update_mask: Some(FieldMask { paths }) }
    }
}

impl AccountCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = MailboxServiceClient::new(operator.account.clone());
        match self {
            Self::Add { address, name, quota: Wanted(quota_bytes), password } => {
                let password = Some(password.read(&address)?);
                let request = CreateMailboxRequest {
                    address,
                    password,
                    display_name: name,
                    request_id: request_id(),
                    quota_bytes,
                };
                let answer = client.create_mailbox(request).await?.into_inner();
                operator.show(&answer, |a| {
                    let mailbox = a.mailbox.clone().unwrap_or_default();
                    format!("account {} is created (mailbox {})", mailbox.address, mailbox.mailbox_id)
                })
            }
            Self::Set { address, named } => {
                let answer = client.update_mailbox(named.request(address)).await?.into_inner();
                operator.show(&answer, |a| changed(&a.mailbox.clone().unwrap_or_default()))
            }
            Self::List { domain } => {
                let mut all = ListMailboxesResponse::default();
                all_pages(async |page_token| {
                    let request = ListMailboxesRequest {
                        domain: domain.clone(),
                        page_size: PAGE_SIZE,
                        page_token,
                        ..Default::default()
                    };
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
                let request = DeleteMailboxRequest { address: address.clone() };
                let answer = client.delete_mailbox(request).await?.into_inner();
                operator.show(&answer, |a| removed(&address, a))
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

fn changed(mailbox: &Mailbox) -> String {
    let holds = mailbox.effective_quota_bytes;
    let holds = holds.map_or_else(|| "without a bound".to_owned(), |octets| format!("{octets} octets"));
    let name = if mailbox.display_name.is_empty() { "none" } else { &mailbox.display_name };
    format!("account {} is changed; name: {name}; may hold: {holds}", mailbox.login)
}

/// What still names the address, and the way back.
fn removed(address: &str, answer: &DeleteMailboxResponse) -> String {
    let mut said = format!("account {address} is removed");
    if !answer.references.is_empty() {
        let names: Vec<_> = answer.references.iter().map(reference).collect();
        said.push_str(&format!("; it is still named by {}", names.join(", ")));
    }
    let until = time(answer.restorable_until_time.as_ref());
    said.push_str(&format!("\nuntil {until} `postern mailbox restore {address}` brings it back"));
    said
}

fn reference(reference: &Reference) -> String {
    let name = &reference.name;
    match reference.kind() {
        ReferenceKind::Forward => format!("forward {name}"),
        ReferenceKind::ListMember => format!("list {name} as member"),
        ReferenceKind::ListOwner => format!("list {name} as owner"),
        ReferenceKind::DefaultAddress => format!("the default address of {name}"),
        ReferenceKind::Autoresponder => format!("autoresponder {name}"),
        ReferenceKind::Unspecified => name.clone(),
    }
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
