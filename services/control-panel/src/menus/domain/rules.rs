//! Who may send in the name of the domain, and how its mail programs show who they are.

use axum::response::Response;
use maud::{Markup, html};
use postern_proto::account::v1::{Domain, SenderPolicy};

use super::{MENU, Typed, not_taken, save};
use crate::{
    call::Failure,
    form::{Field, Form, Problems},
    layout, mail_program,
    place::Place,
};

/// As account names the fields, and as the form does.
const NAMES: [(&str, &str); 2] =
    [("domain.allowed_senders", "senders"), ("domain.grant_ttl_seconds", "grant")];

pub(super) async fn change(place: Place) -> Result<Response, Failure> {
    let form = &place.visit.form;
    let mut problems = Problems::none();
    let (domain, paths) = typed(&place, form, &mut problems);
    if !problems.is_none() {
        return not_taken(&place, Typed::Rules(form), problems).await;
    }
    save(&place, domain, &paths, &NAMES, Typed::Rules(form)).await
}

/// What was typed, and the paths of what changes: a second name has the sender rule only.
fn typed(place: &Place, form: &Form, problems: &mut Problems) -> (Domain, Vec<&'static str>) {
    let sender_policy = match form.get("policy") {
        "named" => SenderPolicy::Named,
        "anyone" => SenderPolicy::Anyone,
        _ => SenderPolicy::Owner,
    };
    let is_named = sender_policy == SenderPolicy::Named;
    if is_named && form.lines("senders").is_empty() {
        problems.at("senders", place.say("domain-senders-missing"));
    } else if !is_named && form.is_typed_anew("senders", &shown(&place.domain)) {
        problems.at("senders", place.say("domain-senders-unused"));
    }
    let grant_ttl_seconds = match form.trimmed("grant") {
        "" => None,
        typed => {
            let seconds = typed.parse::<i32>().ok().and_then(|minutes| minutes.checked_mul(60));
            if seconds.is_none() {
                problems.at("grant", place.say("domain-grant-wrong"));
            }
            seconds
        }
    };
    let mut paths = vec!["sender_policy", "allowed_senders"];
    if place.domain.alias_of.is_empty() {
        paths.extend(["auth_only", "plaintext_login"]);
        // Shown in whole minutes.
        if form.touches("grant", &shown(&place.domain)) {
            paths.push("grant_ttl_seconds");
        }
    }
    let domain = Domain {
        name: place.name().to_owned(),
        etag: form.get("etag").to_owned(),
        sender_policy: sender_policy.into(),
        allowed_senders: form.lines("senders"),
        auth_only: form.has("auth-only"),
        plaintext_login: form.has("plaintext"),
        grant_ttl_seconds,
        ..Domain::default()
    };
    (domain, paths)
}

pub(super) fn shown(domain: &Domain) -> Form {
    let policy = match domain.sender_policy() {
        SenderPolicy::Named => "named",
        SenderPolicy::Anyone => "anyone",
        SenderPolicy::Owner | SenderPolicy::Unspecified => "owner",
    };
    let mut fields = vec![
        ("policy", policy.to_owned()),
        ("senders", domain.allowed_senders.join("\n")),
        ("grant", domain.grant_ttl_seconds.map(|seconds| (seconds / 60).to_string()).unwrap_or_default()),
    ];
    if domain.auth_only {
        fields.push(("auth-only", "yes".to_owned()));
    }
    if domain.plaintext_login {
        fields.push(("plaintext", "yes".to_owned()));
    }
    Form::of(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The form of the rules.
pub(super) fn card(place: &Place, domain: &Domain, typed: Option<&Form>, problems: &Problems) -> Markup {
    let stored = shown(domain);
    let form = typed.unwrap_or(&stored);
    let choice = |value, text: &str, explanation: &str| (value, place.say(text), place.say(explanation));
    let policies = [
        choice("owner", "domain-senders-owner", "domain-senders-owner-text"),
        choice("named", "domain-senders-named", "domain-senders-named-text"),
        choice("anyone", "domain-senders-anyone", "domain-senders-anyone-text"),
    ];
    let usual = mail_program::usual_time(&place.visit);
    let grant_hint = place.visit.texts().fill("domain-field-grant-hint", &[("time", usual.into())]);
    html! {
        section.card {
            h2 { (place.say("domain-rules")) }
            form method="post" action={ (place.path(&MENU, &[])) "/rules" } {
                (layout::form_token(&place.visit))
                input type="hidden" name="etag" value=(domain.etag);
                (Field::new("policy", place.say("domain-field-senders")).value(form.get("policy")).problem(problems)
                    .radio(&policies))
                (Field::new("senders", place.say("domain-field-named")).hint(place.say("domain-field-named-hint"))
                    .value(form.get("senders")).problem(problems).area(2))
                @if domain.alias_of.is_empty() {
                    (Field::new("grant", place.say("domain-field-grant")).hint(grant_hint)
                        .value(form.get("grant")).suffix(place.say("domain-minutes")).problem(problems).number())
                    (Field::new("auth-only", place.say("domain-field-auth-only"))
                        .hint(place.say("domain-field-auth-only-hint")).problem(problems).tick(form.has("auth-only")))
                    (Field::new("plaintext", place.say("domain-field-plaintext"))
                        .hint(place.say("domain-field-plaintext-hint")).problem(problems).tick(form.has("plaintext")))
                }
                (place.only_with("account.v1.DomainService/UpdateDomain", &html! {
                div.actions { button.primary type="submit" { (place.say("form-save")) } }
            }))
            }
        }
    }
}
