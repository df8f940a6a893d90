//! One forward: made, changed, removed, brought back.

use axum::response::Response;
use maud::html;
use postern_proto::{
    account::v1::{
        CreateForwardRequest, DeleteForwardRequest, Forward, GetForwardRequest, UpdateForwardRequest,
    },
    google::FieldMask,
};

use super::{MENU, forward_path};
use crate::{
    call::{Failure, found},
    form::{self, Field, Form, Problems},
    layout::{self, said::Said},
    menus::{undo, whole_address},
    place::Place,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 3] =
    [("forward.address", "local"), ("forward.targets", "targets"), ("forward.keep_copy", "keep-copy")];

pub(super) async fn new_page(place: Place) -> Result<Response, Failure> {
    place.must("account.v1.ForwardService/CreateForward")?;
    Ok(show(&place, None, &Form::default(), &Problems::none()))
}

pub(super) async fn create(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let forward = Forward { address: whole_address(&place, form.trimmed("local")), ..typed(form) };
    let request = CreateForwardRequest { forward: Some(forward.clone()), request_id: form.request_id() };
    match place.calls().forwards().create_forward(request).await {
        Ok(_) => {
            let said = Said::new("forward-created").with("name", &forward.address);
            Ok(place.visit.done(&list_path(&place), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            Ok(layout::refused(show(&place, None, form, &problems)))
        }
    }
}

pub(super) async fn page(place: Place) -> Result<Response, Failure> {
    let stored = stored(&place).await?;
    if stored.is_none() && !place.person.is_mailbox_user() {
        return Err(Failure::NotFound);
    }
    let form = match &stored {
        Some(forward) => shown(forward),
        // The user of one box begins here.
        None => Form::of(vec![("local".to_owned(), place.param("name").to_owned())]),
    };
    Ok(show(&place, stored.as_ref(), &form, &Problems::none()))
}

pub(super) async fn change(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let address = place.param("name").to_owned();
    let forward = Forward { address: address.clone(), etag: form.get("etag").to_owned(), ..typed(form) };
    let paths = vec!["targets".to_owned(), "keep_copy".to_owned()];
    let request = UpdateForwardRequest { forward: Some(forward), update_mask: Some(FieldMask { paths }) };
    match place.calls().forwards().update_forward(request).await {
        Ok(_) => {
            let said = Said::new("forward-changed").with("name", &address);
            Ok(place.visit.done(&forward_path(&place, &address), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &NAMES)?;
            // The etag of now: whoever has read what changed may save over it.
            let now = stored(&place).await?.ok_or(Failure::NotFound)?;
            let problems = problems.beside(&place.visit, shown(&now));
            Ok(layout::refused(show(&place, Some(&now), form, &problems)))
        }
    }
}

pub(super) async fn remove(place: Place) -> Result<Response, Failure> {
    let address = place.param("name").to_owned();
    let request = DeleteForwardRequest { address: address.clone() };
    let audit_id = place.calls().forwards().delete_forward(request).await?.into_inner().audit_id;
    let said = Said::new("forward-removed").with("name", &address);
    let said = undo::offered(said, place.path(&MENU, &["restore"]), audit_id);
    // The user of one box has one forward and no list of them.
    let to = if place.person.is_mailbox_user() { forward_path(&place, &address) } else { list_path(&place) };
    Ok(place.visit.done(&to, &said))
}

/// Brings back what a removal took away.
pub(super) async fn restore(place: Place) -> Result<Response, Failure> {
    let name = undo::removal(&place).await?.name;
    let said = Said::new("forward-restored").with("name", &name);
    Ok(place.visit.done(&forward_path(&place, &name), &said))
}

fn list_path(place: &Place) -> String {
    place.path(&MENU, &[])
}

async fn stored(place: &Place) -> Result<Option<Forward>, Failure> {
    let address = place.param("name");
    if !address.ends_with(&format!("@{}", place.name())) {
        return Err(Failure::NotFound);
    }
    let request = GetForwardRequest { address: address.to_owned() };
    Ok(found(place.calls().forwards().get_forward(request).await)?.and_then(|answer| answer.forward))
}

fn typed(form: &Form) -> Forward {
    Forward { targets: form.lines("targets"), keep_copy: form.has("keep-copy"), ..Forward::default() }
}

fn shown(forward: &Forward) -> Form {
    let mut fields = vec![("targets".to_owned(), forward.targets.join("\n"))];
    if forward.keep_copy {
        fields.push(("keep-copy".to_owned(), "yes".to_owned()));
    }
    Form::of(fields)
}

/// The form; `stored`: the forward that it changes, none for a new one.
fn show(place: &Place, stored: Option<&Forward>, form: &Form, problems: &Problems) -> Response {
    let visit = &place.visit;
    let own = place.person.is_mailbox_user();
    let action =
        stored.map_or_else(|| place.path(&MENU, &["new"]), |forward| forward_path(place, &forward.address));
    let body = html! {
        (problems.summary(&place.say("form-see-below")))
        form.card method="post" action=(action) {
            (layout::form_token(visit))
            @match stored {
                Some(forward) => {
                    input type="hidden" name="etag" value=(forward.etag);
                    dl.facts { dt { (place.say("forward-column-address")) } dd { code { (forward.address) } } }
                }
                None => {
                    (form::request_id(form))
                    @if own {
                        input type="hidden" name="local" value=(form.get("local"));
                        dl.facts { dt { (place.say("forward-column-address")) } dd { code { (form.get("local")) } } }
                    } @else {
                        (Field::new("local", place.say("forward-field-address"))
                            .hint(place.say("forward-field-address-hint")).value(form.get("local"))
                            .suffix(format!("@{}", place.name())).problem(problems).required().text())
                    }
                }
            }
            (Field::new("targets", place.say("forward-field-targets")).hint(place.say("forward-field-targets-hint"))
                .value(form.get("targets")).problem(problems).required().area(5))
            (Field::new("keep-copy", place.say("forward-field-copy")).hint(place.say("forward-field-copy-hint"))
                .problem(problems).tick(form.has("keep-copy")))
            (place.only_with("account.v1.ForwardService/UpdateForward", &html! { div.actions {
                button.primary type="submit" {
                    @if stored.is_some() { (place.say("form-save")) } @else { (place.say("forward-create")) }
                }
                @if !own { a.button href=(list_path(place)) { (place.say("form-cancel")) } }
            } }))
        }
        @if let Some(forward) = stored.filter(|_| place.may("account.v1.ForwardService/DeleteForward")) {
            section.card {
                h2 { (place.say("forward-remove")) }
                p { (place.say("forward-remove-hint")) }
                div.actions {
                    (layout::button(visit, &format!("{}/remove", forward_path(place, &forward.address)),
                        &place.say("forward-remove-this"), "danger", &[]))
                }
            }
        }
    };
    let title = stored.map_or_else(|| place.say("forward-new"), |forward| forward.address.clone());
    place.page(&MENU, title, body)
}
