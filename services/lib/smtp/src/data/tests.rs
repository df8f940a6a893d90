//! End of data: every known smuggling sequence at every position and at every split.

use proptest::prelude::*;

use super::*;
use crate::client::DotStuffer;

/// What became of some input: the content, the flaw, and what was left after the end (`None`: no end).
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    content: Vec<u8>,
    flaw: Option<Reason>,
    rest: Option<Vec<u8>>,
}

fn read(pieces: &[&[u8]], limits: DataLimits) -> Outcome {
    let mut reader = DataReader::new(limits);
    let mut content = Vec::new();
    for (i, piece) in pieces.iter().enumerate() {
        let progress = reader.feed(piece, |slice| content.extend_from_slice(slice));
        if progress.ended {
            let mut rest = piece[progress.consumed..].to_vec();
            for later in &pieces[i + 1..] {
                rest.extend_from_slice(later);
            }
            return Outcome { content, flaw: reader.flaw(), rest: Some(rest) };
        }
        assert_eq!(progress.consumed, piece.len());
    }
    Outcome { content, flaw: reader.flaw(), rest: None }
}

/// Reads whole, cut in two at every place, and octet by octet; all must agree (content only of good messages).
fn read_all_ways(input: &[u8]) -> Outcome {
    let whole = read(&[input], DataLimits::default());
    let octets: Vec<&[u8]> = input.chunks(1).collect();
    let ways = (0..=input.len()).map(|cut| vec![&input[..cut], &input[cut..]]).chain([octets]);
    for way in ways {
        let outcome = read(&way, DataLimits::default());
        assert_eq!((outcome.flaw, &outcome.rest), (whole.flaw, &whole.rest), "{input:?} {way:?}");
        if whole.flaw.is_none() {
            assert_eq!(outcome.content, whole.content, "{input:?} {way:?}");
        }
    }
    whole
}

#[test]
fn s_21_good_messages() {
    for (wire, content) in [
        (".\r\n", ""),
        ("\r\n.\r\n", "\r\n"),
        ("a\r\n.\r\n", "a\r\n"),
        ("..\r\n.\r\n", ".\r\n"),
        ("..x\r\n.\r\n", ".x\r\n"),
        (".x\r\n.\r\n", "x\r\n"),
        ("a..\r\n.\r\n", "a..\r\n"),
        ("a\r\n...b\r\n..\r\n.\r\n", "a\r\n..b\r\n.\r\n"),
        ("a\r\n. \r\n.\t\r\n .\r\n.\r\n", "a\r\n \r\n\t\r\n .\r\n"),
        (
            "\u{ff0e}\r\n\u{2028}.\u{2028}\r\n\u{b}.\u{c}\r\n\u{85}.\r\n.\r\n",
            "\u{ff0e}\r\n\u{2028}.\u{2028}\r\n\u{b}.\u{c}\r\n\u{85}.\r\n",
        ),
    ] {
        let outcome = read_all_ways(wire.as_bytes());
        assert_eq!(outcome.flaw, None, "{wire:?}");
        assert_eq!(outcome.rest.as_deref(), Some(&b""[..]), "{wire:?}");
        assert_eq!(String::from_utf8_lossy(&outcome.content), content, "{wire:?}");
    }
}

#[test]
fn s_23_high_octets_are_kept() {
    let wire: Vec<u8> = (0x80..=0xff).chain(*b"\r\n.\r\n").collect();
    let outcome = read_all_ways(&wire);
    assert_eq!(outcome.flaw, None);
    assert_eq!(outcome.content, wire[..130]);
}

/// None of these ends a message, and each makes it a bad one.
const NO_ENDS: [&[u8]; 13] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\n.\r",
    b"\r.\r",
    b"\r.\n",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\n.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n.\r\r\n",
    b"\r\r\n.\r\r\n",
    b"\n\n.\r\n",
];

#[test]
fn s_21_what_must_not_end_a_message() {
    for sequence in NO_ENDS {
        for before in [&b""[..], b"x", b"Subject: x\r\n\r\nbody", b"line\r\n", b"x\r\n..\r\n"] {
            // What follows must make no end together with the sequence: a letter.
            for after in [&b"x"[..], b"MAIL FROM:<evil@x.test>\r\n"] {
                let smuggled = [before, sequence, after].concat();
                let open = read_all_ways(&smuggled);
                assert_eq!(open.rest, None, "{:?} ended", String::from_utf8_lossy(&smuggled));
                let wire = [&smuggled[..], b"\r\n.\r\nQUIT\r\n"].concat();
                let outcome = read_all_ways(&wire);
                assert_eq!(outcome.flaw, Some(Reason::BadContent), "{:?}", String::from_utf8_lossy(&wire));
                assert_eq!(outcome.rest.as_deref(), Some(&b"QUIT\r\n"[..]));
            }
        }
    }
}

