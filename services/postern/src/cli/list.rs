//! `postern list`: mailing lists. Members are in `list_member.rs`.

use clap::{Args, Subcommand, ValueEnum};
use postern_mesh::client::MeshChannel;
use postern_proto::{
    account::v1::{
        CreateMailingListRequest, DeleteMailingListRequest, GetMailingListRequest, ListMailingListsRequest,
        ListMailingListsResponse, ListPosting, ListReplies, MailingList, UpdateMailingListRequest,
        mailing_list_service_client::MailingListServiceClient,
    },
    google::FieldMask,
};

use super::{
    Failure,
    list_member::{MemberCommand, members, posts},
    operator::{Operator, PAGE_SIZE, all_pages, request_id},
    table::{Fields, Table, time},
};

pub(super) type Client = MailingListServiceClient<MeshChannel>;

/// What can be done with a mailing list.
#[derive(Debug, Subcommand)]
pub enum ListCommand {
    /// Create a list without members
    #[command(
        after_help = "Example:\n  postern list add staff@homepage.test --posting members --replies list \
                      --subject-prefix '[staff]' --owner anna@homepage.test"
    )]
    Add {
        /// Address of the list
        address: String,
        #[command(flatten)]
        settings: ListSettings,
    },
    /// Change what is named, and leave the rest
    #[command(after_help = "Examples:\n  postern list set staff@homepage.test --posting owner\n  \
                      postern list set staff@homepage.test --listserv staff@lists.elsewhere.test\n  \
                      postern list set staff@homepage.test --listserv ''")]
    Set {
        /// Address of the list
        address: String,
        #[command(flatten)]
        settings: ListSettings,
    },
    /// Show one list
    #[command(after_help = "Example:\n  postern list show staff@homepage.test")]
    Show {
        /// Address of the list
        address: String,
    },
    /// List the lists of a domain
    #[command(after_help = "Example:\n  postern list list homepage.test")]
    List {
        /// Name of the domain
        domain: String,
    },
    /// Remove a list with its members; the audit entry of it can be restored
    #[command(after_help = "Example:\n  postern list remove staff@homepage.test")]
    Remove {
        /// Address of the list
        address: String,
    },
    /// Who gets the posts
    #[command(subcommand)]
    Member(MemberCommand),
}

/// Who may post.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Posting {
    /// Anybody
    Anyone,
    /// Members, by their envelope sender
    Members,
    /// The owner only
    Owner,
}

/// Where replies go.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Replies {
    /// To the author of the post
    Author,
    /// To the list
    List,
}

/// What can be set; what is not named becomes the choice for a new list, or stays.
#[derive(Args, Debug)]
pub struct ListSettings {
    /// Who may post (a new list: members)
    #[arg(long)]
    posting: Option<Posting>,
    /// Where replies go (a new list: author)
    #[arg(long)]
    replies: Option<Replies>,
    /// Put before the subject unless it is there already
    #[arg(long, value_name = "TEXT")]
    subject_prefix: Option<String>,
    /// Gets mail to LIST-owner and may always post (a new list: postmaster of the domain)
    #[arg(long, value_name = "ADDRESS")]
    owner: Option<String>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Larger posts are refused, octets; 0: what the platform takes
    #[arg(long, value_name = "BYTES")]
    message_max_bytes: Option<i64>,
    /// A list server elsewhere gets everything instead; empty: the list is kept here
    #[arg(long, value_name = "ADDRESS")]
    listserv: Option<String>,
}

impl ListSettings {
    /// The message and the paths of what was named.
    fn message(self, address: String) -> (MailingList, Vec<String>) {
        let mut paths = Vec::new();
        let mut named = |path: &str, is: bool| {
            if is {
                paths.push(path.to_owned());
            }
        };
        named("posting", self.posting.is_some());
        named("replies", self.replies.is_some());
        named("subject_prefix", self.subject_prefix.is_some());
        named("owner", self.owner.is_some());
        named("description", self.description.is_some());
        named("message_max_bytes", self.message_max_bytes.is_some());
        named("listserv", self.listserv.is_some());
        let posting = self.posting.map_or(ListPosting::Unspecified, |posting| match posting {
            Posting::Anyone => ListPosting::Anyone,
            Posting::Members => ListPosting::Members,
            Posting::Owner => ListPosting::Owner,
        });
        let replies = self.replies.map_or(ListReplies::Unspecified, |replies| match replies {
            Replies::Author => ListReplies::Author,
            Replies::List => ListReplies::List,
        });
        let list = MailingList {
            address,
            posting: posting.into(),
            replies: replies.into(),
            subject_prefix: self.subject_prefix.unwrap_or_default(),
            owner: self.owner.unwrap_or_default(),
            description: self.description.unwrap_or_default(),
            message_max_bytes: self.message_max_bytes.unwrap_or_default(),
            listserv: self.listserv.unwrap_or_default(),
            ..MailingList::default()
        };
        (list, paths)
    }
}

