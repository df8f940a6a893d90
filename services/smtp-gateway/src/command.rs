//! From octets to events: lines, commands, and groups of RCPT that may be answered together.
//!
//! Second step of the walk: [`crate::connection`] fills the input, the session says what it expects.

use std::time::SystemTime;

use bytes::BytesMut;
use postern_mail::{
    MessageId, Reason,
    limits::{SASL_LINE_MAX_BYTES, SMTP_LINE_MAX_BYTES},
};
use postern_smtp::{
    command::{self, Command, Offers, RcptCommand, Refused, ends_group, is_bdat},
    line::{Line, LineReader},
};

use crate::session::{Event, Stamp};

/// RCPT commands that are answered together at most.
const GROUP_MAX: usize = 100;

/// What the session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// A command.
    Command,
    /// An answer within AUTH.
    SaslLine,
}

/// Reads events off the input.
#[derive(Debug, Default)]
pub(crate) struct CommandReader {
    lines: LineReader,
    /// Was read to see whether it belongs to a group, and did not.
    next: Option<Event>,
}

impl CommandReader {
    /// True when a line has begun and not ended.
    pub(crate) fn is_within_line(&self, input: &BytesMut) -> bool {
        !input.is_empty() || self.lines.is_skipping()
    }

    /// The next event; `None` when more octets are needed.
    pub(crate) fn next_event(
        &mut self,
        input: &mut BytesMut,
        expect: Expect,
        offers: Offers,
    ) -> Option<Event> {
        if let Some(event) = self.next.take() {
            return Some(event);
        }
        if expect == Expect::SaslLine {
            return Some(match self.lines.next_line(input, SASL_LINE_MAX_BYTES)? {
                Line::Whole(line) => Event::SaslLine(line.to_vec()),
                Line::TooLong(_) => Event::SaslLineTooLong,
                Line::Endless => Event::BrokenLine(Reason::LineTooLong),
                Line::BareLineFeed => Event::BrokenLine(Reason::BadCharacter),
            });
        }
        match self.read(input, offers)? {
            Read::Recipient(first) => Some(Event::Recipients(self.group(first, input, offers))),
            Read::Other(event) => Some(event),
        }
    }

    /// What can be read without waiting after a RCPT, as long as it is RCPT too (RFC 2920 section 3.1).
    fn group(&mut self, first: Recipient, input: &mut BytesMut, offers: Offers) -> Vec<Recipient> {
        let mut group = vec![first];
        while group.len() < GROUP_MAX && is_rcpt(input) {
            match self.read(input, offers) {
                Some(Read::Recipient(next)) => group.push(next),
                Some(Read::Other(event)) => {
                    self.next = Some(event);
                    break;
                }
                None => break,
            }
        }
        group
    }

    fn read(&mut self, input: &mut BytesMut, offers: Offers) -> Option<Read> {
        let line = self.lines.next_line(input, SMTP_LINE_MAX_BYTES)?;
        let hasty = |line: &[u8]| ends_group(line) && !input.is_empty();
        Some(match line {
            Line::Whole(line) => match command::parse(&line, offers) {
                Ok(Command::Rcpt(command)) => Read::Recipient(Ok(command)),
                Err(refused) if is_rcpt(&line) => Read::Recipient(Err(refused)),
                Err(refused) => Read::Other(Event::Refused { refused, hasty: hasty(&line) }),
                Ok(Command::Mail(mail)) => {
                    let stamp = Stamp { message_id: MessageId::new(), time: SystemTime::now() };
                    Read::Other(Event::Mail(mail, stamp))
                }
                Ok(command) => Read::Other(Event::Command { command, hasty: hasty(&line) }),
            },
            Line::TooLong(begin) if is_bdat(&begin) => {
                Read::Other(Event::Command { command: Command::Bdat(None), hasty: false })
            }
            Line::TooLong(begin) => {
                Read::Other(Event::Refused { refused: Reason::LineTooLong.into(), hasty: hasty(&begin) })
            }
            Line::Endless => Read::Other(Event::BrokenLine(Reason::LineTooLong)),
            Line::BareLineFeed => Read::Other(Event::BrokenLine(Reason::BadCharacter)),
        })
    }
}

