//! Forms: what a browser sent, and the fields that a page shows, with what was typed and what is wrong with it.

use std::borrow::Cow;

use axum::body::Bytes;
use maud::{Markup, html};

use crate::{call::Failure, visit::Visit, wording};

/// Hidden in each form: [`crate::session::SessionToken::form_token`].
pub(crate) const TOKEN_FIELD: &str = "form-token";
/// Fields of one form at most.
const FIELDS_MAX: usize = 20_000;

/// What a browser sent, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `application/x-www-form-urlencoded`; a line end is LF from here on.
    pub(crate) fn read(body: &Bytes) -> Result<Self, Failure> {
        let mut fields = Vec::new();
        for (name, value) in form_urlencoded::parse(body) {
            if fields.len() == FIELDS_MAX {
                return Err(Failure::BadForm);
            }
            fields.push((name.into_owned(), value.replace("\r\n", "\n")));
        }
        Ok(Self(fields))
    }

    /// Of these fields.
    pub(crate) fn of(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// The first of this name; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// The same without white space around it.
    pub(crate) fn trimmed(&self, name: &str) -> &str {
        self.get(name).trim()
    }

    /// All of this name: the boxes that were ticked.
    pub(crate) fn all<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'f str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// True when there is one of this name: a box that was ticked.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// Lines of a text area that are not empty, without white space around them.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let lines = self.get(name).split(['\n', ',', ';']).map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    }

    /// All fields in their order.
    pub(crate) fn fields(&self) -> &[(String, String)] {
        &self.0
    }
}

/// What is wrong with a form: by field, or with the whole of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Problems {
    fields: Vec<(&'static str, String)>,
    /// Above the form.
    whole: Option<String>,
}

impl Problems {
    /// Nothing is wrong (yet).
    pub(crate) fn none() -> Self {
        Self::default()
    }

    pub(crate) fn is_none(&self) -> bool {
        self.fields.is_empty() && self.whole.is_none()
    }

    /// Something is wrong with this field.
    pub(crate) fn at(&mut self, field: &'static str, why: impl Into<String>) {
        self.fields.push((field, why.into()));
    }

    /// Something is wrong with the whole.
    pub(crate) fn with_whole(why: impl Into<String>) -> Self {
        Self { fields: Vec::new(), whole: Some(why.into()) }
    }

