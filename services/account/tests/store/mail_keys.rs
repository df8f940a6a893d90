//! Keys of a domain's mail: signing keys that DNS must show first, and those of rewritten senders.

use std::time::{Duration, Instant};

use crate::asking::resolve;
use crate::delegation::verify;
use crate::dns::{World, txt};
use crate::house::{Postgres, Replica, asking};
use postern_mail::rewritten_sender::{SenderKey, day_of, rewrite};
use postern_proto::account::v1::{
    DnsPurpose, ListSenderKeysRequest, LookupSigningKeyRequest, resolution::Outcome,
};
use sqlx::Connection as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_signing_key_is_used_once_dns_shows_it() {
    let (postgres, world) = (Postgres::start(), World::start().await);
    let database = postgres.database("keys");
    let replica = Replica::open_with(&database, true, asking(&world)).await;
    replica.customer("shop").await;
    replica.domain("shop.test", "shop").await;
    let selector = async |name: &str| {
        let request = LookupSigningKeyRequest { domain: name.into() };
        let answer = replica.mail_keys().lookup_signing_key(request).await.unwrap().into_inner();
        answer.key.map(|key| key.selector)
    };
    assert_eq!(selector("elsewhere.test").await, None);
    assert_eq!(selector("shop.test").await.as_deref(), Some("postern1"));
    let keys = async || {
        let answer = verify(&replica, "shop.test").await;
        let keys = answer.findings.into_iter().filter(|finding| finding.purpose() == DnsPurpose::Dkim);
        keys.map(|finding| (finding.name, finding.expected[0].clone())).collect::<Vec<_>>()
    };
    assert_eq!(keys().await.len(), 1);
    postgres.run("keys", "update account.dkim_keys set begin_time = now() - interval '181 days'");
    // Nobody waits for the successor: who asks is answered even while it cannot be kept.
    let mut elsewhere = sqlx::PgConnection::connect(&database).await.unwrap();
    let mut held = elsewhere.begin().await.unwrap();
    sqlx::query("lock table account.dkim_keys in share mode").execute(&mut *held).await.unwrap();
    let meanwhile = tokio::time::timeout(Duration::from_secs(10), keys()).await.expect("an answer");
    assert_eq!(meanwhile.len(), 1, "{meanwhile:?}");
    held.rollback().await.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    let both = loop {
        match keys().await {
            both if both.len() == 2 => break both,
            one => assert!(Instant::now() < until, "no successor: {one:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let (name, record) = &both[1];
    assert_eq!(name, "postern2._domainkey.shop.test");

    // Neither silence nor another key is the record that is waited for.
    world.silence(name, true);
    keys().await;
    world.silence(name, false);
    world.add(name, txt("v=DKIM1; k=rsa; p=AAAA"));
    keys().await;
    assert_eq!(selector("shop.test").await.as_deref(), Some("postern1"));
    let before = resolve(&replica, "a@shop.test").await.domain_version;
    world.add(name, txt(&record.replace("\" \"", "").replace('"', "")));
    keys().await;
    assert_eq!(selector("shop.test").await.as_deref(), Some("postern2"));
    assert!(resolve(&replica, "a@shop.test").await.domain_version > before, "who keeps keys is told");

    // The one that ended is wanted for the days of the overlap, and then gone for good.
    assert_eq!(keys().await.len(), 2);
    postgres.run(
        "keys",
        "update account.dkim_keys set end_time = now() - interval '15 days' where end_time is not null",
    );
    assert_eq!(keys().await.len(), 1);
    assert_eq!(postgres.query("keys", "select selector from account.dkim_keys"), "postern2");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_rewritten_senders_are_renewed_and_lead_back() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("senders")).await;
    replica.customer("shop").await;
    replica.domain("shop.test", "shop").await;
    let newest = async || {
        let answer = replica.mail_keys().list_sender_keys(ListSenderKeysRequest {}).await.unwrap();
        answer.into_inner().keys
    };
    let first = newest().await;
    assert_eq!(first.len(), 1);
    assert_eq!(newest().await, first, "a young key is good enough");
    let today = day_of(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs());
    let domain = "shop.test".parse().unwrap();
    let rewritten = |secret: &[u8], day: u64| {
        rewrite(&"Anna@far.test".parse().unwrap(), &domain, &SenderKey::new(secret), day).unwrap().to_string()
    };
    let leads_to = async |address: &str| match resolve(&replica, address).await.outcome {
        Some(Outcome::Local(local)) => local.forward_targets,
        _ => Vec::new(),
    };
    let good = rewritten(&first[0].secret, today);
    assert_eq!(leads_to(&good).await, ["Anna@far.test"]);
    // What is forged or too old is nobody, not the default box.
    for bad in [rewritten(&[9; 32], today), rewritten(&first[0].secret, today - 8)] {
        assert!(matches!(resolve(&replica, &bad).await.outcome, Some(Outcome::Unknown(_))), "{bad}");
    }
    // A month later there is another one, and what the first one made still leads back.
    postgres.run("senders", "update account.sender_keys set create_time = now() - interval '31 days'");
    let both = newest().await;
    assert_eq!((both.len(), &both[1].secret), (2, &first[0].secret));
    assert_eq!(leads_to(&good).await, ["Anna@far.test"]);
    postgres.run("senders", "update account.sender_keys set create_time = now() - interval '41 days'");
    assert_eq!(newest().await.len(), 1);
    assert!(leads_to(&good).await.is_empty());
}

/// Whoever asks for the first key may not wait for it: mail comes again, and a key each time would keep every core busy for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_key_that_nobody_waits_for_is_made_once() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("first_key")).await;
    replica.customer("shop").await;
    replica.domain("shop.test", "shop").await;
    let ask = || {
        let mut keys = replica.mail_keys();
        let request = LookupSigningKeyRequest { domain: "shop.test".into() };
        async move { keys.lookup_signing_key(request).await.map(|answer| answer.into_inner().key) }
    };
    // Time to ask in, and less than forty keys take.
    let impatient = (0..40).map(|_| tokio::time::timeout(Duration::from_millis(400), ask()));
    futures_util::future::join_all(impatient).await;
    // It is not asked for again, and comes to be.
    let until = Instant::now() + Duration::from_secs(60);
    let keys = "select count(*) from account.dkim_keys where domain = 'shop.test'";
    let count = || postgres.ask("first_key", keys);
    while count() == "0" {
        assert!(Instant::now() < until, "nobody made the key");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(ask().await.unwrap().is_some());
    assert_eq!(count(), "1");
}
