//! The header block as it streams in: what is kept and found is what a slow and obvious reader keeps, however it is cut.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_mail::Reason;

#[path = "../../services/delivery/src/content"]
mod content {
    pub mod scan;
}
use content::scan::{Found, HeaderScan};

#[path = "../../services/delivery/src/spam"]
mod spam {
    mod verdict;
    pub(crate) use verdict::FIELDS;
}

/// What is taken out besides Return-Path.
#[derive(Clone, Copy)]
struct Drops {
    /// Bcc, of what a mail program submits.
    bcc: bool,
    /// What others said of spam.
    spam_verdicts: bool,
}

fn scan(mut scan: HeaderScan, pieces: &[&[u8]]) -> Result<(Vec<u8>, Found), Reason> {
    let mut kept = Vec::new();
    for piece in pieces {
        scan.push(Bytes::copy_from_slice(piece), &mut kept)?;
    }
    let found = scan.finish(&mut kept)?;
    Ok((kept.concat(), found))
}

/// Line by line; what is kept, and how many Received fields there are.
fn obvious(input: &[u8], drops: Drops) -> (Vec<u8>, usize) {
    let (mut kept, mut hops) = (Vec::new(), 0);
    let mut dropped = None;
    let mut at = 0;
    for line in input.split_inclusive(|octet| *octet == b'\n') {
        let continued = line.starts_with(b" ") || line.starts_with(b"\t");
        if !(continued && dropped.is_some()) {
            let end = line.iter().position(|octet| b":\r\n".contains(octet));
            let name = match end {
                Some(0) if line[0] != b':' => break,
                _ if continued => break,
                Some(end) if line[end] == b':' => &line[..end],
                Some(_) => break,
                None => &line[..0],
            };
            let name = if name.len() > 64 { b"" } else { name.trim_ascii_end() };
            hops += usize::from(name.eq_ignore_ascii_case(b"received"));
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            let spam = drops.spam_verdicts && spam::FIELDS.iter().any(|known| is(known));
            dropped = Some(spam || drops.bcc && is(b"bcc") || is(b"return-path"));
        }
        if dropped != Some(true) {
            kept.extend_from_slice(line);
        }
        at += line.len();
    }
    kept.extend_from_slice(&input[at..]);
    (kept, hops)
}

fuzz_target!(|input: &[u8]| {
    let (mut dice, sent) = Dice::part(input);
    let (drops, named) = (Drops { bcc: dice.coin(), spam_verdicts: dice.coin() }, dice.coin());
    let begin = || {
        let scan = HeaderScan::default();
        let scan = if drops.bcc { scan.of_submission() } else { scan };
        let scan = if drops.spam_verdicts { scan.without_spam_verdicts() } else { scan };
        if named { scan.without_results_of("mail.x.test") } else { scan }
    };
    let whole = scan(begin(), &[sent]);
    let octets: Vec<&[u8]> = sent.chunks(1).collect();
    for pieces in [dice.pieces(sent), octets] {
        assert_eq!(scan(begin(), &pieces), whole, "cuts change nothing");
    }
    let Ok((kept, found)) = whole else { return };
    if !named {
        let (expected, hops) = obvious(sent, drops);
        assert_eq!(kept.escape_ascii().to_string(), expected.escape_ascii().to_string());
        assert_eq!(found.received_count, hops);
    }
    assert!(found.delivered_to.len() <= 100 && kept.len() <= sent.len());
});
