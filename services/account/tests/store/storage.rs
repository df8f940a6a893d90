//! Quotas, and removed mailboxes on their way back or to their end.

use crate::asking::{create_mailbox, login, new_forward, new_mailbox, next_event, paths, refused, resolve};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_mesh::identity::{Caller, Role};
use postern_proto::account::v1::{
    BoxUsage, ConfirmDestroyedMailboxesRequest, CreateMailboxRequest, CustomerLimits, DeleteDomainRequest,
    DeleteMailboxRequest, Limits, ListExpiredMailboxesRequest, ListRemovedMailboxesRequest, Mailbox,
    NewPassword, ReportBoxUsageRequest, RestoreMailboxRequest, RestoreMailboxResponse, UpdateLimitsRequest,
    UpdateMailboxRequest, WatchChangesRequest, limits_service_client::LimitsServiceClient,
    new_password::Secret, resolution::Outcome, watch_changes_response::Event,
};
use tonic::Status;

async fn report(replica: &Replica, mailbox_id: i64, used_bytes: i64, version: i64) {
    let told = BoxUsage { mailbox_id, used_bytes, message_count: 1, version };
    replica.storage().report_box_usage(ReportBoxUsageRequest { boxes: vec![told] }).await.unwrap();
}

async fn is_full(replica: &Replica, address: &str) -> bool {
    match resolve(replica, address).await.outcome {
        Some(Outcome::Local(local)) => local.mailbox.unwrap().full,
        other => panic!("{other:?}"),
    }
}

fn quota(address: &str, quota_bytes: Option<i64>) -> UpdateMailboxRequest {
    let mailbox = Mailbox { address: address.into(), quota_bytes, ..Default::default() };
    UpdateMailboxRequest { mailbox: Some(mailbox), update_mask: paths(&["quota_bytes"]) }
}

async fn remove(replica: &Replica, address: &str) -> i64 {
    let request = DeleteMailboxRequest { address: address.into() };
    let removed = replica.mailboxes().delete_mailbox(request).await.unwrap().into_inner();
    assert!(removed.restorable_until_time.is_some());
    removed.mailbox_id
}

