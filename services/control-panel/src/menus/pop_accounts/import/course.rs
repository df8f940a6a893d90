//! The page of one import: how far it is, and what became of each message.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    account::v1::Mailbox,
    delivery::v1::{ImportCourse, ImportState},
};

use super::{MENU, account, box_path, imports, named};
use crate::{
    call::Failure,
    course::{Course, Progress, State},
    place::Place,
};

/// Reasons of refusals and their texts; of others the name is told.
const REASONS: [(&str, &str); 4] = [
    ("MESSAGE_DAMAGED", "import-why-damaged"),
    ("MESSAGE_TOO_LARGE", "import-why-large"),
    ("BAD_CONTENT", "import-why-content"),
    ("OVER_QUOTA", "import-why-full"),
];

pub(in super::super) async fn page(place: Place) -> Result<Response, Failure> {
    let mailbox = account::mailbox(&place).await?;
    let all = imports(&place, &mailbox).await?;
    let import = all.iter().find(|import| import.import_id == place.param("id")).ok_or(Failure::NotFound)?;
    let path = box_path(&place, &mailbox.login);
    let crumbs =
        vec![(mailbox.login.clone(), path.clone()), (place.say("import-title"), format!("{path}/import"))];
    let figure = |key, count| (place.say(key), place.visit.reader.number(count));
    let course = Course {
        state: state(import),
        progress: Progress::Octets(import.read_bytes, import.total_bytes),
        verdict: verdict(&place, &mailbox, import),
        begun: import.begin_time.as_ref(),
        ended: import.end_time.as_ref(),
        facts: vec![
            figure("import-imported", import.imported_count),
            figure("import-known", import.duplicate_count),
            figure("import-refused", import.refused_count),
        ],
        left_out: refusals(&place, import),
        actions: html! {
            a.button href=(path) { (place.say("import-to-box")) }
            a.button href={ (path) "/import" } { (place.say("import-another")) }
        },
    };
    Ok(course.page(&place, &MENU, crumbs, named(&place, import)))
}

pub(super) fn state(import: &ImportCourse) -> State {
    match import.state() {
        ImportState::Running | ImportState::Unspecified => State::Running,
        ImportState::Done if import.refused_count > 0 => State::InPart,
        ImportState::Done => State::Done,
        ImportState::Stopped => State::Stopped,
    }
}

fn verdict(place: &Place, mailbox: &Mailbox, import: &ImportCourse) -> String {
    match state(import) {
        State::Stopped if import.reason == "OVER_QUOTA" => {
            place.visit.name("import-full-text", &mailbox.login)
        }
        State::Stopped => place.say("import-stopped-text"),
        State::Running | State::Done | State::InPart => place.visit.name("import-done-text", &mailbox.login),
    }
}

fn refusals(place: &Place, import: &ImportCourse) -> Markup {
    let why = |reason: &str| {
        REASONS
            .iter()
            .find(|(name, _)| *name == reason)
            .map_or_else(|| reason.to_owned(), |(_, key)| place.say(key))
    };
    html! {
        @if !import.refusals.is_empty() {
            section.card {
                h2 { (place.say("import-refused")) }
                ul.plain {
                    @for refusal in &import.refusals {
                        li.row {
                            @if refusal.name.is_empty() {
                                span { (place.visit.reader.count("import-message-number", refusal.index + 1)) }
                            } @else {
                                code { (refusal.name) }
                            }
                            span.soft { (why(&refusal.reason)) }
                        }
                    }
                }
            }
        }
    }
}
