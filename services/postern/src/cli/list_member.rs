//! `postern list member`: who gets the posts of a mailing list, thousands at once.

use std::{fs, io::Read as _};

use clap::Subcommand;
use postern_proto::account::v1::{
    AddListMembersRequest, AddListMembersResponse, ListListMembersRequest, ListListMembersResponse,
    ListMember, MemberLineOutcome, MemberOrigin, RemoveListMembersRequest, RemoveListMembersResponse,
};

use super::{
    Failure,
    list::Client,
    operator::{Operator, all_pages},
    table::{Table, counted, time},
};

/// Lines of one call: a tenth of what it may have, so that it is answered in time by a busy house too.
pub(super) const LINES_AT_ONCE: usize = 1000;
/// Members asked for at once.
const PAGE_SIZE: i32 = 10_000;
/// A report repeats what was sent, with reasons, octets.
const REPORT_MAX_BYTES: usize = 32 * 1024 * 1024;

/// What can be done with the members of a list.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Add members, and say what became of each line
    #[command(
        after_help = "Examples:\n  postern list member add staff@homepage.test anna@homepage.test bert@elsewhere.test\n  \
                      postern list member add staff@homepage.test --from-file members.txt\n  \
                      cut -d, -f2 people.csv | postern list member add staff@homepage.test --from-file -"
    )]
    Add {
        /// Address of the list
        address: String,
        /// Addresses, here or outside
        #[arg(value_name = "MEMBER", required_unless_present = "from_file")]
        members: Vec<String>,
        /// A file with one address on each line; `-` is standard input
        #[arg(long, value_name = "FILE")]
        from_file: Option<String>,
    },
    /// List the members
    #[command(after_help = "Example:\n  postern list member list staff@homepage.test")]
    List {
        /// Address of the list
        address: String,
    },
    /// Remove members
    #[command(after_help = "Example:\n  postern list member remove staff@homepage.test bert@elsewhere.test")]
    Remove {
        /// Address of the list
        address: String,
        /// Addresses; those that are no members are no error
        #[arg(required = true, value_name = "MEMBER")]
        members: Vec<String>,
    },
}

impl MemberCommand {
    pub(super) async fn run(self, operator: &Operator, client: Client) -> Result<(), Failure> {
        let mut client = client.max_decoding_message_size(REPORT_MAX_BYTES);
        match self {
            Self::Add { address, mut members, from_file } => {
                if let Some(file) = from_file {
                    members.extend(lines_of(&file)?);
                }
                members.retain(|line| !line.trim().is_empty());
                let mut all = AddListMembersResponse::default();
                for lines in members.chunks(LINES_AT_ONCE) {
                    let request = AddListMembersRequest {
                        list: address.clone(),
                        addresses: lines.to_vec(),
                        ..Default::default()
                    };
                    let answer = client.add_list_members(request).await?.into_inner();
                    all.lines.extend(answer.lines);
                    all.added_count += answer.added_count;
                }
                operator.show(&all, report)
            }
            Self::List { address } => operator.show(&members(&mut client, &address).await?, table),
            Self::Remove { address, members } => {
                let mut all = RemoveListMembersResponse::default();
                for addresses in members.chunks(LINES_AT_ONCE) {
                    let request =
                        RemoveListMembersRequest { list: address.clone(), addresses: addresses.to_vec() };
                    all.removed_count +=
                        client.remove_list_members(request).await?.into_inner().removed_count;
                }
                operator.show(&all, |a| {
                    format!("{} removed", counted(a.removed_count.into(), "member is", "members are"))
                })
            }
        }
    }
}

fn lines_of(file: &str) -> Result<Vec<String>, Failure> {
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Failure::Usage(format!("{file} cannot be read: {error}")))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn report(answer: &AddListMembersResponse) -> Table {
    let mut table = Table::new(["OUTCOME", "LINE", "WHY"], "no line had an address");
    for line in &answer.lines {
        let outcome = match line.outcome() {
            MemberLineOutcome::Added => "added",
            MemberLineOutcome::Duplicate => "duplicate",
            MemberLineOutcome::Invalid => "invalid",
            MemberLineOutcome::OverLimit => "over limit",
            MemberLineOutcome::Unspecified => "unknown",
        };
        table.row([outcome.to_owned(), line.line.clone(), line.reason.clone()]);
    }
    table
}

/// Whether a member gets posts.
pub(super) fn posts(member: &ListMember) -> String {
    match (&member.suspend_time, member.bounce_count) {
        (Some(since), _) => format!("none since {}: they bounce", time(Some(since))),
        (None, 0) => "arrive".to_owned(),
        (None, count) => format!("bounced {count} times in a row"),
    }
}

/// All members of a list.
pub(super) async fn members(client: &mut Client, address: &str) -> Result<ListListMembersResponse, Failure> {
    let mut all = ListListMembersResponse::default();
    all_pages(async |page_token| {
        let request = ListListMembersRequest {
            list: address.to_owned(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let page = client.list_list_members(request).await?.into_inner();
        all.members.extend(page.members);
        Ok(page.next_page_token)
    })
    .await?;
    Ok(all)
}

fn table(answer: &ListListMembersResponse) -> Table {
    let mut table = Table::new(["ADDRESS", "ORIGIN", "SINCE", "POSTS"], "no members");
    for member in &answer.members {
        let origin = match member.origin() {
            MemberOrigin::Added => "added",
            MemberOrigin::Subscribed => "subscribed",
            MemberOrigin::Unspecified => "unknown",
        };
        let since = time(member.create_time.as_ref());
        table.row([member.address.clone(), origin.to_owned(), since, posts(member)]);
    }
    table
}
