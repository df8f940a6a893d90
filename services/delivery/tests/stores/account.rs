//! What account knows of lists and autoresponders, as far as delivery asks.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::account::v1::{
    autoresponder_service_server::{AutoresponderService, AutoresponderServiceServer},
    mail_key_service_server::{MailKeyService, MailKeyServiceServer},
    mailing_list_service_server::{MailingListService, MailingListServiceServer},
    *,
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, service::Routes};

/// A list and who is in it.
#[derive(Clone, Default)]
pub(crate) struct TestList {
    pub(crate) list: MailingList,
    pub(crate) customer: String,
    pub(crate) members: Vec<String>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) lists: BTreeMap<i64, TestList>,
    pub(crate) responders: BTreeMap<i64, Autoresponder>,
    tokens: HashMap<String, (i64, String, ListChange)>,
    /// Calls that made a token.
    pub(crate) requests: usize,
    /// How copies fared, as it was told.
    pub(crate) reports: Vec<ReportListCopiesRequest>,
    /// Whom the next report's answer asks to probe.
    pub(crate) probes: Vec<ListProbe>,
}

/// The fake. Clones are the same one.
#[derive(Clone)]
pub(crate) struct FakeAccount {
    state: Arc<Mutex<State>>,
    /// One permit for each page of members that may be read.
    pub(crate) pages: Arc<Semaphore>,
}

impl Default for FakeAccount {
    fn default() -> Self {
        Self { state: Arc::default(), pages: Arc::new(Semaphore::new(1_000_000)) }
    }
}

impl FakeAccount {
    pub(crate) fn add_to(&self, routes: Routes) -> Routes {
        routes
            .add_service(MailingListServiceServer::new(self.clone()))
            .add_service(AutoresponderServiceServer::new(self.clone()))
            .add_service(MailKeyServiceServer::new(self.clone()))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("state")
    }

    /// `<name>@local.test`, of customer `me`, who posts: members.
    pub(crate) fn add_list(&self, list_id: i64, name: &str, members: &[String]) {
        let list = MailingList {
            address: format!("{name}@local.test"),
            list_id,
            posting: ListPosting::Members.into(),
            replies: ListReplies::Author.into(),
            subject_prefix: format!("[{name}]"),
            owner: "owner@remote.test".to_owned(),
            ..MailingList::default()
        };
        let list = TestList { list, customer: "me".to_owned(), members: members.to_vec() };
        self.state().lists.insert(list_id, list);
    }

    pub(crate) fn add_responder(&self, id: i64, address: &str) {
        let responder = Autoresponder {
            address: address.to_owned(),
            subject: "Away: {subject}".to_owned(),
            text: "Dear {sender},\nI am away.\n".to_owned(),
            text_version: 1,
            ..Autoresponder::default()
        };
        self.state().responders.insert(id, responder);
    }

    pub(crate) fn list_at(&self, address: &str) -> Option<LocalList> {
        let (name, domain) = address.split_once('@')?;
        let (name, tag) = name.split_once('+').unwrap_or((name, ""));
        let roles = [
            ("-subscribe", ListAddress::Subscribe),
            ("-unsubscribe", ListAddress::Unsubscribe),
            ("-request", ListAddress::Request),
            ("-bounces", ListAddress::Bounces),
            ("", ListAddress::Post),
        ];
        let state = self.state();
        for (suffix, role) in roles {
            let list = name.strip_suffix(suffix).map(|list| format!("{list}@{domain}"));
            let found = state.lists.values().find(|found| Some(&found.list.address) == list.as_ref());
            if let Some(found) = found {
                return Some(LocalList {
                    list_id: found.list.list_id,
                    address: found.list.address.clone(),
                    role: role.into(),
                    tag: tag.to_owned(),
                });
            }
        }
        None
    }

    pub(crate) fn autoresponder_at(&self, address: &str) -> i64 {
        let state = self.state();
        let found = state.responders.iter().find(|(_, responder)| responder.address == address);
        found.map_or(0, |(id, _)| *id)
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("delivery does not ask this"))
}

#[tonic::async_trait]
impl MailingListService for FakeAccount {
    async fn get_mailing_list(
        &self,
        _: Request<GetMailingListRequest>,
    ) -> Result<Response<GetMailingListResponse>, Status> {
        not_here()
    }

    async fn list_mailing_lists(
        &self,
        _: Request<ListMailingListsRequest>,
    ) -> Result<Response<ListMailingListsResponse>, Status> {
        not_here()
    }

    async fn create_mailing_list(
        &self,
        _: Request<CreateMailingListRequest>,
    ) -> Result<Response<CreateMailingListResponse>, Status> {
        not_here()
    }

    async fn update_mailing_list(
        &self,
        _: Request<UpdateMailingListRequest>,
    ) -> Result<Response<UpdateMailingListResponse>, Status> {
        not_here()
    }

    async fn delete_mailing_list(
        &self,
        _: Request<DeleteMailingListRequest>,
    ) -> Result<Response<DeleteMailingListResponse>, Status> {
        not_here()
    }

    async fn add_list_members(
        &self,
        _: Request<AddListMembersRequest>,
    ) -> Result<Response<AddListMembersResponse>, Status> {
        not_here()
    }

    async fn list_member_additions(
        &self,
        _: Request<ListMemberAdditionsRequest>,
    ) -> Result<Response<ListMemberAdditionsResponse>, Status> {
        not_here()
    }

    async fn remove_list_members(
        &self,
        _: Request<RemoveListMembersRequest>,
    ) -> Result<Response<RemoveListMembersResponse>, Status> {
        not_here()
    }

