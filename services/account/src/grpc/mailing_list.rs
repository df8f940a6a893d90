//! `postern.account.v1.MailingListService`.

use std::sync::Arc;

use postern_mail::EmailAddress;
use postern_proto::account::v1::{
    AddListMembersRequest, AddListMembersResponse, ConfirmListChangeRequest, ConfirmListChangeResponse,
    CreateMailingListRequest, CreateMailingListResponse, DeleteMailingListRequest, DeleteMailingListResponse,
    EndListSubscriptionRequest, EndListSubscriptionResponse, GetMailingListRequest, GetMailingListResponse,
    ListChange, ListListMembersRequest, ListListMembersResponse, ListMailingListsRequest,
    ListMailingListsResponse, ListMemberAdditionsRequest, ListMemberAdditionsResponse, ListPosting,
    ListReplies, LookupListSubscriptionRequest, LookupListSubscriptionResponse, LookupMailingListRequest,
    LookupMailingListResponse, MailingList, MemberLineOutcome, RemoveListMembersRequest,
    RemoveListMembersResponse, ReportListCopiesRequest, ReportListCopiesResponse, RequestListChangeRequest,
    RequestListChangeResponse, UpdateMailingListRequest, UpdateMailingListResponse,
    mailing_list_service_server::MailingListService,
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{mask, opened, present};
use crate::{
    Account,
    error::AccountError,
    fields::{self, invalid},
    mailing_lists::{ListUpdate, NewList},
    paging::Page,
    store::{list_additions::Addition, lists::ListSettings},
};

/// Lines or addresses of one call.
const MEMBERS_MAX: usize = 10_000;
/// Members of one page.
const PAGE_MAX_ROWS: i32 = 10_000;
/// Names of each kind in one report.
const REPORT_MAX: usize = 1000;

pub(super) struct MailingLists(pub(super) Arc<Account>);

#[tonic::async_trait]
impl MailingListService for MailingLists {
    async fn get_mailing_list(
        &self,
        request: Request<GetMailingListRequest>,
    ) -> Result<Response<GetMailingListResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("address", &request.address)?;
        let list = Some(self.0.mailing_list(&caller, &address).await?);
        Ok(Response::new(GetMailingListResponse { list }))
    }

    async fn list_mailing_lists(
        &self,
        request: Request<ListMailingListsRequest>,
    ) -> Result<Response<ListMailingListsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let domain = fields::domain("domain", &request.domain)?;
        let prefix = fields::prefix("prefix", &request.prefix)?;
        let page = Page::new(request.page_size, &request.page_token)?.beginning_with(prefix);
        let (lists, next_page_token) = self.0.mailing_lists(&caller, &domain, &page).await?;
        Ok(Response::new(ListMailingListsResponse { lists, next_page_token }))
    }

    async fn create_mailing_list(
        &self,
        request: Request<CreateMailingListRequest>,
    ) -> Result<Response<CreateMailingListResponse>, Status> {
        let (caller, request) = opened(request)?;
        let list = present("list", request.list)?;
        let address = fields::list_address("list.address", &list.address)?;
        let settings = new_settings(&address, &list)?;
        let request_id = fields::request_id(&request.request_id)?;
        let new = NewList { address, settings, request_id };
        let list = Some(self.0.create_mailing_list(&caller, new).await?);
        Ok(Response::new(CreateMailingListResponse { list }))
    }

    async fn update_mailing_list(
        &self,
        request: Request<UpdateMailingListRequest>,
    ) -> Result<Response<UpdateMailingListResponse>, Status> {
        let (caller, request) = opened(request)?;
        let list = present("list", request.list)?;
        let address = existing("list.address", &list.address)?;
        let paths = mask(request.update_mask.as_ref(), &PATHS)?;
        let list = Some(self.0.update_mailing_list(&caller, &address, update(&paths, list)?).await?);
        Ok(Response::new(UpdateMailingListResponse { list }))
    }

    async fn delete_mailing_list(
        &self,
        request: Request<DeleteMailingListRequest>,
    ) -> Result<Response<DeleteMailingListResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("address", &request.address)?;
        let (references, audit_id) = self.0.delete_mailing_list(&caller, &address).await?;
        let referring_addresses = references.into_iter().map(|reference| reference.name).collect();
        Ok(Response::new(DeleteMailingListResponse { referring_addresses, audit_id }))
    }

    async fn list_list_members(
        &self,
        request: Request<ListListMembersRequest>,
    ) -> Result<Response<ListListMembersResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("list", &request.list)?;
        let prefix = fields::prefix("prefix", &request.prefix)?;
        let page = Page::up_to(PAGE_MAX_ROWS, request.page_size, &request.page_token)?.beginning_with(prefix);
        let (members, next_page_token) = self.0.list_members(&caller, &address, &page).await?;
        Ok(Response::new(ListListMembersResponse { members, next_page_token }))
    }

    async fn add_list_members(
        &self,
        request: Request<AddListMembersRequest>,
    ) -> Result<Response<AddListMembersResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("list", &request.list)?;
        bounded(&request.addresses)?;
        let addition = addition(&request)?;
        let lines = self.0.add_list_members(&caller, &address, &request.addresses, addition).await?;
        let added = lines.iter().filter(|line| line.outcome() == MemberLineOutcome::Added).count();
        let added_count = i32::try_from(added).unwrap_or(i32::MAX);
        Ok(Response::new(AddListMembersResponse { lines, added_count }))
    }

    async fn list_member_additions(
        &self,
        request: Request<ListMemberAdditionsRequest>,
    ) -> Result<Response<ListMemberAdditionsResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("list", &request.list)?;
        let additions = self.0.member_additions(&caller, &address).await?;
        Ok(Response::new(ListMemberAdditionsResponse { additions }))
    }

    async fn remove_list_members(
        &self,
        request: Request<RemoveListMembersRequest>,
    ) -> Result<Response<RemoveListMembersResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = existing("list", &request.list)?;
        bounded(&request.addresses)?;
        let members: Vec<_> = (request.addresses.iter().enumerate())
            .map(|(index, text)| fields::address(&format!("addresses[{index}]"), text))
            .collect::<Result<_, _>>()?;
        let (removed, audit_id) = self.0.remove_list_members(&caller, &address, &members).await?;
        let removed_count = i32::try_from(removed).unwrap_or(i32::MAX);
        Ok(Response::new(RemoveListMembersResponse { removed_count, audit_id }))
    }

    async fn lookup_mailing_list(
        &self,
        request: Request<LookupMailingListRequest>,
    ) -> Result<Response<LookupMailingListResponse>, Status> {
        let (_, request) = opened(request)?;
        let asked = !request.member.is_empty();
        let member = asked.then(|| fields::address("member", &request.member)).transpose()?;
        let found = self.0.look_up_mailing_list(request.list_id, member.as_ref()).await?;
        Ok(Response::new(found.map_or_else(LookupMailingListResponse::default, |found| {
            LookupMailingListResponse {
                list: Some(found.list),
                customer: found.customer,
                is_member: found.is_member,
                unsubscribe_key: found.unsubscribe_key.into(),
            }
        })))
    }

    async fn request_list_change(
        &self,
        request: Request<RequestListChangeRequest>,
    ) -> Result<Response<RequestListChangeResponse>, Status> {
        let (caller, request) = opened(request)?;
        let address = fields::member("address", &request.address)?;
        let change = match request.change() {
            ListChange::Unspecified => invalid("change", "must be SUBSCRIBE or UNSUBSCRIBE")?,
            change => change,
        };
        let token = self.0.request_list_change(&caller, request.list_id, &address, change).await?;
        Ok(Response::new(RequestListChangeResponse { token }))
    }

    async fn confirm_list_change(
        &self,
        request: Request<ConfirmListChangeRequest>,
    ) -> Result<Response<ConfirmListChangeResponse>, Status> {
        let (caller, request) = opened(request)?;
        let confirmed = self.0.confirm_list_change(&caller, &request.token, request.list_id).await?;
        Ok(Response::new(confirmed.map_or_else(ConfirmListChangeResponse::default, |confirmed| {
            ConfirmListChangeResponse {
                address: confirmed.address,
                change: confirmed.change.into(),
                list: confirmed.list,
            }
        })))
    }

    async fn report_list_copies(
        &self,
        request: Request<ReportListCopiesRequest>,
    ) -> Result<Response<ReportListCopiesResponse>, Status> {
        let (caller, request) = opened(request)?;
        for (field, named) in [
            ("bounced", &request.bounced),
            ("delivered", &request.delivered),
            ("bounced_probes", &request.bounced_probes),
        ] {
            if named.len() > REPORT_MAX {
                invalid(field, format_args!("at most {REPORT_MAX}"))?;
            }
        }
        let probes = self.0.report_list_copies(&caller, &request).await?;
        Ok(Response::new(ReportListCopiesResponse { probes }))
    }

    async fn lookup_list_subscription(
        &self,
        request: Request<LookupListSubscriptionRequest>,
    ) -> Result<Response<LookupListSubscriptionResponse>, Status> {
        let found = self.0.list_subscription(&request.into_inner().token).await?;
        Ok(Response::new(found.unwrap_or_default()))
    }

    async fn end_list_subscription(
        &self,
        request: Request<EndListSubscriptionRequest>,
    ) -> Result<Response<EndListSubscriptionResponse>, Status> {
        let (caller, request) = opened(request)?;
        let ended = self.0.end_list_subscription(&caller, &request.token).await?;
        Ok(Response::new(ended.map_or_else(EndListSubscriptionResponse::default, |(list, member)| {
            EndListSubscriptionResponse { list, address: member.to_string() }
        })))
    }
}

