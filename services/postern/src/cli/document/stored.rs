//! Settings in the form in which the platform keeps them, so that a document that says the same in other words changes nothing.
//! Pure.

use super::{AutoresponderSettings, Document, DomainSettings};

const NANOS_PER_MICRO: i128 = 1000;

impl Document {
    /// Blanks around texts are no part of them, a list without an owner has the postmaster, times have microseconds.
    pub(super) fn into_stored(mut self) -> Self {
        self.domains.iter_mut().for_each(domain);
        self
    }
}

fn domain(domain: &mut DomainSettings) {
    for mailbox in &mut domain.mailboxes {
        trim(mailbox.name.as_mut());
    }
    for list in &mut domain.lists {
        trim(list.subject_prefix.as_mut());
        trim(list.description.as_mut());
        if list.owner.as_deref() == Some("") {
            list.owner = Some(format!("postmaster@{}", domain.name));
        }
    }
    domain.autoresponders.iter_mut().for_each(autoresponder);
}

fn autoresponder(autoresponder: &mut AutoresponderSettings) {
    trim(Some(&mut autoresponder.subject));
    autoresponder.interval_seconds = autoresponder.interval_seconds.filter(|seconds| *seconds != 0);
    for moment in [&mut autoresponder.start, &mut autoresponder.end].into_iter().flatten() {
        let whole = moment.as_nanosecond().div_euclid(NANOS_PER_MICRO) * NANOS_PER_MICRO;
        *moment = jiff::Timestamp::from_nanosecond(whole).unwrap_or(*moment);
    }
}

fn trim(text: Option<&mut String>) {
    if let Some(text) = text {
        *text = text.trim().to_owned();
    }
}
