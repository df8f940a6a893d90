//! The operator's view, and telling the gateways.

use std::time::Duration;

use postern_mail::Reason;
use postern_mesh::client::MeshChannel;
use postern_proto::auth::v1::{
    ListGrantsRequest, Revocation, RevokeGrantRequest, WatchRevocationsRequest, WatchRevocationsResponse,
    relay_service_client::RelayServiceClient, watch_revocations_response::Event,
};
use tonic::Streaming;

use crate::{
    house::{CAFE, HOME, Replica, directory, reason},
    private_redis::PrivateRedis,
};

async fn watch(auth: &Replica) -> Streaming<WatchRevocationsResponse> {
    auth.relay().watch_revocations(WatchRevocationsRequest {}).await.unwrap().into_inner()
}

async fn next(stream: &mut Streaming<WatchRevocationsResponse>) -> Revocation {
    let told = async {
        loop {
            match stream.message().await.unwrap().unwrap().event.unwrap() {
                Event::Revocation(revocation) => return revocation,
                Event::Beat(_) => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), told).await.expect("a revocation is told")
}

async fn revoke(operator: &mut RelayServiceClient<MeshChannel>, login: &str, peer_ip: &str) -> i32 {
    let request = RevokeGrantRequest { login: login.to_owned(), peer_ip: peer_ip.to_owned() };
    operator.revoke_grant(request).await.unwrap().into_inner().revoked_count
}

#[tokio::test]
async fn a_revocation_ends_grants_and_reaches_watchers_of_every_replica() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let one = Replica::open(&redis, &directory, &[]).await;
    let two = Replica::open(&redis, &directory, &[]).await;
    let (mut at_one, mut at_two) = (watch(&one).await, watch(&two).await);
    tokio::time::sleep(Duration::from_millis(300)).await;
    for peer in [HOME, CAFE] {
        one.pop3("user@homepage.test", "sesame-1", peer).await.unwrap();
        one.pop3("second@homepage.test", "sesame-2", peer).await.unwrap();
    }
    let mut operator = one.operator().await;
    assert_eq!(revoke(&mut operator, "user@homepage.test", HOME).await, 1);
    let told = Revocation { client: HOME.to_owned(), mailbox_id: 1 };
    assert_eq!((next(&mut at_one).await, next(&mut at_two).await), (told.clone(), told));
    assert_eq!(two.check(HOME, "user@homepage.test").await.unwrap().mailbox_id, 2);
    assert_eq!(revoke(&mut operator, "second@homepage.test", "").await, 2);
    assert_eq!(next(&mut at_two).await, Revocation { client: String::new(), mailbox_id: 2 });
    assert_eq!(two.check(HOME, "").await.unwrap_err(), Reason::RelayProhibited);
    assert_eq!(revoke(&mut operator, "", CAFE).await, 1);
    assert_eq!(next(&mut at_two).await, Revocation { client: CAFE.to_owned(), mailbox_id: 0 });
    assert_eq!(two.check(CAFE, "").await.unwrap_err(), Reason::RelayProhibited);
}

#[tokio::test]
async fn revoking_nothing_in_particular_is_refused_and_gateways_may_not() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    let mut operator = auth.operator().await;
    assert_eq!(reason(operator.revoke_grant(RevokeGrantRequest::default()).await), Reason::InvalidArgument);
    let nobody = RevokeGrantRequest { login: "nobody".to_owned(), ..Default::default() };
    assert_eq!(reason(operator.revoke_grant(nobody).await), Reason::NotFound);
    let by_gateway = auth.relay().revoke_grant(RevokeGrantRequest::default()).await.unwrap_err();
    assert_eq!(by_gateway.code(), tonic::Code::PermissionDenied);
}

#[tokio::test]
async fn a_dead_credential_is_told_and_its_grants_are_removed() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    let mut watched = watch(&auth).await;
    auth.pop3("user@homepage.test", "sesame-1", HOME).await.unwrap();
    auth.pop3("second@homepage.test", "sesame-2", HOME).await.unwrap();
    directory.set_password(1, "sesame-9");
    assert_eq!(next(&mut watched).await, Revocation { client: String::new(), mailbox_id: 1 });
    let begun = std::time::Instant::now();
    loop {
        let left: Vec<String> = redis.ask(&["HKEYS", "grant:203.0.113.9"]).await;
        if left == ["2"] {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(5), "{left:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn grants_are_listed_by_pages_and_filters() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &[]).await;
    for host in 1..=7 {
        auth.pop3("user@homepage.test", "sesame-1", &format!("192.0.2.{host}")).await.unwrap();
        auth.pop3("user@other.test", "sesame-3", &format!("192.0.2.{host}")).await.unwrap();
    }
    let mut operator = auth.operator().await;
    let mut list = async |login: &str, peer_ip: &str, page_size| {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        loop {
            let (login, peer_ip) = (login.to_owned(), peer_ip.to_owned());
            let request = ListGrantsRequest { login, peer_ip, page_size, page_token };
            let answer = operator.list_grants(request).await.unwrap().into_inner();
            assert!(answer.grants.len() <= usize::try_from(page_size).unwrap());
            found.extend(answer.grants.into_iter().map(|grant| (grant.client, grant.mailbox_id)));
            page_token = answer.next_page_token;
            if page_token.is_empty() {
                found.sort();
                return found;
            }
        }
    };
    let all: Vec<(String, i64)> =
        (1..=7).flat_map(|host| [1, 3].map(|id| (format!("192.0.2.{host}"), id))).collect();
    for size in [1, 3, 1000] {
        assert_eq!(list("", "", size).await, all, "{size}");
        assert_eq!(list("user@other.test", "", size).await.len(), 7);
        assert_eq!(
            list("", "192.0.2.4", size).await,
            [("192.0.2.4".to_owned(), 1), ("192.0.2.4".to_owned(), 3)]
        );
        assert_eq!(list("user@other.test", "::ffff:192.0.2.4", size).await, [("192.0.2.4".to_owned(), 3)]);
    }
}

#[tokio::test]
async fn a_client_with_too_many_mailboxes_loses_its_oldest_grant() {
    let (redis, directory) = (PrivateRedis::start(), directory());
    let auth = Replica::open(&redis, &directory, &["--limit-grants-per-client", "2"]).await;
    // The first ends first, by its shorter life.
    directory.edit_box(1, |entry| entry.login.grant_ttl_seconds = Some(300));
    tokio::time::sleep(Duration::from_millis(100)).await;
    for (login, password) in [
        ("user@homepage.test", "sesame-1"),
        ("second@homepage.test", "sesame-2"),
        ("user@other.test", "sesame-3"),
    ] {
        auth.pop3(login, password, HOME).await.unwrap();
    }
    let mut held: Vec<i64> = redis.ask(&["HKEYS", "grant:203.0.113.9"]).await;
    held.sort_unstable();
    assert_eq!(held, [2, 3]);
}
