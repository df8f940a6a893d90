//! Texts that others will read: names of lists, subjects, answers with their variables; and the times they hold for. Pure.

use postern_mail::EmailAddress;
use postern_proto::google::Timestamp;

use super::{Checked, address, invalid, is_deceptive, local_address};
use crate::list_addresses::LIST_LOCAL_MAX_BYTES;

/// What is put before subjects, characters.
const SUBJECT_PREFIX_MAX_CHARS: usize = 40;
/// Subject of an answer, characters.
const SUBJECT_MAX_CHARS: usize = 200;
/// Text of an answer, octets.
const TEXT_MAX_BYTES: usize = 64 * 1024;
/// Pause between two answers to one sender, seconds.
const INTERVAL_SECONDS: std::ops::RangeInclusive<i64> = 3600..=31_536_000;
/// The same when nothing is said: 7 days.
pub(crate) const INTERVAL_DEFAULT_SECONDS: i64 = 7 * 24 * 3600;
/// Least and greatest moment that a message can name (years 1 and 9999), seconds since 1970.
const MOMENT_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Largest post that a list may name, octets.
const POST_MAX_BYTES: i64 = 1 << 53;
/// What stands for something in an answer.
const VARIABLES: [&str; 3] = ["sender", "subject", "date"];

/// The address of a mailing list, in canonical form: its commands must be addresses too, without quotes and tags.
pub(crate) fn list_address(field: &str, text: &str) -> Checked<EmailAddress> {
    let address = local_address(field, text)?;
    let local = address.local();
    if local.len() > LIST_LOCAL_MAX_BYTES {
        return invalid(
            field,
            format_args!("a mailing list has at most {LIST_LOCAL_MAX_BYTES} octets before the @"),
        );
    }
    if !local.is_ascii() || address.to_string().starts_with('"') {
        return invalid(field, "a mailing list has only ASCII characters before the @, and no quotes");
    }
    if local.contains('+') {
        return invalid(field, "a mailing list has no + before the @: what stands after it is a tag");
    }
    Ok(address)
}

/// A member, in the spelling that is given; the platform's own return addresses are nobody's.
pub(crate) fn member(field: &str, text: &str) -> Checked<EmailAddress> {
    let address = address(field, text)?;
    local_address(field, text).map(|_canonical| address)
}

/// Put before the subject of each post.
pub(crate) fn subject_prefix(field: &str, text: &str) -> Checked<String> {
    one_line(field, text, SUBJECT_PREFIX_MAX_CHARS).map(|text| text.trim().to_owned())
}

/// Largest post, octets; 0: what the platform takes.
pub(crate) fn post_max_bytes(field: &str, octets: i64) -> Checked<i64> {
    if (0..=POST_MAX_BYTES).contains(&octets) {
        Ok(octets)
    } else {
        invalid(field, "0 for what the platform takes, or 1 to 2^53")
    }
}

/// Subject of an answer, with variables.
pub(crate) fn answer_subject(field: &str, text: &str) -> Checked<String> {
    let subject = one_line(field, text, SUBJECT_MAX_CHARS)?.trim();
    if subject.is_empty() {
        return invalid(field, "is missing");
    }
    variables(field, subject)?;
    Ok(subject.to_owned())
}

/// Text of an answer, with variables.
pub(crate) fn answer_text(field: &str, text: &str) -> Checked<String> {
    if text.trim().is_empty() {
        return invalid(field, "is missing");
    }
    if text.len() > TEXT_MAX_BYTES {
        return invalid(field, format_args!("at most {TEXT_MAX_BYTES} octets"));
    }
    let without_line_ends = text.replace("\r\n", "\n");
    if without_line_ends.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        return invalid(field, "control characters other than line ends and tabs are not allowed");
    }
    // Marks within words are needed for some languages; what turns whole lines hides what they say.
    if text.chars().any(|c| matches!(c, '\u{202A}'..='\u{202E}')) {
        return invalid(field, "characters that turn the reading direction are not allowed");
    }
    variables(field, text)?;
    Ok(text.to_owned())
}

/// Pause between two answers to one sender, seconds.
pub(crate) fn interval(field: &str, seconds: i64) -> Checked<i64> {
    match seconds {
        0 => Ok(INTERVAL_DEFAULT_SECONDS),
        seconds if INTERVAL_SECONDS.contains(&seconds) => Ok(seconds),
        _ => invalid(
            field,
            format_args!(
                "0 for 7 days, or {} to {} seconds",
                INTERVAL_SECONDS.start(),
                INTERVAL_SECONDS.end()
            ),
        ),
    }
}

