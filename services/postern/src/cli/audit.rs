//! `postern audit`: who changed what, when and from where; and what was removed, back again.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use postern_proto::{
    account::v1::{
        ListAuditEntriesRequest, ListAuditEntriesResponse, RestoreAuditEntryRequest,
        audit_service_client::AuditServiceClient,
    },
    google::Timestamp as ProtoTimestamp,
};

use super::{
    Failure,
    autoresponder::seconds,
    operator::{Operator, PAGE_SIZE, all_pages},
    table::{Table, time},
};

/// What can be done with the audit.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List deeds, newest first; --json also shows the thing before and after
    #[command(after_help = "Example:\n  postern audit list --customer homepage --kind forward --since 7d")]
    List(Which),
    /// Bring back the forward, list or autoresponder whose removal an entry tells of
    #[command(after_help = "Example:\n  postern audit restore 4711")]
    Restore {
        /// Number of an entry with the action delete
        id: i64,
    },
}

/// Which deeds.
#[derive(Args, Debug)]
pub struct Which {
    /// Of what is this customer's
    #[arg(long, default_value = "", hide_default_value = true)]
    customer: String,
    /// Done to this kind of thing: domain, mailbox, forward, list, ...
    #[arg(long, default_value = "", hide_default_value = true)]
    kind: String,
    /// Done to the thing of this name
    #[arg(long, default_value = "", hide_default_value = true)]
    name: String,
    /// create, update, delete, restore, ...
    #[arg(long, default_value = "", hide_default_value = true)]
    action: String,
    /// Done by this person, token or service
    #[arg(long, default_value = "", hide_default_value = true)]
    actor: String,
    /// From then on: 7d, 12h or 90m ago, or a time such as 2026-11-23T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
}

impl AuditCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = AuditServiceClient::new(operator.account.clone());
        match self {
            Self::List(which) => {
                let mut all = ListAuditEntriesResponse::default();
                all_pages(async |page_token| {
                    let page = client.list_audit_entries(which.request(page_token)).await?.into_inner();
                    all.entries.extend(page.entries);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Restore { id } => {
                let request = RestoreAuditEntryRequest { audit_id: id };
                let answer = client.restore_audit_entry(request).await?.into_inner();
                operator.show(&answer, |a| {
                    let entry = a.entry.clone().unwrap_or_default();
                    format!("{} {} is restored", entry.kind, entry.name)
                })
            }
        }
    }
}

impl Which {
    fn request(&self, page_token: String) -> ListAuditEntriesRequest {
        let start = self.since.map(|since| ProtoTimestamp { seconds: since.as_second(), nanos: 0 });
        ListAuditEntriesRequest {
            customer: self.customer.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            action: self.action.clone(),
            actor: self.actor.clone(),
            start_time: start,
            end_time: None,
            page_size: PAGE_SIZE,
            page_token,
        }
    }
}

/// `7d` ago, or a moment by its name (RFC 3339).
pub(super) fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    let ago = seconds(text).map_err(|_| "must be as 7d, 12h, 90m, or as 2026-11-23T12:00:00Z".to_owned())?;
    let then = Timestamp::now().as_second().checked_sub(ago);
    then.and_then(|then| Timestamp::from_second(then).ok()).ok_or_else(|| "is too long ago".to_owned())
}

fn table(answer: &ListAuditEntriesResponse) -> Table {
    let head = ["ID", "TIME", "ACTOR", "FROM", "CUSTOMER", "ACTION", "KIND", "NAME"];
    let mut table = Table::new(head, "no entries");
    for entry in &answer.entries {
        table.row([
            entry.audit_id.to_string(),
            time(entry.time.as_ref()),
            format!("{} {}", entry.actor_role, entry.actor).trim_end().to_owned(),
            entry.peer_ip.clone(),
            entry.customer.clone(),
            entry.action.clone(),
            entry.kind.clone(),
            entry.name.clone(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_ago_or_named() {
        let week = Timestamp::now().as_second() - moment("7d").unwrap().as_second();
        assert!((604_800..604_860).contains(&week), "{week}");
        assert_eq!(moment("1970-01-01T00:01:00Z").unwrap().as_second(), 60);
        for text in ["", "yesterday", "7", "9223372036854775807s"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
