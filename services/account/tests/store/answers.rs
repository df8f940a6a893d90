//! Autoresponders: where they stand, and the time they hold for.

use crate::asking::{create_mailbox, new_answer, new_forward, paths, refused, resolve};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_mesh::identity::Caller;
use postern_proto::account::v1::{
    Autoresponder, GetAutoresponderRequest, LocalOutcome, LookupAutoresponderRequest, MatchKind,
    UpdateAutoresponderRequest, autoresponder_service_client::AutoresponderServiceClient,
    resolution::Outcome,
};
use postern_proto::google::Timestamp;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn in_seconds(seconds: i64) -> Option<Timestamp> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Some(Timestamp { seconds: i64::try_from(now.as_secs()).unwrap() + seconds, nanos: 0 })
}

async fn outcome(replica: &Replica, address: &str) -> LocalOutcome {
    match resolve(replica, address).await.outcome {
        Some(Outcome::Local(local)) => local,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_beside_a_box_or_a_forward_or_alone() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("answers")).await;
    replica.customer("away").await;
    replica.domain("w.test", "away").await;
    let mailbox = create_mailbox(&replica, "box@w.test").await;
    replica.forwards().create_forward(new_forward("fwd@w.test", &["x@else.test"], false)).await.unwrap();
    let mut client = replica.autoresponders();
    for name in ["box", "fwd", "alone"] {
        client.update_autoresponder(new_answer(&format!("{name}@w.test"))).await.unwrap();
    }
    for name in ["box", "box+tag", "fwd", "alone", "alone+tag"] {
        assert_ne!(outcome(&replica, &format!("{name}@w.test")).await.autoresponder_id, 0, "{name}");
    }
    let alone = outcome(&replica, "alone@w.test").await;
    assert!(alone.mailbox.is_none() && alone.forward_targets.is_empty());
    for name in ["whoever", "postmaster"] {
        assert_eq!(outcome(&replica, &format!("{name}@w.test")).await.autoresponder_id, 0, "{name}");
    }
    let look = LookupAutoresponderRequest { autoresponder_id: alone.autoresponder_id };
    let found = replica.autoresponders_of_mesh().lookup_autoresponder(look).await.unwrap().into_inner();
    let shown = found.autoresponder.unwrap();
    assert_eq!((found.customer.as_str(), shown.interval_seconds), ("away", 604_800));

    // A new text is a new version; another pause is not.
    let mut update = UpdateAutoresponderRequest {
        autoresponder: Some(Autoresponder { interval_seconds: 3600, text: "New.".into(), ..shown.clone() }),
        update_mask: paths(&["interval_seconds"]),
        allow_missing: false,
    };
    let changed =
        client.update_autoresponder(update.clone()).await.unwrap().into_inner().autoresponder.unwrap();
    assert_eq!((changed.text_version, changed.text.as_str()), (shown.text_version, shown.text.as_str()));
    refused(client.update_autoresponder(update.clone()).await, Reason::EtagMismatch, "alone@w.test");
    update.autoresponder.as_mut().unwrap().etag = changed.etag;
    update.update_mask = paths(&["text"]);
    let changed =
        client.update_autoresponder(update.clone()).await.unwrap().into_inner().autoresponder.unwrap();
    assert!(changed.text_version > shown.text_version);
    update.autoresponder.as_mut().unwrap().address = "none@w.test".into();
    refused(client.update_autoresponder(update).await, Reason::NotFound, "no autoresponder at none@w.test");

    // The user of a mailbox has the own address, and nothing else.
    let user = Caller::mailbox("box@w.test", "away", mailbox.mailbox_id);
    let mut user = AutoresponderServiceClient::new(replica.channel_of(user));
    user.update_autoresponder(new_answer("box@w.test")).await.unwrap();
    refused(
        user.update_autoresponder(new_answer("alone@w.test")).await,
        Reason::NotFound,
        "nothing of yours",
    );
    let get = GetAutoresponderRequest { address: "alone@w.test".into() };
    refused(user.get_autoresponder(get).await, Reason::NotFound, "there is no autoresponder");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_begins_and_ends_by_itself_and_everybody_hears_of_it() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("windows")).await;
    replica.customer("away").await;
    let domain = replica.domain("w.test", "away").await;
    create_mailbox(&replica, "box@w.test").await;
    let mut client = replica.autoresponders();
    for name in ["box", "alone"] {
        let mut request = new_answer(&format!("{name}@w.test"));
        let shown = request.autoresponder.as_mut().unwrap();
        (shown.start_time, shown.end_time) = (in_seconds(2), in_seconds(5));
        client.update_autoresponder(request).await.unwrap();
    }
    let version = resolve(&replica, "alone@w.test").await.domain_version;
    // Before its time one that is alone takes nothing: what it does not answer it must not swallow.
    let alone = outcome(&replica, "alone@w.test").await;
    assert_eq!(alone.mailbox.unwrap().mailbox_id, domain.default_mailbox_id);
    let id = outcome(&replica, "box@w.test").await.autoresponder_id;
    assert_ne!(id, 0);
    let mut mesh = replica.autoresponders_of_mesh();
    let look = LookupAutoresponderRequest { autoresponder_id: id };
    assert!(mesh.lookup_autoresponder(look).await.unwrap().into_inner().autoresponder.is_none());
    let turned = async |after: i64, matched: MatchKind| {
        let waiting = async {
            loop {
                let resolution = resolve(&replica, "alone@w.test").await;
                let Some(Outcome::Local(local)) = resolution.outcome else { panic!("local") };
                // That of the box may begin a moment before, with a version of its own.
                if resolution.domain_version > after && local.r#match() == matched {
                    return resolution.domain_version;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("a new version of the domain")
    };
    let begun = turned(version, MatchKind::Exact).await;
    assert!(mesh.lookup_autoresponder(look).await.unwrap().into_inner().autoresponder.is_some());
    turned(begun, MatchKind::Default).await;
    assert_eq!(outcome(&replica, "box@w.test").await.autoresponder_id, 0);
    assert!(mesh.lookup_autoresponder(look).await.unwrap().into_inner().autoresponder.is_none());
}
