//! What the domains of a message's recipients want done with spam.

use std::{collections::HashMap, sync::Arc};

use postern_mail::{DomainName, EmailAddress, Reason};
use postern_mesh::{directory::Directory, failure};
use postern_proto::account::v1::{DomainIdentity, MatchKind, SpamHandling, resolution::Outcome};
use tonic::Status;

/// The wishes of all recipients' domains; not all of them want nothing.
#[derive(Clone, Debug)]
pub(crate) struct SpamWishes {
    by_domain: HashMap<DomainName, Arc<DomainIdentity>>,
}

impl SpamWishes {
    /// `None`: no domain wants mail scanned.
    ///
    /// # Errors
    /// The directory is away.
    pub(crate) async fn of(
        directory: &Directory,
        recipients: &[EmailAddress],
    ) -> Result<Option<Self>, Status> {
        let mut by_domain = HashMap::new();
        for recipient in recipients {
            if by_domain.contains_key(recipient.domain()) {
                continue;
            }
            if let Some(identity) = directory.domain(recipient.domain()).await?
                && identity.spam_handling() != SpamHandling::Off
            {
                by_domain.insert(recipient.domain().clone(), identity);
            }
        }
        Ok(Some(Self { by_domain }).filter(|wishes| !wishes.by_domain.is_empty()))
    }

    /// True when one of them does as the scanner says. One message is answered once, as for DMARC.
    pub(crate) fn follow(&self) -> bool {
        self.by_domain.values().any(|identity| identity.spam_handling() == SpamHandling::Follow)
    }

    /// The recipients as they are when the message is spam: those of a domain that puts spam aside become its mailbox for spam.
    ///
    /// # Errors
    /// [`Reason::OverQuota`] when that mailbox is full; the directory is away.
    pub(crate) async fn put_aside(
        &self,
        directory: &Directory,
        recipients: &[EmailAddress],
    ) -> Result<Vec<EmailAddress>, Status> {
        let mut places: HashMap<&DomainName, Option<EmailAddress>> = HashMap::new();
        let mut led: Vec<EmailAddress> = Vec::with_capacity(recipients.len());
        for recipient in recipients {
            let place = match places.get(recipient.domain()) {
                Some(known) => known.clone(),
                None => {
                    let place = self.place(directory, recipient.domain()).await?;
                    places.insert(recipient.domain(), place.clone());
                    place
                }
            };
            let to = place.unwrap_or_else(|| recipient.clone());
            if !led.contains(&to) {
                led.push(to);
            }
        }
        Ok(led)
    }

    async fn place(
        &self,
        directory: &Directory,
        domain: &DomainName,
    ) -> Result<Option<EmailAddress>, Status> {
        let quarantines =
            |identity: &&Arc<DomainIdentity>| identity.spam_handling() == SpamHandling::Quarantine;
        let Some(identity) = self.by_domain.get(domain).filter(quarantines) else { return Ok(None) };
        let Ok(place) = identity.spam_mailbox.parse::<EmailAddress>() else { return Ok(None) };
        // The other domain may have gone to somebody else since, who must not get this one's mail.
        let its_domain = directory.domain(place.domain()).await?;
        if its_domain.is_none_or(|its| its.customer != identity.customer) {
            tracing::info!(%domain, %place, "the mailbox for spam is another customer's");
            return Ok(None);
        }
        let resolution = directory.resolve(&place).await?;
        let Some(Outcome::Local(local)) = &resolution.outcome else { return Ok(None) };
        // By its name only: what falls into the default box is in nobody's box for spam.
        let is_there = local.r#match() == MatchKind::Exact;
        match local.mailbox.as_ref().filter(|_| is_there) {
            None => {
                tracing::info!(%domain, %place, "there is no such mailbox for spam");
                Ok(None)
            }
            Some(mailbox) if mailbox.full => Err(failure::status(Reason::OverQuota)),
            Some(_) => Ok(Some(place)),
        }
    }
}
