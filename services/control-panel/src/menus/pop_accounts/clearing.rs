//! Emptying a box: begun, watched, and taken back. A large one takes its time, and the page of its course tells how far it is.

use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use postern_proto::delivery::v1::{
    ClearBoxRequest, ClearScope, Clearing, ClearingState, ListClearingsRequest, RestoreBoxRequest,
};

use super::{
    MENU,
    account::{self, Known},
    box_path,
};
use crate::{
    call::Failure,
    layout::{self, button, looking_again, said::Said},
    place::Place,
};

/// Emptying the box, and what was taken out of it before.
pub(super) fn card(place: &Place, known: &Known) -> Markup {
    let reader = &place.visit.reader;
    let path = box_path(place, &known.mailbox.login);
    html! {
        section.card {
            h2 { (place.say("pop-clear")) }
            p { (place.say("pop-clear-hint")) }
            @if !known.clearings.is_empty() {
                ul.plain {
                    @for clearing in &known.clearings {
                        @let id = clearing.clearing_id.to_string();
                        li.row {
                            span {
                                (reader.count("pop-message-count", clearing.message_count)) ", "
                                (reader.size(clearing.bytes)) ", "
                                (reader.moment_or(clearing.clear_time.as_ref(), "–"))
                            }
                            @if clearing.state() == ClearingState::Running {
                                a.button href={ (path) "/clear/" (id) } { (place.say("import-running")) }
                            } @else {
                                (button(&place.visit, &format!("{path}/bring-back"), &place.say("pop-bring-back"), "",
                                    &[("clearing-id", &id)]))
                            }
                        }
                    }
                }
            }
            div.actions { a.button href={ (path) "/clear" } { (place.say("pop-clear-this")) } }
        }
    }
}

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let path = box_path(&place, &mailbox.login);
    let body = html! {
        div.card.danger {
            p { (place.visit.name("pop-clear-ask", &mailbox.login)) }
            p { (place.say("pop-clear-hint")) }
            form method="post" action={ (path) "/clear" } {
                (layout::form_token(&place.visit))
                div.actions {
                    button.danger type="submit" name="scope" value="all" { (place.say("pop-clear-all")) }
                    button type="submit" name="scope" value="damaged" { (place.say("pop-clear-damaged")) }
                    a.button href=(path) { (place.say("form-cancel")) }
                }
            }
        }
    };
    let crumbs = vec![(mailbox.login.clone(), path.clone())];
    Ok(place.page_below(&MENU, crumbs, place.say("pop-clear"), body))
}

pub(super) async fn clear(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let scope = match place.visit.form.get("scope") {
        "all" => ClearScope::All,
        "damaged" => ClearScope::Damaged,
        _ => return Err(Failure::BadForm),
    };
    let request = ClearBoxRequest {
        mailbox_id: mailbox.mailbox_id,
        scope: scope.into(),
        in_background: true,
        ..ClearBoxRequest::default()
    };
    let cleared = place.calls().boxes().clear_box(request).await?.into_inner();
    let to = format!("{}/clear/{}", box_path(&place, &mailbox.login), cleared.clearing_id);
    Ok(Redirect::to(&to).into_response())
}

/// The page of one clearing: how far it is while it runs, and what became of it.
pub(super) async fn course(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let request = ListClearingsRequest { mailbox_id: mailbox.mailbox_id, with_empty: true };
    let all = place.calls().boxes().list_clearings(request).await?.into_inner().clearings;
    let wanted = place.param("id").parse::<i64>().map_err(|_| Failure::NotFound)?;
    let clearing = all.iter().find(|clearing| clearing.clearing_id == wanted).ok_or(Failure::NotFound)?;
    let path = box_path(&place, &mailbox.login);
    let crumbs = vec![(mailbox.login.clone(), path.clone())];
    let response = place.page_below(&MENU, crumbs, place.say("pop-clear"), shown(&place, &path, clearing));
    Ok(match clearing.state() {
        ClearingState::Running => looking_again(response),
        _ => response,
    })
}

fn shown(place: &Place, path: &str, clearing: &Clearing) -> Markup {
    let reader = &place.visit.reader;
    let count = reader.count("pop-message-count", clearing.cleared_count);
    let taken = || place.visit.texts().fill("pop-cleared", &[("count", count.clone().into())]);
    let (class, text) = match clearing.state() {
        ClearingState::Running => ("notice", place.say("pop-clearing-text")),
        ClearingState::Done | ClearingState::Unspecified => ("notice good", taken()),
        ClearingState::Stopped => ("notice bad", place.say("pop-clearing-stopped")),
    };
    html! {
        div class=(class) role="status" { p { (text) } }
        section.card {
            @if clearing.state() == ClearingState::Running {
                p {
                    label for="looked-at" { (place.say("import-progress")) } " "
                    progress #looked-at max=(clearing.total_count.max(1)) value=(clearing.checked_count) {}
                }
            }
            dl.facts {
                dt { (place.say("import-column-begin")) } dd { (reader.moment_or(clearing.clear_time.as_ref(), "–")) }
                dt { (place.say("pop-clearing-looked-at")) } dd { (reader.number(clearing.checked_count)) }
                dt { (place.say("pop-clearing-taken")) } dd { (reader.number(clearing.cleared_count)) }
                @if let Some(until) = clearing.restorable_until_time.as_ref().filter(|_| clearing.message_count > 0) {
                    dt { (place.say("pop-column-until")) } dd { (reader.moment(until)) }
                }
            }
            div.actions {
                @if clearing.message_count > 0 && clearing.state() != ClearingState::Running {
                    (button(&place.visit, &format!("{path}/bring-back"), &place.say("pop-bring-back"), "",
                        &[("clearing-id", &clearing.clearing_id.to_string())]))
                }
                a.button href=(path) { (place.say("import-to-box")) }
            }
        }
    }
}

pub(super) async fn bring_back(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let clearing_id = place.visit.form.get("clearing-id").parse::<i64>().ok().filter(|id| *id > 0);
    let clearing_id = clearing_id.ok_or(Failure::BadForm)?;
    let request = RestoreBoxRequest { mailbox_id: mailbox.mailbox_id, clearing_id };
    let restored = place.calls().boxes().restore_box(request).await?.into_inner();
    let count = place.visit.reader.count("pop-message-count", restored.restored_count);
    let said = Said::new("pop-brought-back").with("count", &count);
    Ok(place.visit.done(&box_path(&place, &mailbox.login), &said))
}
