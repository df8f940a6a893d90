//! Fields of requests: what they must look like, checked once, before anything is done with them. Pure.

mod texts;

use std::fmt::Display;

use postern_mail::{
    DomainName, EmailAddress, customer_login,
    limits::{PASSWORD_MAX_BYTES, PASSWORD_MIN_BYTES},
};

pub(crate) use self::texts::{
    answer_subject, answer_text, interval, list_address, member, moment, post_max_bytes, subject_prefix,
};
use crate::{error::AccountError, logins, store::mailboxes::NO_QUOTA};

/// Free text for people, characters.
pub(crate) const DISPLAY_NAME_MAX_CHARS: usize = 200;
/// Of what is searched for: no address is longer.
const PREFIX_MAX_CHARS: usize = 320;
/// Id of a create, characters.
pub(crate) const REQUEST_ID_MAX_CHARS: usize = 128;
/// Code of a second factor, octets: recovery codes have 19 with their hyphens.
pub(crate) const CODE_MAX_BYTES: usize = 64;
/// Targets of one forward.
pub(crate) const TARGETS_MAX: usize = 100;
/// Customers that a domain lets send in its name.
pub(crate) const ALLOWED_SENDERS_MAX: usize = 100;
/// Life of a grant, seconds.
pub(crate) const GRANT_TTL_SECONDS: std::ops::RangeInclusive<i32> = 300..=3600;

/// Quota of one mailbox, octets.
pub(crate) const QUOTA_BYTES: std::ops::RangeInclusive<i64> = 1..=1 << 53;

type Checked<T> = Result<T, AccountError>;

/// A quota: absent, none (-1), or octets.
pub(crate) fn quota(field: &str, bytes: Option<i64>) -> Checked<Option<i64>> {
    match bytes {
        None | Some(NO_QUOTA) => Ok(bytes),
        Some(some) if QUOTA_BYTES.contains(&some) => Ok(bytes),
        Some(_) => invalid(field, "-1 (no bound of its own) or 1 to 2^53 octets"),
    }
}

/// The field and why it is refused.
pub(crate) fn invalid<T>(field: &str, why: impl Display) -> Checked<T> {
    Err(AccountError::Invalid(format!("{field}: {why}")))
}

/// An address of one of our domains, in canonical form.
pub(crate) fn local_address(field: &str, text: &str) -> Checked<EmailAddress> {
    let address = address(field, text)?.canonical();
    let local = address.local();
    // The platform's own return addresses are recognised before anything else and could never be reached.
    if ["srs0", "srs1"]
        .iter()
        .any(|srs| local.strip_prefix(srs).is_some_and(|rest| rest.starts_with(['=', '+', '-'])))
    {
        return invalid(field, "names that begin with SRS0= or SRS1= are reserved");
    }
    Ok(address)
}

/// Any address, spelling kept.
pub(crate) fn address(field: &str, text: &str) -> Checked<EmailAddress> {
    if text.is_empty() {
        return invalid(field, "is missing");
    }
    text.parse().or_else(|error| invalid(field, error))
}

/// A domain name, as a U-label or A-label.
pub(crate) fn domain(field: &str, text: &str) -> Checked<DomainName> {
    if text.is_empty() {
        return invalid(field, "is missing");
    }
    text.parse().or_else(|error| invalid(field, error))
}

/// What an address, a domain or a login begins with, in the form that they are ordered by.
pub(crate) fn prefix(field: &str, text: &str) -> Checked<String> {
    readable(field, text, PREFIX_MAX_CHARS).map(|text| postern_mail::folded(&text))
}

/// A customer login that exists, maybe: case is folded, form is checked.
pub(crate) fn login(field: &str, text: &str) -> Checked<String> {
    match customer_login(text) {
        Some(login) => Ok(login),
        None => invalid(field, "a customer login has 1 to 8 characters of a-z and 0-9"),
    }
}

/// A customer login that is to be given.
pub(crate) fn new_login(field: &str, text: &str) -> Checked<String> {
    let login = login(field, text)?;
    if logins::is_reserved(&login) {
        return invalid(field, "this login is reserved for the platform");
    }
    Ok(login)
}

/// Name of an existing mailbox: its address, or the login of a default box.
pub(crate) fn mailbox_name(field: &str, text: &str) -> Checked<String> {
    if text.contains('@') { Ok(address(field, text)?.canonical().to_string()) } else { login(field, text) }
}

/// Text that is shown to people: no character that breaks a line, hides, or turns the reading direction.
pub(crate) fn display_name(field: &str, text: &str) -> Checked<String> {
    readable(field, text, DISPLAY_NAME_MAX_CHARS)
}

/// A line that shows what it is, without white space around it.
fn readable(field: &str, text: &str, max_chars: usize) -> Checked<String> {
    if text.chars().count() > max_chars {
        return invalid(field, format_args!("at most {max_chars} characters"));
    }
    if text.chars().any(|c| c.is_control() || is_deceptive(c)) {
        return invalid(
            field,
            "control characters and characters that turn the reading direction are not allowed",
        );
    }
    Ok(text.trim().to_owned())
}

/// A password in plain text.
pub(crate) fn password(field: &str, text: &str) -> Checked<()> {
    if text.len() < PASSWORD_MIN_BYTES {
        return invalid(field, format_args!("too short: at least {PASSWORD_MIN_BYTES} bytes"));
    }
    if text.len() > PASSWORD_MAX_BYTES {
        return invalid(field, format_args!("too long: at most {PASSWORD_MAX_BYTES} bytes"));
    }
    if text.chars().any(char::is_control) {
        return invalid(field, "control characters are not allowed");
    }
    Ok(())
}

