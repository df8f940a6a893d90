//! `postern autoresponder`: an answer by itself.

use std::{fs, io::Read as _};

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use postern_proto::{
    account::v1::{
        Autoresponder, DeleteAutoresponderRequest, GetAutoresponderRequest, ListAutorespondersRequest,
        ListAutorespondersResponse, UpdateAutoresponderRequest,
        autoresponder_service_client::AutoresponderServiceClient,
    },
    google::{FieldMask, Timestamp as ProtoTimestamp},
};

use super::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages},
    table::{Fields, Table, time},
};

/// What can be done with an autoresponder.
#[derive(Debug, Subcommand)]
pub enum AutoresponderCommand {
    /// Set the whole answer of an address: what is not named is as in a new one
    #[command(
        after_help = "Example:\n  postern autoresponder set anna@homepage.test --subject 'Away: {subject}' \
                      --text 'I am back on Monday.' --start 2026-12-24T00:00:00Z --end 2026-12-28T00:00:00Z --every 7d"
    )]
    Set(AnswerArgs),
    /// Show the one of an address
    #[command(after_help = "Example:\n  postern autoresponder show anna@homepage.test")]
    Show {
        /// The address
        address: String,
    },
    /// List those of a domain
    #[command(after_help = "Example:\n  postern autoresponder list homepage.test")]
    List {
        /// Name of the domain
        domain: String,
    },
    /// Remove it; the audit entry of it can be restored
    #[command(after_help = "Example:\n  postern autoresponder remove anna@homepage.test")]
    Remove {
        /// The address
        address: String,
    },
}

/// The answer.
#[derive(Args, Debug)]
pub struct AnswerArgs {
    /// The address that answers, with a mailbox, with a forward, or alone
    address: String,
    /// Subject; {sender}, {subject} and {date} stand for those of the message that is answered
    #[arg(long, value_name = "TEXT")]
    subject: String,
    /// Text, with the same variables
    #[arg(long, value_name = "TEXT", required_unless_present = "text_file", conflicts_with = "text_file")]
    text: Option<String>,
    /// File that holds the text; `-` is standard input
    #[arg(long, value_name = "FILE")]
    text_file: Option<String>,
    /// Answers from then on, as in 2026-12-24T00:00:00Z
    #[arg(long, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Answers until then
    #[arg(long, value_name = "TIME")]
    end: Option<Timestamp>,
    /// Pause between two answers to one sender, as in 12h or 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = seconds)]
    every: i64,
}

impl AnswerArgs {
    fn message(self) -> Result<Autoresponder, Failure> {
        let text = match (self.text, self.text_file) {
            (Some(text), _) => text,
            (None, Some(file)) => text_of(&file)?,
            (None, None) => String::new(),
        };
        let moment =
            |time: Timestamp| ProtoTimestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() };
        Ok(Autoresponder {
            address: self.address,
            subject: self.subject,
            text,
            start_time: self.start.map(moment),
            end_time: self.end.map(moment),
            interval_seconds: self.every,
            ..Autoresponder::default()
        })
    }
}

impl AutoresponderCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = AutoresponderServiceClient::new(operator.account.clone());
        match self {
            Self::Set(answer) => {
                let paths = ["subject", "text", "start_time", "end_time", "interval_seconds"];
                let request = UpdateAutoresponderRequest {
                    autoresponder: Some(answer.message()?),
                    update_mask: Some(FieldMask { paths: paths.map(str::to_owned).to_vec() }),
                    allow_missing: true,
                };
                let answer = client.update_autoresponder(request).await?.into_inner();
                operator.show(&answer, |a| fields(&a.autoresponder.clone().unwrap_or_default()))
            }
            Self::Show { address } => {
                let answer =
                    client.get_autoresponder(GetAutoresponderRequest { address }).await?.into_inner();
                operator.show(&answer, |a| fields(&a.autoresponder.clone().unwrap_or_default()))
            }
            Self::List { domain } => {
                let mut all = ListAutorespondersResponse::default();
                all_pages(async |page_token| {
                    let request = ListAutorespondersRequest {
                        domain: domain.clone(),
                        page_size: PAGE_SIZE,
                        page_token,
                        ..Default::default()
                    };
                    let page = client.list_autoresponders(request).await?.into_inner();
                    all.autoresponders.extend(page.autoresponders);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Remove { address } => {
                let said = format!("the autoresponder at {address} is removed");
                let answer = client.delete_autoresponder(DeleteAutoresponderRequest { address }).await?;
                operator.done(&answer.into_inner(), said)
            }
        }
    }
}

/// `90m`, `12h`, `7d`.
pub(super) fn seconds(text: &str) -> Result<i64, String> {
    let wrong = || "as in 90m, 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let count: i64 = text.strip_suffix(unit).and_then(|count| count.parse().ok()).ok_or_else(wrong)?;
    let unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return Err(wrong()),
    };
    // Zero would mean the default, which is not what was typed.
    if count < 1 { Err(wrong()) } else { count.checked_mul(unit).ok_or_else(wrong) }
}

fn text_of(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        fs::read_to_string(file).map(|read| text = read)
    };
    read.map_err(|error| Failure::Usage(format!("{file} cannot be read: {error}")))?;
    Ok(text)
}

fn fields(shown: &Autoresponder) -> Fields {
    Fields::default()
        .add("address", &shown.address)
        .add("subject", &shown.subject)
        .add("from", time(shown.start_time.as_ref()))
        .add("until", time(shown.end_time.as_ref()))
        .add("every", format!("{:#}", SignedDuration::from_secs(shown.interval_seconds)))
        .add("text", shown.text.replace(['\r', '\n'], " "))
        .add("created", time(shown.create_time.as_ref()))
        .add("changed", time(shown.update_time.as_ref()))
}

fn table(answer: &ListAutorespondersResponse) -> Table {
    let mut table = Table::new(["ADDRESS", "FROM", "UNTIL", "SUBJECT"], "no autoresponders");
    for shown in &answer.autoresponders {
        table.row([
            shown.address.clone(),
            time(shown.start_time.as_ref()),
            time(shown.end_time.as_ref()),
            shown.subject.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn pauses_have_a_unit() {
        for (text, read) in
            [("7d", Some(604_800)), ("12h", Some(43_200)), ("90m", Some(5400)), ("3600s", Some(3600))]
        {
            assert_eq!(seconds(text).ok(), read, "{text}");
        }
        for text in ["", "d", "7", "7w", "0d", "-1d", "99999999999999999999d", "9223372036854775807d", "7é"]
        {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