async fn restore(
    replica: &Replica,
    address: &str,
    mailbox_id: i64,
) -> Result<RestoreMailboxResponse, Status> {
    let request = RestoreMailboxRequest { address: address.into(), mailbox_id };
    replica.mailboxes().restore_mailbox(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sets_quotas_within_its_limits_and_the_operator_any() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("bounds")).await;
    replica.customer("bound").await;
    replica.domain("bound.test", "bound").await;
    create_mailbox(&replica, "a@bound.test").await;
    let mut own = replica.mailboxes_of("bound");
    // Where nothing is bounded a customer may lift its own bounds.
    own.update_mailbox(quota("a@bound.test", Some(-1))).await.unwrap();
    let limits = Limits { mailbox_storage_bytes: Some(1000), ..Limits::default() };
    let limits = CustomerLimits { customer: "bound".into(), limits: Some(limits), ..Default::default() };
    let operator = replica.channel_of(Caller::new("test", Role::Operator));
    let request = UpdateLimitsRequest { limits: Some(limits) };
    LimitsServiceClient::new(operator).update_limits(request).await.unwrap();

    for above in [1001, -1] {
        own.update_mailbox(quota("a@bound.test", Some(10))).await.unwrap();
        let said = "mailbox.quota_bytes: a mailbox of bound may hold at most 1000 octets";
        refused(own.update_mailbox(quota("a@bound.test", Some(above))).await, Reason::InvalidArgument, said);
        let password = NewPassword { secret: Some(Secret::Plain("correct horse".into())) };
        let new = CreateMailboxRequest {
            quota_bytes: Some(above),
            password: Some(password),
            ..new_mailbox("b@bound.test")
        };
        refused(own.create_mailbox(new).await, Reason::InvalidArgument, "quota_bytes: a mailbox of bound");
        // What the operator set stays when the same is said again.
        replica.mailboxes().update_mailbox(quota("a@bound.test", Some(above))).await.unwrap();
        own.update_mailbox(quota("a@bound.test", Some(above))).await.unwrap();
    }
    for within in [Some(1000), Some(1), None] {
        let shown = own.update_mailbox(quota("a@bound.test", within)).await.unwrap().into_inner();
        assert_eq!(shown.mailbox.unwrap().effective_quota_bytes, within.or(Some(1000)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_report_decides_who_is_full_and_the_change_is_told() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("quotas")).await;
    replica.customer("full").await;
    let domain = replica.domain("full.test", "full").await;
    let mailbox = create_mailbox(&replica, "a@full.test").await;
    let mut mailboxes = replica.mailboxes();
    for bad in [0, -2, (1 << 53) + 1] {
        refused(
            mailboxes.update_mailbox(quota("a@full.test", Some(bad))).await,
            Reason::InvalidArgument,
            "mailbox.quota_bytes: ",
        );
    }
    mailboxes.update_mailbox(quota("a@full.test", Some(100))).await.unwrap();
    report(&replica, mailbox.mailbox_id, 99, 5).await;
    assert!(!is_full(&replica, "a@full.test").await);

    let mut stream = replica.directory().watch_changes(WatchChangesRequest {}).await.unwrap().into_inner();
    assert!(matches!(next_event(&mut stream).await, Event::Reset(_)));
    report(&replica, mailbox.mailbox_id, 100, 7).await;
    let version = resolve(&replica, "a@full.test").await.domain_version;
    loop {
        // What was notified before we subscribed may still be told.
        let Event::Change(change) = next_event(&mut stream).await else { panic!("a change") };
        if change.version == version {
            break;
        }
    }
    assert!(is_full(&replica, "a+tag@full.test").await);
    // An older report that comes late, and the same again, change nothing.
    report(&replica, mailbox.mailbox_id, 10, 6).await;
    report(&replica, mailbox.mailbox_id, 100, 7).await;
    assert_eq!(resolve(&replica, "a@full.test").await.domain_version, version);
    assert!(is_full(&replica, "a@full.test").await);

    // More room, without a report.
    let shown = mailboxes.update_mailbox(quota("a@full.test", Some(-1))).await.unwrap().into_inner();
    let shown = shown.mailbox.unwrap();
    assert_eq!((shown.quota_bytes, shown.effective_quota_bytes, shown.used_bytes), (Some(-1), None, 100));
    assert!(!is_full(&replica, "a@full.test").await);

    // The default box too, and a box that nobody knows harms nothing.
    mailboxes.update_mailbox(quota("full", Some(1))).await.unwrap();
    report(&replica, domain.default_mailbox_id, 1, 1).await;
    report(&replica, 1 << 40, 1, 1).await;
    assert!(is_full(&replica, "anybody@full.test").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_mailbox_comes_back_whole() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("removed")).await;
    replica.customer("back").await;
    replica.domain("back.test", "back").await;
    let mailbox = create_mailbox(&replica, "a@back.test").await;
    let before = login(&replica, "a@back.test").await.unwrap();
    remove(&replica, "a@back.test").await;
    assert!(login(&replica, "a@back.test").await.is_none());
    let restored = restore(&replica, "a@back.test", 0).await.unwrap();
    assert_eq!(
        (restored.mailbox.unwrap().mailbox_id, restored.merge_from_mailbox_id),
        (mailbox.mailbox_id, 0)
    );
    let after = login(&replica, "a@back.test").await.unwrap();
    assert_eq!((after.mailbox_id, &after.password_phc), (before.mailbox_id, &before.password_phc));
    refused(restore(&replica, "a@back.test", 0).await, Reason::NotFound, "no removed mailbox a@back.test");

    // Its address is a mailbox again, or a forward.
    remove(&replica, "a@back.test").await;
    let second = create_mailbox(&replica, "a@back.test").await.mailbox_id;
    let answer = restore(&replica, "a@back.test", 0).await.unwrap();
    let ids = (answer.mailbox.unwrap().mailbox_id, answer.merge_from_mailbox_id);
    assert_eq!(ids, (second, mailbox.mailbox_id));
    remove(&replica, "a@back.test").await;
    replica.forwards().create_forward(new_forward("a@back.test", &["x@else.test"], false)).await.unwrap();
    refused(restore(&replica, "a@back.test", 0).await, Reason::AlreadyExists, "is a forward already");

    // Listed newest first, in pages.
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListRemovedMailboxesRequest {
            domain: "back.test".into(),
            address: String::new(),
            page_size: 1,
            page_token,
        };
        let page = replica.mailboxes().list_removed_mailboxes(request).await.unwrap().into_inner();
        listed.extend(page.mailboxes.iter().map(|removed| removed.mailbox_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, [second, mailbox.mailbox_id]);

    // A domain that is gone takes its boxes along; who has it next does not get them.
    create_mailbox(&replica, "b@back.test").await;
    replica
        .domains()
        .delete_domain(DeleteDomainRequest { name: "back.test".into(), ..Default::default() })
        .await
        .unwrap();
    refused(restore(&replica, "b@back.test", 0).await, Reason::FailedPrecondition, "add the domain first");
    replica.customer("next").await;
    replica.domain("back.test", "next").await;
    refused(restore(&replica, "b@back.test", 0).await, Reason::FailedPrecondition, "for the owner");
    replica.mailboxes().create_mailbox(new_mailbox("b@back.test")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_named_until_it_is_destroyed() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("expired")).await;
    replica.customer("over").await;
    replica.domain("over.test", "over").await;
    create_mailbox(&replica, "a@over.test").await;
    create_mailbox(&replica, "b@over.test").await;
    let (old, young) = (remove(&replica, "a@over.test").await, remove(&replica, "b@over.test").await);
    let expired = async || {
        let request = ListExpiredMailboxesRequest { page_size: 0 };
        replica.storage().list_expired_mailboxes(request).await.unwrap().into_inner().mailbox_ids
    };
    assert!(expired().await.is_empty());
    let age = format!(
        "update account.mailboxes set removed_time = now() - interval '31 days' where mailbox_id = {old}"
    );
    postgres.run("expired", &age);
    assert_eq!(expired().await, [old]);
    assert_eq!(expired().await, [old], "until it is confirmed");
    refused(restore(&replica, "a@over.test", 0).await, Reason::FailedPrecondition, "its mail is gone");
    // Only what was named can be confirmed.
    let request = ConfirmDestroyedMailboxesRequest { mailbox_ids: vec![old, young] };
    replica.storage().confirm_destroyed_mailboxes(request).await.unwrap();
    assert!(expired().await.is_empty());
    refused(restore(&replica, "a@over.test", 0).await, Reason::NotFound, "no removed mailbox");
    assert!(restore(&replica, "b@over.test", young).await.is_ok());
}
