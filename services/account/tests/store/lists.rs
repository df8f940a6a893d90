//! Mailing lists: their addresses, their members, and what people ask them for by mail.

use crate::asking::{
    add_members, create_list, create_mailbox, local, new_answer, new_forward, new_list, new_mailbox, paths,
    refused, resolve,
};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_mesh::identity::Caller;
use postern_proto::account::v1::{
    AddListMembersRequest, AdditionState, ConfirmListChangeRequest, DefaultAction, DefaultAddress,
    DeleteMailingListRequest, GetMailingListRequest, ListAddress, ListChange, ListListMembersRequest,
    ListMemberAdditionsRequest, ListPosting, LookupMailingListRequest, MailingList, MatchKind, MemberLine,
    MemberLineOutcome, RemoveListMembersRequest, RequestListChangeRequest, UpdateDefaultAddressRequest,
    UpdateMailingListRequest, mailing_list_service_client::MailingListServiceClient, resolution::Outcome,
};
use std::time::{Duration, Instant};

async fn house(name: &str) -> (std::sync::Arc<Postgres>, Replica) {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database(name)).await;
    replica.customer("list").await;
    replica.domain("l.test", "list").await;
    (postgres, replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_its_command_addresses_are_its_own() {
    let (_postgres, replica) = house("listaddresses").await;
    create_mailbox(&replica, "taken-request+x@l.test").await;
    refused(
        replica.lists().create_mailing_list(new_list("taken@l.test")).await,
        Reason::AlreadyExists,
        "taken-request+x@l.test is a mailbox, but belongs to a mailing list taken@l.test",
    );
    let list = create_list(&replica, "Staff@l.test").await;
    assert_eq!((list.address.as_str(), list.owner.as_str()), ("staff@l.test", "postmaster@l.test"));
    assert_eq!((list.posting(), list.member_count), (ListPosting::Members, 0));
    for (address, words) in [
        ("staff@l.test", "staff@l.test is a mailing list already"),
        ("staff-owner@l.test", "staff-owner@l.test is a command address of the mailing list staff@l.test"),
        ("Staff-bounces+a@l.test", "command address of the mailing list staff@l.test"),
    ] {
        refused(replica.mailboxes().create_mailbox(new_mailbox(address)).await, Reason::AlreadyExists, words);
        let forward = new_forward(address, &["x@else.test"], false);
        refused(replica.forwards().create_forward(forward).await, Reason::AlreadyExists, words);
        let answer = replica.autoresponders().update_autoresponder(new_answer(address)).await;
        refused(answer, Reason::AlreadyExists, words);
    }
    refused(
        replica.lists().create_mailing_list(new_list("staff-request@l.test")).await,
        Reason::AlreadyExists,
        "command address",
    );
    for (address, role, tag) in [
        ("staff@l.test", ListAddress::Post, ""),
        ("staff-request+Abc@l.test", ListAddress::Request, "Abc"),
        ("staff-bounces+x=y@l.test", ListAddress::Bounces, "x=y"),
    ] {
        let Some(Outcome::Local(local)) = resolve(&replica, address).await.outcome else { panic!("local") };
        let found = local.list.unwrap();
        assert_eq!((found.list_id, found.role(), found.tag.as_str()), (list.list_id, role, tag));
    }
    let Some(Outcome::Local(owner)) = resolve(&replica, "staff-owner@l.test").await.outcome else {
        panic!("local")
    };
    assert_eq!(
        (owner.r#match(), owner.forward_targets),
        (MatchKind::ListCommand, vec!["postmaster@l.test".into()])
    );

    // Handed to a list server elsewhere, and back.
    let mut handed = UpdateMailingListRequest {
        list: Some(MailingList { address: "staff@l.test".into(), listserv: "s@far.test".into(), ..list }),
        update_mask: paths(&["listserv"]),
    };
    let changed =
        replica.lists().update_mailing_list(handed.clone()).await.unwrap().into_inner().list.unwrap();
    for address in ["staff@l.test", "staff-subscribe@l.test", "staff-owner@l.test"] {
        assert_eq!(local(&resolve(&replica, address).await).1, ["s@far.test"], "{address}");
    }
    refused(replica.lists().update_mailing_list(handed.clone()).await, Reason::EtagMismatch, "staff@l.test");
    let list = handed.list.as_mut().unwrap();
    (list.listserv, list.etag) = (String::new(), changed.etag);
    replica.lists().update_mailing_list(handed).await.unwrap();
    assert_eq!(local(&resolve(&replica, "staff-owner@l.test").await).1, ["postmaster@l.test"]);

    // Another customer sees nothing.
    replica.customer("other").await;
    let mut other = MailingListServiceClient::new(replica.channel_of(Caller::customer("other", "other")));
    let get = GetMailingListRequest { address: "staff@l.test".into() };
    refused(other.get_mailing_list(get.clone()).await, Reason::NotFound, "there is no mailing list");
    let delete = DeleteMailingListRequest { address: "staff@l.test".into() };
    refused(other.delete_mailing_list(delete.clone()).await, Reason::NotFound, "not hosted here");
    replica.forwards().create_forward(new_forward("all@l.test", &["Staff@l.test"], false)).await.unwrap();
    let answer = replica.lists().delete_mailing_list(delete).await.unwrap().into_inner();
    assert_eq!(answer.referring_addresses, ["all@l.test"]);
    refused(replica.lists().get_mailing_list(get).await, Reason::NotFound, "there is no mailing list");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_members_are_saved_and_shown_in_two_seconds() {
    let (_postgres, replica) = house("tenthousand").await;
    create_list(&replica, "big@l.test").await;
    let lines: Vec<_> = (0..10_000).map(|n| format!("Member{n}@domain{}.test", n % 100)).collect();
    let began = Instant::now();
    let request = AddListMembersRequest {
        list: "big@l.test".into(),
        addresses: lines,
        ..AddListMembersRequest::default()
    };
    let answer = replica.lists().add_list_members(request).await.unwrap().into_inner();
    let saved = began.elapsed();
    let (mut shown, mut token) = (0, String::new());
    loop {
        let request = ListListMembersRequest {
            list: "big@l.test".into(),
            page_size: 10_000,
            page_token: token,
            ..Default::default()
        };
        let page = replica.lists().list_list_members(request).await.unwrap().into_inner();
        shown += page.members.len();
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let all = began.elapsed();
    println!("10,000 members: saved in {saved:?}, saved and shown in {all:?}");
    assert_eq!((answer.added_count, answer.lines.len(), shown), (10_000, 10_000, 10_000));
    assert!(all < Duration::from_secs(2), "{all:?}");
    // Members in the house are looked at for rings: boxes and a catch-all of 10,000 addresses too.
    let request = UpdateDefaultAddressRequest {
        default_address: Some(DefaultAddress {
            domain: "l.test".into(),
            action: DefaultAction::Address.into(),
            target: "else@far.test".into(),
            ..Default::default()
        }),
    };
    replica.defaults().update_default_address(request).await.unwrap();
    create_list(&replica, "inside@l.test").await;
    let lines: Vec<_> = (0..10_000).map(|n| format!("m{n}@l.test")).collect();
    let began = Instant::now();
    let request = AddListMembersRequest {
        list: "inside@l.test".into(),
        addresses: lines,
        ..AddListMembersRequest::default()
    };
    let answer = replica.lists().add_list_members(request).await.unwrap().into_inner();
    println!("10,000 members of the house: saved in {:?}", began.elapsed());
    assert_eq!(answer.added_count, 10_000);
    let list = GetMailingListRequest { address: "inside@l.test".into() };
    let list = replica.lists().get_mailing_list(list).await.unwrap().into_inner().list.unwrap();
    assert_eq!(list.member_count, 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_several_calls_are_told_together() {
    let (postgres, replica) = house("additions").await;
    for list in ["big@l.test", "small@l.test"] {
        create_list(&replica, list).await;
    }
    let id = "0193c2a1-b4c9-4f3e-8d4a-5b6c7d8e9f00";
    let add = async |list: &str, lines: &[&str]| {
        let request = AddListMembersRequest {
            list: list.into(),
            addresses: lines.iter().map(|line| (*line).to_owned()).collect(),
            addition_id: id.into(),
            total_count: 5,
        };
        replica.lists().add_list_members(request).await
    };
    let told = async |list: &str| {
        let request = ListMemberAdditionsRequest { list: list.into() };
        replica.lists().list_member_additions(request).await.unwrap().into_inner().additions
    };
    add("big@l.test", &["a@x.test", "no address", "b@x.test"]).await.unwrap();
    let [half] = &told("big@l.test").await[..] else { panic!("one") };
    assert_eq!((half.state(), half.done_count, half.total_count), (AdditionState::Running, 3, 5));
    refused(add("small@l.test", &["c@x.test"]).await, Reason::InvalidArgument, "addition_id");
    assert_eq!(told("small@l.test").await, []);
    postgres.run("additions", "update account.list_additions set update_time = now() - interval '2 minutes'");
    assert_eq!(told("big@l.test").await[0].state(), AdditionState::Stopped);
    // Nothing of it is new, and it counts all the same.
    add("big@l.test", &["A@x.test", "@"]).await.unwrap();
    let [whole] = &told("big@l.test").await[..] else { panic!("one") };
    assert_eq!((whole.state(), whole.done_count), (AdditionState::Done, 5));
    assert_eq!((whole.added_count, whole.duplicate_count, whole.refused_count), (2, 1, 2));
    let lines: Vec<_> = whole.refused_lines.iter().map(|line| (line.line.as_str(), line.outcome())).collect();
    assert_eq!(lines, [("no address", MemberLineOutcome::Invalid), ("@", MemberLineOutcome::Invalid)]);
    for (addition_id, total_count) in [("no uuid", 1), (id, 0), (id, -1), ("", 1)] {
        let addresses = vec!["a@x.test".to_owned()];
        let request = AddListMembersRequest {
            list: "big@l.test".into(),
            addresses,
            addition_id: addition_id.into(),
            total_count,
        };
        refused(replica.lists().add_list_members(request).await, Reason::InvalidArgument, "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_is_told_what_became_of_it() {
    let (_postgres, replica) = house("lines").await;
    create_list(&replica, "staff@l.test").await;
    create_list(&replica, "all@l.test").await;
    replica.forwards().create_forward(new_forward("loop@l.test", &["staff@l.test"], false)).await.unwrap();
    add_members(&replica, "all@l.test", &["staff@l.test", "old@else.test"]).await;
    let long = format!("{}@x.test", "l".repeat(400));
    let (lines, added) = add_members(
        &replica,
        "staff@l.test",
        &[
            "Anna@else.test",
            " ",
            "ANNA@else.test",
            "\"anna\"@ELSE.test",
            "no address",
            "loop@l.test",
            "all@l.test",
            "Staff@l.test",
            "bert@else.test",
            "",
            "c\r\nd@else.test",
            &long,
            "SRS0=a@else.test",
        ],
    )
    .await;
    use MemberLineOutcome::{Added, Duplicate, Invalid};
    let told: Vec<_> = lines.iter().map(MemberLine::outcome).collect();
    let wanted =
        [Added, Duplicate, Duplicate, Invalid, Invalid, Invalid, Invalid, Added, Invalid, Invalid, Invalid];
    assert_eq!((told.as_slice(), added), (&wanted[..], 2), "{lines:?}");
    assert!(lines[4].reason.contains("staff@l.test -> loop@l.test -> staff@l.test"), "{:?}", lines[4]);
    assert!(lines[5].reason.contains("staff@l.test -> all@l.test -> staff@l.test"), "{:?}", lines[5]);
    assert!(lines[6].reason.contains("staff@l.test -> staff@l.test"), "{:?}", lines[6]);
    assert_eq!(lines[9].line.chars().count(), 320);
    // A ring through a list is refused from the other sides too.
    add_members(&replica, "staff@l.test", &["new@l.test"]).await;
    refused(
        replica.forwards().create_forward(new_forward("new@l.test", &["all@l.test"], false)).await,
        Reason::FailedPrecondition,
        "new@l.test -> all@l.test -> staff@l.test -> new@l.test",
    );
    let rule = DefaultAddress {
        domain: "l.test".into(),
        action: DefaultAction::Address.into(),
        target: "staff@l.test".into(),
        ..Default::default()
    };
    let request = UpdateDefaultAddressRequest { default_address: Some(rule) };
    refused(
        replica.defaults().update_default_address(request).await,
        Reason::FailedPrecondition,
        "*@l.test -> staff@l.test -> new@l.test -> *@l.test",
    );
    let owner = UpdateMailingListRequest {
        list: Some(MailingList {
            address: "staff@l.test".into(),
            owner: "staff-owner+x@l.test".into(),
            ..Default::default()
        }),
        update_mask: paths(&["owner"]),
    };
    refused(
        replica.lists().update_mailing_list(owner).await,
        Reason::FailedPrecondition,
        "staff-owner@l.test -> ",
    );

    let remove = |addresses: &[&str]| RemoveListMembersRequest {
        list: "staff@l.test".into(),
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
    };
    let removed = replica.lists().remove_list_members(remove(&["aNNa@else.test", "nobody@else.test"])).await;
    assert_eq!(removed.unwrap().into_inner().removed_count, 1);
    let list = GetMailingListRequest { address: "staff@l.test".into() };
    assert_eq!(
        replica.lists().get_mailing_list(list).await.unwrap().into_inner().list.unwrap().member_count,
        2
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_by_mail_confirms_with_a_token_that_works_once() {
    let (postgres, replica) = house("tokens").await;
    let list = create_list(&replica, "staff@l.test").await;
    let other = create_list(&replica, "other@l.test").await;
    let mut lists = replica.lists_of_mesh();
    let ask = |change: ListChange, address: &str| RequestListChangeRequest {
        list_id: list.list_id,
        address: address.into(),
        change: change.into(),
    };
    let confirm = |token: &str, list_id: i64| ConfirmListChangeRequest { token: token.into(), list_id };
    let (subscribe, leave) = (ListChange::Subscribe, ListChange::Unsubscribe);
    let token = lists.request_list_change(ask(subscribe, "Anna@else.test")).await.unwrap().into_inner().token;
    assert!(token.len() == 26 && token.bytes().all(|c| c.is_ascii_lowercase() || (b'2'..=b'7').contains(&c)));
    assert_eq!(postgres.query("tokens", &format!("select count(*) from account.list_changes where encode(token_sha256, 'escape') like '%{token}%'")), "0");
    let nothing = lists.confirm_list_change(confirm(&token, other.list_id)).await.unwrap().into_inner();
    assert_eq!(nothing.address, "", "a token of another list");
    for junk in ["", "x", &"a".repeat(26), &"a".repeat(1_000_000)] {
        assert_eq!(lists.confirm_list_change(confirm(junk, 0)).await.unwrap().into_inner().address, "");
    }
    let done =
        lists.confirm_list_change(confirm(&token.to_uppercase(), list.list_id)).await.unwrap().into_inner();
    assert_eq!(
        (done.address.as_str(), done.change(), done.list.as_str()),
        ("Anna@else.test", subscribe, "staff@l.test")
    );
    assert_eq!(lists.confirm_list_change(confirm(&token, 0)).await.unwrap().into_inner().address, "");
    // A member cannot subscribe, a stranger cannot leave.
    for (change, address) in [(subscribe, "ANNA@else.test"), (leave, "nobody@else.test")] {
        assert_eq!(lists.request_list_change(ask(change, address)).await.unwrap().into_inner().token, "");
    }
    let look = |member: &str| LookupMailingListRequest { list_id: list.list_id, member: member.into() };
    let found = lists.lookup_mailing_list(look("anna@ELSE.test")).await.unwrap().into_inner();
    assert!(found.is_member && found.customer == "list" && found.list.unwrap().member_count == 1);
    assert!(!lists.lookup_mailing_list(look("bert@else.test")).await.unwrap().into_inner().is_member);
    let token = lists.request_list_change(ask(leave, "anna@else.test")).await.unwrap().into_inner().token;
    // Two at once: only one of them.
    let (mut one, mut two) = (replica.lists_of_mesh(), replica.lists_of_mesh());
    let (one, two) = tokio::join!(
        one.confirm_list_change(confirm(&token, 0)),
        two.confirm_list_change(confirm(&token, 0))
    );
    let done = [one, two].map(|answer| answer.unwrap().into_inner().address);
    assert_eq!(done.iter().filter(|address| !address.is_empty()).count(), 1, "{done:?}");
    assert!(!lists.lookup_mailing_list(look("anna@else.test")).await.unwrap().into_inner().is_member);
    // Nobody is bombed: three a day, used or not, in any spelling.
    lists.request_list_change(ask(subscribe, "anna@else.test")).await.unwrap();
    refused(
        lists.request_list_change(ask(subscribe, "ANNA@else.test")).await,
        Reason::LimitReached,
        "3 times",
    );
    // A token of four days ago is no token.
    let token = lists.request_list_change(ask(subscribe, "late@else.test")).await.unwrap().into_inner().token;
    postgres.query("tokens", "update account.list_changes set create_time = now() - interval '4 days' where member = 'late@else.test'");
    assert_eq!(lists.confirm_list_change(confirm(&token, 0)).await.unwrap().into_inner().address, "");
    replica
        .lists()
        .delete_mailing_list(DeleteMailingListRequest { address: "staff@l.test".into() })
        .await
        .unwrap();
    assert!(lists.lookup_mailing_list(look("")).await.unwrap().into_inner().list.is_none());
    refused(lists.request_list_change(ask(subscribe, "b@else.test")).await, Reason::NotFound, "no such");
}
