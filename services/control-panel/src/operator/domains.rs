//! Every domain of the platform, whose it is and where it stands.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{Domain, DomainState, ListDomainsRequest};

use super::{Desk, Staff, customers, filter, head, path, searched};
use crate::{
    call::Failure,
    form::{Field, Problems},
    layout::{self, finding},
    menus,
    place::path_at,
    visit::Visit,
};

pub(super) static DESK: Desk = Desk { name: "domains", title: "operator-domains", icon: "domain", guide };

const COLUMNS: [&str; 4] = ["domain-field-name", "operator-customer", "pop-column-state", "domain-checked"];
const FILTERS: [&str; 2] = [finding::FIELD, "customer"];

pub(super) async fn list(staff: Staff) -> Result<Response, Failure> {
    let query = &staff.visit.query;
    let request = ListDomainsRequest {
        customer: query.trimmed("customer").to_owned(),
        page_token: query.get("page").to_owned(),
        prefix: finding::asked(&staff.visit),
        ..ListDomainsRequest::default()
    };
    let answer = staff.calls().domains().list_domains(request).await;
    let (page, problems) = Problems::of_search(&staff.visit, answer, &[("customer", "customer")])?;
    let fields = html! {
        (Field::new(finding::FIELD, staff.say("find-field")).value(query.get(finding::FIELD)).text())
        (Field::new("customer", staff.say("operator-customer")).value(query.get("customer")).problem(&problems).text())
    };
    let body = html! {
        p.lead { (staff.say("domains-staff-lead")) }
        (filter(&staff, &DESK, &fields))
        @if !problems.is_none() {
        } @else if let Some(nothing) = finding::nothing(&staff.visit).filter(|_| page.domains.is_empty()) {
            (nothing)
        } @else if page.domains.is_empty() {
            (layout::empty(&staff.say("domains-none"), &staff.say("domains-none-staff"), None))
        } @else {
            table.list {
                (head(&staff, &COLUMNS))
                tbody { @for domain in &page.domains { (row(&staff, domain)) } }
            }
        }
        (layout::next_page(&staff.visit, &path(&DESK, &[]), &FILTERS, &page.next_page_token))
    };
    Ok(searched(staff.page(&DESK, staff.say(DESK.title), body), &problems))
}

fn row(staff: &Staff, domain: &Domain) -> Markup {
    let (class, state) = match domain.state() {
        DomainState::Live if domain.grace_end_time.is_some() => ("badge warn", "domain-state-leaving"),
        DomainState::Live => ("badge good", "domain-state-live"),
        DomainState::Lost => ("badge bad", "domain-state-lost"),
        DomainState::Claimed => ("badge warn", "domain-state-claimed"),
        DomainState::Pending | DomainState::Unspecified => ("badge warn", "domain-state-pending"),
    };
    html! {
        tr {
            th scope="row" data-label=(staff.say(COLUMNS[0])) {
                a href=(path_at(&domain.name, menus::ALL[0], &[])) { (domain.name) }
            }
            td data-label=(staff.say(COLUMNS[1])) {
                a href=(path(&customers::DESK, &["of", &domain.customer])) { (domain.customer) }
            }
            td data-label=(staff.say(COLUMNS[2])) { span class=(class) { (staff.say(state)) } }
            td data-label=(staff.say(COLUMNS[3])) {
                (staff.visit.reader.moment_or(domain.check_time.as_ref(), &staff.say("domain-never")))
            }
        }
    }
}

fn guide(visit: &Visit) -> Markup {
    html! {
        p { (visit.say("operator-domains-guide")) }
        dl {
            dt { (visit.say("domain-state-pending")) } dd { (visit.say("domain-state-pending-text")) }
            dt { (visit.say("domain-state-lost")) } dd { (visit.say("domain-state-lost-text")) }
        }
    }
}
