//! `postern lock`: who holds a box, and how to free it.

use std::collections::HashMap;

use clap::Subcommand;
use postern_proto::{
    account::v1::{LookupMailboxRequest, directory_service_client::DirectoryServiceClient},
    delivery::v1::{
        ListLocksRequest, ListLocksResponse, ReleaseLockRequest, lock_service_client::LockServiceClient,
    },
};

use super::{
    Failure, mailbox,
    operator::{Operator, PAGE_SIZE, all_pages},
    table::{Table, time},
};

/// What can be done with locks.
#[derive(Debug, Subcommand)]
pub enum LockCommand {
    /// List the boxes that are open now, and who has them
    #[command(after_help = "Example:\n  postern lock list")]
    List,
    /// Take the box from the session that holds it; that session deletes nothing any more
    #[command(after_help = "Example:\n  postern lock release anna@homepage.test")]
    Release {
        /// Address of the box, or the login of a default box
        address: String,
    },
}

impl LockCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = LockServiceClient::new(operator.delivery.clone());
        match self {
            Self::List => {
                let mut all = ListLocksResponse::default();
                all_pages(async |page_token| {
                    let request = ListLocksRequest { page_size: PAGE_SIZE, page_token };
                    let page = client.list_locks(request).await?.into_inner();
                    all.locks.extend(page.locks);
                    Ok(page.next_page_token)
                })
                .await?;
                let names = if operator.json { HashMap::new() } else { names(operator, &all).await };
                operator.show(&all, |all| table(all, &names))
            }
            Self::Release { address } => {
                let mailbox_id = mailbox::get(operator, address.clone()).await?.mailbox_id;
                let answer = client.release_lock(ReleaseLockRequest { mailbox_id }).await?.into_inner();
                operator.show(&answer, |a| {
                    let holder = a.lock.as_ref().map(|l| l.peer_ip.clone()).unwrap_or_default();
                    format!("{address} is free; it was held from {holder}")
                })
            }
        }
    }
}

/// Addresses of the locked boxes, as far as account can say.
async fn names(operator: &Operator, locks: &ListLocksResponse) -> HashMap<i64, String> {
    let mut directory = DirectoryServiceClient::new(operator.account.clone());
    let mut names = HashMap::new();
    for lock in &locks.locks {
        let request = LookupMailboxRequest { mailbox_id: lock.mailbox_id };
        if let Ok(answer) = directory.lookup_mailbox(request).await
            && let Some(mailbox) = answer.into_inner().mailbox
        {
            names.insert(lock.mailbox_id, mailbox.address);
        }
    }
    names
}

fn table(answer: &ListLocksResponse, names: &HashMap<i64, String>) -> Table {
    let head = ["BOX", "MAILBOX", "SINCE", "FROM", "GATEWAY", "FREE IN"];
    let mut table = Table::new(head, "no box is open");
    for lock in &answer.locks {
        table.row([
            names.get(&lock.mailbox_id).cloned().unwrap_or_default(),
            lock.mailbox_id.to_string(),
            time(lock.since_time.as_ref()),
            lock.peer_ip.clone(),
            lock.gateway.clone(),
            format!("{} s", lock.remaining_seconds),
        ]);
    }
    table
}