/// What an update may change.
const PATHS: [&str; 7] =
    ["posting", "replies", "subject_prefix", "owner", "description", "message_max_bytes", "listserv"];

/// What is not said becomes the choice for a new list.
fn new_settings(address: &EmailAddress, list: &MailingList) -> Result<ListSettings, AccountError> {
    let said = |number: i32, choice: i32| if number == 0 { choice } else { number };
    let owner = match list.owner.as_str() {
        "" => fields::address("list.owner", &format!("postmaster@{}", address.domain()))?,
        owner => fields::member("list.owner", owner)?,
    };
    Ok(ListSettings {
        posting: posting(said(list.posting, ListPosting::Members.into()))?,
        replies: replies(said(list.replies, ListReplies::Author.into()))?,
        subject_prefix: fields::subject_prefix("list.subject_prefix", &list.subject_prefix)?,
        owner,
        description: fields::display_name("list.description", &list.description)?,
        message_max_bytes: fields::post_max_bytes("list.message_max_bytes", list.message_max_bytes)?,
        listserv: listserv(&list.listserv)?,
    })
}

fn update(paths: &[&str], list: MailingList) -> Result<ListUpdate, AccountError> {
    let named = |path: &str| paths.contains(&path);
    let mut update = ListUpdate { etag: list.etag.clone(), ..ListUpdate::default() };
    if named("posting") {
        update.posting = Some(posting(list.posting)?);
    }
    if named("replies") {
        update.replies = Some(replies(list.replies)?);
    }
    if named("subject_prefix") {
        update.subject_prefix = Some(fields::subject_prefix("list.subject_prefix", &list.subject_prefix)?);
    }
    if named("owner") {
        update.owner = Some(fields::member("list.owner", &list.owner)?);
    }
    if named("description") {
        update.description = Some(fields::display_name("list.description", &list.description)?);
    }
    if named("message_max_bytes") {
        let octets = fields::post_max_bytes("list.message_max_bytes", list.message_max_bytes)?;
        update.message_max_bytes = Some(octets);
    }
    if named("listserv") {
        update.listserv = Some(listserv(&list.listserv)?);
    }
    Ok(update)
}

