//! `postern customer`: who owns domains.

use clap::Subcommand;
use postern_mesh::client::MeshChannel;
use postern_proto::{
    account::v1::{
        ActivityState, CreateCustomerRequest, Customer, DeleteCustomerRequest, GetCustomerRequest,
        ListCustomersRequest, ListCustomersResponse, SetCustomerPasswordRequest, UpdateCustomerRequest,
        customer_service_client::CustomerServiceClient,
    },
    google::FieldMask,
};

use super::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages, request_id},
    password::PasswordArgs,
    table::{Fields, Table, time},
};

/// What can be done with a customer.
#[derive(Debug, Subcommand)]
pub enum CustomerCommand {
    /// Create a customer
    #[command(after_help = "Example:\n  postern customer add homepage --name 'Homepage Ltd'")]
    Add {
        /// 1 to 8 characters of a-z and 0-9; never given to anybody else
        login: String,
        /// Name for people
        #[arg(long, default_value = "", hide_default_value = true)]
        name: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List customers
    #[command(after_help = "Example:\n  postern customer list")]
    List,
    /// Show one customer
    #[command(after_help = "Example:\n  postern customer show homepage")]
    Show {
        /// Login of the customer
        login: String,
    },
    /// Set the password, also that of the default box of each of its domains
    #[command(after_help = "Example:\n  pwgen 16 1 | postern customer passwd homepage --password-stdin")]
    Passwd {
        /// Login of the customer
        login: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Stop logins and sending of all that is theirs; mail is still taken and kept
    #[command(after_help = "Example:\n  postern customer suspend homepage")]
    Suspend {
        /// Login of the customer
        login: String,
    },
    /// End a suspension
    #[command(after_help = "Example:\n  postern customer resume homepage")]
    Resume {
        /// Login of the customer
        login: String,
    },
    /// Remove a customer that owns no domain any more
    #[command(after_help = "Example:\n  postern customer remove homepage")]
    Remove {
        /// Login of the customer
        login: String,
    },
}

impl CustomerCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = CustomerServiceClient::new(operator.account.clone());
        match self {
            Self::Add { login, name, password } => {
                let password = Some(password.read(&login)?);
                let said = format!("customer {login} is created");
                let request =
                    CreateCustomerRequest { login, display_name: name, password, request_id: request_id() };
                operator.done(&client.create_customer(request).await?.into_inner(), said)
            }
            Self::List => operator.show(&list(&mut client).await?, table),
            Self::Show { login } => {
                let answer = client.get_customer(GetCustomerRequest { login }).await?.into_inner();
                operator.show(&answer, |a| fields(&a.customer.clone().unwrap_or_default()))
            }
            Self::Passwd { login, password } => {
                let password = Some(password.read(&login)?);
                let said = format!("the password of {login} is changed");
                let request = SetCustomerPasswordRequest { login, password };
                operator.done(&client.set_customer_password(request).await?.into_inner(), said)
            }
            Self::Suspend { login } => set_state(operator, client, login, ActivityState::Suspended).await,
            Self::Resume { login } => set_state(operator, client, login, ActivityState::Active).await,
            Self::Remove { login } => {
                let said = format!("customer {login} is removed");
                let answer = client.delete_customer(DeleteCustomerRequest { login }).await?;
                operator.done(&answer.into_inner(), said)
            }
        }
    }
}

async fn set_state(
    operator: &Operator,
    mut client: CustomerServiceClient<MeshChannel>,
    login: String,
    state: ActivityState,
) -> Result<(), Failure> {
    let said = format!("customer {login} is {}", state_name(state.into()));
    let customer = Customer { login, state: state.into(), ..Customer::default() };
    let update_mask = Some(FieldMask { paths: vec!["state".to_owned()] });
    let request = UpdateCustomerRequest { customer: Some(customer), update_mask };
    operator.done(&client.update_customer(request).await?.into_inner(), said)
}

async fn list(client: &mut CustomerServiceClient<MeshChannel>) -> Result<ListCustomersResponse, Failure> {
    let mut all = ListCustomersResponse::default();
    all_pages(async |page_token| {
        let request = ListCustomersRequest { page_size: PAGE_SIZE, page_token, ..Default::default() };
        let page = client.list_customers(request).await?.into_inner();
        all.customers.extend(page.customers);
        Ok(page.next_page_token)
    })
    .await?;
    Ok(all)
}

fn table(answer: &ListCustomersResponse) -> Table {
    let mut table = Table::new(["LOGIN", "STATE", "DOMAINS", "NAME"], "no customers");
    for customer in &answer.customers {
        table.row([
            customer.login.clone(),
            state_name(customer.state),
            customer.domains.join(" "),
            customer.display_name.clone(),
        ]);
    }
    table
}

fn fields(customer: &Customer) -> Fields {
    Fields::default()
        .add("login", &customer.login)
        .add("name", &customer.display_name)
        .add("state", state_name(customer.state))
        .add("domains", customer.domains.join(" "))
        .add("created", time(customer.create_time.as_ref()))
        .add("changed", time(customer.update_time.as_ref()))
}

/// `active`, `suspended`.
pub(super) fn state_name(state: i32) -> String {
    match ActivityState::try_from(state) {
        Ok(ActivityState::Active) => "active".to_owned(),
        Ok(ActivityState::Suspended) => "suspended".to_owned(),
        _ => format!("state {state}"),
    }
}
