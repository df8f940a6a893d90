//! What was typed must not be lost when it cannot be taken now: the page that says so carries it, and one press sends it. When
//! the session has ended, the page to sign in carries it, and so does the page after it. Secrets are not carried: they never
//! stand in a page.

mod deed;

use axum::response::{IntoResponse as _, Redirect, Response};
use http::{Method, StatusCode};
use maud::{Markup, html};

use crate::{
    call::Failure,
    form::{Form, TOKEN_FIELD},
    front,
    layout::{self, Frame, Page, said::Said},
    router::FRONT,
    visit::Visit,
};

/// Hidden in the page to sign in: where what was typed was meant to go.
pub(crate) const TO_FIELD: &str = "carried-to";
/// Before the names of the fields that are carried.
const PREFIX: &str = "carried.";
/// Hidden beside it where a form was sent: the page that the form stood on.
const FROM_FIELD: &str = "carried-from";
/// Octets that are carried, as a page holds them, for somebody who is signed in, and for a stranger.
const CARRIED_MAX_BYTES: usize = 1024 * 1024;
const STRANGERS_MAX_BYTES: usize = 128 * 1024;

/// Fields that people type, and the keys of what forms call them. What the page alone knows is carried, and not shown.
const LABELS: [(&str, &str); 36] = [
    ("address", "mail-address"),
    ("addresses", "list-members"),
    ("autoresponders", "answer-title"),
    ("box-storage", "operator-limit-box"),
    ("client", "trouble-field-client"),
    ("confirm", "domain-field-name"),
    ("customer", "operator-customer"),
    ("description", "list-field-description"),
    ("display-name", "pop-field-name"),
    ("domain", "domain-field-name"),
    ("domains", "operator-domains"),
    ("end", "answer-field-end"),
    ("forwards", "forward-title"),
    ("grant", "domain-field-grant"),
    ("interval", "answer-field-interval"),
    ("largest", "list-field-largest"),
    ("list-members", "list-members"),
    ("lists", "list-title"),
    ("local", "mail-address"),
    ("login", "operator-field-login"),
    ("mailbox", "trouble-field-mailbox"),
    ("mailboxes", "pop-title"),
    ("member", "list-members"),
    ("messages", "operator-limit-messages"),
    ("name", "pop-field-name"),
    ("owner", "list-field-owner"),
    ("prefix", "list-field-prefix"),
    ("quota", "pop-field-megabytes"),
    ("recipient", "trouble-field-recipient"),
    ("senders", "domain-field-named"),
    ("spam-mailbox", "domain-field-spam-mailbox"),
    ("start", "answer-field-start"),
    ("storage", "operator-limit-storage"),
    ("subject", "answer-field-subject"),
    ("targets", "forward-field-targets"),
    ("text", "answer-field-text"),
];

/// What a form wanted, as a page carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Where it goes; empty: nothing is carried.
    pub(crate) to: String,
    /// The page that it stood on; empty where no form was sent.
    from: String,
    fields: Vec<(String, String)>,
}

impl Carried {
    /// Of a form that was sent to the address of this visit; `None`: so much is not carried.
    fn of(visit: &Visit) -> Option<Self> {
        let fields = visit.form.fields().iter().filter(|(name, _)| !is_secret(name));
        let from = visit.from_page.clone().unwrap_or_else(|| visit.address.clone());
        let carried = Self { to: visit.address.clone(), from, fields: fields.cloned().collect() };
        let most = if visit.person.is_some() { CARRIED_MAX_BYTES } else { STRANGERS_MAX_BYTES };
        (carried.octets() <= most).then_some(carried)
    }

    /// Nothing but where to go.
    pub(crate) fn only_to(to: String) -> Self {
        Self { to, ..Self::default() }
    }

    /// As the page to sign in has carried it; only addresses of the panel are taken.
    pub(crate) fn read(form: &Form) -> Self {
        let to = front::own_address(form.get(TO_FIELD)).unwrap_or_default();
        let fields = form.fields().iter();
        let fields = fields.filter_map(|(name, value)| {
            let name = name.strip_prefix(PREFIX).filter(|name| !is_secret(name))?;
            Some((name.to_owned(), value.clone()))
        });
        let from = front::own_address(form.get(FROM_FIELD)).unwrap_or_default();
        let carried = Self { to, from, fields: fields.collect() };
        if carried.octets() > STRANGERS_MAX_BYTES { Self { fields: Vec::new(), ..carried } } else { carried }
    }

