//! The operator's commands: words of a shell become calls over gRPC, answers become a table or protobuf JSON.
//!
//! Exit codes: 0 answered, 1 refused, 2 usage, 75 try later.

mod account;
mod app_password;
mod apply;
mod audit;
mod autoresponder;
mod customer;
mod default_address;
mod document;
mod domain;
mod explain;
mod export;
mod export_mail;
mod failure;
mod forward;
mod grant;
mod import;
mod limits;
mod list;
mod list_member;
mod lock;
mod mailbox;
mod operator;
mod password;
mod queue;
mod table;
mod token;
mod trace;

use clap::Subcommand;

pub(crate) use self::operator::{Operator, PAGE_SIZE, all_pages, print};
pub use self::{failure::Failure, operator::Reach};

/// Standard input or output, where a file is asked for.
const STANDARD: &str = "-";

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Noun {
    /// Who owns domains
    #[command(subcommand)]
    Customer(customer::CustomerCommand),
    /// Which domains are hosted here
    #[command(subcommand)]
    Domain(domain::DomainCommand),
    /// POP3 boxes and their passwords
    #[command(subcommand)]
    Account(account::AccountCommand),
    /// Forwards and aliases
    #[command(subcommand)]
    Forward(forward::ForwardCommand),
    /// Mailing lists and their members
    #[command(subcommand)]
    List(list::ListCommand),
    /// Answers by themselves, as when somebody is away
    #[command(subcommand)]
    Autoresponder(autoresponder::AutoresponderCommand),
    /// What happens to mail for names that nothing else takes
    #[command(subcommand)]
    DefaultAddress(default_address::DefaultAddressCommand),
    /// What a box holds
    #[command(subcommand)]
    Mailbox(mailbox::MailboxCommand),
    /// Mail of another house into a box, from an mbox file or a maildir
    Import(import::ImportArgs),
    /// A box into a maildir
    ExportMail(export_mail::ExportMailArgs),
    /// Who holds a box, and how to free it
    #[command(subcommand)]
    Lock(lock::LockCommand),
    /// Who may send because they checked their mail
    #[command(subcommand)]
    Grant(grant::GrantCommand),
    /// What still has to leave
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    Trace(trace::TraceArgs),
    /// Why something happens, and what to do
    #[command(subcommand)]
    Explain(explain::ExplainCommand),
    /// Tokens for tools
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Second passwords of a box, each for one mail program
    #[command(subcommand)]
    AppPassword(app_password::AppPasswordCommand),
    /// How much of everything a customer may have, and has
    #[command(subcommand)]
    Limits(limits::LimitsCommand),
    /// Who changed what and when; brings back what was removed
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    Export(export::Export),
    Apply(apply::Apply),
}

impl Noun {
    /// Does what was asked.
    ///
    /// # Errors
    /// Refused, try later, or usage; each with its exit code.
    pub async fn run(self, reach: &Reach) -> Result<(), Failure> {
        let operator = Operator::connect(reach).await?;
        let done = self.run_as(&operator).await;
        // The deed was done or not, whatever becomes of the session: it ends by itself too.
        operator.leave().await;
        done
    }

    async fn run_as(self, operator: &Operator) -> Result<(), Failure> {
        match self {
            Self::Customer(command) => command.run(operator).await,
            Self::Domain(command) => command.run(operator).await,
            Self::Account(command) => command.run(operator).await,
            Self::Forward(command) => command.run(operator).await,
            Self::List(command) => command.run(operator).await,
            Self::Autoresponder(command) => command.run(operator).await,
            Self::DefaultAddress(command) => command.run(operator).await,
            Self::Mailbox(command) => command.run(operator).await,
            Self::Import(args) => args.run(operator).await,
            Self::ExportMail(args) => args.run(operator).await,
            Self::Lock(command) => command.run(operator).await,
            Self::Grant(command) => command.run(operator).await,
            Self::Queue(command) => command.run(operator).await,
            Self::Trace(args) => args.run(operator).await,
            Self::Explain(command) => command.run(operator).await,
            Self::Token(command) => command.run(operator).await,
            Self::AppPassword(command) => command.run(operator).await,
            Self::Limits(command) => command.run(operator).await,
            Self::Audit(command) => command.run(operator).await,
            Self::Export(command) => command.run(operator).await,
            Self::Apply(command) => command.run(operator).await,
        }
    }
}
