//! The header fields that we put in front: Received once for all recipients, Return-Path and Delivered-To for each.

use std::{fmt::Write as _, net::IpAddr};

use jiff::{Timestamp, tz::TimeZone};
use postern_mail::{MessageId, PeerIp, ReversePath};
use postern_proto::delivery::v1::Envelope;

use crate::content::Found;

/// What a mailbox's copy begins with: exactly one Return-Path, made at final delivery (RFC 5321 section 4.4), and the
/// address by which the copy came, which stops loops.
#[must_use]
pub fn delivery_prefix(sender: &ReversePath, delivered_to: &str) -> String {
    format!("Return-Path: <{sender}>\r\nDelivered-To: {delivered_to}\r\n")
}

/// The trace field of this hop (RFC 5321 section 4.4), folded, ending with CRLF.
#[must_use]
pub fn received_field(envelope: &Envelope, id: MessageId, peer: Option<PeerIp>, now: Timestamp) -> String {
    let mut field = String::with_capacity(320);
    let literal = peer.map(address_literal);
    let helo = header_word(&envelope.helo);
    let literal = literal.as_deref().unwrap_or("[unknown]");
    // Extended-Domain: what the client called itself, and in the comment what it really is.
    let from = if helo.is_empty() { literal } else { &helo };
    let by = header_word(&envelope.by_host);
    let by = if by.is_empty() { "localhost" } else { &by };
    let with = header_word(&envelope.with_protocol);
    let with = if with.is_empty() { "SMTP" } else { &with };
    // Writing into a String cannot fail.
    let _ = write!(field, "Received: from {from} ({literal})\r\n\tby {by} with {with} id {id}");
    if !envelope.tls.is_empty() {
        let _ = write!(field, "\r\n\t({})", comment(&envelope.tls));
    }
    if let Some(submitter) = &envelope.submitter {
        // AUTH, or the login whose check of mail granted it.
        let how = if submitter.authenticated { "authenticated" } else { "checked mail" };
        let _ = write!(field, "\r\n\t({how}: {})", comment(&submitter.login));
    }
    let _ = write!(field, ";\r\n\t{}\r\n", date(now));
    field
}

/// What a message of a mail program must have and this one has not (RFC 6409 sections 8.2 and 8.3).
#[must_use]
pub fn missing_fields(found: &Found, id: MessageId, mail_host: &str, now: Timestamp) -> String {
    let mut fields = String::new();
    if !found.has_date {
        let _ = write!(fields, "Date: {}\r\n", date(now));
    }
    if !found.has_message_id {
        let _ = write!(fields, "Message-ID: <{id}@{mail_host}>\r\n");
    }
    fields
}

/// The trace field of a message that begins here, or of a copy that is made here.
pub(crate) fn hop_field(mail_host: &str, id: MessageId, now: Timestamp) -> String {
    format!("Received: by {mail_host} id {id}; {}\r\n", date(now))
}

/// RFC 5322 section 3.3, with a numeric zone.
fn date(now: Timestamp) -> String {
    now.to_zoned_datetime(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
}

/// RFC 5321 section 4.1.3.
fn address_literal(peer: PeerIp) -> String {
    match peer.ip() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// A word that cannot end or change the field, whatever it was made of.
fn header_word(text: &str) -> String {
    text.chars()
        .take(255)
        .map(|c| if c.is_ascii_graphic() && !"()<>;,\\\"".contains(c) { c } else { '?' })
        .collect()
}

/// `ctext` (RFC 5322 section 3.2.2): parentheses and backslashes are quoted, controls and non-ASCII masked.
fn comment(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars().take(300) {
        match c {
            '(' | ')' | '\\' => quoted.extend(['\\', c]),
            ' ' => quoted.push(c),
            c if c.is_ascii_graphic() => quoted.push(c),
            _ => quoted.push('?'),
        }
    }
    quoted
}

#[cfg(test)]
mod tests {
    use postern_proto::delivery::v1::Submitter;

    use super::*;

    fn envelope() -> Envelope {
        Envelope {
            helo: "client.example".to_owned(),
            by_host: "mx.postern.test".to_owned(),
            with_protocol: "ESMTPS".to_owned(),
            tls: "TLSv1.3, TLS13_AES_256_GCM_SHA384".to_owned(),
            ..Envelope::default()
        }
    }

    fn field(envelope: &Envelope, peer: &str) -> String {
        let id = "0190a0b0c0d0700080000102030405ff".parse().expect("an id");
        received_field(
            envelope,
            id,
            peer.parse().ok(),
            Timestamp::from_second(1_795_435_200).expect("a time"),
        )
    }

    #[test]
    fn s_25_one_received_field_with_everything() {
        let mut envelope = envelope();
        envelope.submitter =
            Some(Submitter { login: "u(x)@a.test".to_owned(), authenticated: true, ..Submitter::default() });
        assert_eq!(
            field(&envelope, "203.0.113.9"),
            "Received: from client.example ([203.0.113.9])\r\n\
             \tby mx.postern.test with ESMTPS id 0190a0b0c0d0700080000102030405ff\r\n\
             \t(TLSv1.3, TLS13_AES_256_GCM_SHA384)\r\n\
             \t(authenticated: u\\(x\\)@a.test);\r\n\
             \tMon, 23 Nov 2026 12:00:00 +0000\r\n"
        );
    }

    #[test]
    fn s_02_nothing_from_the_client_breaks_the_field() {
        let mut envelope = envelope();
        envelope.helo = "a\r\nBcc: x\0(;".to_owned();
        envelope.tls = "x\r\ny".to_owned();
        envelope.submitter = Some(Submitter { login: "é\r\nX: y".to_owned(), ..Submitter::default() });
        let field = field(&envelope, "2001:db8::1");
        assert!(field.contains("[IPv6:2001:db8::1]"));
        assert!(field.ends_with("\r\n") && field.is_ascii());
        // Every line but the first is a folded one.
        assert!(field.trim_end().split("\r\n").skip(1).all(|line| line.starts_with('\t')));
        assert_eq!(field.matches('\n').count(), field.matches("\r\n").count());
    }

    #[test]
    fn the_null_sender_is_shown_as_such() {
        assert_eq!(
            delivery_prefix(&ReversePath::Null, "user@homepage.test"),
            "Return-Path: <>\r\nDelivered-To: user@homepage.test\r\n"
        );
    }
}