impl ListCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = MailingListServiceClient::new(operator.account.clone());
        match self {
            Self::Add { address, settings } => {
                let (list, _) = settings.message(address);
                let request = CreateMailingListRequest { list: Some(list), request_id: request_id() };
                let answer = client.create_mailing_list(request).await?.into_inner();
                operator.show(&answer, |a| fields(&a.list.clone().unwrap_or_default()))
            }
            Self::Set { address, settings } => {
                let (list, paths) = settings.message(address);
                if paths.is_empty() {
                    return Err(Failure::Usage("name what to change, as in --posting owner".to_owned()));
                }
                let update_mask = Some(FieldMask { paths });
                let request = UpdateMailingListRequest { list: Some(list), update_mask };
                let answer = client.update_mailing_list(request).await?.into_inner();
                operator.show(&answer, |a| fields(&a.list.clone().unwrap_or_default()))
            }
            Self::Show { address } => {
                let request = GetMailingListRequest { address: address.clone() };
                let answer = client.get_mailing_list(request).await?.into_inner();
                let bouncing = members(&mut client, &address).await?.members;
                operator.show(&answer, |a| {
                    let fields = fields(&a.list.clone().unwrap_or_default());
                    let bouncing = bouncing.iter().filter(|m| m.bounce_count > 0 || m.suspend_time.is_some());
                    bouncing.fold(fields, |fields, m| {
                        fields.add("not reached", format!("{}: {}", m.address, posts(m)))
                    })
                })
            }
            Self::List { domain } => {
                let mut all = ListMailingListsResponse::default();
                all_pages(async |page_token| {
                    let request = ListMailingListsRequest {
                        domain: domain.clone(),
                        page_size: PAGE_SIZE,
                        page_token,
                        ..Default::default()
                    };
                    let page = client.list_mailing_lists(request).await?.into_inner();
                    all.lists.extend(page.lists);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Remove { address } => {
                let request = DeleteMailingListRequest { address: address.clone() };
                let answer = client.delete_mailing_list(request).await?.into_inner();
                operator.show(&answer, |a| match a.referring_addresses.as_slice() {
                    [] => format!("mailing list {address} is removed"),
                    names => {
                        format!(
                            "mailing list {address} is removed; it is still named by {}",
                            names.join(", ")
                        )
                    }
                })
            }
            Self::Member(command) => command.run(operator, client).await,
        }
    }
}

fn fields(list: &MailingList) -> Fields {
    Fields::default()
        .add("list", &list.address)
        .add("id", list.list_id)
        .add("description", &list.description)
        .add("may post", posting_name(list.posting))
        .add("replies go to", replies_name(list.replies))
        .add("subject prefix", &list.subject_prefix)
        .add("owner", &list.owner)
        .add(
            "largest post",
            if list.message_max_bytes == 0 {
                "as the platform".to_owned()
            } else {
                list.message_max_bytes.to_string()
            },
        )
        .add("list server", &list.listserv)
        .add("members", list.member_count)
        .add("created", time(list.create_time.as_ref()))
        .add("changed", time(list.update_time.as_ref()))
}

fn table(answer: &ListMailingListsResponse) -> Table {
    let mut table = Table::new(["ADDRESS", "MEMBERS", "MAY POST", "REPLIES", "OWNER"], "no mailing lists");
    for list in &answer.lists {
        table.row([
            list.address.clone(),
            list.member_count.to_string(),
            posting_name(list.posting),
            replies_name(list.replies),
            list.owner.clone(),
        ]);
    }
    table
}

fn posting_name(posting: i32) -> String {
    match ListPosting::try_from(posting) {
        Ok(ListPosting::Anyone) => "anyone".to_owned(),
        Ok(ListPosting::Members) => "members".to_owned(),
        Ok(ListPosting::Owner) => "owner".to_owned(),
        _ => format!("posting {posting}"),
    }
}

fn replies_name(replies: i32) -> String {
    match ListReplies::try_from(replies) {
        Ok(ListReplies::Author) => "author".to_owned(),
        Ok(ListReplies::List) => "list".to_owned(),
        _ => format!("replies {replies}"),
    }
}
