//! The text of a bounce: a pure function to the octets of a multipart/report (RFC 3464, RFC 6522, RFC 3834).

use std::fmt::Write as _;

use jiff::{Timestamp, tz::TimeZone};

use super::{Failure, RETURNED_HEADER_MAX_BYTES, Undelivered};

/// A built report.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Wire form.
    pub(super) octets: Vec<u8>,
    /// It has octets over 127.
    pub(super) eight_bit: bool,
    /// It names addresses that only SMTPUTF8 can carry (RFC 6533).
    pub(super) smtp_utf8: bool,
}

/// Builds the report.
pub(super) fn build(mail_host: &str, undelivered: &Undelivered<'_>, now: Timestamp) -> Report {
    let header = returned_header(undelivered.beginning);
    let failures = undelivered.failures;
    let utf8 = !undelivered.sender.is_ascii() || failures.iter().any(|failure| !failure.recipient.is_ascii());
    let boundary = format!("=_{}", undelivered.bounce_id);
    let mut text = head(mail_host, undelivered, now, &boundary);
    for part in [explanation(mail_host, undelivered), status(mail_host, undelivered, utf8)] {
        let _ = write!(text, "--{boundary}\r\n{part}\r\n");
    }
    let wide = !header.is_ascii();
    let kind = if wide && utf8 { "message/global-headers" } else { "text/rfc822-headers" };
    let coding = if wide { "8bit" } else { "7bit" };
    let _ = write!(
        text,
        "--{boundary}\r\nContent-Description: Header of the message that was not delivered\r\n\
         Content-Type: {kind}\r\nContent-Transfer-Encoding: {coding}\r\n\r\n"
    );
    let mut octets = text.into_bytes();
    octets.extend_from_slice(header);
    octets.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    let eight_bit = !octets.is_ascii();
    Report { octets, eight_bit, smtp_utf8: utf8 }
}

fn head(mail_host: &str, undelivered: &Undelivered<'_>, now: Timestamp, boundary: &str) -> String {
    format!(
        "Date: {date}\r\n\
         From: Mail Delivery System <MAILER-DAEMON@{mail_host}>\r\n\
         To: {sender}\r\n\
         Subject: Your message was not delivered\r\n\
         Message-ID: <{id}@{mail_host}>\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=\"{boundary}\"\r\n\
         \r\n\
         This is a report about a message in MIME format.\r\n\
         \r\n",
        date = date(now),
        sender = undelivered.sender,
        id = undelivered.bounce_id,
    )
}

/// First part: for people.
fn explanation(mail_host: &str, undelivered: &Undelivered<'_>) -> String {
    let mut body = format!(
        "This is the mail system of {mail_host}.\r\n\r\n\
         Your message could not be delivered to:\r\n\r\n"
    );
    for Failure { recipient, text, .. } in undelivered.failures {
        let _ = write!(body, "  <{recipient}>\r\n    {}\r\n\r\n", line(text));
    }
    let _ = write!(
        body,
        "No further attempt will be made. The header of your message is attached.\r\n\
         If you ask for help, please give this number: {}\r\n",
        undelivered.message_id
    );
    let coding = if body.is_ascii() { "7bit" } else { "8bit" };
    format!(
        "Content-Description: Explanation\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: {coding}\r\n\r\n{body}"
    )
}

/// Second part: for programs (RFC 3464 section 2).
fn status(mail_host: &str, undelivered: &Undelivered<'_>, utf8: bool) -> String {
    let mut body = format!(
        "Reporting-MTA: dns; {mail_host}\r\nX-Postern-Queue-ID: {}\r\nArrival-Date: {}\r\n",
        undelivered.message_id,
        date(undelivered.arrival)
    );
    for failure in undelivered.failures {
        let (class, subject, detail) = failure.code;
        // RFC 6533 section 3: an address that ASCII cannot hold has its own type.
        let kind = if failure.recipient.is_ascii() { "rfc822" } else { "utf-8" };
        let _ = write!(
            body,
            "\r\nFinal-Recipient: {kind}; {}\r\nAction: failed\r\nStatus: {class}.{subject}.{detail}\r\n",
            failure.recipient
        );
        if let Some(host) = &failure.remote_host {
            let _ = write!(body, "Remote-MTA: dns; {}\r\n", line(host));
        }
        // Only what a host said is of type smtp (RFC 3464 section 2.3.6).
        match &failure.remote_reply {
            Some(reply) => drop(write!(body, "Diagnostic-Code: smtp; {}\r\n", ascii(reply))),
            None => drop(write!(body, "Diagnostic-Code: X-Postern; {}\r\n", ascii(&failure.text))),
        }
    }
    let (kind, coding) = match (utf8, body.is_ascii()) {
        (false, true) => ("message/delivery-status", "7bit"),
        (true, true) => ("message/global-delivery-status", "7bit"),
        (_, false) => ("message/global-delivery-status", "8bit"),
    };
    format!(
        "Content-Description: Delivery report\r\nContent-Type: {kind}\r\n\
         Content-Transfer-Encoding: {coding}\r\n\r\n{body}"
    )
}

/// The header of the original up to the empty line, whole lines, bounded.
fn returned_header(beginning: &[u8]) -> &[u8] {
    let end =
        beginning.windows(4).position(|window| window == b"\r\n\r\n").map_or(beginning.len(), |end| end + 2);
    let header = beginning.get(..end.min(RETURNED_HEADER_MAX_BYTES)).unwrap_or(beginning);
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

    fn failure(recipient: &str, reply: Option<&str>) -> Failure {
        Failure {
            recipient: address(recipient),
            code: (5, 1, 1),
            text: "mx.far.test [203.0.113.9] said: 550 5.1.1 no such user".into(),
            remote_host: reply.map(|_| "mx.far.test".into()),
            remote_reply: reply.map(str::to_owned),
        }
    }

    fn report(failures: &[Failure], beginning: &[u8]) -> Report {
        let sender = address("a@homepage.test");
        let id = |n: u8| MessageId::try_from(&[n; 16][..]).expect("id");
        let undelivered = Undelivered {
            bounce_id: id(2),
            message_id: id(1),
            sender: &sender,
            arrival: Timestamp::UNIX_EPOCH,
            beginning,
            failures,
        };
        build("mail.postern.test", &undelivered, Timestamp::UNIX_EPOCH)
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
    fn wide_characters_are_declared() {
        let named = report(&[failure("\u{fc}ser@far.test", None)], b"Subject: x\r\n\r\n");
        assert!(named.eight_bit && named.smtp_utf8);
        let (_, parts) = parts(&named);
        assert!(parts[1].0.contains("message/global-delivery-status"));
        assert!(parts[1].1.contains("Final-Recipient: utf-8; \u{fc}ser@far.test"));
        let raw = report(&[failure("b@far.test", None)], b"Subject: \xfc\r\n\r\n");
        assert!(raw.eight_bit && !raw.smtp_utf8);
    }

    #[test]
    fn b_03_the_returned_header_is_bounded_and_whole_lines() {
        let endless = b"X: y\r\n".repeat(20_000);
        assert!(returned_header(&endless).len() <= RETURNED_HEADER_MAX_BYTES);
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
