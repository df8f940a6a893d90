//! POP accounts: the boxes of a domain, how full they are, and a new one.

mod account;
mod app_passwords;
mod changes;
mod clearing;
mod creation;
mod growth;
mod history;
mod import;
mod removal;
mod session;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use maud::{Markup, html};
use postern_proto::account::v1::{
    ActivityState, ListMailboxesRequest, ListRemovedMailboxesRequest, ListRemovedMailboxesResponse, Mailbox,
    RemovedMailbox,
};

pub(super) use self::account::mailbox;
pub(crate) use self::import::places::Places as Imports;
use super::Menu;
use crate::{
    Panel,
    call::Failure,
    layout::{self, finding},
    mail_program::Sending,
    place::{Place, segment},
};

pub(crate) static MENU: Menu =
    Menu { name: "pop-accounts", title: "pop-title", icon: "box", guide, for_mailbox_users: true };

/// Boxes on one page.
const PAGE_SIZE: i32 = 50;
/// Removed boxes that are shown below the list at once.
const REMOVED_SHOWN: i32 = 20;
/// Page of the removed ones, in addresses.
const REMOVED_PAGE: &str = "removed";

/// A box in addresses.
const BOX: &str = "/controlpanel/{domain}/pop-accounts/box/{name}";

/// What takes a file.
pub(super) fn uploads() -> Router<Arc<Panel>> {
    Router::new().route(&format!("{BOX}/import"), post(import::take))
}

pub(super) fn routes() -> Router<Arc<Panel>> {
    let below = |path: &str| format!("{BOX}/{path}");
    Router::new()
        .route("/controlpanel/{domain}/pop-accounts", get(list))
        .route("/controlpanel/{domain}/pop-accounts/new", get(creation::page).post(creation::create))
        .route("/controlpanel/{domain}/pop-accounts/restore", post(removal::restore))
        .route(BOX, get(account::page))
        .route(&below("settings"), post(changes::settings))
        .route(&below("password"), post(changes::password))
        .route(&below("remove"), get(removal::page).post(removal::remove))
        .route(&below("app-passwords"), get(app_passwords::page).post(app_passwords::create))
        .route(&below("app-passwords/remove"), post(app_passwords::remove))
        .route(&below("second-factor"), post(history::reset))
        .route(&below("release"), post(session::release))
        .route(&below("import"), get(import::page))
        .route(&below("import/{id}"), get(import::course))
        .route(&below("revoke"), post(session::revoke))
        .route(&below("clear"), get(clearing::page).post(clearing::clear))
        .route(&below("clear/{id}"), get(clearing::course))
        .route(&below("bring-back"), post(clearing::bring_back))
}