    /// As hidden fields of the page to sign in.
    pub(crate) fn hidden(&self) -> Markup {
        html! {
            @if !self.to.is_empty() {
                input type="hidden" name=(TO_FIELD) value=(self.to);
                @if !self.from.is_empty() { input type="hidden" name=(FROM_FIELD) value=(self.from); }
                @for (name, value) in &self.fields {
                    input type="hidden" name={ (PREFIX) (name) } value=(value);
                }
            }
        }
    }

    /// What the form was to do, in words.
    fn deed(&self, visit: &Visit) -> String {
        visit.say(deed::key(&self.to, &Form::of(self.fields.clone())))
    }

    /// As a page holds it: a few octets are written as more.
    fn octets(&self) -> usize {
        let of = |text: &str| {
            let longer = |octet| match octet {
                b'"' => 6,
                b'&' => 5,
                b'<' | b'>' => 4,
                _ => 1,
            };
            text.bytes().map(longer).sum::<usize>()
        };
        self.fields.iter().map(|(name, value)| of(name) + of(value)).sum()
    }

    /// What people typed, by what forms call it.
    fn shown(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields.iter().filter(|(_, value)| !value.trim().is_empty()).filter_map(|(name, value)| {
            let (_, label) = LABELS.iter().find(|(known, _)| known == name)?;
            Some((*label, value.as_str()))
        })
    }
}

/// Never written into a page: what opens something, and what proves whose a form is.
fn is_secret(name: &str) -> bool {
    ["password", "secret", "code", "token"].iter().any(|part| name.contains(part))
}

/// The session has ended while a form was filled in.
pub(crate) async fn sign_in_again(visit: &Visit) -> Response {
    match Carried::of(visit) {
        Some(carried) => {
            front::page(visit, &carried, Some(visit.say("front-session-ended")), StatusCode::UNAUTHORIZED)
                .await
        }
        None => layout::failure(visit, &Failure::TooLarge),
    }
}

/// Somebody is signed in again, and what was typed before can be sent: with the token of this session.
pub(crate) fn send_again(visit: &Visit) -> Response {
    match Carried::of(visit) {
        Some(carried) => page(visit, &carried, StatusCode::FORBIDDEN),
        None => layout::failure(visit, &Failure::TooLarge),
    }
}

/// Whether this visit sent a form of somebody's session that can be sent once more: one of our own pages did, so that nobody is
/// led to send what a stranger made.
pub(crate) fn can_wait(visit: &Visit) -> bool {
    visit.method == Method::POST && visit.from_here && !visit.form.get(TOKEN_FIELD).is_empty()
}

/// A part of the house is away, or too busy: what was typed is kept until it is there again. Whether it was done, nobody knows.
pub(crate) fn send_later(visit: &Visit, failure: &Failure) -> Response {
    let Some(carried) = Carried::of(visit) else { return layout::failure(visit, failure) };
    let has_secrets = visit
        .form
        .fields()
        .iter()
        .any(|(name, value)| name != TOKEN_FIELD && is_secret(name) && !value.is_empty());
    let (title, lead) = match failure {
        Failure::TooBusy => ("failure-busy", "carry-busy-lead"),
        _ => ("failure-away", "carry-away-lead"),
    };
    let lead = html! {
        p.lead { (visit.say(lead)) }
        @if has_secrets { p { (visit.say("carry-secrets")) } }
    };
    // Where nobody could be asked who it is, the form has the token that it came with.
    let token = html! {
        @if visit.person.is_none() { input type="hidden" name=(TOKEN_FIELD) value=(visit.form.get(TOKEN_FIELD)); }
    };
    shown(visit, &carried, visit.say(title), &lead, &token, failure.status())
}

/// Where somebody goes who has signed in: to what was looked for, or to the form that was sent when the session had ended. What
/// was typed can be sent with one press; of a button alone it is said, where it stands, that nothing was done.
pub(crate) fn after_sign_in(visit: &Visit, carried: &Carried) -> Response {
    if !carried.fields.is_empty() {
        return page(visit, carried, StatusCode::OK);
    }
    if carried.from.is_empty() {
        let to = if carried.to.is_empty() { FRONT } else { &carried.to };
        return Redirect::to(to).into_response();
    }
    let said = Said::new("carry-not-done").with("deed", &carried.deed(visit)).warning();
    visit.done(&carried.from, &said)
}

