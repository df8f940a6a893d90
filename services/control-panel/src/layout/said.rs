//! What the page before has done, said once, with the way to undo it. The browser keeps it for one page; a seal of the session
//! stands under it, so that nobody else can make a page say something.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use fluent_bundle::FluentValue;
use maud::{Markup, html};

use super::button;
use crate::{session::SessionToken, visit::Visit};

/// A sentence by its key, and a button.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    key: String,
    values: Vec<(String, String)>,
    undo_to: String,
    undo_fields: Vec<(String, String)>,
    /// It tells what was not done.
    is_warning: bool,
}

impl Said {
    /// The sentence of this key.
    pub(crate) fn new(key: &str) -> Self {
        Self { key: key.to_owned(), ..Self::default() }
    }

    /// With a value that it names.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.values.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Of something that was not done.
    #[must_use]
    pub(crate) fn warning(mut self) -> Self {
        self.is_warning = true;
        self
    }

    /// With a button that undoes it: the form goes to this address with these fields.
    #[must_use]
    pub(crate) fn undo(mut self, to: String, fields: &[(&str, &str)]) -> Self {
        self.undo_to = to;
        self.undo_fields = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        self
    }

    /// As the cookie holds it.
    pub(crate) fn sealed(&self, token: &SessionToken) -> String {
        let mut text = form_urlencoded::Serializer::new(String::new());
        text.append_pair("key", &self.key);
        for (name, value) in &self.values {
            text.append_pair(&format!("v.{name}"), value);
        }
        text.append_pair("undo", &self.undo_to);
        if self.is_warning {
            text.append_pair("warning", "yes");
        }
        for (name, value) in &self.undo_fields {
            text.append_pair(&format!("f.{name}"), value);
        }
        let text = URL_SAFE_NO_PAD.encode(text.finish());
        format!("{text}.{}", token.seal(&text))
    }

    /// From the cookie; `None` when this session has not sealed it.
    pub(crate) fn unsealed(cookie: &str, token: &SessionToken) -> Option<Self> {
        let (text, seal) = cookie.split_once('.')?;
        if !token.sealed(text, seal) {
            return None;
        }
        let text = URL_SAFE_NO_PAD.decode(text).ok()?;
        let mut said = Self::default();
        for (name, value) in form_urlencoded::parse(&text) {
            let value = value.into_owned();
            match &*name {
                "key" => said.key = value,
                "undo" => said.undo_to = value,
                "warning" => said.is_warning = true,
                name => {
                    if let Some(name) = name.strip_prefix("v.") {
                        said.values.push((name.to_owned(), value));
                    } else if let Some(name) = name.strip_prefix("f.") {
                        said.undo_fields.push((name.to_owned(), value));
                    }
                }
            }
        }
        Some(said)
    }

    /// On the page.
    pub(crate) fn shown(&self, visit: &Visit) -> Markup {
        let values: Vec<(&str, FluentValue<'_>)> = self
            .values
            .iter()
            .map(|(name, value)| (name.as_str(), FluentValue::from(value.as_str())))
            .collect();
        let fields: Vec<(&str, &str)> =
            self.undo_fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        html! {
            div class=(if self.is_warning { "notice warn" } else { "notice good" }) role="status" {
                p { (visit.texts().fill(&self.key, &values)) }
                @if !self.undo_to.is_empty() {
                    (button(visit, &self.undo_to, &visit.say("layout-undo"), "", &fields))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_session_makes_a_page_say_something() {
        let token = |text: &str| SessionToken::new(text.to_owned());
        let said = Said::new("k")
            .with("name", "a&b=<c>")
            .warning()
            .undo("/controlpanel/x".to_owned(), &[("id", "7")]);
        let cookie = said.sealed(&token("pss_a"));
        assert_eq!(Said::unsealed(&cookie, &token("pss_a")), Some(said));
        assert_eq!(Said::unsealed(&cookie, &token("pss_b")), None);
        assert_eq!(Said::unsealed(&cookie.replace('.', ""), &token("pss_a")), None);
        assert!(cookie.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c)));
    }
}
