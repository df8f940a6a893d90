//! `postern default-address`: what happens to mail for names that nothing else takes.

use clap::Subcommand;
use postern_proto::account::v1::{
    DefaultAction, DefaultAddress, GetDefaultAddressRequest, UpdateDefaultAddressRequest,
    default_address_service_client::DefaultAddressServiceClient,
};

use super::{Failure, operator::Operator};

/// What can be done with a default address.
#[derive(Debug, Subcommand)]
pub enum DefaultAddressCommand {
    /// Set the rule of a domain
    #[command(after_help = "Examples:\n  postern default-address set homepage.test reject\n  \
                            postern default-address set homepage.test anna@homepage.test")]
    Set {
        /// Name of the domain
        domain: String,
        /// box, reject, discard, or an address that gets it
        #[arg(value_name = "box|reject|discard|ADDRESS")]
        rule: String,
    },
    /// Show the rule of a domain
    #[command(after_help = "Example:\n  postern default-address show homepage.test")]
    Show {
        /// Name of the domain
        domain: String,
    },
}

impl DefaultAddressCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = DefaultAddressServiceClient::new(operator.account.clone());
        match self {
            Self::Set { domain, rule } => {
                let rule = parse_rule(domain, rule)?;
                let request = UpdateDefaultAddressRequest { default_address: Some(rule) };
                let answer = client.update_default_address(request).await?.into_inner();
                operator.show(&answer, |a| sentence(a.default_address.as_ref()))
            }
            Self::Show { domain } => {
                let answer =
                    client.get_default_address(GetDefaultAddressRequest { domain }).await?.into_inner();
                operator.show(&answer, |a| sentence(a.default_address.as_ref()))
            }
        }
    }
}

fn parse_rule(domain: String, rule: String) -> Result<DefaultAddress, Failure> {
    let (action, target) = match rule.as_str() {
        "box" => (DefaultAction::Box, String::new()),
        "reject" => (DefaultAction::Reject, String::new()),
        "discard" => (DefaultAction::Discard, String::new()),
        address if address.contains('@') => (DefaultAction::Address, rule),
        _ => return Err(Failure::Usage(format!("`{rule}` is neither box, reject, discard nor an address"))),
    };
    Ok(DefaultAddress { domain, action: action.into(), target, ..DefaultAddress::default() })
}

fn sentence(rule: Option<&DefaultAddress>) -> String {
    let Some(rule) = rule else { return String::new() };
    let what = match DefaultAction::try_from(rule.action) {
        Ok(DefaultAction::Box) => "goes to the default box".to_owned(),
        Ok(DefaultAction::Reject) => "is refused".to_owned(),
        Ok(DefaultAction::Discard) => "is thrown away".to_owned(),
        Ok(DefaultAction::Address) => format!("goes to {}", rule.target),
        _ => format!("has rule {}", rule.action),
    };
    format!("mail for other names of {} {what}", rule.domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_told_apart() {
        let action = |rule: &str| parse_rule("x.test".to_owned(), rule.to_owned()).map(|r| r.action());
        assert!(matches!(action("box"), Ok(DefaultAction::Box)));
        assert!(matches!(action("a@b.test"), Ok(DefaultAction::Address)));
        assert!(matches!(action("bounce"), Err(Failure::Usage(_))));
    }
}
