//! The own password of a customer: the old one is asked for once more, so that a browser left alone gives nothing away.

use axum::response::Response;
use http::StatusCode;
use maud::html;
use postern_mesh::identity::Role;
use postern_proto::{
    account::v1::{NewPassword, SetCustomerPasswordRequest, new_password::Secret},
    auth::v1::CreatePanelSessionRequest,
};

use crate::{
    call::Failure,
    carry::Carried,
    form::{Field, Problems},
    front,
    layout::{self, Frame, Page},
    place::Somebody,
    router::{OWN_PASSWORD, SECURITY},
    session::{self, SessionToken},
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
    } else if !is_right(&visit, &person.caller.subject, form.get("current-password")).await? {
        problems.at("current-password", visit.say("front-wrong"));
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
        // Every session of the old password has ended with it, this one too.
        Ok(_) => {
            let gone = Visit { person: None, ..(*visit).clone() };
            Ok(front::page_saying(&gone, &Carried::default(), &visit.say("password-changed"), StatusCode::OK))
        }
        Err(status) => {
            let problems = Problems::from_failure(&visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&visit, &problems)))
        }
    }
}

/// Asks auth as at any sign-in, so that guessing is throttled as there; the session that this opens is ended at once.
async fn is_right(visit: &Visit, login: &str, password: &str) -> Result<bool, Failure> {
    let request = CreatePanelSessionRequest {
        login: login.to_owned(),
        password: password.as_bytes().to_vec().into(),
        peer_ip: visit.peer.to_string(),
        ..CreatePanelSessionRequest::default()
    };
    match session::open(&visit.panel, request).await {
        // Where a second factor is on no session is opened yet, and its code is not what is asked here.
        Ok(opened) if opened.token.is_empty() => Ok(true),
        Ok(opened) => {
            session::end(&visit.panel, &SessionToken::new(opened.token)).await?;
            Ok(true)
        }
        Err(status) if status.code() == tonic::Code::Unauthenticated => Ok(false),
        Err(status) => Err(status.into()),
    }
}

fn show(visit: &Visit, problems: &Problems) -> Response {
    let body = html! {
        p.lead { (visit.say("password-lead")) }
        (problems.summary(&visit.say("form-see-below")))
        form.card method="post" action=(OWN_PASSWORD) {
            (layout::form_token(visit))
            (Field::new("current-password", visit.say("password-current")).problem(problems).required()
                .autocomplete("current-password").password())
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
