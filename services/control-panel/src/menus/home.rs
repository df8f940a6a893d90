//! Home: the domain at a glance, what needs somebody, and what a mail program must be told.

use std::sync::Arc;

use axum::{Router, response::Response, routing::get};
use maud::{Markup, html};
use postern_mesh::identity::Role;
use postern_proto::{
    account::v1::{
        ActivityState, AuditEntry, CustomerLimits, DomainState, GetLimitsRequest, GetMailboxRequest,
        ListAuditEntriesRequest, ListMailboxesRequest, Mailbox,
    },
    delivery::v1::{ListQueueEntriesRequest, QueueEntry},
};

use super::{Menu, activity, autoresponders, domain, forwards, mailing_lists, pop_accounts};
use crate::{
    Panel,
    call::Failure,
    layout::{self, icon},
    mail_program,
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "home", title: "home-title", icon: "home", guide, for_mailbox_users: true };

/// Boxes that are looked at for what needs somebody.
const BOXES_SEEN: i32 = 200;
/// Boxes that are shown.
const BOXES_SHOWN: usize = 5;
/// Deeds that are shown.
const DEEDS_SHOWN: i32 = 5;
/// Mail that waits, looked at.
const WAITING_SEEN: i32 = 100;
/// Attempts after which waiting mail is worth a look.
const ATTEMPTS_MANY: i32 = 3;

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new().route("/controlpanel/{domain}/home", get(page))
}

/// What the page is made of. A part that is away leaves its place empty; the rest of the page stands.
struct Known {
    boxes: Vec<Mailbox>,
    limits: Option<CustomerLimits>,
    deeds: Vec<AuditEntry>,
    waiting: Vec<QueueEntry>,
}

async fn page(place: Place) -> Result<Response, Failure> {
    if place.person.caller.role == Role::Mailbox {
        return own_box(&place).await;
    }
    let known = known(&place).await?;
    let body = html! {
        (attention(&place, &known))
        (numbers(&place, &known))
        div.cards.wide {
            (fullest(&place, &known.boxes))
            (lately(&place, &known.deeds))
        }
        section {
            h2 { (place.say("front-program")) }
            (mail_program::cards(&place.visit, place.name(), None))
            (mail_program::rule(&place.visit))
        }
    };
    Ok(place.page(&MENU, place.visit.name("home-heading", place.name()), body))
}

/// What the user of one box sees.
async fn own_box(place: &Place) -> Result<Response, Failure> {
    let login = &place.person.caller.subject;
    let request = GetMailboxRequest { address: login.clone() };
    let mailbox = place.calls().mailboxes().get_mailbox(request).await?.into_inner().mailbox;
    let mailbox = mailbox.ok_or(Failure::NotFound)?;
    let body = html! {
        div.cards {
            section.card {
                h2 { (login) }
                p { (layout::meter(&place.visit, mailbox.used_bytes, mailbox.effective_quota_bytes)) }
                div.actions {
                    a.button.primary href=(place.path(&pop_accounts::MENU, &["box", login])) { (place.say("home-own-box")) }
                }
            }
        }
        section {
            h2 { (place.say("front-program")) }
            (mail_program::cards(&place.visit, place.name(), Some(login)))
            (mail_program::rule(&place.visit))
        }
    };
    Ok(place.page(&MENU, place.visit.name("home-heading", place.name()), body))
}

async fn known(place: &Place) -> Result<Known, Failure> {
    let customer = place.domain.customer.clone();
    let (mut boxes, mut limits) = (place.calls().mailboxes(), place.calls().limits());
    let (mut audit, mut queue) = (place.calls().audit(), place.calls().queue());
    let (boxes, limits, deeds, waiting) = tokio::join!(
        boxes.list_mailboxes(ListMailboxesRequest {
            domain: place.name().to_owned(),
            page_size: BOXES_SEEN,
            ..ListMailboxesRequest::default()
        }),
        limits.get_limits(GetLimitsRequest { customer: customer.clone() }),
        audit.list_audit_entries(ListAuditEntriesRequest {
            customer: customer.clone(),
            page_size: DEEDS_SHOWN,
            ..ListAuditEntriesRequest::default()
        }),
        queue.list_queue_entries(ListQueueEntriesRequest {
            customer: customer.clone(),
            page_size: WAITING_SEEN,
            ..ListQueueEntriesRequest::default()
        }),
    );
    Ok(Known {
        boxes: boxes?.into_inner().mailboxes,
        limits: limits.ok().and_then(|answer| answer.into_inner().limits),
        deeds: deeds.map(|answer| answer.into_inner().entries).unwrap_or_default(),
        waiting: waiting.map(|answer| answer.into_inner().entries).unwrap_or_default(),
    })
}

