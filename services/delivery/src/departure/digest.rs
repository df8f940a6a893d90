//! What a signature needs of a message: its header block, and the hash of its body, made in one pass over the content.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use mail_auth::{
    common::crypto::{HashContext as _, HashImpl as _, Sha256},
    dkim::{Canonicalization, canonicalize::BodyHasher},
};
use moka::sync::Cache;
use postern_mail::MessageId;

use crate::{
    content::{Header, open_header},
    queue::{ContentSource, QueuedMessage},
};

/// Header blocks that are kept, octets, and for how long: for the other copies of a message.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;
const KEPT_FOR: Duration = Duration::from_secs(300);

/// Of one message.
#[derive(Debug)]
pub(super) struct Digested {
    pub(super) header: Header,
    /// SHA-256 of the body in relaxed form (RFC 6376 section 3.4.4).
    pub(super) body_hash: Vec<u8>,
}

/// Those of the last messages.
#[derive(Clone, Debug)]
pub(super) struct Digests(Cache<MessageId, Arc<Digested>>);

impl Default for Digests {
    fn default() -> Self {
        let weigh = |_: &MessageId, digested: &Arc<Digested>| {
            u32::try_from(digested.header.octets().len() + 256).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(KEPT_BYTES).weigher(weigh).time_to_live(KEPT_FOR).build())
    }
}

impl Digests {
    /// # Errors
    /// The content cannot be read now, or is damaged.
    pub(super) async fn of(
        &self,
        message: &QueuedMessage,
        contents: &dyn ContentSource,
    ) -> Result<Arc<Digested>, String> {
        if let Some(kept) = self.0.get(&message.id) {
            return Ok(kept);
        }
        let unreadable = |error| format!("the message cannot be read to be signed: {error}");
        let mut opened = open_header(contents, message).await.map_err(unreadable)?;
        let mut hasher = BodyHasher::new(Sha256::hasher(), Canonicalization::Relaxed, 0);
        hasher.write(&opened.begun);
        while let Some(piece) = opened.rest.next().await {
            hasher.write(&piece.map_err(unreadable)?);
        }
        let body_hash = hasher.finish().0.complete().as_ref().to_vec();
        let digested = Arc::new(Digested { header: opened.header, body_hash });
        self.0.insert(message.id, Arc::clone(&digested));
        Ok(digested)
    }
}
