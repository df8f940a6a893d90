//! Parameters for delivery status notifications (RFC 3461): read at one door, kept, and passed on unchanged at the next.

use std::{borrow::Cow, fmt, fmt::Write as _};

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
    /// ORCPT, `type;xtext` as it was given; ASCII only.
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

/// Address type of what is not ASCII (RFC 6533 section 3).
const UTF8_TYPE: &str = "utf-8";

/// The value of ORCPT as it is kept: ASCII, so that it can be told to every host. `None`: it is none. With `smtp_utf8` an
/// address of type utf-8 may come as it is, and gets its seven bit form (`\x{FC}`, RFC 6533 section 3).
#[must_use]
pub fn original_recipient(text: &str, smtp_utf8: bool) -> Option<String> {
    if text.is_ascii() {
        return is_original_recipient(text).then(|| text.to_owned());
    }
    let (kind, address) = text.split_once(';')?;
    let is_plain = |c: char| !c.is_ascii() || (c.is_ascii_graphic() && !"+=".contains(c));
    let is_wide = smtp_utf8 && kind.eq_ignore_ascii_case(UTF8_TYPE) && address.chars().all(is_plain);
    is_wide.then(|| format!("{kind};{}", seven_bit(address, |c| !c.is_ascii())))
}

/// The same of an address that came without ORCPT and must not be forgotten as it was written.
#[must_use]
pub fn original_recipient_of(address: &str) -> String {
    let special = |c: char| !c.is_ascii_graphic() || "\\+=".contains(c);
    format!("{UTF8_TYPE};{}", seven_bit(address, special))
}

fn seven_bit(address: &str, special: impl Fn(char) -> bool) -> String {
    let mut text = String::with_capacity(address.len());
    for c in address.chars() {
        if special(c) {
            // Writing into a String cannot fail.
            let _ = write!(text, "\\x{{{:02X}}}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    text
}

/// Type and address of an ORCPT, decoded for a report; `None`: it is none. What is of type utf-8 and not encoded as that stays
/// as it is.
#[must_use]
pub fn shown_original_recipient(text: &str) -> Option<(&str, Cow<'_, str>)> {
    let (kind, address) = text.split_once(';')?;
    if kind.eq_ignore_ascii_case(UTF8_TYPE) {
        return Some((kind, wide(address).map_or(Cow::Borrowed(address), Cow::Owned)));
    }
    Some((kind, Cow::Owned(decode_xtext(address)?)))
}

/// Reads `\x{FC}` back: 2 to 6 hex digits.
fn wide(text: &str) -> Option<String> {
    let mut address = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        let (digits, behind) = after.strip_prefix("x{")?.split_once('}')?;
        let is_hex = (2..=6).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
        let c = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex).and_then(char::from_u32)?;
        address.push_str(before);
        address.push(c);
        rest = behind;
    }
    address.push_str(rest);
    Some(address)
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

    #[test]
    fn s_91_an_original_recipient_is_kept_in_ascii_and_shown_as_it_was() {
        for (given, kept, shown) in [
            ("utf-8;\u{fc}@m\u{fc}ller.test", "utf-8;\\x{FC}@m\\x{FC}ller.test", "\u{fc}@m\u{fc}ller.test"),
            ("UTF-8;\\x{1F600}\\x{2B}a@b.test", "UTF-8;\\x{1F600}\\x{2B}a@b.test", "\u{1f600}+a@b.test"),
            ("utf-8;a\\x{zz}@b.test", "utf-8;a\\x{zz}@b.test", "a\\x{zz}@b.test"),
            ("rfc822;a+2Bb@c.test", "rfc822;a+2Bb@c.test", "a+b@c.test"),
        ] {
            assert_eq!(original_recipient(given, true).as_deref(), Some(kept), "{given}");
            let (kind, address) = shown_original_recipient(kept).expect(kept);
            assert_eq!((kind, &*address), (given.split_once(';').expect("a type").0, shown));
        }
        for bad in ["rfc822;\u{fc}@b.test", "utf-8;\u{fc}+@b.test", "utf-8;\u{fc} @b.test", "\u{fc}"] {
            assert_eq!(original_recipient(bad, true), None, "{bad}");
        }
        assert_eq!(original_recipient("utf-8;\u{fc}@b.test", false), None, "only where SMTPUTF8 is offered");
        let written = "a+b\\ \u{fc}=@m\u{fc}ller.test";
        let kept = original_recipient_of(written);
        assert_eq!(kept, "utf-8;a\\x{2B}b\\x{5C}\\x{20}\\x{FC}\\x{3D}@m\\x{FC}ller.test");
        assert_eq!(original_recipient(&kept, false).as_deref(), Some(&*kept));
        assert_eq!(shown_original_recipient(&kept).expect("it").1, written);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,40}") {
            let decoded = decode_xtext(&text);
            prop_assert!(decoded.is_none_or(|decoded| decoded.is_ascii()));
            if let Some(kept) = original_recipient(&text, true) {
                prop_assert!(is_original_recipient(&kept));
                prop_assert!(shown_original_recipient(&kept).is_some());
            }
            let kept = original_recipient_of(&(text + "x"));
            prop_assert!(is_original_recipient(&kept));
        }
    }
}