/// The same question answered the slow and obvious way.
fn expected(wire: &[u8]) -> Outcome {
    let framed = [b"\r\n", wire].concat();
    let end = framed.windows(5).position(|w| w == b"\r\n.\r\n");
    let lines = &framed[2..end.map_or(framed.len(), |end| end + 2)];
    let mut content = Vec::new();
    let mut bad = false;
    for (i, octet) in lines.iter().copied().enumerate() {
        let before = i.checked_sub(1).map(|j| lines[j]);
        let after = lines.get(i + 1).copied();
        bad |= octet == 0 || octet == b'\n' && before != Some(b'\r');
        bad |= octet == b'\r' && after != Some(b'\n') && (after.is_some() || end.is_some());
        let line_start = i == 0 || lines[..i].ends_with(b"\r\n");
        if !(line_start && octet == b'.') {
            content.push(octet);
        }
    }
    Outcome {
        content,
        flaw: bad.then_some(Reason::BadContent),
        rest: end.map(|end| framed[end + 5..].to_vec()),
    }
}

#[test]
fn s_21_at_every_position_of_a_message() {
    let message = b"From: a\r\n\r\n.a\r\n\r\nb";
    for sequence in NO_ENDS {
        for position in 0..=message.len() {
            let (head, tail) = message.split_at(position);
            let wire = [head, sequence, b"x", tail, b"\r\n.\r\nNOOP\r\n"].concat();
            let outcome = read_all_ways(&wire);
            let right = expected(&wire);
            assert_eq!(
                (outcome.flaw, outcome.rest),
                (right.flaw, right.rest),
                "{:?}",
                String::from_utf8_lossy(&wire)
            );
        }
    }
}

#[test]
fn s_21_at_the_start_of_content() {
    for start in [
        &b".\n"[..],
        b".\r",
        b"\n.\n",
        b"\n.\r",
        b"\n.\r\n",
        b"\r.\n",
        b"\r.\r",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
    ] {
        let open = read_all_ways(&[start, b"x"].concat());
        assert_eq!(open.rest, None, "{start:?}");
        let outcome = read_all_ways(&[start, b"x\r\n.\r\n"].concat());
        assert_eq!((outcome.flaw, outcome.rest), (Some(Reason::BadContent), Some(Vec::new())), "{start:?}");
    }
}

#[test]
fn s_21_a_cr_before_a_true_end_does_not_hide_it() {
    let outcome = read_all_ways(b"x\r\r\n.\r\nQUIT\r\n");
    assert_eq!(outcome.flaw, Some(Reason::BadContent));
    assert_eq!(outcome.rest.as_deref(), Some(&b"QUIT\r\n"[..]));
}

#[test]
fn s_22_lines_up_to_the_limit() {
    let limits = DataLimits { line_max_bytes: 10, ..DataLimits::default() };
    for (wire, flaw) in [
        (&b"12345678\r\n.\r\n"[..], None),
        (b"123456789\r\n.\r\n", Some(Reason::ContentLineTooLong)),
        (b"1234\r\n5678\r\n9012\r\n.\r\n", None),
        (b"..2345678\r\n.\r\n", None),
    ] {
        for cut in 0..wire.len() {
            let outcome = read(&[&wire[..cut], &wire[cut..]], limits);
            assert_eq!((outcome.flaw, outcome.rest), (flaw, Some(Vec::new())), "{wire:?} {cut}");
        }
    }
}

#[test]
fn s_51_too_large_reads_on_to_the_true_end() {
    let limits = DataLimits { message_max_bytes: Some(6), ..DataLimits::default() };
    for (wire, flaw) in [
        (&b"1234\r\n.\r\nQUIT"[..], None),
        (b"..2345\r\n.\r\nQUIT", Some(Reason::MessageTooLarge)),
        (b"..234\r\n.\r\nQUIT", None),
        (b"1\r\n2\r\n3\r\n.\r\nQUIT", Some(Reason::MessageTooLarge)),
    ] {
        for cut in 0..wire.len() {
            let outcome = read(&[&wire[..cut], &wire[cut..]], limits);
            assert_eq!((outcome.flaw, outcome.rest.as_deref()), (flaw, Some(&b"QUIT"[..])), "{wire:?} {cut}");
        }
    }
}

proptest! {
    #[test]
    fn stuffing_and_back_is_the_same(
        lines in proptest::collection::vec(proptest::collection::vec(prop_oneof![3 => Just(b'.'), 1 => Just(b'a'), 1 => 0x80u8..], 0..8), 0..12),
        cuts in proptest::collection::vec(0usize..200, 0..8),
    ) {
        let content: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\r\n"[..]].concat()).collect();
        let mut wire = Vec::new();
        let mut stuffer = DotStuffer::default();
        stuffer.encode(&content, &mut wire);
        stuffer.finish(&mut wire);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(wire.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut from = 0;
        for cut in cuts.into_iter().chain([wire.len()]) {
            pieces.push(&wire[from..cut]);
            from = cut;
        }
        let outcome = read(&pieces, DataLimits::default());
        prop_assert_eq!(outcome, Outcome { content, flaw: None, rest: Some(Vec::new()) });
    }

    #[test]
    fn any_octets_in_any_splits_agree(
        octets in proptest::collection::vec(prop_oneof![Just(b'.'), Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0u8)], 0..40),
    ) {
        let outcome = read_all_ways(&octets);
        let right = expected(&octets);
        prop_assert_eq!((outcome.flaw, &outcome.rest), (right.flaw, &right.rest));
        if right.flaw.is_none() && right.rest.is_some() {
            prop_assert_eq!(outcome.content, right.content);
        }
    }
}
