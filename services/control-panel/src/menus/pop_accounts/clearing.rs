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
    course::{Course, Progress, State},
    layout::{self, button, said::Said},
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
                        li.row {
                            span {
                                (reader.count("pop-message-count", clearing.message_count)) ", "
                                (reader.size(clearing.bytes)) ", "
                                (reader.moment_or(clearing.clear_time.as_ref(), "–"))
                            }
                            @if state(clearing) == State::Running {
                                a.button href={ (path) "/clear/" (clearing.clearing_id) } { (place.say("course-running")) }
                            } @else {
                                (back_button(place, &path, clearing))
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

/// The page of one clearing: how far it is, what became of it, and the way back.
pub(super) async fn course(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let request = ListClearingsRequest { mailbox_id: mailbox.mailbox_id, with_empty: true };
    let all = place.calls().boxes().list_clearings(request).await?.into_inner().clearings;
    let wanted = place.param("id").parse::<i64>().map_err(|_| Failure::NotFound)?;
    let clearing = all.iter().find(|clearing| clearing.clearing_id == wanted).ok_or(Failure::NotFound)?;
    let path = box_path(&place, &mailbox.login);
    let reader = &place.visit.reader;
    let state = state(clearing);
    let verdict = if state == State::Stopped {
        place.say("pop-clearing-stopped")
    } else {
        let count = reader.count("pop-message-count", clearing.cleared_count);
        place.visit.texts().fill("pop-cleared", &[("count", count.into())])
    };
    let can_come_back = state != State::Running && clearing.message_count > 0;
    let mut facts = vec![
        (place.say("pop-clearing-looked-at"), reader.number(clearing.checked_count)),
        (place.say("pop-clearing-taken"), reader.number(clearing.cleared_count)),
    ];
    if let Some(until) = clearing.restorable_until_time.as_ref().filter(|_| clearing.message_count > 0) {
        facts.push((place.say("pop-column-until"), reader.moment_text(until)));
    }
    let course = Course {
        state,
        progress: Progress::Pieces(clearing.checked_count, clearing.total_count),
        verdict,
        begun: clearing.clear_time.as_ref(),
        ended: None,
        facts,
        left_out: html! {},
        actions: html! {
            @if can_come_back { (back_button(&place, &path, clearing)) }
            a.button href=(path) { (place.say("import-to-box")) }
        },
    };
    let crumbs = vec![(mailbox.login.clone(), path.clone())];
    Ok(course.page(&place, &MENU, crumbs, place.say("pop-clear")))
}

fn state(clearing: &Clearing) -> State {
    match clearing.state() {
        ClearingState::Running => State::Running,
        ClearingState::Done | ClearingState::Unspecified => State::Done,
        ClearingState::Stopped => State::Stopped,
    }
}

/// Brings back what this clearing took out.
fn back_button(place: &Place, path: &str, clearing: &Clearing) -> Markup {
    let id = clearing.clearing_id.to_string();
    button(
        &place.visit,
        &format!("{path}/bring-back"),
        &place.say("pop-bring-back"),
        "",
        &[("clearing-id", &id)],
    )
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
