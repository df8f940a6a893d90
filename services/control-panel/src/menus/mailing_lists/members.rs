//! The page of a list: its members, and how they leave.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{
    AddListMembersRequest, ListListMembersRequest, ListListMembersResponse, ListMember, MailingList,
    MemberOrigin, RemoveListMembersRequest,
};

use super::{MENU, editor, list_path, posting};
use crate::{
    call::Failure,
    form::{Field, Problems},
    layout::{self, finding, said::Said, ticks},
    menus::undo,
    place::Place,
};

/// What adds members, and forgives them what came back.
const ADD: &str = "account.v1.MailingListService/AddListMembers";
/// What the query of the page keeps while members are removed.
const KEPT: [&str; 2] = [finding::FIELD, "page"];
/// Members on one page.
const PAGE_SIZE: i32 = 100;

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?;
    show(&place, &list, "", &html! {}, &Problems::none()).await
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?.address;
    let addresses: Vec<String> = place.visit.form.all("member").map(str::to_owned).collect();
    let path = list_path(&place, &list);
    let here = layout::with_query(&place.visit, &path, &KEPT);
    if addresses.is_empty() {
        return Ok(place.visit.done(&here, &Said::new("list-none-ticked").warning()));
    }
    let request = RemoveListMembersRequest { list, addresses };
    let answer = place.calls().lists().remove_list_members(request).await?.into_inner();
    let count = place.visit.reader.count("list-member-count", answer.removed_count.into());
    let said = Said::new("list-members-removed").with("count", &count);
    let back = layout::with_query(&place.visit, &format!("{path}/members/restore"), &KEPT);
    let said = undo::offered(said, back, answer.audit_id);
    Ok(place.visit.done(&here, &said))
}

/// Undoes a removal of members.
pub(super) async fn restore(place: Place) -> Result<Response, Failure> {
    let restored = undo::removal(&place).await?;
    let count = place.visit.reader.count("list-member-count", undo::members_of(&restored));
    let said = Said::new("list-members-back").with("count", &count);
    let here = layout::with_query(&place.visit, &list_path(&place, &restored.name), &KEPT);
    Ok(place.visit.done(&here, &said))
}

/// The page: `typed` in the field for new members, and above it what became of those before.
pub(super) async fn show(
    place: &Place,
    list: &MailingList,
    typed: &str,
    report: &Markup,
    problems: &Problems,
) -> Result<Response, Failure> {
    let request = ListListMembersRequest {
        list: list.address.clone(),
        page_size: PAGE_SIZE,
        page_token: place.visit.query.get("page").to_owned(),
        prefix: finding::asked(&place.visit),
    };
    let members = place.calls().lists().list_list_members(request).await?.into_inner();
    let path = list_path(place, &list.address);
    let body = html! {
        (facts(place, list))
        (report)
        @if place.may(ADD) {
            section.card {
                h2 { (place.say("list-add-members")) }
                (problems.summary(&place.say("form-see-below")))
                form method="post" action={ (path) "/members" } {
                    (layout::form_token(&place.visit))
                    (Field::new("addresses", place.say("list-field-members")).hint(place.say("list-field-members-hint"))
                        .value(typed).problem(problems).required().area(4))
                    div.actions { button.primary type="submit" { (place.say("list-add-members")) } }
                }
            }
        }
        (member_table(place, list, &members))
        @if place.may("account.v1.MailingListService/DeleteMailingList") {
            section.card {
                h2 { (place.say("list-remove")) }
                p { (place.say("list-remove-hint")) }
                div.actions { a.button.danger href={ (path) "/remove" } { (place.say("list-remove-this")) } }
            }
        }
    };
    Ok(place.page(&MENU, list.address.clone(), body))
}

fn facts(place: &Place, list: &MailingList) -> Markup {
    let path = list_path(place, &list.address);
    html! {
        section.card {
            dl.facts {
                @if !list.description.is_empty() {
                    dt { (place.say("list-field-description")) } dd { (list.description) }
                }
                dt { (place.say("list-members")) } dd { (place.visit.reader.number(list.member_count.into())) }
                dt { (place.say("list-field-posting")) } dd { (posting(place, list.posting())) }
                dt { (place.say("list-field-owner")) } dd { (list.owner) }
                @if !list.subject_prefix.is_empty() {
                    dt { (place.say("list-field-prefix")) } dd { code { (list.subject_prefix) } }
                }
                @if !list.listserv.is_empty() {
                    dt { (place.say("list-field-listserv")) } dd { (list.listserv) }
                }
            }
            div.actions { a.button href={ (path) "/settings" } { (place.say("list-settings")) } }
        }
    }
}

