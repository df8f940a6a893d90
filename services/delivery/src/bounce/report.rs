//! The text of a bounce: a pure function to the octets of a multipart/report (RFC 3464, RFC 6522, RFC 3834).

use std::{borrow::Cow, fmt::Write as _};

use jiff::{Timestamp, tz::TimeZone};
use postern_smtp::dsn::{decode_xtext, shown_original_recipient};

use super::{Action, Fate, Notice, RETURNED_MAX_BYTES};
use crate::content::base64_body;

/// A built report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Wire form.
    pub(super) octets: Vec<u8>,
    /// It has octets over 127.
    pub(super) eight_bit: bool,
    /// Its own header names an address that only SMTPUTF8 can carry.
    pub(super) smtp_utf8: bool,
}

/// A part of it (RFC 2045).
struct Part<'a> {
    what: &'static str,
    kind: &'static str,
    body: Cow<'a, [u8]>,
}

impl Part<'_> {
    /// `seven_bit`: what is not ASCII is encoded, where its type allows that.
    fn write_to(&self, octets: &mut Vec<u8>, seven_bit: bool) {
        let Self { what, kind, body } = self;
        let is_encodable = kind.starts_with("text/plain") || kind.starts_with("message/global");
        let (coding, body) = match body.is_ascii() {
            true => ("7bit", body.clone()),
            false if seven_bit && is_encodable => ("base64", Cow::Owned(base64_body(body).into_bytes())),
            false => ("8bit", body.clone()),
        };
        let head = format!(
            "Content-Description: {what}\r\nContent-Type: {kind}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n"
        );
        octets.extend_from_slice(head.as_bytes());
        octets.extend_from_slice(&body);
        octets.extend_from_slice(b"\r\n");
    }
}

/// Builds the report. `seven_bit`: for hosts that take no more, as far as the original allows it.
pub(super) fn build(mail_host: &str, notice: &Notice<'_>, seven_bit: bool, now: Timestamp) -> Report {
    let failed = notice.fates.iter().any(|fate| fate.action == Action::Failed);
    // Only a failure is worth the whole message (RFC 3461 section 4.3).
    let all = notice.give_back_all && failed;
    let returned = if all { notice.beginning } else { returned_header(notice.beginning) };
    let utf8 = !notice.sender.is_ascii() || notice.fates.iter().any(|fate| !fate.recipient.is_ascii());
    let (kind, what) = match (all, !returned.is_ascii() && (utf8 || notice.smtp_utf8)) {
        (true, false) => ("message/rfc822", "Your message"),
        (true, true) => ("message/global", "Your message"),
        (false, false) => ("text/rfc822-headers", "Header of your message"),
        (false, true) => ("message/global-headers", "Header of your message"),
    };
    let boundary = format!("=_{}", notice.report_id);
    let mut octets = head(mail_host, notice, now, &boundary).into_bytes();
    let smtp_utf8 = !octets.is_ascii();
    let parts = [
        explanation(mail_host, notice, all),
        status(mail_host, notice, utf8),
        Part { what, kind, body: Cow::Borrowed(returned) },
    ];
    for part in parts {
        octets.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
        part.write_to(&mut octets, seven_bit);
    }
    octets.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    let eight_bit = !octets.is_ascii();
    Report { octets, eight_bit, smtp_utf8 }
}

fn subject(fates: &[Fate]) -> &'static str {
    let any = |wanted: fn(&Action) -> bool| fates.iter().any(|fate| wanted(&fate.action));
    if any(|action| *action == Action::Failed) {
        "Your message was not delivered"
    } else if any(|action| matches!(action, Action::Delayed { .. })) {
        "Your message is delayed"
    } else if any(|action| *action == Action::Delivered) {
        "Your message was delivered"
    } else {
        "Your message was handed on"
    }
}

fn head(mail_host: &str, notice: &Notice<'_>, now: Timestamp, boundary: &str) -> String {
    format!(
        "Date: {date}\r\n\
         From: Mail Delivery System <MAILER-DAEMON@{mail_host}>\r\n\
         To: {sender}\r\n\
         Subject: {subject}\r\n\
         Message-ID: <{id}@{mail_host}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
         \r\n\
         This is a report about a message in MIME format.\r\n\
         \r\n",
        date = date(now),
        sender = notice.sender,
        subject = subject(notice.fates),
        id = notice.report_id,
    )
}

