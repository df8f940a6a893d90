//! Stories in Postgres: they outlive their messages for so many days, and lists stay paged however few lines a filter hits.

use postern_mesh::identity::{Caller, Role};
use postern_proto::delivery::v1::{
    GetTraceRequest, ListTracesRequest, TraceState, trace_service_client::TraceServiceClient,
};

use crate::{
    house::{new_box, report},
    service::{Service, address, envelope},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_hits_little_ends_and_finds_it() {
    let service = Service::new().await;
    let mailbox = new_box();
    let mut needle = envelope(&[address(mailbox)]);
    needle.sender = "needle@remote.test".to_owned();
    let id = service.submit(needle, b"Subject: a\r\n\r\n").await.expect("accepted");
    // Much mail of later hours before it.
    service
        .house
        .run(
            "INSERT INTO trace (message_id, recipient, sender, customer, size_bytes, state)
            SELECT ('ffffffff-' || lpad(to_hex(n / 65536), 4, '0') || '-7' || lpad(to_hex(n % 4096), 3, '0')
                    || '-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
                'b@local.test', 'hay@remote.test', 'me', 1, 2 FROM generate_series(1, 50000) n",
        )
        .await;
    let mut client =
        TraceServiceClient::new(service.channel.with_caller(Caller::new("test", Role::Operator)));
    let (mut pages, mut found, mut page_token) = (0, Vec::new(), String::new());
    loop {
        let request = ListTracesRequest {
            customer: "me".to_owned(),
            sender: "needle@remote.test".to_owned(),
            page_size: 10,
            page_token,
            ..Default::default()
        };
        let begin = std::time::Instant::now();
        let page = client.list_traces(request).await.expect("a page").into_inner();
        report(&format!("a page of {} took {:?}", page.entries.len(), begin.elapsed()));
        pages += 1;
        found.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    // 50,000 lines are looked through in steps of 20,000.
    assert_eq!((pages, found.len()), (3, 1));
    assert_eq!((found[0].queue_id.as_str(), found[0].state()), (id.as_str(), TraceState::Delivered));
}

#[tokio::test(flavor = "multi_thread")]
async fn stories_end_after_their_days() {
    let service = Service::new().await;
    let mailbox = new_box();
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(
            service.submit(envelope(&[address(mailbox)]), b"Subject: a\r\n\r\n").await.expect("accepted"),
        );
    }
    service
        .house
        .run(
            "UPDATE trace SET accept_time = now() - interval '31 days',
                message_id = '00000001-0000-7000-8000-000000000001'
            WHERE message_id = (SELECT min(message_id::text)::uuid FROM trace)",
        )
        .await;
    assert_eq!(postern_delivery::trace::sweep(&service.house.store, 30).await.expect("swept"), 1);
    assert_eq!(postern_delivery::trace::sweep(&service.house.store, 30).await.expect("swept"), 0);
    let mut client =
        TraceServiceClient::new(service.channel.with_caller(Caller::new("test", Role::Operator)));
    let gone = client.get_trace(GetTraceRequest { queue_id: ids[0].clone() }).await.expect_err("gone");
    assert_eq!(gone.code(), tonic::Code::NotFound);
    let kept =
        client.get_trace(GetTraceRequest { queue_id: ids[1].clone() }).await.expect("kept").into_inner();
    assert_eq!(kept.entries.len(), 1);
}
