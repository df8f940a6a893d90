//! What is not ASCII, in ASCII: text for people in a header field (RFC 2047, RFC 5322 section 3.2.5), and bodies (RFC 2045). Pure.

use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Octets of base64 in a line of a body (RFC 2045 section 6.8: at most 76).
const BASE64_LINE_BYTES: usize = 76;
/// Octets of UTF-8 in one encoded word: with its frame it stays under 75 (RFC 2047 section 2).
const ENCODED_WORD_BYTES: usize = 42;

/// Unstructured text of a header field: as it is when it can be, else in encoded words (RFC 2047 section 5), folded.
/// Control characters become spaces.
pub(crate) fn encoded(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let clean = clean.trim();
    if clean.is_ascii() && !clean.contains("=?") {
        return clean.to_owned();
    }
    encoded_words(clean)
}

/// The same in encoded words in any case, to its last space.
pub(crate) fn encoded_words(clean: &str) -> String {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in clean.chars() {
        if word.len() + c.len_utf8() > ENCODED_WORD_BYTES {
            words.push(std::mem::take(&mut word));
        }
        word.push(c);
    }
    words.push(word);
    let words: Vec<String> =
        words.iter().map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word))).collect();
    words.join("\r\n ")
}

/// A phrase in front of an address or identifier (RFC 5322 section 3.2.5), with a space behind it.
pub(crate) fn phrase(text: &str) -> String {
    let coded = encoded(text);
    match () {
        () if coded.is_empty() => String::new(),
        // Encoded words stand for themselves.
        () if coded.starts_with("=?") => format!("{coded}\r\n "),
        () => format!("\"{}\"\r\n ", coded.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

/// A body in base64, in lines that end with CRLF.
pub(crate) fn base64_body(octets: &[u8]) -> String {
    let code = STANDARD.encode(octets);
    let mut folded = String::with_capacity(code.len() + code.len() / 38 + 2);
    for line in code.as_bytes().chunks(BASE64_LINE_BYTES) {
        folded.push_str(&String::from_utf8_lossy(line));
        folded.push_str("\r\n");
    }
    folded
}
