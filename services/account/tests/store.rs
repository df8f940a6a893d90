//! The service on a real Postgres: what only the database can prove.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod house;

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use house::{PHC, Postgres, Replica, ready};
use postern_mail::Reason;
use postern_mesh::{failure, shutdown::Shutdown};
use postern_proto::{
    account::v1::{
        ActivityState, BatchResolveRecipientsRequest, CreateCustomerRequest, CreateDomainRequest,
        CreateForwardRequest, CreateMailboxRequest, Customer, DefaultAction, DefaultAddress,
        DeleteCustomerRequest, DeleteDomainRequest, DeleteMailboxRequest, Domain, DomainState, Forward,
        GetForwardRequest, ListMailboxesRequest, LoginIdentity, LookupDomainRequest, LookupLoginRequest,
        LookupMailboxRequest, Mailbox, Resolution, ResolveRecipientRequest, SetCustomerPasswordRequest,
        SetMailboxPasswordRequest, UpdateCustomerRequest, UpdateDefaultAddressRequest, UpdateDomainRequest,
        UpdateForwardRequest, UpdateMailboxRequest, WatchChangesRequest, WatchChangesResponse,
        resolution::Outcome, watch_changes_response::Event,
    },
    google::FieldMask,
};
use tonic::{Status, Streaming};

fn new_mailbox(address: &str) -> CreateMailboxRequest {
    CreateMailboxRequest { address: address.into(), password: ready(), ..Default::default() }
}

fn new_forward(address: &str, targets: &[&str], keep_copy: bool) -> CreateForwardRequest {
    let targets = targets.iter().map(|t| (*t).to_owned()).collect();
    let forward = Forward { address: address.into(), targets, keep_copy, ..Default::default() };
    CreateForwardRequest { forward: Some(forward), request_id: String::new() }
}

fn paths(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
}

async fn create_mailbox(replica: &Replica, address: &str) -> Mailbox {
    replica.mailboxes().create_mailbox(new_mailbox(address)).await.unwrap().into_inner().mailbox.unwrap()
}

async fn login(replica: &Replica, login: &str) -> Option<LoginIdentity> {
    let request = LookupLoginRequest { login: login.into() };
    replica.directory().lookup_login(request).await.unwrap().into_inner().identity
}

async fn resolve(replica: &Replica, address: &str) -> Resolution {
    let request = ResolveRecipientRequest { address: address.into() };
    replica.directory().resolve_recipient(request).await.unwrap().into_inner().resolution.unwrap()
}

