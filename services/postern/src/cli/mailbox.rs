//! `postern mailbox`: what a box holds.

use clap::Subcommand;
use postern_proto::{
    account::v1::{GetMailboxRequest, Mailbox, mailbox_service_client::MailboxServiceClient},
    delivery::v1::{Box as MailBox, GetBoxRequest, box_service_client::BoxServiceClient},
};
use serde::Serialize;

use super::{
    Failure,
    customer::state_name,
    operator::Operator,
    table::{Fields, time},
};

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
}

/// Two answers side by side, each in its protobuf JSON.
#[derive(Serialize)]
struct Shown {
    mailbox: Mailbox,
    r#box: MailBox,
}

impl MailboxCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let Self::Show { address } = self;
        let mailbox = get(operator, address).await?;
        let request = GetBoxRequest { mailbox_id: mailbox.mailbox_id };
        let answer = BoxServiceClient::new(operator.delivery.clone()).get_box(request).await?.into_inner();
        let shown = Shown { mailbox, r#box: answer.r#box.unwrap_or_default() };
        operator.show(&shown, fields)
    }
}

/// The mailbox behind an address.
pub(super) async fn get(operator: &Operator, address: String) -> Result<Mailbox, Failure> {
    let mut client = MailboxServiceClient::new(operator.account.clone());
    let answer = client.get_mailbox(GetMailboxRequest { address: address.clone() }).await?.into_inner();
    answer.mailbox.ok_or_else(|| Failure::Later(format!("account gave an empty answer about {address}")))
}

fn fields(shown: &Shown) -> Fields {
    let Shown { mailbox, r#box } = shown;
    Fields::default()
        .add("login", &mailbox.login)
        .add("mailbox", mailbox.mailbox_id)
        .add("state", state_name(mailbox.state))
        .add("messages", r#box.message_count)
        .add("bytes", r#box.used_bytes)
        .add("oldest", time(r#box.oldest_message_time.as_ref()))
        .add("newest", time(r#box.newest_message_time.as_ref()))
        .add("created", time(mailbox.create_time.as_ref()))
}
