//! What a change changed: the fields of a thing before and after it.

use jiff::Timestamp;
use maud::{Markup, html};
use postern_proto::google::Timestamp as Moment;
use serde_json::Value;

use crate::moment::Reader;

/// Fields of the system that change with every write and tell nobody anything.
const OWN: [&str; 13] = [
    "etag",
    "updateTime",
    "createTime",
    "checkTime",
    "textVersion",
    "credentialVersion",
    "effectiveQuotaBytes",
    "usedBytes",
    "full",
    "version",
    // Of members: it is the name of the entry.
    "list",
    "listId",
    "subscribedAddresses",
];
/// Fields that people know by a word: as the audit has them, and the key of the word. Others are shown as they are.
const FIELDS: [(&str, &str); 26] = [
    ("displayName", "pop-field-name"),
    ("quotaBytes", "pop-field-quota"),
    ("state", "pop-column-state"),
    ("action", "default-field-action"),
    ("targets", "activity-field-targets"),
    ("addresses", "list-members"),
    ("keepCopy", "activity-field-copy"),
    ("description", "list-field-description"),
    ("posting", "list-field-posting"),
    ("subjectPrefix", "list-field-prefix"),
    ("owner", "list-field-owner"),
    ("replies", "list-field-replies"),
    ("listserv", "list-field-listserv"),
    ("subject", "answer-field-subject"),
    ("text", "answer-field-text"),
    ("startTime", "answer-field-start"),
    ("endTime", "answer-field-end"),
    ("intervalSeconds", "answer-field-interval"),
    ("target", "default-field-target"),
    ("senderPolicy", "domain-field-senders"),
    ("authOnly", "domain-field-auth-only"),
    ("plaintextLogin", "domain-field-plaintext"),
    ("dmarcHandling", "domain-field-dmarc"),
    ("spamHandling", "domain-field-spam"),
    ("spamMailbox", "domain-field-spam-mailbox"),
    ("liveWithoutDns", "operator-field-live"),
];
/// Values that people know by a word.
const VALUES: [(&str, &str); 26] = [
    ("ACTIVITY_STATE_ACTIVE", "pop-state-active"),
    ("ACTIVITY_STATE_SUSPENDED", "pop-state-suspended"),
    ("DEFAULT_ACTION_BOX", "default-box"),
    ("DEFAULT_ACTION_REJECT", "default-reject"),
    ("DEFAULT_ACTION_DISCARD", "default-discard"),
    ("DEFAULT_ACTION_ADDRESS", "default-address"),
    ("POSTING_MEMBERS", "list-posting-members"),
    ("POSTING_ANYONE", "list-posting-anyone"),
    ("POSTING_OWNER", "list-posting-owner"),
    ("REPLIES_AUTHOR", "list-replies-author"),
    ("REPLIES_LIST", "list-replies-list"),
    ("DOMAIN_STATE_LIVE", "domain-state-live"),
    ("DOMAIN_STATE_PENDING", "domain-state-pending"),
    ("DOMAIN_STATE_LOST", "domain-state-lost"),
    ("DOMAIN_STATE_CLAIMED", "domain-state-claimed"),
    ("SENDER_POLICY_OWNER", "domain-senders-owner"),
    ("SENDER_POLICY_NAMED", "domain-senders-named"),
    ("SENDER_POLICY_ANYONE", "domain-senders-anyone"),
    ("DMARC_HANDLING_NOTE", "activity-no"),
    ("DMARC_HANDLING_FOLLOW", "activity-yes"),
    ("SPAM_HANDLING_OFF", "domain-spam-off"),
    ("SPAM_HANDLING_MARK", "domain-spam-mark"),
    ("SPAM_HANDLING_FOLLOW", "domain-spam-follow"),
    ("SPAM_HANDLING_QUARANTINE", "domain-spam-quarantine"),
    ("true", "activity-yes"),
    ("false", "activity-no"),
];
/// Pauses are told in hours.
const HOUR_SECONDS: i64 = 3600;
/// Characters of a value that are shown.
const VALUE_MAX_CHARS: usize = 200;

/// One field that is not as it was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    field: String,
    before: String,
    after: String,
}

/// The fields that differ.
pub(crate) fn between(before: &str, after: &str) -> Vec<Change> {
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
        .map(|name| {
            // What is false is left out of the JSON.
            let yes_or_no = [before.get(name), after.get(name)].into_iter().flatten().all(Value::is_boolean);
            let absent = if yes_or_no && !before.is_empty() && !after.is_empty() { "false" } else { "" };
            let told = |thing: &serde_json::Map<String, Value>| {
                thing.get(name).map_or_else(|| absent.to_owned(), text)
            };
            Change { field: name.clone(), before: told(&before), after: told(&after) }
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

pub(crate) fn shown(reader: &Reader, changes: &[Change]) -> Markup {
    html! {
        ul.differences {
            @for change in changes {
                li {
                    (field(reader, &change.field)) ": "
                    @if !change.before.is_empty() { del { (value(reader, &change.field, &change.before)) } " " }
                    "→ "
                    ins { @if change.after.is_empty() { "–" } @else { (value(reader, &change.field, &change.after)) } }
                }
            }
        }
    }
}

fn field(reader: &Reader, name: &str) -> String {
    let known = FIELDS.iter().find(|(known, _)| *known == name);
    known.map_or_else(|| name.to_owned(), |(_, key)| reader.texts.say(key))
}

fn value(reader: &Reader, field: &str, text: &str) -> String {
    match text.parse::<i64>() {
        Ok(bytes) if field.ends_with("Bytes") && bytes >= 0 => return reader.size(bytes),
        Ok(seconds) if field == "intervalSeconds" && seconds % HOUR_SECONDS == 0 => {
            return reader.count("answer-interval-hours", seconds / HOUR_SECONDS);
        }
        _ => {}
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return reader.moment_text(&Moment { seconds: time.as_second(), nanos: 0 });
    }
    // Enums of lists begin with the name of the field, too.
    let known = VALUES.iter().find(|(known, _)| text == *known || text.ends_with(&format!("_{known}")));
    known.map_or_else(|| text.to_owned(), |(_, key)| reader.texts.say(key))
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
                "endTime":"2026-01-01T00:00:00Z","intervalSeconds":"86400","spamHandling":"SPAM_HANDLING_OFF"}"#,
        );
        let told = shown(&reader, &changes).into_string();
        for words in [
            "State: <del>in use</del>",
            "<ins>suspended</ins>",
            "Size: → <ins>200\u{a0}kB</ins>",
            "Answers until: → <ins>1 Jan 2026, 00:00</ins>",
            "Interval: → <ins>24 hours</ins>",
            "Mail that looks like spam: → <ins>Do not scan</ins>",
            "odd: ",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        assert!(!told.contains("ACTIVITY") && !told.contains("credential"), "{told}");
    }

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
                change("keepCopy", "true", "false"),
                change("note", "", "n"),
                change("targets", "a@x.test", "a@x.test, b@x.test"),
            ]
        );
        assert_eq!(between("", "no json"), []);
        let long = format!(r#"{{"text":"{}"}}"#, "é".repeat(500));
        assert_eq!(between("{}", &long)[0].after.chars().count(), VALUE_MAX_CHARS + 1);
    }
}
