//! Long entries of the audit: each page fits into a message, and all pages together are the whole.

use crate::asking::{add_members, create_list, patient};
use crate::house::{Postgres, Replica};
use postern_proto::account::v1::{ListAuditEntriesRequest, RemoveListMembersRequest};

/// Members of a call at most.
const MEMBERS: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_long_entries_fit_into_messages() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("long_audit")).await;
    replica.customer("long").await;
    replica.domain("long.test", "long").await;
    create_list(&replica, "l@long.test").await;
    // As long as an address can be: a local part of 64 octets, and labels of 60.
    let label = "d".repeat(60);
    let members: Vec<_> = (0..MEMBERS).map(|n| format!("{n:0>64}@{label}.{label}.{label}.test")).collect();
    let lines: Vec<_> = members.iter().map(String::as_str).collect();
    for _ in 0..2 {
        assert_eq!(add_members(&replica, "l@long.test", &lines).await.1, 10_000);
        let request = RemoveListMembersRequest { list: "l@long.test".into(), addresses: members.clone() };
        replica.lists().remove_list_members(patient(request)).await.unwrap();
    }

    let mut request = ListAuditEntriesRequest { page_size: 50, ..Default::default() };
    let (mut pages, mut entries) = (0, Vec::new());
    loop {
        let page = replica.audit().list_audit_entries(patient(request.clone())).await.unwrap().into_inner();
        pages += 1;
        entries.extend(page.entries);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let numbers: Vec<_> = entries.iter().map(|entry| entry.audit_id).collect();
    assert!(numbers.is_sorted_by(|one, other| one > other), "{numbers:?}");
    let count = postgres.query("long_audit", "select count(*) from account.audit");
    assert_eq!(entries.len().to_string(), count);
    let long = |entry: &&_| {
        let entry: &postern_proto::account::v1::AuditEntry = entry;
        entry.before_json.len() + entry.after_json.len() > 1 << 20
    };
    assert_eq!(entries.iter().filter(long).count(), 4);
    // A page for each of the long ones, and one for the rest, which are few.
    assert_eq!(pages, 5);
}