/// The page after signing in, with what was typed before.
fn page(visit: &Visit, carried: &Carried, status: StatusCode) -> Response {
    let deed = carried.deed(visit);
    let typed = if carried.shown().next().is_some() { "carry-typed" } else { "carry-now" };
    let lead = html! {
        p.lead { (visit.texts().fill("carry-lead", &[("deed", deed.into())])) " " (visit.say(typed)) }
    };
    shown(visit, carried, visit.say("carry-title"), &lead, &html! {}, status)
}

fn shown(
    visit: &Visit,
    carried: &Carried,
    title: String,
    lead: &Markup,
    token: &Markup,
    status: StatusCode,
) -> Response {
    let mut typed = carried.shown().peekable();
    let back = if carried.from.is_empty() { FRONT } else { &carried.from };
    let body = html! {
        (lead)
        form.card method="post" action=(carried.to) {
            (layout::form_token(visit))
            (token)
            @for (name, value) in &carried.fields {
                input type="hidden" name=(name) value=(value);
            }
            @if typed.peek().is_some() {
                dl.facts {
                    @for (label, value) in typed { dt { (visit.say(label)) } dd { (value) } }
                }
            }
            div.actions {
                button.primary type="submit" { (visit.say("carry-send")) }
                a.button href=(back) { (visit.say("carry-drop")) }
            }
        }
    };
    layout::page(&Frame::Visit(visit), Page { title, crumbs: Vec::new(), body, guide: None, status })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::{Language, Texts};

    fn form(pairs: &[(&str, &str)]) -> Form {
        Form::of(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    #[test]
    fn what_was_typed_is_carried_and_secrets_are_not() {
        let carried = Carried::read(&form(&[
            (TO_FIELD, "/controlpanel/homepage.test/forwards/new"),
            ("carried.address", "a\"b"),
            ("carried.new-password", "hush"),
            ("carried.code", "hush"),
            ("carried.token", "hush"),
            ("carried.form-token", "old"),
            ("login", "homepage"),
            (FROM_FIELD, "/controlpanel/homepage.test/forwards"),
        ]));
        assert_eq!(carried.fields, [("address".to_owned(), "a\"b".to_owned())]);
        let hidden = carried.hidden().into_string();
        assert!(hidden.contains("name=\"carried-from\" value=\"/controlpanel/homepage.test/forwards\""));
        assert!(hidden.contains("a&quot;b") && !hidden.contains("hush") && !hidden.contains("old"));
        for foreign in
            ["https://evil.test/", "//evil.test", "/elsewhere", "/controlpanel\\..", "javascript:x"]
        {
            let read = Carried::read(&form(&[(TO_FIELD, foreign), (FROM_FIELD, foreign)]));
            assert_eq!(read, Carried::default(), "{foreign}");
        }
    }

    #[test]
    fn what_is_shown_is_called_as_the_forms_call_it() {
        let carried = Carried::read(&form(&[
            ("carried.local", "info"),
            ("carried.etag", "7"),
            ("carried.request-id", "8"),
            ("carried.keep-copy", "yes"),
            ("carried.targets", "x@y.test"),
            ("carried.subject", " "),
        ]));
        let shown: Vec<_> = carried.shown().collect();
        assert_eq!(shown, [("mail-address", "info"), ("forward-field-targets", "x@y.test")]);
        for texts in Language::ALL.map(Texts) {
            for (_, label) in LABELS {
                assert_ne!(texts.say(label), label, "it has no text");
            }
        }
    }

    #[test]
    fn a_stranger_has_little_carried() {
        let little = "x".repeat(STRANGERS_MAX_BYTES - 4);
        let much = "\"".repeat(STRANGERS_MAX_BYTES / 5);
        for (text, is_carried) in [(little, true), (much, false)] {
            let carried = Carried::read(&form(&[(TO_FIELD, FRONT), ("carried.text", &text)]));
            assert_eq!((carried.to.as_str(), !carried.fields.is_empty()), (FRONT, is_carried));
        }
    }
}