fn posting(number: i32) -> Result<i32, AccountError> {
    match ListPosting::try_from(number) {
        Ok(posting) if posting != ListPosting::Unspecified => Ok(number),
        _ => invalid("list.posting", "must be ANYONE, MEMBERS or OWNER"),
    }
}

fn replies(number: i32) -> Result<i32, AccountError> {
    match ListReplies::try_from(number) {
        Ok(replies) if replies != ListReplies::Unspecified => Ok(number),
        _ => invalid("list.replies", "must be AUTHOR or LIST"),
    }
}

fn listserv(text: &str) -> Result<Option<EmailAddress>, AccountError> {
    if text.is_empty() { Ok(None) } else { fields::member("list.listserv", text).map(Some) }
}

/// What a call belongs to; `None`: nothing is written down of it.
fn addition(request: &AddListMembersRequest) -> Result<Option<Addition>, AccountError> {
    if request.addition_id.is_empty() {
        return match request.total_count {
            0 => Ok(None),
            _ => invalid("total_count", "only with an addition_id"),
        };
    }
    let Ok(addition_id) = Uuid::try_parse(&request.addition_id) else {
        return invalid("addition_id", "must be a UUID");
    };
    match request.total_count {
        total_count @ 1.. => Ok(Some(Addition { addition_id, total_count })),
        _ => invalid("total_count", "1 or more"),
    }
}

fn bounded(addresses: &[String]) -> Result<(), AccountError> {
    match addresses.len() {
        0 => invalid("addresses", "is missing"),
        1..=MEMBERS_MAX => Ok(()),
        _ => invalid("addresses", format_args!("at most {MEMBERS_MAX}")),
    }
}

fn existing(field: &str, text: &str) -> Result<EmailAddress, AccountError> {
    Ok(fields::address(field, text)?.canonical())
}
