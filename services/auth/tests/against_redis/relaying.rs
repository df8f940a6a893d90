//! Whose mail may go out.

use std::time::Duration;

use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::{
    account::v1::{ActivityState, DomainState, SenderPolicy},
    auth::v1::{AuthenticatedSubmitter, CountInboundRequest, InboundCount, Protocol},
};

use crate::{
    house::{CAFE, HOME, Replica, directory},
    private_redis::PrivateRedis,
};

const FREE: &str = "somebody@elsewhere.example";

#[tokio::test]
async fn a_poll_opens_the_relay_for_this_client_alone() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    assert_eq!(auth.check(HOME, FREE).await.unwrap_err(), Reason::RelayProhibited);
    auth.authenticate("user@homepage.test", "sesame-1", HOME, Protocol::Smtp).await.unwrap();
    assert_eq!(auth.check(HOME, FREE).await.unwrap_err(), Reason::RelayProhibited);
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    let answer = auth.check(HOME, FREE).await.unwrap();
    assert_eq!((answer.login.as_str(), answer.mailbox_id), ("user@homepage.test", 1));
    assert_eq!((answer.customer.as_str(), answer.authenticated), ("homepage", false));
    auth.check("::ffff:203.0.113.9", "").await.unwrap();
    assert_eq!(auth.check("203.0.113.10", FREE).await.unwrap_err(), Reason::RelayProhibited);
}

#[tokio::test]
async fn a_v6_client_is_its_64() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", "2001:db8::1").await.unwrap();
    auth.check("2001:db8::ffff:2", FREE).await.unwrap();
    assert_eq!(auth.check("2001:db8:0:1::1", FREE).await.unwrap_err(), Reason::RelayProhibited);
}

#[tokio::test]
async fn shared_addresses_win_nothing_and_the_local_profile_lets_loopback_through() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    for peer in ["127.0.0.1", "10.1.2.3", "100.64.1.1", "::1"] {
        assert!(!auth.pop3("user@homepage.test", "sesame-1", peer).await.unwrap().granted, "{peer}");
        assert_eq!(auth.check(peer, FREE).await.unwrap_err(), Reason::RelayProhibited);
    }
    let local = Replica::open(&redis, &directory, &["--grant-refused-networks", "10.0.0.0/8"]).await;
    assert!(local.pop3("user@homepage.test", "sesame-1", "127.0.0.1").await.unwrap().granted);
    local.check("127.0.0.1", FREE).await.unwrap();
    // A list that grew holds at once, also for grants that were won before.
    assert_eq!(auth.check("127.0.0.1", FREE).await.unwrap_err(), Reason::RelayProhibited);
}

#[tokio::test]
async fn a_grant_ends_after_its_life_and_a_poll_renews_it() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--grant-seconds", "2"]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    auth.check(HOME, FREE).await.unwrap();
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    tokio::time::sleep(Duration::from_millis(900)).await;
    auth.check(HOME, FREE).await.unwrap();
    tokio::time::sleep(Duration::from_millis(2200)).await;
    assert_eq!(auth.check(HOME, FREE).await.unwrap_err(), Reason::RelayProhibited);
    let left: i64 = redis.ask(&["EXISTS", "grant:203.0.113.9"]).await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_domain_sets_the_life_of_its_grants() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    directory.edit_box(1, |entry| entry.login.grant_ttl_seconds = Some(300));
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    auth.pop3("second@homepage.test", "sesame-2", CAFE).await.unwrap();
    let short: i64 = redis.ask(&["TTL", "grant:203.0.113.9"]).await;
    let usual: i64 = redis.ask(&["TTL", "grant:198.51.100.7"]).await;
    assert!((295..=300).contains(&short) && (1795..=1800).contains(&usual), "{short} {usual}");
}

#[tokio::test]
async fn what_ends_a_credential_ends_its_grant_and_no_neighbours() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    let own = "user@homepage.test";
    for id in [1, 2] {
        let login = if id == 1 { own } else { "second@homepage.test" };
        auth.pop3(login, &format!("sesame-{id}"), HOME).await.unwrap();
    }
    assert_eq!(auth.check(HOME, own).await.unwrap().mailbox_id, 1);
    // Nobody tells: the comparison alone must find it.
    directory.edit_box(1, |entry| entry.login.credential_version += 1);
    settle().await;
    assert_eq!(auth.check(HOME, own).await.unwrap().mailbox_id, 2);
    let left: i64 = redis.ask(&["HLEN", "grant:203.0.113.9"]).await;
    assert_eq!(left, 1, "the dead one is removed, the neighbour's stays");
    directory.edit_box(2, |entry| entry.login.state = ActivityState::Suspended.into());
    settle().await;
    assert_eq!(auth.check(HOME, own).await.unwrap_err(), Reason::RelayProhibited);
}

