//! One customer: whether it may use what is its own, its domains, its password, its limits.

use axum::{extract::Path, response::Response};
use maud::{Markup, html};
use postern_proto::{
    account::v1::{
        ActivityState, CreateDomainRequest, Customer, CustomerLimits, GetCustomerRequest, GetLimitsRequest,
        SetCustomerPasswordRequest, UpdateCustomerRequest, UpdateLimitsRequest,
    },
    google::FieldMask,
};

use super::{
    Staff,
    customers::{DESK, state},
    limits, path, security,
};
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout::{self, button, said::Said},
    menus, new_password,
    place::path_at,
};

/// As account names the fields, and as the forms do.
const NAMES: [(&str, &str); 2] = [("name", "domain"), ("password", "password")];

pub(super) async fn page(Path(login): Path<String>, staff: Staff) -> Result<Response, Failure> {
    show(&staff, &login, None, &Problems::none()).await
}

async fn show(
    staff: &Staff,
    login: &str,
    typed: Option<&Form>,
    problems: &Problems,
) -> Result<Response, Failure> {
    let (customer, limits) = known(staff, login).await?;
    let problems =
        &problems.clone().beside(&staff.visit, limits::all_shown(&limits.limits.unwrap_or_default()));
    let security = security::card(staff, &customer.login).await;
    let body = html! {
        (problems.summary(&staff.say("form-see-below")))
        div.cards.wide {
            (facts(staff, &customer))
            (security)
            @if staff.may_change() {
                (domain_form(staff, &customer, typed, problems))
                section.card {
                    h2 { (staff.say("pop-password")) }
                    form method="post" action=(path(&DESK, &["of", login, "password"])) {
                        (layout::form_token(&staff.visit))
                        (new_password::fields(&staff.visit, problems))
                        div.actions { button.primary type="submit" { (staff.say("pop-set-password")) } }
                    }
                }
            }
        }
        (limits::card(staff, login, &limits, typed, problems))
    };
    let response = staff.page(&DESK, customer.login, body);
    Ok(if problems.is_none() { response } else { layout::refused(response) })
}

async fn known(staff: &Staff, login: &str) -> Result<(Customer, CustomerLimits), Failure> {
    let (mut customers, mut limits) = (staff.calls().customers(), staff.calls().limits());
    let (customer, limits) = tokio::join!(
        customers.get_customer(GetCustomerRequest { login: login.to_owned() }),
        limits.get_limits(GetLimitsRequest { customer: login.to_owned() }),
    );
    let customer = match customer.map_err(Failure::from) {
        // What is no login in an address of a page does not exist.
        Err(Failure::Field { .. }) => return Err(Failure::NotFound),
        other => other?.into_inner().customer.ok_or(Failure::NotFound)?,
    };
    Ok((customer, limits?.into_inner().limits.ok_or(Failure::NotFound)?))
}

fn facts(staff: &Staff, customer: &Customer) -> Markup {
    let reader = &staff.visit.reader;
    let suspended = customer.state() == ActivityState::Suspended;
    let (text, class, wanted) = if suspended {
        ("operator-resume", "primary", "active")
    } else {
        ("operator-suspend", "danger", "suspended")
    };
    html! {
        section.card {
            h2 { (staff.say("pop-facts")) }
            dl.facts {
                @if !customer.display_name.is_empty() {
                    dt { (staff.say("pop-column-name")) } dd { (customer.display_name) }
                }
                dt { (staff.say("pop-column-state")) } dd { (state(staff, customer)) }
                dt { (staff.say("pop-created-at")) } dd { (reader.moment_or(customer.create_time.as_ref(), "–")) }
                dt { (staff.say("operator-domains")) }
                dd {
                    span.stack {
                        @for domain in &customer.domains { a href=(path_at(domain, menus::ALL[0], &[])) { (domain) } }
                    }
                }
            }
            @if staff.may_change() {
                div.actions {
                    (button(&staff.visit, &path(&DESK, &["of", &customer.login, "state"]), &staff.say(text), class,
                        &[("state", wanted)]))
                }
            }
        }
    }
}

