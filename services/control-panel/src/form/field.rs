//! The fields that a page shows, each with what was typed and what is wrong with it.

use std::borrow::Cow;

use maud::{Markup, html};

use super::Problems;
use crate::texts::Texts;

/// One field with its label, its hint and its problem.
pub(crate) struct Field<'f> {
    name: &'static str,
    label: String,
    hint: Option<String>,
    value: Cow<'f, str>,
    problem: Option<&'f str>,
    /// What somebody else has made of it while this was typed.
    now: Option<(Texts, &'f str)>,
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
            now: None,
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
        self.now = problems.now(self.name);
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

    /// One line of text. The keyboard begins at the first field with a problem.
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
        let now = self.now(std::iter::empty());
        self.around(now.as_deref(), &html! {
            @let input = html! {
                input id=(self.name) name=(self.name) type=(kind) value=(value) autocomplete=(self.autocomplete)
                    required[self.required] aria-invalid=[self.problem.map(|_| "true")] autofocus[self.problem.is_some()]
                    aria-describedby=[self.described(now.as_deref())] spellcheck="false" autocapitalize="none";
            };
            @match &self.suffix {
                Some(suffix) => div.joined { (input) span.suffix { (suffix) } },
                None => (input),
            }
        })
    }

    /// Several lines of text.
    pub(crate) fn area(&self, rows: u8) -> Markup {
        let now = self.now(std::iter::empty());
        self.around(now.as_deref(), &html! {
            // The line end after the tag is not part of the value; without it one of the value's own would be lost.
            textarea id=(self.name) name=(self.name) rows=(rows) required[self.required] spellcheck="false"
                aria-invalid=[self.problem.map(|_| "true")] autofocus[self.problem.is_some()]
                aria-describedby=[self.described(now.as_deref())] {
                "\n" (self.value)
            }
        })
    }

    /// One of several, by value and text.
    pub(crate) fn select(&self, choices: &'f [(&str, String)]) -> Markup {
        let now = self.now(choices.iter().map(|(value, text)| (*value, text.as_str())));
        self.around(
            now.as_deref(),
            &html! {
                select id=(self.name) name=(self.name) aria-describedby=[self.described(now.as_deref())] {
                    @for (value, text) in choices {
                        option value=(value) selected[*value == self.value] { (text) }
                    }
                }
            },
        )
    }

    /// One of several, all of them in sight, with a line of explanation each: value, text, explanation.
    pub(crate) fn radio(&self, choices: &'f [(&str, String, String)]) -> Markup {
        let now = self.now(choices.iter().map(|(value, text, _)| (*value, text.as_str())));
        html! {
            fieldset.field.choices aria-describedby=[self.described(now.as_deref())] {
                legend { (self.label) }
                (self.notes(now.as_deref()))
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
        let other = self.now.filter(|(_, now)| now.is_empty() == ticked);
        let word = if ticked { "activity-no" } else { "activity-yes" };
        let now = other.map(|(texts, _)| told_now(texts, &texts.say(word)));
        html! {
            div.field {
                label.choice {
                    input type="checkbox" name=(self.name) value="yes" checked[ticked] aria-describedby=[self.described(now.as_deref())];
                    span { (self.label) }
                }
                (self.notes(now.as_deref()))
            }
        }
    }

    /// What there is now, where it is not what was typed: as it stands, or by the text of a choice.
    fn now(&self, mut choices: impl Iterator<Item = (&'f str, &'f str)>) -> Option<String> {
        let (texts, now) = self.now.filter(|(_, now)| *now != self.value)?;
        let word = choices.find(|(value, _)| *value == now).map_or(now, |(_, text)| text);
        Some(told_now(texts, word))
    }

    fn around(&self, now: Option<&str>, input: &Markup) -> Markup {
        html! {
            div.field {
                label for=(self.name) { (self.label) }
                (input)
                (self.notes(now))
            }
        }
    }

    fn notes(&self, now: Option<&str>) -> Markup {
        html! {
            @if let Some(now) = now {
                p.now id={ (self.name) "-now" } { (now) }
            }
            @if let Some(problem) = self.problem {
                p.problem id={ (self.name) "-problem" } { (problem) }
            }
            @if let Some(hint) = &self.hint {
                p.hint id={ (self.name) "-hint" } { (hint) }
            }
        }
    }

    fn described(&self, now: Option<&str>) -> Option<String> {
        let now = now.map(|_| format!("{}-now", self.name));
        let problem = self.problem.map(|_| format!("{}-problem", self.name));
        let hint = self.hint.as_ref().map(|_| format!("{}-hint", self.name));
        let parts: Vec<String> = now.into_iter().chain(problem).chain(hint).collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }
}

/// A note of what somebody else has made of a field.
fn told_now(texts: Texts, now: &str) -> String {
    format!("{} {}", texts.say("form-now"), if now.is_empty() { "–" } else { now })
}
