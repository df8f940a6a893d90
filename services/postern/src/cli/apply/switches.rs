//! What changes of a domain itself. Pure.

use std::collections::BTreeSet;

use postern_proto::account::v1::Domain;

use crate::cli::document::{Dmarc, DomainSettings, Senders, Spam, key};

/// The domain as it should be, the paths that change, and the same in words.
pub(super) fn of_domain(
    name: &str,
    was: &DomainSettings,
    wanted: &DomainSettings,
) -> (Domain, Vec<&'static str>, String) {
    let mut domain = Domain { name: name.to_owned(), ..Domain::default() };
    let (mut paths, mut what) = (Vec::new(), Vec::new());
    if let Some(seconds) = wanted.grant_seconds.filter(|s| *s != was.grant_seconds.unwrap_or(0)) {
        domain.grant_ttl_seconds = Some(seconds).filter(|seconds| *seconds != 0);
        paths.push("grant_ttl_seconds");
        what.push(format!("grant_seconds {seconds}"));
    }
    if let Some(only) = wanted.auth_only.filter(|only| *only != was.auth_only.unwrap_or(false)) {
        domain.auth_only = only;
        paths.push("auth_only");
        what.push(format!("auth_only {only}"));
    }
    if let Some(plain) = wanted.plaintext_login.filter(|p| *p != was.plaintext_login.unwrap_or(false)) {
        domain.plaintext_login = plain;
        paths.push("plaintext_login");
        what.push(format!("plaintext_login {plain}"));
    }
    if let Some(dmarc) = wanted.dmarc.filter(|d| was.dmarc.unwrap_or(Dmarc::Note) != *d) {
        domain.dmarc_handling = dmarc.handling().into();
        paths.push("dmarc_handling");
        what.push(format!("dmarc {dmarc:?}").to_lowercase());
    }
    if let Some(senders) = wanted.senders.filter(|s| was.senders.unwrap_or(Senders::Owner) != *s) {
        domain.sender_policy = senders.policy().into();
        paths.push("sender_policy");
        what.push(format!("senders {senders:?}").to_lowercase());
    }
    let sorted = |logins: &Option<Vec<String>>| -> BTreeSet<String> {
        logins.iter().flatten().map(|login| login.to_lowercase()).collect()
    };
    if let Some(logins) = &wanted.allowed_senders
        && sorted(&wanted.allowed_senders) != sorted(&was.allowed_senders)
    {
        domain.allowed_senders.clone_from(logins);
        paths.push("allowed_senders");
        what.push(format!("allowed_senders {}", logins.join(" ")));
    }
    (domain, paths, what.join(", "))
}

/// The same of spam: apart, because the mailbox for it must be there first.
pub(super) fn of_spam(
    name: &str,
    was: &DomainSettings,
    wanted: &DomainSettings,
) -> (Domain, Vec<&'static str>, String) {
    let mut domain = Domain { name: name.to_owned(), ..Domain::default() };
    let (mut paths, mut what) = (Vec::new(), Vec::new());
    if let Some(spam) = wanted.spam.filter(|s| was.spam.unwrap_or(Spam::Mark) != *s) {
        domain.spam_handling = spam.handling().into();
        paths.push("spam_handling");
        what.push(format!("spam {spam:?}").to_lowercase());
    }
    let place = |settings: &DomainSettings| key(settings.spam_mailbox.as_deref().unwrap_or_default());
    if let Some(address) = wanted.spam_mailbox.as_ref().filter(|_| place(wanted) != place(was)) {
        domain.spam_mailbox.clone_from(address);
        paths.push("spam_mailbox");
        what.push(format!("spam_mailbox {address}"));
    }
    (domain, paths, what.join(", "))
}
