//! Cuts what a client sends into command lines: strict CRLF, bounded, back in step after a line that is too long.
//!
//! First step of the walk: bytes -> lines. Commands ([`crate::command`]) and SASL answers ([`postern_mail::sasl`]) both come
//! through here; message content does not ([`crate::data`]).

use bytes::{Buf as _, Bytes, BytesMut};
use memchr::memchr;
use postern_mail::limits::ENDLESS_LINE_MAX_BYTES;

/// What the next line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A whole line, without its CRLF.
    Whole(Bytes),
    /// The line was longer than allowed and has ended now; its octets are gone (RFC 5321 section 4.5.3.1.4), but for the first
    /// [`KEPT_OF_LONG_BYTES`].
    TooLong(Bytes),
    /// No end after [`ENDLESS_LINE_MAX_BYTES`]: the session must end.
    Endless,
    /// A line that ends with LF alone: the session must end, what follows may be a smuggled command
    /// (RFC 5321 section 2.3.8).
    BareLineFeed,
}

/// Octets of a line that is too long which are kept: enough to know its verb.
pub const KEPT_OF_LONG_BYTES: usize = 16;

/// Finds line ends. Keeps no octets of a line but the first of one that is too long.
#[derive(Debug, Default)]
pub struct LineReader {
    /// Octets at the front of the input that hold no LF.
    searched: usize,
    /// Octets of an overlong line that were thrown away.
    skipped: usize,
    /// The first of them.
    begin: Bytes,
    /// The last octet thrown away was CR.
    skipped_cr: bool,
}

impl LineReader {
    /// Takes the next line off `input`; `None` when more octets are needed. `max_bytes` counts the CRLF.
    ///
    /// After [`Line::Endless`] and [`Line::BareLineFeed`] the session must be closed.
    pub fn next_line(&mut self, input: &mut BytesMut, max_bytes: usize) -> Option<Line> {
        let unseen = input.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr(b'\n', unseen) else {
            self.searched = input.len();
            return self.without_end(input, max_bytes);
        };
        let end = self.searched + found;
        self.searched = 0;
        let skipped = std::mem::take(&mut self.skipped);
        let begin = std::mem::take(&mut self.begin);
        let cr = if end == 0 { skipped > 0 && self.skipped_cr } else { input[end - 1] == b'\r' };
        if !cr {
            input.advance(end + 1);
            return Some(Line::BareLineFeed);
        }
        if skipped + end + 1 > max_bytes {
            let begin = if skipped == 0 { first_of(input, max_bytes) } else { begin };
            input.advance(end + 1);
            let endless = skipped + end + 1 > ENDLESS_LINE_MAX_BYTES;
            return Some(if endless { Line::Endless } else { Line::TooLong(begin) });
        }
        let mut line = input.split_to(end + 1);
        line.truncate(end - 1);
        Some(Line::Whole(line.freeze()))
    }

    /// True while an overlong line is being thrown away.
    #[must_use]
    pub fn is_skipping(&self) -> bool {
        self.skipped > 0
    }

    fn without_end(&mut self, input: &mut BytesMut, max_bytes: usize) -> Option<Line> {
        if self.skipped == 0 {
            if input.len() <= max_bytes {
                return None;
            }
            self.begin = first_of(input, max_bytes);
        }
        if let Some(last) = input.last() {
            self.skipped_cr = *last == b'\r';
        }
        self.skipped += input.len();
        self.searched = 0;
        input.clear();
        (self.skipped > ENDLESS_LINE_MAX_BYTES).then_some(Line::Endless)
    }
}

/// Of a line with more than `max_bytes`, so that its end is not among them however it was cut.
fn first_of(input: &[u8], max_bytes: usize) -> Bytes {
    let kept = KEPT_OF_LONG_BYTES.min(max_bytes.saturating_sub(2));
    Bytes::copy_from_slice(&input[..input.len().min(kept)])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(pieces: &[&[u8]], max: usize) -> Vec<Line> {
        let mut reader = LineReader::default();
        let mut input = BytesMut::new();
        let mut out = Vec::new();
        for piece in pieces {
            input.extend_from_slice(piece);
            while let Some(line) = reader.next_line(&mut input, max) {
                out.push(line);
            }
        }
        out
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_come_in_order() {
        assert_eq!(lines(&[b"a\r\nbc\r\n\r\nrest"], 512), [whole("a"), whole("bc"), whole("")]);
        assert_eq!(lines(&[b"a\r", b"\n", b"b\r\n"], 512), [whole("a"), whole("b")]);
    }

    #[test]
    fn s_05_a_line_at_the_limit_passes_and_the_tail_of_a_longer_one_is_no_command() {
        assert_eq!(lines(&[b"12345678\r\n"], 10), [whole("12345678")]);
        let too_long = |begin: &'static str| Line::TooLong(Bytes::from_static(begin.as_bytes()));
        assert_eq!(lines(&[b"123456789abcdefghijk\r\nNOOP\r\n"], 10), [too_long("12345678"), whole("NOOP")]);
        assert_eq!(
            lines(&[b"123456789abcdefghijk", b"QUIT\r", b"\nNOOP\r\n"], 10),
            [too_long("12345678"), whole("NOOP")]
        );
        // The CR alone was thrown away with the piece before.
        assert_eq!(
            lines(&[b"123456789abcdefghijk\r", b"\nNOOP\r\n"], 10),
            [too_long("12345678"), whole("NOOP")]
        );
    }

    #[test]
    fn s_30_a_bare_line_feed_is_no_line_end() {
        assert_eq!(lines(&[b"MAIL FROM:<a@b.test>\nRCPT"], 512), [Line::BareLineFeed]);
        assert_eq!(lines(&[b"\n"], 512), [Line::BareLineFeed]);
        assert_eq!(lines(&[b"123456789abcdef", b"\n"], 10), [Line::BareLineFeed]);
    }

    #[test]
    fn an_endless_line_ends_the_session_in_bounded_memory() {
        let mut reader = LineReader::default();
        let mut input = BytesMut::new();
        let mut fed = 0;
        loop {
            input.extend_from_slice(&[b'x'; 4096]);
            fed += 4096;
            let line = reader.next_line(&mut input, 2048);
            assert!(input.len() <= 4096);
            if line == Some(Line::Endless) {
                break;
            }
            assert!(fed <= ENDLESS_LINE_MAX_BYTES + 4096);
        }
    }

    proptest! {
        #[test]
        fn splits_do_not_matter(
            octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a')], 0..80),
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let whole = lines(&[&octets], 8);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(octets.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([octets.len()]) {
                pieces.push(&octets[from..cut]);
                from = cut;
            }
            prop_assert_eq!(lines(&pieces, 8), whole);
        }
    }
}
