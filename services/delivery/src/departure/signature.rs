//! Signatures over header fields and a body hash (RFC 6376, relaxed form): DKIM-Signature, and with the same rules
//! ARC-Message-Signature. Pure.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{digest::Digested, keys::DomainKey};
use crate::content::{Field, Header};

/// Fields that a reader sees or acts on (RFC 6376 section 5.4.1, RFC 8058 section 4), in the order they are signed in.
const SIGNED: [&str; 23] = [
    "from",
    "reply-to",
    "subject",
    "date",
    "to",
    "cc",
    "sender",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "resent-from",
    "resent-to",
    "resent-date",
    "list-id",
    "list-post",
    "list-help",
    "list-owner",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "auto-submitted",
];
/// Of these nobody may add another one on the way (RFC 6376 section 8.15).
const CLOSED: [&str; 6] = ["from", "reply-to", "subject", "date", "to", "cc"];
/// A line of our own fields, characters.
const LINE_MAX_CHARS: usize = 74;

/// The DKIM-Signature of a message with these fields of ours before its own; empty when it cannot be signed.
pub(super) fn dkim(own: &Header, digested: &Digested, key: &DomainKey, now: u64) -> Vec<u8> {
    field("DKIM-Signature", "v=1", own, digested, key, now).unwrap_or_default()
}

/// A signature field, ending with CRLF. `None`: there is no author to sign for, or no signature to be had.
pub(super) fn field(
    name: &str,
    first_tag: &str,
    own: &Header,
    digested: &Digested,
    key: &DomainKey,
    now: u64,
) -> Option<Vec<u8>> {
    let fields: Vec<Field<'_>> = own.fields().chain(digested.header.fields()).collect();
    if !fields.iter().any(|field| field.is("from")) {
        return None;
    }
    let (mut names, mut text) = (Vec::new(), Vec::new());
    for signed in SIGNED {
        // Of several the last one is the first that a verifier takes (RFC 6376 section 5.4.2).
        for found in fields.iter().rev().filter(|field| field.is(signed)) {
            names.push(signed);
            relaxed(found.name(), found.value(), &mut text);
        }
        if CLOSED.contains(&signed) {
            names.push(signed);
        }
    }
    let mut value = format!(
        " {first_tag}; a=rsa-sha256; c=relaxed/relaxed; d={};\r\n\ts={}; t={now};\r\n\th=",
        key.domain, key.selector
    );
    fold_names(&mut value, &names);
    // Writing into a String cannot fail.
    let _ = write!(value, ";\r\n\tbh={};\r\n\tb=", STANDARD.encode(&digested.body_hash));
    unended(name.as_bytes(), value.as_bytes(), &mut text);
    fold_base64(&mut value, &key.sign(&text)?);
    Some(format!("{name}:{value}\r\n").into_bytes())
}

/// A field in relaxed form (RFC 6376 section 3.4.2), with its CRLF.
pub(super) fn relaxed(name: &[u8], value: &[u8], text: &mut Vec<u8>) {
    unended(name, value, text);
    text.extend_from_slice(b"\r\n");
}

/// The same without CRLF: the signature field itself stands last.
pub(super) fn unended(name: &[u8], value: &[u8], text: &mut Vec<u8>) {
    text.extend(name.trim_ascii().to_ascii_lowercase());
    text.push(b':');
    let mut after_space = false;
    for octet in value.trim_ascii() {
        if matches!(octet, b' ' | b'\t' | b'\r' | b'\n') {
            after_space = true;
            continue;
        }
        if after_space {
            text.push(b' ');
        }
        after_space = false;
        text.push(*octet);
    }
}

fn fold_names(value: &mut String, names: &[&str]) {
    let mut line = 3;
    for (at, name) in names.iter().enumerate() {
        if at > 0 {
            value.push(':');
            line += 1;
        }
        if line + name.len() > LINE_MAX_CHARS {
            value.push_str("\r\n\t ");
            line = 2;
        }
        value.push_str(name);
        line += name.len();
    }
}

/// The value of the last tag `b=`, over several lines.
pub(super) fn fold_base64(value: &mut String, octets: &[u8]) {
    let coded = STANDARD.encode(octets);
    let mut rest = coded.as_str();
    while let Some((line, behind)) = rest.split_at_checked(LINE_MAX_CHARS - 4) {
        value.push_str(line);
        value.push_str("\r\n\t ");
        rest = behind;
    }
    value.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_brought_into_relaxed_form() {
        for (name, value, form) in [
            ("A", " X\r\n", "a:X\r\n"),
            ("B ", " Y\t\r\n\tZ  \r\n", "b:Y Z\r\n"),
            ("SubJect", "\r\n  a\t b\r\n c", "subject:a b c\r\n"),
            ("X", "", "x:\r\n"),
        ] {
            let mut text = Vec::new();
            relaxed(name.as_bytes(), value.as_bytes(), &mut text);
            assert_eq!(String::from_utf8_lossy(&text), form);
        }
    }

    #[test]
    fn our_fields_are_folded() {
        let (mut names, mut signature) = (String::new(), String::new());
        fold_names(&mut names, &SIGNED);
        fold_base64(&mut signature, &[7; 256]);
        for (folded, whole) in [(names, SIGNED.join(":")), (signature, STANDARD.encode([7; 256]))] {
            assert!(folded.split("\r\n").all(|line| line.len() <= 78), "{folded}");
            assert_eq!(folded.split_whitespace().collect::<String>(), whole);
        }
    }
}
