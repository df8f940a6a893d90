//! Addresses and domains: one form each, no longer than allowed, and nothing in them that breaks a line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use postern_mail::{DomainName, EmailAddress, ReversePath};

fuzz_target!(|text: &str| {
    if let Ok(domain) = text.parse::<DomainName>() {
        let shown = domain.as_str();
        assert!(shown.len() <= 253 && shown.contains('.'));
        assert!(shown.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c)));
        assert_eq!(shown.parse().as_ref(), Ok(&domain));
        assert_eq!(shown.to_uppercase().parse().as_ref(), Ok(&domain));
    }
    if let Ok(address) = text.parse::<EmailAddress>() {
        for form in [address.clone(), address.canonical(), address.lookup_form()] {
            let shown = form.to_string();
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
            assert_eq!(form.is_ascii(), shown.is_ascii());
        }
        let shown = address.to_string();
        assert!(shown.len() <= 254);
        assert_eq!(shown.parse().as_ref(), Ok(&address), "{shown:?}");
        assert_eq!(shown.parse(), Ok(ReversePath::Address(address.clone())));
        assert_eq!(address.canonical().canonical(), address.canonical());
        assert_eq!(address.lookup_form().lookup_form(), address.lookup_form());
        if let Some(whole) = address.without_tag() {
            assert!(!whole.local().is_empty() && address.local().starts_with(whole.local()));
            assert_eq!(whole.without_tag(), None);
        }
    }
});
