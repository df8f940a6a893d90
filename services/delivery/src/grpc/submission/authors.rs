//! In whose name a customer's mail is written: by its envelope, and by what its readers see.

use postern_mail::{DomainName, Reason};
use postern_mesh::failure;
use tonic::Status;

use super::{SubmissionDoor, envelope::Submission};
use crate::content::{Found, domains_in};

/// Domains in From and Sender together. Each is a question; more is no list of authors.
const AUTHOR_DOMAINS_MAX: usize = 50;

impl SubmissionDoor {
    /// Whoever may send writes in no name of another customer here without its owner's leave: not as the envelope's sender, which the
    /// gateway asked for already, nor in From or Sender, by which readers judge. Each domain is one question, which the directory
    /// keeps; mail from outside has none, for what it is worth there are SPF, DKIM and DMARC.
    ///
    /// # Errors
    /// [`Reason::SenderNotPermitted`], [`Reason::AuthorNotPermitted`]; the directory is away.
    pub(super) async fn check_names(&self, submission: &Submission, found: &Found) -> Result<(), Status> {
        let Some(submitter) = &submission.envelope.submitter else { return Ok(()) };
        let sender = submission.sender.address().map(|address| address.domain().clone());
        let mut authors: Vec<DomainName> = found.authors.iter().flat_map(|value| domains_in(value)).collect();
        authors.sort_unstable();
        authors.dedup();
        if authors.len() > AUTHOR_DOMAINS_MAX {
            return Err(failure::status(Reason::HeadersTooLarge));
        }
        authors.retain(|author| Some(author) != sender.as_ref());
        let names = sender.into_iter().map(|domain| (domain, Reason::SenderNotPermitted));
        for (domain, reason) in
            names.chain(authors.into_iter().map(|domain| (domain, Reason::AuthorNotPermitted)))
        {
            if !self.directory.may_use_sender(&submitter.customer, &domain).await? {
                tracing::info!(queue_id = %submission.id, login = submitter.login, %domain, %reason, "written in another customer's name");
                return Err(failure::status_with(reason, format!("{domain} belongs to another customer")));
            }
        }
        Ok(())
    }
}
