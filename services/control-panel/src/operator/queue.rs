//! What still has to leave: why it has not, and trying again, holding and giving up.

use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use postern_proto::delivery::v1::{
    HoldQueueEntriesRequest, ListQueueEntriesRequest, QueueEntry, QueueSelection, QueueState,
    RemoveQueueEntriesRequest, RetryQueueEntriesRequest,
};

use super::{Desk, Staff, filter, head, path, searched};
use crate::{
    call::Failure,
    form::{Field, Problems},
    layout::{self, said::Said, ticks},
    visit::Visit,
};

pub(super) static DESK: Desk = Desk { name: "queue", title: "operator-queue", icon: "forward", guide };

/// Entries on one page.
const PAGE_SIZE: i32 = 50;
const FILTERS: [&str; 4] = ["customer", "domain", "state", "message"];
/// What the query of the list keeps while something is done to its entries.
const KEPT: [&str; 5] = ["customer", "domain", "state", "message", "page"];
const COLUMNS: [&str; 5] = [
    "operator-queue-recipient",
    "operator-queue-sender",
    "pop-column-state",
    "operator-queue-next",
    "operator-queue-outcome",
];
const STATES: [(&str, QueueState, &str); 3] = [
    ("waiting", QueueState::Waiting, "operator-queue-waiting"),
    ("active", QueueState::Active, "operator-queue-active"),
    ("held", QueueState::Held, "operator-queue-held"),
];

pub(super) async fn list(staff: Staff) -> Result<Response, Failure> {
    let query = &staff.visit.query;
    let state = STATES.iter().find(|(name, ..)| *name == query.get("state"));
    let request = ListQueueEntriesRequest {
        customer: query.trimmed("customer").to_owned(),
        recipient_domain: query.trimmed("domain").to_owned(),
        state: state.map_or(QueueState::Unspecified, |(_, state, _)| *state).into(),
        queue_id: query.trimmed("message").to_owned(),
        page_size: PAGE_SIZE,
        page_token: query.get("page").to_owned(),
    };
    let answer = staff.calls().queue().list_queue_entries(request).await;
    let names = [("recipient_domain", "domain"), ("queue_id", "message"), ("customer", "customer")];
    let (page, problems) = Problems::of_search(&staff.visit, answer, &names)?;
    if page.entries.is_empty() && problems.is_none() && !query.get("page").is_empty() {
        // What stood on this page is gone: not the whole queue.
        let first = layout::with_query(&staff.visit, &path(&DESK, &[]), &FILTERS);
        return Ok(Redirect::to(&first).into_response());
    }
    let body = html! {
        p.lead { (staff.say("operator-queue-lead")) }
        (filter(&staff, &DESK, &filters(&staff, &problems)))
        @if page.entries.is_empty() && problems.is_none() {
            (layout::empty(&staff.say("operator-queue-none"), &staff.say("operator-queue-none-text"), None))
        } @else if !page.entries.is_empty() {
            form method="post" action=(here(&staff)) {
                (layout::form_token(&staff.visit))
                @if staff.may_change() && page.entries.len() > 1 {
                    (ticks::links(&staff.visit, &path(&DESK, &[]), &KEPT))
                }
                table.list {
                    (head(&staff, &COLUMNS))
                    tbody { @for entry in &page.entries { (row(&staff, entry)) } }
                }
                @if staff.may_change() { (deeds(&staff)) }
            }
        }
        (layout::next_page(&staff.visit, &path(&DESK, &[]), &FILTERS, &page.next_page_token))
    };
    Ok(searched(staff.page(&DESK, staff.say(DESK.title), body), &problems))
}

/// The list as it is looked at.
fn here(staff: &Staff) -> String {
    layout::with_query(&staff.visit, &path(&DESK, &[]), &KEPT)
}

fn filters(staff: &Staff, problems: &Problems) -> Markup {
    let query = &staff.visit.query;
    let states: Vec<_> = std::iter::once(("", staff.say("activity-any")))
        .chain(STATES.iter().map(|(name, _, key)| (*name, staff.say(key))))
        .collect();
    html! {
        (Field::new("customer", staff.say("operator-customer")).value(query.get("customer")).problem(problems).text())
        (Field::new("domain", staff.say("operator-queue-domain")).value(query.get("domain")).problem(problems).text())
        (Field::new("state", staff.say("pop-column-state")).value(query.get("state")).select(&states))
        (Field::new("message", staff.say("operator-queue-message")).value(query.get("message")).problem(problems).text())
    }
}

