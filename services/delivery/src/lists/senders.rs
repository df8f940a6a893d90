//! Envelope senders of what a list sends (VERP): what comes back to them tells whose copy, or which probe, failed. Pure.

use std::fmt::Write as _;

use postern_mail::{EmailAddress, limits::LOCAL_PART_MAX_BYTES};
use ring::digest;

/// Hex digits that name a member whose address does not fit.
const DIGEST_MAX_CHARS: usize = 20;

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

/// Another local part at the same domain; `None` where it is none.
pub(super) fn with_local(address: &EmailAddress, local: &str) -> Option<EmailAddress> {
    let domain = address.domain();
    let quoted = || format!("\"{}\"@{domain}", local.replace('\\', "\\\\").replace('"', "\\\""));
    format!("{local}@{domain}").parse().or_else(|_| quoted().parse()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> EmailAddress {
        text.parse().expect(text)
    }

    #[test]
    fn l_01_every_member_has_a_sender_of_its_own() {
        let bounces = address("staff-bounces@x.test");
        assert_eq!(bounces.to_string(), "staff-bounces@x.test");
        let sender = |member: &str| copy_sender(&bounces, &address(member)).to_string();
        assert_eq!(sender("Anna+a@home.test"), "staff-bounces+anna+a=home.test@x.test");
        assert_eq!(sender("\"a b\"@home.test"), "\"staff-bounces+a b=home.test\"@x.test");
        let long = sender(&format!("{}@home.test", "a".repeat(60)));
        let other = sender(&format!("{}@home.test", "b".repeat(60)));
        assert!(long.starts_with("staff-bounces+h") && long.len() == "staff-bounces+h@x.test".len() + 20);
        assert_ne!(long, other);
        let longest = address(&format!("{}-bounces@x.test", "l".repeat(48)));
        assert!(copy_sender(&longest, &address("anna@home.test")).to_string().contains("-bounces+h"));
    }

    proptest! {
        #[test]
        fn every_sender_is_an_address_that_leads_back(
            list in "[a-z0-9.+-]{1,60}",
            member in "(\\PC{1,40}|\"\\PC{1,40}\")@[a-z]{1,9}\\.test",
        ) {
            let (Ok(bounces), Ok(member)) = (format!("{list}@x.test").parse::<EmailAddress>(), member.parse()) else {
                return Ok(());
            };
            let sender = copy_sender(&bounces, &member);
            prop_assert_eq!(sender.to_string().parse(), Ok(sender.clone()));
            prop_assert_eq!(sender.domain(), bounces.domain());
            prop_assert_ne!(probe_sender(&bounces, "abc"), sender.clone());
            let member = member.canonical();
            let tag = format!("+{}={}", member.local(), member.domain());
            let led_back = sender.local().strip_prefix(bounces.local()) == Some(&tag);
            prop_assert!(led_back || bounces.local().len() + tag.len() > LOCAL_PART_MAX_BYTES);
        }
    }
}
