//! What a first page shows of a domain, and how a box came to hold what it holds.

use postern_proto::account::v1::{
    ActivityState, AddListMembersRequest, BoxUsage, CreateMailingListRequest, DnsVerdict,
    GetDomainOverviewRequest, GetMailboxHistoryRequest, Mailbox, MailingList, ReportBoxUsageRequest,
    UpdateMailboxRequest,
};

use crate::{
    asking::{create_mailbox, paths, refused},
    house::{Postgres, Replica},
};
use postern_mail::Reason;

async fn holds(replica: &Replica, mailbox: &Mailbox, used_bytes: i64, version: i64) {
    let told = BoxUsage { mailbox_id: mailbox.mailbox_id, used_bytes, message_count: 1, version };
    replica.storage().report_box_usage(ReportBoxUsageRequest { boxes: vec![told] }).await.unwrap();
}

async fn set(replica: &Replica, mailbox: Mailbox, path: &str) {
    let request = UpdateMailboxRequest { mailbox: Some(mailbox), update_mask: paths(&[path]) };
    replica.mailboxes().update_mailbox(request).await.unwrap();
}

fn logins(mailboxes: &[Mailbox]) -> Vec<&str> {
    mailboxes.iter().map(|mailbox| mailbox.login.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overview_names_what_needs_somebody_and_counts_the_rest() {
    let postgres = Postgres::start();
    let url = postgres.database("overview");
    let replica = Replica::open(&url).await;
    for (customer, domain) in [("glance", "glance.test"), ("other", "other.test")] {
        replica.customer(customer).await;
        replica.domain(domain, customer).await;
    }
    for number in 0..12 {
        let address = format!("box{number:02}@glance.test");
        let mailbox = create_mailbox(&replica, &address).await;
        let quota_bytes = Some(if number == 11 { 100 } else { 1000 });
        set(&replica, Mailbox { address, quota_bytes, ..Default::default() }, "quota_bytes").await;
        // Not even nine tenths: box00; full: box11.
        let used = if number == 11 { 100 } else { 899 + number };
        holds(&replica, &mailbox, used, 1).await;
    }
    let calm = create_mailbox(&replica, "calm@glance.test").await;
    holds(&replica, &calm, 5000, 1).await;
    let state = ActivityState::Suspended.into();
    set(&replica, Mailbox { address: "calm@glance.test".into(), state, ..Default::default() }, "state").await;
    let foreign = create_mailbox(&replica, "big@other.test").await;
    holds(&replica, &foreign, 9000, 1).await;
    let list = MailingList { address: "news@glance.test".into(), ..Default::default() };
    let request = CreateMailingListRequest { list: Some(list), ..Default::default() };
    replica.lists().create_mailing_list(request).await.unwrap();
    let addresses = (0..14).map(|number| format!("m{number:02}@outside.test")).collect();
    let request = AddListMembersRequest {
        list: "news@glance.test".into(),
        addresses,
        ..AddListMembersRequest::default()
    };
    replica.lists().add_list_members(request).await.unwrap();
    postgres.run(
        &url,
        "update account.list_members set suspend_time = now() - substr(member, 2, 2)::int * interval '1 hour' \
         where member < 'm13'",
    );

    postgres.run(
        &url,
        "insert into account.dns_findings select domain, 0, 2, domain, 'MX', '{}', '{}', null, 2, true, 'set it' \
         from account.domains",
    );

    let request = GetDomainOverviewRequest { name: "glance.test".into() };
    let overview = replica.domains().get_domain_overview(request.clone()).await.unwrap().into_inner();
    let overview = overview.overview.unwrap();
    let nearly = logins(&overview.nearly_full_mailboxes);
    assert_eq!((overview.nearly_full_count, nearly.len()), (11, 10));
    assert_eq!(nearly[..3], ["box11@glance.test", "box10@glance.test", "box09@glance.test"]);
    assert!(overview.nearly_full_mailboxes[0].full && !overview.nearly_full_mailboxes[1].full);
    assert_eq!(overview.nearly_full_mailboxes[1].effective_quota_bytes, Some(1000));
    assert_eq!(logins(&overview.suspended_mailboxes), ["calm@glance.test"]);
    assert_eq!(overview.suspended_count, 1);
    let largest = logins(&overview.largest_mailboxes);
    assert_eq!((largest.len(), largest[0], largest[1]), (5, "calm@glance.test", "box10@glance.test"));
    assert_eq!((overview.suspended_member_count, overview.suspended_members.len()), (13, 10));
    let first = &overview.suspended_members[0];
    assert_eq!((first.list.as_str(), first.address.as_str()), ("news@glance.test", "m00@outside.test"));
    assert!(first.suspend_time.is_some());

    let findings: Vec<_> =
        overview.findings.iter().map(|finding| (finding.name.as_str(), finding.verdict())).collect();
    assert_eq!(findings, [("glance.test", DnsVerdict::Missing)]);

    let foreign = replica.domains_of("other").get_domain_overview(request).await;
    refused(foreign, Reason::NotFound, "");
    let request = GetDomainOverviewRequest { name: "not a name".into() };
    refused(replica.domains().get_domain_overview(request).await, Reason::InvalidArgument, "name: ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_tells_what_it_held_day_by_day() {
    let postgres = Postgres::start();
    let url = postgres.database("days");
    let replica = Replica::open(&url).await;
    replica.customer("grow").await;
    replica.domain("grow.test", "grow").await;
    replica.customer("other").await;
    let mailbox = create_mailbox(&replica, "a@grow.test").await;
    let request = GetMailboxHistoryRequest { address: "a@grow.test".into() };
    let days = async || {
        let answer = replica.mailboxes().get_mailbox_history(request.clone()).await.unwrap().into_inner();
        answer.days.iter().map(|day| (day.begin_time.unwrap().seconds, day.used_bytes)).collect::<Vec<_>>()
    };
    assert_eq!(days().await, []);
    // What was told first on a day stays, whatever is told later on it.
    holds(&replica, &mailbox, 10, 1).await;
    holds(&replica, &mailbox, 20, 2).await;
    let id = mailbox.mailbox_id;
    postgres.run(
        &url,
        &format!(
            "insert into account.box_usage_days select {id}, (now() at time zone 'UTC')::date - back, back, 1 \
             from unnest(array[1, 91, 92, 200]) as back"
        ),
    );
    let known = days().await;
    let used: Vec<i64> = known.iter().map(|(_, used)| *used).collect();
    assert_eq!(used, [91, 1, 10], "of the last 92 days, oldest first");
    assert_eq!((known[2].0 - known[0].0, known[2].0 % 86_400), (91 * 86_400, 0));
    refused(replica.mailboxes_of("other").get_mailbox_history(request.clone()).await, Reason::NotFound, "");
}
