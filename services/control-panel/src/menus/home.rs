//! Home: the domain at a glance, what needs somebody, mail as pictures, and what a mail program must be told.

mod attention;

use std::sync::Arc;

use axum::{Router, response::Response, routing::get};
use maud::{Markup, html};
use postern_mesh::identity::Role;
use postern_proto::{
    account::v1::{
        AuditEntry, CustomerLimits, DomainOverview, GetDomainOverviewRequest, GetLimitsRequest,
        GetMailboxRequest, ListAuditEntriesRequest, Mailbox,
    },
    delivery::v1::{GetSendingSummaryResponse, ListQueueEntriesRequest, QueueEntry},
};

use super::{Menu, activity, autoresponders, domain, forwards, mail, mailing_lists, pop_accounts};
use crate::{
    Panel,
    call::Failure,
    layout::{self, icon},
    mail_program::{self, Sending},
    place::Place,
    router::FRONT,
};

pub(crate) static MENU: Menu =
    Menu { name: "home", title: "home-title", icon: "home", guide, for_mailbox_users: true };

/// Deeds that are shown.
const DEEDS_SHOWN: i32 = 5;
/// Mail that waits, looked at.
const WAITING_SEEN: i32 = 100;

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new().route("/controlpanel/{domain}/home", get(page))
}

/// What the page is made of. A part that is away leaves its place empty; the rest of the page stands.
struct Known {
    overview: DomainOverview,
    limits: Option<CustomerLimits>,
    deeds: Vec<AuditEntry>,
    waiting: Vec<QueueEntry>,
    sending: Option<GetSendingSummaryResponse>,
}

async fn page(place: Place) -> Result<Response, Failure> {
    if place.person.caller.role == Role::Mailbox {
        return own_box(&place).await;
    }
    let here = place.path(&MENU, &[]);
    let (known, traffic) =
        tokio::join!(known(&place), mail::traffic::picture(&place, Some(place.name()), &here));
    let known = known?;
    let body = html! {
        (attention::list(&place, &known))
        (numbers(&place, &known))
        div.cards.wide {
            (traffic)
            (mail::fates::picture(&place, known.sending.as_ref()))
            (domain::dns::glance(&place, &known.overview.findings))
            (largest(&place, &known.overview.largest_mailboxes))
            (lately(&place, &known.deeds))
        }
        section {
            h2 { (place.say("front-program")) }
            (mail_program::cards(&place.visit, place.name(), None))
            (mail_program::rule(&place.visit, place.name(), Sending::at(&place)))
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
                dl.facts {
                    dt { (place.say("pop-column-use")) }
                    dd { (layout::meter(&place.visit, mailbox.used_bytes, mailbox.effective_quota_bytes)) }
                }
                div.actions {
                    a.button.primary href=(place.path(&pop_accounts::MENU, &["box", login])) { (place.say("home-own-box")) }
                }
            }
        }
        section {
            h2 { (place.say("front-program")) }
            (mail_program::cards(&place.visit, place.name(), Some(login)))
            (mail_program::rule(&place.visit, place.name(), Sending::at(place)))
        }
    };
    Ok(place.page(&MENU, place.visit.name("home-heading", place.name()), body))
}

async fn known(place: &Place) -> Result<Known, Failure> {
    let customer = place.domain.customer.clone();
    let (mut domains, mut limits) = (place.calls().domains(), place.calls().limits());
    let (mut audit, mut queue) = (place.calls().audit(), place.calls().queue());
    let (overview, limits, deeds, waiting, sending) = tokio::join!(
        domains.get_domain_overview(GetDomainOverviewRequest { name: place.name().to_owned() }),
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
        mail::fates::summary(place),
    );
    Ok(Known {
        overview: overview?.into_inner().overview.unwrap_or_default(),
        limits: limits.ok().and_then(|answer| answer.into_inner().limits),
        deeds: deeds.map(|answer| answer.into_inner().entries).unwrap_or_default(),
        waiting: waiting.map(|answer| answer.into_inner().entries).unwrap_or_default(),
        sending,
    })
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
fn largest(place: &Place, boxes: &[Mailbox]) -> Markup {
    html! {
        section.card {
            h2 { (place.say("home-fullest")) }
            @if boxes.is_empty() { p.soft { (place.say("home-fullest-none")) } }
            ul.plain {
                @for mailbox in boxes {
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
            @if deeds.is_empty() { p.soft { (place.say("home-lately-none")) } }
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
            dt { (place.say("home-guide-panel")) } dd { (place.say("home-guide-panel-text")) br; code { (layout::broken(&host, FRONT)) } }
            dt { (place.say("home-guide-order")) } dd { (place.say("home-guide-order-text")) }
        }
    }
}
