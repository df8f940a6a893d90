//! What a change changed: the fields of a thing before and after it.

use jiff::Timestamp;
use maud::{Markup, html};
use postern_proto::google::Timestamp as Moment;
use serde_json::{Map, Value};

use super::words::{FIELDS, OWN, VALUES, unset};
use crate::moment::Reader;

/// Pauses are told in hours.
const HOUR_SECONDS: i64 = 3600;
/// Characters of a value that are shown.
const VALUE_MAX_CHARS: usize = 200;

/// One field that is not as it was. `None`: there was, or is, no such thing; empty: the field is not set.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    field: String,
    before: Option<String>,
    after: Option<String>,
}

/// The fields that differ.
pub(crate) fn between(before: &str, after: &str) -> Vec<Change> {
    let (before, after) = (fields(before), fields(after));
    let of = |thing: &Option<Map<String, Value>>, name: &str| thing.as_ref()?.get(name).cloned();
    let mut names: Vec<&String> = [&before, &after].into_iter().flatten().flat_map(Map::keys).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| !OWN.contains(&name.as_str()) && of(&before, name) != of(&after, name))
        .map(|name| {
            // What is false is left out of the JSON.
            let yes_or_no =
                [of(&before, name), of(&after, name)].into_iter().flatten().all(|value| value.is_boolean());
            let unset = if yes_or_no { "false" } else { "" };
            let told = |thing: &Option<Map<String, Value>>| {
                let thing = thing.as_ref()?;
                Some(thing.get(name).map_or_else(|| unset.to_owned(), text))
            };
            Change { field: name.clone(), before: told(&before), after: told(&after) }
        })
        .collect()
}

