//! What a mail looks like as it leaves: its sender, our fields in front, and what they are signed with.
//!
//! Asked by `queue/worker` just before a mail is sent, never when it is accepted: the body is hashed while it is read once,
//! with bounded memory, and kept for the other copies of the message. A forward outside gets a rewritten sender (SRS) and an
//! ARC set, a member's copy of a list its own sender (VERP) and List-Unsubscribe, and mail of our customers a DKIM-Signature.
//! While account is away what is known of a domain is used; what is not known has to wait: unsigned, others may refuse it.

mod aside;
mod digest;
mod keys;
mod seal;
mod signature;

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use moka::sync::Cache;
use postern_mail::{DomainName, EmailAddress, MessageId, ReversePath, rewritten_sender};
use postern_mesh::{client::MeshChannel, clock::unix_seconds, directory::Directory};
use tonic::Status;

use crate::{
    accept::QueueClass,
    content::Header,
    lists::{FoundList, ListDirectory, copy_sender, probe_of, probe_sender, unsubscribe_fields},
    queue::{ContentSource, LeasedRow, QueuedMessage},
};
use aside::Aside;
use digest::{Digested, Digests};
use keys::{DomainKey, MailKeys};

/// Signatures and lists that are kept, and for how long: for the other destinations of a message.
const KEPT_MAX: u64 = 10_000;
const KEPT_FOR: Duration = Duration::from_secs(300);

/// How a mail leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// Envelope sender.
    pub sender: ReversePath,
    /// What stands before the content.
    pub front: Bytes,
}

/// Rows of one job, as far as they matter here.
#[derive(Clone, Copy)]
pub(crate) struct Leaving<'a> {
    pub(crate) rows: &'a [LeasedRow],
    /// Our address that forwards it.
    pub(crate) via: Option<&'a EmailAddress>,
    pub(crate) message: &'a QueuedMessage,
}

/// Prepares mails for leaving. Clones share what they keep.
#[derive(Clone)]
pub struct Departures {
    directory: Directory,
    keys: MailKeys,
    lists: ListDirectory,
    digests: Digests,
    /// By message, domain and field name.
    signatures: Cache<(MessageId, DomainName, &'static str), Bytes>,
    known_lists: Cache<i64, Option<Arc<FoundList>>>,
    unsubscribe_url: Arc<str>,
    /// Where copies of lists are signed, each by itself.
    aside: Aside,
}

impl Departures {
    /// `unsubscribe_url`: where tokens of List-Unsubscribe are taken, `{domain}` in it stands for the list's domain.
    ///
    /// # Errors
    /// There is no thread to be had for the signatures of copies.
    pub fn new(account: &MeshChannel, directory: Directory, unsubscribe_url: &str) -> io::Result<Self> {
        Ok(Self {
            keys: MailKeys::new(account.clone(), directory.clone()),
            directory,
            lists: ListDirectory::new(account.clone()),
            digests: Digests::default(),
            signatures: Cache::builder().max_capacity(KEPT_MAX).time_to_live(KEPT_FOR).build(),
            known_lists: Cache::builder().max_capacity(KEPT_MAX).time_to_live(KEPT_FOR).build(),
            unsubscribe_url: unsubscribe_url.into(),
            aside: Aside::start()?,
        })
    }

    /// Everything in front of the content, and the sender.
    ///
    /// # Errors
    /// Why the mail has to wait; for the log and the queue.
    pub(crate) async fn prepare(
        &self,
        leaving: Leaving<'_>,
        contents: &dyn ContentSource,
    ) -> Result<Departure, String> {
        let sender = self.sender(leaving).await.map_err(|status| waiting("its sender", &status))?;
        let own = self.own_fields(leaving).await.map_err(|status| waiting("its list", &status))?;
        let mut front = self.signatures(leaving, &own, contents).await?;
        // The mark by which a forward is known when it comes back. No Return-Path (RFC 5321 section 4.4).
        if let Some(via) = leaving.via {
            front.extend_from_slice(format!("Delivered-To: {via}\r\n").as_bytes());
        }
        front.extend_from_slice(own.as_bytes());
        front.extend_from_slice(&leaving.message.prefix);
        Ok(Departure { sender, front: Bytes::from(front) })
    }

    /// Each member's copy of a list has a sender that tells whose it was when it comes back; a forward's is at our domain.
    async fn sender(&self, leaving: Leaving<'_>) -> Result<ReversePath, Status> {
        let Leaving { rows, via, message } = leaving;
        let ReversePath::Address(sender) = &message.sender else { return Ok(ReversePath::Null) };
        if let [row] = rows
            && row.class == QueueClass::ListCopy
        {
            let copy = match probe_of(row.note.as_deref()) {
                Some(token) => probe_sender(sender, token),
                None => copy_sender(sender, &member(row)),
            };
            return Ok(ReversePath::Address(copy));
        }
        let Some(via) = via else { return Ok(message.sender.clone()) };
        // Of a sender at a domain of ours, SPF passes as it is.
        if self.keys.is_live(sender.domain()).await? {
            return Ok(message.sender.clone());
        }
        let key = self.keys.of_senders().await?;
        let rewritten = rewritten_sender::rewrite(sender, via.domain(), &key, keys::today());
        if rewritten.is_none() {
            metrics::counter!("postern_senders_not_rewritten_total").increment(1);
            tracing::info!(queue_id = %message.id, %sender, "the sender is too long to be rewritten, the forward keeps it");
        }
        Ok(ReversePath::Address(rewritten.unwrap_or_else(|| sender.clone())))
    }

