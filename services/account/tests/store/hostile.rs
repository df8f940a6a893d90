//! Bad input for each field of lists and autoresponders: refused with the field's name and a reason, nothing stored.

use crate::asking::{create_list, new_answer, new_list, paths};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::account::v1::{
    AddListMembersRequest, GetMailingListRequest, ListListMembersRequest, LookupMailingListRequest,
    MailingList, MemberLineOutcome, RemoveListMembersRequest, RequestListChangeRequest,
    UpdateMailingListRequest,
};
use postern_proto::google::Timestamp;
use tonic::Status;

fn field_of<T>(result: Result<T, Status>, field: &str, given: &str) {
    let given: String = given.chars().take(60).collect();
    let Err(status) = result else { panic!("{field} took {given:?}") };
    assert_eq!(failure::typed_reason(&status), Some(Reason::InvalidArgument), "{field} {given:?}: {status}");
    let said = status.message();
    assert!(said.contains(&format!("{field}: ")), "{field} {given:?}: {said}");
    assert!(said.len() < 600 && !said.chars().any(char::is_control), "{field} {given:?}: {said:?}");
}

/// Puts something bad into a field.
type Setting = Box<dyn Fn(&mut MailingList)>;

/// What no address may be.
fn bad_addresses() -> Vec<String> {
    let long = "l".repeat(300);
    [
        "a\r\nRCPT TO:<b@h.test>@h.test",
        "a\0@h.test",
        "a\u{7f}@h.test",
        "a\nb@h.test",
        "a b@h.test",
        "\"a\"b@h.test",
        "\"a@h.test",
        "a\u{202E}b@h.test",
        "a\u{200B}@h.test",
        "a@h\u{202E}.test",
        "a@-h.test",
        "a@[127.0.0.1]",
        "@h.test",
        "a",
        "SRS0=x=y=z@h.test",
    ]
    .map(str::to_owned)
    .into_iter()
    .chain([format!("{long}@h.test"), format!("a@{long}.test"), format!("{}@h.test", "x".repeat(1 << 20))])
    .collect()
}

/// What no line of text may be.
const BAD_LINES: [&str; 7] =
    ["a\rb", "a\nb", "a\r\nBcc: x@y.test", "a\0b", "a\u{1b}[31m", "a\u{202E}b", "a\u{2028}b"];

