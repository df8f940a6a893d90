//! Members come back to their list as they had come to it; and what a mailbox user has removed at the own address comes back for
//! that user.

use crate::asking::{add_members, create_list, create_mailbox, new_answer, new_forward, refused};
use crate::house::{Postgres, Replica};
use postern_mail::Reason;
use postern_mesh::identity::Caller;
use postern_proto::account::v1::{
    ConfirmListChangeRequest, DeleteAutoresponderRequest, DeleteForwardRequest, DeleteMailingListRequest,
    GetAutoresponderRequest, GetForwardRequest, GetMailingListRequest, ListChange, ListListMembersRequest,
    MemberOrigin, RemoveListMembersRequest, RemoveListMembersResponse, RequestListChangeRequest,
    RestoreAuditEntryRequest, audit_service_client::AuditServiceClient,
    autoresponder_service_client::AutoresponderServiceClient, forward_service_client::ForwardServiceClient,
};

const LIST: &str = "l@u.test";

async fn members(replica: &Replica) -> Vec<(String, MemberOrigin)> {
    let request = ListListMembersRequest { list: LIST.into(), ..Default::default() };
    let members = replica.lists().list_list_members(request).await.unwrap().into_inner().members;
    members.into_iter().map(|member| (member.address.clone(), member.origin())).collect()
}

async fn remove(replica: &Replica, addresses: &[&str]) -> RemoveListMembersResponse {
    let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
    let request = RemoveListMembersRequest { list: LIST.into(), addresses };
    replica.lists().remove_list_members(request).await.unwrap().into_inner()
}

