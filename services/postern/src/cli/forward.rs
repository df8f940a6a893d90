//! `postern forward`: forwards and aliases.

use clap::Subcommand;
use postern_mail::Reason;
use postern_mesh::{client::MeshChannel, failure::typed_reason};
use postern_proto::{
    account::v1::{
        CreateForwardRequest, DeleteForwardRequest, Forward, GetForwardRequest, ListForwardsRequest,
        ListForwardsResponse, UpdateForwardRequest, forward_service_client::ForwardServiceClient,
    },
    google::FieldMask,
};

use super::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages, request_id},
    table::Table,
};

type Client = ForwardServiceClient<MeshChannel>;

/// What can be done with a forward.
#[derive(Debug, Subcommand)]
pub enum ForwardCommand {
    /// Create a forward, or add targets to it
    #[command(
        after_help = "Example:\n  postern forward add sales@homepage.test anna@homepage.test anna@elsewhere.test"
    )]
    Add {
        /// Address of the forward
        address: String,
        /// Where mail goes, here or outside
        #[arg(required = true, value_name = "TARGET")]
        targets: Vec<String>,
        /// The mailbox of the same address gets a copy, too
        #[arg(long)]
        keep_copy: bool,
    },
    /// List the forwards of a domain
    #[command(after_help = "Example:\n  postern forward list homepage.test")]
    List {
        /// Name of the domain
        domain: String,
    },
    /// Remove targets, or the whole forward when none is named or left
    #[command(after_help = "Example:\n  postern forward remove sales@homepage.test anna@elsewhere.test")]
    Remove {
        /// Address of the forward
        address: String,
        /// Only these targets
        #[arg(value_name = "TARGET")]
        targets: Vec<String>,
    },
}

impl ForwardCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = ForwardServiceClient::new(operator.account.clone());
        match self {
            Self::Add { address, targets, keep_copy } => match find(&mut client, &address).await? {
                None => {
                    let forward = Forward { address, targets, keep_copy, ..Forward::default() };
                    let request = CreateForwardRequest { forward: Some(forward), request_id: request_id() };
                    let answer = client.create_forward(request).await?.into_inner();
                    operator.show(&answer, |a| leads_to(a.forward.as_ref()))
                }
                Some(mut forward) => {
                    let new: Vec<_> = targets.into_iter().filter(|t| !holds(&forward, t)).collect();
                    forward.targets.extend(new);
                    forward.keep_copy |= keep_copy;
                    update(operator, client, forward).await
                }
            },
            Self::List { domain } => {
                let mut all = ListForwardsResponse::default();
                all_pages(async |page_token| {
                    let request = ListForwardsRequest {
                        domain: domain.clone(),
                        page_size: PAGE_SIZE,
                        page_token,
                        ..Default::default()
                    };
                    let page = client.list_forwards(request).await?.into_inner();
                    all.forwards.extend(page.forwards);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Remove { address, targets } => remove(operator, client, address, &targets).await,
        }
    }
}

async fn find(client: &mut Client, address: &str) -> Result<Option<Forward>, Failure> {
    match client.get_forward(GetForwardRequest { address: address.to_owned() }).await {
        Ok(answer) => Ok(answer.into_inner().forward),
        Err(status) if typed_reason(&status) == Some(Reason::NotFound) => Ok(None),
        Err(status) => Err(status.into()),
    }
}

async fn remove(
    operator: &Operator,
    mut client: Client,
    address: String,
    targets: &[String],
) -> Result<(), Failure> {
    if !targets.is_empty()
        && let Some(mut forward) = find(&mut client, &address).await?
    {
        if let Some(stranger) = targets.iter().find(|t| !holds(&forward, t)) {
            return Err(Failure::Refused(format!("not found: {address} does not lead to {stranger}")));
        }
        forward.targets.retain(|target| !targets.iter().any(|t| t.eq_ignore_ascii_case(target)));
        if !forward.targets.is_empty() {
            return update(operator, client, forward).await;
        }
    }
    let said = format!("forward {address} is removed");
    operator.done(&client.delete_forward(DeleteForwardRequest { address }).await?.into_inner(), said)
}

/// Writes the forward as it should be; the etag in it sees to it that nobody changed it meanwhile.
async fn update(operator: &Operator, mut client: Client, forward: Forward) -> Result<(), Failure> {
    let update_mask = Some(FieldMask { paths: vec!["targets".to_owned(), "keep_copy".to_owned()] });
    let request = UpdateForwardRequest { forward: Some(forward), update_mask };
    let answer = client.update_forward(request).await?.into_inner();
    operator.show(&answer, |a| leads_to(a.forward.as_ref()))
}

fn holds(forward: &Forward, target: &str) -> bool {
    forward.targets.iter().any(|have| have.eq_ignore_ascii_case(target))
}

fn leads_to(forward: Option<&Forward>) -> String {
    let Some(forward) = forward else { return String::new() };
    let copy = if forward.keep_copy { ", and a copy stays" } else { "" };
    format!("{} leads to {}{copy}", forward.address, forward.targets.join(", "))
}

fn table(answer: &ListForwardsResponse) -> Table {
    let mut table = Table::new(["ADDRESS", "KEEPS A COPY", "TARGETS"], "no forwards");
    for forward in &answer.forwards {
        let copy = if forward.keep_copy { "yes" } else { "no" };
        table.row([forward.address.clone(), copy.to_owned(), forward.targets.join(" ")]);
    }
    table
}
