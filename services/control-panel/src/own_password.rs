//! The own password of a customer.

use axum::response::Response;
use http::StatusCode;
use maud::html;
use postern_mesh::identity::Role;
use postern_proto::account::v1::{NewPassword, SetCustomerPasswordRequest, new_password::Secret};

use crate::{
    call::Failure,
    form::{Field, Problems},
    layout::{self, Frame, Page},
    new_password,
    place::Somebody,
    router::{OWN_PASSWORD, SECURITY},
    visit::Visit,
};

/// As account names the field, and as the form does.
const NAMES: [(&str, &str); 1] = [("password", "new-password")];

pub(crate) async fn page(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    if person.caller.role != Role::Customer {
        return Err(Failure::NotFound);
    }
    Ok(show(&visit, &Problems::none()))
}

pub(crate) async fn change(Somebody { visit, person }: Somebody) -> Result<Response, Failure> {
    if person.caller.role != Role::Customer {
        return Err(Failure::NotFound);
    }
    if !visit.may_give_password() {
        return Err(Failure::NeedsTls);
    }
    let form = &visit.form;
    let mut problems = Problems::none();
    if form.get("new-password") != form.get("password-again") {
        problems.at("password-again", visit.say("pop-password-differs"));
    } else {
        new_password::check_current(&visit, &person.caller.subject, &mut problems).await?;
    }
    if !problems.is_none() {
        return Ok(layout::refused(show(&visit, &problems)));
    }
    let secret = Secret::Plain(form.get("new-password").to_owned());
    let request = SetCustomerPasswordRequest {
        login: person.caller.customer.clone(),
        password: Some(NewPassword { secret: Some(secret) }),
    };
    match person.calls.customers().set_customer_password(request).await {
        Ok(_) => Ok(new_password::signed_out(&visit).await),
        Err(status) => {
            let problems = Problems::from_failure(&visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&visit, &problems)))
        }
    }
}

fn show(visit: &Visit, problems: &Problems) -> Response {
    let body = html! {
        p.lead { (visit.say("password-lead")) }
        (problems.summary(&visit.say("form-see-below")))
        form.card method="post" action=(OWN_PASSWORD) {
            (layout::form_token(visit))
            (new_password::current(visit, problems))
            (Field::new("new-password", visit.say("password-new")).hint(visit.say("pop-field-password-hint"))
                .problem(problems).required().autocomplete("new-password").password())
            (Field::new("password-again", visit.say("pop-field-password-again")).problem(problems).required()
                .autocomplete("new-password").password())
            div.actions {
                button.primary type="submit" { (visit.say("pop-set-password")) }
                a.button href=(SECURITY) { (visit.say("form-cancel")) }
            }
        }
    };
    let page = Page {
        title: visit.say("password-title"),
        crumbs: vec![(visit.say("security-title"), SECURITY.to_owned())],
        body,
        guide: None,
        status: StatusCode::OK,
    };
    layout::page(&Frame::Visit(visit), page)
}
