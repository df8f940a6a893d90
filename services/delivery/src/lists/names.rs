//! The addresses of a list: `<list>-bounces`, `<list>-request` and so on. Pure.

use std::fmt::Write as _;

use postern_mail::{EmailAddress, unsubscribe_token};

use super::{FoundList, senders::with_local};

/// `<list>-<word>`, or the list itself where that does not fit (account makes no such lists).
pub(super) fn command_address(list: &EmailAddress, word: &str) -> EmailAddress {
    with_local(list, &format!("{}-{word}", list.local())).unwrap_or_else(|| list.clone())
}

/// Where mail to `<list>-request` with this token goes; `None` where it does not fit: then the token stands in the
/// subject only.
pub(super) fn token_address(list: &EmailAddress, token: &str) -> Option<EmailAddress> {
    with_local(list, &format!("{}-request+{token}", list.local()))
}

/// How a member leaves a list by one click or by mail (RFC 2369 section 3.2, RFC 8058 section 3.1). `url`: what stands before
/// the token.
pub(crate) fn unsubscribe_fields(url: &str, list: &FoundList, member: &EmailAddress) -> String {
    let token = unsubscribe_token(&list.unsubscribe_key, list.list.list_id, member);
    let url = url.replace("{domain}", list.address.domain().as_str());
    let mail = mailto(&command_address(&list.address, "unsubscribe"));
    format!(
        "List-Unsubscribe: <{url}{token}>,\r\n <{mail}>\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    )
}

/// The address in a `mailto:` URI (RFC 6068 section 2).
pub(super) fn mailto(address: &EmailAddress) -> String {
    let mut uri = String::from("mailto:");
    for octet in address.to_string().bytes() {
        match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'@' | b'+' | b'=' => {
                uri.push(char::from(octet));
            }
            // Writing into a String cannot fail.
            _ => drop(write!(uri, "%{octet:02X}")),
        }
    }
    uri
}

/// The identifier of List-Id (RFC 2919 section 2): the address with a dot for its @.
pub(super) fn list_id(list: &EmailAddress) -> String {
    format!("{}.{}", list.canonical().local(), list.domain())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().expect(text)
    }

    #[test]
    fn tokens_go_into_the_address_where_they_fit() {
        let token = "a".repeat(26);
        let fits = token_address(&address("staff@x.test"), &token).expect("it fits");
        assert_eq!(fits.to_string(), format!("staff-request+{token}@x.test"));
        assert_eq!(token_address(&address(&format!("{}@x.test", "l".repeat(30))), &token), None);
    }

    #[test]
    fn uris_hold_no_foreign_signs() {
        assert_eq!(mailto(&address("staff+a@x.test")), "mailto:staff+a@x.test");
        assert_eq!(mailto(&address("\"a?b>\"@x.test")), "mailto:%22a%3Fb%3E%22@x.test");
        assert_eq!(list_id(&address("Staff@x.test")), "staff.x.test");
    }
}
