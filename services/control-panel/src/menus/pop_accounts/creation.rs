//! A new box.

use axum::response::Response;
use maud::html;
use postern_proto::account::v1::{CreateMailboxRequest, NewPassword, new_password::Secret};

use super::{MENU, box_path, changes};
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout::{self, said::Said},
    menus::whole_address,
    place::Place,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 4] = [
    ("address", "local"),
    ("password", "password"),
    ("display_name", "display-name"),
    ("quota_bytes", "quota"),
];

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    Ok(show(&place, &Form::default(), &Problems::none()))
}

pub(super) async fn create(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let mut problems = Problems::none();
    let quota_bytes = changes::quota(&place, form, &mut problems);
    if form.get("password") != form.get("password-again") {
        problems.at("password-again", place.say("pop-password-differs"));
    }
    if !problems.is_none() {
        return Ok(layout::refused(show(&place, form, &problems)));
    }
    let address = whole_address(&place, form.trimmed("local"));
    let request = CreateMailboxRequest {
        address: address.clone(),
        password: Some(NewPassword { secret: Some(Secret::Plain(form.get("password").to_owned())) }),
        display_name: form.get("display-name").to_owned(),
        request_id: form.get("request-id").to_owned(),
        quota_bytes,
    };
    match place.calls().mailboxes().create_mailbox(request).await {
        Ok(answer) => {
            let login = answer.into_inner().mailbox.map_or(address, |mailbox| mailbox.login);
            let said = Said::new("pop-created").with("name", &login);
            Ok(place.visit.done(&box_path(&place, &login), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&place, form, &problems)))
        }
    }
}

fn show(place: &Place, form: &Form, problems: &Problems) -> Response {
    let visit = &place.visit;
    // The same form sent twice makes one box.
    let request_id = match form.get("request-id") {
        "" => uuid::Uuid::new_v4().to_string(),
        known => known.to_owned(),
    };
    let body = html! {
        p.lead { (visit.name("pop-new-lead", place.name())) }
        (problems.summary(&place.say("form-see-below")))
        form.card method="post" action=(place.path(&MENU, &["new"])) {
            (layout::form_token(visit))
            input type="hidden" name="request-id" value=(request_id);
            (Field::new("local", place.say("pop-field-address")).hint(place.say("pop-field-address-hint"))
                .value(form.get("local")).suffix(format!("@{}", place.name())).problem(problems).required().text())
            (Field::new("display-name", place.say("pop-field-name")).hint(place.say("pop-field-name-hint"))
                .value(form.get("display-name")).problem(problems).text())
            (changes::password_fields(place, problems))
            (changes::quota_fields(place, form.get("quota-kind"), form.get("quota"), problems))
            div.actions {
                button.primary type="submit" { (place.say("pop-create")) }
                a.button href=(place.path(&MENU, &[])) { (place.say("form-cancel")) }
            }
        }
    };
    place.page(&MENU, place.say("pop-new"), body)
}
