//! The envelope, checked once at the edge.

use postern_mail::{EmailAddress, MessageId, PeerIp, Reason, ReversePath, limits};
use postern_mesh::failure;
use postern_proto::delivery::v1::{self as wire, Envelope};
use postern_smtp::dsn::{MessageDsn, Notify, RecipientDsn, ReturnContent, is_original_recipient, is_xtext};
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
    /// What its sender wants to hear of it.
    pub(super) dsn: MessageDsn,
    /// Empty, or one for each recipient.
    pub(super) recipient_dsn: Vec<RecipientDsn>,
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
        let (dsn, recipient_dsn) = wishes(&envelope).map_err(invalid)?;
        Ok(Self { id, sender, recipients, peer, declared_bytes, flags, dsn, recipient_dsn, envelope })
    }
}

/// RFC 3461, as the gateway read it.
fn wishes(envelope: &Envelope) -> Result<(MessageDsn, Vec<RecipientDsn>), String> {
    let return_content = match envelope.return_content() {
        wire::ReturnContent::Unspecified => None,
        wire::ReturnContent::Full => Some(ReturnContent::Full),
        wire::ReturnContent::Headers => Some(ReturnContent::Headers),
    };
    let envelope_id = Some(envelope.envelope_id.clone()).filter(|id| !id.is_empty());
    if envelope_id.as_deref().is_some_and(|id| !is_xtext(id)) {
        return Err("envelope_id: xtext".to_owned());
    }
    if !envelope.notifications.is_empty() && envelope.notifications.len() != envelope.recipients.len() {
        return Err("notifications: none, or one for each recipient".to_owned());
    }
    let mut recipient_dsn = Vec::with_capacity(envelope.notifications.len());
    for (position, asked) in envelope.notifications.iter().enumerate() {
        let notify = match asked.notify.as_str() {
            "" => None,
            text => Some(
                Notify::parse(text).ok_or_else(|| format!("notifications[{position}].notify: RFC 3461"))?,
            ),
        };
        let original_recipient = Some(asked.original_recipient.clone()).filter(|text| !text.is_empty());
        if original_recipient.as_deref().is_some_and(|text| !is_original_recipient(text)) {
            return Err(format!("notifications[{position}].original_recipient: type;xtext"));
        }
        recipient_dsn.push(RecipientDsn { notify, original_recipient });
    }
    Ok((MessageDsn { return_content, envelope_id }, recipient_dsn))
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
