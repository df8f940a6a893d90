//! What one commit holds: a message, its entries, its queue rows, and queue rows that end with it.
//!
//! Built by `grpc/submission` and by `bounce`, written by [`super::Acceptor`].

use std::net::IpAddr;

use bytes::Bytes;
use postern_mail::{EmailAddress, MessageId, ReversePath};
use postern_smtp::dsn::{MessageDsn, RecipientDsn};

use crate::{
    route::{PlannedEntry, PlannedErrand, PlannedRemote},
    trace::Story,
};

/// Everything that becomes durable together.
#[derive(Clone, Debug)]
pub struct AcceptUnit {
    /// The message; stored once for all recipients.
    pub message: NewMessage,
    /// One for each mailbox that gets it.
    pub entries: Vec<PlannedEntry>,
    /// One for each recipient that it must leave for, and one for each errand.
    pub queue: Vec<NewQueueRow>,
    /// Queue rows (of other messages) that are removed in the same transaction: those that a bounce answers. Unless all of them
    /// are leased to us, nothing is stored.
    pub finished_queue_ids: Vec<i64>,
    /// What becomes of it, as far as it is known now, and why those rows ended.
    pub story: Story,
}

/// A message about to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// The key by which a repeated submission is known.
    pub id: MessageId,
    /// Envelope sender.
    pub sender: ReversePath,
    /// Header fields of ours for all recipients, each ending with CRLF.
    pub prefix: Bytes,
    /// The content, or where it was put.
    pub content: StoredContent,
    /// Octets of the content.
    pub content_bytes: u64,
    /// Octets of prefix and content in plain form (`content::plain`); `None`: it is as it is stored.
    pub plain_bytes: Option<u64>,
    /// CRC-32C of the content.
    pub checksum: u32,
    /// What else is known of it.
    pub flags: MessageFlags,
    /// Customer on whose behalf it was submitted.
    pub customer: Option<String>,
    /// Login that submitted it.
    pub login: Option<String>,
    /// Client that submitted it.
    pub peer_ip: Option<IpAddr>,
    /// What its sender wants to hear of it.
    pub dsn: MessageDsn,
    /// The trace that it was accepted in (`trace_context::current`); attempts to send it, perhaps days later, go on with it.
    pub traceparent: Option<String>,
}

/// Where content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoredContent {
    /// In the message row.
    Inline(Bytes),
    /// In the blob store, complete.
    Blob {
        /// Its key there.
        key: String,
    },
}

/// Properties of a message that its sender declared or that we know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MessageFlags {
    /// BODY=8BITMIME.
    pub eight_bit: bool,
    /// It came with SMTPUTF8, and its header needs that to travel on.
    pub smtp_utf8: bool,
    /// Submitted by AUTH or grant.
    pub authenticated: bool,
    /// A bounce that we made.
    pub bounce: bool,
    /// It was checked, and neither SPF nor a signature showed that its sender sent it.
    pub unproven: bool,
}

impl MessageFlags {
    /// As `messages.flags` holds them.
    #[must_use]
    pub fn bits(self) -> i16 {
        i16::from(self.eight_bit)
            | i16::from(self.smtp_utf8) << 1
            | i16::from(self.authenticated) << 2
            | i16::from(self.bounce) << 3
            | i16::from(self.unproven) << 4
    }

    /// From `messages.flags`.
    #[must_use]
    pub fn from_bits(bits: i16) -> Self {
        Self {
            eight_bit: bits & 1 != 0,
            smtp_utf8: bits & 2 != 0,
            authenticated: bits & 4 != 0,
            bounce: bits & 8 != 0,
            unproven: bits & 16 != 0,
        }
    }
}

/// What kind of work a queue row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QueueClass {
    /// Mail of a client.
    #[default]
    Mail,
    /// A bounce or an answer of ours.
    Bounce,
    /// A copy of a mailing list, for one member: it leaves after mail, with a sender of its own.
    ListCopy,
    /// Errand: a post to a list is to be given to its members.
    ListPost,
    /// Errand: somebody wants to be a member.
    ListSubscribe,
    /// Errand: somebody wants to be a member no longer.
    ListUnsubscribe,
    /// Errand: a token comes back, or somebody asks for help.
    ListRequest,
    /// Errand: an autoresponder is to answer.
    Autoreply,
}

