//! The page of one import: how far it is while it runs, and what became of it. It looks anew by itself, without a script.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    account::v1::Mailbox,
    delivery::v1::{ImportCourse, ImportState},
};

use super::{MENU, account, box_path, imports, named, state};
use crate::{call::Failure, layout::looking_again, place::Place};

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
    let crumbs = vec![
        (mailbox.login.clone(), box_path(&place, &mailbox.login)),
        (place.say("import-title"), format!("{}/import", box_path(&place, &mailbox.login))),
    ];
    let response = place.page_below(&MENU, crumbs, named(&place, import), shown(&place, &mailbox, import));
    Ok(match import.state() {
        ImportState::Running => looking_again(response),
        _ => response,
    })
}

fn shown(place: &Place, mailbox: &Mailbox, import: &ImportCourse) -> Markup {
    let reader = &place.visit.reader;
    html! {
        (verdict(place, mailbox, import))
        section.card {
            @if import.state() == ImportState::Running { (progress(place, import)) }
            dl.facts {
                dt { (place.say("import-column-state")) } dd { (state(place, import)) }
                dt { (place.say("import-column-begin")) } dd { (reader.moment_or(import.begin_time.as_ref(), "–")) }
                @if let Some(end) = &import.end_time { dt { (place.say("import-end")) } dd { (reader.moment(end)) } }
                dt { (place.say("import-imported")) } dd { (reader.number(import.imported_count)) }
                dt { (place.say("import-known")) } dd { (reader.number(import.duplicate_count)) }
                dt { (place.say("import-refused")) } dd { (reader.number(import.refused_count)) }
            }
        }
        (refusals(place, import))
        div.actions {
            a.button href=(box_path(place, &mailbox.login)) { (place.say("import-to-box")) }
            a.button href={ (box_path(place, &mailbox.login)) "/import" } { (place.say("import-another")) }
        }
    }
}

fn verdict(place: &Place, mailbox: &Mailbox, import: &ImportCourse) -> Markup {
    let (class, text) = match import.state() {
        ImportState::Running | ImportState::Unspecified => ("notice", place.say("import-running-text")),
        ImportState::Done => ("notice good", place.visit.name("import-done-text", &mailbox.login)),
        ImportState::Stopped if import.reason == "OVER_QUOTA" => {
            ("notice bad", place.visit.name("import-full-text", &mailbox.login))
        }
        ImportState::Stopped => ("notice bad", place.say("import-stopped-text")),
    };
    html! { div class=(class) role="status" { p { (text) } } }
}

/// How far it is.
fn progress(place: &Place, import: &ImportCourse) -> Markup {
    let reader = &place.visit.reader;
    html! {
        p {
            label for="read" { (place.say("import-progress")) } " "
            @if import.total_bytes > 0 {
                progress #read max=(import.total_bytes) value=(import.read_bytes.min(import.total_bytes)) {}
                " " (place.visit.texts().fill("layout-used-of", &[
                    ("used", reader.size(import.read_bytes).into()), ("all", reader.size(import.total_bytes).into()),
                ]))
            } @else {
                progress #read {} " " (reader.size(import.read_bytes))
            }
        }
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
