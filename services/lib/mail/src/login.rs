//! Logins: a mailbox logs in with its address, a customer and a default box with a customer login.

use crate::{EmailAddress, limits::LOGIN_MAX_BYTES};

/// Characters of a customer login.
pub const CUSTOMER_LOGIN_MAX_CHARS: usize = 8;

/// True for what a customer login looks like: 1 to 8 of a-z and 0-9.
#[must_use]
pub fn is_customer_login(text: &str) -> bool {
    (1..=CUSTOMER_LOGIN_MAX_CHARS).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// The one form of a customer login as typed, which is how it is stored: case is folded. `None`: no customer can have it.
#[must_use]
pub fn customer_login(typed: &str) -> Option<String> {
    let login = typed.to_ascii_lowercase();
    is_customer_login(&login).then_some(login)
}

/// The one form of a login as typed, which is how it is stored: a whole address, or a customer login. `None`: nobody can have
/// it.
#[must_use]
pub fn canonical_login(typed: &str) -> Option<String> {
    match typed.contains('@') {
        _ if typed.len() > LOGIN_MAX_BYTES => None,
        true => typed.parse::<EmailAddress>().ok().map(|address| address.canonical().to_string()),
        false => customer_login(typed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_have_one_form_and_junk_has_none() {
        for (typed, canonical) in [
            ("User@HomePage.Test", Some("user@homepage.test")),
            ("\"user\"@homepage.test", Some("user@homepage.test")),
            ("user@Müller.test", Some("user@xn--mller-kva.test")),
            ("HomePage", Some("homepage")),
            ("homepage2", None),
            ("home-pag", None),
            ("", None),
            ("@", None),
            ("a b", None),
            ("homepag\0", None),
            ("user@", None),
            ("@x.test", None),
            ("a@b@c.test", None),
            ("user@homepage.test\r\n", None),
        ] {
            assert_eq!(canonical_login(typed).as_deref(), canonical, "{typed:?}");
        }
    }
}