/// A code of a second factor as somebody typed it; empty: none.
pub(crate) fn code<'t>(field: &str, text: &'t str) -> Checked<&'t str> {
    if text.len() > CODE_MAX_BYTES {
        return invalid(field, format_args!("at most {CODE_MAX_BYTES} octets"));
    }
    if text.chars().any(char::is_control) {
        return invalid(field, "control characters are not allowed");
    }
    Ok(text)
}

/// The id of a create; empty: none.
pub(crate) fn request_id(text: &str) -> Checked<Option<String>> {
    if text.chars().count() > REQUEST_ID_MAX_CHARS {
        return invalid("request_id", format_args!("at most {REQUEST_ID_MAX_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return invalid("request_id", "control characters are not allowed");
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The paths of an update mask, each one of `known`.
pub(crate) fn mask<'m>(paths: Option<&'m [String]>, known: &[&str]) -> Checked<Vec<&'m str>> {
    let paths = paths.unwrap_or_default();
    if paths.is_empty() {
        return invalid(
            "update_mask",
            format_args!("is missing: name what to change, of {}", known.join(", ")),
        );
    }
    if let Some(unknown) = paths.iter().find(|path| !known.contains(&path.as_str())) {
        let unknown: String = unknown.chars().filter(|c| !c.is_control()).take(64).collect();
        return invalid(
            "update_mask",
            format_args!("`{unknown}` cannot be changed, only {}", known.join(", ")),
        );
    }
    Ok(paths.iter().map(String::as_str).collect())
}

/// Targets of a forward: 1 to 100 addresses, each once.
pub(crate) fn targets(field: &str, texts: &[String]) -> Checked<Vec<EmailAddress>> {
    if texts.is_empty() {
        return invalid(field, "at least one target is needed");
    }
    if texts.len() > TARGETS_MAX {
        return invalid(field, format_args!("at most {TARGETS_MAX} targets"));
    }
    let mut seen = std::collections::HashSet::new();
    let mut targets = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let target = address(&format!("{field}[{index}]"), text)?;
        if !seen.insert(target.canonical()) {
            return invalid(&format!("{field}[{index}]"), format_args!("{target} is there twice"));
        }
        targets.push(target);
    }
    Ok(targets)
}

fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why<T: std::fmt::Debug>(checked: Checked<T>) -> String {
        checked.expect_err("must be refused").to_string()
    }

    #[test]
    fn what_is_wrong_names_its_field_and_says_why() {
        let long = "x".repeat(1025);
        let many: Vec<_> = (0..101).map(|n| format!("t{n}@x.test")).collect();
        let twice = ["a@x.test".to_owned(), "A@x.test".to_owned()];
        for (said, field, reason) in [
            (why(local_address("address", "")), "address", "missing"),
            (why(local_address("address", "a b@x.test")), "address", "not allowed"),
            (why(local_address("address", "SRS0=a=b=c@x.test")), "address", "reserved"),
            (why(domain("name", "x")), "name", "domain name"),
            (why(domain("name", "")), "name", "missing"),
            (why(login("customer", "home-page")), "customer", "1 to 8"),
            (why(login("customer", "")), "customer", "1 to 8"),
            (why(login("customer", "homepages")), "customer", "1 to 8"),
            (why(new_login("login", "root")), "login", "reserved"),
            (why(new_login("login", "ROOT")), "login", "reserved"),
            (why(mailbox_name("address", "a@")), "address", "domain"),
            (why(display_name("display_name", &long)), "display_name", "200"),
            (why(display_name("display_name", "a\nb")), "display_name", "control"),
            (why(display_name("display_name", "a\u{202E}b")), "display_name", "direction"),
            (why(password("password.plain", "short")), "password.plain", "at least 8"),
            (why(password("password.plain", &long)), "password.plain", "at most 1024"),
            (why(password("password.plain", "pass\0word")), "password.plain", "control"),
            (why(code("code", &long)), "code", "at most 64"),
            (why(code("code", "12\r\n3456")), "code", "control"),
            (why(request_id(&"x".repeat(129))), "request_id", "128"),
            (why(request_id("a\rb")), "request_id", "control"),
            (why(mask(None, &["state"])), "update_mask", "missing"),
            (why(mask(Some(&["login".to_owned()]), &["state"])), "update_mask", "`login`"),
            (why(targets("forward.targets", &[])), "forward.targets", "at least one"),
            (why(targets("forward.targets", &many)), "forward.targets", "at most 100"),
            (why(targets("forward.targets", &twice)), "forward.targets[1]", "twice"),
            (why(targets("forward.targets", &["x".to_owned()])), "forward.targets[0]", "name@domain"),
        ] {
            assert!(said.starts_with(&format!("{field}: ")), "{said}");
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn what_is_right_is_taken_in_canonical_form() {
        assert_eq!(local_address("f", "User@X.test").expect("good").to_string(), "user@x.test");
        assert_eq!(domain("f", "Müller.test").expect("good").as_str(), "xn--mller-kva.test");
        assert_eq!(login("f", "HomePage").expect("good"), "homepage");
        assert_eq!(mailbox_name("f", "HOMEPAGE").expect("good"), "homepage");
        assert_eq!(display_name("f", " Müller & Söhne ").expect("good"), "Müller & Söhne");
        assert_eq!(request_id("").expect("good"), None);
        assert!(password("f", "pässword").is_ok());
        assert!(password("f", &"x".repeat(1024)).is_ok());
        assert_eq!(mask(Some(&["state".to_owned()]), &["state"]).expect("good"), ["state"]);
    }
}
