//! Brings content into the form of DATA: canonical CRLF line ends, dots doubled, the end marked
//! (RFC 5321 sections 2.3.8 and 4.5.2). What leaves can smuggle nothing, whatever is stored.

/// Encodes a message piece by piece.
#[derive(Debug)]
pub struct DotStuffer {
    at_line_start: bool,
    /// The last octet was CR, whose CRLF is already written: a LF that follows belongs to it.
    after_cr: bool,
}

impl Default for DotStuffer {
    fn default() -> Self {
        Self { at_line_start: true, after_cr: false }
    }
}

impl DotStuffer {
    /// Adds the encoded form of `piece` to `out`.
    pub fn encode(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        out.reserve(piece.len() + piece.len() / 16);
        let mut rest = piece;
        if self.after_cr && !rest.is_empty() {
            self.after_cr = false;
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(first) = rest.first() {
            if self.at_line_start && *first == b'.' {
                out.push(b'.');
            }
            let Some(end) = rest.iter().position(|c| matches!(c, b'\n' | b'\r')) else {
                out.extend_from_slice(rest);
                self.at_line_start = false;
                return;
            };
            out.extend_from_slice(&rest[..end]);
            // A bare CR or LF becomes a whole line end: an end of data can only be the one that we write.
            out.extend_from_slice(b"\r\n");
            self.at_line_start = true;
            let found_cr = rest[end] == b'\r';
            rest = &rest[end + 1..];
            if found_cr {
                match rest.first() {
                    Some(b'\n') => rest = &rest[1..],
                    Some(_) => {}
                    None => self.after_cr = true,
                }
            }
        }
    }

    /// Adds the end of data, with the line end that a message without one lacks.
    pub fn finish(self, out: &mut Vec<u8>) {
        if !self.at_line_start {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b".\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole(content: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut stuffer = DotStuffer::default();
        stuffer.encode(content, &mut out);
        stuffer.finish(&mut out);
        out
    }

    #[test]
    fn table() {
        for (content, wire) in [
            ("", ".\r\n"),
            ("a\r\n", "a\r\n.\r\n"),
            ("a", "a\r\n.\r\n"),
            (".\r\n", "..\r\n.\r\n"),
            ("..\r\n", "...\r\n.\r\n"),
            ("a\r\n.b\r\n", "a\r\n..b\r\n.\r\n"),
            ("a.\r\n", "a.\r\n.\r\n"),
            ("a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r.\rb", "a\r\n..\r\nb\r\n.\r\n"),
            ("a\r\r\n.\r\n", "a\r\n\r\n..\r\n.\r\n"),
        ] {
            assert_eq!(String::from_utf8_lossy(&whole(content.as_bytes())), wire, "{content:?}");
        }
    }

    proptest! {
        #[test]
        fn splits_do_not_matter_and_the_end_comes_once(
            content in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a')], 0..60),
            cut in 0usize..60,
        ) {
            let (head, tail) = content.split_at(cut.min(content.len()));
            let mut out = Vec::new();
            let mut stuffer = DotStuffer::default();
            stuffer.encode(head, &mut out);
            stuffer.encode(&[], &mut out);
            stuffer.encode(tail, &mut out);
            stuffer.finish(&mut out);
            prop_assert_eq!(&out, &whole(&content));
            // Exactly one end of data, and it is at the end; neither a bare CR nor a bare LF is left.
            let framed = [b"\r\n", out.as_slice()].concat();
            let ends = framed.windows(5).filter(|w| *w == b"\r\n.\r\n").count();
            prop_assert_eq!(ends, 1);
            prop_assert!(framed.ends_with(b"\r\n.\r\n"));
            let text = String::from_utf8(framed).expect("ascii").replace("\r\n", "");
            prop_assert!(!text.contains(['\r', '\n']));
        }

        #[test]
        fn unstuffing_gives_canonical_content_back(content in "([.a]{0,5}\r\n){0,10}") {
            let wire = String::from_utf8(whole(content.as_bytes())).expect("ascii");
            let body = wire.strip_suffix(".\r\n").expect("ends");
            let back: String = body
                .split_inclusive("\r\n")
                .map(|line| line.strip_prefix('.').unwrap_or(line))
                .collect();
            prop_assert_eq!(back, content);
        }
    }
}
