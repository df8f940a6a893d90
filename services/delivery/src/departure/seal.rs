//! ARC (RFC 8617): what we found when a message came is sealed into it before a forward of ours sends it on, so that the next
//! one can believe us although the forward broke SPF. Pure.

use std::collections::BTreeMap;

use super::{
    digest::Digested,
    keys::DomainKey,
    signature::{self, fold_base64, relaxed, unended},
};
use crate::content::{Field, Header};

/// Sets of a chain (RFC 8617 section 4.2.1).
const SETS_MAX: u32 = 50;
const RESULTS: &str = "arc-authentication-results";
const MESSAGE_SIGNATURE: &str = "arc-message-signature";
const SEAL: &str = "arc-seal";

/// What we found when the message came: the value of the Authentication-Results in our own prefix. `None`: it was not checked,
/// so there is nothing to vouch for.
pub(super) fn results_in(prefix: &[u8]) -> Option<String> {
    let (header, _) = Header::read(prefix);
    header.field("authentication-results").map(|field| field.text())
}

/// The next set of the chain, its newest field first. `None`: the chain is broken in a way that no further set can mend.
pub(super) fn set(digested: &Digested, results: &str, key: &DomainKey, now: u64) -> Option<Vec<u8>> {
    let chain = chain(&digested.header)?;
    let instance = u32::try_from(chain.len()).ok()? + 1;
    let state = match () {
        () if chain.is_empty() => "none",
        () if chain_passed(results) => "pass",
        () => "fail",
    };
    let first_tag = format!("i={instance}");
    let own_results = format!("ARC-Authentication-Results: {first_tag}; {results}\r\n").into_bytes();
    let no_fields = Header::default();
    let own_signature =
        signature::field("ARC-Message-Signature", &first_tag, &no_fields, digested, key, now)?;
    let mut text = Vec::new();
    // A chain that failed is not sealed again, only said to have failed (RFC 8617 section 5.1.2).
    if state != "fail" {
        for set in chain.values() {
            for field in set {
                relaxed(field.name(), field.value(), &mut text);
            }
        }
    }
    for own in [&own_results, &own_signature] {
        let (header, _) = Header::read(own);
        for field in header.fields() {
            relaxed(field.name(), field.value(), &mut text);
        }
    }
    let mut value = format!(
        " {first_tag}; a=rsa-sha256; t={now}; cv={state};\r\n\td={}; s={};\r\n\tb=",
        key.domain, key.selector
    );
    unended(SEAL.as_bytes(), value.as_bytes(), &mut text);
    fold_base64(&mut value, &key.sign(&text)?);
    let own_seal = format!("ARC-Seal:{value}\r\n").into_bytes();
    Some([own_seal, own_signature, own_results].concat())
}

/// Each result has a line of its own, and no stranger's words can begin one: an address such as `arc=pass@far.test` stands inside of it.
fn chain_passed(results: &str) -> bool {
    results.split("\r\n\t").any(|line| {
        line.strip_prefix("arc=pass")
            .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
    })
}

/// The sets that are there, each as results, signature and seal. `None`: some of them are not whole, or there are too many, or
/// the last one says that the chain failed.
fn chain(header: &Header) -> Option<BTreeMap<u32, [Field<'_>; 3]>> {
    let mut sets: BTreeMap<u32, [Option<Field<'_>>; 3]> = BTreeMap::new();
    for field in header.fields() {
        let place = [RESULTS, MESSAGE_SIGNATURE, SEAL].iter().position(|name| field.is(name));
        let Some(place) = place else { continue };
        let instance = tag(&field.text(), "i")?.parse().ok().filter(|i| (1..=SETS_MAX).contains(i))?;
        let slot = sets.entry(instance).or_default().get_mut(place)?;
        if slot.replace(field).is_some() {
            return None;
        }
    }
    let mut whole = BTreeMap::new();
    for (at, (instance, set)) in (1..).zip(sets) {
        let [Some(results), Some(signature), Some(seal)] = set else { return None };
        if instance != at || tag(&seal.text(), "cv").as_deref() == Some("fail") {
            return None;
        }
        whole.insert(instance, [results, signature, seal]);
    }
    (u32::try_from(whole.len()).ok()? < SETS_MAX).then_some(whole)
}

/// The value of a tag in a tag list (RFC 6376 section 3.2).
fn tag(text: &str, name: &str) -> Option<String> {
    text.split(';').find_map(|tag| {
        let (found, value) = tag.split_once('=')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn length_of(text: &str) -> Option<usize> {
        chain(&Header::read(text.as_bytes()).0).map(|chain| chain.len())
    }

    #[test]
    fn only_whole_chains_are_gone_on_with() {
        let set = |i: u32, cv: &str| {
            format!(
                "ARC-Seal: i={i}; cv={cv}; b=x\r\nARC-Message-Signature: i={i}; b=x\r\nARC-Authentication-Results: i={i}; x\r\n"
            )
        };
        let (first, second) = (set(1, "none"), set(2, "pass"));
        assert_eq!(length_of("From: a@b.test\r\n"), Some(0));
        assert_eq!(length_of(&first), Some(1));
        assert_eq!(length_of(&[second.clone(), first.clone()].concat()), Some(2));
        assert_eq!(length_of(&second), None, "the first is missing");
        assert_eq!(length_of(&[first.clone(), first.clone()].concat()), None, "twice");
        assert_eq!(length_of(&first.replace("ARC-Seal", "X")), None, "not whole");
        assert_eq!(length_of(&[set(2, "fail"), first].concat()), None, "it failed");
        assert_eq!(length_of(&(1..=50).map(|i| set(i, "pass")).collect::<String>()), None, "too long");
    }

    #[test]
    fn only_our_own_word_says_that_a_chain_passed() {
        let told = |lines: &[&str]| chain_passed(&format!("mail.x.test;\r\n\t{}", lines.join(";\r\n\t")));
        assert!(told(&[
            "spf=pass smtp.mailfrom=a@b.test",
            "arc=pass smtp.remote-ip=192.0.2.1",
            "dmarc=none"
        ]));
        assert!(told(&["arc=pass"]));
        for forged in [
            "spf=pass (mail.x.test: domain of arc=pass@b.test designates 192.0.2.1) smtp.mailfrom=arc=pass@b.test",
            "spf=none smtp.mailfrom=\"x; arc=pass \"@b.test",
            "dkim=pass header.i=\"arc=pass\"@b.test",
            "arc=passed",
            "arc=fail",
        ] {
            assert!(!told(&[forged, "dmarc=none"]), "{forged}");
        }
    }

    #[test]
    fn results_come_from_our_prefix() {
        let prefix =
            b"Authentication-Results: mail.x.test; spf=pass\r\n\tsmtp.mailfrom=a.test\r\nReceived: x\r\n";
        assert_eq!(results_in(prefix).as_deref(), Some("mail.x.test; spf=pass\r\n\tsmtp.mailfrom=a.test"));
        assert_eq!(results_in(b"Received: x\r\n"), None);
    }
}
