//! `postern grant`: who may send because they checked their mail.

use clap::{Args, Subcommand};
use postern_proto::auth::v1::{
    ListGrantsRequest, ListGrantsResponse, RevokeGrantRequest, relay_service_client::RelayServiceClient,
};

use super::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages},
    table::{Table, counted, time},
};

/// What can be done with grants.
#[derive(Debug, Subcommand)]
pub enum GrantCommand {
    /// List live grants
    #[command(after_help = "Example:\n  postern grant list --ip 203.0.113.9")]
    List(Which),
    /// End grants now and cut the SMTP sessions that rely on them
    #[command(after_help = "Example:\n  postern grant revoke --login anna@homepage.test")]
    Revoke {
        #[command(flatten)]
        which: AtLeastOne,
    },
}

/// Which grants.
#[derive(Args, Debug)]
pub struct Which {
    /// Won by this login
    #[arg(long, default_value = "", hide_default_value = true)]
    login: String,
    /// Of this client address
    #[arg(long, default_value = "", hide_default_value = true)]
    ip: String,
}

/// Which grants; nobody ends all of them by forgetting a word.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct AtLeastOne {
    /// Won by this login
    #[arg(long)]
    login: Option<String>,
    /// Of this client address
    #[arg(long)]
    ip: Option<String>,
}

impl GrantCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = RelayServiceClient::new(operator.auth.clone());
        match self {
            Self::List(Which { login, ip }) => {
                let mut all = ListGrantsResponse::default();
                all_pages(async |page_token| {
                    let (login, peer_ip) = (login.clone(), ip.clone());
                    let request = ListGrantsRequest { login, peer_ip, page_size: PAGE_SIZE, page_token };
                    let page = client.list_grants(request).await?.into_inner();
                    all.grants.extend(page.grants);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Revoke { which } => {
                let (login, peer_ip) = (which.login.unwrap_or_default(), which.ip.unwrap_or_default());
                let answer = client.revoke_grant(RevokeGrantRequest { login, peer_ip }).await?.into_inner();
                operator.show(&answer, |a| counted(a.revoked_count.into(), "grant ended", "grants ended"))
            }
        }
    }
}

fn table(answer: &ListGrantsResponse) -> Table {
    let mut table = Table::new(["CLIENT", "LOGIN", "SINCE", "UNTIL"], "no live grants");
    for grant in &answer.grants {
        table.row([
            grant.client.clone(),
            grant.login.clone(),
            time(grant.issue_time.as_ref()),
            time(grant.expire_time.as_ref()),
        ]);
    }
    table
}
