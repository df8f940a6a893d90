//! Parameters for delivery status notifications (RFC 3461): read at one door, kept, and passed on unchanged at the next.

use std::fmt;

/// What a report about a failure gives back of the message (RET).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnContent {
    /// FULL.
    Full,
    /// HDRS.
    Headers,
}

impl ReturnContent {
    /// Of a RET parameter; any case.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        match value.to_ascii_uppercase().as_str() {
            "FULL" => Some(Self::Full),
            "HDRS" => Some(Self::Headers),
            _ => None,
        }
    }
}

impl fmt::Display for ReturnContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        })
    }
}

/// When the sender wants to hear of a recipient (NOTIFY): never, or on some of three occasions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notify(u8);

const OCCASIONS: [(&str, u8); 3] = [("SUCCESS", 1), ("FAILURE", 2), ("DELAY", 4)];

impl Notify {
    /// NEVER.
    pub const NEVER: Self = Self(0);

    /// Of a NOTIFY parameter; any case. NEVER stands alone (RFC 3461 section 4.1).
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        if value.eq_ignore_ascii_case("NEVER") {
            return Some(Self::NEVER);
        }
        let mut bits = 0;
        for word in value.split(',') {
            let (_, bit) = OCCASIONS.iter().find(|(name, _)| word.eq_ignore_ascii_case(name))?;
            bits |= bit;
        }
        Some(Self(bits))
    }

    /// 0 to 7, for a store.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }

    /// From [`Self::bits`]; `None`: a later version wrote it.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Self> {
        (bits < 8).then_some(Self(bits))
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::NEVER {
            return f.write_str("NEVER");
        }
        let words: Vec<_> =
            OCCASIONS.iter().filter(|(_, bit)| self.0 & bit != 0).map(|(name, _)| *name).collect();
        f.write_str(&words.join(","))
    }
}

/// What MAIL said about reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageDsn {
    /// RET.
    pub return_content: Option<ReturnContent>,
    /// ENVID, xtext as it was given.
    pub envelope_id: Option<String>,
}

/// What RCPT said about reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientDsn {
    /// NOTIFY.
    pub notify: Option<Notify>,
    /// ORCPT, `type;xtext` as it was given.
    pub original_recipient: Option<String>,
}

impl RecipientDsn {
    /// True when the sender is to hear that it arrived: only who asked for it.
    #[must_use]
    pub fn wants_success(&self) -> bool {
        self.notify.is_some_and(|notify| notify.0 & 1 != 0)
    }

    /// True when the sender is to hear that it failed: also who said nothing.
    #[must_use]
    pub fn wants_failure(&self) -> bool {
        self.notify.is_none_or(|notify| notify.0 & 2 != 0)
    }

    /// True when the sender is to hear that it takes long: also who said nothing.
    #[must_use]
    pub fn wants_delay(&self) -> bool {
        self.notify.is_none_or(|notify| notify.0 & 4 != 0)
    }
}

/// True for xtext (RFC 3461 section 4): graphic ASCII, where `+`, `=` and others stand as `+` and two upper case hex digits.
#[must_use]
pub fn is_xtext(text: &str) -> bool {
    decode_octets(text).is_some()
}

/// The text that xtext stands for; `None`: it is not xtext. Octets over 127 become `?`.
#[must_use]
pub fn decode_xtext(text: &str) -> Option<String> {
    let octets = decode_octets(text)?;
    Some(octets.into_iter().map(|octet| if octet.is_ascii() { char::from(octet) } else { '?' }).collect())
}

fn decode_octets(text: &str) -> Option<Vec<u8>> {
    let hex = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    };
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            b'+' => {
                let [high, low, tail @ ..] = after else { return None };
                octets.push(hex(*high)? << 4 | hex(*low)?);
                tail
            }
            b'!'..=b'~' if *first != b'=' => {
                octets.push(*first);
                after
            }
            _ => return None,
        };
    }
    Some(octets)
}

/// True for the value of ORCPT: an address type, `;`, and xtext (RFC 3461 section 4.2).
#[must_use]
pub fn is_original_recipient(text: &str) -> bool {
    text.split_once(';').is_some_and(|(kind, address)| {
        !kind.is_empty()
            && kind.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && !address.is_empty()
            && is_xtext(address)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn s_92_never_stands_alone_and_words_are_known() {
        assert_eq!(Notify::parse("never"), Some(Notify::NEVER));
        assert_eq!(Notify::parse("Delay,SUCCESS").map(|n| n.to_string()), Some("SUCCESS,DELAY".to_owned()));
        for bad in ["", "NEVER,FAILURE", "SUCCESS,", "SOON", "SUCCESS FAILURE"] {
            assert_eq!(Notify::parse(bad), None, "{bad}");
        }
        for bits in 0..8 {
            let notify = Notify::from_bits(bits).expect("bits");
            assert_eq!(Notify::parse(&notify.to_string()), Some(notify));
        }
    }

    #[test]
    fn who_says_nothing_hears_of_failures_and_delays() {
        let silent = RecipientDsn::default();
        assert!(!silent.wants_success() && silent.wants_failure() && silent.wants_delay());
        let never = RecipientDsn { notify: Some(Notify::NEVER), ..silent };
        assert!(!never.wants_success() && !never.wants_failure() && !never.wants_delay());
    }

    #[test]
    fn xtext_is_read_to_the_letter() {
        assert_eq!(decode_xtext("a+2Bb+3Dc"), Some("a+b=c".to_owned()));
        for bad in ["+", "+2", "+2b", "a=b", "a b", "\u{e4}"] {
            assert!(!is_xtext(bad), "{bad}");
        }
        assert!(is_original_recipient("rfc822;Anna+2Bx@far.test"));
        for bad in ["", "rfc822", ";a", "rfc822;", "rf c;a", "rfc822;a=b"] {
            assert!(!is_original_recipient(bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,40}") {
            let decoded = decode_xtext(&text);
            prop_assert!(decoded.is_none_or(|decoded| decoded.is_ascii()));
        }
    }
}
