//! Sent & received: what came and went, how much of it, and the story of each message.

pub(super) mod fates;
mod story;
pub(super) mod traffic;

use std::sync::Arc;

use axum::{
    Router,
    response::{IntoResponse as _, Redirect, Response},
    routing::get,
};
use maud::{Markup, html};
use postern_mesh::identity::Role;
use postern_proto::delivery::v1::{ListTracesRequest, MailDirection, TraceEntry, TraceState};

use super::{Menu, activity::days};
use crate::{
    Panel,
    call::Failure,
    form::{Field, Problems},
    layout,
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "mail", title: "mail-title", icon: "mail", guide, for_mailbox_users: true };

/// Messages on one page.
const PAGE_SIZE: i32 = 50;
/// What filters keep on the next page.
const FILTERS: [&str; 6] = ["direction", "address", "state", "from", "to", "span"];
/// Ways, as they stand in addresses.
const DIRECTIONS: [(&str, MailDirection, &str); 2] =
    [("received", MailDirection::Received, "mail-received"), ("sent", MailDirection::Sent, "mail-sent")];
/// Fates, as they stand in addresses, with their texts and the look of their badge.
const STATES: [(&str, TraceState, &str, &str, &str); 6] = [
    ("queued", TraceState::Queued, "mail-state-queued", "mail-state-queued-text", "badge warn"),
    ("delivered", TraceState::Delivered, "mail-state-delivered", "mail-state-delivered-text", "badge good"),
    ("sent", TraceState::Sent, "mail-state-sent", "mail-state-sent-text", "badge good"),
    ("failed", TraceState::Failed, "mail-state-failed", "mail-state-failed-text", "badge bad"),
    ("passed-on", TraceState::PassedOn, "mail-state-passed-on", "mail-state-passed-on-text", "badge"),
    ("removed", TraceState::Removed, "mail-state-removed", "mail-state-removed-text", "badge bad"),
];

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .route("/controlpanel/{domain}/mail", get(page))
        .route("/controlpanel/{domain}/mail/story/{id}", get(story::page))
}

async fn page(place: Place) -> Result<Response, Failure> {
    let query = &place.visit.query;
    let mut wrong_number = Problems::none();
    let number = query.trimmed("number");
    if !number.is_empty() {
        match story::of_number(&place, number).await? {
            Some(story) => return Ok(Redirect::to(&story).into_response()),
            None => wrong_number.at("number", place.say("mail-number-unknown")),
        }
    }
    let direction = DIRECTIONS.iter().find(|(name, ..)| *name == query.get("direction"));
    let state = STATES.iter().find(|(name, ..)| *name == query.get("state"));
    let mut wrong_days = Problems::none();
    let (begin_time, end_time) = days(&place, &mut wrong_days);
    let request = ListTracesRequest {
        customer: customer_asked(&place),
        direction: direction.map_or(MailDirection::Unspecified, |(_, direction, _)| *direction).into(),
        address: query.trimmed("address").to_owned(),
        state: state.map_or(TraceState::Unspecified, |(_, state, ..)| *state).into(),
        begin_time,
        end_time,
        page_size: PAGE_SIZE,
        page_token: query.get("page").to_owned(),
        ..ListTracesRequest::default()
    };
    let mut traces = place.calls().traces();
    let here = layout::with_query(&place.visit, &place.path(&MENU, &[]), &FILTERS[..5]);
    let (page, traffic, fates) = tokio::join!(
        traces.list_traces(request),
        traffic::picture(&place, None, &here),
        fates::summary(&place)
    );
    let (page, problems) = Problems::of_search(&place.visit, page, &[("address", "address")])?;
    let problems = problems.and(wrong_days);
    let body = html! {
        p.lead { (place.say("mail-lead")) }
        div.cards.wide { (traffic) (fates::picture(&place, fates.as_ref())) }
        (filters(&place, &problems))
        (by_number(&place, &wrong_number))
        @if !problems.is_none() {
        } @else if page.entries.is_empty() && page.next_page_token.is_empty() {
            (layout::empty(&place.say("mail-empty"), &place.say("mail-empty-text"), None))
        } @else {
            (table(&place, &page.entries))
        }
        @if problems.is_none() {
            (layout::next_page(&place.visit, &place.path(&MENU, &[]), &FILTERS, &page.next_page_token))
        }
    };
    let response = place.page(&MENU, place.say(MENU.title), body);
    Ok(if problems.is_none() && wrong_number.is_none() { response } else { layout::refused(response) })
}