/// What needs somebody, each with the way to it; or that nothing does.
fn attention(place: &Place, known: &Known) -> Markup {
    let full = known.boxes.iter().filter(|mailbox| mailbox.full);
    let suspended = known.boxes.iter().filter(|mailbox| mailbox.state() == ActivityState::Suspended);
    let live = place.domain.state() == DomainState::Live && place.domain.grace_end_time.is_none();
    let late: Vec<&QueueEntry> =
        known.waiting.iter().filter(|entry| entry.attempt_count >= ATTEMPTS_MANY).collect();
    let box_of = |mailbox: &Mailbox| place.path(&pop_accounts::MENU, &["box", &mailbox.login]);
    let item = |kind: &str, text: String, to: String| {
        html! { li class={ "notice " (kind) } { p { (text) } a href=(to) { (place.say("home-look")) } } }
    };
    let nothing = live
        && late.is_empty()
        && !known.boxes.iter().any(|b| b.full || b.state() == ActivityState::Suspended);
    html! {
        @if nothing {
            div.notice.good { p { (icon("domain")) " " (place.visit.name("home-all-well", place.name())) } }
        } @else {
            ul.plain.attention {
                @if !live { (item("bad", place.visit.name("home-not-live", place.name()), place.path(&domain::MENU, &[]))) }
                @for mailbox in full { (item("bad", place.visit.name("home-full", &mailbox.login), box_of(mailbox))) }
                @for mailbox in suspended { (item("warn", place.visit.name("home-suspended", &mailbox.login), box_of(mailbox))) }
                @for entry in late {
                    li.notice.warn {
                        p {
                            (place.visit.name("home-late", &entry.recipient)) " "
                            small { (entry.last_outcome) }
                        }
                    }
                }
            }
        }
    }
}

/// How much of everything there is, each with the way to it.
fn numbers(place: &Place, known: &Known) -> Markup {
    let Some(limits) = &known.limits else { return html! {} };
    let usage = limits.usage.unwrap_or_default();
    let most = limits.effective.unwrap_or_default();
    let tile = |menu: &Menu, used: i64, of: Option<i64>| {
        html! {
            li {
                a.card.tile href=(place.path(menu, &[])) {
                    (icon(menu.icon))
                    span.big { (place.visit.reader.number(used)) }
                    span {
                        (place.say(menu.title))
                        @if let Some(of) = of.filter(|of| *of >= 0) {
                            small { " " (place.visit.texts().fill("home-of", &[("all", place.visit.reader.number(of).into())])) }
                        }
                    }
                }
            }
        }
    };
    html! {
        @if place.domains.len() > 1 { p.soft { (place.say("home-all-domains")) } }
        ul.tiles.numbers {
            (tile(&pop_accounts::MENU, usage.mailboxes, most.mailboxes))
            (tile(&forwards::MENU, usage.forwards, most.forwards))
            (tile(&mailing_lists::MENU, usage.lists, most.lists))
            (tile(&autoresponders::MENU, usage.autoresponders, most.autoresponders))
            li.all {
                div.card.tile {
                    (icon("box"))
                    span.big { (place.visit.reader.size(usage.storage_bytes)) }
                    span {
                        (place.say("home-storage"))
                        @if let Some(of) = most.storage_bytes.filter(|of| *of > 0) {
                            (layout::meter(&place.visit, usage.storage_bytes, Some(of)))
                        }
                    }
                }
            }
        }
    }
}

/// The boxes that hold most.
fn fullest(place: &Place, boxes: &[Mailbox]) -> Markup {
    let mut sorted: Vec<&Mailbox> = boxes.iter().collect();
    sorted.sort_by_key(|mailbox| std::cmp::Reverse(mailbox.used_bytes));
    html! {
        section.card {
            h2 { (place.say("home-fullest")) }
            ul.plain {
                @for mailbox in sorted.into_iter().take(BOXES_SHOWN) {
                    li.row {
                        a href=(place.path(&pop_accounts::MENU, &["box", &mailbox.login])) { (mailbox.login) }
                        (layout::meter(&place.visit, mailbox.used_bytes, mailbox.effective_quota_bytes))
                    }
                }
            }
        }
    }
}

fn lately(place: &Place, deeds: &[AuditEntry]) -> Markup {
    html! {
        section.card {
            h2 { (place.say("home-lately")) }
            @if deeds.is_empty() { p.soft { (place.say("activity-empty-text")) } }
            ul.plain { @for deed in deeds { (activity::line(place, deed)) } }
            div.actions { a.button href=(place.path(&activity::MENU, &[])) { (place.say("home-all-activity")) } }
        }
    }
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    let host = format!("mail.{}", place.name());
    html! {
        p { (visit.name("home-guide", place.name())) }
        dl {
            dt { (place.say("home-guide-server")) } dd { (visit.name("home-guide-server-text", &host)) }
            dt { (place.say("home-guide-panel")) } dd { (visit.name("home-guide-panel-text", &host)) }
            dt { (place.say("home-guide-order")) } dd { (place.say("home-guide-order-text")) }
        }
    }
}
