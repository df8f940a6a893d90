//! Judges content that comes in chunks (RFC 3030): no dots, no end to find, the same rules for lines as after DATA.
//!
//! Content is kept and sent on in lines (RFC 5321 section 2.3.8), so a bare CR or LF and NUL are refused here too; BINARYMIME is
//! not offered.

use memchr::memchr3;
use postern_mail::Reason;

use crate::data::DataLimits;

/// The reader of one message, over all its chunks.
#[derive(Debug)]
pub struct ChunkReader {
    limits: DataLimits,
    flaw: Option<Reason>,
    size_bytes: u64,
    /// Octets of the current line so far.
    line_bytes: usize,
    /// The octet before was a CR.
    after_cr: bool,
}

impl ChunkReader {
    /// Starts before the first chunk.
    #[must_use]
    pub fn new(limits: DataLimits) -> Self {
        Self { limits, flaw: None, size_bytes: 0, line_bytes: 0, after_cr: false }
    }

    /// Looks at the next octets; true when they are to be kept.
    pub fn feed(&mut self, octets: &[u8]) -> bool {
        self.size_bytes = self.size_bytes.saturating_add(octets.len() as u64);
        if self.limits.message_max_bytes.is_some_and(|max| self.size_bytes > max) {
            self.object(Reason::MessageTooLarge);
        }
        let mut rest = octets;
        while self.flaw.is_none() && !rest.is_empty() {
            rest = self.rest_of_line(rest);
        }
        self.flaw.is_none()
    }

    /// The last chunk has ended: what is wrong with the whole.
    pub fn finish(&mut self) -> Option<Reason> {
        if self.after_cr {
            self.object(Reason::BadContent);
        }
        self.flaw
    }

    /// What is wrong with the content so far.
    #[must_use]
    pub fn flaw(&self) -> Option<Reason> {
        self.flaw
    }

    /// Content so far, octets.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Goes to the next octet that matters; what stands behind it.
    fn rest_of_line<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        if std::mem::take(&mut self.after_cr) {
            if octets[0] != b'\n' {
                self.object(Reason::BadContent);
            }
            self.line_bytes = 0;
            return &octets[1..];
        }
        let found = memchr3(b'\r', b'\n', 0, octets);
        self.line_bytes = self.line_bytes.saturating_add(found.unwrap_or(octets.len()));
        if self.line_bytes > self.limits.line_max_bytes.saturating_sub(2) {
            self.object(Reason::ContentLineTooLong);
        }
        match found {
            Some(at) if octets[at] == b'\r' => {
                self.after_cr = true;
                &octets[at + 1..]
            }
            Some(at) => {
                self.object(Reason::BadContent);
                &octets[at + 1..]
            }
            None => &[],
        }
    }

    /// The first flaw stays: one message, one answer.
    fn object(&mut self, reason: Reason) {
        self.flaw.get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::DataReader;

    const LIMITS: DataLimits = DataLimits { message_max_bytes: Some(100), line_max_bytes: 20 };

    fn judged(pieces: &[&[u8]]) -> (Option<Reason>, u64) {
        let mut reader = ChunkReader::new(LIMITS);
        for piece in pieces {
            reader.feed(piece);
        }
        (reader.finish(), reader.size_bytes())
    }

    #[test]
    fn s_63_lines_are_judged_dots_mean_nothing() {
        for (content, flaw) in [
            ("", None),
            ("a\r\n.\r\nb\r\n..\r\n", None),
            ("no end of line", None),
            ("a\nb", Some(Reason::BadContent)),
            ("a\rb", Some(Reason::BadContent)),
            ("a\r\r\n", Some(Reason::BadContent)),
            ("a\r", Some(Reason::BadContent)),
            ("a\0", Some(Reason::BadContent)),
            ("123456789012345678\r\n", None),
            ("1234567890123456789\r\n", Some(Reason::ContentLineTooLong)),
        ] {
            assert_eq!(judged(&[content.as_bytes()]), (flaw, content.len() as u64), "{content:?}");
        }
        let large = "x\r\n".repeat(34);
        assert_eq!(judged(&[large.as_bytes()]).0, Some(Reason::MessageTooLarge));
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            octets in prop::collection::vec(prop::sample::select(b"a.\r\n\0".to_vec()), 0..60),
            cut in 0usize..60,
        ) {
            let cut = cut.min(octets.len());
            prop_assert_eq!(judged(&[&octets[..cut], &octets[cut..]]), judged(&[&octets]));
        }

        #[test]
        fn the_same_message_is_judged_alike_after_data(
            parts in prop::collection::vec(prop::sample::select(vec![
                "a", "..", ".", "\r\n", "\r\n.\r\n", "\r", "\n", "\0", "\u{fc}", "0123456789",
            ]), 0..20),
        ) {
            let content = [parts.concat().as_bytes(), b"\r\n"].concat();
            // Dots are doubled where a line begins, and nothing else is.
            let mut wire = Vec::new();
            for (at, octet) in content.iter().enumerate() {
                if *octet == b'.' && (at == 0 || content[..at].ends_with(b"\r\n")) {
                    wire.push(b'.');
                }
                wire.push(*octet);
            }
            wire.extend_from_slice(b".\r\n");
            let mut reader = DataReader::new(LIMITS);
            let mut taken = Vec::new();
            let progress = reader.feed(&wire, |octets| taken.extend_from_slice(octets));
            let in_chunks = judged(&[&content]).0;
            prop_assert!(progress.ended && progress.consumed == wire.len());
            prop_assert_eq!(reader.flaw().is_some(), in_chunks.is_some());
            if in_chunks.is_none() {
                prop_assert_eq!(taken, content);
            }
        }
    }
}
