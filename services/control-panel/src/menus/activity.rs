//! Activity: who changed what, when and from where; what was removed comes back from here.

use std::sync::Arc;

use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use jiff::{ToSpan as _, civil::Date};
use maud::{Markup, html};
use postern_proto::{
    account::v1::{AuditEntry, ListAuditEntriesRequest, Mailbox},
    google::Timestamp as Moment,
};

use super::{Menu, pop_accounts, undo as undoing};
use crate::{
    Panel,
    call::Failure,
    deeds::{self, difference},
    form::{Field, Problems},
    layout::{self, button, said::Said},
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "activity", title: "activity-title", icon: "activity", guide, for_mailbox_users: false };

/// Entries on one page.
const PAGE_SIZE: i32 = 50;
/// What filters keep on the next page.
const FILTERS: [&str; 6] = ["kind", "action", "name", "actor", "from", "to"];

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .route("/controlpanel/{domain}/activity", get(page))
        .route("/controlpanel/{domain}/activity/undo", post(undo))
}

async fn page(place: Place) -> Result<Response, Failure> {
    let query = &place.visit.query;
    let mut wrong_days = Problems::none();
    let (start_time, end_time) = days(&place, &mut wrong_days);
    let request = ListAuditEntriesRequest {
        customer: place.domain.customer.clone(),
        kind: query.get("kind").to_owned(),
        name: query.trimmed("name").to_owned(),
        action: query.get("action").to_owned(),
        actor: query.trimmed("actor").to_owned(),
        start_time,
        end_time,
        page_size: PAGE_SIZE,
        page_token: query.get("page").to_owned(),
    };
    let answer = place.calls().audit().list_audit_entries(request).await;
    let (page, problems) =
        Problems::of_search(&place.visit, answer, &[("name", "name"), ("actor", "actor")])?;
    let problems = problems.and(wrong_days);
    let body = html! {
        p.lead { (place.say("activity-lead")) }
        (filters(&place, &problems))
        @if !problems.is_none() {
        } @else if page.entries.is_empty() {
            (layout::empty(&place.say("activity-empty"), &place.say("activity-empty-text"), None))
        } @else {
            ol.events { @for entry in &page.entries { (event(&place, entry)) } }
        }
        @if problems.is_none() {
            (layout::next_page(&place.visit, &place.path(&MENU, &[]), &FILTERS, &page.next_page_token))
        }
    };
    let response = place.page(&MENU, place.say(MENU.title), body);
    Ok(if problems.is_none() { response } else { layout::refused(response) })
}

/// When a day begins where the reader is.
pub(super) fn begin_of(place: &Place, day: Date) -> Option<Moment> {
    let time = place.visit.reader.zone.to_timestamp(day.at(0, 0, 0, 0)).ok()?;
    Some(Moment { seconds: time.as_second(), nanos: 0 })
}

/// What a search asks for by `from` and `to`: from the begin of one day to the end of another, where the reader is.
pub(super) fn days(place: &Place, problems: &mut Problems) -> (Option<Moment>, Option<Moment>) {
    let query = &place.visit.query;
    let mut begin_of = |field, days_later: i32| -> Option<Moment> {
        let typed = query.trimmed(field);
        if typed.is_empty() {
            return None;
        }
        let day = typed.parse::<Date>().ok().and_then(|day| day.checked_add(days_later.days()).ok());
        let time = day.and_then(|day| begin_of(place, day));
        if time.is_none() {
            problems.at(field, place.say("activity-day-wrong"));
        }
        time
    };
    let (begin, end) = (begin_of("from", 0), begin_of("to", 1));
    if let (Some(first), Some(last)) = (&begin, &end)
        && first.seconds >= last.seconds
    {
        problems.at("to", place.say("wording-end-before-start"));
        return (None, None);
    }
    (begin, end)
}

