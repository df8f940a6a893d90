//! What can be changed of a box: its name, its quota, its password.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::{
    account::v1::{Mailbox, SetMailboxPasswordRequest, UpdateMailboxRequest},
    google::FieldMask,
};

use super::{account, box_path};
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout::{self, said::Said},
    new_password,
    place::Place,
};

/// As account names the fields, and as the form does.
const SETTINGS: [(&str, &str); 2] =
    [("mailbox.display_name", "display-name"), ("mailbox.quota_bytes", "quota")];
const PASSWORD: [(&str, &str); 1] = [("password", "password")];
/// Octets of the unit in which quotas are typed.
const MEGABYTE: i64 = 1_000_000;
/// No bound of its own.
const NO_QUOTA: i64 = -1;

pub(super) async fn settings(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let name = place.param("name").to_owned();
    let shown = shown(&account::mailbox(&place).await?);
    let mut problems = Problems::none();
    let quota_bytes = quota(&place, form, &shown, &mut problems);
    if !problems.is_none() {
        return account::show_again(&place, form, problems).await;
    }
    let mailbox = Mailbox {
        address: name.clone(),
        display_name: form.get("display-name").to_owned(),
        quota_bytes,
        etag: form.get("etag").to_owned(),
        ..Mailbox::default()
    };
    let mut paths = vec!["display_name".to_owned()];
    if form.touches("quota-kind", &shown) || form.touches("quota", &shown) {
        paths.push("quota_bytes".to_owned());
    }
    let request = UpdateMailboxRequest { mailbox: Some(mailbox), update_mask: Some(FieldMask { paths }) };
    match place.calls().mailboxes().update_mailbox(request).await {
        Ok(_) => {
            let said = Said::new("pop-changed").with("name", &name);
            Ok(place.visit.done(&box_path(&place, &name), &said))
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &SETTINGS)?;
            account::show_again(&place, form, problems).await
        }
    }
}

pub(super) async fn password(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let name = place.param("name").to_owned();
    let mut problems = Problems::none();
    let password = Some(new_password::typed(&place.visit, &mut problems).await?);
    if !problems.is_none() {
        return account::show_again(&place, form, problems).await;
    }
    let visit = &place.visit;
    let request = SetMailboxPasswordRequest { address: name.clone(), password };
    match place.calls().mailboxes().set_mailbox_password(request).await {
        Ok(_) => {
            let said = Said::new("pop-password-changed").with("name", &name);
            Ok(new_password::done(visit, || visit.done(&box_path(&place, &name), &said)).await)
        }
        Err(status) => {
            let problems = Problems::from_failure(&place.visit, status.into(), &PASSWORD)?;
            account::show_again(&place, form, problems).await
        }
    }
}

/// The quota as it was read, or as it was typed.
pub(super) fn quota_fields(place: &Place, kind: &str, megabytes: &str, problems: &Problems) -> Markup {
    let kind = if kind.is_empty() { "plan" } else { kind };
    let kinds = [
        ("plan", place.say("pop-quota-plan")),
        ("own", place.say("pop-quota-own")),
        ("none", place.say("pop-quota-none")),
    ];
    html! {
        div.pair {
            (Field::new("quota-kind", place.say("pop-field-quota")).value(kind).problem(problems).select(&kinds))
            (Field::new("quota", place.say("pop-field-megabytes")).hint(place.say("pop-field-megabytes-hint"))
                .value(megabytes).suffix("MB".to_owned()).problem(problems).number())
        }
    }
}

/// Kind and megabytes of a quota, as the form shows it.
pub(super) fn quota_typed(quota_bytes: Option<i64>) -> (&'static str, String) {
    match quota_bytes {
        None => ("plan", String::new()),
        Some(NO_QUOTA) => ("none", String::new()),
        Some(bytes) => ("own", (bytes / MEGABYTE).max(1).to_string()),
    }
}

/// The settings as their form shows them.
pub(super) fn shown(mailbox: &Mailbox) -> Form {
    let (kind, megabytes) = quota_typed(mailbox.quota_bytes);
    let fields = [("display-name", &*mailbox.display_name), ("quota-kind", kind), ("quota", &megabytes)];
    Form::of(fields.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
}

/// The quota that a form asks for, which showed `shown`. A figure that was typed holds where the choice beside it was left as it
/// was; with another choice it is a problem.
pub(super) fn quota(place: &Place, form: &Form, shown: &Form, problems: &mut Problems) -> Option<i64> {
    let is_typed = form.is_typed_anew("quota", shown);
    match form.get("quota-kind") {
        "plan" | "none" if is_typed && form.touches("quota-kind", shown) => {
            problems.at("quota", place.say("pop-quota-contradiction"));
            None
        }
        kind if kind == "own" || is_typed => {
            let typed = form.trimmed("quota").parse::<i64>().ok();
            let bytes = typed
                .filter(|megabytes| *megabytes > 0)
                .and_then(|megabytes| megabytes.checked_mul(MEGABYTE));
            if bytes.is_none() {
                problems.at("quota", place.say("pop-quota-wrong"));
            }
            bytes
        }
        "none" => Some(NO_QUOTA),
        _ => None,
    }
}

/// The forms of the page of a box: `typed` is what was sent and not taken.
pub(super) fn forms(place: &Place, mailbox: &Mailbox, typed: Option<&Form>, problems: &Problems) -> Markup {
    let stored = shown(mailbox);
    let settings = typed.filter(|form| form.has("display-name")).unwrap_or(&stored);
    html! {
        @if place.may("account.v1.MailboxService/UpdateMailbox") {
            section.card {
                h2 { (place.say("pop-settings")) }
                form method="post" action={ (box_path(place, &mailbox.login)) "/settings" } {
                    (layout::form_token(&place.visit))
                    input type="hidden" name="etag" value=(mailbox.etag);
                    (Field::new("display-name", place.say("pop-field-name")).hint(place.say("pop-field-name-hint"))
                        .value(settings.get("display-name")).problem(problems).text())
                    (quota_fields(place, settings.get("quota-kind"), settings.get("quota"), problems))
                    div.actions { button.primary type="submit" { (place.say("form-save")) } }
                }
            }
        }
        @if !mailbox.default_box && place.may("account.v1.MailboxService/SetMailboxPassword") {
            section.card {
                h2 { (place.say("pop-password")) }
                form method="post" action={ (box_path(place, &mailbox.login)) "/password" } {
                    (layout::form_token(&place.visit))
                    (new_password::fields(&place.visit, problems))
                    div.actions { button.primary type="submit" { (place.say("pop-set-password")) } }
                }
            }
        }
    }
}