    /// What a failed call says of a form, whose fields the service knows by other names: `(service, form)`, first the one that
    /// names the thing. A failure that no form can mend stays one.
    ///
    /// # Errors
    /// When there is nobody, or nothing, to show the form to again.
    pub(crate) fn from_failure(
        visit: &Visit,
        failure: Failure,
        names: &[(&str, &'static str)],
    ) -> Result<Self, Failure> {
        match failure {
            Failure::Field { name, why } => {
                let why = wording::spoken(visit.texts(), &why);
                let known = names.iter().find(|(service, _)| name.starts_with(service));
                match known {
                    Some((_, field)) => Ok(Self { fields: vec![(field, why)], whole: None }),
                    None => Ok(Self::with_whole(why)),
                }
            }
            Failure::Taken(why) => {
                let why = wording::spoken(visit.texts(), &why);
                match names.first() {
                    Some((_, field)) => Ok(Self { fields: vec![(field, why)], whole: None }),
                    None => Ok(Self::with_whole(why)),
                }
            }
            Failure::Refused(why) => {
                let known = names
                    .iter()
                    .find(|(service, _)| why.strip_prefix(service).is_some_and(|rest| rest.starts_with(':')));
                match known {
                    Some((service, field)) => {
                        let why = wording::spoken(visit.texts(), why[service.len() + 1..].trim_start());
                        Ok(Self { fields: vec![(field, why)], whole: None })
                    }
                    None => Ok(Self::with_whole(wording::spoken(visit.texts(), &why))),
                }
            }
            Failure::Changed => Ok(Self::with_whole(visit.say("form-changed"))),
            Failure::TooBusy => Ok(Self::with_whole(visit.say("failure-busy-text"))),
            Failure::Away => Ok(Self::with_whole(visit.say("failure-away-text"))),
            Failure::NotPermitted => Ok(Self::with_whole(visit.say("failure-not-permitted-text"))),
            other => Err(other),
        }
    }

    fn of(&self, field: &str) -> Option<&str> {
        self.fields.iter().find(|(name, _)| *name == field).map(|(_, why)| why.as_str())
    }

    /// Above a form: what is wrong with the whole of it, or that something below is marked.
    pub(crate) fn summary(&self, marked_below: &str) -> Markup {
        html! {
            @if !self.is_none() {
                div.notice.bad role="alert" {
                    p { (self.whole.as_deref().unwrap_or(marked_below)) }
                }
            }
        }
    }
}

/// One field with its label, its hint and its problem.
pub(crate) struct Field<'f> {
    name: &'static str,
    label: String,
    hint: Option<String>,
    value: Cow<'f, str>,
    problem: Option<&'f str>,
    required: bool,
    /// Shown behind it, as in `@homepage.test`.
    suffix: Option<String>,
    autocomplete: &'static str,
}

impl<'f> Field<'f> {
    pub(crate) fn new(name: &'static str, label: String) -> Self {
        Self {
            name,
            label,
            hint: None,
            value: Cow::Borrowed(""),
            problem: None,
            required: false,
            suffix: None,
            autocomplete: "off",
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: String) -> Self {
        self.hint = Some(hint);
        self
    }

    #[must_use]
    pub(crate) fn value(mut self, value: impl Into<Cow<'f, str>>) -> Self {
        self.value = value.into();
        self
    }

    #[must_use]
    pub(crate) fn problem(mut self, problems: &'f Problems) -> Self {
        self.problem = problems.of(self.name);
        self
    }

    #[must_use]
    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    #[must_use]
    pub(crate) fn suffix(mut self, suffix: String) -> Self {
        self.suffix = Some(suffix);
        self
    }

    #[must_use]
    pub(crate) fn autocomplete(mut self, kind: &'static str) -> Self {
        self.autocomplete = kind;
        self
    }

    /// One line of text.
    pub(crate) fn text(&self) -> Markup {
        self.line("text")
    }

    /// One line that is not shown while it is typed.
    pub(crate) fn password(&self) -> Markup {
        self.line("password")
    }

    /// A day and time, as `2026-11-27T14:30`.
    pub(crate) fn moment(&self) -> Markup {
        self.line("datetime-local")
    }

    /// A day, as `2026-11-27`.
    pub(crate) fn day(&self) -> Markup {
        self.line("date")
    }

    /// A whole number.
    pub(crate) fn number(&self) -> Markup {
        self.line("number")
    }

    fn line(&self, kind: &str) -> Markup {
        // A secret is never written into a page.
        let value = if kind == "password" { "" } else { &*self.value };
        self.around(&html! {
            @let input = html! {
                input id=(self.name) name=(self.name) type=(kind) value=(value) autocomplete=(self.autocomplete)
                    required[self.required] aria-invalid=[self.problem.map(|_| "true")]
                    aria-describedby=[self.described()] spellcheck="false" autocapitalize="none";
            };
            @match &self.suffix {
                Some(suffix) => div.joined { (input) span.suffix { (suffix) } },
                None => (input),
            }
        })
    }

    /// Several lines of text.
    pub(crate) fn area(&self, rows: u8) -> Markup {
        self.around(&html! {
            // The line end after the tag is not part of the value; without it one of the value's own would be lost.
            textarea id=(self.name) name=(self.name) rows=(rows) required[self.required] spellcheck="false"
                aria-invalid=[self.problem.map(|_| "true")] aria-describedby=[self.described()] {
                "\n" (self.value)
            }
        })
    }

    /// One of several, by value and text.
    pub(crate) fn select(&self, choices: &[(&str, String)]) -> Markup {
        self.around(&html! {
            select id=(self.name) name=(self.name) aria-describedby=[self.described()] {
                @for (value, text) in choices {
                    option value=(value) selected[*value == self.value] { (text) }
                }
            }
        })
    }

    /// One of several, all of them in sight, with a line of explanation each: value, text, explanation.
    pub(crate) fn radio(&self, choices: &[(&str, String, String)]) -> Markup {
        html! {
            fieldset.field.choices aria-describedby=[self.described()] {
                legend { (self.label) }
                (self.notes())
                @for (value, text, explanation) in choices {
                    label.choice {
                        input type="radio" name=(self.name) value=(value) checked[*value == self.value];
                        span { strong { (text) } @if !explanation.is_empty() { small { (explanation) } } }
                    }
                }
            }
        }
    }

    /// A box to tick.
    pub(crate) fn tick(&self, ticked: bool) -> Markup {
        html! {
            div.field {
                label.choice {
                    input type="checkbox" name=(self.name) value="yes" checked[ticked] aria-describedby=[self.described()];
                    span { (self.label) }
                }
                (self.notes())
            }
        }
    }

    fn around(&self, input: &Markup) -> Markup {
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                (input)
                (self.notes())
            }
        }
    }

    fn notes(&self) -> Markup {
        html! {
            @if let Some(problem) = self.problem {
                p.problem id={ (self.name) "-problem" } { (problem) }
            }
            @if let Some(hint) = &self.hint {
                p.hint id={ (self.name) "-hint" } { (hint) }
            }
        }
    }

    fn described(&self) -> Option<String> {
        let problem = self.problem.map(|_| format!("{}-problem", self.name));
        let hint = self.hint.as_ref().map(|_| format!("{}-hint", self.name));
        let parts: Vec<String> = problem.into_iter().chain(hint).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_as_it_was_typed() {
        let body = Bytes::from_static(b"a=x%40y&t=one%0D%0A%0D%0Atwo,three&b=1&b=2&empty=");
        let form = Form::read(&body).expect("a form");
        assert_eq!(form.get("a"), "x@y");
        assert_eq!(form.lines("t"), ["one", "two", "three"]);
        assert_eq!(form.all("b").collect::<Vec<_>>(), ["1", "2"]);
        assert!(form.has("empty") && !form.has("none"));
        let many = Bytes::from("x=&".repeat(FIELDS_MAX + 1));
        assert_eq!(Form::read(&many), Err(Failure::BadForm));
    }

    #[test]
    fn what_is_wrong_stands_next_to_its_field_and_what_was_typed_stays() {
        let mut problems = Problems::none();
        problems.at("address", "no <address>");
        let field = Field::new("address", "Address".to_owned()).value("\"><b>").problem(&problems);
        let shown = field.text().into_string();
        assert!(
            shown.contains("aria-describedby=\"address-problem\"") && shown.contains("aria-invalid=\"true\"")
        );
        assert!(shown.contains("no &lt;address&gt;") && shown.contains("value=\"&quot;&gt;&lt;b&gt;\""));
        let secret = Field::new("password", "Password".to_owned()).value("secret").password().into_string();
        assert!(!secret.contains("secret"));
    }
}
