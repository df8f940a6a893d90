//! What is created once, by one, and never given again.

use crate::asking::{create_mailbox, insist, list, local, login, new_forward, new_mailbox, refused, resolve};
use crate::house::{PHC, Postgres, Replica, ready};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::account::v1::{
    CreateCustomerRequest, CreateDomainRequest, CreateForwardRequest, CreateMailboxRequest,
    DeleteCustomerRequest, DeleteDomainRequest, DeleteMailboxRequest, GetForwardRequest, LookupDomainRequest,
    LookupMailboxRequest, SetMailboxPasswordRequest, resolution::Outcome,
};
use std::collections::HashSet;

#[tokio::test(flavor = "multi_thread")]
async fn a_create_with_the_same_request_id_is_done_once() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("requests")).await;
    let request = CreateCustomerRequest {
        login: "shop".into(),
        password: ready(),
        request_id: "r1".into(),
        ..Default::default()
    };
    let mut customers = replica.customers();
    let first = customers.create_customer(request.clone()).await.unwrap().into_inner();
    let again = customers.create_customer(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = CreateCustomerRequest { login: "other".into(), ..request.clone() };
    refused(customers.create_customer(other).await, Reason::InvalidArgument, "request_id");
    let fresh = CreateCustomerRequest { request_id: "r2".into(), ..request };
    refused(customers.create_customer(fresh).await, Reason::AlreadyExists, "shop");

    let request = CreateDomainRequest {
        name: "shop.test".into(),
        customer: "shop".into(),
        request_id: "r1".into(),
        ..Default::default()
    };
    let first = replica.domains().create_domain(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, replica.domains().create_domain(request).await.unwrap().into_inner());

    let request = CreateMailboxRequest { request_id: "r1".into(), ..new_mailbox("a@shop.test") };
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (mut client, request) = (replica.mailboxes(), request.clone());
            tokio::spawn(async move {
                client.create_mailbox(request).await.unwrap().into_inner().mailbox.unwrap()
            })
        })
        .collect();
    let mut ids = HashSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap().mailbox_id);
    }
    assert_eq!(ids.len(), 1);

    let request = CreateForwardRequest {
        request_id: "r1".into(),
        ..new_forward("f@shop.test", &["x@else.test"], false)
    };
    let first = replica.forwards().create_forward(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, replica.forwards().create_forward(request).await.unwrap().into_inner());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_creates_of_one_address_exactly_one_wins() {
    let postgres = Postgres::start();
    let url = postgres.database("races");
    let (one, two) = tokio::join!(Replica::open(&url), Replica::open(&url));
    one.customer("race").await;
    one.domain("race.test", "race").await;
    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let replica = if n % 2 == 0 { &one } else { &two };
            let (mailboxes, forwards) = (replica.mailboxes(), replica.forwards());
            let request_id = format!("race {n}");
            tokio::spawn(async move {
                if n % 4 == 0 {
                    let request = new_forward("a@race.test", &[&format!("t{n}@else.test")], false);
                    let request = CreateForwardRequest { request_id, ..request };
                    insist(|| async { forwards.clone().create_forward(request.clone()).await })
                        .await
                        .map(drop)
                } else {
                    let request = CreateMailboxRequest { request_id, ..new_mailbox("A@race.test") };
                    insist(|| async { mailboxes.clone().create_mailbox(request.clone()).await })
                        .await
                        .map(drop)
                }
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => won += 1,
            Err(status) => {
                assert_eq!(failure::typed_reason(&status), Some(Reason::AlreadyExists), "{status}")
            }
        }
    }
    // A forward may join a mailbox that won, but not the other way round, and each only once.
    let mailboxes = list(&one, "race.test").await.len() - 1;
    let forward =
        one.forwards().get_forward(GetForwardRequest { address: "a@race.test".into() }).await.is_ok();
    assert_eq!(won, mailboxes + usize::from(forward));
    assert!((1..=2).contains(&won) && mailboxes <= 1, "{won} {mailboxes}");

    let tasks: Vec<_> = (0..32)
        .map(|n| {
            let client = two.mailboxes();
            let request = CreateMailboxRequest { request_id: format!("b {n}"), ..new_mailbox("b@race.test") };
            tokio::spawn(async move {
                insist(|| async { client.clone().create_mailbox(request.clone()).await }).await.map(drop)
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(()) => won += 1,
            Err(status) => assert!(status.message().contains("is a mailbox already"), "{status}"),
        }
    }
    assert_eq!(won, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_never_given_to_somebody_else() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("logins")).await;
    for customer in ["homepage", "second", "third"] {
        replica.customer(customer).await;
    }
    let first = replica.domain("homepage.test", "homepage").await;
    assert_eq!(first.login, "homepage", "its own login opens its box");
    assert_eq!(replica.domain("homepage.example", "homepage").await.login, "homepag2");
    let other = replica.domain("homepages.test", "second").await;
    assert_eq!(other.login, "homepag3");
    assert!(login(&replica, "second").await.is_none(), "a customer login without a domain has no box");
    let identity = login(&replica, "HomePage").await.unwrap();
    assert_eq!(identity.mailbox_id, first.default_mailbox_id);
    assert_eq!(
        (identity.address.as_str(), identity.password_phc.as_str()),
        ("postmaster@homepage.test", PHC)
    );

    let delete = |name: &str| DeleteDomainRequest { name: name.into(), ..Default::default() };
    replica.domains().delete_domain(delete("homepages.test")).await.unwrap();
    assert!(login(&replica, "homepag3").await.is_none());
    // Another customer with the same domain does not get it; its owner does.
    let moved = replica.domain("homepages.test", "third").await;
    assert_eq!(moved.login, "homepag4");
    replica.domains().delete_domain(delete("homepages.test")).await.unwrap();
    let back = replica.domain("homepages.test", "second").await;
    assert_eq!(back.login, "homepag3");
    assert_ne!(back.default_mailbox_id, other.default_mailbox_id);

    // A customer goes; the login stays theirs.
    let mut customers = replica.customers();
    let remove = |login: &str| DeleteCustomerRequest { login: login.into() };
    refused(customers.delete_customer(remove("second")).await, Reason::FailedPrecondition, "homepages.test");
    replica.domains().delete_domain(delete("homepages.test")).await.unwrap();
    customers.delete_customer(remove("second")).await.unwrap();
    for taken in ["second", "homepag3", "homepag4"] {
        let request = CreateCustomerRequest { login: taken.into(), password: ready(), ..Default::default() };
        refused(customers.create_customer(request).await, Reason::AlreadyExists, "never given again");
    }
    let concurrent: Vec<_> = (0..8)
        .map(|n| {
            let mut client = replica.domains();
            let name = format!("samename.x{n}.test");
            tokio::spawn(async move {
                let request = CreateDomainRequest { name, customer: "third".into(), ..Default::default() };
                client.create_domain(request).await.unwrap().into_inner().domain.unwrap().login
            })
        })
        .collect();
    let mut logins = HashSet::new();
    for task in concurrent {
        assert!(logins.insert(task.await.unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recreated_mailbox_is_another_one() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("recreate")).await;
    replica.customer("box").await;
    let domain = replica.domain("box.test", "box").await;
    let old = create_mailbox(&replica, "user@box.test").await;
    replica.forwards().create_forward(new_forward("user@box.test", &["out@else.test"], true)).await.unwrap();
    assert_eq!(
        local(&resolve(&replica, "user@box.test").await),
        (Some(old.mailbox_id), vec!["out@else.test".into()])
    );
    let delete = DeleteMailboxRequest { address: "user@box.test".into() };
    let removed = replica.mailboxes().delete_mailbox(delete.clone()).await.unwrap().into_inner();
    assert_eq!(removed.mailbox_id, old.mailbox_id);
    // The forward that it carried went with it, so the default box takes the name.
    assert_eq!(local(&resolve(&replica, "user@box.test").await), (Some(domain.default_mailbox_id), vec![]));
    refused(replica.mailboxes().delete_mailbox(delete).await, Reason::NotFound, "user@box.test");
    let new = create_mailbox(&replica, "user@box.test").await;
    assert!(new.mailbox_id > old.mailbox_id);

    let look = |mailbox_id| LookupMailboxRequest { mailbox_id };
    let was =
        replica.directory().lookup_mailbox(look(old.mailbox_id)).await.unwrap().into_inner().mailbox.unwrap();
    assert!(was.removed && was.address == "user@box.test" && was.credential_version > old.credential_version);
    let is =
        replica.directory().lookup_mailbox(look(new.mailbox_id)).await.unwrap().into_inner().mailbox.unwrap();
    assert!(!is.removed);
    assert!(replica.directory().lookup_mailbox(look(i64::MAX)).await.unwrap().into_inner().mailbox.is_none());

    for name in ["box", "BOX"] {
        let delete = DeleteMailboxRequest { address: name.into() };
        refused(replica.mailboxes().delete_mailbox(delete).await, Reason::FailedPrecondition, "default box");
        let password = SetMailboxPasswordRequest { address: name.into(), password: ready() };
        refused(
            replica.mailboxes().set_mailbox_password(password).await,
            Reason::FailedPrecondition,
            "customer",
        );
    }
    // A removed domain is remote, with a version that has grown; its boxes are known as removed.
    let version = resolve(&replica, "user@box.test").await.domain_version;
    replica
        .domains()
        .delete_domain(DeleteDomainRequest { name: "box.test".into(), ..Default::default() })
        .await
        .unwrap();
    let resolution = resolve(&replica, "user@box.test").await;
    assert!(matches!(resolution.outcome, Some(Outcome::Remote(_))) && resolution.domain_version > version);
    assert!(
        replica
            .directory()
            .lookup_mailbox(look(new.mailbox_id))
            .await
            .unwrap()
            .into_inner()
            .mailbox
            .unwrap()
            .removed
    );
    let look = LookupDomainRequest { name: "box.test".into() };
    assert!(replica.directory().lookup_domain(look).await.unwrap().into_inner().domain.is_none());
}
