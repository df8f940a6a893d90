//! What is found out about a stranger's message before it is accepted, and what follows from it.

use jiff::Timestamp;
use postern_mail::{DomainName, Reason};
use postern_mesh::failure;
use postern_proto::account::v1::DmarcHandling;
use postern_smtp::dsn::MessageDsn;
use tonic::Status;

use super::{SubmissionDoor, envelope::Submission};
use crate::{
    authenticity::{Arrival, Findings, Wanted},
    content::Ingested,
    queue::QueuedMessage,
};

/// In front of mail that the author's policy wants set apart: a POP3 box has no folder for it, but mail programs have rules.
const VERDICT: &str = "X-Postern-Verdict: suspicious; dmarc=fail policy=quarantine\r\n";

impl SubmissionDoor {
    /// The fields that go in front of a message: empty for mail that is not looked at.
    ///
    /// One message is answered once: when the domain of one of its recipients follows the policy of the author, all of it is
    /// refused, so that nobody gets in by naming a second recipient elsewhere, and nobody is sent a bounce.
    ///
    /// # Errors
    /// It is refused for what it is; temporary ones of the content and the directory.
    pub(super) async fn checked(
        &self,
        submission: &mut Submission,
        content: &Ingested,
    ) -> Result<String, Status> {
        let is_ours = submission.envelope.submitter.is_some();
        let Some(peer) = submission.peer.filter(|peer| !is_ours && !self.checks.exempts(*peer)) else {
            return Ok(String::new());
        };
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
        };
        let arrival = Arrival { peer, helo: &submission.envelope.helo, message: &message };
        let found = self.checks.look(arrival, &*self.contents).await.map_err(|error| {
            tracing::warn!(queue_id = %submission.id, error, "a message cannot be read to be checked");
            failure::status(Reason::Unavailable)
        })?;
        let Findings { mut field, wanted, unproven } = found;
        submission.flags.unproven = unproven;
        if wanted == Wanted::Nothing || !self.is_followed(submission).await? {
            return Ok(field);
        }
        metrics::counter!("postern_mail_fails_dmarc_total").increment(1);
        tracing::info!(queue_id = %submission.id, %peer, sender = %submission.sender, ?wanted, "fails the policy of its author's domain");
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
}
