//! What was removed comes back from the audit, and a removal says what it leaves behind.

use crate::asking::{
    add_members, create_list, create_mailbox, local, new_answer, new_forward, new_mailbox, refused, resolve,
};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_mesh::identity::Caller;
use postern_proto::account::v1::{
    CreateDomainRequest, DefaultAction, DefaultAddress, DeleteAutoresponderRequest, DeleteDomainRequest,
    DeleteForwardRequest, DeleteMailboxRequest, DeleteMailingListRequest, GetAutoresponderRequest,
    GetForwardRequest, GetMailingListRequest, ReferenceKind, RestoreAuditEntryRequest, RestoreMailboxRequest,
    UpdateDefaultAddressRequest, audit_service_client::AuditServiceClient,
};

/// The newest entry of a removal.
fn removal(postgres: &Postgres, database: &str, kind: &str, name: &str) -> RestoreAuditEntryRequest {
    let sql = format!(
        "select max(audit_id) from account.audit where kind = '{kind}' and name = '{name}' and action = 'delete'"
    );
    RestoreAuditEntryRequest { audit_id: postgres.query(database, &sql).parse().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn forwards_lists_and_autoresponders_come_back_as_they_were() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("undo")).await;
    replica.customer("undo").await;
    replica.domain("u.test", "undo").await;
    let mut forwards = replica.forwards();
    let forward = new_forward("f@u.test", &["A@else.test", "b@else.test"], false);
    forwards.create_forward(forward).await.unwrap();
    forwards.delete_forward(DeleteForwardRequest { address: "f@u.test".into() }).await.unwrap();
    let entry = removal(&postgres, "undo", "forward", "f@u.test");

    // Another customer has no such entry; the owner restores it, once.
    replica.customer("other").await;
    let audit_of = |login: &str| AuditServiceClient::new(replica.channel_of(Caller::customer(login, login)));
    refused(audit_of("other").restore_audit_entry(entry).await, Reason::NotFound, "there is no audit entry");
    let told = audit_of("undo").restore_audit_entry(entry).await.unwrap().into_inner().entry.unwrap();
    assert_eq!(
        (told.kind.as_str(), told.name.as_str(), told.action.as_str()),
        ("forward", "f@u.test", "restore")
    );
    assert_eq!(local(&resolve(&replica, "f@u.test").await).1, ["A@else.test", "b@else.test"]);
    refused(
        replica.audit().restore_audit_entry(entry).await,
        Reason::AlreadyExists,
        "f@u.test is a forward already",
    );

    let list = create_list(&replica, "l@u.test").await;
    add_members(&replica, "l@u.test", &["a@else.test", "later@u.test"]).await;
    let delete = DeleteMailingListRequest { address: "l@u.test".into() };
    replica.lists().delete_mailing_list(delete.clone()).await.unwrap();
    let entry = removal(&postgres, "undo", "list", "l@u.test");
    // Meanwhile a member of it leads to it: it would contain itself.
    forwards.create_forward(new_forward("later@u.test", &["l@u.test"], false)).await.unwrap();
    refused(
        replica.audit().restore_audit_entry(entry).await,
        Reason::FailedPrecondition,
        "l@u.test -> later@u.test -> l@u.test",
    );
    forwards.delete_forward(DeleteForwardRequest { address: "later@u.test".into() }).await.unwrap();
    create_mailbox(&replica, "l@u.test").await;
    refused(
        replica.audit().restore_audit_entry(entry).await,
        Reason::AlreadyExists,
        "l@u.test is a mailbox already",
    );
    let request = DeleteMailboxRequest { address: "l@u.test".into() };
    replica.mailboxes().delete_mailbox(request).await.unwrap();
    replica.audit().restore_audit_entry(entry).await.unwrap();
    let get = GetMailingListRequest { address: "l@u.test".into() };
    let back = replica.lists().get_mailing_list(get).await.unwrap().into_inner().list.unwrap();
    assert_eq!((back.list_id, back.member_count), (list.list_id, 2));
    // Days later nobody can.
    replica.lists().delete_mailing_list(delete).await.unwrap();
    let entry = removal(&postgres, "undo", "list", "l@u.test");
    postgres.query(
        "undo",
        &format!(
            "update account.audit set time = now() - interval '31 days' where audit_id = {}",
            entry.audit_id
        ),
    );
    refused(replica.audit().restore_audit_entry(entry).await, Reason::FailedPrecondition, "30 days");

    let mut answers = replica.autoresponders();
    let made = answers.update_autoresponder(new_answer("a@u.test")).await.unwrap().into_inner();
    let delete = DeleteAutoresponderRequest { address: "a@u.test".into() };
    answers.delete_autoresponder(delete).await.unwrap();
    replica
        .audit()
        .restore_audit_entry(removal(&postgres, "undo", "autoresponder", "a@u.test"))
        .await
        .unwrap();
    let get = GetAutoresponderRequest { address: "a@u.test".into() };
    let back = answers.get_autoresponder(get).await.unwrap().into_inner().autoresponder.unwrap();
    let made = made.autoresponder.unwrap();
    assert_eq!((back.text, back.text_version), (made.text, made.text_version));

    // Other entries cannot be restored.
    let entry = removal(&postgres, "undo", "mailbox", "l@u.test");
    refused(
        replica.audit().restore_audit_entry(entry).await,
        Reason::FailedPrecondition,
        "no removal of a forward",
    );

    // What went with its domain comes back when the domain is there again.
    replica
        .domains()
        .delete_domain(DeleteDomainRequest { name: "u.test".into(), ..Default::default() })
        .await
        .unwrap();
    let entry = removal(&postgres, "undo", "forward", "f@u.test");
    refused(replica.audit().restore_audit_entry(entry).await, Reason::NotFound, "u.test is not hosted here");
    replica.domain("u.test", "other").await;
    refused(replica.audit().restore_audit_entry(entry).await, Reason::FailedPrecondition, "another customer");
    replica
        .domains()
        .delete_domain(DeleteDomainRequest { name: "u.test".into(), ..Default::default() })
        .await
        .unwrap();
    replica.domain("u.test", "undo").await;
    replica.audit().restore_audit_entry(entry).await.unwrap();
    assert_eq!(local(&resolve(&replica, "f@u.test").await).1, ["A@else.test", "b@else.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_mailbox_says_what_still_names_it_and_leaves_its_forward_in_the_audit() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("references")).await;
    for (customer, domain) in [("ref", "r.test"), ("else", "e.test")] {
        replica.customer(customer).await;
        replica.domain(domain, customer).await;
    }
    let second = CreateDomainRequest {
        name: "r-too.test".into(),
        customer: "ref".into(),
        alias_of: "r.test".into(),
        ..Default::default()
    };
    replica.domains().create_domain(second).await.unwrap();
    create_mailbox(&replica, "anna@r.test").await;
    let mut forwards = replica.forwards();
    for (address, targets) in [
        ("anna@r.test", &["Anna@r.test", "out@x.test"][..]),
        ("f@r.test", &["ANNA@r.test"]),
        ("f@e.test", &["anna@r.test"]),
        // Under its second name, and with a tag; another anna, and other names, are not it.
        ("second@r.test", &["anna@r-too.test"]),
        ("tag@r.test", &["out@x.test", "Anna+news@r-too.test"]),
        ("other@r.test", &["anna@e.test", "annabel@r.test", "anna+x@e.test"]),
    ] {
        forwards.create_forward(new_forward(address, targets, false)).await.unwrap();
    }
    replica.autoresponders().update_autoresponder(new_answer("anna@r.test")).await.unwrap();
    create_list(&replica, "staff@r.test").await;
    add_members(&replica, "staff@r.test", &["Anna@r.test"]).await;
    create_list(&replica, "tagged@r.test").await;
    add_members(&replica, "tagged@r.test", &["anna+list@r.test"]).await;
    let mut owned = crate::asking::new_list("boss@r.test");
    owned.list.as_mut().unwrap().owner = "anna@R.test".into();
    replica.lists().create_mailing_list(owned).await.unwrap();
    let rule = DefaultAddress {
        domain: "r.test".into(),
        action: DefaultAction::Address.into(),
        target: "Anna@r.test".into(),
        ..Default::default()
    };
    let request = UpdateDefaultAddressRequest { default_address: Some(rule) };
    replica.defaults().update_default_address(request).await.unwrap();

    let delete = DeleteMailboxRequest { address: "anna@r.test".into() };
    let answer = replica.mailboxes().delete_mailbox(delete).await.unwrap().into_inner();
    let told: Vec<_> = answer.references.iter().map(|r| (r.kind(), r.name.as_str())).collect();
    let wanted = [
        (ReferenceKind::Forward, "f@r.test"),
        (ReferenceKind::Forward, "second@r.test"),
        (ReferenceKind::Forward, "tag@r.test"),
        (ReferenceKind::ListMember, "staff@r.test"),
        (ReferenceKind::ListMember, "tagged@r.test"),
        (ReferenceKind::ListOwner, "boss@r.test"),
        (ReferenceKind::DefaultAddress, "r.test"),
    ];
    assert_eq!(told, wanted);
    let gone = forwards.get_forward(GetForwardRequest { address: "anna@r.test".into() }).await;
    refused(gone, Reason::NotFound, "anna@r.test");
    // With a new mailbox there, its forward and its autoresponder come back from the audit.
    replica.mailboxes().create_mailbox(new_mailbox("anna@r.test")).await.unwrap();
    for kind in ["forward", "autoresponder"] {
        let entry = removal(&postgres, "references", kind, "anna@r.test");
        replica.audit().restore_audit_entry(entry).await.unwrap();
    }
    let (mailbox, targets) = local(&resolve(&replica, "anna@r.test").await);
    assert!(mailbox.is_some());
    assert_eq!(targets, ["out@x.test"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_comes_back_with_what_went_with_it_as_far_as_it_may_stand() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("along")).await;
    replica.customer("along").await;
    replica.domain("w.test", "along").await;
    create_mailbox(&replica, "anna@w.test").await;
    let mut forwards = replica.forwards();
    // One that was removed before the mailbox was stays removed.
    forwards.create_forward(new_forward("anna@w.test", &["old@x.test"], true)).await.unwrap();
    forwards.delete_forward(DeleteForwardRequest { address: "anna@w.test".into() }).await.unwrap();
    let forward = new_forward("anna@w.test", &["out@x.test", "bert@w.test"], true);
    forwards.create_forward(forward).await.unwrap();
    replica.autoresponders().update_autoresponder(new_answer("anna@w.test")).await.unwrap();
    let delete = DeleteMailboxRequest { address: "anna@w.test".into() };
    let restore = RestoreMailboxRequest { address: "anna@w.test".into(), mailbox_id: 0 };
    replica.mailboxes().delete_mailbox(delete.clone()).await.unwrap();
    let back = replica.mailboxes().restore_mailbox(restore.clone()).await.unwrap().into_inner();
    let told: Vec<_> = back.went_along.iter().map(|a| (a.kind.as_str(), a.refused.as_str())).collect();
    assert_eq!(told, [("forward", ""), ("autoresponder", "")]);
    let get = GetForwardRequest { address: "anna@w.test".into() };
    let there = forwards.get_forward(get.clone()).await.unwrap().into_inner().forward.unwrap();
    assert_eq!((there.targets, there.keep_copy), (vec!["out@x.test".into(), "bert@w.test".into()], true));
    let answer = GetAutoresponderRequest { address: "anna@w.test".into() };
    replica.autoresponders().get_autoresponder(answer.clone()).await.unwrap();

    // Meanwhile a target of it leads to it: the box and its answer come back, the forward waits in the audit.
    replica.mailboxes().delete_mailbox(delete).await.unwrap();
    forwards.create_forward(new_forward("bert@w.test", &["anna@w.test"], false)).await.unwrap();
    let back = replica.mailboxes().restore_mailbox(restore).await.unwrap().into_inner();
    let [forward, autoresponder] = back.went_along.as_slice() else { panic!("{:?}", back.went_along) };
    assert!(forward.refused.contains("anna@w.test -> bert@w.test -> anna@w.test"), "{}", forward.refused);
    assert_eq!(autoresponder.refused, "");
    replica.autoresponders().get_autoresponder(answer).await.unwrap();
    refused(forwards.get_forward(get.clone()).await, Reason::NotFound, "anna@w.test");
    forwards.delete_forward(DeleteForwardRequest { address: "bert@w.test".into() }).await.unwrap();
    let entry = RestoreAuditEntryRequest { audit_id: forward.audit_id };
    replica.audit().restore_audit_entry(entry).await.unwrap();
    forwards.get_forward(get).await.unwrap();
}