    async fn list_list_members(
        &self,
        request: Request<ListListMembersRequest>,
    ) -> Result<Response<ListListMembersResponse>, Status> {
        self.pages.acquire().await.expect("open").forget();
        let request = request.into_inner();
        let state = self.state();
        let list = state.lists.values().find(|list| list.list.address == request.list);
        let list = list.ok_or_else(|| failure::status(Reason::NotFound))?;
        let mut members = list.members.clone();
        members.sort();
        let size = usize::try_from(request.page_size).expect("a size");
        let page: Vec<_> = members.iter().filter(|m| **m > request.page_token).take(size).cloned().collect();
        let is_last = page.last() == members.last();
        Ok(Response::new(ListListMembersResponse {
            next_page_token: if is_last { String::new() } else { page.last().cloned().unwrap_or_default() },
            members: page
                .into_iter()
                .map(|address| ListMember { address, ..ListMember::default() })
                .collect(),
        }))
    }

    async fn lookup_mailing_list(
        &self,
        request: Request<LookupMailingListRequest>,
    ) -> Result<Response<LookupMailingListResponse>, Status> {
        let LookupMailingListRequest { list_id, member } = request.into_inner();
        let found = self.state().lists.get(&list_id).cloned();
        Ok(Response::new(match found {
            None => LookupMailingListResponse::default(),
            Some(found) => LookupMailingListResponse {
                is_member: found.members.contains(&member),
                list: Some(found.list),
                customer: found.customer,
                unsubscribe_key: vec![7; 32].into(),
            },
        }))
    }

    async fn report_list_copies(
        &self,
        request: Request<ReportListCopiesRequest>,
    ) -> Result<Response<ReportListCopiesResponse>, Status> {
        let report = request.into_inner();
        let mut state = self.state();
        let probes = std::mem::take(&mut state.probes);
        state.reports.push(report);
        Ok(Response::new(ReportListCopiesResponse { probes }))
    }

    async fn lookup_list_subscription(
        &self,
        _: Request<LookupListSubscriptionRequest>,
    ) -> Result<Response<LookupListSubscriptionResponse>, Status> {
        not_here()
    }

    async fn end_list_subscription(
        &self,
        _: Request<EndListSubscriptionRequest>,
    ) -> Result<Response<EndListSubscriptionResponse>, Status> {
        not_here()
    }

    async fn request_list_change(
        &self,
        request: Request<RequestListChangeRequest>,
    ) -> Result<Response<RequestListChangeResponse>, Status> {
        let request = request.into_inner();
        let change = request.change();
        let mut state = self.state();
        let is_member = state.lists[&request.list_id].members.contains(&request.address);
        if is_member == (change == ListChange::Subscribe) {
            return Ok(Response::new(RequestListChangeResponse::default()));
        }
        if state.requests >= 3 {
            return Err(failure::status(Reason::LimitReached));
        }
        state.requests += 1;
        let token = format!("{}{}", "abcdefghijklmnopqrstuvwxy", state.requests + 1);
        state.tokens.insert(token.clone(), (request.list_id, request.address, change));
        Ok(Response::new(RequestListChangeResponse { token }))
    }

    async fn confirm_list_change(
        &self,
        request: Request<ConfirmListChangeRequest>,
    ) -> Result<Response<ConfirmListChangeResponse>, Status> {
        let mut state = self.state();
        let Some((list_id, address, change)) = state.tokens.remove(&request.get_ref().token) else {
            return Ok(Response::new(ConfirmListChangeResponse::default()));
        };
        let found = state.lists.get_mut(&list_id).expect("the list");
        found.members.retain(|member| *member != address);
        if change == ListChange::Subscribe {
            found.members.push(address.clone());
        }
        let list = found.list.address.clone();
        Ok(Response::new(ConfirmListChangeResponse { address, change: change.into(), list }))
    }
}

#[tonic::async_trait]
impl MailKeyService for FakeAccount {
    async fn lookup_signing_key(
        &self,
        _: Request<LookupSigningKeyRequest>,
    ) -> Result<Response<LookupSigningKeyResponse>, Status> {
        Ok(Response::new(LookupSigningKeyResponse::default()))
    }

    async fn list_sender_keys(
        &self,
        _: Request<ListSenderKeysRequest>,
    ) -> Result<Response<ListSenderKeysResponse>, Status> {
        let key = SenderKey { secret: vec![7; 32].into(), create_time: None };
        Ok(Response::new(ListSenderKeysResponse { keys: vec![key] }))
    }
}

#[tonic::async_trait]
impl AutoresponderService for FakeAccount {
    async fn get_autoresponder(
        &self,
        _: Request<GetAutoresponderRequest>,
    ) -> Result<Response<GetAutoresponderResponse>, Status> {
        not_here()
    }

    async fn list_autoresponders(
        &self,
        _: Request<ListAutorespondersRequest>,
    ) -> Result<Response<ListAutorespondersResponse>, Status> {
        not_here()
    }

    async fn update_autoresponder(
        &self,
        _: Request<UpdateAutoresponderRequest>,
    ) -> Result<Response<UpdateAutoresponderResponse>, Status> {
        not_here()
    }

    async fn delete_autoresponder(
        &self,
        _: Request<DeleteAutoresponderRequest>,
    ) -> Result<Response<DeleteAutoresponderResponse>, Status> {
        not_here()
    }

    async fn lookup_autoresponder(
        &self,
        request: Request<LookupAutoresponderRequest>,
    ) -> Result<Response<LookupAutoresponderResponse>, Status> {
        let autoresponder = self.state().responders.get(&request.get_ref().autoresponder_id).cloned();
        Ok(Response::new(LookupAutoresponderResponse { autoresponder, customer: "me".to_owned() }))
    }
}
