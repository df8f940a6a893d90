//! Changes reach every replica, and a database that would lose them is refused.

use crate::asking::{create_mailbox, local, login, next_event, paths, resolve};
use crate::house::{Postgres, Replica, ready};
use postern_mesh::shutdown::Shutdown;
use postern_proto::account::v1::{
    ActivityState, Customer, Domain, DomainState, Mailbox, SetCustomerPasswordRequest,
    SetMailboxPasswordRequest, UpdateCustomerRequest, UpdateDomainRequest, UpdateMailboxRequest,
    WatchChangesRequest, watch_changes_response::Event,
};
use std::time::{Duration, Instant};

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
async fn a_database_that_may_lose_commits_is_refused() {
    let postgres = Postgres::launch(&["synchronous_commit=off"]);
    let settings = postern_account::Settings {
        database_url: Some(postgres.database("unsafe")),
        database_url_file: None,
        database_connections: 1,
        new_domains_live: false,
        delegation: Default::default(),
        vault_days: 30,
        limits: postern_account::LimitDefaults::off(),
        audit_days: 400,
        argon2_workers: 0,
        account_listen: "127.0.0.1:0".parse().unwrap(),
    };
    let error = postern_account::open(&settings, &Shutdown::new()).await.map(drop).unwrap_err().to_string();
    assert!(
        error.contains("synchronous_commit = off") && error.contains("set synchronous_commit = on"),
        "{error}"
    );
}
