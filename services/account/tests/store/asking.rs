//! Questions and answers that the tests have in common.

use crate::house::{Replica, ready};
use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::account::v1::{
    AddListMembersRequest, Autoresponder, CreateForwardRequest, CreateMailboxRequest,
    CreateMailingListRequest, Forward, ListMailboxesRequest, LoginIdentity, LookupLoginRequest, Mailbox,
    MailingList, MemberLine, Resolution, ResolveRecipientRequest, UpdateAutoresponderRequest,
    WatchChangesResponse, resolution::Outcome, watch_changes_response::Event,
};
use postern_proto::google::FieldMask;
use std::time::Duration;
use tonic::{Request, Status, Streaming};

pub(crate) fn new_mailbox(address: &str) -> CreateMailboxRequest {
    CreateMailboxRequest { address: address.into(), password: ready(), ..Default::default() }
}

pub(crate) fn new_forward(address: &str, targets: &[&str], keep_copy: bool) -> CreateForwardRequest {
    let targets = targets.iter().map(|t| (*t).to_owned()).collect();
    let forward = Forward { address: address.into(), targets, keep_copy, ..Default::default() };
    CreateForwardRequest { forward: Some(forward), request_id: String::new() }
}

pub(crate) fn new_list(address: &str) -> CreateMailingListRequest {
    let list = MailingList { address: address.into(), ..Default::default() };
    CreateMailingListRequest { list: Some(list), request_id: String::new() }
}

pub(crate) async fn create_list(replica: &Replica, address: &str) -> MailingList {
    replica.lists().create_mailing_list(new_list(address)).await.unwrap().into_inner().list.unwrap()
}

/// A call that may take as long as a busy machine needs for it.
pub(crate) fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(60));
    request
}

/// The report, and how many were added.
pub(crate) async fn add_members(replica: &Replica, list: &str, lines: &[&str]) -> (Vec<MemberLine>, i32) {
    let addresses = lines.iter().map(|line| (*line).to_owned()).collect();
    let request = AddListMembersRequest { list: list.into(), addresses, ..Default::default() };
    let answer = replica.lists().add_list_members(patient(request)).await.unwrap().into_inner();
    (answer.lines, answer.added_count)
}

pub(crate) fn new_answer(address: &str) -> UpdateAutoresponderRequest {
    let autoresponder = Autoresponder {
        address: address.into(),
        subject: "Away: {subject}".into(),
        text: "I am away.\n".into(),
        ..Default::default()
    };
    UpdateAutoresponderRequest {
        autoresponder: Some(autoresponder),
        update_mask: paths(&["subject", "text", "start_time", "end_time", "interval_seconds"]),
        allow_missing: true,
    }
}

pub(crate) fn paths(paths: &[&str]) -> Option<FieldMask> {
    Some(FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
}

pub(crate) async fn create_mailbox(replica: &Replica, address: &str) -> Mailbox {
    replica.mailboxes().create_mailbox(new_mailbox(address)).await.unwrap().into_inner().mailbox.unwrap()
}

pub(crate) async fn login(replica: &Replica, login: &str) -> Option<LoginIdentity> {
    let request = LookupLoginRequest { login: login.into(), for_panel: false };
    replica.directory().lookup_login(request).await.unwrap().into_inner().identity
}

pub(crate) async fn resolve(replica: &Replica, address: &str) -> Resolution {
    let request = ResolveRecipientRequest { address: address.into() };
    replica.directory().resolve_recipient(request).await.unwrap().into_inner().resolution.unwrap()
}

pub(crate) fn local(resolution: &Resolution) -> (Option<i64>, Vec<String>) {
    match &resolution.outcome {
        Some(Outcome::Local(local)) => {
            (local.mailbox.as_ref().map(|m| m.mailbox_id), local.forward_targets.clone())
        }
        other => panic!("{other:?}"),
    }
}

pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Status>, reason: Reason, words: &str) {
    let status = result.expect_err(words);
    assert_eq!(failure::typed_reason(&status), Some(reason), "{status}");
    assert!(status.message().contains(words), "{status}");
}

/// Calls again while the answer is temporary: on a busy machine a turn at the database can take too long.
pub(crate) async fn insist<T, F: Future<Output = Result<T, Status>>>(
    call: impl Fn() -> F,
) -> Result<T, Status> {
    loop {
        match call().await {
            Err(status) if failure::reason_of(&status) == Reason::Unavailable => {}
            done => return done,
        }
    }
}

/// Waits for the next change of the stream that is not a beat.
pub(crate) async fn next_event(stream: &mut Streaming<WatchChangesResponse>) -> Event {
    let waiting = async {
        loop {
            match stream.message().await.unwrap().unwrap().event.unwrap() {
                Event::Beat(_) => {}
                event => return event,
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("an event within 20 s")
}

pub(crate) async fn list(replica: &Replica, domain: &str) -> Vec<Mailbox> {
    let (mut mailboxes, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListMailboxesRequest {
            domain: domain.into(),
            page_size: 3,
            page_token: token,
            ..Default::default()
        };
        let page = replica.mailboxes().list_mailboxes(request).await.unwrap().into_inner();
        assert!(page.mailboxes.len() <= 3);
        mailboxes.extend(page.mailboxes);
        token = page.next_page_token;
        if token.is_empty() {
            return mailboxes;
        }
    }
}
