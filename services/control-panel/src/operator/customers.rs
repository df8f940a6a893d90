//! Customers: all of them, and a new one.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{
    ActivityState, CreateCustomerRequest, Customer, ListCustomersRequest, NewPassword, new_password::Secret,
};

use super::{Desk, Staff, head, path};
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout::{self, said::Said},
    visit::Visit,
};

pub(super) static DESK: Desk = Desk { name: "customers", title: "operator-customers", icon: "person", guide };

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 3] =
    [("login", "login"), ("display_name", "display-name"), ("password", "password")];
const COLUMNS: [&str; 4] = ["operator-customer", "pop-column-name", "operator-domains", "pop-column-state"];

pub(super) async fn list(staff: Staff) -> Result<Response, Failure> {
    let request =
        ListCustomersRequest { page_token: staff.visit.query.get("page").to_owned(), ..Default::default() };
    let page = staff.calls().customers().list_customers(request).await?.into_inner();
    let body = html! {
        p.lead { (staff.say("operator-customers-lead")) }
        @if staff.may_change() {
            div.actions { a.button.primary href=(path(&DESK, &["new"])) { (staff.say("operator-customer-new")) } }
        }
        @if page.customers.is_empty() {
            (layout::empty(&staff.say("operator-customers-none"), &staff.say("operator-customers-none-text"), None))
        } @else {
            table.list {
                (head(&staff, &COLUMNS))
                tbody { @for customer in &page.customers { (row(&staff, customer)) } }
            }
        }
        (layout::paging(&staff.visit, &path(&DESK, &[]), &page.next_page_token))
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
            td data-label=(staff.say(COLUMNS[2])) { (customer.domains.join(", ")) }
            td data-label=(staff.say(COLUMNS[3])) { (state(staff, customer)) }
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
        Ok(form(&staff, &Form::default(), &Problems::none()))
    } else {
        Err(Failure::NotPermitted)
    }
}

pub(super) async fn create(staff: Staff) -> Result<Response, Failure> {
    let typed = &staff.visit.form;
    if typed.get("password") != typed.get("password-again") {
        let mut problems = Problems::none();
        problems.at("password-again", staff.say("pop-password-differs"));
        return Ok(layout::refused(form(&staff, typed, &problems)));
    }
    let request = CreateCustomerRequest {
        login: typed.trimmed("login").to_owned(),
        display_name: typed.get("display-name").to_owned(),
        password: Some(NewPassword { secret: Some(Secret::Plain(typed.get("password").to_owned())) }),
        request_id: typed.get("request-id").to_owned(),
    };
    match staff.calls().customers().create_customer(request).await {
        Ok(answer) => {
            let login = answer.into_inner().customer.map(|customer| customer.login).unwrap_or_default();
            let said = Said::new("operator-customer-created").with("name", &login);
            Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&staff.visit, status.into(), &NAMES)?;
            Ok(layout::refused(form(&staff, typed, &problems)))
        }
    }
}

fn form(staff: &Staff, typed: &Form, problems: &Problems) -> Response {
    let visit = &staff.visit;
    // The same form sent twice makes one customer.
    let request_id = match typed.get("request-id") {
        "" => uuid::Uuid::new_v4().to_string(),
        known => known.to_owned(),
    };
    let body = html! {
        (problems.summary(&staff.say("form-see-below")))
        form.card method="post" action=(path(&DESK, &["new"])) {
            (layout::form_token(visit))
            input type="hidden" name="request-id" value=(request_id);
            (Field::new("login", staff.say("operator-field-login")).hint(staff.say("operator-field-login-hint"))
                .value(typed.get("login")).problem(problems).required().text())
            (Field::new("display-name", staff.say("pop-field-name")).value(typed.get("display-name"))
                .problem(problems).text())
            (passwords(staff, problems))
            div.actions {
                button.primary type="submit" { (staff.say("operator-customer-create")) }
                a.button href=(path(&DESK, &[])) { (staff.say("form-cancel")) }
            }
        }
    };
    staff.page(&DESK, staff.say("operator-customer-new"), body)
}

/// A new password, twice.
pub(super) fn passwords(staff: &Staff, problems: &Problems) -> Markup {
    html! {
        (Field::new("password", staff.say("pop-field-password")).hint(staff.say("pop-field-password-hint"))
            .problem(problems).required().autocomplete("new-password").password())
        (Field::new("password-again", staff.say("pop-field-password-again")).problem(problems).required()
            .autocomplete("new-password").password())
    }
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
