//! What services say of a field or a refusal, in the language of the reader. Their words are English; those that people meet
//! have a text of ours, the others are shown as they are.

use crate::texts::Texts;

/// Begins of what services say, and the key of our text. `{name}` in the text is what came after the begin.
const KNOWN: [(&str, &str); 12] = [
    ("is missing", "wording-missing"),
    ("an address has the form name@domain", "wording-no-address"),
    ("a character that is not allowed in an address", "wording-bad-character"),
    ("a dot at the wrong place", "wording-bad-dot"),
    ("not a domain name", "wording-no-domain"),
    ("too long: at most 64 octets before the @", "wording-address-too-long"),
    ("too short: at least ", "wording-too-short"),
    ("too long: at most ", "wording-too-long"),
    ("control characters", "wording-control-characters"),
    ("at least one target is needed", "wording-target-needed"),
    ("at most 200 characters", "wording-too-long-text"),
    ("names that begin with SRS0= or SRS1= are reserved", "wording-reserved"),
];

/// The words of a service for this reader.
pub(crate) fn spoken(texts: Texts, words: &str) -> String {
    let known = KNOWN.iter().find_map(|(begin, key)| Some((words.strip_prefix(begin)?, key)));
    match known {
        Some((rest, key)) => texts.fill(key, &[("rest", rest.to_owned().into())]),
        None => capitalized(words),
    }
}

fn capitalized(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        // An address at the begin stays as it is written.
        Some(first) if !words.split(' ').next().unwrap_or_default().contains(['@', '.']) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => words.to_owned(),
    }
}
