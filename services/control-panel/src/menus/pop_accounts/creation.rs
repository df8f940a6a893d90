//! A new box.

use axum::response::Response;
use maud::html;
use postern_proto::account::v1::{CreateMailboxRequest, Mailbox};

use super::{MENU, box_path, changes};
use crate::{
    call::Failure,
    form::{self, Field, Form, Problems},
    layout::{self, said::Said},
    menus::whole_address,
    new_password,
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
    place.must("account.v1.MailboxService/CreateMailbox")?;
    Ok(show(&place, &Form::default(), &Problems::none()))
}

pub(super) async fn create(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let mut problems = Problems::none();
    let shown = changes::shown(&Mailbox::default());
    let quota_bytes = changes::quota(&place, form, &shown, &mut problems);
    let password = new_password::typed(&place.visit, &mut problems).await?;
    if !problems.is_none() {
        return Ok(layout::refused(show(&place, form, &problems)));
    }
    let address = whole_address(&place, form.trimmed("local"));
    let request = CreateMailboxRequest {
        address: address.clone(),
        password: Some(password),
        display_name: form.get("display-name").to_owned(),
        request_id: form.request_id(),
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
    let body = html! {
        p.lead { (visit.name("pop-new-lead", place.name())) }
        (problems.summary(&place.say("form-see-below")))
        form.card method="post" action=(place.path(&MENU, &["new"])) {
            (layout::form_token(visit))
            (form::request_id(form))
            (Field::new("local", place.say("pop-field-address")).hint(place.say("pop-field-address-hint"))
                .value(form.get("local")).suffix(format!("@{}", place.name())).problem(problems).required().text())
            (Field::new("display-name", place.say("pop-field-name")).hint(place.say("pop-field-name-hint"))
                .value(form.get("display-name")).problem(problems).text())
            (new_password::fields(visit, problems))
            (changes::quota_fields(place, form.get("quota-kind"), form.get("quota"), problems))
            div.actions {
                button.primary type="submit" { (place.say("pop-create")) }
                a.button href=(place.path(&MENU, &[])) { (place.say("form-cancel")) }
            }
        }
    };
    place.page(&MENU, place.say("pop-new"), body)
}
