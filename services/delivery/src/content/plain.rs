//! The plain form of a message: what a mail program gets that did not ask for UTF-8, of a message that came with SMTPUTF8
//! (RFC 6856 section 4, RFC 6858). Its header is ASCII; its body, and every message whose header is ASCII, are as stored. Pure.
//!
//! How large it is, is found out when the message is accepted and kept with each copy in a box, so that STAT and LIST know it
//! without reading. Whoever changes here what becomes of a header makes those sizes wrong for mail that is there already.

use std::borrow::Cow;

use bytes::Bytes;
use mail_parser::MessageParser;
use postern_mail::{EmailAddress, limits};

use super::{
    header::{Field, Header},
    words::{encoded, phrase},
};

/// Stands for an address that ASCII cannot hold: nobody's, and it says why (RFC 6858 section 2.1).
const NOBODY: &str = "invalid@internationalized-address.invalid";
/// Fields that hold addresses (RFC 6858 section 2.1).
const ADDRESS_FIELDS: [&str; 11] = [
    "from",
    "to",
    "cc",
    "bcc",
    "sender",
    "reply-to",
    "resent-from",
    "resent-to",
    "resent-cc",
    "resent-bcc",
    "resent-sender",
];
/// Fields with MIME parameters.
const PARAMETER_FIELDS: [&str; 2] = ["content-type", "content-disposition"];

/// Whole header fields in plain form. What cannot be shown in ASCII is left out (RFC 6858 section 2.4).
pub(crate) fn plain_fields(block: &[u8]) -> Cow<'_, [u8]> {
    if block.is_ascii() {
        return Cow::Borrowed(block);
    }
    Cow::Owned(plain_header(&Header::read(block).0))
}

fn plain_header(header: &Header) -> Vec<u8> {
    let mut plain = Vec::with_capacity(header.octets().len() * 2);
    for field in header.fields() {
        if field.octets.is_ascii() {
            plain.extend_from_slice(field.octets);
        } else if let Some(value) = plain_value(&field) {
            for part in [field.name(), b": ", value.as_bytes(), b"\r\n"] {
                plain.extend_from_slice(part);
            }
        }
    }
    plain
}

/// The value of a field that is not ASCII, folded, without its line end; `None`: the field is left out.
fn plain_value(field: &Field<'_>) -> Option<String> {
    let among = |names: &[&str]| names.iter().any(|name| field.is(name));
    match () {
        () if !field.name().is_ascii() => None,
        () if field.is("subject") => Some(encoded(&Header::read(field.octets).0.subject())),
        () if field.is("return-path") => Some(format!("<{NOBODY}>")),
        () if among(&ADDRESS_FIELDS) => Some(addresses(field)),
        () if among(&PARAMETER_FIELDS) => parameters(&field.text()),
        () => None,
    }
}

fn addresses(field: &Field<'_>) -> String {
    let block = [&b"To: "[..], field.value(), b"\r\n\r\n"].concat();
    let parsed = MessageParser::default().parse_headers(&block);
    let list = parsed.as_ref().and_then(|message| message.to());
    let shown: Vec<String> = list
        .into_iter()
        .flat_map(|list| list.iter())
        .filter_map(|one| Some(mailbox(one.name.as_deref().unwrap_or_default(), one.address.as_deref()?)))
        .collect();
    // What is no list of addresses is shown as it is: who wrote matters more than how.
    if shown.is_empty() { mailbox("", &field.text()) } else { shown.join(",\r\n ") }
}

/// A name and an address; where ASCII cannot hold the address it becomes part of the name.
fn mailbox(name: &str, address: &str) -> String {
    match address.parse::<EmailAddress>() {
        Ok(address) if address.is_ascii() => format!("{}<{address}>", phrase(name)),
        _ if name.is_empty() => format!("{}<{NOBODY}>", phrase(address)),
        _ => format!("{}<{NOBODY}>", phrase(&format!("{name} ({address})"))),
    }
}

/// Without the parameters that are not ASCII (RFC 6858 section 2.2).
fn parameters(value: &str) -> Option<String> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = value.split(|c| {
        match c {
            _ if std::mem::take(&mut escaped) => {}
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' => return !quoted,
            _ => {}
        }
        false
    });
    let mut kept = String::new();
    for (position, part) in parts.enumerate() {
        match (position, part.is_ascii()) {
            (0, false) => return None,
            (0, true) => kept.push_str(part),
            (_, true) => {
                kept.push(';');
                kept.push_str(part);
            }
            (_, false) => {}
        }
    }
    Some(kept.trim_end().to_owned())
}

