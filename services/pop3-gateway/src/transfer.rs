//! A stored message to what RETR and TOP send: dot-stuffing and the cut of TOP, frame by frame. Pure; the frames come
//! from `read_ahead`, the output goes out in `connection`.

use bytes::Bytes;

use crate::output::Output;

/// Writes one message as a multi-line reply (RFC 1939 section 3).
#[derive(Debug)]
pub(crate) struct MessageWriter {
    stuffer: Stuffer,
    cut: Option<TopCut>,
}

impl MessageWriter {
    /// For RETR: all of it.
    pub(crate) fn whole(size_bytes: u64, out: &mut Output) -> Self {
        out.ok(format_args!("{size_bytes} octets"));
        Self { stuffer: Stuffer::default(), cut: None }
    }

    /// For TOP: headers, blank line, and so many lines of the body.
    pub(crate) fn top(lines: u64, out: &mut Output) -> Self {
        out.ok("top of message follows");
        Self { stuffer: Stuffer::default(), cut: Some(TopCut::new(lines)) }
    }

    /// Writes a piece. False when nothing more of the message is wanted.
    pub(crate) fn content(&mut self, piece: Bytes, out: &mut Output) -> bool {
        match &mut self.cut {
            None => {
                self.stuffer.write(piece, out);
                true
            }
            Some(cut) => {
                let wanted = cut.wanted(&piece);
                self.stuffer.write(piece.slice(..wanted), out);
                !cut.is_done()
            }
        }
    }

    /// Ends the reply; a message that does not end with CRLF gets one (P-63, P-64).
    pub(crate) fn end(self, out: &mut Output) {
        let headers_only = self.cut.is_some_and(|cut| cut.in_headers());
        self.stuffer.end_line(out);
        if headers_only {
            // TOP sends the blank line that ends the headers, also when the message has none.
            out.put(b"\r\n");
        }
        out.put(b".\r\n");
    }
}

/// Where the last octets left a line.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum LineEnd {
    /// Nothing was sent yet.
    #[default]
    Begin,
    /// CRLF: the next line begins.
    Crlf,
    /// LF without CR; not stored by us, and yet never a way to smuggle an end of data.
    Lf,
    /// A CR that may become a CRLF.
    Cr,
    /// Within a line.
    Inside,
}

/// Doubles each dot that begins a line.
#[derive(Debug, Default)]
struct Stuffer {
    at: LineEnd,
}

impl Stuffer {
    fn write(&mut self, piece: Bytes, out: &mut Output) {
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else { return };
        if *first == b'.' && matches!(self.at, LineEnd::Begin | LineEnd::Crlf | LineEnd::Lf) {
            out.put(b".");
        }
        let before_last = if piece.len() > 1 { piece.get(piece.len() - 2).copied() } else { None };
        self.at = match last {
            b'\n' if before_last == Some(b'\r') || (before_last.is_none() && self.at == LineEnd::Cr) => {
                LineEnd::Crlf
            }
            b'\n' => LineEnd::Lf,
            b'\r' => LineEnd::Cr,
            _ => LineEnd::Inside,
        };
        // Few lines begin with a dot: the search runs at memory speed, and between two finds nothing is copied.
        let mut sent = 0;
        for dot in memchr::memmem::find_iter(&piece, b"\n.") {
            out.push(piece.slice(sent..=dot));
            out.put(b".");
            sent = dot + 1;
        }
        out.push(piece.slice(sent..));
    }

    fn end_line(self, out: &mut Output) {
        match self.at {
            LineEnd::Begin | LineEnd::Crlf => {}
            LineEnd::Lf | LineEnd::Cr | LineEnd::Inside => out.put(b"\r\n"),
        }
    }
}

/// Finds where TOP ends.
#[derive(Debug)]
struct TopCut {
    part: Part,
    lines_left: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// In the headers; what the line holds so far.
    Headers(Held),
    Body,
    Done,
}

/// What a header line holds so far: only a blank one matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    Cr,
    Text,
}

impl Held {
    fn with(self, octets: &[u8]) -> Self {
        match (self, octets) {
            (held, []) => held,
            (Self::Nothing, [b'\r']) => Self::Cr,
            _ => Self::Text,
        }
    }
}

impl TopCut {
    fn new(lines: u64) -> Self {
        Self { part: Part::Headers(Held::Nothing), lines_left: lines }
    }

    fn is_done(&self) -> bool {
        self.part == Part::Done
    }

    fn in_headers(&self) -> bool {
        matches!(self.part, Part::Headers(_))
    }

    /// How many octets of the piece belong to the answer.
    fn wanted(&mut self, piece: &[u8]) -> usize {
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', piece) {
            match self.part {
                Part::Done => return begin,
                Part::Headers(held) => {
                    let blank = held.with(&piece[begin..end]) != Held::Text;
                    self.part = match (blank, self.lines_left) {
                        (false, _) => Part::Headers(Held::Nothing),
                        (true, 0) => Part::Done,
                        (true, _) => Part::Body,
                    };
                }
                Part::Body => {
                    self.lines_left -= 1;
                    if self.lines_left == 0 {
                        self.part = Part::Done;
                    }
                }
            }
            begin = end + 1;
        }
        match &mut self.part {
            Part::Done => begin,
            Part::Headers(held) => {
                *held = held.with(&piece[begin..]);
                piece.len()
            }
            Part::Body => piece.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Buf as _;
    use proptest::prelude::*;

    use super::*;

    /// Sends the stored octets in pieces of the given lengths; returns what stands between +OK and the last dot line.
    fn sent(stored: &[u8], cuts: &[usize], lines: Option<u64>) -> Vec<u8> {
        let mut out = Output::default();
        let mut writer = match lines {
            None => MessageWriter::whole(stored.len() as u64, &mut out),
            Some(lines) => MessageWriter::top(lines, &mut out),
        };
        let mut rest = Bytes::copy_from_slice(stored);
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let cut = cuts.next().map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
            if !writer.content(rest.split_to(cut), &mut out) {
                break;
            }
        }
        writer.end(&mut out);
        let all = out.copy_to_bytes(out.remaining());
        let begin = memchr::memmem::find(&all, b"\r\n").unwrap() + 2;
        all[begin..].to_vec()
    }

