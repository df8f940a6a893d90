//! What the sender of a submission wants to hear of each recipient (RFC 3461), and what there is to be told at once.
//!
//! A wish belongs to an address of the envelope. Routing may have led it elsewhere: a copy that leaves carries the wish of the
//! address it came through, and with one address in the envelope everything is that one's.

use std::collections::HashMap;

use postern_mail::EmailAddress;
use postern_smtp::dsn::RecipientDsn;

use super::envelope::Submission;
use crate::{
    accept::{NewQueueRow, QueueClass},
    bounce::{Action, Fate},
    route::{FailedRecipient, PlannedEntry, PlannedRemote},
};

/// Wishes by canonical address.
pub(super) struct RecipientWishes<'a> {
    by_address: HashMap<EmailAddress, &'a RecipientDsn>,
    /// Of the only recipient.
    only: Option<&'a RecipientDsn>,
    nothing: RecipientDsn,
}

impl<'a> RecipientWishes<'a> {
    pub(super) fn of(submission: &'a Submission) -> Self {
        let wishes = submission.recipients.iter().zip(&submission.recipient_dsn);
        let only = match &submission.recipient_dsn[..] {
            [only] if submission.recipients.len() == 1 => Some(only),
            _ => None,
        };
        let by_address = wishes.map(|(recipient, dsn)| (recipient.canonical(), dsn)).collect();
        Self { by_address, only, nothing: RecipientDsn::default() }
    }

    fn at(&self, address: &EmailAddress) -> Option<&'a RecipientDsn> {
        if self.by_address.is_empty() {
            return None;
        }
        self.by_address.get(&address.canonical()).copied()
    }

    fn wish(&self, address: &EmailAddress, via: Option<&EmailAddress>) -> &RecipientDsn {
        let found = self.at(address).or_else(|| self.at(via?)).or(self.only);
        found.unwrap_or(&self.nothing)
    }

    /// A copy that leaves, with the wish of the address that it is for or came through.
    pub(super) fn leaving(&self, remote: PlannedRemote) -> NewQueueRow {
        let dsn = self.wish(&remote.recipient, remote.via.as_ref()).clone();
        NewQueueRow { dsn, ..NewQueueRow::leaving(remote, QueueClass::Mail) }
    }

    /// What the sender is told now: who failed, unless it does not want to hear of that, and who got it, if it does.
    pub(super) fn fates(
        &self,
        failed: &[FailedRecipient],
        entries: &[PlannedEntry],
        queue: &[NewQueueRow],
    ) -> Vec<Fate> {
        let mut fates: Vec<Fate> = failed
            .iter()
            .map(|failed| (failed, self.wish(&failed.recipient, None)))
            .filter(|(_, dsn)| dsn.wants_failure())
            .map(|(failed, dsn)| Fate::of_routing(failed, dsn))
            .collect();
        let mut arrived: Vec<EmailAddress> =
            entries.iter().filter_map(|entry| entry.delivered_to.parse().ok()).collect();
        // What a list or an autoresponder takes is at its end too (RFC 3461 section 5.2.7.3).
        let taken = queue.iter().filter(|row| row.class.is_errand());
        for row in taken {
            if !arrived.contains(&row.recipient) {
                arrived.push(row.recipient.clone());
            }
        }
        for address in arrived {
            let dsn = self.wish(&address, None);
            if dsn.wants_success() {
                fates.push(Fate::here(address, dsn, Action::Delivered, (2, 0, 0), ""));
            }
        }
        fates
    }
}