async fn list(place: Place) -> Result<Response, Failure> {
    if place.person.is_mailbox_user() {
        // The user of one box has that one.
        return Ok(Redirect::to(&box_path(&place, &place.person.caller.subject)).into_response());
    }
    let (mut boxes, mut removed) = (place.calls().mailboxes(), place.calls().mailboxes());
    let (page, removed) = tokio::join!(
        boxes.list_mailboxes(ListMailboxesRequest {
            domain: place.name().to_owned(),
            page_size: PAGE_SIZE,
            page_token: place.visit.query.get("page").to_owned(),
            prefix: finding::asked(&place.visit),
        }),
        removed.list_removed_mailboxes(ListRemovedMailboxesRequest {
            domain: place.name().to_owned(),
            page_size: REMOVED_SHOWN,
            page_token: place.visit.query.get(REMOVED_PAGE).to_owned(),
            ..ListRemovedMailboxesRequest::default()
        }),
    );
    let (page, removed) = (page?.into_inner(), removed?.into_inner());
    let own = page.mailboxes.iter().filter(|mailbox| !mailbox.default_box).count();
    let first_page = place.visit.query.get("page").is_empty();
    let new = place.path(&MENU, &["new"]);
    let body = html! {
        p.lead { (place.visit.name("pop-lead", place.name())) }
        @if place.may("account.v1.MailboxService/CreateMailbox") {
            div.actions { a.button.primary href=(new) { (place.say("pop-new")) } }
        }
        (finding::search(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
        @if !page.mailboxes.is_empty() { (table(&place, &page.mailboxes)) }
        @if let Some(nothing) = finding::nothing(&place.visit).filter(|_| page.mailboxes.is_empty()) {
            (nothing)
        } @else if own == 0 && first_page && finding::asked(&place.visit).is_empty() {
            (layout::empty(&place.say("pop-empty"), &place.visit.name("pop-empty-text", place.name()), None))
        }
        (finding::paging(&place.visit, &place.path(&MENU, &[]), &page.next_page_token))
        (removed_table(&place, &removed))
    };
    Ok(place.page(&MENU, place.say(MENU.title), body))
}

fn table(place: &Place, boxes: &[Mailbox]) -> Markup {
    html! {
        table.list {
            thead {
                tr {
                    th scope="col" { (place.say("pop-column-login")) }
                    th scope="col" { (place.say("pop-column-name")) }
                    th scope="col" { (place.say("pop-column-use")) }
                    th scope="col" { (place.say("pop-column-state")) }
                }
            }
            tbody {
                @for mailbox in boxes {
                    tr {
                        th scope="row" data-label=(place.say("pop-column-login")) {
                            a href=(box_path(place, &mailbox.login)) { (layout::address(&mailbox.login)) }
                        }
                        td data-label=(place.say("pop-column-name")) {
                            @if mailbox.default_box { (place.say("pop-default-box")) } @else { (mailbox.display_name) }
                        }
                        td data-label=(place.say("pop-column-use")) {
                            (layout::meter(&place.visit, mailbox.used_bytes, mailbox.effective_quota_bytes))
                        }
                        td data-label=(place.say("pop-column-state")) { (state(place, mailbox)) }
                    }
                }
            }
        }
    }
}

fn state(place: &Place, mailbox: &Mailbox) -> Markup {
    html! {
        @if mailbox.state() == ActivityState::Suspended {
            span.badge.bad { (place.say("pop-state-suspended")) }
        } @else if mailbox.full {
            span.badge.bad { (place.say("pop-state-full")) }
        } @else {
            span.badge.good { (place.say("pop-state-active")) }
        }
    }
}

/// Those that can come back, by pages of their own below the list.
fn removed_table(place: &Place, removed: &ListRemovedMailboxesResponse) -> Markup {
    let later = !place.visit.query.get(REMOVED_PAGE).is_empty();
    let begin = layout::with_query(&place.visit, &place.path(&MENU, &[]), &[finding::FIELD, "page"]);
    let and = if begin.contains('?') { '&' } else { '?' };
    let next = &removed.next_page_token;
    html! {
        @if later || !removed.mailboxes.is_empty() {
            section #removed {
                h2 { (place.say("pop-removed")) }
                p { (place.say("pop-removed-text")) }
                table.list {
                    thead {
                        tr {
                            th scope="col" { (place.say("pop-column-login")) }
                            th scope="col" { (place.say("pop-column-removed")) }
                            th scope="col" { (place.say("pop-column-until")) }
                            th scope="col" { (place.say("layout-action")) }
                        }
                    }
                    tbody {
                        @for mailbox in &removed.mailboxes { (removed_row(place, mailbox)) }
                    }
                }
                @if later || !next.is_empty() {
                    nav.paging aria-label=(place.say("pop-removed")) {
                        @if later { a.button href={ (begin) "#removed" } { (place.say("layout-first-page")) } }
                        @if !next.is_empty() {
                            a.button href={ (begin) (and) (REMOVED_PAGE) "=" (segment(next)) "#removed" } { (place.say("pop-removed-more")) }
                        }
                    }
                }
            }
        }
    }
}

fn removed_row(place: &Place, mailbox: &RemovedMailbox) -> Markup {
    let reader = &place.visit.reader;
    let id = mailbox.mailbox_id.to_string();
    html! {
        tr {
            th scope="row" data-label=(place.say("pop-column-login")) { (layout::address(&mailbox.address)) }
            td data-label=(place.say("pop-column-removed")) { (reader.moment_or(mailbox.remove_time.as_ref(), "–")) }
            td data-label=(place.say("pop-column-until")) {
                (reader.moment_or(mailbox.restorable_until_time.as_ref(), "–"))
            }
            td data-label=(place.say("layout-action")) {
                @if place.may("account.v1.MailboxService/RestoreMailbox") {
                    (layout::button(
                        &place.visit, &place.path(&MENU, &["restore"]), &place.say("pop-restore"), "",
                        &[("address", &mailbox.address), ("mailbox-id", &id)],
                    ))
                }
            }
        }
    }
}

/// Address of the page of one box.
fn box_path(place: &Place, login: &str) -> String {
    place.path(&MENU, &["box", login])
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    let host = format!("mail.{}", place.name());
    html! {
        p { (visit.name("pop-guide", place.name())) }
        dl {
            dt { (place.say("pop-guide-login")) } dd { (visit.name("pop-guide-login-text", place.name())) }
            dt { (place.say("pop-guide-server")) } dd { (visit.name("pop-guide-server-text", &host)) }
            dt { (place.say("pop-guide-send")) }
            dd { (Sending::at(place).told(visit, "pop-guide-send-text", &host)) }
            dt { (place.say("app-title")) } dd { (visit.name("app-guide-text", &host)) }
            dt { (place.say("pop-guide-use")) } dd { (place.say("pop-guide-use-text")) }
            dt { (place.say("pop-guide-remove")) } dd { (place.say("pop-guide-remove-text")) }
        }
    }
}
