//! One more domain, or one less.

use axum::response::Response;
use maud::html;
use postern_proto::account::v1::{CreateDomainRequest, DeleteDomainRequest};

use super::MENU;
use crate::{
    call::Failure,
    form::{self, Field, Form, Problems},
    layout::{self, said::Said},
    place::{Place, path_at},
    router::FRONT,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 2] = [("name", "name"), ("alias_of", "alias")];

pub(super) async fn new_page(place: Place) -> Result<Response, Failure> {
    Ok(show(&place, &Form::default(), &Problems::none()))
}

pub(super) async fn create(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let request = CreateDomainRequest {
        name: form.trimmed("name").to_owned(),
        customer: place.domain.customer.clone(),
        request_id: form.request_id(),
        alias_of: if form.has("alias") { place.name().to_owned() } else { String::new() },
        ..CreateDomainRequest::default()
    };
    match place.calls().domains().create_domain(request).await {
        Ok(answer) => {
            let domain = answer.into_inner().domain.ok_or(Failure::Away)?;
            let said = Said::new("domain-created").with("name", &domain.name);
            Ok(place.visit.done(&path_at(&domain.name, &MENU, &[]), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&place, form, &problems)))
        }
    }
}

fn show(place: &Place, form: &Form, problems: &Problems) -> Response {
    let path = place.path(&MENU, &[]);
    let body = html! {
        p.lead { (place.say("domain-new-lead")) }
        (problems.summary(&place.say("form-see-below")))
        form.card method="post" action={ (path) "/new" } {
            (layout::form_token(&place.visit))
            (form::request_id(form))
            (Field::new("name", place.say("domain-field-name")).hint(place.say("domain-field-name-hint"))
                .value(form.get("name")).problem(problems).required().text())
            @if place.domain.alias_of.is_empty() {
                (Field::new("alias", place.visit.name("domain-field-alias", place.name()))
                    .hint(place.say("domain-field-alias-hint")).problem(problems).tick(form.has("alias")))
            }
            div.actions {
                button.primary type="submit" { (place.say("domain-add")) }
                a.button href=(path) { (place.say("form-cancel")) }
            }
        }
    };
    place.page(&MENU, place.say("domain-add"), body)
}

pub(super) async fn remove_page(place: Place) -> Result<Response, Failure> {
    Ok(ask(&place, &Problems::none()))
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    // So much goes with it that its name must be typed.
    if !place.visit.form.trimmed("confirm").eq_ignore_ascii_case(place.name()) {
        let mut problems = Problems::none();
        problems.at("confirm", place.visit.name("domain-remove-differs", place.name()));
        return Ok(layout::refused(ask(&place, &problems)));
    }
    let request = DeleteDomainRequest { name: place.name().to_owned(), ..Default::default() };
    match place.calls().domains().delete_domain(request).await {
        Ok(_) => Ok(place.visit.done(FRONT, &Said::new("domain-removed").with("name", place.name()))),
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &[])?;
            Ok(layout::refused(ask(&place, &problems)))
        }
    }
}

fn ask(place: &Place, problems: &Problems) -> Response {
    let path = place.path(&MENU, &[]);
    let body = html! {
        (problems.summary(&place.say("form-see-below")))
        form.card.danger method="post" action={ (path) "/remove" } {
            (layout::form_token(&place.visit))
            p { (place.visit.name("domain-remove-ask", place.name())) }
            (Field::new("confirm", place.visit.name("domain-remove-confirm", place.name()))
                .value(place.visit.form.get("confirm")).problem(problems).required().text())
            div.actions {
                button.danger type="submit" { (place.say("domain-remove-this")) }
                a.button href=(path) { (place.say("form-cancel")) }
            }
        }
    };
    place.page(&MENU, place.say("domain-remove-this"), body)
}