/// Microseconds since 1970.
pub(crate) fn moment(field: &str, moment: Option<&Timestamp>) -> Checked<Option<i64>> {
    let Some(moment) = moment else { return Ok(None) };
    if !MOMENT_SECONDS.contains(&moment.seconds) || !(0..1_000_000_000).contains(&moment.nanos) {
        return invalid(field, "is no moment of the years 1 to 9999");
    }
    Ok(Some(moment.seconds * 1_000_000 + i64::from(moment.nanos / 1000)))
}

fn one_line<'t>(field: &str, text: &'t str, max_chars: usize) -> Checked<&'t str> {
    if text.chars().count() > max_chars {
        return invalid(field, format_args!("at most {max_chars} characters"));
    }
    if text.chars().any(|c| c.is_control() || is_deceptive(c)) {
        return invalid(
            field,
            "control characters and characters that turn the reading direction are not allowed",
        );
    }
    Ok(text)
}

/// Refuses braces that stand for nothing.
fn variables(field: &str, text: &str) -> Checked<()> {
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        rest = &rest[at..];
        if let Some(further) = rest.strip_prefix("{{").or_else(|| rest.strip_prefix("}}")) {
            rest = further;
            continue;
        }
        let name = rest.strip_prefix('{').and_then(|inner| inner.split_once('}')).map(|(name, _)| name);
        match name.filter(|name| VARIABLES.contains(name)) {
            Some(name) => rest = &rest[name.len() + 2..],
            None => {
                return invalid(
                    field,
                    "a brace that stands for nothing: {sender}, {subject} and {date} are known, {{ and }} are braces",
                );
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_says_so() {
        let long = "x".repeat(1024 * 1024);
        let moment_of = |seconds, nanos| moment("f", Some(&Timestamp { seconds, nanos })).map(drop);
        let text = |text: &str| answer_text("f", text).map(drop);
        for (checked, reason) in [
            (list_address("f", &format!("{}@x.test", "l".repeat(49))).map(drop), "48 octets"),
            (list_address("f", "\"a b\"@x.test").map(drop), "no quotes"),
            (list_address("f", "grüße@x.test").map(drop), "ASCII"),
            (list_address("f", "a+b@x.test").map(drop), "no +"),
            (list_address("f", "SRS0=a@x.test").map(drop), "reserved"),
            (subject_prefix("f", &long).map(drop), "40 characters"),
            (subject_prefix("f", "[a]\r\nBcc: b@x.test").map(drop), "control"),
            (post_max_bytes("f", -1).map(drop), "2^53"),
            (answer_subject("f", " ").map(drop), "missing"),
            (answer_subject("f", &long).map(drop), "200 characters"),
            (answer_subject("f", "a\u{202E}b").map(drop), "direction"),
            (answer_subject("f", "a\u{2028}b").map(drop), "direction"),
            (text(""), "missing"),
            (text(&long), "65536 octets"),
            (text("a\rb"), "control"),
            (text("a\0b"), "control"),
            (text("a\u{202E}b"), "direction"),
            (text("{name}"), "brace"),
            (text("{sender"), "brace"),
            (text("a } b"), "brace"),
            (text("{{{sender}}"), "brace"),
            (interval("f", 3599).map(drop), "3600"),
            (interval("f", -1).map(drop), "3600"),
            (interval("f", 31_536_001).map(drop), "31536000"),
            (moment_of(i64::MAX, 0), "years"),
            (moment_of(0, -1), "years"),
        ] {
            let said = checked.expect_err(reason).to_string();
            assert!(said.starts_with("f: ") && said.contains(reason), "{said}");
        }
    }

    #[test]
    fn what_is_right_is_taken() {
        for text in ["{sender} {subject} {date}", "{{a}}", "{{{sender}}}", "a\r\nb\tc\n", "שלום\u{200F}"]
        {
            assert_eq!(answer_text("f", text).expect(text), text);
        }
        assert_eq!(list_address("f", "Staff@X.test").expect("good").to_string(), "staff@x.test");
        assert_eq!(subject_prefix("f", " [staff] ").expect("good"), "[staff]");
        assert_eq!(interval("f", 0).expect("good"), 604_800);
        let early = Timestamp { seconds: -1, nanos: 500_000_000 };
        assert_eq!(moment("f", Some(&early)).expect("good"), Some(-500_000));
    }
}
