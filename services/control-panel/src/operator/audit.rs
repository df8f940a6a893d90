//! Who did what on the whole platform, with the thing before and after it.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{AuditEntry, ListAuditEntriesRequest};

use super::{Desk, Staff, customers, filter, path, searched};
use crate::{
    call::Failure,
    deeds::{self, difference},
    form::{Field, Problems},
    layout,
    visit::Visit,
};

pub(super) static DESK: Desk = Desk { name: "audit", title: "operator-audit", icon: "activity", guide };

/// Entries on one page.
const PAGE_SIZE: i32 = 50;
const FILTERS: [&str; 5] = ["customer", "kind", "name", "action", "actor"];

pub(super) async fn list(staff: Staff) -> Result<Response, Failure> {
    let query = &staff.visit.query;
    let request = ListAuditEntriesRequest {
        customer: query.trimmed("customer").to_owned(),
        kind: query.trimmed("kind").to_owned(),
        name: query.trimmed("name").to_owned(),
        action: query.trimmed("action").to_owned(),
        actor: query.trimmed("actor").to_owned(),
        page_size: PAGE_SIZE,
        page_token: query.get("page").to_owned(),
        ..ListAuditEntriesRequest::default()
    };
    let answer = staff.calls().audit().list_audit_entries(request).await;
    let names = [("customer", "customer"), ("name", "name"), ("actor", "actor")];
    let (page, problems) = Problems::of_search(&staff.visit, answer, &names)?;
    let texts = staff.visit.texts();
    let field = |name, key: &str| Field::new(name, staff.say(key)).value(query.get(name)).problem(&problems);
    let fields = html! {
        (field("customer", "operator-customer").text())
        (field("kind", "activity-kind").select(&deeds::things(texts)))
        (field("action", "activity-action").select(&deeds::actions(texts)))
        (field("name", "activity-name").text())
        (field("actor", "operator-audit-actor").text())
    };
    let body = html! {
        p.lead { (staff.say("operator-audit-lead")) }
        (filter(&staff, &DESK, &fields))
        @if page.entries.is_empty() && problems.is_none() {
            (layout::empty(&staff.say("activity-empty"), &staff.say("activity-empty-text"), None))
        } @else if !page.entries.is_empty() {
            ol.events { @for entry in &page.entries { (event(&staff, entry)) } }
        }
        (layout::next_page(&staff.visit, &path(&DESK, &[]), &FILTERS, &page.next_page_token))
    };
    Ok(searched(staff.page(&DESK, staff.say(DESK.title), body), &problems))
}

fn event(staff: &Staff, entry: &AuditEntry) -> Markup {
    let reader = &staff.visit.reader;
    let changes = difference::between(&entry.before_json, &entry.after_json);
    html! {
        li.event {
            p {
                span.badge { (deeds::thing(reader.texts, entry)) } " " strong { (entry.name) } " " (deeds::done(reader.texts, entry))
            }
            p.soft {
                (reader.moment_or(entry.time.as_ref(), "–")) " · " (entry.actor) " (" (deeds::role(reader.texts, entry)) ")"
                @if !entry.peer_ip.is_empty() { " · " (entry.peer_ip) }
                @if !entry.customer.is_empty() {
                    " · " a href=(path(&customers::DESK, &["of", &entry.customer])) { (entry.customer) }
                }
            }
            @if !changes.is_empty() {
                details {
                    summary { (staff.say("operator-audit-details")) }
                    (difference::shown(reader, &changes))
                }
            }
        }
    }
}

fn guide(visit: &Visit) -> Markup {
    html! {
        p { (visit.say("operator-audit-guide")) }
        dl {
            dt { (visit.say("activity-guide-who")) } dd { (visit.say("activity-guide-who-text")) }
            dt { (visit.say("activity-guide-secrets")) } dd { (visit.say("activity-guide-secrets-text")) }
        }
    }
}