#[tokio::test(flavor = "multi_thread")]
async fn no_field_takes_what_is_bad() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("hostile")).await;
    replica.customer("host").await;
    replica.domain("h.test", "host").await;
    let list = create_list(&replica, "good@h.test").await;
    let mut lists = replica.lists();
    let megabyte = "x".repeat(1 << 20);

    let more = ["a+b@h.test", "\"a b\"@h.test", "grüße@h.test"].map(str::to_owned);
    for address in bad_addresses().iter().chain(&more).chain([&String::new()]) {
        field_of(lists.create_mailing_list(new_list(address)).await, "list.address", address);
    }
    let setting = |field: &str, set: &dyn Fn(&mut MailingList)| {
        let mut list = MailingList { address: "good@h.test".into(), ..Default::default() };
        set(&mut list);
        let mut fresh = MailingList { address: "fresh@h.test".into(), ..list.clone() };
        fresh.list_id = 0;
        let create = postern_proto::account::v1::CreateMailingListRequest {
            list: Some(fresh),
            request_id: String::new(),
        };
        (create, UpdateMailingListRequest { list: Some(list), update_mask: paths(&[field]) })
    };
    let mut cases: Vec<(&str, String, Setting)> = Vec::new();
    for address in bad_addresses() {
        for (field, set) in [
            ("owner", (|l, a| l.owner = a) as fn(&mut MailingList, String)),
            ("listserv", |l, a| l.listserv = a),
        ] {
            let given = address.clone();
            cases.push((field, address.clone(), Box::new(move |l| set(l, given.clone()))));
        }
    }
    for line in BAD_LINES.iter().copied().chain([megabyte.as_str()]) {
        for (field, set) in [
            ("subject_prefix", (|l, t| l.subject_prefix = t) as fn(&mut MailingList, String)),
            ("description", |l, t| l.description = t),
        ] {
            let given = line.to_owned();
            cases.push((field, line.to_owned(), Box::new(move |l| set(l, given.clone()))));
        }
    }
    cases.push(("posting", "99".into(), Box::new(|l| l.posting = 99)));
    cases.push(("replies", "-1".into(), Box::new(|l| l.replies = -1)));
    cases.push(("message_max_bytes", "-1".into(), Box::new(|l| l.message_max_bytes = -1)));
    cases.push(("message_max_bytes", "max".into(), Box::new(|l| l.message_max_bytes = i64::MAX)));
    for (field, given, set) in &cases {
        let (create, update) = setting(field, set);
        field_of(lists.create_mailing_list(create).await, &format!("list.{field}"), given);
        field_of(lists.update_mailing_list(update).await, &format!("list.{field}"), given);
    }
    let (_, mut update) = setting("owner", &|_| {});
    update.update_mask = paths(&["list_id"]);
    field_of(lists.update_mailing_list(update).await, "update_mask", "list_id");

    // Members: a bad line is told as one, bad addresses of the call itself are refused.
    let addresses = bad_addresses();
    let request = AddListMembersRequest {
        list: "good@h.test".into(),
        addresses: addresses.clone(),
        ..Default::default()
    };
    let answer = lists.add_list_members(request).await.unwrap().into_inner();
    let invalid = answer.lines.iter().filter(|line| line.outcome() == MemberLineOutcome::Invalid).count();
    assert_eq!((answer.added_count, invalid), (0, addresses.len()), "{answer:?}");
    for (addresses, given) in [(Vec::new(), "none"), (vec!["a@x.test".to_owned(); 10_001], "10,001")] {
        let request = AddListMembersRequest {
            list: "good@h.test".into(),
            addresses: addresses.clone(),
            ..Default::default()
        };
        field_of(lists.add_list_members(request).await, "addresses", given);
        let request = RemoveListMembersRequest { list: "good@h.test".into(), addresses };
        field_of(lists.remove_list_members(request).await, "addresses", given);
    }
    for address in bad_addresses().into_iter().filter(|address| !address.starts_with("SRS0")) {
        let request =
            RemoveListMembersRequest { list: "good@h.test".into(), addresses: vec![address.clone()] };
        field_of(lists.remove_list_members(request).await, "addresses[0]", &address);
        let request = LookupMailingListRequest { list_id: list.list_id, member: address.clone() };
        field_of(replica.lists_of_mesh().lookup_mailing_list(request).await, "member", &address);
        let request = RequestListChangeRequest { list_id: list.list_id, address: address.clone(), change: 1 };
        field_of(replica.lists_of_mesh().request_list_change(request).await, "address", &address);
    }
    let request = RequestListChangeRequest { list_id: list.list_id, address: "a@x.test".into(), change: 7 };
    field_of(replica.lists_of_mesh().request_list_change(request).await, "change", "7");
    for page_size in [-1, 10_001] {
        let request = ListListMembersRequest { list: "good@h.test".into(), page_size, ..Default::default() };
        field_of(lists.list_list_members(request).await, "page_size", "");
    }
    let get = GetMailingListRequest { address: "good@h.test".into() };
    assert_eq!(lists.get_mailing_list(get).await.unwrap().into_inner().list, Some(list));
    let stored = "select (select count(*) from account.lists), (select count(*) from account.list_members), \
                  (select count(*) from account.list_changes), (select count(*) from account.audit where kind like 'list%')";
    assert_eq!(postgres.query("hostile", stored), "1|0|0|1");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_takes_what_is_bad() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("hostileanswers")).await;
    replica.customer("host").await;
    replica.domain("h.test", "host").await;
    let mut client = replica.autoresponders();
    // Once where there is none, and once where there is one.
    let good = new_answer("there@h.test");
    let there = client.update_autoresponder(good.clone()).await.unwrap().into_inner().autoresponder;
    let long = "x".repeat(1 << 20);
    for name in ["none", "there"] {
        let request = |field: &str| {
            let mut request = new_answer(&format!("{name}@h.test"));
            request.update_mask = paths(&[field]);
            request
        };
        for line in BAD_LINES.iter().copied().chain([long.as_str(), "", " ", "{x}", "}"]) {
            let mut subject = request("subject");
            subject.autoresponder.as_mut().unwrap().subject = line.into();
            field_of(client.update_autoresponder(subject).await, "autoresponder.subject", line);
        }
        for text in ["a\rb", "a\0b", "a\u{1b}[31m", "a\u{202E}b", "", " \n", "{x}", "{", long.as_str()] {
            let mut wrong = request("text");
            wrong.autoresponder.as_mut().unwrap().text = text.into();
            field_of(client.update_autoresponder(wrong).await, "autoresponder.text", text);
        }
        for seconds in [-1, 1, 3599, 31_536_001, i64::MAX] {
            let mut wrong = request("interval_seconds");
            wrong.autoresponder.as_mut().unwrap().interval_seconds = seconds;
            let answer = client.update_autoresponder(wrong).await;
            field_of(answer, "autoresponder.interval_seconds", &seconds.to_string());
        }
        for (seconds, nanos) in [(i64::MAX, 0), (i64::MIN, 0), (0, -1), (0, 1_000_000_000)] {
            let mut wrong = request("end_time");
            wrong.autoresponder.as_mut().unwrap().end_time = Some(Timestamp { seconds, nanos });
            field_of(client.update_autoresponder(wrong).await, "autoresponder.end_time", "");
        }
        let mut wrong = new_answer(&format!("{name}@h.test"));
        let shown = wrong.autoresponder.as_mut().unwrap();
        shown.start_time = Some(Timestamp { seconds: 100, nanos: 0 });
        shown.end_time = Some(Timestamp { seconds: 100, nanos: 0 });
        field_of(client.update_autoresponder(wrong).await, "autoresponder.end_time", "not after start");
    }
    for address in bad_addresses() {
        field_of(client.update_autoresponder(new_answer(&address)).await, "autoresponder.address", &address);
    }
    let mut wrong = good;
    wrong.update_mask = paths(&["text_version"]);
    field_of(client.update_autoresponder(wrong).await, "update_mask", "text_version");
    let get = postern_proto::account::v1::GetAutoresponderRequest { address: "there@h.test".into() };
    assert_eq!(client.get_autoresponder(get).await.unwrap().into_inner().autoresponder, there);
    let stored = "select (select count(*) from account.autoresponders), \
                  (select count(*) from account.audit where kind = 'autoresponder')";
    assert_eq!(postgres.query("hostileanswers", stored), "1|1");
}
