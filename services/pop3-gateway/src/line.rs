//! Octets to lines. First step of the walk after the socket; knows nothing of commands.
//!
//! A line ends with CRLF; a bare LF is taken as an end too (P-06), a bare CR never. A line over its limit is thrown away,
//! and reported once, when it has ended (P-04). Memory is bounded by the limit plus one read, and given back while idle.

use bytes::{Buf as _, Bytes, BytesMut};
use postern_mail::limits::ENDLESS_LINE_MAX_BYTES;

/// What came up to a line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// The line without its end.
    Text(Bytes),
    /// It was over the limit and has ended now; its octets are gone.
    TooLong,
    /// It went on for 64 KiB: nobody means well by that (P-05).
    Endless,
}

/// Cuts a stream of octets into lines.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    buffer: BytesMut,
    /// Octets at the front of the buffer that hold no LF.
    scanned: usize,
    /// Octets of an over-long line that are gone already, while its end is still to come.
    discarded: Option<usize>,
}

impl LineReader {
    /// Takes what came from the peer.
    pub(crate) fn feed(&mut self, octets: &[u8]) {
        self.buffer.extend_from_slice(octets);
    }

    /// True when nothing is waiting in the buffer.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.discarded.is_none()
    }

    /// Complete lines that wait in the buffer, in order, without taking them.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &[u8]> {
        // The tail of an over-long line is no line.
        let whole = if self.discarded.is_some() {
            0
        } else {
            memchr::memrchr(b'\n', &self.buffer).map_or(0, |end| end + 1)
        };
        self.buffer[..whole].split_inclusive(|octet| *octet == b'\n').map(without_end)
    }

    /// Takes the next line; `limit` counts its octets with CRLF.
    pub(crate) fn next_line(&mut self, limit: usize) -> Option<Line> {
        if let Some(gone) = self.discarded {
            let Some(end) = memchr::memchr(b'\n', &self.buffer) else {
                let gone = gone + self.buffer.len();
                self.discard(gone);
                return (gone > ENDLESS_LINE_MAX_BYTES).then_some(Line::Endless);
            };
            // The tail belongs to this line: it is never read as a command (P-04).
            self.buffer.advance(end + 1);
            self.discarded = None;
            return Some(over_limit(gone + end + 1));
        }
        let Some(offset) = self.buffer.get(self.scanned..).and_then(|rest| memchr::memchr(b'\n', rest))
        else {
            return self.without_line(limit);
        };
        let line = self.buffer.split_to(self.scanned + offset + 1).freeze();
        self.scanned = 0;
        if line.len() > limit {
            return Some(over_limit(line.len()));
        }
        let text = without_end(&line).len();
        Some(Line::Text(line.slice(..text)))
    }

    fn without_line(&mut self, limit: usize) -> Option<Line> {
        self.scanned = self.buffer.len();
        if self.scanned == 0 {
            // An idle session owns no buffer.
            self.buffer = BytesMut::new();
        }
        if self.scanned <= limit {
            return None;
        }
        let gone = self.scanned;
        self.discard(gone);
        (gone > ENDLESS_LINE_MAX_BYTES).then_some(Line::Endless)
    }

    fn discard(&mut self, gone: usize) {
        self.buffer = BytesMut::new();
        self.scanned = 0;
        self.discarded = Some(gone);
    }
}

/// What a line over the limit is, by its octets.
fn over_limit(octets: usize) -> Line {
    if octets > ENDLESS_LINE_MAX_BYTES { Line::Endless } else { Line::TooLong }
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 255;

    fn lines(input: &[u8]) -> Vec<Line> {
        let mut reader = LineReader::default();
        reader.feed(input);
        std::iter::from_fn(|| reader.next_line(LIMIT)).collect()
    }

    fn text(line: &[u8]) -> Line {
        Line::Text(Bytes::copy_from_slice(line))
    }

    #[test]
    fn p_06_line_ends() {
        assert_eq!(lines(b"a\r\nb\nc\rd\r\n\r\ne"), [text(b"a"), text(b"b"), text(b"c\rd"), text(b"")]);
        assert_eq!(lines(b"a\r\r\n"), [text(b"a\r")]);
    }

    #[test]
    fn p_04_a_line_of_255_octets_is_taken_and_256_are_not() {
        let fits = [vec![b'a'; 253], b"\r\n".to_vec()].concat();
        let over = [vec![b'a'; 254], b"\r\n".to_vec()].concat();
        assert_eq!(lines(&fits), [text(&fits[..253])]);
        assert_eq!(lines(&[&over[..], b"NOOP\r\n"].concat()), [Line::TooLong, text(b"NOOP")]);
        // Reported once, and the tail is no command.
        let mut reader = LineReader::default();
        reader.feed(&[b'a'; 300]);
        assert_eq!(reader.next_line(LIMIT), None);
        reader.feed(b"QUIT\r\nNOOP\r\n");
        assert_eq!(reader.next_line(LIMIT), Some(Line::TooLong));
        assert_eq!(reader.next_line(LIMIT), Some(text(b"NOOP")));
        assert_eq!(reader.next_line(LIMIT), None);
    }

    #[test]
    fn p_05_an_endless_line_is_told_as_such_and_keeps_no_memory() {
        let mut reader = LineReader::default();
        let mut seen = Vec::new();
        for _ in 0..20 {
            reader.feed(&[b'x'; 4096]);
            seen.extend(reader.next_line(LIMIT));
            assert_eq!(reader.buffer.len(), 0);
        }
        assert_eq!(seen.first(), Some(&Line::Endless), "one answer");
        // The same in one piece, and with an end behind it.
        for end in ["", "\r\n"] {
            let mut reader = LineReader::default();
            reader.feed(&[&[b'x'; ENDLESS_LINE_MAX_BYTES][..], b"xx", end.as_bytes()].concat());
            assert_eq!(reader.next_line(LIMIT), Some(Line::Endless));
        }
    }

    #[test]
    fn an_idle_reader_owns_no_buffer() {
        let mut reader = LineReader::default();
        reader.feed(b"NOOP\r\n");
        assert!(reader.next_line(LIMIT).is_some());
        assert!(reader.next_line(LIMIT).is_none() && reader.is_empty());
        assert_eq!(reader.buffer.capacity(), 0);
    }

    #[test]
    fn waiting_lines_are_seen_and_stay() {
        let mut reader = LineReader::default();
        reader.feed(b"RETR 1\r\nRETR 2\nRET");
        assert_eq!(reader.waiting().collect::<Vec<_>>(), [b"RETR 1", b"RETR 2"]);
        assert_eq!(reader.next_line(LIMIT), Some(text(b"RETR 1")));
    }

    proptest! {
        /// However the octets are split, the lines are the same.
        #[test]
        fn splits_change_nothing(
            pieces in prop::collection::vec(prop::collection::vec(
                prop_oneof![6 => Just(b'a'), 1 => Just(b'\r'), 2 => Just(b'\n'), 1 => any::<u8>()], 0..300), 0..8),
        ) {
            let whole = pieces.concat();
            let mut reader = LineReader::default();
            let mut split = Vec::new();
            for piece in &pieces {
                reader.feed(piece);
                while let Some(line) = reader.next_line(LIMIT) {
                    split.push(line);
                }
                prop_assert!(reader.buffer.len() <= LIMIT + 300);
            }
            prop_assert_eq!(split, lines(&whole));
        }
    }
}
