//! One box: what it is, what it holds, who is using it, and what can be done to it.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    account::v1::{GetMailboxRequest, GetSecondFactorRequest, Mailbox, MailboxDay},
    auth::v1::{GetLoginHistoryRequest, GetLoginHistoryResponse, Grant, ListGrantsRequest},
    delivery::v1::{Box as MailBox, Clearing, GetBoxRequest, GetLockRequest, ListClearingsRequest, Lock},
};

use super::{MENU, box_path, changes, clearing, growth, history, import, session, state};
use crate::{
    call::{Failure, found},
    form::{Form, Problems},
    layout, mail_program,
    place::Place,
};

/// What the services know of one box. A part that is away leaves its place empty; the rest of the page stands.
pub(super) struct Known {
    pub(super) mailbox: Mailbox,
    pub(super) content: Option<MailBox>,
    /// `Ok(None)`: nobody has it open.
    pub(super) lock: Result<Option<Lock>, Failure>,
    pub(super) grants: Result<Vec<Grant>, Failure>,
    pub(super) clearings: Vec<Clearing>,
    pub(super) history: Option<GetLoginHistoryResponse>,
    /// That of its user is on; that of a default box is its customer's.
    pub(super) second_factor: bool,
    /// What it held day by day.
    days: Vec<MailboxDay>,
}

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let known = known(&place).await?;
    Ok(show(&place, &known, None, &Problems::none()))
}

/// The page after a form that was not taken: with what was typed, and what there is now.
pub(super) async fn show_again(place: &Place, form: &Form, problems: Problems) -> Result<Response, Failure> {
    let known = known(place).await?;
    let problems = problems.beside(&place.visit, changes::shown(&known.mailbox));
    Ok(layout::refused(show(place, &known, Some(form), &problems)))
}

/// The box of the page: one of this domain.
pub(in crate::menus) async fn mailbox(place: &Place) -> Result<Mailbox, Failure> {
    let request = GetMailboxRequest { address: place.param("name").to_owned() };
    let answer = place.calls().mailboxes().get_mailbox(request).await;
    let mailbox = match answer.map_err(Failure::from) {
        // What is no address in an address of a page does not exist.
        Err(Failure::Field { .. }) => return Err(Failure::NotFound),
        other => other?.into_inner().mailbox.ok_or(Failure::NotFound)?,
    };
    if mailbox.domain == place.name() { Ok(mailbox) } else { Err(Failure::NotFound) }
}

async fn known(place: &Place) -> Result<Known, Failure> {
    let mailbox = mailbox(place).await?;
    let mailbox_id = mailbox.mailbox_id;
    let (mut boxes, mut clears) = (place.calls().boxes(), place.calls().boxes());
    let (mut locks, mut relay) = (place.calls().locks(), place.calls().relay());
    let mut logins = place.calls().logins();
    let login = mailbox.login.clone();
    let (content, clearings, lock, grants, history, second_factor, days) = tokio::join!(
        boxes.get_box(GetBoxRequest { mailbox_id }),
        clears.list_clearings(ListClearingsRequest { mailbox_id, with_empty: false }),
        locks.get_lock(GetLockRequest { mailbox_id }),
        relay.list_grants(ListGrantsRequest { login: login.clone(), ..ListGrantsRequest::default() }),
        logins.get_login_history(GetLoginHistoryRequest { login: login.clone() }),
        has_second_factor(place, &mailbox),
        growth::days(place, &mailbox),
    );
    Ok(Known {
        content: content.ok().and_then(|answer| answer.into_inner().r#box),
        clearings: clearings.map(|answer| answer.into_inner().clearings).unwrap_or_default(),
        lock: found(lock).map(|answer| answer.and_then(|answer| answer.lock)),
        grants: grants.map(|answer| answer.into_inner().grants).map_err(Failure::from),
        history: history.ok().map(tonic::Response::into_inner),
        second_factor,
        days,
        mailbox,
    })
}

/// That of its user is on; that of a default box is its customer's.
async fn has_second_factor(place: &Place, mailbox: &Mailbox) -> bool {
    if mailbox.default_box {
        return false;
    }
    let request = GetSecondFactorRequest { login: mailbox.login.clone() };
    let answer = place.calls().second_factors().get_second_factor(request).await;
    answer.is_ok_and(|answer| answer.into_inner().second_factor.is_some_and(|one| one.confirm_time.is_some()))
}

fn show(place: &Place, known: &Known, typed: Option<&Form>, problems: &Problems) -> Response {
    let mailbox = &known.mailbox;
    let body = html! {
        (problems.summary(&place.say("form-see-below")))
        div.cards.wide {
            (facts(place, known))
            (growth::picture(place, mailbox, &known.days))
            (history::card(place, known))
            (session::cards(place, known))
            (changes::forms(place, mailbox, typed, problems))
            @if import::may(place) {
                section.card {
                    h2 { (place.say("import-title")) }
                    p { (place.say("import-hint")) }
                    div.actions { a.button href={ (box_path(place, &mailbox.login)) "/import" } { (place.say("import-this")) } }
                }
            }
            (clearing::card(place, known))
            @if !mailbox.default_box && place.may("account.v1.MailboxService/DeleteMailbox") {
                section.card {
                    h2 { (place.say("pop-remove")) }
                    p { (place.say("pop-remove-hint")) }
                    div.actions {
                        a.button.danger href={ (box_path(place, &mailbox.login)) "/remove" } { (place.say("pop-remove-this")) }
                    }
                }
            }
        }
        section {
            h2 { (place.say("front-program")) }
            (mail_program::cards(&place.visit, place.name(), Some(&mailbox.login)))
        }
    };
    place.page(&MENU, mailbox.login.clone(), body)
}

fn facts(place: &Place, known: &Known) -> Markup {
    let (visit, mailbox) = (&place.visit, &known.mailbox);
    let reader = &visit.reader;
    html! {
        section.card {
            h2 { (place.say("pop-facts")) }
            dl.facts {
                dt { (place.say("pop-column-login")) } dd { (layout::copyable(visit, &mailbox.login)) }
                @if mailbox.default_box {
                    dt { (place.say("pop-column-name")) } dd { (place.say("pop-default-box")) }
                }
                dt { (place.say("pop-column-state")) } dd { (state(place, mailbox)) }
                dt { (place.say("pop-column-use")) }
                dd { (layout::meter(visit, mailbox.used_bytes, mailbox.effective_quota_bytes)) }
                dt { (place.say("pop-messages")) }
                dd {
                    @match &known.content {
                        Some(content) => (reader.count("pop-message-count", content.message_count)),
                        None => (place.say("pop-unknown-now")),
                    }
                }
                @if let Some(newest) = known.content.as_ref().and_then(|content| content.newest_message_time.as_ref()) {
                    dt { (place.say("pop-newest")) } dd { (reader.moment(newest)) }
                }
                dt { (place.say("pop-created-at")) } dd { (reader.moment_or(mailbox.create_time.as_ref(), "–")) }
            }
        }
    }
}
