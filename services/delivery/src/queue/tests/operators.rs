//! What operators do to the queue, through the door.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_hold_retry_and_remove() {
    let host = Host::start(Script::default()).await;
    let House { store, queue, shutdown, _blobs, _postgres, .. } = House::open(&host, 300, 432_000).await;
    let rights = Rights::new(fake_directory(&shutdown), fake_account());
    let door = QueueDoor::new(Arc::new(queue), rights);
    // Not due yet, so that no worker takes them.
    for recipients in [&["b@far.test", "c@away.test"][..], &["d@far.test"]] {
        due_message_later(&store, recipients).await;
    }
    let list = |request: ListQueueEntriesRequest| async {
        door.list_queue_entries(by_operator(request)).await.map(Response::into_inner)
    };
    let first = list(ListQueueEntriesRequest { page_size: 2, ..Default::default() }).await.expect("page");
    let second = ListQueueEntriesRequest {
        page_size: 2,
        page_token: first.next_page_token.clone(),
        ..Default::default()
    };
    let second = list(second).await.expect("page");
    let recipients: Vec<_> =
        first.entries.iter().chain(&second.entries).map(|e| e.recipient.as_str()).collect();
    assert_eq!(recipients, ["b@far.test", "c@away.test", "d@far.test"]);
    assert!(second.next_page_token.is_empty());
    let far = ListQueueEntriesRequest { recipient_domain: "FAR.test".to_owned(), ..Default::default() };
    assert_eq!(list(far).await.expect("filtered").entries.len(), 2);
    for wrong in [
        ListQueueEntriesRequest { page_size: -1, ..Default::default() },
        ListQueueEntriesRequest { page_token: "x".to_owned(), ..Default::default() },
        ListQueueEntriesRequest { queue_id: "x".to_owned(), ..Default::default() },
        ListQueueEntriesRequest { state: 99, ..Default::default() },
    ] {
        assert_eq!(list(wrong).await.expect_err("wrong").code(), tonic::Code::InvalidArgument);
    }

    let entry = first.entries[0].clone();
    let one = Some(QueueSelection { entry_ids: vec![entry.entry_id], queue_id: String::new() });
    let hold = HoldQueueEntriesRequest { selection: one.clone() };
    assert_eq!(door.hold_queue_entries(by_operator(hold)).await.expect("hold").into_inner().entry_count, 1);
    let held = ListQueueEntriesRequest { state: QueueState::Held.into(), ..Default::default() };
    assert_eq!(list(held).await.expect("held").entries[0].entry_id, entry.entry_id);
    let retry = RetryQueueEntriesRequest { selection: one.clone() };
    door.retry_queue_entries(by_operator(retry)).await.expect("retry");
    until(|| async { host.seen().mails.len() == 1 && count(&store, "queue").await == 2 }).await;

    // The rest of the first message comes back, the second message goes without a word.
    let both = Some(QueueSelection { entry_ids: Vec::new(), queue_id: entry.queue_id });
    let remove = RemoveQueueEntriesRequest { selection: both.clone(), silent: false };
    door.remove_queue_entries(by_operator(remove)).await.expect("remove");
    assert_eq!((count(&store, "queue").await, count(&store, "entries").await), (1, 1));
    let last = Some(QueueSelection { entry_ids: vec![second.entries[0].entry_id], queue_id: String::new() });
    let remove = RemoveQueueEntriesRequest { selection: last, silent: true };
    door.remove_queue_entries(by_operator(remove)).await.expect("remove");
    assert_eq!((count(&store, "queue").await, count(&store, "entries").await), (0, 1));
    let again = RemoveQueueEntriesRequest { selection: both, silent: true };
    let gone = door.remove_queue_entries(by_operator(again)).await.expect_err("gone");
    assert_eq!(gone.code(), tonic::Code::NotFound);
    assert!(shutdown.finish(Duration::from_secs(5)).await);
}

/// As the guard hands it on.
fn by_operator<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::new("test", Role::Operator));
    request
}

async fn due_message_later(store: &Store, recipients: &[&str]) {
    let id = due_message_at(store, recipients, "1 hour").await;
    assert!(count(store, "queue").await > 0, "{id}");
}