fn domain_form(staff: &Staff, customer: &Customer, typed: Option<&Form>, problems: &Problems) -> Markup {
    let typed = typed.filter(|form| form.has("domain"));
    html! {
        section.card {
            h2 { (staff.say("domain-add")) }
            form method="post" action=(path(&DESK, &["of", &customer.login, "domain"])) {
                (layout::form_token(&staff.visit))
                (Field::new("domain", staff.say("domain-field-name")).hint(staff.say("domain-field-name-hint"))
                    .value(typed.map_or("", |form| form.get("domain"))).problem(problems).required().text())
                (Field::new("live", staff.say("operator-field-live")).hint(staff.say("operator-field-live-hint"))
                    .tick(typed.is_some_and(|form| form.has("live"))))
                div.actions { button.primary type="submit" { (staff.say("domain-add")) } }
            }
        }
    }
}

pub(super) async fn set_state(Path(login): Path<String>, staff: Staff) -> Result<Response, Failure> {
    let (state, undone, said) = match staff.visit.form.get("state") {
        "suspended" => (ActivityState::Suspended, "active", "operator-suspended"),
        "active" => (ActivityState::Active, "suspended", "operator-resumed"),
        _ => return Err(Failure::BadForm),
    };
    let request = UpdateCustomerRequest {
        customer: Some(Customer { login: login.clone(), state: state.into(), ..Customer::default() }),
        update_mask: Some(FieldMask { paths: vec!["state".to_owned()] }),
    };
    staff.calls().customers().update_customer(request).await?;
    let undo = path(&DESK, &["of", &login, "state"]);
    let said = Said::new(said).with("name", &login).undo(undo, &[("state", undone)]);
    Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
}

pub(super) async fn set_password(Path(login): Path<String>, staff: Staff) -> Result<Response, Failure> {
    let form = &staff.visit.form;
    let mut problems = Problems::none();
    let password = Some(new_password::typed(&staff.visit, &mut problems).await?);
    if !problems.is_none() {
        return show(&staff, &login, Some(form), &problems).await;
    }
    let request = SetCustomerPasswordRequest { login: login.clone(), password };
    match staff.calls().customers().set_customer_password(request).await {
        Ok(_) => {
            let said = Said::new("pop-password-changed").with("name", &login);
            Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&staff.visit, status.into(), &NAMES)?;
            show(&staff, &login, Some(form), &problems).await
        }
    }
}

pub(super) async fn add_domain(Path(login): Path<String>, staff: Staff) -> Result<Response, Failure> {
    let form = &staff.visit.form;
    let request = CreateDomainRequest {
        name: form.trimmed("domain").to_owned(),
        customer: login.clone(),
        live: form.has("live"),
        ..CreateDomainRequest::default()
    };
    match staff.calls().domains().create_domain(request).await {
        Ok(answer) => {
            let name = answer.into_inner().domain.map(|domain| domain.name).unwrap_or_default();
            let said = Said::new("operator-domain-added").with("name", &name);
            Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&staff.visit, status.into(), &NAMES)?;
            show(&staff, &login, Some(form), &problems).await
        }
    }
}

pub(super) async fn set_limits(Path(login): Path<String>, staff: Staff) -> Result<Response, Failure> {
    let form = &staff.visit.form;
    let mut problems = Problems::none();
    let stored = known(&staff, &login).await?.1.limits.unwrap_or_default();
    let limits = Some(limits::typed(&staff, form, &stored, &mut problems));
    if !problems.is_none() {
        return show(&staff, &login, Some(form), &problems).await;
    }
    let limits = CustomerLimits {
        customer: login.clone(),
        limits,
        etag: form.get("etag").to_owned(),
        ..CustomerLimits::default()
    };
    match staff.calls().limits().update_limits(UpdateLimitsRequest { limits: Some(limits) }).await {
        Ok(_) => {
            let said = Said::new("operator-limits-changed").with("name", &login);
            Ok(staff.visit.done(&path(&DESK, &["of", &login]), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&staff.visit, status.into(), &NAMES)?;
            show(&staff, &login, Some(form), &problems).await
        }
    }
}
