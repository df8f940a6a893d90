//! Content in chunks: cuts change nothing, and it is good exactly when the same content is good after DATA.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;
use postern_mail::Reason;
use postern_smtp::{
    chunk::ChunkReader,
    data::{DataLimits, DataReader},
};

const LIMITS: DataLimits = DataLimits { message_max_bytes: Some(600), line_max_bytes: 100 };

fn judged(pieces: &[&[u8]]) -> (Option<Reason>, u64) {
    let mut reader = ChunkReader::new(LIMITS);
    for piece in pieces {
        assert_eq!(reader.feed(piece), reader.flaw().is_none());
    }
    (reader.finish(), reader.size_bytes())
}

fuzz_target!(|input: &[u8]| {
    let (mut dice, content) = Dice::part(input);
    let whole = judged(&[content]);
    assert_eq!(whole.1, content.len() as u64);
    let octets: Vec<&[u8]> = content.chunks(1).collect();
    for pieces in [dice.pieces(content), octets] {
        let cut = judged(&pieces);
        assert_eq!((cut.0.is_some(), cut.1), (whole.0.is_some(), whole.1), "cuts change nothing");
    }
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        return;
    }
    // Dots doubled where a line begins, nothing else touched.
    let mut wire = Vec::new();
    for (at, octet) in content.iter().enumerate() {
        if *octet == b'.' && (at == 0 || content[..at].ends_with(b"\r\n")) {
            wire.push(b'.');
        }
        wire.push(*octet);
    }
    wire.extend_from_slice(b".\r\n");
    let mut reader = DataReader::new(LIMITS);
    let mut read = Vec::new();
    let progress = reader.feed(&wire, |slice| read.extend_from_slice(slice));
    assert!(progress.ended && progress.consumed == wire.len());
    assert_eq!(reader.flaw().is_some(), whole.0.is_some(), "both ways judge alike");
    if whole.0.is_none() {
        assert_eq!(read, content);
    }
});
