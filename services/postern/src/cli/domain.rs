//! `postern domain`: which domains are hosted here.

use clap::Subcommand;
use postern_proto::account::v1::{
    CreateDomainRequest, DeleteDomainRequest, Domain, DomainState, GetDomainRequest, ListDomainsRequest,
    ListDomainsResponse, SenderPolicy, domain_service_client::DomainServiceClient,
};

use super::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages, request_id},
    table::{Fields, Table, time},
};

/// What can be done with a domain.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Host a domain for a customer; its default box is created with it
    #[command(after_help = "Example:\n  postern domain add homepage.test --customer homepage --live")]
    Add {
        /// Name of the domain
        name: String,
        /// Login of the owner
        #[arg(long, value_name = "LOGIN")]
        customer: String,
        /// Take mail for it at once, without asking DNS
        #[arg(long)]
        live: bool,
    },
    /// List domains
    #[command(after_help = "Example:\n  postern domain list --customer homepage")]
    List {
        /// Of this customer only
        #[arg(long, value_name = "LOGIN", default_value = "", hide_default_value = true)]
        customer: String,
    },
    /// Show one domain
    #[command(after_help = "Example:\n  postern domain show homepage.test")]
    Show {
        /// Name of the domain
        name: String,
    },
    /// Stop hosting a domain; its boxes and forwards go with it
    #[command(after_help = "Example:\n  postern domain remove homepage.test")]
    Remove {
        /// Name of the domain
        name: String,
    },
}

impl DomainCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = DomainServiceClient::new(operator.account.clone());
        match self {
            Self::Add { name, customer, live } => {
                let request = CreateDomainRequest {
                    name,
                    customer,
                    live,
                    request_id: request_id(),
                    alias_of: String::new(),
                };
                let answer = client.create_domain(request).await?.into_inner();
                operator.show(&answer, |a| {
                    let domain = a.domain.clone().unwrap_or_default();
                    let (name, state, login) = (&domain.name, state_name(domain.state), &domain.login);
                    format!("domain {name} is {state}; the login of its default box is {login}")
                })
            }
            Self::List { customer } => {
                let mut all = ListDomainsResponse::default();
                all_pages(async |page_token| {
                    let request =
                        ListDomainsRequest { customer: customer.clone(), page_size: PAGE_SIZE, page_token };
                    let page = client.list_domains(request).await?.into_inner();
                    all.domains.extend(page.domains);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Show { name } => {
                let answer = client.get_domain(GetDomainRequest { name }).await?.into_inner();
                operator.show(&answer, |a| fields(&a.domain.clone().unwrap_or_default()))
            }
            Self::Remove { name } => {
                let said = format!("domain {name} is removed");
                operator.done(&client.delete_domain(DeleteDomainRequest { name }).await?.into_inner(), said)
            }
        }
    }
}

fn table(answer: &ListDomainsResponse) -> Table {
    let mut table = Table::new(["DOMAIN", "STATE", "CUSTOMER", "DEFAULT BOX"], "no domains");
    for domain in &answer.domains {
        table.row([
            domain.name.clone(),
            state_name(domain.state),
            domain.customer.clone(),
            domain.login.clone(),
        ]);
    }
    table
}

fn fields(domain: &Domain) -> Fields {
    let grant = match (domain.auth_only, domain.grant_ttl_seconds) {
        (true, _) => "none: SMTP AUTH only".to_owned(),
        (false, Some(seconds)) => format!("{} min", seconds / 60),
        (false, None) => "as the platform's".to_owned(),
    };
    Fields::default()
        .add("domain", &domain.name)
        .add("customer", &domain.customer)
        .add("state", state_name(domain.state))
        .add("default box", &domain.login)
        .add("mail host", format!("mail.{}", domain.name))
        .add("grant life", grant)
        .add("used as sender by", policy(domain))
        .add("created", time(domain.create_time.as_ref()))
        .add("changed", time(domain.update_time.as_ref()))
}

fn state_name(state: i32) -> String {
    match DomainState::try_from(state) {
        Ok(DomainState::Pending) => "pending".to_owned(),
        Ok(DomainState::Live) => "live".to_owned(),
        Ok(DomainState::Lost) => "lost".to_owned(),
        _ => format!("state {state}"),
    }
}

fn policy(domain: &Domain) -> String {
    match SenderPolicy::try_from(domain.sender_policy) {
        Ok(SenderPolicy::Named) => format!("its owner and {}", domain.allowed_senders.join(" ")),
        Ok(SenderPolicy::Anyone) => "any customer".to_owned(),
        _ => "its owner".to_owned(),
    }
}
