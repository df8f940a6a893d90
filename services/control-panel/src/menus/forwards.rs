//! Forwards: one address that leads to others. One with a target in the house is an alias.

mod editor;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use postern_proto::account::v1::{Forward, ListForwardsRequest};

use super::Menu;
use crate::{
    Panel,
    call::Failure,
    layout::{self, finding},
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "forwards", title: "forward-title", icon: "forward", guide, for_mailbox_users: true };

/// Forwards on one page.
const PAGE_SIZE: i32 = 50;
/// Targets that the list shows of each.
const TARGETS_SHOWN: usize = 3;

pub(super) fn routes() -> Router<Arc<Panel>> {
    const FORWARD: &str = "/controlpanel/{domain}/forwards/of/{name}";
    Router::new()
        .route("/controlpanel/{domain}/forwards", get(list))
        .route("/controlpanel/{domain}/forwards/new", get(editor::new_page).post(editor::create))
        .route(FORWARD, get(editor::page).post(editor::change))
        .route("/controlpanel/{domain}/forwards/of/{name}/remove", post(editor::remove))
        .route("/controlpanel/{domain}/forwards/restore", post(editor::restore))
}

async fn list(place: Place) -> Result<Response, Failure> {
    if place.person.is_mailbox_user() {
        // The user of one box has the forward of its address.
        return Ok(Redirect::to(&forward_path(&place, &place.person.caller.subject)).into_response());
    }
    let request = ListForwardsRequest {
        domain: place.name().to_owned(),
        page_size: PAGE_SIZE,
        page_token: place.visit.query.get("page").to_owned(),
        prefix: finding::asked(&place.visit),
    };
    let page = place.calls().forwards().list_forwards(request).await?.into_inner();
    let new = place.path(&MENU, &["new"]);
    let may_make = place.may("account.v1.ForwardService/CreateForward");
    let new_text = place.say("forward-new");
    let empty_text = place.visit.name("forward-empty-text", place.name());
    let body = html! {
        p.lead { (place.say("forward-lead")) }
        (finding::search(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
        @if !page.forwards.is_empty() {
            @if may_make { div.actions { a.button.primary href=(new) { (new_text) } } }
            (table(&place, &page.forwards))
        } @else if let Some(nothing) = finding::nothing(&place.visit) {
            (nothing)
        } @else {
            (layout::empty(&place.say("forward-empty"), &empty_text, may_make.then_some((&*new, &*new_text))))
        }
        (finding::paging(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
    };
    Ok(place.page(&MENU, place.say(MENU.title), body))
}

fn table(place: &Place, forwards: &[Forward]) -> Markup {
    let reader = &place.visit.reader;
    html! {
        table.list {
            thead {
                tr {
                    th scope="col" { (place.say("forward-column-address")) }
                    th scope="col" { (place.say("forward-column-targets")) }
                    th scope="col" { (place.say("forward-column-kind")) }
                    th scope="col" { (place.say("forward-column-changed")) }
                }
            }
            tbody {
                @for forward in forwards {
                    tr {
                        th scope="row" data-label=(place.say("forward-column-address")) {
                            a href=(forward_path(place, &forward.address)) { (layout::address(&forward.address)) }
                        }
                        td data-label=(place.say("forward-column-targets")) {
                            span.stack {
                                @for target in forward.targets.iter().take(TARGETS_SHOWN) { span { (layout::address(target)) } }
                                @if forward.targets.len() > TARGETS_SHOWN {
                                    span.soft { (reader.count("forward-more", more(forward))) }
                                }
                            }
                        }
                        td data-label=(place.say("forward-column-kind")) { (kind(place, forward)) }
                        td data-label=(place.say("forward-column-changed")) {
                            (reader.moment_or(forward.update_time.as_ref(), "–"))
                        }
                    }
                }
            }
        }
    }
}

fn more(forward: &Forward) -> i64 {
    i64::try_from(forward.targets.len() - TARGETS_SHOWN).unwrap_or(i64::MAX)
}

/// Alias or forward: whether a target is outside, as far as can be said here: of many own domains only the first are known.
fn kind(place: &Place, forward: &Forward) -> Markup {
    let inside = |target: &String| {
        target.rsplit_once('@').is_some_and(|(_, domain)| place.domains.iter().any(|own| own.name == domain))
    };
    let kind = if forward.targets.iter().all(inside) { "forward-kind-alias" } else { "forward-kind-forward" };
    html! {
        span.badges {
            span.badge { (place.say(kind)) }
            @if forward.keep_copy { span.badge { (place.say("forward-kind-copy")) } }
        }
    }
}

/// Address of the page of one forward.
fn forward_path(place: &Place, address: &str) -> String {
    place.path(&MENU, &["of", address])
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    html! {
        p { (visit.name("forward-guide", place.name())) }
        dl {
            dt { (place.say("forward-kind-alias")) } dd { (visit.name("forward-guide-alias", place.name())) }
            dt { (place.say("forward-kind-forward")) } dd { (visit.name("forward-guide-forward", place.name())) }
            dt { (place.say("forward-kind-copy")) } dd { (place.say("forward-guide-copy")) }
            dt { (place.say("forward-guide-ring")) } dd { (place.say("forward-guide-ring-text")) }
        }
    }
}
