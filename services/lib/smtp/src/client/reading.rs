//! Reads the replies of a foreign server (RFC 5321 section 4.2.1), whatever it sends: bounded, never panics.
//!
//! First step of the walk of an answer: bytes -> [`RemoteReply`] -> [`super::Client::step`].

use std::fmt;

/// A reply that has not ended after so many octets is none.
const REPLY_MAX_BYTES: usize = 64 * 1024;
/// Octets of a line that are kept; the rest of it is read and forgotten.
const LINE_KEPT_BYTES: usize = 1024;
/// Lines of a reply that are kept. EHLO answers have about twenty.
const LINES_KEPT: usize = 100;

/// What a foreign server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteReply {
    /// 200 to 599.
    pub code: u16,
    /// Enhanced code in front of the last line's text, when it is one and fits the code (RFC 2034 section 4).
    pub enhanced: Option<(u8, u16, u16)>,
    /// Text of each line, the first [`LINES_KEPT`], without codes of the reply; printable characters only.
    pub lines: Vec<String>,
}

impl RemoteReply {
    /// The whole reply as one line, at most 500 characters, for logs and bounces.
    #[must_use]
    pub fn one_line(&self) -> String {
        let mut text = self.code.to_string();
        for line in &self.lines {
            text.push(' ');
            text.push_str(line);
        }
        text.chars().take(500).collect()
    }

    /// 2xx.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// 5xx.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }
}

impl fmt::Display for RemoteReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.one_line())
    }
}

/// What came is no SMTP reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbled;

/// Collects octets and gives whole replies.
#[derive(Debug, Default)]
pub(super) struct ReplyReader {
    /// Received and not yet used.
    waiting: Vec<u8>,
    /// How far `waiting` was searched for a line end.
    searched: usize,
    /// Kept start of a line that is longer than `waiting` may grow.
    lines: Vec<String>,
    code: Option<u16>,
    reply_bytes: usize,
}

impl ReplyReader {
    /// Adds what was received.
    pub(super) fn feed(&mut self, octets: &[u8]) {
        self.waiting.extend_from_slice(octets);
    }

    /// True when octets were received that belong to no reply that was asked for.
    pub(super) fn has_more(&self) -> bool {
        !self.waiting.is_empty() || self.code.is_some()
    }

    /// The next whole reply, `None` when more octets are needed.
    pub(super) fn next_reply(&mut self) -> Result<Option<RemoteReply>, Garbled> {
        let mut start = 0;
        let mut done = None;
        while done.is_none() {
            let Some(length) = self.waiting[self.searched..].iter().position(|c| *c == b'\n') else { break };
            let end = self.searched + length;
            let line = self.waiting[start..end].to_vec();
            self.reply_bytes += line.len() + 1;
            start = end + 1;
            self.searched = start;
            done = self.take_line(&line)?;
            if self.reply_bytes > REPLY_MAX_BYTES {
                return Err(Garbled);
            }
        }
        self.waiting.drain(..start);
        self.searched = if done.is_some() { 0 } else { self.waiting.len() };
        if done.is_none() && self.reply_bytes + self.waiting.len() > REPLY_MAX_BYTES {
            return Err(Garbled);
        }
        Ok(done)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<Option<RemoteReply>, Garbled> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (digits, rest) = line.split_at_checked(3).ok_or(Garbled)?;
        let code = code_of(digits).ok_or(Garbled)?;
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(Garbled),
        };
        // All lines of a reply carry one code (RFC 5321 section 4.2.1).
        if *self.code.get_or_insert(code) != code {
            return Err(Garbled);
        }
        if self.lines.len() < LINES_KEPT {
            self.lines.push(printable(text));
        }
        if !last {
            return Ok(None);
        }
        let lines = std::mem::take(&mut self.lines);
        self.code = None;
        self.reply_bytes = 0;
        let enhanced = lines.last().and_then(|text| enhanced_of(text, code));
        Ok(Some(RemoteReply { code, enhanced, lines }))
    }
}

fn code_of(digits: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(digits).ok()?;
    let code: u16 = text.parse().ok().filter(|_| digits.iter().all(u8::is_ascii_digit))?;
    (200..600).contains(&code).then_some(code)
}

