//! What a change changed: the fields of a thing before and after it.

use maud::{Markup, html};
use serde_json::Value;

/// Fields of the system that change with every write and tell nobody anything.
const OWN: [&str; 4] = ["etag", "updateTime", "createTime", "textVersion"];
/// Characters of a value that are shown.
const VALUE_MAX_CHARS: usize = 200;

/// One field that is not as it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    field: String,
    before: String,
    after: String,
}

/// The fields that differ.
pub(super) fn between(before: &str, after: &str) -> Vec<Change> {
    let fields = |json: &str| match serde_json::from_str(json) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (before, after) = (fields(before), fields(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| !OWN.contains(&name.as_str()) && before.get(*name) != after.get(*name))
        .map(|name| Change {
            field: name.clone(),
            before: before.get(name).map(text).unwrap_or_default(),
            after: after.get(name).map(text).unwrap_or_default(),
        })
        .collect()
}

fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    match text.char_indices().nth(VALUE_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

pub(super) fn shown(changes: &[Change]) -> Markup {
    html! {
        ul.differences {
            @for change in changes {
                li {
                    code { (change.field) } ": "
                    @if !change.before.is_empty() { del { (change.before) } " " }
                    "→ " ins { @if change.after.is_empty() { "–" } @else { (change.after) } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let before = r#"{"targets":["a@x.test"],"etag":"1","keepCopy":true}"#;
        let after = r#"{"targets":["a@x.test","b@x.test"],"etag":"2","note":"n"}"#;
        let change = |field: &str, before: &str, after: &str| Change {
            field: field.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        };
        assert_eq!(
            between(before, after),
            [
                change("keepCopy", "true", ""),
                change("note", "", "n"),
                change("targets", "a@x.test", "a@x.test, b@x.test"),
            ]
        );
        assert_eq!(between("", "no json"), []);
        let long = format!(r#"{{"text":"{}"}}"#, "é".repeat(500));
        assert_eq!(between("{}", &long)[0].after.chars().count(), VALUE_MAX_CHARS + 1);
    }
}
