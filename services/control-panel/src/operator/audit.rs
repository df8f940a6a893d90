//! Who did what on the whole platform, with the thing before and after it.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{AuditEntry, ListAuditEntriesRequest};

use super::{Desk, Staff, customers, filter, path};
use crate::{call::Failure, form::Field, layout, visit::Visit};

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
    let page = staff.calls().audit().list_audit_entries(request).await?.into_inner();
    let field = |name, key: &str| Field::new(name, staff.say(key)).value(query.get(name)).text();
    let fields = html! {
        (field("customer", "operator-customer"))
        (field("kind", "activity-kind"))
        (field("name", "activity-name"))
        (field("action", "activity-action"))
        (field("actor", "operator-audit-actor"))
    };
    let body = html! {
        p.lead { (staff.say("operator-audit-lead")) }
        (filter(&staff, &DESK, &fields))
        @if page.entries.is_empty() {
            (layout::empty(&staff.say("activity-empty"), &staff.say("activity-empty-text"), None))
        } @else {
            ol.events { @for entry in &page.entries { (event(&staff, entry)) } }
        }
        (layout::next_page(&staff.visit, &path(&DESK, &[]), &FILTERS, &page.next_page_token))
    };
    Ok(staff.page(&DESK, staff.say(DESK.title), body))
}

/// Kinds and actions stand as the audit has them: what is typed into the filter is what is seen.
fn event(staff: &Staff, entry: &AuditEntry) -> Markup {
    let reader = &staff.visit.reader;
    html! {
        li.event {
            p { span.badge { (entry.kind) } " " strong { (entry.name) } " " code { (entry.action) } }
            p.soft {
                (reader.moment_or(entry.time.as_ref(), "–")) " · " (entry.actor) " (" (entry.actor_role) ")"
                @if !entry.peer_ip.is_empty() { " · " (entry.peer_ip) }
                @if !entry.customer.is_empty() {
                    " · " a href=(path(&customers::DESK, &["of", &entry.customer])) { (entry.customer) }
                }
            }
            @if !entry.before_json.is_empty() || !entry.after_json.is_empty() {
                details {
                    summary { (staff.say("operator-audit-details")) }
                    ul.differences {
                        @if !entry.before_json.is_empty() { li { del { (entry.before_json) } } }
                        @if !entry.after_json.is_empty() { li { ins { (entry.after_json) } } }
                    }
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