/// Octets of a copy in a box in plain form; `None`: it is as it is stored. `front` stands before the message for this box;
/// the message has `stored_bytes` octets, and in plain form `plain_bytes` (`None`: the same ones).
pub(crate) fn plain_copy_bytes(front: &[u8], stored_bytes: u64, plain_bytes: Option<u64>) -> Option<u64> {
    if front.is_ascii() && plain_bytes.is_none() {
        return None;
    }
    Some(plain_fields(front).len() as u64 + plain_bytes.unwrap_or(stored_bytes))
}

/// Octets of a message (our fields, then its content) in plain form; `None`: it is as it is stored. `growth`: of its content.
pub(crate) fn plain_message_bytes(prefix: &[u8], content_bytes: u64, growth: Option<i64>) -> Option<u64> {
    if prefix.is_ascii() && growth.is_none() {
        return None;
    }
    Some(plain_fields(prefix).len() as u64 + content_bytes.saturating_add_signed(growth.unwrap_or(0)))
}

/// The same of a message of ours, whose content is at hand.
pub(crate) fn plain_bytes_of(prefix: &[u8], content: &[u8]) -> Option<u64> {
    plain_message_bytes(prefix, content.len() as u64, growth_of(&Header::read(content).0))
}

/// How many octets longer a header block is in plain form; `None`: it is ASCII.
pub(crate) fn growth_of(header: &Header) -> Option<i64> {
    let stored = header.octets();
    (!stored.is_ascii()).then(|| plain_header(header).len() as i64 - stored.len() as i64)
}

/// Content on its way into plain form, however it is cut into pieces. Holds the header block until it has ended.
#[derive(Debug)]
pub(crate) struct PlainForm {
    /// `None`: the header block is over.
    head: Option<Vec<u8>>,
    growth: Option<i64>,
}

impl Default for PlainForm {
    fn default() -> Self {
        Self { head: Some(Vec::new()), growth: None }
    }
}

impl PlainForm {
    /// Of content that is shown as it is stored: nothing is held.
    pub(crate) fn passing() -> Self {
        Self { head: None, growth: None }
    }

    /// Takes the next piece; gives what is ready.
    pub(crate) fn push(&mut self, piece: Bytes) -> Bytes {
        let Some(head) = &mut self.head else { return piece };
        let begin = head.len().saturating_sub(3);
        head.extend_from_slice(&piece);
        let news = head.get(begin..).unwrap_or_default();
        let is_over = head.starts_with(b"\r\n")
            || news.windows(4).any(|octets| octets == b"\r\n\r\n")
            || head.len() >= limits::HEADER_BLOCK_MAX_BYTES;
        if is_over { self.finish() } else { Bytes::new() }
    }

    /// The content is complete; gives what is left of it.
    pub(crate) fn finish(&mut self) -> Bytes {
        let Some(head) = self.head.take() else { return Bytes::new() };
        let (header, _) = Header::read(&head);
        let (block, rest) = head.split_at(header.octets().len());
        if block.is_ascii() {
            return Bytes::from(head);
        }
        let plain = plain_header(&header);
        self.growth = Some(plain.len() as i64 - block.len() as i64);
        Bytes::from([&plain, rest].concat())
    }

    /// True once the header block has ended: from there on pieces pass as they are.
    pub(crate) fn is_settled(&self) -> bool {
        self.head.is_none()
    }

