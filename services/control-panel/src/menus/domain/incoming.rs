//! What becomes of mail that is forged, or looks like spam.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{DmarcHandling, Domain, SpamHandling};

use super::{MENU, Typed, not_taken, save};
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout,
    place::Place,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 2] = [("domain.spam_mailbox", "spam-mailbox"), ("domain.spam_handling", "spam")];
const PATHS: [&str; 3] = ["dmarc_handling", "spam_handling", "spam_mailbox"];

pub(super) async fn change(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    if form.get("spam") != "quarantine" && form.is_typed_anew("spam-mailbox", &shown(&place.domain)) {
        let mut problems = Problems::none();
        problems.at("spam-mailbox", place.say("domain-spam-mailbox-unused"));
        return not_taken(&place, Typed::Incoming(form), problems).await;
    }
    save(&place, typed(&place, form), &PATHS, &NAMES, Typed::Incoming(form)).await
}

fn typed(place: &Place, form: &Form) -> Domain {
    let spam = match form.get("spam") {
        "off" => SpamHandling::Off,
        "follow" => SpamHandling::Follow,
        "quarantine" => SpamHandling::Quarantine,
        _ => SpamHandling::Mark,
    };
    let dmarc = if form.has("dmarc") { DmarcHandling::Follow } else { DmarcHandling::Note };
    Domain {
        name: place.name().to_owned(),
        etag: form.get("etag").to_owned(),
        spam_handling: spam.into(),
        spam_mailbox: form.trimmed("spam-mailbox").to_owned(),
        dmarc_handling: dmarc.into(),
        ..Domain::default()
    }
}

pub(super) fn shown(domain: &Domain) -> Form {
    let spam = match domain.spam_handling() {
        SpamHandling::Off => "off",
        SpamHandling::Follow => "follow",
        SpamHandling::Quarantine => "quarantine",
        SpamHandling::Mark | SpamHandling::Unspecified => "mark",
    };
    let mut fields = vec![("spam", spam.to_owned()), ("spam-mailbox", domain.spam_mailbox.clone())];
    if domain.dmarc_handling() == DmarcHandling::Follow {
        fields.push(("dmarc", "yes".to_owned()));
    }
    Form::of(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The form.
pub(super) fn card(place: &Place, domain: &Domain, typed: Option<&Form>, problems: &Problems) -> Markup {
    let stored = shown(domain);
    let form = typed.unwrap_or(&stored);
    let choice = |value, text: &str, explanation: &str| (value, place.say(text), place.say(explanation));
    let spam = [
        choice("mark", "domain-spam-mark", "domain-spam-mark-text"),
        choice("follow", "domain-spam-follow", "domain-spam-follow-text"),
        choice("quarantine", "domain-spam-quarantine", "domain-spam-quarantine-text"),
        choice("off", "domain-spam-off", "domain-spam-off-text"),
    ];
    html! {
        section.card {
            h2 { (place.say("domain-incoming")) }
            form method="post" action={ (place.path(&MENU, &[])) "/incoming" } {
                (layout::form_token(&place.visit))
                input type="hidden" name="etag" value=(domain.etag);
                (Field::new("spam", place.say("domain-field-spam")).value(form.get("spam")).problem(problems)
                    .radio(&spam))
                (Field::new("spam-mailbox", place.say("domain-field-spam-mailbox"))
                    .hint(place.say("domain-field-spam-mailbox-hint")).value(form.get("spam-mailbox"))
                    .problem(problems).text())
                (Field::new("dmarc", place.say("domain-field-dmarc"))
                    .hint(place.say("domain-field-dmarc-hint")).problem(problems).tick(form.has("dmarc")))
                (place.only_with("account.v1.DomainService/UpdateDomain", &html! {
                div.actions { button.primary type="submit" { (place.say("form-save")) } }
            }))
            }
        }
    }
}