fn row(staff: &Staff, entry: &QueueEntry) -> Markup {
    let reader = &staff.visit.reader;
    let state = STATES.iter().find(|(_, state, _)| *state == entry.state());
    let class = if entry.state() == QueueState::Held { "badge warn" } else { "badge" };
    html! {
        tr {
            th scope="row" data-label=(staff.say(COLUMNS[0])) {
                @if staff.may_change() {
                    label.choice {
                        input type="checkbox" name="entry" value=(entry.entry_id) checked[ticks::are_set(&staff.visit)];
                        (layout::address(&entry.recipient))
                    }
                } @else { (layout::address(&entry.recipient)) }
            }
            td data-label=(staff.say(COLUMNS[1])) {
                div.stack {
                    @if entry.sender.is_empty() { "<>" } @else { (layout::address(&entry.sender)) }
                    small { (entry.customer) " · " (reader.size(entry.size_bytes)) }
                }
            }
            td data-label=(staff.say(COLUMNS[2])) {
                div.stack {
                    @if let Some((_, _, key)) = state { span class=(class) { (staff.say(key)) } }
                    small { (reader.count("operator-queue-attempts", i64::from(entry.attempt_count))) }
                }
            }
            td data-label=(staff.say(COLUMNS[3])) { (reader.moment_or(entry.next_attempt_time.as_ref(), "–")) }
            td data-label=(staff.say(COLUMNS[4])) { (entry.last_outcome) }
        }
    }
}

fn deeds(staff: &Staff) -> Markup {
    html! {
        div.actions {
            button type="submit" name="deed" value="retry" { (staff.say("operator-queue-retry")) }
            button type="submit" name="deed" value="hold" { (staff.say("operator-queue-hold")) }
            button.danger type="submit" name="deed" value="ask-remove" { (staff.say("operator-queue-remove")) }
        }
    }
}

pub(super) async fn act(staff: Staff) -> Result<Response, Failure> {
    let form = &staff.visit.form;
    let entry_ids: Result<Vec<i64>, _> = form.all("entry").map(str::parse).collect();
    let entry_ids = entry_ids.map_err(|_| Failure::BadForm)?;
    let list = here(&staff);
    if entry_ids.is_empty() {
        return Ok(staff.visit.done(&list, &Said::new("operator-queue-chosen-none").warning()));
    }
    if form.get("deed") == "ask-remove" {
        return Ok(ask_remove(&staff, &entry_ids));
    }
    let selection = Some(QueueSelection { entry_ids, queue_id: String::new() });
    let mut queue = staff.calls().queue();
    let (said, count) = match form.get("deed") {
        "retry" => {
            let done = queue.retry_queue_entries(RetryQueueEntriesRequest { selection }).await?;
            ("operator-queue-retried", done.into_inner().entry_count)
        }
        "hold" => {
            let done = queue.hold_queue_entries(HoldQueueEntriesRequest { selection }).await?;
            ("operator-queue-stopped", done.into_inner().entry_count)
        }
        "remove" => {
            let request = RemoveQueueEntriesRequest { selection, silent: form.has("silent") };
            ("operator-queue-removed", queue.remove_queue_entries(request).await?.into_inner().entry_count)
        }
        _ => return Err(Failure::BadForm),
    };
    let count = staff.visit.reader.count("operator-queue-count", i64::from(count));
    Ok(staff.visit.done(&list, &Said::new(said).with("count", &count)))
}

/// What is given up does not come back: so it is asked once more.
fn ask_remove(staff: &Staff, entry_ids: &[i64]) -> Response {
    let count = staff.visit.reader.count("operator-queue-count", entry_ids.len() as i64);
    let body = html! {
        div.card.danger {
            p { (staff.visit.texts().fill("operator-queue-remove-ask", &[("count", count.into())])) }
            form method="post" action=(here(staff)) {
                (layout::form_token(&staff.visit))
                @for id in entry_ids { input type="hidden" name="entry" value=(id); }
                (Field::new("silent", staff.say("operator-queue-silent")).hint(staff.say("operator-queue-silent-hint"))
                    .tick(false))
                div.actions {
                    button.danger type="submit" name="deed" value="remove" { (staff.say("operator-queue-remove")) }
                    a.button href=(here(staff)) { (staff.say("form-cancel")) }
                }
            }
        }
    };
    staff.page(&DESK, staff.say("operator-queue-remove"), body)
}

fn guide(visit: &Visit) -> Markup {
    html! {
        p { (visit.say("operator-queue-guide")) }
        dl {
            dt { (visit.say("operator-queue-retry")) } dd { (visit.say("operator-queue-guide-retry")) }
            dt { (visit.say("operator-queue-hold")) } dd { (visit.say("operator-queue-guide-hold")) }
            dt { (visit.say("operator-queue-remove")) } dd { (visit.say("operator-queue-guide-remove")) }
        }
    }
}
