//! Addresses and domain names (RFC 5321 section 4.1.2, RFC 6531 section 3.3).
//!
//! Local parts keep the case they came with (they may belong to another host) and are compared without it where we are
//! the host: [`EmailAddress::canonical`] is what directories and keys hold.

use std::{fmt, str::FromStr};

use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

use crate::{
    limits::{ADDRESS_MAX_BYTES, DOMAIN_MAX_BYTES, LOCAL_PART_MAX_BYTES},
    rewritten_sender::is_rewritten,
};

/// Why a string is no address or domain.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// There is no `@`, or nothing before it.
    #[error("an address has the form name@domain")]
    NotAnAddress,
    /// Over 64, 253 or 254 octets.
    #[error("too long: at most 64 octets before the @, 253 after it, 254 in all")]
    TooLong,
    /// A character that may not stand unquoted, or not at all.
    #[error("a character that is not allowed in an address")]
    BadCharacter,
    /// The dots are wrong: first, last or doubled.
    #[error("a dot at the wrong place")]
    BadDot,
    /// The domain is no host name (RFC 1123 section 2.1, RFC 5891).
    #[error("not a domain name")]
    BadDomain,
    /// An address literal such as `[192.0.2.1]`: we route by name only.
    #[error("address literals are not accepted, use a domain name")]
    AddressLiteral,
}

/// A domain name in lower case A-label form with at least two labels, without the root dot.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DomainName(Box<str>);

impl DomainName {
    /// The name, lower case, A-labels.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host that customers and their mail programs use for this domain.
    #[must_use]
    pub fn mail_host(&self) -> String {
        format!("mail.{}", self.0)
    }
}

impl FromStr for DomainName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with('[') {
            return Err(AddressError::AddressLiteral);
        }
        if text.len() > 4 * DOMAIN_MAX_BYTES {
            return Err(AddressError::TooLong);
        }
        let name = if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            idna::domain_to_ascii_strict(text).map_err(|_| AddressError::BadDomain)?
        };
        if name.len() > DOMAIN_MAX_BYTES {
            return Err(AddressError::TooLong);
        }
        let mut labels = 0;
        for label in name.split('.') {
            labels += 1;
            let octets = label.as_bytes();
            let well_formed = (1..=63).contains(&octets.len())
                && octets.iter().all(|c| c.is_ascii_alphanumeric() || *c == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-');
            if !well_formed {
                return Err(AddressError::BadDomain);
            }
        }
        let numeric_end = name.rsplit('.').next().is_some_and(|l| l.bytes().all(|c| c.is_ascii_digit()));
        if labels < 2 || numeric_end {
            return Err(AddressError::BadDomain);
        }
        Ok(Self(name.into_boxed_str()))
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DomainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `local@domain`. Quoting that the local part does not need is taken away, so that `"a"@x` and `a@x` are one address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EmailAddress {
    /// Unquoted.
    local: Box<str>,
    domain: DomainName,
}

impl EmailAddress {
    /// The local part without quotes, case as given.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &DomainName {
        &self.domain
    }

    /// What a directory holds: local part in lower case, NFC.
    #[must_use]
    pub fn canonical(&self) -> Self {
        let local = folded(&self.local);
        Self { local: local.into_boxed_str(), domain: self.domain.clone() }
    }

    /// What the directory is asked by: the canonical form; but a rewritten sender as it is, since it leads back to somebody
    /// whose host may tell cases apart.
    #[must_use]
    pub fn lookup_form(&self) -> Self {
        if is_rewritten(&self.local) { self.clone() } else { self.canonical() }
    }

    /// `user@domain` for `user+tag@domain` (RFC 5233); `None` without a tag.
    #[must_use]
    pub fn without_tag(&self) -> Option<Self> {
        let (user, _tag) = self.local.split_once('+')?;
        if user.is_empty() {
            return None;
        }
        Some(Self { local: user.into(), domain: self.domain.clone() })
    }

    /// False when SMTPUTF8 is needed to carry it.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local.is_ascii()
    }
}

impl FromStr for EmailAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > 2 * ADDRESS_MAX_BYTES {
            return Err(AddressError::TooLong);
        }
        let at = text.rfind('@').ok_or(AddressError::NotAnAddress)?;
        let local = unquoted_local(&text[..at])?;
        // A rewritten sender holds another address. RFC 5321 section 4.5.3.1 asks for no limits where none are needed.
        if local.len() > LOCAL_PART_MAX_BYTES && !is_rewritten(&local) {
            return Err(AddressError::TooLong);
        }
        let domain: DomainName = text[at + 1..].parse()?;
        let address = Self { local: local.into_boxed_str(), domain };
        if address.to_string().len() > ADDRESS_MAX_BYTES {
            return Err(AddressError::TooLong);
        }
        Ok(address)
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            return write!(f, "{}@{}", self.local, self.domain);
        }
        f.write_str("\"")?;
        for c in self.local.chars() {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        write!(f, "\"@{}", self.domain)
    }
}

impl fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Envelope sender: an address, or the null sender `<>` of bounces (RFC 5321 section 4.5.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReversePath {
    /// `<>`
    Null,
    /// An address.
    Address(EmailAddress),
}

impl ReversePath {
    /// The address, unless it is the null sender.
    #[must_use]
    pub fn address(&self) -> Option<&EmailAddress> {
        match self {
            Self::Null => None,
            Self::Address(address) => Some(address),
        }
    }
}

impl FromStr for ReversePath {
    type Err = AddressError;

    /// The empty string is the null sender.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() { Ok(Self::Null) } else { text.parse().map(Self::Address) }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address().map_or(Ok(()), |address| address.fmt(f))
    }
}

