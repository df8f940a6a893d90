//! Logins of customers, which default boxes have too.

/// Characters of a customer login.
pub const CUSTOMER_LOGIN_MAX_CHARS: usize = 8;

/// True for what a customer login looks like: 1 to 8 of a-z and 0-9.
#[must_use]
pub fn is_customer_login(text: &str) -> bool {
    (1..=CUSTOMER_LOGIN_MAX_CHARS).contains(&text.len())
        && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
}