type Recipient = Result<RcptCommand, Refused>;

enum Read {
    Recipient(Recipient),
    Other(Event),
}

fn is_rcpt(line: &[u8]) -> bool {
    line.get(..5).is_some_and(|verb| verb.eq_ignore_ascii_case(b"RCPT "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(input: &[u8]) -> Vec<String> {
        let mut reader = CommandReader::default();
        let mut input = BytesMut::from(input);
        let mut names = Vec::new();
        while let Some(event) = reader.next_event(&mut input, Expect::Command, Offers::default()) {
            names.push(match event {
                Event::Recipients(group) => format!("rcpt {}", group.len()),
                Event::Command { command: Command::Bdat(None), .. } => "bdat".into(),
                Event::Command { hasty, .. } => format!("command {hasty}"),
                Event::Refused { refused, hasty } => format!("{} {hasty}", refused.reason.name()),
                Event::Mail(..) => "mail".into(),
                Event::BrokenLine(reason) => {
                    names.push(reason.name().to_owned());
                    break;
                }
                other => format!("{other:?}"),
            });
        }
        names
    }

    #[test]
    fn s_40_recipients_that_stand_together_come_together() {
        let wire = b"MAIL FROM:<>\r\nRCPT TO:<a@b.test>\r\nrcpt to:<bad>\r\nRCPT TO:<c@b.test>\r\nDATA\r\n";
        assert_eq!(events(wire), ["mail", "rcpt 3", "command false"]);
        assert_eq!(events(b"RCPT TO:<a@b.test>\r\nRCPT TO:<c@b"), ["rcpt 1"]);
        let many = b"RCPT TO:<a@b.test>\r\n".repeat(250);
        assert_eq!(events(&many), ["rcpt 100", "rcpt 100", "rcpt 50"]);
    }

    #[test]
    fn a_broken_line_behind_a_group_is_not_lost() {
        assert_eq!(
            events(b"RCPT TO:<a@b.test>\r\nRCPT TO:<c@b.test>\nQUIT\r\n"),
            ["rcpt 1", "BAD_CHARACTER"]
        );
        let long =
            [b"RCPT TO:<a@b.test>\r\nRCPT TO:<".as_slice(), &b"x".repeat(3000), b">\r\nNOOP\r\n"].concat();
        assert_eq!(events(&long), ["rcpt 1", "LINE_TOO_LONG false", "command false"]);
    }

    #[test]
    fn s_41_what_stands_behind_a_command_is_seen() {
        assert_eq!(events(b"DATA\r\nx"), ["command true"]);
        assert_eq!(events(b"NOOP\r\nNOOP\r\n"), ["command false", "command false"]);
        // Also of one that is refused (RFC 4954 section 4: AUTH waits for its reply).
        assert_eq!(events(b"STARTTLS now\r\nx"), ["BAD_ARGUMENTS true"]);
        assert_eq!(events(b"AUTH CRAM-MD5\r\nNOOP\r\n"), ["NOT_IMPLEMENTED true", "command false"]);
        assert_eq!(events(b"EHLO\t\r\n"), ["BAD_CHARACTER false"]);
        let long = [b"EHLO ".as_slice(), &b"x".repeat(3000), b"\r\nNOOP\r\n"].concat();
        assert_eq!(events(&long), ["LINE_TOO_LONG true", "command false"]);
    }

    #[test]
    fn s_62_a_bdat_that_cannot_be_read_is_no_line_among_others() {
        let long = [b"BDAT ".as_slice(), &b"3".repeat(3000), b"\r\nNOOP\r\n"].concat();
        for line in [&b"BDAT 5\t\r\n"[..], b"bdat 5\xff\r\n", &long] {
            assert_eq!(events(line)[0], "bdat", "{}", line.escape_ascii());
        }
    }
}
