//! Autoresponders (RFC 3834): the errand that one message to such an address leaves behind.
//!
//! The message itself was delivered before, whatever becomes of the answer.

mod text;

use std::time::Duration;

use jiff::Timestamp;
use postern_mail::{EmailAddress, MessageId};
use postern_mesh::client::MeshChannel;
use postern_proto::account::v1::{
    Autoresponder, LookupAutoresponderRequest, LookupAutoresponderResponse,
    autoresponder_service_client::AutoresponderServiceClient,
};

use crate::{
    answer::{AnswerKind, Answers, Claim, Letter, answerable},
    content::Header,
    queue::{ErrandOutcome, LeasedRow, QueueHandle, QueuedMessage},
};
use text::Variables;

/// Pause between two answers to one sender, unless the autoresponder says another.
const INTERVAL_SECONDS: u64 = 7 * 24 * 3600;
/// Fields that name whom a message is for.
const RECIPIENT_FIELDS: [&str; 6] = ["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"];

/// Answers for autoresponders.
pub(crate) struct Autoreply {
    pub(crate) account: AutoresponderServiceClient<MeshChannel>,
    pub(crate) answers: Answers,
}

impl Autoreply {
    /// Does one errand.
    pub(crate) async fn answer(
        &self,
        row: &LeasedRow,
        message: &QueuedMessage,
        header: &Header,
        queue: &QueueHandle,
    ) -> ErrandOutcome {
        let sender = match answerable(&message.sender, message.flags.unproven, header) {
            Ok(sender) => sender,
            Err(why) => return ErrandOutcome::Finished(why),
        };
        let autoresponder_id = row.subject_id.unwrap_or_default();
        let request = LookupAutoresponderRequest { autoresponder_id };
        let found = match self.account.clone().lookup_autoresponder(request).await {
            Ok(found) => found.into_inner(),
            Err(status) => return ErrandOutcome::Deferred(status.message().to_owned()),
        };
        let LookupAutoresponderResponse { autoresponder: Some(responder), customer } = found else {
            return ErrandOutcome::Finished("the autoresponder is not there, or not now");
        };
        let Ok(from) = responder.address.parse::<EmailAddress>() else {
            return ErrandOutcome::Finished("the autoresponder has no address");
        };
        if let Err(why) = personal(header, sender, &from, &row.recipient) {
            return ErrandOutcome::Finished(why);
        }
        let now = Timestamp::now();
        let original_subject = header.subject();
        let variables = Variables { sender, subject: &original_subject, now };
        let letter = Letter {
            id: MessageId::new(),
            from: &from,
            reply_to: None,
            to: sender,
            subject: &variables.fill(&responder.subject),
            text: &variables.fill(&responder.text),
            answered: header,
        };
        self.answers.give(row, &letter, &customer, Some(claim(autoresponder_id, &responder)), queue).await
    }
}

fn claim(autoresponder_id: i64, responder: &Autoresponder) -> Claim {
    let seconds = u64::try_from(responder.interval_seconds).unwrap_or_default();
    Claim {
        kind: AnswerKind::Autoreply,
        subject_id: autoresponder_id,
        version: responder.text_version,
        interval: Duration::from_secs(if seconds == 0 { INTERVAL_SECONDS } else { seconds }),
    }
}

/// Whether a person wrote to this very address, by its name or by the one that the message came for (RFC 3834 section 2).
fn personal(
    header: &Header,
    sender: &EmailAddress,
    own: &EmailAddress,
    came_for: &EmailAddress,
) -> Result<(), &'static str> {
    let plain = |address: &EmailAddress| {
        let address = address.canonical();
        address.without_tag().unwrap_or(address)
    };
    let names = [plain(own), plain(came_for)];
    if names.contains(&plain(sender)) {
        return Err("it is the own address");
    }
    let passed = header.fields().filter(|field| field.is("x-loop") || field.is("delivered-to"));
    for field in passed {
        let here = field.text().trim_start_matches('<').trim_end_matches('>').parse::<EmailAddress>();
        if here.is_ok_and(|here| names.contains(&plain(&here))) {
            return Err("it was here before");
        }
    }
    if header.addresses(&RECIPIENT_FIELDS).iter().any(|address| names.contains(&plain(address))) {
        Ok(())
    } else {
        Err("the address is not among the recipients in the header")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_01_only_what_was_written_to_this_address() {
        let address = |text: &str| -> EmailAddress { text.parse().expect(text) };
        for (sender, header, answered) in [
            ("friend@far.test", "To: Away <AWAY@x.test>\r\n", true),
            ("friend@far.test", "To: other@x.test\r\nCc: away+news@x.test\r\n", true),
            ("friend@far.test", "To: second@alias.test\r\n", true),
            ("friend@far.test", "Resent-To: away@x.test\r\n", true),
            ("friend@far.test", "To: undisclosed-recipients:;\r\n", false),
            ("friend@far.test", "To: other@x.test\r\n", false),
            ("friend@far.test", "Subject: away@x.test\r\n", false),
            ("away@x.test", "To: away@x.test\r\n", false),
            ("Away+me@x.test", "To: away@x.test\r\n", false),
            ("friend@far.test", "To: away@x.test\r\nX-Loop: away@x.test\r\n", false),
            ("friend@far.test", "Delivered-To: <away@x.test>\r\nTo: away@x.test\r\n", false),
            ("friend@far.test", "Delivered-To: other@x.test\r\nTo: away@x.test\r\n", true),
        ] {
            let header_block = Header::read(header.as_bytes()).0;
            let own = address("away@x.test");
            let told = personal(&header_block, &address(sender), &own, &address("second+tag@alias.test"));
            assert_eq!(told.is_ok(), answered, "{sender} {header}");
        }
    }
}
