//! Domain & DNS: where the domain stands, what the world sees of it and should see, the rules for sending in its
//! name, and what becomes of mail that is forged or spam.

pub(super) mod dns;
mod incoming;
mod more;
mod rules;

use std::sync::Arc;

use axum::{
    Router,
    response::Response,
    routing::{get, post},
};
use maud::{Markup, html};
use postern_proto::{
    account::v1::{DnsFinding, Domain, DomainState, GetDomainRequest, UpdateDomainRequest},
    google::FieldMask,
};

use super::Menu;
use crate::{
    Panel,
    call::Failure,
    form::{Form, Problems},
    layout::{self, said::Said},
    place::Place,
};

pub(crate) static MENU: Menu =
    Menu { name: "domain", title: "domain-title", icon: "domain", guide, for_mailbox_users: false };

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new()
        .route("/controlpanel/{domain}/domain", get(page))
        .route("/controlpanel/{domain}/domain/verify", post(dns::verify))
        .route("/controlpanel/{domain}/domain/rules", post(rules::change))
        .route("/controlpanel/{domain}/domain/incoming", post(incoming::change))
        .route("/controlpanel/{domain}/domain/new", get(more::new_page).post(more::create))
        .route("/controlpanel/{domain}/domain/remove", get(more::remove_page).post(more::remove))
}

async fn page(place: Place) -> Result<Response, Failure> {
    let (domain, findings) = now(&place).await?;
    Ok(show(&place, &domain, &findings, Typed::Nothing, &Problems::none()))
}

/// The domain as it is now, with what the last check of DNS found.
async fn now(place: &Place) -> Result<(Domain, Vec<DnsFinding>), Failure> {
    let request = GetDomainRequest { name: place.name().to_owned() };
    let answer = place.calls().domains().get_domain(request).await?.into_inner();
    Ok((answer.domain.ok_or(Failure::NotFound)?, answer.findings))
}

