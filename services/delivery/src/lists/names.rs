//! The addresses of a list: `<list>-bounces`, `<list>-request` and so on. Pure.

use std::fmt::Write as _;

use postern_mail::{EmailAddress, limits::LOCAL_PART_MAX_BYTES, unsubscribe_token};
use ring::digest;

use super::FoundList;

/// Hex digits that name a member whose address does not fit.
const DIGEST_MAX_CHARS: usize = 20;

/// `<list>-<word>`, or the list itself where that does not fit (account makes no such lists).
pub(super) fn command_address(list: &EmailAddress, word: &str) -> EmailAddress {
    with_local(list, &format!("{}-{word}", list.local())).unwrap_or_else(|| list.clone())
}

/// Where mail to `<list>-request` with this token goes; `None` where it does not fit: then the token stands in the
/// subject only.
pub(super) fn token_address(list: &EmailAddress, token: &str) -> Option<EmailAddress> {
    with_local(list, &format!("{}-request+{token}", list.local()))
}

/// Envelope sender of one member's copy (VERP): `<list>-bounces+anna=home.test`. What comes back to it tells whose copy
/// failed. A member whose address does not fit is told by the begin of its SHA-256, after an `h`.
pub(crate) fn copy_sender(bounces: &EmailAddress, member: &EmailAddress) -> EmailAddress {
    let member = member.canonical();
    let whole = format!("{}+{}={}", bounces.local(), member.local(), member.domain());
    if let Some(sender) = with_local(bounces, &whole) {
        return sender;
    }
    let mut hex = String::new();
    for octet in digest::digest(&digest::SHA256, member.to_string().as_bytes()).as_ref() {
        // Writing into a String cannot fail.
        let _ = write!(hex, "{octet:02x}");
    }
    let room = LOCAL_PART_MAX_BYTES.saturating_sub(bounces.local().len() + "+h".len());
    let digits = hex.get(..room.min(DIGEST_MAX_CHARS)).unwrap_or_default();
    with_local(bounces, &format!("{}+h{digits}", bounces.local())).unwrap_or_else(|| bounces.clone())
}

/// Begins the note of a row that is a probe.
const PROBE_WORD: &str = "probe ";
/// Begins the tag of a probe's sender; no address of a member looks like it.
pub(super) const PROBE_TAG: &str = "probe-";

/// The note of a probe's row.
pub(crate) fn probe_note(token: &str) -> String {
    format!("{PROBE_WORD}{token}")
}

/// The token of the probe that a row with this note is; `None`: it is none.
pub(crate) fn probe_of(note: Option<&str>) -> Option<&str> {
    note?.strip_prefix(PROBE_WORD)
}

/// Envelope sender of a probe: who has only seen copies cannot make it.
pub(crate) fn probe_sender(bounces: &EmailAddress, token: &str) -> EmailAddress {
    let local = format!("{}+{PROBE_TAG}{token}", bounces.local());
    with_local(bounces, &local).unwrap_or_else(|| bounces.clone())
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

fn with_local(address: &EmailAddress, local: &str) -> Option<EmailAddress> {
    let domain = address.domain();
    let quoted = || format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{local}@{domain}").parse().or_else(|_| quoted().parse()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().expect(text)
    }

    #[test]
    fn l_01_every_member_has_a_sender_of_its_own() {
        let bounces = command_address(&address("staff@x.test"), "bounces");
        assert_eq!(bounces.to_string(), "staff-bounces@x.test");
        let sender = |member: &str| copy_sender(&bounces, &address(member)).to_string();
        assert_eq!(sender("Anna+a@home.test"), "staff-bounces+anna+a=home.test@x.test");
        assert_eq!(sender("\"a b\"@home.test"), "\"staff-bounces+a b=home.test\"@x.test");
        let long = sender(&format!("{}@home.test", "a".repeat(60)));
        let other = sender(&format!("{}@home.test", "b".repeat(60)));
        assert!(long.starts_with("staff-bounces+h") && long.len() == "staff-bounces+h@x.test".len() + 20);
        assert_ne!(long, other);
        let longest = command_address(&address(&format!("{}@x.test", "l".repeat(48))), "bounces");
        assert!(copy_sender(&longest, &address("anna@home.test")).to_string().contains("-bounces+h"));
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
