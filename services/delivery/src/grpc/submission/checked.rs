//! What is found out about a stranger's message before it is accepted, and what follows from it.

use std::fmt::Write as _;

use jiff::Timestamp;
use postern_mail::{DomainName, EmailAddress, PeerIp, Reason};
use postern_mesh::failure;
use postern_proto::account::v1::DmarcHandling;
use postern_smtp::dsn::{MessageDsn, RecipientDsn};
use tonic::Status;

use super::{SubmissionDoor, envelope::Submission};
use crate::{
    authenticity::{Arrival, Findings, Wanted},
    content::Ingested,
    queue::QueuedMessage,
    spam::{Advice, Away, Scanned, SpamWishes, Verdict},
};

/// In front of mail that the author's policy wants set apart: a POP3 box has no folder for it, but mail programs have rules.
const VERDICT: &str = "X-Postern-Verdict: suspicious; dmarc=fail policy=quarantine\r\n";

/// What follows for a message that is not refused.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Fields that go in front of it, each ending with CRLF.
    pub(super) fields: String,
    /// What its story tells of it; may be empty.
    pub(super) note: String,
    /// It is spam that is put aside: its recipients instead of those of the envelope.
    pub(super) put_aside: Option<Vec<EmailAddress>>,
}

impl SubmissionDoor {
    /// What the recipients' domains want done with spam; `None`: the message is not scanned.
    ///
    /// # Errors
    /// The directory is away.
    pub(super) async fn wishes(&self, submission: &Submission) -> Result<Option<SpamWishes>, Status> {
        match self.stranger(submission).filter(|_| self.scanner.is_some()) {
            Some(_) => SpamWishes::of(&self.directory, &submission.recipients).await,
            None => Ok(None),
        }
    }

    /// The client, when its mail is looked at.
    fn stranger(&self, submission: &Submission) -> Option<PeerIp> {
        let is_ours = submission.envelope.submitter.is_some();
        submission.peer.filter(|peer| !is_ours && !self.checks.exempts(*peer))
    }

    /// Looks at a message; mail of our own clients and of exempt networks is not looked at.
    ///
    /// One message is answered once: when the domain of one of its recipients follows the policy of the author, or the spam
    /// scanner, all of it is refused, so that nobody gets in by naming a second recipient elsewhere, and nobody is sent a bounce.
    ///
    /// # Errors
    /// It is refused for what it is; temporary ones of the content, the directory and the scanner.
    pub(super) async fn checked(
        &self,
        submission: &mut Submission,
        content: &Ingested,
        wishes: Option<&SpamWishes>,
    ) -> Result<Checked, Status> {
        let Some(peer) = self.stranger(submission) else { return Ok(Checked::default()) };
        let message = QueuedMessage {
            id: submission.id,
            sender: submission.sender.clone(),
            prefix: bytes::Bytes::new(),
            content: content.content.clone(),
            content_bytes: content.content_bytes,
            checksum: content.checksum,
            flags: submission.flags,
            accept_time: Timestamp::now(),
            customer: None,
            dsn: MessageDsn::default(),
            traceparent: None,
        };
        let helo = submission.envelope.helo.clone();
        let arrival = Arrival { peer, helo: &helo, message: &message };
        let mut checked = Checked::default();
        if self.checks.are_on() {
            checked.fields = self.authentic(submission, &arrival).await?;
        }
        if let Some(wishes) = wishes {
            self.scanned(submission, &arrival, wishes, &mut checked).await?;
        }
        Ok(checked)
    }

