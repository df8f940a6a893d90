//! The variables of an autoresponder's subject and text (proto `Autoresponder.text`). Pure; one pass, so that what is
//! filled in is never looked at again.

use jiff::{Timestamp, tz::TimeZone};
use postern_mail::EmailAddress;

/// Characters of a foreign subject that are repeated.
const SUBJECT_MAX_CHARS: usize = 200;

/// What stands for what.
pub(super) struct Variables<'a> {
    pub(super) sender: &'a EmailAddress,
    /// Of the message that is answered; anything.
    pub(super) subject: &'a str,
    pub(super) now: Timestamp,
}

impl Variables<'_> {
    /// Fills a text; what is no variable stays as it is.
    pub(super) fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len() + 64);
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let (length, word) = self.word(rest);
            filled.push_str(&word);
            rest = &rest[length..];
        }
        filled.push_str(rest);
        filled
    }

    /// What stands at the begin of `text`, which is a brace: its length, and what becomes of it.
    fn word(&self, text: &str) -> (usize, String) {
        for (word, stands_for) in [("{{", "{"), ("}}", "}")] {
            if text.starts_with(word) {
                return (word.len(), stands_for.to_owned());
            }
        }
        if text.starts_with("{sender}") {
            return ("{sender}".len(), self.sender.to_string());
        }
        if text.starts_with("{subject}") {
            let line = self.subject.chars().take(SUBJECT_MAX_CHARS);
            return ("{subject}".len(), line.map(|c| if c.is_control() { ' ' } else { c }).collect());
        }
        if text.starts_with("{date}") {
            let day = self.now.to_zoned_datetime(TimeZone::UTC).strftime("%Y-%m-%d").to_string();
            return ("{date}".len(), day);
        }
        (1, text[..1].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_filled_once() {
        let sender = "friend@far.test".parse().expect("an address");
        let variables = Variables {
            sender: &sender,
            subject: "{sender}\r\nBcc: x@y.test %s",
            now: Timestamp::UNIX_EPOCH,
        };
        for (text, filled) in [
            ("Hello {sender}, {date}", "Hello friend@far.test, 1970-01-01"),
            ("Re: {subject}", "Re: {sender}  Bcc: x@y.test %s"),
            ("{{sender}} {{{sender}}}", "{sender} {friend@far.test}"),
            ("{ {x} {Sender} } %s {0} {", "{ {x} {Sender} } %s {0} {"),
            ("\u{fc}{sender}\u{fc}", "\u{fc}friend@far.test\u{fc}"),
            ("", ""),
        ] {
            assert_eq!(variables.fill(text), filled);
        }
    }
}
