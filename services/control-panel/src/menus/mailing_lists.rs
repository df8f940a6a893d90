//! Mailing lists: one address, many members.

mod addition;
mod editor;
mod members;

use std::sync::Arc;

use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};
use postern_proto::account::v1::{ListMailingListsRequest, ListPosting, MailingList};

use super::Menu;
use crate::{
    Panel,
    call::Failure,
    layout::{self, finding},
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "mailing-lists", title: "list-title", icon: "list", guide, for_mailbox_users: false };

/// Lists on one page.
const PAGE_SIZE: i32 = 50;

pub(super) fn routes() -> Router<Arc<Panel>> {
    const LIST: &str = "/controlpanel/{domain}/mailing-lists/of/{name}";
    let below = |path: &str| format!("{LIST}/{path}");
    Router::new()
        .route("/controlpanel/{domain}/mailing-lists", get(list))
        .route("/controlpanel/{domain}/mailing-lists/new", get(editor::new_page).post(editor::create))
        .route("/controlpanel/{domain}/mailing-lists/restore", post(editor::restore))
        .route(LIST, get(members::page))
        .route(&below("settings"), get(editor::page).post(editor::change))
        .route(&below("members"), post(addition::add))
        .route(&below("members/added/{id}"), get(addition::page))
        .route(&below("members/remove"), post(members::remove))
        .route(&below("members/restore"), post(members::restore))
        .route(&below("members/resume"), post(members::resume))
        .route(&below("remove"), get(editor::remove_page).post(editor::remove))
}

async fn list(place: Place) -> Result<Response, Failure> {
    let request = ListMailingListsRequest {
        domain: place.name().to_owned(),
        page_size: PAGE_SIZE,
        page_token: place.visit.query.get("page").to_owned(),
        prefix: finding::asked(&place.visit),
    };
    let page = place.calls().lists().list_mailing_lists(request).await?.into_inner();
    let (new, new_text) = (place.path(&MENU, &["new"]), place.say("list-new"));
    let empty_text = place.visit.name("list-empty-text", place.name());
    let may_make = place.may("account.v1.MailingListService/CreateMailingList");
    let body = html! {
        p.lead { (place.say("list-lead")) }
        (finding::search(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
        @if !page.lists.is_empty() {
            @if may_make { div.actions { a.button.primary href=(new) { (new_text) } } }
            (table(&place, &page.lists))
        } @else if let Some(nothing) = finding::nothing(&place.visit) {
            (nothing)
        } @else {
            (layout::empty(&place.say("list-empty"), &empty_text, may_make.then_some((&*new, &*new_text))))
        }
        (finding::paging(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
    };
    Ok(place.page(&MENU, place.say(MENU.title), body))
}

fn table(place: &Place, lists: &[MailingList]) -> Markup {
    let reader = &place.visit.reader;
    html! {
        table.list {
            thead {
                tr {
                    th scope="col" { (place.say("list-column-address")) }
                    th scope="col" { (place.say("list-field-description")) }
                    th scope="col" { (place.say("list-field-posting")) }
                    th.number scope="col" { (place.say("list-members")) }
                }
            }
            tbody {
                @for list in lists {
                    tr {
                        th scope="row" data-label=(place.say("list-column-address")) {
                            a href=(list_path(place, &list.address)) { (layout::address(&list.address)) }
                        }
                        td data-label=(place.say("list-field-description")) { (list.description) }
                        td data-label=(place.say("list-field-posting")) {
                            @if list.listserv.is_empty() { (posting(place, list.posting())) }
                            @else { (place.say("list-served-elsewhere")) }
                        }
                        td.number data-label=(place.say("list-members")) { (reader.number(list.member_count.into())) }
                    }
                }
            }
        }
    }
}

/// Who may post, in a word.
fn posting(place: &Place, posting: ListPosting) -> String {
    match posting {
        ListPosting::Anyone => place.say("list-posting-anyone"),
        ListPosting::Owner => place.say("list-posting-owner"),
        ListPosting::Members | ListPosting::Unspecified => place.say("list-posting-members"),
    }
}

/// Address of the page of one list.
fn list_path(place: &Place, address: &str) -> String {
    place.path(&MENU, &["of", address])
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    html! {
        p { (visit.name("list-guide", place.name())) }
        dl {
            dt { (place.say("list-guide-commands")) } dd { (commands(place)) }
            dt { (place.say("list-field-posting")) } dd { (place.say("list-guide-posting")) }
            dt { (place.say("list-field-replies")) } dd { (place.say("list-guide-replies")) }
            dt { (place.say("list-guide-leaving")) } dd { (visit.name("list-guide-leaving-text", place.name())) }
            dt { (place.say("list-field-listserv")) } dd { (place.say("list-guide-listserv")) }
        }
    }
}

/// The addresses of a list, by an example.
fn commands(place: &Place) -> Markup {
    let name = place.say("list-guide-example");
    let line = |command: &str, text| {
        let address = format!("{name}{command}@{}", place.name());
        html! { br; code { (layout::address(&address)) } " " (place.say(text)) }
    };
    html! {
        (place.visit.name("list-guide-commands-text", &format!("{name}@{}", place.name())))
        (line("-subscribe", "list-guide-joins"))
        (line("-unsubscribe", "list-guide-leaves"))
        (line("-owner", "list-guide-owner"))
    }
}
