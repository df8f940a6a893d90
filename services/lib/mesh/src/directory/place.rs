//! What the directory's word about an address means to who wants to send there: one reading for the gateway that answers
//! RCPT and for the service that explains it.

use postern_mail::{EmailAddress, Reason};
use postern_proto::account::v1::{ListAddress, Resolution, resolution::Outcome};

/// Where an address is, as seen at RCPT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Taken here.
    Here,
    /// Here, and its box holds as much as it may.
    Full,
    /// Nobody.
    Nobody,
    /// Outside: only who may relay.
    Outside,
    /// Hosted and not in service: outside for those who may relay, "later" for strangers.
    NotLive,
    /// The answer says nothing.
    NoAnswer,
}

impl Place {
    /// Reads an answer of the directory.
    #[must_use]
    pub fn of(resolution: &Resolution) -> Self {
        match &resolution.outcome {
            Some(Outcome::Local(local)) if local.mailbox.as_ref().is_some_and(|mailbox| mailbox.full) => {
                Self::Full
            }
            Some(Outcome::Local(_) | Outcome::Discard(_)) => Self::Here,
            Some(Outcome::Unknown(_)) => Self::Nobody,
            Some(Outcome::Remote(_)) => Self::Outside,
            Some(Outcome::NotLive(_)) => Self::NotLive,
            None => Self::NoAnswer,
        }
    }

    /// Why nobody may send there now; `None`: it is taken, or is a question of relaying.
    #[must_use]
    pub fn refusal(self) -> Option<Reason> {
        match self {
            Self::Here | Self::Outside | Self::NotLive => None,
            Self::Full => Some(Reason::OverQuota),
            Self::Nobody => Some(Reason::NoSuchMailbox),
            // An answer that is none (R0).
            Self::NoAnswer => Some(Reason::Unavailable),
        }
    }

    /// Only who may relay may send there.
    #[must_use]
    pub fn needs_relay(self) -> bool {
        matches!(self, Self::Outside | Self::NotLive)
    }

    /// What RCPT says when relaying is refused for this reason (PROMISES.md, "Delegation").
    #[must_use]
    pub fn refused_relay(self, reason: Reason) -> Reason {
        match (self, reason) {
            (Self::NotLive, Reason::RelayProhibited) => Reason::DomainNotLive,
            (_, reason) => reason,
        }
    }
}

/// For whom mail of strangers to this address is counted (`InboundCount.recipient`): the box that gets it, so that a catch-all box
/// has one count, else the address. `None` where nothing is kept.
#[must_use]
pub fn inbound_recipient(address: &EmailAddress, resolution: &Resolution) -> Option<String> {
    match &resolution.outcome {
        Some(Outcome::Local(local)) => Some(match (&local.mailbox, &local.list) {
            (Some(mailbox), _) => format!("box:{}", mailbox.mailbox_id),
            // Each member's bounces have an address of their own: a large list brings many at once.
            (None, Some(list)) if list.role() != ListAddress::Post => {
                format!("address:{}", address.canonical())
            }
            (None, _) => {
                let address = address.canonical();
                format!("address:{}", address.without_tag().unwrap_or(address))
            }
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use postern_proto::account::v1::{
        DiscardOutcome, LocalList, LocalMailbox, LocalOutcome, NotLiveOutcome, RemoteOutcome, UnknownOutcome,
    };

    use super::*;

    #[test]
    fn each_answer_has_its_meaning_at_rcpt() {
        let local = |full| {
            let mailbox = Some(LocalMailbox { full, ..LocalMailbox::default() });
            Some(Outcome::Local(LocalOutcome { mailbox, ..LocalOutcome::default() }))
        };
        let (prohibited, later) = (Some(Reason::RelayProhibited), Some(Reason::DomainNotLive));
        for (outcome, refusal, relay) in [
            (local(false), None, None),
            (local(true), Some(Reason::OverQuota), None),
            (Some(Outcome::Local(LocalOutcome::default())), None, None),
            (Some(Outcome::Discard(DiscardOutcome {})), None, None),
            (Some(Outcome::Unknown(UnknownOutcome {})), Some(Reason::NoSuchMailbox), None),
            (Some(Outcome::Remote(RemoteOutcome {})), None, prohibited),
            (Some(Outcome::NotLive(NotLiveOutcome {})), None, later),
            (None, Some(Reason::Unavailable), None),
        ] {
            let place = Place::of(&Resolution { outcome, ..Resolution::default() });
            assert_eq!(place.refusal(), refusal, "{place:?}");
            let strangers = place.needs_relay().then(|| place.refused_relay(Reason::RelayProhibited));
            assert_eq!(strangers, relay, "{place:?}");
            assert_eq!(place.refused_relay(Reason::BudgetExhausted), Reason::BudgetExhausted);
        }
    }

    #[test]
    fn mail_is_counted_for_the_box_that_gets_it() {
        let counted = |outcome| {
            let address = "Info+news@Homepage.test".parse().expect("address");
            inbound_recipient(&address, &Resolution { outcome: Some(outcome), ..Resolution::default() })
        };
        let mailbox = Some(LocalMailbox { mailbox_id: 7, ..LocalMailbox::default() });
        let kept = LocalOutcome { mailbox, ..LocalOutcome::default() };
        assert_eq!(counted(Outcome::Local(kept)).as_deref(), Some("box:7"));
        let led_on = counted(Outcome::Local(LocalOutcome::default()));
        assert_eq!(led_on.as_deref(), Some("address:info@homepage.test"));
        let bounces = LocalList { role: ListAddress::Bounces.into(), ..LocalList::default() };
        let bounces = LocalOutcome { list: Some(bounces), ..LocalOutcome::default() };
        assert_eq!(counted(Outcome::Local(bounces)).as_deref(), Some("address:info+news@homepage.test"));
        assert_eq!(counted(Outcome::Discard(DiscardOutcome {})), None);
        assert_eq!(counted(Outcome::Remote(RemoteOutcome {})), None);
    }
}
