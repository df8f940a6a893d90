//! Lists find what begins with something, page by page, by the index that orders them.

use crate::asking::{add_members, create_list, create_mailbox, new_answer, new_forward, refused};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_proto::account::v1::{
    ListAutorespondersRequest, ListCustomersRequest, ListDomainsRequest, ListForwardsRequest,
    ListListMembersRequest, ListMailboxesRequest, ListMailingListsRequest,
};

/// Boxes of the domain, as many as a plan without the index would be noticed with.
const BOXES: i32 = 50_000;

#[tokio::test(flavor = "multi_thread")]
async fn each_list_tells_those_that_begin_so_in_any_spelling() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("finding")).await;
    for customer in ["anna", "annab", "bert"] {
        replica.customer(customer).await;
    }
    for domain in ["x.test", "anna.test", "annb.test"] {
        replica.domain(domain, "anna").await;
    }
    replica.domain("ann.test", "bert").await;
    for name in ["ann", "anna", "änn", "b"] {
        create_mailbox(&replica, &format!("{name}@x.test")).await;
        create_list(&replica, &format!("list-{}@x.test", name.replace('ä', "ae"))).await;
        let forward = new_forward(&format!("to-{name}@x.test"), &["out@else.test"], false);
        replica.forwards().create_forward(forward).await.unwrap();
        replica
            .autoresponders()
            .update_autoresponder(new_answer(&format!("away-{}@x.test", name.replace('ä', "ae"))))
            .await
            .unwrap();
    }
    add_members(&replica, "list-b@x.test", &["Anna@else.test", "bert@else.test"]).await;
    let domain = || "x.test".to_owned();

    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request =
            ListMailboxesRequest { domain: domain(), page_size: 1, page_token, prefix: " ANN".into() };
        let page = replica.mailboxes().list_mailboxes(request).await.unwrap().into_inner();
        found.extend(page.mailboxes.into_iter().map(|mailbox| mailbox.address));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(found, ["ann@x.test", "anna@x.test"], "by pages of one, without the default box");
    let boxes = async |prefix: &str| {
        let request = ListMailboxesRequest { domain: domain(), prefix: prefix.into(), ..Default::default() };
        replica.mailboxes().list_mailboxes(request).await.map(|page| page.into_inner().mailboxes.len())
    };
    for (prefix, many) in [("ann@", 1), ("Änn", 1), ("A\u{308}", 1), ("c", 0), ("anna@x.test", 1), ("", 5)] {
        assert_eq!(boxes(prefix).await.unwrap(), many, "{prefix}");
    }
    for bad in ["x".repeat(321), "a\0".to_owned()] {
        refused(boxes(&bad).await, Reason::InvalidArgument, "prefix");
    }

    let request = ListForwardsRequest { domain: domain(), prefix: "to-a".into(), ..Default::default() };
    assert_eq!(replica.forwards().list_forwards(request).await.unwrap().into_inner().forwards.len(), 2);
    let request =
        ListMailingListsRequest { domain: domain(), prefix: "list-ann".into(), ..Default::default() };
    assert_eq!(replica.lists().list_mailing_lists(request).await.unwrap().into_inner().lists.len(), 2);
    let request =
        ListAutorespondersRequest { domain: domain(), prefix: "away-b".into(), ..Default::default() };
    let answers = replica.autoresponders().list_autoresponders(request).await.unwrap().into_inner();
    assert_eq!(answers.autoresponders.len(), 1);
    let request =
        ListListMembersRequest { list: "list-b@x.test".into(), prefix: "an".into(), ..Default::default() };
    let members = replica.lists().list_list_members(request).await.unwrap().into_inner().members;
    assert_eq!(members.iter().map(|member| member.address.as_str()).collect::<Vec<_>>(), ["Anna@else.test"]);
    let request = ListCustomersRequest { prefix: "annA".into(), ..Default::default() };
    let customers = replica.customers().list_customers(request).await.unwrap().into_inner().customers;
    assert_eq!(customers.iter().map(|c| c.login.as_str()).collect::<Vec<_>>(), ["anna", "annab"]);
    for (customer, names) in
        [("anna", vec!["anna.test", "annb.test"]), ("", vec!["ann.test", "anna.test", "annb.test"])]
    {
        let request =
            ListDomainsRequest { customer: customer.into(), prefix: "Ann".into(), ..Default::default() };
        let domains = replica.domains().list_domains(request).await.unwrap().into_inner().domains;
        assert_eq!(domains.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), names);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn among_many_only_those_that_begin_so_are_read() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("many")).await;
    replica.customer("many").await;
    replica.domain("x.test", "many").await;
    postgres.query(
        "many",
        &format!(
            "insert into account.mailboxes (address, login, domain, customer_id, default_box, password_phc, display_name, state, \
             revision) select a, a, 'x.test', (select customer_id from account.customers limit 1), false, 'x', '', 1, 1 \
             from (select 'box' || n || '@x.test' as a from generate_series(1, {BOXES}) n) made"
        ),
    );
    postgres.query("many", "analyze account.mailboxes");
    let request =
        ListMailboxesRequest { domain: "x.test".into(), prefix: "box4999".into(), ..Default::default() };
    let page = replica.mailboxes().list_mailboxes(request).await.unwrap().into_inner();
    assert_eq!((page.mailboxes.len(), page.next_page_token.as_str()), (11, ""));
    // The range of the index, as the statement of the list asks for it.
    let plan = postgres.query(
        "many",
        "explain (analyze, costs off, timing off, summary off) select login from account.mailboxes \
         where removed_time is null and domain = 'x.test' and address >= 'box4999' and address < 'box4999' || U&'\\+10FFFF' \
         order by domain, address limit 101",
    );
    assert!(plan.contains("mailboxes_live_address") && plan.contains("rows=11"), "{plan}");
    assert!(!plan.contains("Rows Removed") && !plan.contains("Sort"), "{plan}");
}