fn member_table(place: &Place, list: &MailingList, members: &ListListMembersResponse) -> Markup {
    let path = list_path(place, &list.address);
    let removal = layout::with_query(&place.visit, &format!("{path}/members/remove"), &KEPT);
    let may_remove = place.may("account.v1.MailingListService/RemoveListMembers");
    html! {
        section {
            h2 { (place.say("list-members")) }
            (finding::search(&place.visit, &path, &members.next_page_token))
            @if let Some(nothing) = finding::nothing(&place.visit).filter(|_| members.members.is_empty()) {
                (nothing)
            } @else if members.members.is_empty() {
                @if place.visit.query.get("page").is_empty() {
                    (layout::empty(&place.say("list-no-members"), &place.say("list-no-members-text"), None))
                }
            } @else {
                form method="post" action=(removal) {
                    (layout::form_token(&place.visit))
                    @if may_remove && members.members.len() > 1 { (ticks::links(&place.visit, &path, &KEPT)) }
                    table.list {
                        thead {
                            tr {
                                th scope="col" { (place.say("list-column-member")) }
                                th scope="col" { (place.say("list-column-origin")) }
                                th scope="col" { (place.say("list-column-since")) }
                                th scope="col" { (place.say("list-column-posts")) }
                            }
                        }
                        tbody { @for member in &members.members { (member_row(place, &path, member)) } }
                    }
                    @if may_remove {
                        div.actions { button.danger type="submit" { (place.say("list-remove-ticked")) } }
                    }
                }
            }
            (finding::paging(&place.visit, &path, &members.next_page_token))
        }
    }
}

fn member_row(place: &Place, path: &str, member: &ListMember) -> Markup {
    let origin = match member.origin() {
        MemberOrigin::Subscribed => place.say("list-origin-subscribed"),
        MemberOrigin::Added | MemberOrigin::Unspecified => place.say("list-origin-added"),
    };
    html! {
        tr {
            th scope="row" data-label=(place.say("list-column-member")) {
                label.choice {
                    input type="checkbox" name="member" value=(member.address) checked[ticks::are_set(&place.visit)];
                    (layout::address(&member.address))
                }
            }
            td data-label=(place.say("list-column-origin")) { (origin) }
            td data-label=(place.say("list-column-since")) {
                (place.visit.reader.moment_or(member.create_time.as_ref(), "–"))
            }
            td data-label=(place.say("list-column-posts")) { (posts(place, path, member)) }
        }
    }
}

/// Whether the member gets posts; who is suspended gets them again by a button.
fn posts(place: &Place, path: &str, member: &ListMember) -> Markup {
    html! {
        @match &member.suspend_time {
            None => span.badge.good { (place.say("list-posts-sent")) },
            Some(since) => {
                div.stack {
                    span.badge.bad { (place.say("list-posts-suspended")) }
                    small { (place.say("list-posts-why")) " " (place.visit.reader.moment(since)) }
                    @if place.may(ADD) {
                        div {
                            @let to = layout::with_query(&place.visit, &format!("{path}/members/resume"), &KEPT);
                            button type="submit" formaction=(to) name="resumed" value=(member.address) {
                                (place.say("list-posts-resume"))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Posts again for a member whose copies came back: adding the address again forgives what was.
pub(super) async fn resume(place: Place) -> Result<Response, Failure> {
    let list = editor::stored(&place).await?.address;
    let path = list_path(&place, &list);
    let member = place.visit.form.get("resumed").to_owned();
    let addresses = vec![member.clone()];
    let request = AddListMembersRequest { list, addresses, ..AddListMembersRequest::default() };
    place.calls().lists().add_list_members(request).await?;
    let here = layout::with_query(&place.visit, &path, &KEPT);
    Ok(place.visit.done(&here, &Said::new("list-posts-resumed").with("name", &member)))
}