#[tokio::test]
async fn removed_boxes_lost_domains_and_auth_only_end_a_grant() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    let poll = async || auth.pop3("user@other.test", "sesame-3", HOME).await.unwrap().granted;
    let check = async || {
        settle().await;
        auth.check(HOME, FREE).await.map(|_| ())
    };
    assert!(poll().await);
    directory.edit_domain("other.test", |domain| domain.state = DomainState::Lost.into());
    assert_eq!(check().await, Err(Reason::RelayProhibited));
    directory.edit_domain("other.test", |domain| domain.state = DomainState::Live.into());
    assert!(poll().await);
    assert_eq!(check().await, Ok(()));
    directory.edit_box(3, |entry| entry.login.auth_only = true);
    assert_eq!(check().await, Err(Reason::RelayProhibited));
    assert!(!poll().await);
    directory.edit_box(3, |entry| entry.login.auth_only = false);
    settle().await;
    assert!(poll().await);
    directory.edit_box(3, |entry| entry.removed = true);
    assert_eq!(check().await, Err(Reason::RelayProhibited));
}

#[tokio::test]
async fn another_customers_domain_needs_its_owners_leave() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    let sender = "anyone@other.test";
    assert_eq!(auth.check(HOME, sender).await.unwrap_err(), Reason::SenderNotPermitted);
    directory.edit_domain("other.test", |domain| {
        domain.sender_policy = SenderPolicy::Named.into();
        domain.allowed_senders = vec!["homepage".to_owned()];
    });
    settle().await;
    assert_eq!(auth.check(HOME, sender).await.unwrap().login, "user@homepage.test");
    directory.edit_domain("other.test", |domain| domain.allowed_senders.clear());
    settle().await;
    assert_eq!(auth.check(HOME, sender).await.unwrap_err(), Reason::SenderNotPermitted);
    // The owner checks its mail at the same client: now somebody there may.
    auth.pop3("user@other.test", "sesame-3", HOME).await.unwrap();
    assert_eq!(auth.check(HOME, sender).await.unwrap().login, "user@other.test");
    assert_eq!(auth.check(HOME, "x@homepage.test").await.unwrap().customer, "homepage");
}

#[tokio::test]
async fn a_login_by_smtp_needs_no_grant_and_dies_with_its_password() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    let submitter = |credential_version| {
        let login = "user@homepage.test".to_owned();
        Some(AuthenticatedSubmitter { mailbox_id: 1, login, credential_version })
    };
    let answer = auth.check_counting("10.0.0.1", FREE, submitter(1), 1).await.unwrap();
    assert!(answer.authenticated && answer.login == "user@homepage.test");
    let foreign = auth.check_counting(HOME, "x@other.test", submitter(1), 1).await;
    assert_eq!(foreign.unwrap_err(), Reason::SenderNotPermitted);
    assert_eq!(auth.check_counting(HOME, FREE, submitter(2), 1).await.unwrap_err(), Reason::RelayProhibited);
    directory.set_password(1, "sesame-9");
    settle().await;
    assert_eq!(auth.check_counting(HOME, FREE, submitter(1), 1).await.unwrap_err(), Reason::RelayProhibited);
}

#[tokio::test]
async fn budgets_of_mailbox_and_client() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let limits = ["--limit-recipients-per-hour-mailbox", "3", "--limit-recipients-per-hour-client", "5"];
    let auth = Replica::open(&redis, &directory, &limits).await;
    for (login, password) in [("user@homepage.test", "sesame-1"), ("second@homepage.test", "sesame-2")] {
        auth.pop3(login, password, HOME).await.unwrap();
    }
    let send = |sender: &'static str, count| auth.check_counting(HOME, sender, None, count);
    for _ in 0..20 {
        send("user@homepage.test", 0).await.unwrap();
    }
    send("user@homepage.test", 2).await.unwrap();
    assert_eq!(send("user@homepage.test", 2).await.unwrap_err(), Reason::BudgetExhausted);
    send("user@homepage.test", 1).await.unwrap();
    assert_eq!(send("user@homepage.test", 1).await.unwrap_err(), Reason::BudgetExhausted);
    // The other box has its own budget, until that of the client is used up.
    send("second@homepage.test", 2).await.unwrap();
    assert_eq!(send("second@homepage.test", 1).await.unwrap_err(), Reason::BudgetExhausted);
    assert_eq!(send(FREE, -1).await.unwrap_err(), Reason::InvalidArgument);
}

async fn inbound(auth: &Replica, counts: &[(&str, i32)]) -> Result<Vec<i32>, Reason> {
    let counts = counts
        .iter()
        .map(|(recipient, messages)| InboundCount { recipient: (*recipient).to_owned(), messages: *messages })
        .collect();
    let answer = auth.relay().count_inbound(CountInboundRequest { counts }).await;
    answer.map(|answer| answer.into_inner().over).map_err(|status| failure::reason_of(&status))
}