/// Joins, or leaves, by a token as mail carries it.
async fn by_mail(replica: &Replica, list_id: i64, change: ListChange, address: &str) {
    let mut lists = replica.lists_of_mesh();
    let request = RequestListChangeRequest { list_id, address: address.into(), change: change.into() };
    let token = lists.request_list_change(request).await.unwrap().into_inner().token;
    lists.confirm_list_change(ConfirmListChangeRequest { token, list_id }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_back_as_they_had_come() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("members")).await;
    replica.customer("undo").await;
    replica.customer("other").await;
    replica.domain("u.test", "undo").await;
    let list = create_list(&replica, LIST).await;
    by_mail(&replica, list.list_id, ListChange::Subscribe, "Anna@else.test").await;
    add_members(&replica, LIST, &["Bert@else.test", "carl@else.test", "f@u.test"]).await;
    let before = members(&replica).await;
    assert_eq!(before[0], ("Anna@else.test".to_owned(), MemberOrigin::Subscribed));

    let all = ["anna@else.test", "bert@else.test", "carl@else.test", "f@u.test", "nobody@else.test"];
    let removed = remove(&replica, &all).await;
    assert_eq!((removed.removed_count, members(&replica).await.len()), (4, 0));
    let entry = RestoreAuditEntryRequest { audit_id: removed.audit_id };
    let audit_of = |login: &str| AuditServiceClient::new(replica.channel_of(Caller::customer(login, login)));
    refused(audit_of("other").restore_audit_entry(entry).await, Reason::NotFound, "there is no audit entry");
    // Meanwhile one was added by hand, and one leads to the list: the others come back.
    add_members(&replica, LIST, &["carl@else.test"]).await;
    replica.forwards().create_forward(new_forward("f@u.test", &[LIST], false)).await.unwrap();
    let told = audit_of("undo").restore_audit_entry(entry).await.unwrap().into_inner().entry.unwrap();
    assert_eq!(
        (told.kind.as_str(), told.name.as_str(), told.action.as_str()),
        ("list-member", LIST, "restore")
    );
    assert!(
        told.after_json.contains("Bert@else.test") && !told.after_json.contains("carl"),
        "{}",
        told.after_json
    );
    assert_eq!(members(&replica).await, before[..3]);
    let get = GetMailingListRequest { address: LIST.into() };
    let list_now = replica.lists().get_mailing_list(get).await.unwrap().into_inner().list.unwrap();
    assert_eq!(list_now.member_count, 3);
    refused(replica.audit().restore_audit_entry(entry).await, Reason::FailedPrecondition, "f@u.test");
    assert_eq!(remove(&replica, &["nobody@else.test"]).await, RemoveListMembersResponse::default());

    // Of an older version, which did not tell how they had come.
    let removed = remove(&replica, &["anna@else.test"]).await;
    let sql = format!(
        "update account.audit set before_json = '{{\"list\":\"{LIST}\",\"addresses\":[\"Anna@else.test\"]}}' where audit_id = {}",
        removed.audit_id
    );
    postgres.query("members", &sql);
    let entry = RestoreAuditEntryRequest { audit_id: removed.audit_id };
    replica.audit().restore_audit_entry(entry).await.unwrap();
    assert_eq!(members(&replica).await[0], ("Anna@else.test".to_owned(), MemberOrigin::Added));

    // Another list of the same address has other members.
    let removed = remove(&replica, &["anna@else.test"]).await;
    let request = DeleteMailingListRequest { address: LIST.into() };
    replica.lists().delete_mailing_list(request).await.unwrap();
    let other = create_list(&replica, LIST).await;
    let entry = RestoreAuditEntryRequest { audit_id: removed.audit_id };
    refused(replica.audit().restore_audit_entry(entry).await, Reason::FailedPrecondition, "gone for good");

    // Who has left by an own wish is not brought back.
    add_members(&replica, LIST, &["bert@else.test"]).await;
    by_mail(&replica, other.list_id, ListChange::Unsubscribe, "bert@else.test").await;
    let sql = "select max(audit_id) from account.audit where kind = 'list-member'";
    let entry = RestoreAuditEntryRequest { audit_id: postgres.query("members", sql).parse().unwrap() };
    refused(replica.audit().restore_audit_entry(entry).await, Reason::FailedPrecondition, "no removal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mailbox_user_brings_back_what_was_at_the_own_address_and_nothing_else() {
    let postgres = Postgres::start();
    let replica = Replica::open(&postgres.database("own")).await;
    replica.customer("undo").await;
    replica.domain("u.test", "undo").await;
    let anna = create_mailbox(&replica, "anna@u.test").await;
    let bert = create_mailbox(&replica, "bert@u.test").await;
    let user = |id: i64, login: &str| replica.channel_of(Caller::mailbox(login, "undo", id));
    let audit_of = |id: i64, login: &str| AuditServiceClient::new(user(id, login));
    let mut forwards = ForwardServiceClient::new(user(anna.mailbox_id, "anna@u.test"));
    let mut answers = AutoresponderServiceClient::new(user(anna.mailbox_id, "anna@u.test"));
    let address = || "anna@u.test".to_owned();
    forwards.create_forward(new_forward("anna@u.test", &["out@else.test"], true)).await.unwrap();
    answers.update_autoresponder(new_answer("anna@u.test")).await.unwrap();
    let forward = forwards.delete_forward(DeleteForwardRequest { address: address() }).await.unwrap();
    let answer =
        answers.delete_autoresponder(DeleteAutoresponderRequest { address: address() }).await.unwrap();
    for audit_id in [forward.into_inner().audit_id, answer.into_inner().audit_id] {
        let entry = RestoreAuditEntryRequest { audit_id };
        let stranger = audit_of(bert.mailbox_id, "bert@u.test").restore_audit_entry(entry).await;
        refused(stranger, Reason::NotFound, "there is no audit entry");
        audit_of(anna.mailbox_id, "anna@u.test").restore_audit_entry(entry).await.unwrap();
    }
    let there = forwards.get_forward(GetForwardRequest { address: address() }).await.unwrap().into_inner();
    assert_eq!(there.forward.unwrap().targets, ["out@else.test"]);
    answers.get_autoresponder(GetAutoresponderRequest { address: address() }).await.unwrap();

    // What its owner has removed elsewhere is none of the user's.
    create_list(&replica, LIST).await;
    add_members(&replica, LIST, &["anna@u.test"]).await;
    let removed = remove(&replica, &["anna@u.test"]).await;
    replica.forwards().create_forward(new_forward("sales@u.test", &["anna@u.test"], false)).await.unwrap();
    let request = DeleteForwardRequest { address: "sales@u.test".into() };
    let sales = replica.forwards().delete_forward(request).await.unwrap().into_inner();
    for audit_id in [removed.audit_id, sales.audit_id, 1, i64::MAX] {
        let entry = RestoreAuditEntryRequest { audit_id };
        let tried = audit_of(anna.mailbox_id, "anna@u.test").restore_audit_entry(entry).await;
        refused(tried, Reason::NotFound, "there is no audit entry");
    }
}