fn filters(place: &Place, problems: &Problems) -> Markup {
    let query = &place.visit.query;
    let texts = place.visit.texts();
    html! {
        form.card.filters method="get" action=(place.path(&MENU, &[])) {
            div.fields {
                (Field::new("kind", place.say("activity-kind")).value(query.get("kind")).select(&deeds::things(texts)))
                (Field::new("action", place.say("activity-action")).value(query.get("action")).select(&deeds::actions(texts)))
                (Field::new("name", place.say("activity-name")).value(query.get("name")).problem(problems).text())
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

/// One deed.
fn event(place: &Place, entry: &AuditEntry) -> Markup {
    let texts = place.visit.texts();
    let changes = difference::between(&entry.before_json, &entry.after_json);
    let from = if entry.peer_ip.is_empty() { String::new() } else { format!(" · {}", entry.peer_ip) };
    html! {
        li.event {
            p {
                span.badge { (deeds::thing(texts, entry)) } " " strong { (entry.name) } " " (deeds::done(texts, entry))
            }
            p.soft {
                (place.visit.reader.moment_or(entry.time.as_ref(), "–")) " · " (entry.actor) (from)
            }
            @if (entry.action == "update" || entry.kind == "list-member") && !changes.is_empty() { (difference::shown(&place.visit.reader, &changes)) }
            (undo_button(place, entry))
        }
    }
}

/// One deed in short, for another page.
pub(super) fn line(place: &Place, entry: &AuditEntry) -> Markup {
    html! {
        li.row {
            span {
                span.soft { (deeds::thing(place.visit.texts(), entry)) } " " strong { (entry.name) } " "
                (deeds::done(place.visit.texts(), entry))
            }
            span.soft { (place.visit.reader.moment_or(entry.time.as_ref(), "–")) }
        }
    }
}

/// Where a removal can be undone.
fn undo_button(place: &Place, entry: &AuditEntry) -> Markup {
    if entry.action != "delete" {
        return html! {};
    }
    let text = place.say("layout-undo");
    let id = entry.audit_id.to_string();
    match entry.kind.as_str() {
        "forward" | "list" | "list-member" | "autoresponder"
            if place.may("account.v1.AuditService/RestoreAuditEntry") =>
        {
            let fields = [(undoing::FIELD, id.as_str())];
            button(&place.visit, &place.path(&MENU, &["undo"]), &text, "", &fields)
        }
        "mailbox"
            if entry.name.ends_with(&format!("@{}", place.name()))
                && place.may("account.v1.MailboxService/RestoreMailbox") =>
        {
            // The box of this removal: its address may have had others since.
            let Some(mailbox_id) = removed_mailbox(entry) else { return html! {} };
            let mailbox_id = mailbox_id.to_string();
            let fields = [("address", entry.name.as_str()), ("mailbox-id", mailbox_id.as_str())];
            button(&place.visit, &place.path(&pop_accounts::MENU, &["restore"]), &text, "", &fields)
        }
        _ => html! {},
    }
}

/// Number of the box that the entry of a removal tells of; `None` where it names none.
fn removed_mailbox(entry: &AuditEntry) -> Option<i64> {
    let mailbox: Mailbox = serde_json::from_str(&entry.before_json).ok()?;
    Some(mailbox.mailbox_id).filter(|id| *id > 0)
}

async fn undo(place: Place) -> Result<Response, Failure> {
    let restored = undoing::removal(&place).await?;
    let said = if restored.kind == "list-member" {
        let count = place.visit.reader.count("list-member-count", undoing::members_of(&restored));
        Said::new("list-members-back").with("count", &count)
    } else {
        Said::new("activity-undone").with("name", &restored.name)
    };
    Ok(place.visit.done(&place.path(&MENU, &[]), &said))
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    html! {
        p { (visit.name("activity-guide", place.name())) }
        dl {
            dt { (place.say("activity-guide-who")) } dd { (place.say("activity-guide-who-text")) }
            dt { (place.say("layout-undo")) } dd { (place.say("activity-guide-undo-text")) }
            dt { (place.say("activity-guide-secrets")) } dd { (place.say("activity-guide-secrets-text")) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_names_its_own_box() {
        let of = |before_json: &str| {
            removed_mailbox(&AuditEntry { before_json: before_json.to_owned(), ..AuditEntry::default() })
        };
        let before =
            Mailbox { mailbox_id: 5, address: "anna@homepage.test".to_owned(), ..Mailbox::default() };
        assert_eq!(of(&serde_json::to_string(&before).expect("JSON")), Some(5));
        for nothing in ["", "{}", "x", r#"{"mailboxId":"0"}"#] {
            assert_eq!(of(nothing), None, "{nothing}");
        }
    }
}