/// Fields of a thing; those of its limits by `limits.` and their names. `None`: there is no thing.
fn fields(json: &str) -> Option<Map<String, Value>> {
    let Ok(Value::Object(mut fields)) = serde_json::from_str(json) else { return None };
    if let Some(Value::Object(limits)) = fields.remove("limits") {
        fields.extend(limits.into_iter().map(|(name, value)| (format!("limits.{name}"), value)));
    }
    Some(fields)
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields.values().map(text).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(crate) fn shown(reader: &Reader, changes: &[Change]) -> Markup {
    html! {
        ul.differences {
            @for Change { field, before, after } in changes {
                li {
                    (word(reader, field)) ": "
                    @let before = before.as_ref().map(|before| value(reader, field, before));
                    @if let Some(before) = before.filter(|before| !before.is_empty()) { del { (before) } " " }
                    "→ "
                    @let after = after.as_ref().map(|after| value(reader, field, after));
                    ins { (after.filter(|after| !after.is_empty()).unwrap_or_else(|| "–".to_owned())) }
                }
            }
        }
    }
}

fn word(reader: &Reader, field: &str) -> String {
    let known = FIELDS.iter().find(|(known, _)| *known == field);
    known.map_or_else(|| field.to_owned(), |(_, key)| reader.texts.say(key))
}

fn value(reader: &Reader, field: &str, text: &str) -> String {
    if text.is_empty() {
        return unset(field).map(|key| reader.texts.say(key)).unwrap_or_default();
    }
    if let Some(told) = text.parse::<i64>().ok().and_then(|number| measured(reader, field, number)) {
        return told;
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return reader.moment_text(&Moment { seconds: time.as_second(), nanos: 0 });
    }
    let known = VALUES.iter().find(|(known, _)| *known == text);
    known.map_or_else(|| text.to_owned(), |(_, key)| reader.texts.say(key))
}

/// A number with its unit, of a field that has one.
fn measured(reader: &Reader, field: &str, number: i64) -> Option<String> {
    match field {
        "quotaBytes" if number < 0 => Some(reader.texts.say("pop-quota-none")),
        limit if limit.starts_with("limits.") && number < 0 => Some(reader.texts.say("operator-limit-none")),
        bytes if bytes.ends_with("Bytes") || bytes == "bytes" => Some(reader.size(number)),
        limit if limit.starts_with("limits.") => Some(reader.number(number)),
        "intervalSeconds" if number % HOUR_SECONDS == 0 => {
            Some(reader.count("answer-interval-hours", number / HOUR_SECONDS))
        }
        "grantTtlSeconds" if number % 60 == 0 => Some(reader.count("span-minutes", number / 60)),
        "grantTtlSeconds" => Some(reader.count("span-seconds", number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_values_are_told_in_words() {
        use crate::texts::{Language, Texts};
        let reader = Reader { texts: Texts(Language::English), zone: jiff::tz::TimeZone::UTC };
        let changes = between(
            r#"{"state":"ACTIVITY_STATE_ACTIVE","credentialVersion":"1"}"#,
            r#"{"state":"ACTIVITY_STATE_SUSPENDED","credentialVersion":"2","quotaBytes":"200000","odd":"x",
                "endTime":"2026-01-01T00:00:00Z","intervalSeconds":"86400","spamHandling":"SPAM_HANDLING_OFF",
                "grantTtlSeconds":600,"posting":"LIST_POSTING_OWNER","allowedSenders":["a","b"],"aliasOf":"x.test",
                "limits":{"mailboxes":"1500","storageBytes":"-1"},"usage":{"mailboxes":"3"}}"#,
        );
        let told = shown(&reader, &changes).into_string();
        for words in [
            "State: <del>active</del>",
            "<ins>suspended</ins>",
            "Size: <del>as your plan says</del> → <ins>200\u{a0}kB</ins>",
            "Answers until: → <ins>1 Jan 2026, 00:00</ins>",
            "Interval: → <ins>24 hours</ins>",
            "Mail that looks like spam: → <ins>Do not scan</ins>",
            "May send after checking mail for: <del>as everywhere on this platform</del> → <ins>10 minutes</ins>",
            "Who may post: → <ins>Only the owner</ins>",
            "Named customers: → <ins>a, b</ins>",
            "Second name of: → <ins>x.test</ins>",
            "POP accounts: <del>as everywhere on this platform</del> → <ins>1,500</ins>",
            "All mailboxes together: <del>as everywhere on this platform</del> → <ins>no limit</ins>",
            "odd: ",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(
            !told.contains("ACTIVITY") && !told.contains("credential") && !told.contains("usage"),
            "{told}"
        );
        // Of what is new it is not told what held before, and of what is gone not what holds now.
        let made = shown(&reader, &between("", r#"{"quotaBytes":"200000"}"#)).into_string();
        assert!(made.contains("Size: → <ins>200\u{a0}kB</ins>"), "{made}");
        let gone = shown(&reader, &between(r#"{"quotaBytes":"200000"}"#, "")).into_string();
        assert!(gone.contains("<del>200\u{a0}kB</del> → <ins>–</ins>"), "{gone}");
    }

    #[test]
    fn only_what_changed_is_told() {
        let before = r#"{"targets":["a@x.test"],"etag":"1","keepCopy":true}"#;
        let after = r#"{"targets":["a@x.test","b@x.test"],"etag":"2","note":"n"}"#;
        let change = |field: &str, before: &str, after: &str| Change {
            field: field.to_owned(),
            before: Some(before.to_owned()),
            after: Some(after.to_owned()),
        };
        assert_eq!(
            between(before, after),
            [
                change("keepCopy", "true", "false"),
                change("note", "", "n"),
                change("targets", "a@x.test", "a@x.test, b@x.test"),
            ]
        );
        assert_eq!(between("", "no json"), []);
        let long = format!(r#"{{"text":"{}"}}"#, "é".repeat(500));
        assert_eq!(
            between("{}", &long)[0].after.as_ref().map(|text| text.chars().count()),
            Some(VALUE_MAX_CHARS + 1)
        );
    }
}
