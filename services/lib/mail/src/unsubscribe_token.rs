//! The token in a List-Unsubscribe link (RFC 8058): it names one member of one list, and only the list's key makes it. Pure.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;

use crate::EmailAddress;

/// Octets of the mark (HMAC-SHA256, cut).
const MARK_BYTES: usize = 16;
/// A longer token is none.
const TOKEN_MAX_CHARS: usize = 1024;

/// What a token says of itself; nothing is proven before [`UnsubscribeToken::is_made_with`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsubscribeToken {
    /// Number of the list.
    pub list_id: i64,
    /// The member, canonical.
    pub member: EmailAddress,
    mark: [u8; MARK_BYTES],
}

/// The token of a member, fit for a URL. `key`: that of the list, 32 octets.
#[must_use]
pub fn unsubscribe_token(key: &[u8], list_id: i64, member: &EmailAddress) -> String {
    let member = member.canonical().to_string();
    let signed = signed(list_id, &member);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &signed);
    let mark = tag.as_ref().get(..MARK_BYTES).unwrap_or_default();
    URL_SAFE_NO_PAD.encode([&list_id.to_be_bytes(), mark, member.as_bytes()].concat())
}

fn signed(list_id: i64, member: &str) -> Vec<u8> {
    [b"unsubscribe\0", &list_id.to_be_bytes()[..], member.as_bytes()].concat()
}

impl UnsubscribeToken {
    /// Reads a token; `None`: it is none.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if text.len() > TOKEN_MAX_CHARS {
            return None;
        }
        let octets = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (list_id, rest) = octets.split_first_chunk()?;
        let (mark, member) = rest.split_first_chunk()?;
        let member = std::str::from_utf8(member).ok()?.parse().ok()?;
        Some(Self { list_id: i64::from_be_bytes(*list_id), member, mark: *mark })
    }

    /// True when the key of its list made it for this member.
    #[must_use]
    pub fn is_made_with(&self, key: &[u8]) -> bool {
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key),
            &signed(self.list_id, &self.member.to_string()),
        );
        // 128 bits over HTTP: the time of the comparison tells less than the noise hides.
        tag.as_ref().starts_with(&self.mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l_02_a_token_is_bound_to_list_and_member() {
        let member: EmailAddress = "Anna+a@home.test".parse().expect("an address");
        let text = unsubscribe_token(&[1; 32], 7, &member);
        assert!(text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{text}");
        let token = UnsubscribeToken::read(&text).expect("a token");
        assert_eq!((token.list_id, &token.member), (7, &member.canonical()));
        assert!(token.is_made_with(&[1; 32]));
        assert!(!token.is_made_with(&[2; 32]));
        assert!(!UnsubscribeToken { list_id: 8, ..token.clone() }.is_made_with(&[1; 32]));
        let other = "bert@home.test".parse().expect("an address");
        assert!(!UnsubscribeToken { member: other, ..token }.is_made_with(&[1; 32]));
        for none in ["", "x", "AAAA", "!!!!", &"A".repeat(2000), &URL_SAFE_NO_PAD.encode([0; 30])] {
            assert_eq!(UnsubscribeToken::read(none), None, "{none}");
        }
    }
}
