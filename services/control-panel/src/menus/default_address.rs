//! The default address: what becomes of mail for names that nothing else takes.

use std::sync::Arc;

use axum::{Router, response::Response, routing::get};
use maud::{Markup, html};
use postern_proto::account::v1::{
    DefaultAction, DefaultAddress, GetDefaultAddressRequest, UpdateDefaultAddressRequest,
};

use super::{Menu, pop_accounts};
use crate::{
    Panel,
    call::Failure,
    form::{Field, Form, Problems},
    layout::{self, said::Said},
    place::Place,
};

pub(crate) static MENU: Menu = Menu {
    name: "default-address",
    title: "default-title",
    icon: "default",
    guide,
    for_mailbox_users: false,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 2] = [("default_address.target", "target"), ("default_address.action", "action")];

pub(super) fn routes() -> Router<Arc<Panel>> {
    Router::new().route("/controlpanel/{domain}/default-address", get(page).post(change))
}

async fn page(place: Place) -> Result<Response, Failure> {
    let rule = rule(&place).await?;
    Ok(show(&place, &rule.etag, &shown(&rule), &Problems::none()))
}

async fn change(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let before = rule(&place).await?;
    let action = match form.get("action") {
        "box" => DefaultAction::Box,
        "reject" => DefaultAction::Reject,
        "discard" => DefaultAction::Discard,
        "address" => DefaultAction::Address,
        _ => return Err(Failure::BadForm),
    };
    if action != DefaultAction::Address && form.is_typed_anew("target", &shown(&before)) {
        let mut problems = Problems::none();
        problems.at("target", place.say("default-target-unused"));
        return Ok(layout::refused(show(&place, &before.etag, form, &problems)));
    }
    let target = if action == DefaultAction::Address { form.trimmed("target") } else { "" };
    let wanted = DefaultAddress {
        domain: place.name().to_owned(),
        action: action.into(),
        target: target.to_owned(),
        etag: form.get("etag").to_owned(),
    };
    let request = UpdateDefaultAddressRequest { default_address: Some(wanted) };
    match place.calls().default_addresses().update_default_address(request).await {
        Ok(answer) => {
            // Undoing sends what there was before, and is too late itself when somebody has changed it again.
            let etag = answer.into_inner().default_address.unwrap_or_default().etag;
            let before = shown(&before);
            let fields =
                [("action", before.get("action")), ("target", before.get("target")), ("etag", &*etag)];
            let path = place.path(&MENU, &[]);
            let said = Said::new("default-changed").with("name", place.name()).undo(path.clone(), &fields);
            Ok(place.visit.done(&path, &said))
        }
        Err(status) => {
            let now = rule(&place).await?;
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            let problems = problems.beside(&place.visit, shown(&now));
            Ok(layout::refused(show(&place, &now.etag, form, &problems)))
        }
    }
}

async fn rule(place: &Place) -> Result<DefaultAddress, Failure> {
    let request = GetDefaultAddressRequest { domain: place.name().to_owned() };
    let answer = place.calls().default_addresses().get_default_address(request).await?;
    answer.into_inner().default_address.ok_or(Failure::NotFound)
}

fn shown(rule: &DefaultAddress) -> Form {
    let action = match rule.action() {
        DefaultAction::Reject => "reject",
        DefaultAction::Discard => "discard",
        DefaultAction::Address => "address",
        DefaultAction::Box | DefaultAction::Unspecified => "box",
    };
    Form::of(vec![("action".to_owned(), action.to_owned()), ("target".to_owned(), rule.target.clone())])
}

/// The form, for the rule of this etag.
fn show(place: &Place, etag: &str, form: &Form, problems: &Problems) -> Response {
    let choice = |value, text: &str, explanation: &str| (value, place.say(text), place.say(explanation));
    let choices = [
        choice("box", "default-box", "default-box-text"),
        choice("address", "default-address", "default-address-text"),
        choice("reject", "default-reject", "default-reject-text"),
        choice("discard", "default-discard", "default-discard-text"),
    ];
    let login = &place.domain.login;
    let body = html! {
        p.lead { (place.visit.name("default-lead", place.name())) }
        (problems.summary(&place.say("form-see-below")))
        form.card method="post" action=(place.path(&MENU, &[])) {
            (layout::form_token(&place.visit))
            input type="hidden" name="etag" value=(etag);
            (Field::new("action", place.say("default-field-action")).value(form.get("action")).problem(problems)
                .radio(&choices))
            (Field::new("target", place.say("default-field-target")).hint(place.say("default-field-target-hint"))
                .value(form.get("target")).problem(problems).text())
            (place.only_with("account.v1.DefaultAddressService/UpdateDefaultAddress", &html! {
                div.actions { button.primary type="submit" { (place.say("form-save")) } }
            }))
        }
        @if !login.is_empty() {
            section.card {
                h2 { (place.say("default-box")) }
                p { (place.visit.name("default-box-login", login)) }
                div.actions {
                    a.button href=(place.path(&pop_accounts::MENU, &["box", login])) { (place.say("default-box-open")) }
                }
            }
        }
    };
    place.page(&MENU, place.say(MENU.title), body)
}

fn guide(place: &Place) -> Markup {
    let visit = &place.visit;
    html! {
        p { (visit.name("default-guide", place.name())) }
        dl {
            dt { (place.say("default-guide-order")) } dd { (place.say("default-guide-order-text")) }
            dt { (place.say("default-guide-postmaster")) } dd { (visit.name("default-guide-postmaster-text", place.name())) }
            dt { (place.say("default-guide-spam")) } dd { (place.say("default-guide-spam-text")) }
        }
    }
}
