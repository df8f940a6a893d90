//! The octets of an answer that we give by ourselves (RFC 3834 section 3). Pure. Whatever foreign words go in, the header
//! has exactly our fields, and no line is too long (RFC 5322 section 2.1.1).

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};
use postern_mail::{EmailAddress, MessageId};

use crate::content::{Header, base64_body, encoded};

/// Longest line of a body that goes as it is, octets.
const BODY_LINE_MAX_BYTES: usize = 990;
/// Characters of a subject.
const SUBJECT_MAX_CHARS: usize = 400;
/// Identifiers that are repeated in References, the newest ones.
const REFERENCES_MAX: usize = 20;

/// What an answer says.
#[derive(Clone, Debug)]
pub(crate) struct Letter<'a> {
    pub(crate) id: MessageId,
    pub(crate) from: &'a EmailAddress,
    pub(crate) reply_to: Option<&'a EmailAddress>,
    pub(crate) to: &'a EmailAddress,
    /// For people; may be anything.
    pub(crate) subject: &'a str,
    /// Lines end with LF or CRLF; may be anything.
    pub(crate) text: &'a str,
    /// The header of the message that is answered.
    pub(crate) answered: &'a Header,
}

/// A built one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// Wire form.
    pub(crate) octets: Vec<u8>,
    /// Only SMTPUTF8 can carry it: an address in it is wide (RFC 6531).
    pub(crate) smtp_utf8: bool,
}

impl Letter<'_> {
    pub(crate) fn build(&self, mail_host: &str, now: Timestamp) -> Built {
        let mut head = format!(
            "Date: {date}\r\nFrom: {from}\r\nTo: {to}\r\n",
            date = date(now),
            from = self.from,
            to = self.to
        );
        // Writing into a String cannot fail.
        if let Some(reply_to) = self.reply_to {
            let _ = write!(head, "Reply-To: {reply_to}\r\n");
        }
        let _ = write!(
            head,
            "Subject: {}\r\nMessage-ID: <{}@{mail_host}>\r\n",
            encoded(&self.subject.chars().take(SUBJECT_MAX_CHARS).collect::<String>()),
            self.id
        );
        let answered = self.answered.message_ids("message-id");
        if let Some(answered) = answered.first() {
            let mut references = self.answered.message_ids("references");
            references.push(answered.clone());
            let newest = references.split_off(references.len().saturating_sub(REFERENCES_MAX));
            let _ = write!(head, "In-Reply-To: {answered}\r\nReferences: {}\r\n", newest.join("\r\n "));
        }
        let (coding, body) = body(self.text);
        let _ = write!(
            head,
            "Auto-Submitted: auto-replied\r\nPrecedence: bulk\r\nX-Loop: {}\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {coding}\r\n\r\n",
            self.from
        );
        let smtp_utf8 = !head.is_ascii();
        let mut octets = head.into_bytes();
        octets.extend_from_slice(body.as_bytes());
        Built { octets, smtp_utf8 }
    }
}

/// RFC 5322 section 3.3.
fn date(now: Timestamp) -> String {
    now.to_zoned_datetime(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

/// How the text travels, and it in that form, with CRLF.
fn body(text: &str) -> (&'static str, String) {
    let lines: Vec<&str> = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let mut whole = lines.join("\r\n");
    if !whole.ends_with("\r\n") {
        whole.push_str("\r\n");
    }
    let is_plain = |line: &str| {
        line.len() <= BODY_LINE_MAX_BYTES
            && line.bytes().all(|c| c == b'\t' || c == b' ' || c.is_ascii_graphic())
    };
    if lines.iter().all(|line| is_plain(line)) {
        return ("7bit", whole);
    }
    ("base64", base64_body(whole.as_bytes()))
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;
    use proptest::prelude::*;

    use super::*;

    fn build(subject: &str, text: &str, answered: &str) -> Vec<u8> {
        let address = |text: &str| -> EmailAddress { text.parse().expect(text) };
        let letter = Letter {
            id: MessageId::try_from(&[7; 16][..]).expect("id"),
            from: &address("away@x.test"),
            reply_to: None,
            to: &address("friend@far.test"),
            subject,
            text,
            answered: &Header::read(answered.as_bytes()).0,
        };
        letter.build("mail.postern.test", Timestamp::UNIX_EPOCH).octets
    }

    #[test]
    fn a_02_all_fields_of_an_answer() {
        let octets = build(
            "Away",
            "Back on Monday.\n.\nBye",
            "Message-ID: <3@far>\r\nReferences: <1@far> <2@far>\r\n",
        );
        assert_eq!(
            String::from_utf8_lossy(&octets),
            "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\nFrom: away@x.test\r\nTo: friend@far.test\r\nSubject: Away\r\n\
             Message-ID: <07070707070707070707070707070707@mail.postern.test>\r\nIn-Reply-To: <3@far>\r\n\
             References: <1@far>\r\n <2@far>\r\n <3@far>\r\nAuto-Submitted: auto-replied\r\nPrecedence: bulk\r\n\
             X-Loop: away@x.test\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
             Content-Transfer-Encoding: 7bit\r\n\r\nBack on Monday.\r\n.\r\nBye\r\n"
        );
    }

    proptest! {
        #[test]
        fn a_05_nothing_foreign_makes_a_field(
            subject in "(\r\n|\r|\n|Bcc: x@y.test|=\\?utf-8\\?Q\\?|%s|\u{fc}|[ -~]){0,60}",
            text in "(\r\n|\r|\n|\\.|Bcc: x@y.test|%s|\u{fc}|[ -~]|\u{0}){0,300}",
            id in "(<a@b>|\r\n|Bcc: x| |[ -~]){0,8}",
        ) {
            let octets = build(&subject, &text, &format!("Message-ID: {id}\r\nReferences: {id}\r\n"));
            let (header, length) = Header::read(&octets);
            let known = ["date", "from", "to", "subject", "message-id", "in-reply-to", "references", "auto-submitted",
                "precedence", "x-loop", "mime-version", "content-type", "content-transfer-encoding"];
            for field in header.fields() {
                prop_assert!(known.iter().any(|name| field.is(name)));
            }
            for name in known {
                prop_assert!(header.fields().filter(|field| field.is(name)).count() <= 1);
            }
            prop_assert!(header.field("content-transfer-encoding").is_some());
            prop_assert!(octets.is_ascii());
            for line in octets.split_inclusive(|c| *c == b'\n') {
                prop_assert!(line.len() <= 998 && line.ends_with(b"\r\n"));
            }
            let body = &octets[length..];
            prop_assert!(!body[..body.len() - 2].contains(&0));
            let parsed = MessageParser::default().parse(&octets).expect("a message");
            let told: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            prop_assert_eq!(parsed.subject().unwrap_or_default(), told.trim());
            let lines = |text: &str| text.replace("\r\n", "\n").trim_end_matches(['\r', '\n']).to_owned();
            prop_assert_eq!(lines(&parsed.body_text(0).unwrap_or_default()), lines(&text));
        }
    }

    #[test]
    fn a_05_a_large_text_keeps_its_lines_short() {
        let octets = build("x", &"y".repeat(100_000), "");
        assert!(octets.split(|c| *c == b'\n').all(|line| line.len() <= 998));
    }
}
