//! Paths and parameters of MAIL and RCPT (RFC 5321 section 4.1.2).

use postern_mail::{AddressError, EmailAddress, Reason};

use super::Refused;
use crate::dsn;

/// Path with its brackets, octets (RFC 5321 section 4.5.3.1.3), and room for a source route that is thrown away.
const PATH_MAX_BYTES: usize = 1024;

/// Why what stands in the brackets is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathError {
    /// Not an address.
    Address(AddressError),
    /// Needs SMTPUTF8 (RFC 6531 section 3.5).
    NonAscii,
    /// The source route is none.
    Route,
}

impl PathError {
    /// As an answer to MAIL or RCPT.
    pub(super) fn refused(self, reason: Reason) -> Refused {
        match self {
            Self::Address(error) => Refused::because(reason, error),
            Self::NonAscii => Reason::NonAsciiAddress.into(),
            Self::Route => Refused::because(reason, "the source route is not valid"),
        }
    }
}

/// Splits `<path> parameters`; gives the path without brackets.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('<')?;
    let mut quoted = false;
    let mut escaped = false;
    for (at, octet) in inner.bytes().enumerate().take(PATH_MAX_BYTES) {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return None,
            b'>' if !quoted => {
                let rest = &inner[at + 1..];
                // Parameters stand after a space (RFC 5321 section 4.1.1.2).
                return match rest.strip_prefix(' ') {
                    Some(parameters) => Some((&inner[..at], parameters)),
                    None if rest.is_empty() => Some((&inner[..at], "")),
                    None => None,
                };
            }
            _ => {}
        }
    }
    None
}

/// The address in a path, and how it was written; a source route is read over (RFC 5321 section 4.1.2 and appendix C).
pub(super) fn address(path: &str, smtp_utf8: bool) -> Result<(EmailAddress, &str), PathError> {
    if !smtp_utf8 && !path.is_ascii() {
        return Err(PathError::NonAscii);
    }
    let mailbox = if path.starts_with('@') { after_route(path).ok_or(PathError::Route)? } else { path };
    mailbox.parse().map(|address| (address, mailbox)).map_err(PathError::Address)
}

/// `@a,@b:user@c` is `user@c`.
fn after_route(path: &str) -> Option<&str> {
    let (route, mailbox) = path.split_once(':')?;
    let hosts = route.split(',').all(|hop| {
        hop.strip_prefix('@').is_some_and(|host| {
            !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._[]".contains(&c))
        })
    });
    hosts.then_some(mailbox)
}

/// `NAME=value NAME`; names in upper case. A name that comes twice is refused (S-14).
pub(super) fn parameters(text: &str) -> Result<Vec<(String, Option<&str>)>, Refused> {
    let mut found: Vec<(String, Option<&str>)> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        // esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-"), esmtp-value has no "=" (RFC 5321 section 4.1.2)
        let named = name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
            && name.bytes().next().is_some_and(|c| c != b'-');
        let valued = value.is_none_or(|v| !v.is_empty() && !v.contains('='));
        if !named || !valued {
            return Err(Reason::BadArguments.into());
        }
        let name = name.to_ascii_uppercase();
        if found.iter().any(|(other, _)| *other == name) {
            return Err(Refused::because(Reason::BadArguments, format_args!("{name} is given twice")));
        }
        found.push((name, value));
    }
    Ok(found)
}

/// `<>` or xtext (RFC 4954 section 5, RFC 3461 section 4).
pub(super) fn check_xtext(value: Option<&str>) -> Result<(), Refused> {
    let text = value.ok_or(Reason::BadArguments)?;
    if text == "<>" || dsn::is_xtext(text) { Ok(()) } else { Err(Reason::BadArguments.into()) }
}
