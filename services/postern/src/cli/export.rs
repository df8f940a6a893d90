//! `postern export`: settings as one YAML document, without passwords.

use clap::Args;
use postern_proto::account::v1::{ListDomainsRequest, domain_service_client::DomainServiceClient};

use super::{
    Failure, document,
    operator::{Operator, PAGE_SIZE, all_pages},
};

/// Print the settings of a domain, or of all domains of a customer, as a YAML document for `postern apply`
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  postern export homepage.test\n  postern export --customer homepage > homepage.yaml"
)]
pub struct Export {
    /// Name of the domain
    #[arg(required_unless_present = "customer", conflicts_with = "customer")]
    domain: Option<String>,

    /// All domains of this customer
    #[arg(long, value_name = "LOGIN")]
    customer: Option<String>,
}

impl Export {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let customer = self.customer.clone().unwrap_or_default();
        let names = match self.domain {
            Some(domain) => vec![domain],
            None => domains_of(operator, &customer).await?,
        };
        let wanted = names.first().cloned();
        let document = document::read(operator, &customer, names).await?;
        if document.domains.is_empty()
            && customer.is_empty()
            && let Some(name) = wanted
        {
            return Err(Failure::Refused(format!("not found: domain {name}")));
        }
        let yaml = document.to_yaml()?;
        operator.show(&document, |_| yaml)
    }
}

async fn domains_of(operator: &Operator, customer: &str) -> Result<Vec<String>, Failure> {
    let mut client = DomainServiceClient::new(operator.account.clone());
    let mut names = Vec::new();
    all_pages(async |page_token| {
        let request = ListDomainsRequest {
            customer: customer.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.list_domains(request).await?.into_inner();
        names.extend(page.domains.into_iter().map(|domain| domain.name));
        Ok(page.next_page_token)
    })
    .await?;
    Ok(names)
}