#[tokio::test]
async fn a_recipient_gets_the_limit_and_no_more_until_the_next_hour() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let limit = ["--limit-inbound-per-hour-mailbox", "3"];
    let auth = Replica::open(&redis, &directory, &limit).await;
    let another = Replica::open(&redis, &directory, &limit).await;
    assert_eq!(inbound(&auth, &[("box:1", 2), ("box:2", 1)]).await, Ok(vec![]));
    assert_eq!(inbound(&another, &[("box:1", 1)]).await, Ok(vec![]));
    assert_eq!(inbound(&auth, &[("box:2", 1), ("box:1", 1)]).await, Ok(vec![1]));
    // What is over is not counted: a smaller question fits.
    assert_eq!(inbound(&auth, &[("box:2", 2)]).await, Ok(vec![0]));
    assert_eq!(inbound(&auth, &[("box:2", 1)]).await, Ok(vec![]));
    // An hour later.
    let keys: Vec<String> = redis.ask(&["KEYS", "inbound:box:1:*"]).await;
    let (name, hour) = keys[0].rsplit_once(':').unwrap();
    let before = format!("{name}:{}", hour.parse::<i64>().unwrap() - 1);
    redis.ask::<()>(&["RENAME", &keys[0], &before]).await;
    let life: i64 = redis.ask(&["TTL", &before]).await;
    assert!((1..=7200).contains(&life), "{life}");
    assert_eq!(inbound(&auth, &[("box:1", 3)]).await, Ok(vec![]));
    for bad in [&[][..], &[("", 1)], &[("box:1", 0)], &[("box:1", -1)]] {
        assert_eq!(inbound(&auth, bad).await, Err(Reason::InvalidArgument), "{bad:?}");
    }
    let off = Replica::open(&redis, &directory, &["--limit-inbound-per-hour-mailbox", "0"]).await;
    assert_eq!(inbound(&off, &[("box:1", 1000)]).await, Ok(vec![]));
}

/// Longer than a change may take to be known.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Boxes 100 to 100 + count of customers in turn, each with a domain of its own.
fn crowd(directory: &crate::fake_directory::FakeDirectory, customers: i64, count: i64) {
    for number in 0..count {
        let customer = format!("customer{}", number % customers);
        let domain = format!("{customer}.test");
        if number < customers {
            directory.add_domain(&domain, &customer);
        }
        directory.add_box(100 + number, &format!("box{number}@{domain}"), &customer, "sesame");
    }
}

async fn poll(auth: &Replica, customers: i64, numbers: std::ops::Range<i64>, peer: &str) -> Vec<bool> {
    let mut granted = Vec::new();
    for number in numbers {
        let login = format!("box{number}@customer{}.test", number % customers);
        granted.push(auth.pop3(&login, "sesame", peer).await.unwrap().granted);
    }
    granted
}

const SIX: &[&str] = &["--limit-mailboxes-behind-client", "6"];

#[tokio::test]
async fn an_address_that_nearly_all_customers_come_from_is_nobodys_own() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    crowd(&directory, 3, 9);
    let auth = Replica::open(&redis, &directory, SIX).await;
    // Five are a few people, the sixth shows that something hides its clients: also those before lose what they had won.
    assert_eq!(poll(&auth, 3, 0..5, HOME).await, [true; 5]);
    auth.check(HOME, FREE).await.unwrap();
    assert_eq!(poll(&auth, 3, 5..9, HOME).await, [false; 4]);
    assert_eq!(auth.check(HOME, FREE).await.unwrap_err(), Reason::RelayProhibited);
    // Who gives a password may send from there.
    let login = AuthenticatedSubmitter {
        mailbox_id: 100,
        login: "box0@customer0.test".into(),
        credential_version: 1,
    };
    auth.check_counting(HOME, FREE, Some(login), 1).await.unwrap();
    // Somewhere else nothing changes, and with many elsewhere the verdict falls.
    assert!(auth.pop3("user@homepage.test", "sesame-1", CAFE).await.unwrap().granted);
    auth.check(CAFE, FREE).await.unwrap();
    for (login, password) in
        [("second@homepage.test", "sesame-2"), ("user@other.test", "sesame-3"), ("homepage", "sesame-4")]
    {
        auth.pop3(login, password, CAFE).await.unwrap();
    }
    assert_eq!(poll(&auth, 3, 0..1, HOME).await, [true]);
    auth.check(HOME, FREE).await.unwrap();
}

#[tokio::test]
async fn one_company_behind_one_address_is_no_crowd_and_the_limit_can_be_off() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    crowd(&directory, 2, 8);
    let auth = Replica::open(&redis, &directory, SIX).await;
    assert_eq!(poll(&auth, 2, 0..8, HOME).await, [true; 8]);

    let (redis, directory) = (PrivateRedis::start(), crate::house::directory());
    crowd(&directory, 4, 8);
    let off = Replica::open(&redis, &directory, &["--limit-mailboxes-behind-client", "0"]).await;
    assert_eq!(poll(&off, 4, 0..8, HOME).await, [true; 8]);
    // On one machine loopback is everybody, where the site lets it win grants at all.
    let mut local = SIX.to_vec();
    local.extend(["--grant-refused-networks", "10.0.0.0/8"]);
    let local = Replica::open(&redis, &directory, &local).await;
    assert_eq!(poll(&local, 4, 0..8, "127.0.0.1").await, [true; 8]);
}
