//! Reads the content after DATA: finds the one true end, takes dot-stuffing away, judges what it sees
//! (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2).
//!
//! The end is CRLF.CRLF, or .CRLF at the very start, and nothing else: whoever takes less as an end lets others smuggle
//! a second message in. What is wrong with the content is remembered, and said after the true end.

use memchr::memchr3;
use postern_mail::{
    Reason,
    limits::{CONTENT_LINE_MAX_BYTES, MESSAGE_MAX_BYTES},
};

/// Bounds of one message.
#[derive(Clone, Copy, Debug)]
pub struct DataLimits {
    /// Content, octets without stuffing; `None`: no limit.
    pub message_max_bytes: Option<u64>,
    /// One line with its CRLF, octets.
    pub line_max_bytes: usize,
}

impl Default for DataLimits {
    fn default() -> Self {
        Self { message_max_bytes: Some(MESSAGE_MAX_BYTES), line_max_bytes: CONTENT_LINE_MAX_BYTES }
    }
}

/// What one call of [`DataReader::feed`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Octets of the input that were used; fewer than given only when the end was among them.
    pub consumed: usize,
    /// The end of data was reached.
    pub ended: bool,
}

/// What came last, as far as it matters for what comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start, or after CRLF.
    LineStart,
    /// Somewhere in a line.
    InLine,
    /// In a line, after a CR.
    Cr,
    /// After a dot at the start of a line.
    Dot,
    /// After that dot and a CR.
    DotCr,
    /// After the end.
    Ended,
}

/// The reader of one message. Keeps no content: pieces of the input go to the caller as they are.
#[derive(Debug)]
pub struct DataReader {
    state: State,
    limits: DataLimits,
    flaw: Option<Reason>,
    size_bytes: u64,
    /// Octets of the current line so far.
    line_bytes: usize,
}

impl DataReader {
    /// Starts before the first octet after the 354.
    #[must_use]
    pub fn new(limits: DataLimits) -> Self {
        Self { state: State::LineStart, limits, flaw: None, size_bytes: 0, line_bytes: 0 }
    }

    /// Reads on. `sink` gets the content in order, unstuffed, with its CRLFs; nothing more once a flaw is known.
    pub fn feed(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> Progress {
        let mut at = 0;
        // Start of what was looked at and not yet handed out.
        let mut from = 0;
        while let Some(octet) = input.get(at).copied() {
            match self.state {
                State::LineStart if octet == b'.' => {
                    self.hand_out(&input[from..at], &mut sink);
                    at += 1;
                    // The dot is stuffing or the start of the end: never content (RFC 5321 section 4.5.2).
                    from = at;
                    self.state = State::Dot;
                }
                State::LineStart => self.state = State::InLine,
                State::Dot if octet == b'\r' => {
                    at += 1;
                    self.state = State::DotCr;
                }
                State::Dot => self.state = State::InLine,
                State::DotCr if octet == b'\n' => {
                    self.state = State::Ended;
                    return Progress { consumed: at + 1, ended: true };
                }
                State::DotCr => {
                    self.object(Reason::BadContent);
                    self.state = State::InLine;
                }
                State::Cr if octet == b'\n' => {
                    // The CR came with an earlier piece and was held back.
                    self.hand_out(b"\r\n", &mut sink);
                    at += 1;
                    from = at;
                    self.line_ended();
                }
                State::Cr => {
                    self.object(Reason::BadContent);
                    self.state = State::InLine;
                }
                State::InLine => at = self.rest_of_line(input, at, &mut from, &mut sink),
                State::Ended => return Progress { consumed: at, ended: true },
            }
        }
        if from < input.len() && self.state != State::DotCr {
            self.hand_out(&input[from..], &mut sink);
        }
        Progress { consumed: input.len(), ended: self.state == State::Ended }
    }

    /// What is wrong with the content; to be said after the end.
    #[must_use]
    pub fn flaw(&self) -> Option<Reason> {
        self.flaw
    }

    /// Content so far, octets.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// From inside a line to the next octet that matters; gives the place after it.
    fn rest_of_line(
        &mut self,
        input: &[u8],
        at: usize,
        from: &mut usize,
        sink: &mut impl FnMut(&[u8]),
    ) -> usize {
        let Some(found) = memchr3(b'\r', b'\n', 0, &input[at..]).map(|i| at + i) else {
            self.count_line(input.len() - at);
            return input.len();
        };
        self.count_line(found - at);
        if input[found] != b'\r' {
            // A bare LF, or NUL (RFC 5321 section 2.3.8, RFC 5322 section 2.2).
            self.object(Reason::BadContent);
            return found + 1;
        }
        match input.get(found + 1) {
            Some(b'\n') => {
                self.line_ended();
                found + 2
            }
            Some(_) => {
                self.object(Reason::BadContent);
                found + 1
            }
            None => {
                self.hand_out(&input[*from..found], sink);
                *from = input.len();
                self.state = State::Cr;
                found + 1
            }
        }
    }

    fn line_ended(&mut self) {
        self.line_bytes = 0;
        self.state = State::LineStart;
    }

    fn count_line(&mut self, octets: usize) {
        self.line_bytes = self.line_bytes.saturating_add(octets);
        if self.line_bytes > self.limits.line_max_bytes.saturating_sub(2) {
            self.object(Reason::ContentLineTooLong);
        }
    }

    /// The first flaw stays: one message, one answer.
    fn object(&mut self, reason: Reason) {
        self.flaw.get_or_insert(reason);
    }

    fn hand_out(&mut self, content: &[u8], sink: &mut impl FnMut(&[u8])) {
        self.size_bytes = self.size_bytes.saturating_add(content.len() as u64);
        if self.limits.message_max_bytes.is_some_and(|max| self.size_bytes > max) {
            self.object(Reason::MessageTooLarge);
        }
        if self.flaw.is_none() && !content.is_empty() {
            sink(content);
        }
    }
}

#[cfg(test)]
mod tests;