/// The way to the story of a message whose number somebody has.
fn by_number(place: &Place, problems: &Problems) -> Markup {
    html! {
        form.card method="get" action=(place.path(&MENU, &[])) {
            (Field::new("number", place.say("mail-number")).hint(place.say("mail-number-hint"))
                .value(place.visit.query.get("number")).problem(problems).required().text())
            div.actions { button type="submit" { (place.say("mail-number-show")) } }
        }
    }
}

/// The user of a mailbox is asked for by the call itself.
fn customer_asked(place: &Place) -> String {
    match place.person.caller.role {
        Role::Mailbox => String::new(),
        _ => place.domain.customer.clone(),
    }
}

fn filters(place: &Place, problems: &Problems) -> Markup {
    let query = &place.visit.query;
    let any = || ("", place.say("activity-any"));
    let directions = DIRECTIONS.iter().map(|(name, _, key)| (*name, place.say(key)));
    let directions: Vec<_> = std::iter::once(any()).chain(directions).collect();
    let states = STATES.iter().map(|(name, _, key, ..)| (*name, place.say(key)));
    let states: Vec<_> = std::iter::once(any()).chain(states).collect();
    html! {
        form.card.filters method="get" action=(place.path(&MENU, &[])) {
            @if !query.get("span").is_empty() { input type="hidden" name="span" value=(query.get("span")); }
            div.fields {
                (Field::new("address", place.say("mail-address")).value(query.get("address")).problem(problems).text())
                (Field::new("direction", place.say("mail-direction")).value(query.get("direction")).select(&directions))
                (Field::new("state", place.say("mail-state")).value(query.get("state")).select(&states))
                (Field::new("from", place.say("activity-from")).value(query.get("from")).problem(problems).day())
                (Field::new("to", place.say("activity-to")).value(query.get("to")).problem(problems).day())
            }
            div.actions {
                button type="submit" { (place.say("activity-filter")) }
                a.button href=(place.path(&MENU, &[])) { (place.say("activity-all")) }
            }
        }
    }
}

fn table(place: &Place, entries: &[TraceEntry]) -> Markup {
    html! {
        table.list {
            thead {
                tr {
                    th scope="col" { (place.say("mail-column-time")) }
                    th scope="col" { (place.say("mail-column-sender")) }
                    th scope="col" { (place.say("mail-column-recipient")) }
                    th scope="col" { (place.say("mail-column-state")) }
                    th scope="col" { (place.say("mail-column-size")) }
                }
            }
            tbody { @for entry in entries { (row(place, entry)) } }
        }
    }
}

fn row(place: &Place, entry: &TraceEntry) -> Markup {
    let reader = &place.visit.reader;
    html! {
        tr {
            th scope="row" data-label=(place.say("mail-column-time")) {
                a href=(place.path(&MENU, &["story", &entry.queue_id])) { (reader.moment_or(entry.accept_time.as_ref(), "–")) }
            }
            td data-label=(place.say("mail-column-sender")) { (sender(place, entry)) }
            td data-label=(place.say("mail-column-recipient")) { (layout::address(&entry.recipient)) }
            td data-label=(place.say("mail-column-state")) { (state(place, entry)) }
            td data-label=(place.say("mail-column-size")) { (reader.size(entry.size_bytes)) }
        }
    }
}

/// The null sender is that of reports and answers.
fn sender(place: &Place, entry: &TraceEntry) -> Markup {
    match entry.sender.as_str() {
        "" => html! { span.soft { (place.say("mail-sender-none")) } },
        sender => layout::address(sender),
    }
}

fn state(place: &Place, entry: &TraceEntry) -> Markup {
    let known = STATES.iter().find(|(_, state, ..)| *state == entry.state());
    match known {
        Some((_, _, key, _, class)) => html! { span class=(class) { (place.say(key)) } },
        None => html! { "–" },
    }
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    html! {
        p { (visit.name("mail-guide", place.name())) }
        dl {
            @for (_, _, key, text, _) in &STATES {
                dt { (place.say(key)) } dd { (place.say(text)) }
            }
            dt { (place.say("mail-guide-refused")) } dd { (place.say("mail-guide-refused-text")) }
        }
    }
}