/// First part: for people.
fn explanation(mail_host: &str, notice: &Notice<'_>, all: bool) -> Part<'static> {
    let mut body = format!("This is the mail system of {mail_host}.\r\n");
    paragraph(&mut body, notice, "Your message could not be delivered to:", |action| {
        *action == Action::Failed
    });
    paragraph(
        &mut body,
        notice,
        "Your message could not be delivered yet, and will be tried again, to:",
        |action| matches!(action, Action::Delayed { .. }),
    );
    paragraph(&mut body, notice, "Your message was delivered to:", |action| *action == Action::Delivered);
    paragraph(
        &mut body,
        notice,
        "Your message was handed on, and no more is known of it here, to:",
        |action| matches!(action, Action::Relayed | Action::Expanded),
    );
    let delayed = notice.fates.iter().find_map(|fate| match fate.action {
        Action::Delayed { until } => Some(until),
        _ => None,
    });
    let last = match delayed {
        Some(until) => format!("It is tried until {}. You need not send it again.", date(until)),
        None if notice.fates.iter().any(|fate| fate.action == Action::Failed) => {
            "No further attempt will be made for those who did not get it.".to_owned()
        }
        None => "You asked to be told.".to_owned(),
    };
    let what = if all { "Your message" } else { "The header of your message" };
    let _ = write!(
        body,
        "\r\n{last} {what} is attached.\r\nIf you ask for help, please give this number: {}\r\n",
        notice.message_id
    );
    let body = Cow::Owned(body.into_bytes());
    Part { what: "Explanation", kind: "text/plain; charset=utf-8", body }
}

fn paragraph(body: &mut String, notice: &Notice<'_>, title: &str, belongs: impl Fn(&Action) -> bool) {
    let mut fates = notice.fates.iter().filter(|fate| belongs(&fate.action)).peekable();
    if fates.peek().is_none() {
        return;
    }
    let _ = write!(body, "\r\n{title}\r\n");
    for Fate { recipient, text, .. } in fates {
        let _ = write!(body, "\r\n  <{recipient}>\r\n");
        if !text.is_empty() {
            let _ = write!(body, "    {}\r\n", line(text));
        }
    }
}

/// Second part: for programs (RFC 3464 section 2).
fn status(mail_host: &str, notice: &Notice<'_>, utf8: bool) -> Part<'static> {
    let mut body = String::new();
    if let Some(id) = notice.envelope_id.and_then(decode_xtext) {
        let _ = write!(body, "Original-Envelope-ID: {}\r\n", line(&id));
    }
    let _ = write!(
        body,
        "Reporting-MTA: dns; {mail_host}\r\nX-Postern-Queue-ID: {}\r\nArrival-Date: {}\r\n",
        notice.message_id,
        date(notice.arrival)
    );
    for fate in notice.fates {
        body.push_str("\r\n");
        fate_fields(&mut body, fate);
    }
    let is_plain = !utf8 && body.is_ascii();
    let kind = if is_plain { "message/delivery-status" } else { "message/global-delivery-status" };
    Part { what: "Delivery report", kind, body: Cow::Owned(body.into_bytes()) }
}

/// RFC 3464 section 2.3.
fn fate_fields(body: &mut String, fate: &Fate) {
    if let Some((kind, address)) = fate.original_recipient.as_deref().and_then(shown_original_recipient) {
        let _ = write!(body, "Original-Recipient: {kind}; {}\r\n", line(&address));
    }
    // RFC 6533 section 3: an address that ASCII cannot hold has its own type.
    let kind = if fate.recipient.is_ascii() { "rfc822" } else { "utf-8" };
    let action = match fate.action {
        Action::Failed => "failed",
        Action::Delayed { .. } => "delayed",
        Action::Delivered => "delivered",
        Action::Relayed => "relayed",
        Action::Expanded => "expanded",
    };
    let (class, subject, detail) = fate.code;
    let _ = write!(
        body,
        "Final-Recipient: {kind}; {}\r\nAction: {action}\r\nStatus: {class}.{subject}.{detail}\r\n",
        fate.recipient
    );
    if let Some(host) = &fate.remote_host {
        let _ = write!(body, "Remote-MTA: dns; {}\r\n", line(host));
    }
    // Only what a host said is of type smtp (RFC 3464 section 2.3.6).
    match &fate.remote_reply {
        Some(reply) => drop(write!(body, "Diagnostic-Code: smtp; {}\r\n", ascii(reply))),
        None if fate.text.is_empty() => {}
        None => drop(write!(body, "Diagnostic-Code: X-Postern; {}\r\n", ascii(&fate.text))),
    }
    if let Action::Delayed { until } = fate.action {
        let _ = write!(body, "Will-Retry-Until: {}\r\n", date(until));
    }
}

/// The header of the original up to the empty line, whole lines, bounded.
fn returned_header(beginning: &[u8]) -> &[u8] {
    let end =
        beginning.windows(4).position(|window| window == b"\r\n\r\n").map_or(beginning.len(), |end| end + 2);
    let header = beginning.get(..end.min(RETURNED_MAX_BYTES)).unwrap_or(beginning);
    let whole_lines = header.windows(2).rposition(|window| window == b"\r\n").map_or(0, |end| end + 2);
    header.get(..whole_lines).unwrap_or_default()
}

/// Foreign words must not make lines of their own.
fn line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(700).collect()
}

fn ascii(text: &str) -> String {
    line(text).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// RFC 5322 section 3.3.
fn date(time: Timestamp) -> String {
    time.to_zoned_datetime(TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
mod tests {
    use postern_mail::{EmailAddress, MessageId};
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().expect(text)
    }

    fn failure(recipient: &str, reply: Option<&str>) -> Fate {
        Fate {
            recipient: address(recipient),
            original_recipient: None,
            action: Action::Failed,
            code: (5, 1, 1),
            text: "mx.far.test [203.0.113.9] said: 550 5.1.1 no such user".into(),
            remote_host: reply.map(|_| "mx.far.test".into()),
            remote_reply: reply.map(str::to_owned),
        }
    }

    fn report(fates: &[Fate], beginning: &[u8]) -> Report {
        report_with(fates, beginning, None, false)
    }

    fn report_with(fates: &[Fate], beginning: &[u8], envelope_id: Option<&str>, all: bool) -> Report {
        let sender = address("a@homepage.test");
        let notice = notice(&sender, fates, beginning);
        let notice = Notice { envelope_id, give_back_all: all, ..notice };
        build("mail.postern.test", &notice, false, Timestamp::UNIX_EPOCH)
    }

    fn notice<'a>(sender: &'a EmailAddress, fates: &'a [Fate], beginning: &'a [u8]) -> Notice<'a> {
        let id = |n: u8| MessageId::try_from(&[n; 16][..]).expect("id");
        Notice {
            report_id: id(2),
            message_id: id(1),
            sender,
            arrival: Timestamp::UNIX_EPOCH,
            envelope_id: None,
            beginning,
            give_back_all: false,
            smtp_utf8: false,
            fates,
        }
    }

    /// The parts as (header, body).
    fn parts(report: &Report) -> (String, Vec<(String, String)>) {
        let text = String::from_utf8_lossy(&report.octets).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").expect("head");
        let boundary =
            head.split("boundary=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("boundary");
        let (body, rest) = body.split_once(&format!("\r\n--{boundary}--\r\n")).expect("end");
        assert_eq!(rest, "");
        let line = format!("--{boundary}\r\n");
        let parts = body.split(&line).skip(1).map(|part| {
            let (header, body) = part.split_once("\r\n\r\n").expect("part");
            (header.to_owned(), body.to_owned())
        });
        (head.to_owned(), parts.collect())
    }

    #[test]
    fn b_01_three_parts_with_their_fields() {
        let original = b"Received: x\r\nSubject: hello\r\n\r\nsecret body\r\n";
        let failures = [failure("b@far.test", Some("550 5.1.1 no such user")), failure("c@far.test", None)];
        let report = report(&failures, original);
        assert!(!report.eight_bit && !report.smtp_utf8);
        let (head, parts) = parts(&report);
        for field in [
            "Date: Thu, 01 Jan 1970 00:00:00 +0000",
            "From: Mail Delivery System <MAILER-DAEMON@mail.postern.test>",
            "To: a@homepage.test",
            "Message-ID: <02020202020202020202020202020202@mail.postern.test>",
            "Auto-Submitted: auto-replied",
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=delivery-status;",
        ] {
            assert!(head.contains(field), "{field}\n{head}");
        }
        assert_eq!(parts.len(), 3);
        assert!(parts[0].0.contains("text/plain"));
        assert!(parts[0].1.contains("<b@far.test>") && parts[0].1.contains("said: 550 5.1.1 no such user"));
        assert!(parts[1].0.contains("Content-Type: message/delivery-status"));
        assert_eq!(
            parts[1].1,
            "Reporting-MTA: dns; mail.postern.test\r\n\
             X-Postern-Queue-ID: 01010101010101010101010101010101\r\n\
             Arrival-Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n\
             \r\n\
             Final-Recipient: rfc822; b@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Remote-MTA: dns; mx.far.test\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
             \r\n\
             Final-Recipient: rfc822; c@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\n\
             Diagnostic-Code: X-Postern; mx.far.test [203.0.113.9] said: 550 5.1.1 no such user\r\n\r\n"
        );
        assert!(parts[2].0.contains("text/rfc822-headers"));
        assert_eq!(parts[2].1, "Received: x\r\nSubject: hello\r\n");
    }

    #[test]
    fn s_92_what_the_sender_gave_comes_back() {
        let original = b"Subject: hello\r\n\r\nthe body\r\n";
        let fate =
            Fate { original_recipient: Some("rfc822;B+2Bx@far.test".into()), ..failure("b@far.test", None) };
        let (_, parts) = parts(&report_with(&[fate], original, Some("id+2B7"), true));
        assert!(parts[1].1.starts_with("Original-Envelope-ID: id+7\r\nReporting-MTA: "), "{}", parts[1].1);
        assert!(parts[1].1.contains("Original-Recipient: rfc822; B+x@far.test\r\nFinal-Recipient: "));
        assert!(parts[2].0.contains("message/rfc822"));
        assert_eq!(parts[2].1.as_bytes(), original);
    }

    #[test]
    fn b_04_other_fates_have_their_own_words() {
        let until = Timestamp::UNIX_EPOCH;
        let fate = |action, code| Fate { action, code, text: String::new(), ..failure("b@far.test", None) };
        let original = b"Subject: hello\r\n\r\nthe body\r\n";
        for (fate, subject, fields) in [
            (
                fate(Action::Delayed { until }, (4, 4, 7)),
                "Your message is delayed",
                "Action: delayed\r\nStatus: 4.4.7\r\nWill-Retry-Until: Thu, 01 Jan 1970 00:00:00 +0000\r\n",
            ),
            (
                fate(Action::Delivered, (2, 0, 0)),
                "Your message was delivered",
                "Action: delivered\r\nStatus: 2.0.0\r\n",
            ),
            (
                fate(Action::Relayed, (2, 0, 0)),
                "Your message was handed on",
                "Action: relayed\r\nStatus: 2.0.0\r\n",
            ),
        ] {
            // Only a failure gives the body back.
            let (head, parts) = parts(&report_with(&[fate], original, None, true));
            assert!(head.contains(subject), "{head}");
            assert!(parts[1].1.contains(fields), "{}", parts[1].1);
            assert_eq!(parts[2].1, "Subject: hello\r\n");
        }
    }

    #[test]
    fn b_03_s_91_wide_characters_are_declared() {
        let wide = Fate {
            original_recipient: Some("utf-8;\\x{FC}ser@f\\x{E4}r.test".into()),
            ..failure("\u{fc}ser@far.test", None)
        };
        let named = report(std::slice::from_ref(&wide), b"Subject: x\r\n\r\n");
        // Anybody who takes 8BITMIME can get it: only its body is wide.
        assert!(named.eight_bit && !named.smtp_utf8);
        let (_, named) = parts(&named);
        assert!(named[1].0.contains("message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit"));
        assert!(named[1].1.contains(
            "Original-Recipient: utf-8; \u{fc}ser@f\u{e4}r.test\r\nFinal-Recipient: utf-8; \u{fc}ser@far.test\r\n"
        ));
        assert!(named[2].0.contains("text/rfc822-headers"), "what is given back is ASCII");

        let sender = address("\u{e4}@homepage.test");
        let (fates, original) = ([wide], "Subject: \u{fc}\r\n\r\nbody\r\n".as_bytes());
        let header_kind = |notice: &Notice<'_>| {
            let report = build("mail.postern.test", notice, false, Timestamp::UNIX_EPOCH);
            let (head, parts) = parts(&report);
            (
                report.smtp_utf8,
                head.contains("To: \u{e4}@homepage.test"),
                parts[2].0.clone(),
                parts[2].1.clone(),
            )
        };
        let (smtp_utf8, to, kind, header) = header_kind(&notice(&sender, &fates, original));
        assert!(smtp_utf8 && to, "its own header is wide");
        assert!(kind.contains("message/global-headers\r\nContent-Transfer-Encoding: 8bit"), "{kind}");
        assert_eq!(header, "Subject: \u{fc}\r\n");
        let all = Notice { give_back_all: true, ..notice(&sender, &fates, original) };
        assert!(header_kind(&all).2.contains("message/global\r\n"));

        let (sender, fates) = (address("a@homepage.test"), [failure("b@far.test", None)]);
        let old = notice(&sender, &fates, original);
        assert!(header_kind(&old).2.contains("text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit"));
        let new = Notice { smtp_utf8: true, ..old };
        assert!(header_kind(&new).2.contains("message/global-headers"), "it came with SMTPUTF8");
        let raw = report(&fates, b"Subject: \xfc\r\n\r\n");
        assert!(raw.eight_bit && !raw.smtp_utf8);
    }

    #[test]
    fn b_03_s_91_what_leaves_for_an_ascii_sender_is_seven_bit_where_it_can_be() {
        let sender = address("a@homepage.test");
        let fates = [failure("\u{fc}ser@far.test", None)];
        let original = "Subject: \u{fc}\r\n\r\nbody\r\n".as_bytes();
        let notice = Notice { smtp_utf8: true, ..notice(&sender, &fates, original) };
        let report = build("mail.postern.test", &notice, true, Timestamp::UNIX_EPOCH);
        assert!(report.octets.is_ascii() && !report.eight_bit);
        let message = mail_parser::MessageParser::default().parse(&report.octets).expect("a message");
        let decoded =
            |n: u32| String::from_utf8_lossy(message.part(n).expect("a part").contents()).into_owned();
        assert!(decoded(1).contains("<\u{fc}ser@far.test>"), "{}", decoded(1));
        assert!(decoded(2).contains("Final-Recipient: utf-8; \u{fc}ser@far.test\r\n"), "{}", decoded(2));
        assert_eq!(decoded(3), "Subject: \u{fc}\r\n");
        // Of other mail eight bits are given back as they are, in a type that cannot be encoded.
        let old = Notice { smtp_utf8: false, fates: &[failure("b@far.test", None)], ..notice };
        assert!(build("mail.postern.test", &old, true, Timestamp::UNIX_EPOCH).eight_bit);
    }

    #[test]
    fn b_03_the_returned_header_is_bounded_and_whole_lines() {
        let endless = b"X: y\r\n".repeat(20_000);
        assert!(returned_header(&endless).len() <= RETURNED_MAX_BYTES);
        assert!(returned_header(&endless).ends_with(b"X: y\r\n"));
        assert_eq!(returned_header(b"no line end"), b"");
        assert_eq!(returned_header(b""), b"");
    }

    proptest! {
        #[test]
        fn foreign_words_cannot_break_the_structure(text in ".{0,200}", reply in "(\r\n|--|=_|[a-z: ]){0,40}") {
            let mut bad = failure("b@far.test", Some(&reply));
            bad.text = text;
            let report = report(&[bad], b"Subject: x\r\n\r\n");
            let (_, parts) = parts(&report);
            prop_assert_eq!(parts.len(), 3);
            let finals = parts[1].1.lines().filter(|l| l.starts_with("Final-Recipient:")).count();
            prop_assert_eq!(finals, 1);
            let long = String::from_utf8_lossy(&report.octets).split("\r\n").any(|l| l.chars().count() > 998);
            prop_assert!(!long);
        }
    }
}