    /// The fields of a member's own copy.
    async fn own_fields(&self, leaving: Leaving<'_>) -> Result<String, Status> {
        let [row] = leaving.rows else { return Ok(String::new()) };
        let Some(list_id) = row.subject_id.filter(|_| row.class == QueueClass::ListCopy) else {
            return Ok(String::new());
        };
        if probe_of(row.note.as_deref()).is_some() {
            return Ok(String::new());
        }
        let Some(list) = self.list(list_id).await? else { return Ok(String::new()) };
        Ok(unsubscribe_fields(&self.unsubscribe_url, &list, &member(row)))
    }

    async fn list(&self, list_id: i64) -> Result<Option<Arc<FoundList>>, Status> {
        if let Some(known) = self.known_lists.get(&list_id) {
            return Ok(known);
        }
        let found = self.lists.look_up(list_id, None).await?.map(Arc::new);
        self.known_lists.insert(list_id, found.clone());
        Ok(found)
    }

    /// The signature of the customer's domain, and the seal of the forward's.
    async fn signatures(
        &self,
        leaving: Leaving<'_>,
        own: &str,
        contents: &dyn ContentSource,
    ) -> Result<Vec<u8>, String> {
        let Leaving { via, message, .. } = leaving;
        let mut fields = Vec::new();
        // Mail that was not checked has nothing that could be vouched for.
        let sealed = via.and_then(|via| Some((via, seal::results_in(&message.prefix)?)));
        if message.customer.is_none() && sealed.is_none() {
            return Ok(fields);
        }
        let digested = self.digests.of(message, contents).await?;
        if let Some(customer) = &message.customer
            && let Some(key) = self.signer(message, customer, &digested.header).await?
        {
            fields.extend_from_slice(&self.signed(message, key, own, Arc::clone(&digested)).await?);
        }
        if let Some((via, results)) = sealed
            && let Some(key) = self.keys.of_house(via.domain()).await.map_err(no_key)?
        {
            let kept = (message.id, key.domain.clone(), "arc");
            let set = self.signatures.get_with(kept, || {
                Bytes::from(seal::set(&digested, &results, &key, unix_seconds()).unwrap_or_default())
            });
            fields.extend_from_slice(&set);
        }
        Ok(fields)
    }

    /// One signature is good for all recipients of a message, but for members of a list, whose copies have fields of their own.
    async fn signed(
        &self,
        message: &QueuedMessage,
        key: Arc<DomainKey>,
        own: &str,
        digested: Arc<Digested>,
    ) -> Result<Bytes, String> {
        let kept = (message.id, key.domain.clone(), "dkim");
        let own_text = own.to_owned();
        let sign = move || {
            let own = Header::read(own_text.as_bytes()).0;
            Bytes::from(signature::dkim(&own, &digested, &key, unix_seconds()))
        };
        match own {
            "" => Ok(self.signatures.get_with(kept, sign)),
            _ => self.aside.run(sign).await.ok_or_else(|| "its signature could not be made".to_owned()),
        }
    }

    /// Whose signature it bears: the author's domain if that is the customer's to use, so that DMARC can pass; else the
    /// sender's.
    async fn signer(
        &self,
        message: &QueuedMessage,
        customer: &str,
        header: &Header,
    ) -> Result<Option<Arc<DomainKey>>, String> {
        let authors = header.addresses(&["from"]);
        let author = match authors.as_slice() {
            [first, rest @ ..] if rest.iter().all(|other| other.domain() == first.domain()) => Some(first),
            _ => None,
        };
        for candidate in author.into_iter().chain(message.sender.address()) {
            if let Some(key) = self.keys.of_customer(candidate.domain(), customer).await.map_err(no_key)? {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// True for a domain that is live here.
    pub(crate) async fn is_live(&self, domain: &DomainName) -> Result<bool, Status> {
        self.keys.is_live(domain).await
    }

    /// True when mail of this customer may say that it is from this domain: a live domain of ours that lets it.
    pub(crate) async fn may_write_as(
        &self,
        domain: &DomainName,
        customer: Option<&str>,
    ) -> Result<bool, Status> {
        let Some(identity) = self.directory.domain(domain).await? else { return Ok(false) };
        Ok(customer.is_some_and(|customer| keys::lets(&identity, customer)))
    }
}

/// Whom a copy of a list is for.
fn member(row: &LeasedRow) -> EmailAddress {
    row.note.as_deref().and_then(|note| note.parse().ok()).unwrap_or_else(|| row.recipient.clone())
}

fn waiting(what: &str, status: &Status) -> String {
    format!("{what} cannot be looked up now: {}", status.message())
}

fn no_key(status: Status) -> String {
    waiting("the key to sign it", &status)
}
