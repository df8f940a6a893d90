//! The key that mail of a domain is to be signed with: made here when it is first needed, and never shown but for its public
//! half, as a TXT record (RFC 6376 section 3.6.1).

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa::{KeyPair, KeySize},
    signature::KeyPair as _,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use postern_mail::DomainName;

use crate::{Account, error::AccountError, store::checks};

/// Selector of the platform's keys.
const SELECTOR: &str = "postern1";

/// Where a domain's key stands.
pub(crate) fn record_name(domain: &DomainName) -> String {
    format!("{SELECTOR}._domainkey.{domain}")
}

/// The record that shows a key.
pub(crate) fn record_text(public_spki: &[u8]) -> String {
    format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(public_spki))
}

/// The `p=` of a record, without the white space that may be in it; `None`: this is no key record of ours to compare.
pub(crate) fn key_of(text: &str) -> Option<String> {
    let mut key = None;
    for tag in text.split(';') {
        let (name, value) = tag.split_once('=').unwrap_or((tag, ""));
        match (name.trim(), value.trim()) {
            ("v", version) if version != "DKIM1" => return None,
            ("k", kind) if kind != "rsa" => return None,
            ("p", value) => key = Some(value.split_whitespace().collect()),
            _ => {}
        }
    }
    key
}

impl Account {
    /// The record that a domain's key needs; the key is made when there is none.
    pub(super) async fn dkim_record(&self, domain: &DomainName) -> Result<String, AccountError> {
        if let Some(public) = checks::public_key(self.store.pool(), domain, SELECTOR).await? {
            return Ok(record_text(&public));
        }
        // Off the async threads: primes are searched for.
        let made = tokio::task::spawn_blocking(new_key).await;
        let (private, public) = made.ok().flatten().ok_or(AccountError::KeyGeneration)?;
        let public = checks::keep_key(self.store.pool(), domain, SELECTOR, &private, &public).await?;
        Ok(record_text(&public))
    }
}

/// An RSA-2048 key: PKCS#8 and SubjectPublicKeyInfo, both DER.
fn new_key() -> Option<(Vec<u8>, Vec<u8>)> {
    let pair = KeyPair::generate(KeySize::Rsa2048).ok()?;
    let private = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).ok()?;
    let public = AsDer::<PublicKeyX509Der<'_>>::as_der(pair.public_key()).ok()?;
    Some((private.as_ref().to_vec(), public.as_ref().to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_a_pair_and_its_record_reads_back() {
        let (private, public) = new_key().expect("a key");
        let read = KeyPair::from_pkcs8(&private).expect("PKCS#8");
        assert_eq!(read.public_modulus_len(), 256);
        let shown = AsDer::<PublicKeyX509Der<'_>>::as_der(read.public_key()).expect("DER");
        assert_eq!(shown.as_ref(), public);
        let record = record_text(&public);
        assert!(record.starts_with("v=DKIM1; k=rsa; p=MIIBIjAN"), "{record}");
        assert_eq!(key_of(&record).map(|key| STANDARD.decode(key).expect("base64")), Some(public));
    }

    #[test]
    fn records_that_show_no_rsa_key_have_none() {
        for (text, key) in [
            ("p=AB CD", Some("ABCD")),
            ("v=DKIM1;p=AB;t=s", Some("AB")),
            ("v=DKIM1; k=rsa; p=", Some("")),
            ("v=DKIM1; k=ed25519; p=AB", None),
            ("v=DKIM2; p=AB", None),
            ("hello", None),
        ] {
            assert_eq!(key_of(text).as_deref(), key, "{text}");
        }
    }
}
