//! Mail programs: a page for each box with the settings to copy, and the ways in which programs and phones set themselves up.

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use maud::{Markup, html};
use postern_proto::account::v1::ListMailboxesRequest;

use super::{Menu, pop_accounts};
use crate::{
    Panel,
    call::Failure,
    layout::{self, finding},
    mail_program::{self, Sending},
    place::Place,
    programs::page,
};

pub(crate) static MENU: Menu =
    Menu { name: "set-up", title: "setup-title", icon: "program", guide, for_mailbox_users: true };

/// Boxes on one page.
const PAGE_SIZE: i32 = 50;

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .route("/controlpanel/{domain}/set-up", get(list))
        .route("/controlpanel/{domain}/set-up/box/{name}", get(one))
}

async fn list(place: Place) -> Result<Response, Failure> {
    if place.person.is_mailbox_user() {
        let own = place.path(&MENU, &["box", &place.person.caller.subject]);
        return Ok(Redirect::to(&own).into_response());
    }
    let request = ListMailboxesRequest {
        domain: place.name().to_owned(),
        page_size: PAGE_SIZE,
        page_token: place.visit.query.get("page").to_owned(),
        prefix: finding::asked(&place.visit),
    };
    let page = place.calls().mailboxes().list_mailboxes(request).await?.into_inner();
    let body = html! {
        p.lead { (place.visit.name("setup-lead", place.name())) }
        (mail_program::cards(&place.visit, place.name(), None))
        section {
            h2 { (place.say("setup-boxes")) }
            (finding::search(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
            @if let Some(nothing) = finding::nothing(&place.visit).filter(|_| page.mailboxes.is_empty()) { (nothing) }
            ul.tiles {
                @for mailbox in &page.mailboxes {
                    li {
                        a.card href=(place.path(&MENU, &["box", &mailbox.login])) {
                            (layout::icon("program")) strong { (layout::address(&mailbox.login)) }
                            @if mailbox.default_box {
                                small { (place.say("pop-default-box")) }
                            } @else if !mailbox.display_name.is_empty() {
                                small { (mailbox.display_name) }
                            }
                        }
                    }
                }
            }
            (finding::paging(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
        }
        (mail_program::rule(&place.visit, place.name(), Sending::at(&place)))
    };
    Ok(place.page(&MENU, place.say(MENU.title), body))
}

async fn one(place: Place) -> Result<Response, Failure> {
    let login = pop_accounts::mailbox(&place).await?.login;
    let visit = &place.visit;
    let body = html! {
        p.lead { (visit.name("setup-box-lead", &login)) }
        (mail_program::cards(visit, place.name(), Some(&login)))
        // The files are for addresses; the default box has a login without one.
        @if login.contains('@') {
            (page::by_itself(visit, &login))
            (page::for_phone(visit, place.name(), &login))
        }
        (mail_program::rule(visit, place.name(), Sending::at(&place)))
    };
    Ok(place.page(&MENU, visit.name("setup-heading", &login), body))
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    let host = format!("mail.{}", place.name());
    html! {
        p { (visit.name("setup-guide", place.name())) }
        dl {
            dt { (place.say("program-server")) } dd { (visit.name("setup-guide-server", &host)) }
            dt { "Thunderbird" }
            dd { (visit.name("setup-guide-thunderbird", &format!("autoconfig.{}", place.name()))) }
            dt { "Outlook" } dd { (visit.name("setup-guide-outlook", &format!("autodiscover.{}", place.name()))) }
            dt { "iPhone, iPad, Mac" } dd { (visit.name("setup-guide-apple", &host)) }
            dt { (place.say("program-password")) } dd { (place.say("setup-guide-password")) }
        }
    }
}
