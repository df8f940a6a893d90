//! Customers: all of them, and a new one.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{ActivityState, CreateCustomerRequest, Customer, ListCustomersRequest};

use super::{Desk, Staff, head, path};
use crate::{
    call::Failure,
    form::{self, Field, Form, Problems},
    layout::{self, finding, said::Said},
    new_password,
    visit::Visit,
};

pub(super) static DESK: Desk = Desk { name: "customers", title: "operator-customers", icon: "person", guide };

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 3] =
    [("login", "login"), ("display_name", "display-name"), ("password", "password")];
/// Domains of a customer that its row names.
const DOMAINS_SHOWN: usize = 5;
const COLUMNS: [&str; 4] = ["operator-customer", "pop-column-name", "operator-domains", "pop-column-state"];

pub(super) async fn list(staff: Staff) -> Result<Response, Failure> {
    let request = ListCustomersRequest {
        page_token: staff.visit.query.get("page").to_owned(),
        prefix: finding::asked(&staff.visit),
        ..ListCustomersRequest::default()
    };
    let page = staff.calls().customers().list_customers(request).await?.into_inner();
    let body = html! {
        p.lead { (staff.say("operator-customers-lead")) }
        @if staff.may_change() {
            div.actions { a.button.primary href=(path(&DESK, &["new"])) { (staff.say("operator-customer-new")) } }
        }
        (finding::search(&staff.visit, &path(&DESK, &[]), &page.next_page_token))
        @if let Some(nothing) = finding::nothing(&staff.visit).filter(|_| page.customers.is_empty()) {
            (nothing)
        } @else if page.customers.is_empty() {
            (layout::empty(&staff.say("operator-customers-none"), &staff.say("operator-customers-none-text"), None))
        } @else {
            table.list {
                (head(&staff, &COLUMNS))
                tbody { @for customer in &page.customers { (row(&staff, customer)) } }
            }
        }
        (finding::paging(&staff.visit, &path(&DESK, &[]), &page.next_page_token))
    };
    Ok(staff.page(&DESK, staff.say(DESK.title), body))
}

fn row(staff: &Staff, customer: &Customer) -> Markup {
    html! {
        tr {
            th scope="row" data-label=(staff.say(COLUMNS[0])) {
                a href=(path(&DESK, &["of", &customer.login])) { (customer.login) }
            }
            td data-label=(staff.say(COLUMNS[1])) { (customer.display_name) }
            td data-label=(staff.say(COLUMNS[2])) { (domains(staff, customer)) }
            td data-label=(staff.say(COLUMNS[3])) { (state(staff, customer)) }
        }
    }
}

/// The first of its domains, and how many more there are.
fn domains(staff: &Staff, customer: &Customer) -> Markup {
    let shown = customer.domains.iter().take(DOMAINS_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    let more = customer.domains.len().saturating_sub(DOMAINS_SHOWN);
    html! {
        (shown)
        @if more > 0 {
            " "
            a href={ (path(&super::domains::DESK, &[])) "?customer=" (customer.login) } {
                (staff.visit.reader.count("forward-more", i64::try_from(more).unwrap_or(i64::MAX)))
            }
        }
    }
}

pub(super) fn state(staff: &Staff, customer: &Customer) -> Markup {
    html! {
        @if customer.state() == ActivityState::Suspended {
            span.badge.bad { (staff.say("pop-state-suspended")) }
        } @else {
            span.badge.good { (staff.say("pop-state-active")) }
        }
    }
}

pub(super) async fn new_page(staff: Staff) -> Result<Response, Failure> {
    if staff.may_change() {
        Ok(show(&staff, &Form::default(), &Problems::none()))
    } else {
        Err(Failure::NotPermitted)
    }
}

pub(super) async fn create(staff: Staff) -> Result<Response, Failure> {
    let typed = &staff.visit.form;
    let mut problems = Problems::none();
    let password = Some(new_password::typed(&staff.visit, &mut problems).await?);
    if !problems.is_none() {
        return Ok(layout::refused(show(&staff, typed, &problems)));
    }
    let request = CreateCustomerRequest {
        login: typed.trimmed("login").to_owned(),
        display_name: typed.get("display-name").to_owned(),
        password,
        request_id: typed.request_id(),
    };
    match staff.calls().customers().create_customer(request).await {
        Ok(answer) => {
            let login = answer.into_inner().customer.map(|customer| customer.login).unwrap_or_default();
            let said = Said::new("operator-customer-created").with("name", &login);
            Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&staff.visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&staff, typed, &problems)))
        }
    }
}

fn show(staff: &Staff, typed: &Form, problems: &Problems) -> Response {
    let visit = &staff.visit;
    let body = html! {
        (problems.summary(&staff.say("form-see-below")))
        form.card method="post" action=(path(&DESK, &["new"])) {
            (layout::form_token(visit))
            (form::request_id(typed))
            (Field::new("login", staff.say("operator-field-login")).hint(staff.say("operator-field-login-hint"))
                .value(typed.get("login")).problem(problems).required().text())
            (Field::new("display-name", staff.say("pop-field-name")).value(typed.get("display-name"))
                .problem(problems).text())
            (new_password::fields(visit, problems))
            div.actions {
                button.primary type="submit" { (staff.say("operator-customer-create")) }
                a.button href=(path(&DESK, &[])) { (staff.say("form-cancel")) }
            }
        }
    };
    staff.page(&DESK, staff.say("operator-customer-new"), body)
}

fn guide(visit: &Visit) -> Markup {
    html! {
        p { (visit.say("operator-customers-guide")) }
        dl {
            dt { (visit.say("operator-field-login")) } dd { (visit.say("operator-customers-guide-login")) }
            dt { (visit.say("pop-state-suspended")) } dd { (visit.say("operator-customers-guide-suspend")) }
            dt { (visit.say("operator-limits")) } dd { (visit.say("operator-customers-guide-limits")) }
        }
    }
}
