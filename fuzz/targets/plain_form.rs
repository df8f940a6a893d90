//! A header block that is read whole, and the plain form of a message: what is parted joins again, no raw octet is shown to
//! who did not ask for it, and its size is the one that was told before, however it is cut.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use postern_fuzz::Dice;

#[path = "../../services/delivery/src/content"]
mod content {
    pub mod header;
    pub mod plain;
    pub mod words;
}
use content::{
    header::Header,
    plain::{PlainForm, growth_of, plain_fields},
};

fn plain(pieces: &[&[u8]]) -> (Vec<u8>, Option<i64>) {
    let mut form = PlainForm::default();
    let mut shown = Vec::new();
    for piece in pieces {
        shown.extend_from_slice(&form.push(Bytes::copy_from_slice(piece)));
    }
    shown.extend_from_slice(&form.finish());
    assert!(form.is_settled());
    (shown, form.growth())
}

fuzz_target!(|input: &[u8]| {
    let (mut dice, stored) = Dice::part(input);
    let (header, length) = Header::read(stored);
    let block = header.octets();
    assert!(stored.starts_with(block) && [&b""[..], b"\n", b"\r\n"].contains(&&stored[block.len()..length]));
    let joined: Vec<u8> = header.fields().flat_map(|field| field.octets.to_vec()).collect();
    assert_eq!(joined, block, "what is parted joins again");
    assert!(!header.subject().chars().any(char::is_control));
    let _ = (header.author(), header.addresses(&["from", "to", "cc"]), header.message_ids("references"));

    let (shown, growth) = plain(&[stored]);
    let octets: Vec<&[u8]> = stored.chunks(1).collect();
    for pieces in [dice.pieces(stored), octets] {
        assert_eq!(plain(&pieces), (shown.clone(), growth), "cuts change nothing");
    }
    assert_eq!(growth, growth_of(&header), "the size that was told");
    assert_eq!(shown.len() as i64, stored.len() as i64 + growth.unwrap_or(0));
    if block.is_ascii() {
        assert_eq!(shown, stored, "what is ASCII is shown as it is stored");
    } else {
        let kept = plain_fields(block);
        assert!(kept.is_ascii(), "{}", kept.escape_ascii());
        assert_eq!(shown, [&kept, &stored[block.len()..]].concat());
        assert_eq!(Header::read(&kept).0.octets(), &*kept, "it is a header block");
    }
});