/// Foreign text goes into logs and bounces: no control character, no broken UTF-8.
fn printable(text: &[u8]) -> String {
    let kept = &text[..text.len().min(LINE_KEPT_BYTES)];
    String::from_utf8_lossy(kept).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `5.1.1` in front of the text (RFC 3463 section 2).
fn enhanced_of(text: &str, code: u16) -> Option<(u8, u16, u16)> {
    let word = text.split(' ').next()?;
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = |part: &str| (1..=3).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_digit());
    if parts.next().is_some() || ![class, subject, detail].iter().all(|part| digits(part)) {
        return None;
    }
    let class: u8 = class.parse().ok()?;
    (u16::from(class) == code / 100).then_some((class, subject.parse().ok()?, detail.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(octets: &[u8]) -> Result<Option<RemoteReply>, Garbled> {
        let mut reader = ReplyReader::default();
        reader.feed(octets);
        reader.next_reply()
    }

    #[test]
    fn replies_are_read() {
        for (octets, code, enhanced, lines) in [
            ("250 ok\r\n", 250, None, vec!["ok"]),
            ("250\r\n", 250, None, vec![""]),
            ("250 ok\n", 250, None, vec!["ok"]),
            ("250-a\r\n250-b c\r\n250 d\r\n", 250, None, vec!["a", "b c", "d"]),
            ("550 5.1.1 no such user\r\n", 550, Some((5, 1, 1)), vec!["5.1.1 no such user"]),
            ("450 5.1.1 class differs\r\n", 450, None, vec!["5.1.1 class differs"]),
            ("550 5.1 short\r\n", 550, None, vec!["5.1 short"]),
            ("421 bad\x07bell\r\n", 421, None, vec!["bad bell"]),
        ] {
            let reply = read(octets.as_bytes()).expect(octets).expect(octets);
            assert_eq!((reply.code, reply.enhanced), (code, enhanced), "{octets}");
            assert_eq!(reply.lines, lines, "{octets}");
        }
    }

    #[test]
    fn what_is_no_reply_is_garbled() {
        for octets in [
            "hello\r\n",
            "25\r\n",
            "\r\n",
            "999 x\r\n",
            "100 x\r\n",
            "250=x\r\n",
            "250-a\r\n251 b\r\n",
            "+25 x\r\n",
        ] {
            assert_eq!(read(octets.as_bytes()), Err(Garbled), "{octets}");
        }
    }

    #[test]
    fn an_endless_reply_is_garbled_before_it_takes_memory() {
        for piece in ["250-more and more\r\n", "250 no line end"] {
            let mut reader = ReplyReader::default();
            let mut fed = 0;
            let outcome = loop {
                reader.feed(piece.as_bytes());
                fed += piece.len();
                assert!(fed < 10 * REPLY_MAX_BYTES, "read on for ever");
                match reader.next_reply() {
                    Ok(None) => {}
                    other => break other,
                }
            };
            assert_eq!(outcome, Err(Garbled));
            assert!(fed <= REPLY_MAX_BYTES + 2 * piece.len());
        }
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(cuts in proptest::collection::vec(1usize..20, 0..20)) {
            let octets = b"250-first\r\n250 2.0.0 second\r\n354 go\r\n550-5.1.1 no\r\n550 5.1.1 one\r\n";
            let mut reader = ReplyReader::default();
            let mut replies = Vec::new();
            let mut rest = &octets[..];
            for cut in cuts.into_iter().chain([octets.len()]) {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                rest = after;
                reader.feed(piece);
                while let Some(reply) = reader.next_reply().expect("well formed") {
                    replies.push(reply.code);
                }
            }
            prop_assert_eq!(replies, vec![250, 354, 550]);
            prop_assert!(!reader.has_more());
        }

        #[test]
        fn junk_never_panics(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..30)) {
            let mut reader = ReplyReader::default();
            for piece in pieces {
                reader.feed(&piece);
                while let Ok(Some(reply)) = reader.next_reply() {
                    prop_assert!((200..600).contains(&reply.code));
                    prop_assert!(!reply.one_line().contains(['\r', '\n', '\0']));
                }
            }
        }
    }
}