    /// How many octets longer the header block is in plain form; `None`: it is ASCII, or has not ended.
    pub(crate) fn growth(&self) -> Option<i64> {
        self.growth
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plain(text: &str, piece: usize) -> (String, Option<i64>) {
        let mut form = PlainForm::default();
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(piece) {
            out.extend_from_slice(&form.push(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&form.finish());
        (String::from_utf8(out).expect("text"), form.growth())
    }

    #[test]
    fn p_101_the_header_is_ascii_and_says_what_it_can() {
        for (field, shown) in [
            ("Subject: plain\r\n", "Subject: plain\r\n"),
            ("Subject: Gr\u{fc}\u{df}e\r\n\tund\r\n", "Subject: =?utf-8?B?R3LDvMOfZSB1bmQ=?=\r\n"),
            (
                "From: J\u{f6}rg <j\u{f6}rg@m\u{fc}ller.test>\r\n",
                "From: =?utf-8?B?SsO2cmcgKGrDtnJnQG3DvGxsZXIudGVzdCk=?=\r\n <invalid@internationalized-address.invalid>\r\n",
            ),
            ("From: J\u{f6}rg <a@x.test>\r\n", "From: =?utf-8?B?SsO2cmc=?=\r\n <a@x.test>\r\n"),
            ("To: a@m\u{fc}ller.test\r\n", "To: <a@xn--mller-kva.test>\r\n"),
            (
                "CC: \"A, B\" <a@x.test>, \u{fc}@x.test\r\n",
                "CC: \"A, B\"\r\n <a@x.test>,\r\n =?utf-8?B?w7xAeC50ZXN0?=\r\n <invalid@internationalized-address.invalid>\r\n",
            ),
            (
                "Return-Path: <\u{fc}@x.test>\r\n",
                "Return-Path: <invalid@internationalized-address.invalid>\r\n",
            ),
            (
                "Content-Type: text/plain; charset=utf-8;\r\n name=\"a;\u{fc}.txt\"; format=flowed\r\n",
                "Content-Type: text/plain; charset=utf-8; format=flowed\r\n",
            ),
            ("Content-Disposition: attachment; filename=\u{fc}\r\n", "Content-Disposition: attachment\r\n"),
            ("Delivered-To: \u{fc}@x.test\r\n", ""),
            ("X-\u{fc}: a\r\n", ""),
            ("X: \u{fc}\r\n more\r\nY: b\r\n", "Y: b\r\n"),
        ] {
            for body in ["", "\r\n", "\r\nb\u{f6}dy\r\nSubject: \u{fc}\r\n", "no h\u{e4}ader\r\n\r\n"] {
                let stored = format!("{field}{body}");
                let grown = (field != shown).then(|| shown.len() as i64 - field.len() as i64);
                for piece in [1, 7, 1000] {
                    assert_eq!(plain(&stored, piece), (format!("{shown}{body}"), grown), "{stored:?}");
                }
            }
        }
    }

    #[test]
    fn p_101_who_wrote_is_shown_even_where_it_is_no_address() {
        let shown = plain("From: J\u{f6}rg\r\n\r\n", 100).0;
        assert!(shown.starts_with("From: =?utf-8?B?") && shown.contains(NOBODY), "{shown}");
    }

    #[test]
    fn p_62_sizes_are_those_of_the_plain_form() {
        let front = "Return-Path: <\u{fc}@x.test>\r\nDelivered-To: a@y.test\r\n".as_bytes();
        assert_eq!(plain_copy_bytes(b"A: b\r\n", 100, None), None);
        assert_eq!(plain_copy_bytes(b"A: b\r\n", 100, Some(110)), Some(116));
        assert_eq!(plain_copy_bytes(front, 100, None), Some(100 + plain_fields(front).len() as u64));
        assert_eq!(plain_message_bytes(b"A: b\r\n", 100, None), None);
        assert_eq!(plain_message_bytes(b"A: b\r\n", 100, Some(-4)), Some(102));
        assert_eq!(plain_message_bytes("X: \u{fc}\r\n".as_bytes(), 100, None), Some(100));
    }

    proptest! {
        #[test]
        fn p_101_no_header_is_raw_and_cuts_change_nothing(
            parts in prop::collection::vec(prop::sample::select(vec![
                "Subject:", "From:", "To:", "Content-Type:", "X:", " a", "\u{fc}", "<\u{fc}@x.test>", "<a@x.test>", ",", ";",
                "\"", "\\", "(", ":", "=?utf-8?Q?=FC?=", "\r\n", "\r\n ", "\r\n\r\n", "@", "a=b", "\u{1f600}", "\u{0}", "\r", "\n",
            ]), 0..40),
            piece in 1usize..30,
        ) {
            let stored = parts.concat();
            let (shown, growth) = plain(&stored, 10_000);
            prop_assert_eq!(&plain(&stored, piece), &(shown.clone(), growth));
            let (header, _) = Header::read(shown.as_bytes());
            let (original, _) = Header::read(stored.as_bytes());
            prop_assert!(header.octets().is_ascii() || original.octets().is_ascii());
            prop_assert_eq!(shown.len() as i64, stored.len() as i64 + growth.unwrap_or(0));
            if original.octets().is_ascii() {
                prop_assert_eq!(shown, stored);
            }
        }
    }
}
