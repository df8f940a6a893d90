//! Autoresponders: an answer by itself, as when somebody is away.

mod editor;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use jiff::Timestamp;
use maud::{Markup, html};
use postern_proto::account::v1::{Autoresponder, ListAutorespondersRequest};

use super::Menu;
use crate::{
    Panel,
    call::Failure,
    layout::{self, finding},
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "autoresponders", title: "answer-title", icon: "answer", guide, for_mailbox_users: true };

/// Autoresponders on one page.
const PAGE_SIZE: i32 = 50;

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .route("/controlpanel/{domain}/autoresponders", get(list))
        .route("/controlpanel/{domain}/autoresponders/new", get(editor::new_page).post(editor::create))
        .route("/controlpanel/{domain}/autoresponders/restore", post(editor::restore))
        .route("/controlpanel/{domain}/autoresponders/of/{name}", get(editor::page).post(editor::change))
        .route("/controlpanel/{domain}/autoresponders/of/{name}/remove", post(editor::remove))
}

async fn list(place: Place) -> Result<Response, Failure> {
    if place.person.is_mailbox_user() {
        // The user of one box has that of its address.
        return Ok(Redirect::to(&answer_path(&place, &place.person.caller.subject)).into_response());
    }
    let request = ListAutorespondersRequest {
        domain: place.name().to_owned(),
        page_size: PAGE_SIZE,
        page_token: place.visit.query.get("page").to_owned(),
        prefix: finding::asked(&place.visit),
    };
    let page = place.calls().autoresponders().list_autoresponders(request).await?.into_inner();
    let (new, new_text) = (place.path(&MENU, &["new"]), place.say("answer-new"));
    let empty_text = place.visit.name("answer-empty-text", place.name());
    let may_make = place.may("account.v1.AutoresponderService/UpdateAutoresponder");
    let body = html! {
        p.lead { (place.say("answer-lead")) }
        (finding::search(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
        @if !page.autoresponders.is_empty() {
            @if may_make { div.actions { a.button.primary href=(new) { (new_text) } } }
            (table(&place, &page.autoresponders))
        } @else if let Some(nothing) = finding::nothing(&place.visit) {
            (nothing)
        } @else {
            (layout::empty(&place.say("answer-empty"), &empty_text, may_make.then_some((&*new, &*new_text))))
        }
        (finding::paging(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
    };
    Ok(place.page(&MENU, place.say(MENU.title), body))
}

fn table(place: &Place, answers: &[Autoresponder]) -> Markup {
    let reader = &place.visit.reader;
    html! {
        table.list {
            thead {
                tr {
                    th scope="col" { (place.say("answer-column-address")) }
                    th scope="col" { (place.say("answer-field-subject")) }
                    th scope="col" { (place.say("answer-column-until")) }
                    th scope="col" { (place.say("answer-column-state")) }
                }
            }
            tbody {
                @for answer in answers {
                    tr {
                        th scope="row" data-label=(place.say("answer-column-address")) {
                            a href=(answer_path(place, &answer.address)) { (layout::address(&answer.address)) }
                        }
                        td data-label=(place.say("answer-field-subject")) { (answer.subject) }
                        td data-label=(place.say("answer-column-until")) {
                            (reader.moment_or(answer.end_time.as_ref(), &place.say("answer-no-end")))
                        }
                        td data-label=(place.say("answer-column-state")) { (state(place, answer)) }
                    }
                }
            }
        }
    }
}

/// Whether it answers now.
fn state(place: &Place, answer: &Autoresponder) -> Markup {
    let now = Timestamp::now().as_second();
    let early = answer.start_time.as_ref().is_some_and(|start| start.seconds > now);
    let over = answer.end_time.as_ref().is_some_and(|end| end.seconds <= now);
    html! {
        @if early { span.badge.warn { (place.say("answer-state-waits")) } }
        @else if over { span.badge { (place.say("answer-state-over")) } }
        @else { span.badge.good { (place.say("answer-state-answers")) } }
    }
}

/// Address of the page of one autoresponder.
fn answer_path(place: &Place, address: &str) -> String {
    place.path(&MENU, &["of", address])
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    html! {
        p { (visit.name("answer-guide", place.name())) }
        dl {
            dt { (place.say("answer-guide-alone")) } dd { (visit.name("answer-guide-alone-text", place.name())) }
            dt { (place.say("answer-guide-once")) } dd { (place.say("answer-guide-once-text")) }
            dt { (place.say("answer-guide-words")) }
            dd {
                code { "{sender}" } " " (place.say("answer-guide-sender")) br;
                code { "{subject}" } " " (place.say("answer-guide-subject")) br;
                code { "{date}" } " " (place.say("answer-guide-date"))
            }
        }
    }
}
