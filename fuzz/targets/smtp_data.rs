//! Content after DATA: the end, the flaw and the content are those of a slow and obvious reader, however it is cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_mail::Reason;
use postern_smtp::{
    client::DotStuffer,
    data::{DataLimits, DataReader},
};

const LIMITS: DataLimits = DataLimits { message_max_bytes: Some(600), line_max_bytes: 100 };

/// Content, flaw, and what was left behind the end (`None`: no end).
type Outcome = (Vec<u8>, Option<Reason>, Option<Vec<u8>>);

fn read(pieces: &[&[u8]]) -> Outcome {
    let mut reader = DataReader::new(LIMITS);
    let mut content = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let progress = reader.feed(piece, |slice| content.extend_from_slice(slice));
        assert!(content.len() as u64 <= LIMITS.message_max_bytes.unwrap_or(u64::MAX), "memory is bounded");
        if progress.ended {
            let rest = [&piece[progress.consumed..], &pieces[number + 1..].concat()].concat();
            return (content, reader.flaw(), Some(rest));
        }
        assert_eq!(progress.consumed, piece.len());
    }
    (content, reader.flaw(), None)
}

/// Where the one true end is, what stands before it, and whether its octets are good.
fn obvious(wire: &[u8]) -> (Vec<u8>, bool, Option<usize>) {
    let framed = [b"\r\n", wire].concat();
    let end = framed.windows(5).position(|window| window == b"\r\n.\r\n");
    let lines = &framed[2..end.map_or(framed.len(), |end| end + 2)];
    let (mut content, mut bad) = (Vec::new(), false);
    for (at, octet) in lines.iter().copied().enumerate() {
        let before = at.checked_sub(1).map(|before| lines[before]);
        let after = lines.get(at + 1).copied();
        bad |= octet == 0 || octet == b'\n' && before != Some(b'\r');
        bad |= octet == b'\r' && after != Some(b'\n') && (after.is_some() || end.is_some());
        if !(octet == b'.' && (at == 0 || lines[..at].ends_with(b"\r\n"))) {
            content.push(octet);
        }
    }
    (content, bad, end.map(|end| end + 3))
}

fuzz_target!(|input: &[u8]| {
    let (mut dice, wire) = Dice::part(input);
    let (content, flaw, rest) = read(&[wire]);
    let octets: Vec<&[u8]> = wire.chunks(1).collect();
    for pieces in [dice.pieces(wire), octets] {
        let (cut_content, cut_flaw, cut_rest) = read(&pieces);
        assert_eq!((cut_flaw.is_some(), &cut_rest), (flaw.is_some(), &rest), "cuts change nothing");
        if flaw.is_none() {
            assert_eq!(cut_content, content);
        }
    }
    let (expected, bad, end) = obvious(wire);
    assert_eq!(rest.as_deref(), end.map(|end| &wire[end..]), "the one true end");
    let long = |line: &[u8]| line.strip_suffix(b"\r").unwrap_or(line).len() > LIMITS.line_max_bytes - 2;
    let too_long = expected.split(|octet| *octet == b'\n').any(long);
    let too_large = expected.len() > 600;
    if !bad && !too_long && !too_large {
        assert_eq!(flaw, None);
    }
    if bad || (rest.is_some() && too_large) {
        assert!(flaw.is_some());
    }
    if flaw.is_none() && rest.is_some() {
        assert_eq!(content, expected);
        let mut again = Vec::new();
        let mut stuffer = DotStuffer::default();
        stuffer.encode(&content, &mut again);
        stuffer.finish(&mut again);
        assert_eq!(read(&[&again]), (content, None, Some(Vec::new())), "there and back");
    }
});
