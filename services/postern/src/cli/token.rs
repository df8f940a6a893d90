//! `postern token`: tokens for tools, which act in a role, within their scopes, until they end.

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use postern_proto::{
    account::v1::{
        ApiToken, CreateApiTokenRequest, DeleteApiTokenRequest, ListApiTokensRequest, ListApiTokensResponse,
        TokenRole, api_token_service_client::ApiTokenServiceClient,
    },
    google::Timestamp as ProtoTimestamp,
};

use super::{
    Failure,
    autoresponder::seconds,
    operator::{Operator, PAGE_SIZE, all_pages},
    table::{Table, time},
};

/// What can be done with API tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token; it is shown only now
    #[command(
        after_help = "Example:\n  postern token add --role customer --customer homepage --name backup \
                            --scope mailboxes:read --scope boxes:read --expires 90d"
    )]
    Add(Add),
    /// List tokens, never their secrets
    #[command(after_help = "Example:\n  postern token list --customer homepage")]
    List {
        /// Only those of this customer
        #[arg(long, default_value = "", hide_default_value = true)]
        customer: String,
    },
    /// End a token; what it opened a moment ago ends within a minute
    #[command(after_help = "Example:\n  postern token revoke 17")]
    Revoke {
        /// Number of the token, as `postern token list` shows it
        id: i64,
    },
}

/// A token that is to be made.
#[derive(Args, Debug)]
pub struct Add {
    /// In whose role it acts
    #[arg(long)]
    role: WhichRole,
    /// Login of the customer, with the role customer
    #[arg(long, default_value = "", hide_default_value = true)]
    customer: String,
    /// What it is for, 1 to 100 characters
    #[arg(long)]
    name: String,
    /// What it may: <area>:read, <area>:write, *:read or *:write; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, num_args = 1..)]
    scopes: Vec<String>,
    /// Ends after so long: 90d, 12h, 90m, 3600s; without it after a year
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires: Option<i64>,
}

/// The role of a token.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum WhichRole {
    /// Everything
    Operator,
    /// Looks at everything but mail, releases locks, clears boxes
    Support,
    /// What is one customer's
    Customer,
}

impl TokenCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = ApiTokenServiceClient::new(operator.account.clone());
        match self {
            Self::Add(add) => {
                let request = CreateApiTokenRequest { token: Some(add.token()?) };
                let answer = client.create_api_token(request).await?.into_inner();
                operator.show(&answer, |a| {
                    let token = a.token.clone().unwrap_or_default();
                    let until = time(token.expire_time.as_ref());
                    format!(
                        "token {} is made; it ends {until} and is shown only now:\n{}",
                        token.token_id, a.secret
                    )
                })
            }
            Self::List { customer } => {
                let mut all = ListApiTokensResponse::default();
                all_pages(async |page_token| {
                    let customer = customer.clone();
                    let request = ListApiTokensRequest { customer, page_size: PAGE_SIZE, page_token };
                    let page = client.list_api_tokens(request).await?.into_inner();
                    all.tokens.extend(page.tokens);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Revoke { id } => {
                let answer = client.delete_api_token(DeleteApiTokenRequest { token_id: id }).await?;
                operator.done(&answer.into_inner(), format!("token {id} is ended"))
            }
        }
    }
}

impl Add {
    fn token(self) -> Result<ApiToken, Failure> {
        let role = match self.role {
            WhichRole::Operator => TokenRole::Operator,
            WhichRole::Support => TokenRole::Support,
            WhichRole::Customer => TokenRole::Customer,
        };
        let end = |after: i64| {
            let end = Timestamp::now().as_second().checked_add(after);
            end.map(|seconds| ProtoTimestamp { seconds, nanos: 0 })
                .ok_or_else(|| Failure::Usage("--expires: so long is no time".to_owned()))
        };
        Ok(ApiToken {
            role: role.into(),
            customer: self.customer,
            display_name: self.name,
            scopes: self.scopes,
            expire_time: self.expires.map(end).transpose()?,
            ..ApiToken::default()
        })
    }
}

fn table(answer: &ListApiTokensResponse) -> Table {
    let mut table =
        Table::new(["ID", "ROLE", "CUSTOMER", "UNTIL", "LAST USE", "SCOPES", "NAME"], "no tokens");
    for token in &answer.tokens {
        table.row([
            token.token_id.to_string(),
            role_name(token.role),
            token.customer.clone(),
            time(token.expire_time.as_ref()),
            time(token.last_use_time.as_ref()),
            token.scopes.join(" "),
            token.display_name.clone(),
        ]);
    }
    table
}

fn role_name(role: i32) -> String {
    match TokenRole::try_from(role) {
        Ok(TokenRole::Operator) => "operator".to_owned(),
        Ok(TokenRole::Support) => "support".to_owned(),
        Ok(TokenRole::Customer) => "customer".to_owned(),
        _ => format!("role {role}"),
    }
}
