//! Secrets as people copy them: base32 in small letters, in groups.

/// RFC 4648 section 6, lower case.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// In base32, small letters. For numbers of octets that are multiples of five, which need no padding.
pub(crate) fn encode(octets: &[u8]) -> String {
    let (mut text, mut bits, mut held) = (String::with_capacity(octets.len() * 8 / 5), 0_u32, 0);
    for octet in octets {
        bits = bits << 8 | u32::from(*octet);
        held += 8;
        while held >= 5 {
            held -= 5;
            let index = (bits >> held & 31) as usize;
            text.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'a')));
        }
    }
    text
}

/// With a hyphen after each so many letters, save the last.
pub(crate) fn in_groups(text: &str, size: usize) -> String {
    let mut shown = String::with_capacity(text.len() + text.len() / size.max(1));
    for (at, letter) in text.chars().enumerate() {
        if at > 0 && at % size == 0 {
            shown.push('-');
        }
        shown.push(letter);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_become_letters_in_groups() {
        assert_eq!(in_groups(&encode(&[0; 15]), 6), "aaaaaa-aaaaaa-aaaaaa-aaaaaa");
        assert_eq!(encode(&[0xff; 15]), "7".repeat(24));
        // RFC 4648 section 10.
        assert_eq!(encode(b"fooba"), "mzxw6ytb");
        assert_eq!(encode(b"12345678901234567890"), "gezdgnbvgy3tqojqgezdgnbvgy3tqojq");
    }
}