/// `atext` of RFC 5322 section 3.2.3, widened by RFC 6531 section 3.3.
/// A local part, or what one begins with, in the form in which they are compared: lower case, NFC.
#[must_use]
pub fn folded(text: &str) -> String {
    text.nfc().flat_map(char::to_lowercase).nfc().collect()
}

fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || (!c.is_ascii() && !is_deceptive(c))
}

/// Characters that are invisible or turn the reading direction: nobody's name has them.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || c.is_whitespace()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

fn is_dot_string(local: &str) -> bool {
    !local.is_empty() && local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn unquoted_local(text: &str) -> Result<String, AddressError> {
    let Some(inner) = text.strip_prefix('"') else {
        return match () {
            () if is_dot_string(text) => Ok(text.to_owned()),
            () if text.is_empty() => Err(AddressError::NotAnAddress),
            () if text.chars().any(|c| c != '.' && !is_atext(c)) => Err(AddressError::BadCharacter),
            () => Err(AddressError::BadDot),
        };
    };
    let inner = inner.strip_suffix('"').ok_or(AddressError::BadCharacter)?;
    let mut local = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let taken = match c {
            '\\' => chars.next().ok_or(AddressError::BadCharacter)?,
            '"' => return Err(AddressError::BadCharacter),
            other => other,
        };
        // Quoted-string may hold a space, but no other white space or control (RFC 5321 section 4.1.2).
        if taken != ' ' && is_deceptive(taken) {
            return Err(AddressError::BadCharacter);
        }
        local.push(taken);
    }
    if local.is_empty() { Err(AddressError::NotAnAddress) } else { Ok(local) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_addresses_have_one_form() {
        for (given, shown) in [
            ("user@homepage.test", "user@homepage.test"),
            ("User@HomePage.Test", "User@homepage.test"),
            ("\"user\"@homepage.test", "user@homepage.test"),
            ("\"a b\"@x.test", "\"a b\"@x.test"),
            ("\"a\\\"b\"@x.test", "\"a\\\"b\"@x.test"),
            ("\"a@b\"@x.test", "\"a@b\"@x.test"),
            ("a+b=c/d@x.test", "a+b=c/d@x.test"),
            ("üser@müller.test", "üser@xn--mller-kva.test"),
        ] {
            let address: EmailAddress = given.parse().expect(given);
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn bad_addresses_say_why() {
        let long_local = format!("{}@x.test", "a".repeat(65));
        let long_domain = format!("a@{}.test", "a.".repeat(130));
        for (given, error) in [
            ("", AddressError::NotAnAddress),
            ("user", AddressError::NotAnAddress),
            ("@x.test", AddressError::NotAnAddress),
            ("\"\"@x.test", AddressError::NotAnAddress),
            ("a b@x.test", AddressError::BadCharacter),
            ("a\r\n@x.test", AddressError::BadCharacter),
            ("a\u{202E}b@x.test", AddressError::BadCharacter),
            ("\"a\nb\"@x.test", AddressError::BadCharacter),
            ("\"a@x.test", AddressError::BadCharacter),
            ("a@b@x.test", AddressError::BadCharacter),
            (".a@x.test", AddressError::BadDot),
            ("a..b@x.test", AddressError::BadDot),
            ("a@x", AddressError::BadDomain),
            ("a@-x.test", AddressError::BadDomain),
            ("a@x..test", AddressError::BadDomain),
            ("a@x.test.", AddressError::BadDomain),
            ("a@1.2.3.4", AddressError::BadDomain),
            ("a@x_y.test", AddressError::BadDomain),
            ("a@[1.2.3.4]", AddressError::AddressLiteral),
            (&long_local, AddressError::TooLong),
            (&long_domain, AddressError::TooLong),
        ] {
            assert_eq!(given.parse::<EmailAddress>(), Err(error), "{given}");
        }
    }

    #[test]
    fn sub_addresses_lose_their_tag() {
        let tagless = |s: &str| s.parse::<EmailAddress>().expect(s).without_tag().map(|a| a.to_string());
        assert_eq!(tagless("user+a+b@x.test").as_deref(), Some("user@x.test"));
        assert_eq!(tagless("user@x.test"), None);
        assert_eq!(tagless("+a@x.test"), None);
    }

    #[test]
    fn canonical_folds_case_and_composition() {
        let canonical = |s: &str| s.parse::<EmailAddress>().expect(s).canonical();
        assert_eq!(canonical("USER@x.test"), canonical("user@x.test"));
        assert_eq!(canonical("u\u{308}ser@x.test"), canonical("\u{fc}ser@x.test"));
    }

    proptest! {
        #[test]
        fn what_parses_shows_and_parses_the_same(text in "\\PC{0,80}") {
            if let Ok(address) = text.parse::<EmailAddress>() {
                prop_assert_eq!(address.to_string().parse(), Ok(address.clone()));
                prop_assert_eq!(address.canonical().canonical(), address.canonical());
            }
        }

        #[test]
        fn no_address_can_break_a_line(text in ".{0,40}@[a-z]{1,5}\\.test") {
            if let Ok(address) = text.parse::<EmailAddress>() {
                prop_assert!(!address.to_string().contains(['\r', '\n', '\0']));
            }
        }
    }
}
