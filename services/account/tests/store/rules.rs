//! Forwards that lead back, etags, pages and bad requests.

use crate::asking::{create_mailbox, list, local, login, new_forward, new_mailbox, paths, refused, resolve};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_proto::account::v1::{
    BatchResolveRecipientsRequest, DefaultAction, DefaultAddress, Domain, Forward, GetDefaultAddressRequest,
    ListMailboxesRequest, ResolveRecipientRequest, UpdateDefaultAddressRequest, UpdateDomainRequest,
    UpdateForwardRequest,
};

#[tokio::test(flavor = "multi_thread")]
async fn forwards_that_lead_back_are_refused_with_the_path() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("cycles")).await;
    replica.customer("ring").await;
    replica.domain("a.test", "ring").await;
    replica.domain("b.test", "ring").await;
    create_mailbox(&replica, "box@a.test").await;
    let mut forwards = replica.forwards();
    let mut create = async |address: &str, targets: &[&str], keep_copy: bool| {
        forwards
            .create_forward(new_forward(address, targets, keep_copy))
            .await
            .map(|r| r.into_inner().forward.unwrap())
    };
    create("one@a.test", &["two@b.test", "out@else.test"], false).await.unwrap();
    let ring = create("two@b.test", &["One+tag@A.test"], false).await;
    refused(ring, Reason::FailedPrecondition, "two@b.test -> one+tag@a.test -> two@b.test");
    refused(
        create("self@a.test", &["self@a.test"], false).await,
        Reason::FailedPrecondition,
        "self@a.test -> self@a.test",
    );
    refused(create("self@a.test", &["box@a.test"], true).await, Reason::FailedPrecondition, "no mailbox");
    refused(
        create("one@a.test", &["x@else.test"], false).await,
        Reason::AlreadyExists,
        "is a forward already",
    );
    refused(
        create("x@else.test", &["y@else.test"], false).await,
        Reason::NotFound,
        "else.test is not hosted",
    );
    refused(
        replica.mailboxes().create_mailbox(new_mailbox("one@a.test")).await,
        Reason::AlreadyExists,
        "is a forward",
    );
    refused(
        replica.mailboxes().create_mailbox(new_mailbox("box@a.test")).await,
        Reason::AlreadyExists,
        "is a mailbox",
    );

    // To itself on a mailbox address means: keep a copy.
    create("box@a.test", &["Box@a.test", "out@else.test"], false).await.unwrap();
    let (mailbox, targets) = local(&resolve(&replica, "box@a.test").await);
    assert!(mailbox.is_some());
    assert_eq!(targets, ["out@else.test"]);

    // The default address is part of the graph.
    let rule = |domain: &str, target: &str| UpdateDefaultAddressRequest {
        default_address: Some(DefaultAddress {
            domain: domain.into(),
            action: DefaultAction::Address.into(),
            target: target.into(),
            ..Default::default()
        }),
    };
    let ring = replica.defaults().update_default_address(rule("a.test", "nobody@a.test")).await;
    refused(ring, Reason::FailedPrecondition, "*@a.test -> nobody@a.test -> *@a.test");
    replica.defaults().update_default_address(rule("a.test", "three@b.test")).await.unwrap();
    assert_eq!(local(&resolve(&replica, "nobody@a.test").await).1, ["three@b.test"]);
    let ring = create("three@b.test", &["unknown@a.test"], false).await;
    refused(ring, Reason::FailedPrecondition, "three@b.test -> unknown@a.test -> three@b.test");

    // Two halves of a ring at the same moment: only one of them.
    let (mut left, mut right) = (replica.forwards(), replica.forwards());
    let (left, right) = tokio::join!(
        left.create_forward(new_forward("l@a.test", &["r@b.test"], false)),
        right.create_forward(new_forward("r@b.test", &["l@a.test"], false))
    );
    assert!(left.is_ok() != right.is_ok(), "{left:?} {right:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn etags_pages_and_rights() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("forms")).await;
    replica.customer("form").await;
    let domain = replica.domain("form.test", "form").await;
    for n in 0..7 {
        create_mailbox(&replica, &format!("u{n}@form.test")).await;
    }
    let listed: Vec<_> = list(&replica, "form.test").await.into_iter().map(|m| m.address).collect();
    assert_eq!(listed.len(), 8);
    assert!(listed[0].is_empty() && listed.is_sorted());
    let request = ListMailboxesRequest { domain: "none.test".into(), ..Default::default() };
    refused(replica.mailboxes().list_mailboxes(request).await, Reason::NotFound, "none.test");

    let update = |etag: &str, senders: &[&str]| UpdateDomainRequest {
        domain: Some(Domain {
            name: "form.test".into(),
            etag: etag.into(),
            grant_ttl_seconds: Some(300),
            allowed_senders: senders.iter().map(|s| (*s).to_owned()).collect(),
            ..Default::default()
        }),
        update_mask: paths(&["grant_ttl_seconds", "allowed_senders"]),
    };
    let changed = replica
        .domains()
        .update_domain(update(&domain.etag, &["form"]))
        .await
        .unwrap()
        .into_inner()
        .domain
        .unwrap();
    assert_eq!((changed.grant_ttl_seconds, changed.allowed_senders.len()), (Some(300), 1));
    refused(
        replica.domains().update_domain(update(&domain.etag, &[])).await,
        Reason::EtagMismatch,
        "form.test",
    );
    refused(
        replica.domains().update_domain(update("", &["nobody"])).await,
        Reason::InvalidArgument,
        "nobody",
    );

    let forward =
        replica.forwards().create_forward(new_forward("f@form.test", &["a@else.test"], false)).await.unwrap();
    let forward = forward.into_inner().forward.unwrap();
    let update = UpdateForwardRequest {
        forward: Some(Forward { targets: vec!["b@else.test".into()], ..forward.clone() }),
        update_mask: paths(&["targets"]),
    };
    replica.forwards().update_forward(update.clone()).await.unwrap();
    refused(replica.forwards().update_forward(update).await, Reason::EtagMismatch, "f@form.test");

    let rule = |action: DefaultAction, etag: &str| UpdateDefaultAddressRequest {
        default_address: Some(DefaultAddress {
            domain: "form.test".into(),
            action: action.into(),
            etag: etag.into(),
            ..Default::default()
        }),
    };
    let set = replica.defaults().update_default_address(rule(DefaultAction::Reject, "")).await.unwrap();
    let seen = set.into_inner().default_address.unwrap().etag;
    replica.defaults().update_default_address(rule(DefaultAction::Discard, &seen)).await.unwrap();
    refused(
        replica.defaults().update_default_address(rule(DefaultAction::Box, &seen)).await,
        Reason::EtagMismatch,
        "form.test",
    );
    let request = GetDefaultAddressRequest { domain: "form.test".into() };
    let stored = replica.defaults().get_default_address(request).await.unwrap().into_inner();
    let stored = stored.default_address.unwrap();
    assert_eq!(stored.action(), DefaultAction::Discard);
    replica.defaults().update_default_address(rule(DefaultAction::Box, &stored.etag)).await.unwrap();

    let addresses: Vec<_> = (0..1000).map(|n| format!("u{}+{n}@form.test", n % 9)).collect();
    let request = BatchResolveRecipientsRequest { addresses };
    let answer = replica.directory().batch_resolve_recipients(request).await.unwrap().into_inner();
    assert_eq!(answer.resolutions.len(), 1000);
    assert_eq!(local(&answer.resolutions[8]).0, Some(domain.default_mailbox_id));
    assert_ne!(local(&answer.resolutions[9]).0, Some(domain.default_mailbox_id));
    let junk = ResolveRecipientRequest { address: "a b@form.test".into() };
    refused(replica.directory().resolve_recipient(junk).await, Reason::InvalidArgument, "address");
    assert!(login(&replica, "no login at all \0").await.is_none());
}
