//! How a caller is written down and signed.
//!
//! Form: `v2.<payload>.<tag>`, both base64url without padding; the payload is seven lines (expiry seconds, role, subject,
//! customer, mailbox id, client address, scopes), the tag its HMAC-SHA256 with the [`MeshKey`].

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::hmac;
use thiserror::Error;

use super::{Caller, MeshKey, Role, Scopes};
use crate::clock::unix_seconds;

/// Metadata key that carries the assertion.
pub const ASSERTION_METADATA: &str = "postern-assertion";
/// Life of an assertion, seconds.
pub const ASSERTION_SECONDS: u64 = 60;
/// How far the clock of the signer may be ahead of ours, seconds.
const CLOCK_SKEW_SECONDS: u64 = 30;
/// Longest assertion that is looked at, octets.
const ASSERTION_MAX_BYTES: usize = 4096;

/// Why an assertion is not believed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AssertionError {
    /// Not of the form.
    #[error("malformed assertion")]
    Malformed,
    /// Signed with another key, or changed.
    #[error("the signature of the assertion does not fit")]
    WrongSignature,
    /// Its 60 seconds are over, or the clocks differ.
    #[error("the assertion has expired, or the clocks differ")]
    Expired,
}

/// A believed assertion and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) caller: Caller,
    /// Seconds of the Unix epoch.
    pub(crate) expires: u64,
}

impl MeshKey {
    /// Says for the next 60 seconds: the bearer is this caller. Control characters in names become spaces, and they are cut
    /// at 128 characters.
    #[must_use]
    pub fn assertion(&self, caller: &Caller) -> String {
        self.assertion_until(caller, unix_seconds() + ASSERTION_SECONDS)
    }

