//! Every text that people read, by its key, in the language they read: `texts/<language>.ftl` (Project Fluent).

use std::sync::LazyLock;

use fluent_bundle::{FluentArgs, FluentResource, FluentValue, concurrent::FluentBundle};
use http::HeaderMap;
use unic_langid::LanguageIdentifier;

use crate::cookie::Cookie;

/// The languages there are; the first is what a reader of none of them gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    #[default]
    English,
    German,
}

impl Language {
    pub(crate) const ALL: [Self; 2] = [Self::English, Self::German];

    /// BCP 47.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
        }
    }

    /// As its readers call it.
    pub(crate) fn own_name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::German => "Deutsch",
        }
    }

    pub(crate) fn parse(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// What was chosen, else what the browser asks for (RFC 9110 section 12.5.4), else English.
    pub(crate) fn of(headers: &HeaderMap, secure: bool) -> Self {
        if let Some(chosen) = Cookie::Language.read(headers, secure).and_then(|tag| Self::parse(&tag)) {
            return chosen;
        }
        let wanted = headers.get(http::header::ACCEPT_LANGUAGE).and_then(|line| line.to_str().ok());
        wanted.map(Self::accepted).unwrap_or_default()
    }

    fn accepted(line: &str) -> Self {
        let mut best = (0_u32, Self::default());
        for part in line.split(',').take(20) {
            let mut pieces = part.trim().split(';');
            let Some(language) = pieces.next().and_then(Self::parse) else { continue };
            let weight = pieces.find_map(|piece| piece.trim().strip_prefix("q=")?.parse::<f32>().ok());
            let thousandths = (weight.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0).round() as u32;
            if thousandths > best.0 {
                best = (thousandths, language);
            }
        }
        best.1
    }

    fn source(self) -> &'static str {
        match self {
            Self::English => include_str!("texts/en.ftl"),
            Self::German => include_str!("texts/de.ftl"),
        }
    }

    fn bundle(self) -> FluentBundle<FluentResource> {
        let tag: LanguageIdentifier = self.tag().parse().unwrap_or_default();
        let mut bundle = FluentBundle::new_concurrent(vec![tag]);
        // What is put in is shown as it is: addresses are copied from pages into mail programs.
        bundle.set_use_isolating(false);
        // Whole numbers in texts look as those beside them.
        bundle.set_formatter(Some(match self {
            Self::English => |value, _| grouped(Self::English, value),
            Self::German => |value, _| grouped(Self::German, value),
        }));
        // A test reads both files without a mistake; here a mistake costs the texts it stands in.
        let resource = match FluentResource::try_new(self.source().to_owned()) {
            Ok(resource) | Err((resource, _)) => resource,
        };
        if bundle.add_resource(resource).is_err() {
            tracing::error!(language = self.tag(), "a text is there twice");
        }
        bundle
    }
}

static ENGLISH: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| Language::English.bundle());
static GERMAN: LazyLock<FluentBundle<FluentResource>> = LazyLock::new(|| Language::German.bundle());

/// A whole number, of what is put into a text.
fn grouped(language: Language, value: &FluentValue<'_>) -> Option<String> {
    match value {
        FluentValue::Number(number) if number.value.fract() == 0.0 => {
            Some(Texts(language).number(number.value as i64))
        }
        _ => None,
    }
}

/// The texts in one language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Texts(pub(crate) Language);

impl Texts {
    /// A text without anything to put in.
    pub(crate) fn say(self, key: &str) -> String {
        self.fill(key, &[])
    }

    /// A whole number with its thousands apart.
    pub(crate) fn number(self, number: i64) -> String {
        let apart = if self.0 == Language::German { '.' } else { ',' };
        let digits = number.unsigned_abs().to_string();
        let mut text = String::new();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(apart);
            }
            text.push(digit);
        }
        if number < 0 { format!("-{text}") } else { text }
    }

    /// A text with these values put in.
    pub(crate) fn fill(self, key: &str, values: &[(&str, FluentValue<'_>)]) -> String {
        let bundle = match self.0 {
            Language::English => &*ENGLISH,
            Language::German => &*GERMAN,
        };
        let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else {
            tracing::error!(key, "there is no such text");
            return key.to_owned();
        };
        let mut args = FluentArgs::with_capacity(values.len());
        for (name, value) in values {
            args.set(*name, value.clone());
        }
        let mut mistakes = Vec::new();
        let text = bundle.format_pattern(pattern, Some(&args), &mut mistakes);
        if !mistakes.is_empty() {
            tracing::error!(key, ?mistakes, "a text lacks a value");
        }
        text.into_owned()
    }
}

#[cfg(test)]
mod tests;