/// What was typed and not taken.
#[derive(Clone, Copy)]
enum Typed<'a> {
    Nothing,
    Rules(&'a Form),
    Incoming(&'a Form),
}

/// Saves what was typed and says so; what is not taken is shown with what is wrong. `names`: as in [`Problems::from_failure`].
async fn save(
    place: &Place,
    domain: Domain,
    paths: &[&str],
    names: &[(&str, &'static str)],
    typed: Typed<'_>,
) -> Result<Response, Failure> {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    let request = UpdateDomainRequest { domain: Some(domain), update_mask: Some(FieldMask { paths }) };
    match place.calls().domains().update_domain(request).await {
        Ok(_) => {
            let said = Said::new("domain-changed").with("name", place.name());
            Ok(place.visit.done(&place.path(&MENU, &[]), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), names)?;
            not_taken(place, typed, problems).await
        }
    }
}

/// The page again, with the etag of now: whoever has read what changed may save over it.
async fn not_taken(place: &Place, typed: Typed<'_>, problems: Problems) -> Result<Response, Failure> {
    let (domain, findings) = now(place).await?;
    let problems = match typed {
        Typed::Rules(_) => problems.beside(&place.visit, rules::shown(&domain)),
        Typed::Incoming(_) => problems.beside(&place.visit, incoming::shown(&domain)),
        Typed::Nothing => problems,
    };
    Ok(layout::refused(show(place, &domain, &findings, typed, &problems)))
}

/// The page: `findings` of the last check of DNS, `typed` where a form was not taken.
fn show(
    place: &Place,
    domain: &Domain,
    findings: &[DnsFinding],
    typed: Typed<'_>,
    problems: &Problems,
) -> Response {
    let path = place.path(&MENU, &[]);
    let body = html! {
        (problems.summary(&place.say("form-see-below")))
        (facts(place, domain))
        (dns::cards(place, findings))
        @if domain.state() != DomainState::Claimed {
            @let none = Problems::none();
            @let (rules, rules_problems) = match typed { Typed::Rules(form) => (Some(form), problems), _ => (None, &none) };
            (rules::card(place, domain, rules, rules_problems))
            @if domain.alias_of.is_empty() {
                @let (incoming, its_problems) =
                    match typed { Typed::Incoming(form) => (Some(form), problems), _ => (None, &none) };
                (incoming::card(place, domain, incoming, its_problems))
            }
        }
        @if !place.person.is_staff() {
            section.card {
                h2 { (place.say("domain-more")) }
                p { (place.say("domain-more-text")) }
                div.actions {
                    a.button href={ (path) "/new" } { (place.say("domain-add")) }
                    a.button.danger href={ (path) "/remove" } { (place.say("domain-remove-this")) }
                }
            }
        }
    };
    place.page(&MENU, place.say(MENU.title), body)
}

/// Where a domain stands, in a word.
pub(crate) fn state(place: &Place, domain: &Domain) -> Markup {
    match domain.state() {
        DomainState::Live if domain.grace_end_time.is_some() => {
            html! { span.badge.warn { (place.say("domain-state-leaving")) } }
        }
        DomainState::Live => html! { span.badge.good { (place.say("domain-state-live")) } },
        DomainState::Lost => html! { span.badge.bad { (place.say("domain-state-lost")) } },
        DomainState::Claimed => html! { span.badge.warn { (place.say("domain-state-claimed")) } },
        DomainState::Pending | DomainState::Unspecified => {
            html! { span.badge.warn { (place.say("domain-state-pending")) } }
        }
    }
}

/// What the state means, in a sentence.
fn state_text(place: &Place, domain: &Domain) -> String {
    let key = match domain.state() {
        DomainState::Live if domain.grace_end_time.is_some() => "domain-state-leaving-text",
        DomainState::Live if domain.live_without_dns => "domain-state-live-by-operator",
        DomainState::Live => "domain-state-live-text",
        DomainState::Lost => "domain-state-lost-text",
        DomainState::Claimed => "domain-state-claimed-text",
        DomainState::Pending | DomainState::Unspecified => "domain-state-pending-text",
    };
    place.say(key)
}

fn facts(place: &Place, domain: &Domain) -> Markup {
    let reader = &place.visit.reader;
    html! {
        section.card {
            h2 { (domain.name) " " (state(place, domain)) }
            p { (state_text(place, domain)) }
            dl.facts {
                @if !domain.alias_of.is_empty() {
                    dt { (place.say("domain-second-name")) } dd { (domain.alias_of) }
                }
                dt { (place.say("domain-owner")) } dd { code { (domain.customer) } }
                @if !domain.login.is_empty() {
                    dt { (place.say("default-box")) } dd { code { (domain.login) } }
                }
                dt { (place.say("domain-checked")) }
                dd { (reader.moment_or(domain.check_time.as_ref(), &place.say("domain-never"))) }
                @if let Some(end) = &domain.grace_end_time {
                    dt { (place.say("domain-grace")) } dd { (reader.moment(end)) }
                }
            }
            (claim(place, domain))
            div.actions {
                (layout::button(&place.visit, &format!("{}/verify", place.path(&MENU, &[])), &place.say("domain-verify"),
                    "primary", &[]))
            }
        }
    }
}

/// The record that proves whose the domain is, where it is needed.
fn claim(place: &Place, domain: &Domain) -> Markup {
    html! {
        @if let Some(claim) = domain.claim.as_ref().filter(|claim| claim.txt_required) {
            div.notice.warn {
                div {
                    p { (place.say("domain-claim")) }
                    p { (layout::copyable(&place.visit, &claim.txt_name)) " TXT " (layout::copyable(&place.visit, &claim.txt_value)) }
                }
            }
        }
    }
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    let host = format!("mail.{}", place.name());
    html! {
        p { (visit.name("domain-guide", place.name())) }
        dl {
            dt { "NS, MX" } dd { (visit.name("domain-guide-mx", place.name())) }
            dt { "A, AAAA" } dd { (visit.name("domain-guide-host", &host)) }
            dt { "SPF, DKIM, DMARC" } dd { (visit.name("domain-guide-spf", place.name())) }
            dt { (place.say("domain-field-senders")) } dd { (visit.name("domain-guide-senders", place.name())) }
        }
    }
}