    fn assertion_until(&self, caller: &Caller, expires: u64) -> String {
        let line = |text: &str| -> String {
            text.chars().take(128).map(|c| if c.is_control() { ' ' } else { c }).collect()
        };
        let payload = [
            expires.to_string(),
            caller.role.as_str().to_owned(),
            line(&caller.subject),
            line(&caller.customer),
            caller.mailbox_id.to_string(),
            caller.peer.map(|peer| peer.to_string()).unwrap_or_default(),
            caller.scopes.to_line(),
        ]
        .join("\n");
        let tag = hmac::sign(&self.0, payload.as_bytes());
        format!("v2.{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Believes an assertion or says why not.
    ///
    /// # Errors
    /// Malformed, wrong signature, or expired.
    pub fn verify(&self, text: &str) -> Result<Caller, AssertionError> {
        self.verify_at(text, unix_seconds()).map(|verified| verified.caller)
    }

    pub(crate) fn verify_at(&self, text: &str, now: u64) -> Result<Verified, AssertionError> {
        use AssertionError::{Expired, Malformed, WrongSignature};
        if text.len() > ASSERTION_MAX_BYTES {
            return Err(Malformed);
        }
        let (payload, tag) = text.strip_prefix("v2.").and_then(|t| t.split_once('.')).ok_or(Malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Malformed)?;
        // ring compares in constant time.
        hmac::verify(&self.0, &payload, &tag).map_err(|_| WrongSignature)?;
        let payload = String::from_utf8(payload).map_err(|_| Malformed)?;
        let lines: Vec<&str> = payload.split('\n').collect();
        let [expires, role, subject, customer, mailbox_id, peer, scopes] = lines[..] else {
            return Err(Malformed);
        };
        let expires: u64 = expires.parse().map_err(|_| Malformed)?;
        if expires <= now || expires > now + ASSERTION_SECONDS + CLOCK_SKEW_SECONDS {
            return Err(Expired);
        }
        let peer = match peer {
            "" => None,
            peer => Some(peer.parse().map_err(|_| Malformed)?),
        };
        let caller = Caller {
            subject: subject.to_owned(),
            role: Role::parse(role).ok_or(Malformed)?,
            customer: customer.to_owned(),
            mailbox_id: mailbox_id.parse().map_err(|_| Malformed)?,
            peer,
            scopes: Scopes::from_line(scopes).ok_or(Malformed)?,
        };
        Ok(Verified { caller, expires })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Area;

    const NOW: u64 = 1_800_000_000;

    fn service(name: &str) -> Caller {
        Caller::new(name, Role::Service)
    }

    #[test]
    fn what_was_signed_is_believed_for_its_time_only() {
        let key = MeshKey::random();
        let text = key.assertion_until(&service("smtp-gateway"), NOW + 60);
        let verified = key.verify_at(&text, NOW).expect("believed");
        assert_eq!(verified.caller, service("smtp-gateway"));
        assert!(key.verify_at(&text, NOW + 59).is_ok());
        assert_eq!(key.verify_at(&text, NOW + 60).unwrap_err(), AssertionError::Expired);
        // A clock that is far behind: the life that is left would be longer than any that we give.
        assert_eq!(key.verify_at(&text, NOW - 31).unwrap_err(), AssertionError::Expired);
        assert!(key.verify_at(&text, NOW - 30).is_ok());
    }

    #[test]
    fn every_part_of_a_caller_arrives() {
        let key = MeshKey::random();
        let scopes = Scopes::parse(&["mailboxes:write", "*:read"]).expect("scopes");
        for caller in [
            Caller::new("alice", Role::Operator),
            Caller { peer: Some("203.0.113.9".parse().expect("ip")), ..Caller::new("bob", Role::Support) },
            Caller { scopes, ..Caller::customer("token 7", "homepage") },
            Caller { scopes: Scopes::parse::<&str>(&[]).expect("none"), ..Caller::customer("x", "homepage") },
            Caller {
                peer: Some("2001:db8::1".parse().expect("ip")),
                ..Caller::mailbox("a@b.test", "homepage", 42)
            },
        ] {
            assert_eq!(key.verify(&key.assertion(&caller)).expect("believed"), caller);
        }
    }

    #[test]
    fn any_change_is_noticed() {
        let key = MeshKey::random();
        let text = key.assertion_until(&service("panel"), NOW + 60);
        let dot = text.rfind('.').expect("tag");
        let raised = URL_SAFE_NO_PAD.encode(format!("{}\noperator\npanel\n\n0\n\nunbound", NOW + 60));
        let forged = format!("v2.{raised}{}", &text[dot..]);
        assert_eq!(key.verify_at(&forged, NOW).unwrap_err(), AssertionError::WrongSignature);
        assert_eq!(MeshKey::random().verify_at(&text, NOW).unwrap_err(), AssertionError::WrongSignature);
        for at in 3..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(key.verify_at(&changed, NOW).is_err(), "octet {at}");
        }
    }

    #[test]
    fn junk_is_refused_without_a_panic() {
        let key = MeshKey::random();
        let signed = |payload: &str| {
            let tag = hmac::sign(&key.0, payload.as_bytes());
            format!("v2.{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag.as_ref()))
        };
        let soon = NOW + 1;
        for bad in [
            "",
            "v2.",
            "v2..",
            "v1.a.b",
            "v2.é.é",
            &"v2.".repeat(5000),
            &signed(""),
            &signed("x\nservice\ny\n\n0\n\nunbound"),
            &signed(&format!("{soon}\nservice\ny")),
            &signed(&format!("{soon}\nroot\ny\n\n0\n\nunbound")),
            &signed(&format!("{soon}\nservice\ny\n\nx\n\nunbound")),
            &signed(&format!("{soon}\nservice\ny\n\n0\nhost\nunbound")),
            &signed(&format!("{soon}\nservice\ny\n\n0\n\nall")),
            &signed("99999999999999999999\nservice\ny\n\n0\n\nunbound"),
        ] {
            assert!(key.verify_at(bad, NOW).is_err(), "{bad}");
        }
        assert!(key.verify_at(&signed(&format!("{soon}\nservice\ny\n\n0\n\nunbound")), NOW).is_ok());
    }

    #[test]
    fn a_name_cannot_smuggle_a_line_and_the_longest_one_is_believed() {
        let key = MeshKey::random();
        let caller = key.verify(&key.assertion(&service("a\noperator\nb"))).expect("believed");
        assert_eq!(caller, service("a operator b"));
        let long = "\u{10348}".repeat(500);
        let all: Vec<String> = Area::SCOPED
            .iter()
            .flat_map(|a| [format!("{}:read", a.name()), format!("{}:write", a.name())])
            .collect();
        let scopes = Scopes::parse(&all).expect("scopes");
        let caller = Caller { scopes, ..Caller::customer(long.clone(), long) };
        assert!(key.verify(&key.assertion(&caller)).is_ok());
    }
}