fn local(resolution: &Resolution) -> (Option<i64>, Vec<String>) {
    match &resolution.outcome {
        Some(Outcome::Local(local)) => {
            (local.mailbox.as_ref().map(|m| m.mailbox_id), local.forward_targets.clone())
        }
        other => panic!("{other:?}"),
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Status>, reason: Reason, words: &str) {
    let status = result.expect_err(words);
    assert_eq!(failure::typed_reason(&status), Some(reason), "{status}");
    assert!(status.message().contains(words), "{status}");
}

/// Calls again while the answer is temporary: on a busy machine a turn at the database can take too long.
async fn insist<T, F: Future<Output = Result<T, Status>>>(call: impl Fn() -> F) -> Result<T, Status> {
    loop {
        match call().await {
            Err(status) if failure::reason_of(&status) == Reason::Unavailable => {}
            done => return done,
        }
    }
}

/// Waits for the next change of the stream that is not a beat.
async fn next_event(stream: &mut Streaming<WatchChangesResponse>) -> Event {
    let waiting = async {
        loop {
            match stream.message().await.unwrap().unwrap().event.unwrap() {
                Event::Beat(_) => {}
                event => return event,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("an event within 5 s")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_start_together_and_one_sees_the_changes_of_the_other() {
    let postgres = Postgres::start();
    let url = postgres.database("replicas");
    let (one, two) = tokio::join!(Replica::open(&url), Replica::open(&url));
    let mut stream = two.directory().watch_changes(WatchChangesRequest {}).await.unwrap().into_inner();
    assert!(matches!(next_event(&mut stream).await, Event::Reset(_)));

    one.customer("homepage").await;
    let domain = one.domain("homepage.test", "homepage").await;
    assert_eq!((domain.login.as_str(), domain.state()), ("homepage", DomainState::Live));
    let Event::Change(created) = next_event(&mut stream).await else { panic!("a change") };
    assert_eq!((created.domain.as_str(), created.revoked_mailbox_ids.len()), ("homepage.test", 0));

    let asked = Instant::now();
    let mailbox = create_mailbox(&one, "User@homepage.test").await;
    let Event::Change(change) = next_event(&mut stream).await else { panic!("a change") };
    assert!(asked.elapsed() < Duration::from_secs(1), "{:?}", asked.elapsed());
    assert!(change.version > created.version);
    let resolution = resolve(&two, "user+tag@homepage.test").await;
    assert_eq!(resolution.domain_version, change.version);
    assert_eq!(local(&resolution).0, Some(mailbox.mailbox_id));

    // A new password lets the credentials of the default box die, and of nothing else.
    let request = SetCustomerPasswordRequest { login: "homepage".into(), password: ready() };
    one.customers().set_customer_password(request).await.unwrap();
    let Event::Change(change) = next_event(&mut stream).await else { panic!("a change") };
    assert_eq!(change.revoked_mailbox_ids, [domain.default_mailbox_id]);

    // A lost connection means that changes may have been missed.
    postgres.cut_connections("replicas");
    assert!(matches!(next_event(&mut stream).await, Event::Reset(_)));
    // Reads and writes go on over new connections.
    assert!(login(&two, "homepage").await.is_some());
    create_mailbox(&one, "after@homepage.test").await;
    assert!(matches!(next_event(&mut stream).await, Event::Change(_)));

    // The stream ends with its replica.
    two.shutdown.trigger();
    let end = async { while let Ok(Some(_)) = stream.message().await {} };
    tokio::time::timeout(Duration::from_secs(2), end).await.expect("the stream ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn beats_come_while_the_directory_is_current() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("beats")).await;
    let mut stream = replica.directory().watch_changes(WatchChangesRequest {}).await.unwrap().into_inner();
    let mut last = Instant::now();
    let mut gaps = Vec::new();
    while gaps.len() < 8 {
        if let Some(Event::Beat(_)) = stream.message().await.unwrap().unwrap().event {
            gaps.push(last.elapsed());
            last = Instant::now();
        }
    }
    gaps.sort();
    assert!(gaps[4] <= Duration::from_millis(250), "{gaps:?}");
}

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

async fn list(replica: &Replica, domain: &str) -> Vec<Mailbox> {
    let (mut mailboxes, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListMailboxesRequest { domain: domain.into(), page_size: 3, page_token: token };
        let page = replica.mailboxes().list_mailboxes(request).await.unwrap().into_inner();
        assert!(page.mailboxes.len() <= 3);
        mailboxes.extend(page.mailboxes);
        token = page.next_page_token;
        if token.is_empty() {
            return mailboxes;
        }
    }
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

    let delete = |name: &str| DeleteDomainRequest { name: name.into() };
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
    replica.domains().delete_domain(DeleteDomainRequest { name: "box.test".into() }).await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn credentials_die_with_password_suspension_and_removal() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("credentials")).await;
    replica.customer("cred").await;
    let domain = replica.domain("cred.test", "cred").await;
    let mailbox = create_mailbox(&replica, "a@cred.test").await;
    let mut stream = replica.directory().watch_changes(WatchChangesRequest {}).await.unwrap().into_inner();
    assert!(matches!(next_event(&mut stream).await, Event::Reset(_)));
    let mut seen = mailbox.credential_version;
    let mut version = resolve(&replica, "a@cred.test").await.domain_version;
    let mut check = async |revoked: &[i64], state: ActivityState| {
        // What was notified before we subscribed may still be told.
        let change = loop {
            match next_event(&mut stream).await {
                Event::Change(change) if change.version > version => break change,
                Event::Change(_) => {}
                other => panic!("{other:?}"),
            }
        };
        version = change.version;
        let mut ids = change.revoked_mailbox_ids.clone();
        ids.sort_unstable();
        assert_eq!(ids, revoked);
        let identity = login(&replica, "a@cred.test").await.unwrap();
        assert_eq!(identity.state(), state);
        assert_eq!(identity.credential_version > seen, revoked.contains(&mailbox.mailbox_id));
        seen = identity.credential_version;
    };

    let request = SetMailboxPasswordRequest { address: "a@cred.test".into(), password: ready() };
    replica.mailboxes().set_mailbox_password(request).await.unwrap();
    check(&[mailbox.mailbox_id], ActivityState::Active).await;

    let suspend = |state: ActivityState| UpdateMailboxRequest {
        mailbox: Some(Mailbox { address: "a@cred.test".into(), state: state.into(), ..Default::default() }),
        update_mask: paths(&["state"]),
    };
    replica.mailboxes().update_mailbox(suspend(ActivityState::Suspended)).await.unwrap();
    check(&[mailbox.mailbox_id], ActivityState::Suspended).await;
    replica.mailboxes().update_mailbox(suspend(ActivityState::Active)).await.unwrap();
    check(&[], ActivityState::Active).await;

    let suspend = |state: ActivityState| UpdateCustomerRequest {
        customer: Some(Customer { login: "cred".into(), state: state.into(), ..Default::default() }),
        update_mask: paths(&["state"]),
    };
    replica.customers().update_customer(suspend(ActivityState::Suspended)).await.unwrap();
    check(&[domain.default_mailbox_id, mailbox.mailbox_id], ActivityState::Suspended).await;
    replica.customers().update_customer(suspend(ActivityState::Active)).await.unwrap();
    check(&[], ActivityState::Active).await;

    let auth_only = UpdateDomainRequest {
        domain: Some(Domain { name: "cred.test".into(), auth_only: true, ..Default::default() }),
        update_mask: paths(&["auth_only"]),
    };
    replica.domains().update_domain(auth_only).await.unwrap();
    check(&[domain.default_mailbox_id, mailbox.mailbox_id], ActivityState::Active).await;
}

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

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_may_lose_commits_is_refused() {
    let postgres = Postgres::launch(&["synchronous_commit=off"]);
    let settings = postern_account::Settings {
        database_url: postgres.database("unsafe"),
        database_connections: 1,
        new_domains_live: false,
        account_listen: "127.0.0.1:0".parse().unwrap(),
    };
    let error = postern_account::open(&settings, &Shutdown::new()).await.map(drop).unwrap_err().to_string();
    assert!(
        error.contains("synchronous_commit = off") && error.contains("set synchronous_commit = on"),
        "{error}"
    );
}