impl QueueClass {
    const ALL: [Self; 8] = [
        Self::Mail,
        Self::Bounce,
        Self::ListCopy,
        Self::ListPost,
        Self::ListSubscribe,
        Self::ListUnsubscribe,
        Self::ListRequest,
        Self::Autoreply,
    ];

    /// As `queue.class` holds it.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::Mail => 0,
            Self::Bounce => 1,
            Self::ListCopy => 2,
            Self::ListPost => 3,
            Self::ListSubscribe => 4,
            Self::ListUnsubscribe => 5,
            Self::ListRequest => 6,
            Self::Autoreply => 7,
        }
    }

    /// From `queue.class`; `None`: a later version wrote it.
    #[must_use]
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.code() == code)
    }

    /// True for work inside the house: nothing leaves by this row itself.
    #[must_use]
    pub fn is_errand(self) -> bool {
        match self {
            Self::Mail | Self::Bounce | Self::ListCopy => false,
            Self::ListPost
            | Self::ListSubscribe
            | Self::ListUnsubscribe
            | Self::ListRequest
            | Self::Autoreply => true,
        }
    }

    /// True when the sender of the message is told that it failed. A member's failure is the list's affair, and nobody
    /// waits for an answer that we owe of ourselves.
    #[must_use]
    pub fn is_told(self) -> bool {
        matches!(self, Self::Mail | Self::Bounce | Self::ListPost)
    }
}

/// A queue row about to be born, leased to this replica.
#[derive(Clone, Debug)]
pub struct NewQueueRow {
    /// Where it must go; of an errand the address that the message came for.
    pub recipient: EmailAddress,
    /// Our address that forwarded it, if one did.
    pub via: Option<EmailAddress>,
    /// What kind of work it is.
    pub class: QueueClass,
    /// The list or autoresponder that an errand is about.
    pub subject_id: Option<i64>,
    /// What else an errand needs (the token of a request).
    pub note: Option<String>,
    /// Who owns the address of ours that brings it about (a forward, a list, an autoresponder); `None`: it is the customer's whose
    /// message it is.
    pub customer: Option<String>,
    /// What the sender wants to hear of this recipient.
    pub dsn: RecipientDsn,
}

impl NewQueueRow {
    /// A row with nothing but the address that it is for.
    #[must_use]
    pub fn to(recipient: EmailAddress, class: QueueClass) -> Self {
        Self {
            recipient,
            via: None,
            class,
            subject_id: None,
            note: None,
            customer: None,
            dsn: RecipientDsn::default(),
        }
    }

    /// A copy that leaves.
    #[must_use]
    pub fn leaving(remote: PlannedRemote, class: QueueClass) -> Self {
        let PlannedRemote { recipient, via } = remote;
        Self { via, ..Self::to(recipient, class) }
    }
}

impl From<PlannedErrand> for NewQueueRow {
    fn from(errand: PlannedErrand) -> Self {
        let PlannedErrand { class, recipient, subject_id, note } = errand;
        Self { subject_id: Some(subject_id), note, ..Self::to(recipient, class) }
    }
}

/// The answer: it is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Ids of the new queue rows, in the order of the unit's `queue`. Empty when it had been stored before.
    pub queue_ids: Vec<i64>,
    /// Nothing was done now: this message had been stored before, or what it ends is not ours any more.
    pub repeated: bool,
}

impl AcceptUnit {
    /// Octets that travel to the database with it, roughly.
    pub(crate) fn carried_bytes(&self) -> usize {
        let content = match &self.message.content {
            StoredContent::Inline(content) => content.len(),
            StoredContent::Blob { .. } => 0,
        };
        let rows = 1 + self.entries.len() + self.queue.len() + self.story.lines.len();
        content + self.message.prefix.len() + 256 * rows
    }

    /// What holds on to the message: entries and queue rows.
    pub(crate) fn references(&self) -> i32 {
        i32::try_from(self.entries.len() + self.queue.len()).unwrap_or(i32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_code_of_its_own() {
        for class in QueueClass::ALL {
            assert_eq!(QueueClass::from_code(class.code()), Some(class));
        }
        assert_eq!(QueueClass::from_code(99), None);
    }
}