    /// What a client makes of it; `None` when it does not end as RFC 1939 section 3 says.
    fn received(wire: &[u8]) -> Option<Vec<u8>> {
        let mut content = Vec::new();
        let mut rest = wire;
        loop {
            let end = memchr::memmem::find(rest, b"\r\n")? + 2;
            let (line, behind) = rest.split_at(end);
            if line == b".\r\n" {
                return behind.is_empty().then_some(content);
            }
            content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            rest = behind;
        }
    }

    /// TOP as RFC 1939 section 7 says it, over a list of lines.
    fn naive_top(stored: &[u8], lines: u64) -> Vec<u8> {
        let mut left = lines;
        let mut in_headers = true;
        let mut top = Vec::new();
        for line in stored.split_inclusive(|octet| *octet == b'\n') {
            if in_headers {
                in_headers = line != b"\r\n";
            } else if left == 0 {
                break;
            } else {
                left -= 1;
            }
            top.extend_from_slice(line);
        }
        if !top.is_empty() && !top.ends_with(b"\r\n") {
            top.extend_from_slice(b"\r\n");
        }
        if in_headers {
            top.extend_from_slice(b"\r\n");
        }
        top
    }

    #[test]
    fn p_63_odd_messages_arrive_whole() {
        let long = [vec![b'a'; 1 << 20], b"\r\n".to_vec()].concat();
        let dots = b".\r\n".repeat(100_000);
        for stored in [
            &b""[..],
            b"\r\n",
            b".\r\n",
            b"..\r\n",
            b"a\r\n.\r\nb\r\n",
            b"S: x\r\n\r\n",
            b"S: x\r\n\r\n.a\r\n..b\r\n",
            &long,
            &dots,
        ] {
            for cuts in [&[1][..], &[2], &[3, 1], &[131_072]] {
                if stored.len() < 1000 || cuts[0] > 1000 {
                    assert_eq!(received(&sent(stored, cuts, None)).as_deref(), Some(stored));
                }
            }
        }
    }

    #[test]
    fn p_64_content_without_a_line_end_gets_one() {
        for (stored, arrives) in [
            (&b"a"[..], &b"a\r\n"[..]),
            (b"a\r", b"a\r\r\n"),
            (b"a\n", b"a\n\r\n"),
            (b".", b".\r\n"),
            (b"a\r\nb", b"a\r\nb\r\n"),
        ] {
            assert_eq!(received(&sent(stored, &[1], None)).as_deref(), Some(arrives));
        }
    }

    #[test]
    fn a_bare_lf_cannot_end_the_data_for_a_lenient_client() {
        assert_eq!(sent(b"a\n.\nb\r\n", &[2, 1], None), b"a\n..\nb\r\n.\r\n");
    }

    #[test]
    fn p_66_top() {
        let stored = b"Subject: x\r\nTo: y\r\n\r\none\r\n.two\r\n\r\nfour\r\n";
        for (lines, arrives) in [
            (0, &b"Subject: x\r\nTo: y\r\n\r\n"[..]),
            (1, b"Subject: x\r\nTo: y\r\n\r\none\r\n"),
            (2, b"Subject: x\r\nTo: y\r\n\r\none\r\n.two\r\n"),
            (4, stored),
            (u64::MAX, stored),
        ] {
            assert_eq!(received(&sent(stored, &[7], Some(lines))).as_deref(), Some(arrives), "{lines}");
        }
        assert_eq!(sent(b"\r\nbody\r\n", &[1], Some(0)), b"\r\n.\r\n");
        assert_eq!(sent(b"S: x\r\n", &[1], Some(5)), b"S: x\r\n\r\n.\r\n");
    }

    #[test]
    fn top_wants_no_more_than_it_needs() {
        let mut out = Output::default();
        let mut writer = MessageWriter::top(0, &mut out);
        assert!(!writer.content(Bytes::from_static(b"S: x\r\n\r\nbody"), &mut out));
    }

    fn stored() -> impl Strategy<Value = Vec<u8>> {
        let octet = prop_oneof![4 => Just(&b"."[..]), 4 => Just(&b"\r\n"[..]), 4 => Just(&b"a: b"[..]), 1 => Just(&b"\xff"[..])];
        prop::collection::vec(octet, 0..120).prop_map(|parts| {
            let mut stored = parts.concat();
            if !stored.is_empty() {
                stored.extend_from_slice(b"\r\n");
            }
            stored
        })
    }

    proptest! {
        #[test]
        fn p_63_what_was_stored_arrives(stored in stored(), cuts in prop::collection::vec(1usize..20, 1..20)) {
            prop_assert_eq!(received(&sent(&stored, &cuts, None)), Some(stored));
        }

        #[test]
        fn p_66_top_is_the_naive_top(
            stored in stored(), cuts in prop::collection::vec(1usize..20, 1..20), lines in 0u64..20,
        ) {
            prop_assert_eq!(received(&sent(&stored, &cuts, Some(lines))), Some(naive_top(&stored, lines)));
        }

        #[test]
        fn any_octets_end_well(octets in prop::collection::vec(any::<u8>(), 0..500), lines in prop::option::of(0u64..9)) {
            prop_assert!(received(&sent(&octets, &[3, 50], lines)).is_some());
        }
    }
}
