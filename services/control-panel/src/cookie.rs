//! The cookies of the panel: the session, the choices of language and time zone, and what is said or shown once on the next page.

use http::{HeaderMap, HeaderValue, header};

/// Language and time zone are kept for a year, seconds.
const CHOICE_SECONDS: u32 = 365 * 24 * 3600;
/// What is said or shown once waits so long for its page, seconds.
const ONCE_SECONDS: u32 = 120;
/// What waits for the code of a second factor, seconds: as long as auth waits.
const WAITING_SECONDS: u32 = 300;

/// The cookies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cookie {
    /// The token of the session.
    Session,
    /// The token of what waits for the code of a second factor.
    Waiting,
    /// The language that was chosen.
    Language,
    /// The time zone that was chosen.
    Zone,
    /// What is said once.
    Said,
    /// A secret that is shown once, locked.
    Once,
}

impl Cookie {
    /// Behind TLS the names are bound to this host and to TLS (`__Host-`, RFC 6265bis section 4.1.3.2): a cookie of the same
    /// name that a neighbouring host sets does not count.
    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-postern-session",
            (Self::Session, false) => "postern-session",
            (Self::Waiting, true) => "__Host-postern-code",
            (Self::Waiting, false) => "postern-code",
            (Self::Language, _) => "postern-language",
            (Self::Zone, _) => "postern-zone",
            (Self::Said, true) => "__Host-postern-said",
            (Self::Said, false) => "postern-said",
            (Self::Once, true) => "__Host-postern-once",
            (Self::Once, false) => "postern-once",
        }
    }

    /// Its value in a request, if it is there once.
    pub(crate) fn read(self, headers: &HeaderMap, secure: bool) -> Option<String> {
        let name = self.name(secure);
        let mut values = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(known, _)| *known == name)
            .map(|(_, value)| value.to_owned());
        let value = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// The header that sets it. A value that cannot be in a header is not set.
    pub(crate) fn set(self, value: &str, secure: bool) -> Option<HeaderValue> {
        let life = match self {
            // Ends with the browser; auth ends it earlier.
            Self::Session => String::new(),
            Self::Language | Self::Zone => format!("; Max-Age={CHOICE_SECONDS}"),
            Self::Said | Self::Once => format!("; Max-Age={ONCE_SECONDS}"),
            Self::Waiting => format!("; Max-Age={WAITING_SECONDS}"),
        };
        self.header(value, &life, secure)
    }

    /// The header that removes it.
    pub(crate) fn clear(self, secure: bool) -> Option<HeaderValue> {
        self.header("", "; Max-Age=0", secure)
    }

    fn header(self, value: &str, life: &str, secure: bool) -> Option<HeaderValue> {
        let tls = if secure { "; Secure" } else { "" };
        let name = self.name(secure);
        HeaderValue::try_from(format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{life}{tls}")).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_by_its_name_and_never_from_two() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; postern-session=pss_x; c=d"));
        assert_eq!(Cookie::Session.read(&headers, false).as_deref(), Some("pss_x"));
        assert_eq!(Cookie::Session.read(&headers, true), None, "without TLS it was set by anybody");
        headers.append(header::COOKIE, HeaderValue::from_static("postern-session=pss_y"));
        assert_eq!(Cookie::Session.read(&headers, false), None, "a neighbour has set one more");
    }

    #[test]
    fn behind_tls_it_is_bound_to_tls_and_to_this_host() {
        let set = Cookie::Session.set("pss_x", true).expect("a header");
        let set = set.to_str().expect("ASCII");
        assert_eq!(set, "__Host-postern-session=pss_x; Path=/; HttpOnly; SameSite=Lax; Secure");
        assert!(Cookie::Session.set("a\r\nb", false).is_none());
        let cleared = Cookie::Said.clear(false).expect("a header");
        assert!(cleared.to_str().expect("ASCII").contains("Max-Age=0"));
    }
}
