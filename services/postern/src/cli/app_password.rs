//! `postern app-password`: a second password of a mailbox, for one protocol and one mail program.

use clap::{Subcommand, ValueEnum};
use postern_proto::account::v1::{
    AppProtocol, CreateAppPasswordRequest, DeleteAppPasswordRequest, ListAppPasswordsRequest,
    ListAppPasswordsResponse, app_password_service_client::AppPasswordServiceClient,
};

use super::{
    Failure,
    operator::Operator,
    table::{Table, time},
};

/// What can be done with app passwords.
#[derive(Debug, Subcommand)]
pub enum AppPasswordCommand {
    /// Make one; it is shown only now
    #[command(
        after_help = "Example:\n  postern app-password add anna@homepage.test --protocol pop3 --name laptop"
    )]
    Add {
        /// Address of the mailbox, or login of a default box
        mailbox: String,
        /// What it opens
        #[arg(long)]
        protocol: WhichProtocol,
        /// Which program it is for, 1 to 100 characters
        #[arg(long)]
        name: String,
    },
    /// List those of a mailbox, never their secrets
    #[command(after_help = "Example:\n  postern app-password list anna@homepage.test")]
    List {
        /// Address of the mailbox, or login of a default box
        mailbox: String,
    },
    /// End one; grants that were won with it end too
    #[command(after_help = "Example:\n  postern app-password remove anna@homepage.test 4")]
    Remove {
        /// Address of the mailbox, or login of a default box
        mailbox: String,
        /// Number of the app password, as `postern app-password list` shows it
        id: i64,
    },
}

/// The protocol of an app password.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum WhichProtocol {
    /// Fetching mail
    Pop3,
    /// Sending mail with SMTP AUTH
    Smtp,
}

impl AppPasswordCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = AppPasswordServiceClient::new(operator.account.clone());
        match self {
            Self::Add { mailbox, protocol, name } => {
                let protocol = match protocol {
                    WhichProtocol::Pop3 => AppProtocol::Pop3,
                    WhichProtocol::Smtp => AppProtocol::Smtp,
                };
                let request =
                    CreateAppPasswordRequest { mailbox, protocol: protocol.into(), display_name: name };
                let answer = client.create_app_password(request).await?.into_inner();
                operator.show(&answer, |a| {
                    let made = a.app_password.clone().unwrap_or_default();
                    let (id, protocol) = (made.app_password_id, protocol_name(made.protocol));
                    format!(
                        "app password {id} of {} for {protocol} is made and is shown only now:\n{}",
                        made.mailbox, a.secret
                    )
                })
            }
            Self::List { mailbox } => {
                let answer = client.list_app_passwords(ListAppPasswordsRequest { mailbox }).await?;
                operator.show(&answer.into_inner(), table)
            }
            Self::Remove { mailbox, id } => {
                let said = format!("app password {id} of {mailbox} is ended");
                let request = DeleteAppPasswordRequest { mailbox, app_password_id: id };
                operator.done(&client.delete_app_password(request).await?.into_inner(), said)
            }
        }
    }
}

fn table(answer: &ListAppPasswordsResponse) -> Table {
    let mut table = Table::new(["ID", "OPENS", "CREATED", "NAME"], "no app passwords");
    for made in &answer.app_passwords {
        table.row([
            made.app_password_id.to_string(),
            protocol_name(made.protocol),
            time(made.create_time.as_ref()),
            made.display_name.clone(),
        ]);
    }
    table
}

fn protocol_name(protocol: i32) -> String {
    match AppProtocol::try_from(protocol) {
        Ok(AppProtocol::Pop3) => "pop3".to_owned(),
        Ok(AppProtocol::Smtp) => "smtp".to_owned(),
        _ => format!("protocol {protocol}"),
    }
}
