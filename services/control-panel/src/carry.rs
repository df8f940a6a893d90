//! A form whose session has ended must not be lost: the page to sign in again carries what was typed, and so does the page
//! after it, where one press sends it. Passwords are not carried: they never stand in a page.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};

use crate::{
    form::{Form, REQUEST_ID_FIELD, TOKEN_FIELD},
    front,
    layout::{self, Frame, Page},
    router::FRONT,
    visit::Visit,
};

/// Hidden in the page to sign in: where what was typed was meant to go.
pub(crate) const TO_FIELD: &str = "carried-to";
/// Before the names of the fields that are carried.
const PREFIX: &str = "carried.";

/// What a form wanted, as the page to sign in carries it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Where it goes; empty: nothing is carried.
    pub(crate) to: String,
    fields: Vec<(String, String)>,
}

impl Carried {
    /// Of a form that was sent to the address of this visit.
    fn of(visit: &Visit) -> Self {
        let fields = visit.form.fields().iter().filter(|(name, _)| name != TOKEN_FIELD && !is_secret(name));
        Self { to: visit.address.clone(), fields: fields.cloned().collect() }
    }

    /// Nothing but where to go.
    pub(crate) fn only_to(to: String) -> Self {
        Self { to, fields: Vec::new() }
    }

    /// As the page to sign in has carried it; only addresses of the panel are taken.
    pub(crate) fn read(form: &Form) -> Self {
        let to = front::own_address(form.get(TO_FIELD)).unwrap_or_default();
        let fields = form.fields().iter();
        let fields = fields.filter_map(|(name, value)| {
            let name = name.strip_prefix(PREFIX).filter(|name| !is_secret(name) && *name != TOKEN_FIELD)?;
            Some((name.to_owned(), value.clone()))
        });
        Self { to, fields: fields.collect() }
    }

    /// As hidden fields of the page to sign in.
    pub(crate) fn hidden(&self) -> Markup {
        html! {
            @if !self.to.is_empty() {
                input type="hidden" name=(TO_FIELD) value=(self.to);
                @for (name, value) in &self.fields {
                    input type="hidden" name={ (PREFIX) (name) } value=(value);
                }
            }
        }
    }

    pub(crate) fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }
}

/// What people have typed, without what only the page knows.
fn is_shown(name: &str, value: &str) -> bool {
    !value.trim().is_empty() && !matches!(name, "etag" | REQUEST_ID_FIELD)
}

fn is_secret(name: &str) -> bool {
    name.contains("password") || name.contains("secret")
}

/// The session has ended while a form was filled in.
pub(crate) async fn sign_in_again(visit: &Visit) -> Response {
    let carried = Carried::of(visit);
    front::page(visit, &carried, Some(visit.say("front-session-ended")), StatusCode::UNAUTHORIZED)
}

/// Somebody is signed in again, and what was typed before can be sent: with the token of this session.
pub(crate) fn send_again(visit: &Visit) -> Response {
    page(visit, &Carried::of(visit), StatusCode::FORBIDDEN)
}

/// The page after signing in.
pub(crate) fn page(visit: &Visit, carried: &Carried, status: StatusCode) -> Response {
    let body = html! {
        p.lead { (visit.say("carry-lead")) }
        form.card method="post" action=(carried.to) {
            (layout::form_token(visit))
            @for (name, value) in &carried.fields {
                input type="hidden" name=(name) value=(value);
            }
            dl.facts {
                @for (name, value) in carried.fields.iter().filter(|(name, value)| is_shown(name, value)) {
                    dt { (name) } dd { (value) }
                }
            }
            div.actions {
                button.primary type="submit" { (visit.say("carry-send")) }
                a.button href=(FRONT) { (visit.say("carry-drop")) }
            }
        }
    };
    let page = Page { title: visit.say("carry-title"), crumbs: Vec::new(), body, guide: None, status };
    layout::page(&Frame::Visit(visit), page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_is_carried_and_secrets_are_not() {
        let form = |pairs: &[(&str, &str)]| {
            Form::of(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
        };
        let carried = Carried::read(&form(&[
            (TO_FIELD, "/controlpanel/homepage.test/forwards/new"),
            ("carried.address", "a\"b"),
            ("carried.new-password", "hush"),
            ("carried.form-token", "old"),
            ("login", "homepage"),
        ]));
        assert_eq!(carried.fields, [("address".to_owned(), "a\"b".to_owned())]);
        let hidden = carried.hidden().into_string();
        assert!(hidden.contains("a&quot;b") && !hidden.contains("hush") && !hidden.contains("old"));
        for foreign in
            ["https://evil.test/", "//evil.test", "/elsewhere", "/controlpanel\\..", "javascript:x"]
        {
            assert_eq!(Carried::read(&form(&[(TO_FIELD, foreign)])).to, "", "{foreign}");
        }
    }
}