    /// Is it what it says it is? The fields that tell.
    async fn authentic(&self, submission: &mut Submission, arrival: &Arrival<'_>) -> Result<String, Status> {
        let found = self.checks.look(arrival, &*self.contents).await.map_err(|error| {
            tracing::warn!(queue_id = %submission.id, error, "a message cannot be read to be checked");
            failure::status(Reason::Unavailable)
        })?;
        let Findings { mut field, wanted, unproven, null_mx } = found;
        submission.flags.unproven = unproven;
        if null_mx {
            metrics::counter!("postern_mail_sender_takes_none_total").increment(1);
            tracing::info!(queue_id = %submission.id, peer = %arrival.peer, sender = %submission.sender, "its sender's domain takes no mail");
            return Err(failure::status(Reason::SenderTakesNoMail));
        }
        if wanted == Wanted::Nothing || !self.is_followed(submission).await? {
            return Ok(field);
        }
        metrics::counter!("postern_mail_fails_dmarc_total").increment(1);
        tracing::info!(queue_id = %submission.id, peer = %arrival.peer, sender = %submission.sender, ?wanted, "fails the policy of its author's domain");
        if wanted == Wanted::Reject {
            return Err(failure::status(Reason::FailsAuthentication));
        }
        field.push_str(VERDICT);
        Ok(field)
    }

    /// True when a recipient's domain does what the author's policy says.
    async fn is_followed(&self, submission: &Submission) -> Result<bool, Status> {
        let mut domains: Vec<&DomainName> = submission.recipients.iter().map(|to| to.domain()).collect();
        domains.sort_unstable();
        domains.dedup();
        for domain in domains {
            let found = self.directory.domain(domain).await?;
            if found.is_some_and(|identity| identity.dmarc_handling() == DmarcHandling::Follow) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Is it spam, and what do its recipients' domains want done with it then?
    async fn scanned(
        &self,
        submission: &mut Submission,
        arrival: &Arrival<'_>,
        wishes: &SpamWishes,
        checked: &mut Checked,
    ) -> Result<(), Status> {
        let Some(scanner) = &self.scanner else { return Ok(()) };
        match scanner.scan(arrival, &submission.recipients, &*self.contents).await {
            Scanned::Judged(verdict) => self.judged(submission, &verdict, wishes, checked).await,
            Scanned::TooLarge => {
                checked.note = "too large to be scanned for spam".to_owned();
                Ok(())
            }
            Scanned::Missed(Away::Accept) => {
                checked.note = "not scanned for spam: the scanner did not answer".to_owned();
                Ok(())
            }
            Scanned::Missed(Away::Defer) => Err(failure::status(Reason::SpamUndecided)),
        }
    }

    async fn judged(
        &self,
        submission: &mut Submission,
        verdict: &Verdict,
        wishes: &SpamWishes,
        checked: &mut Checked,
    ) -> Result<(), Status> {
        let said = verdict.said();
        tracing::info!(queue_id = %submission.id, sender = %submission.sender, said, "scanned for spam");
        match verdict.advice {
            Advice::Reject if wishes.follow() => return Err(failure::status(Reason::LooksLikeSpam)),
            Advice::Later if wishes.follow() => return Err(failure::status(Reason::SpamUndecided)),
            Advice::Reject | Advice::Later | Advice::Mark | Advice::Pass => {}
        }
        checked.fields.push_str(&verdict.fields());
        checked.note = said;
        if !verdict.is_spam() {
            return Ok(());
        }
        let instead = wishes.put_aside(&self.directory, &submission.recipients).await?;
        if instead == submission.recipients {
            return Ok(());
        }
        metrics::counter!("postern_spam_put_aside_total").increment(1);
        if instead.len() == 1 {
            // The owner sees for whom it was. Where others get it too, they are not told of each other.
            for recipient in &submission.recipients {
                // Writing into a String cannot fail.
                let _ = write!(checked.fields, "X-Original-To: {recipient}\r\n");
            }
        }
        // Where it was led to is nobody's business: no report of success.
        let wishes_of_sender = submission.recipients.iter().zip(&mut submission.recipient_dsn);
        for (_, wish) in wishes_of_sender.filter(|(recipient, _)| !instead.contains(recipient)) {
            *wish = RecipientDsn::default();
        }
        checked.put_aside = Some(instead);
        Ok(())
    }
}
