//! The envelope, checked once at the edge.

use postern_mail::{EmailAddress, MessageId, PeerIp, Reason, ReversePath, limits};
use postern_mesh::failure;
use postern_proto::delivery::v1::Envelope;
use tonic::Status;

use crate::accept::MessageFlags;

/// A message as it was announced.
#[derive(Debug)]
pub(super) struct Submission {
    pub(super) id: MessageId,
    pub(super) sender: ReversePath,
    /// One at least, none twice.
    pub(super) recipients: Vec<EmailAddress>,
    /// `None` when a part of ours submits.
    pub(super) peer: Option<PeerIp>,
    pub(super) declared_bytes: Option<u64>,
    pub(super) flags: MessageFlags,
    /// The rest, for Received and for routing.
    pub(super) envelope: Envelope,
}

impl Submission {
    /// # Errors
    /// INVALID_ARGUMENT with the name of the field.
    pub(super) fn from_envelope(envelope: Envelope) -> Result<Self, Status> {
        let invalid = |detail: String| failure::status_with(Reason::InvalidArgument, detail);
        let id = MessageId::try_from(&envelope.message_id[..])
            .map_err(|_| invalid("message_id: 16 octets, not all zero".to_owned()))?;
        let sender = envelope.sender.parse().map_err(|error| invalid(format!("sender: {error}")))?;
        if envelope.recipients.is_empty() || envelope.recipients.len() > limits::RECIPIENTS_MAX {
            return Err(invalid(format!("recipients: 1 to {}", limits::RECIPIENTS_MAX)));
        }
        let mut recipients = Vec::with_capacity(envelope.recipients.len());
        for (position, recipient) in envelope.recipients.iter().enumerate() {
            let recipient: EmailAddress =
                recipient.parse().map_err(|error| invalid(format!("recipients[{position}]: {error}")))?;
            recipients.push(recipient);
        }
        let peer = match envelope.peer_ip.as_str() {
            "" => None,
            text => Some(text.parse().map_err(|error| invalid(format!("peer_ip: {error}")))?),
        };
        let declared_bytes = envelope.declared_size_bytes.map(|bytes| bytes.max(0).cast_unsigned());
        let flags = MessageFlags {
            eight_bit: envelope.eight_bit,
            smtp_utf8: envelope.smtp_utf8,
            authenticated: envelope.submitter.is_some(),
            ..MessageFlags::default()
        };
        Ok(Self { id, sender, recipients, peer, declared_bytes, flags, envelope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Envelope {
        Envelope {
            message_id: MessageId::new().as_bytes().to_vec().into(),
            sender: "a@x.test".to_owned(),
            recipients: vec!["b@y.test".to_owned()],
            peer_ip: "::ffff:203.0.113.9".to_owned(),
            ..Envelope::default()
        }
    }

    #[test]
    fn a_good_envelope_becomes_types() {
        let submission = Submission::from_envelope(good()).expect("good");
        assert_eq!(submission.peer.expect("a peer").to_string(), "203.0.113.9");
        let null = Submission::from_envelope(Envelope { sender: String::new(), ..good() }).expect("good");
        assert_eq!(null.sender, ReversePath::Null);
    }

    #[test]
    fn a_bad_field_is_named() {
        let many = vec!["b@y.test".to_owned(); 1001];
        for (envelope, field) in [
            (Envelope { message_id: vec![0; 16].into(), ..good() }, "message_id"),
            (Envelope { sender: "a".to_owned(), ..good() }, "sender"),
            (Envelope { recipients: Vec::new(), ..good() }, "recipients"),
            (Envelope { recipients: many, ..good() }, "recipients"),
            (Envelope { recipients: vec!["b@y.test".to_owned(), "x".to_owned()], ..good() }, "recipients[1]"),
            (Envelope { peer_ip: "here".to_owned(), ..good() }, "peer_ip"),
        ] {
            let status = Submission::from_envelope(envelope).expect_err(field);
            assert!(status.message().starts_with(&format!("{field}:")), "{}", status.message());
        }
    }
}
