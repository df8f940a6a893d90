//! Mailing lists: who may post, the copy that members get, the copies themselves, and commands by mail.
//!
//! The walk of a post: `grpc/submission` asks `admission`, and the message is accepted with an errand in the queue. The
//! errand (`expand`) makes the list's copy of it once (`copy`), then goes through the members in batches; each batch is one
//! transaction (`store`): entries for boxes of ours, queue rows for the others, and the cursor behind it. So a post reaches
//! each member once, whenever this process dies. How copies fare, in `queue` or by what comes back (`reports`), is told to
//! account (`fates`), which may want a `probe`. A command is an errand too (`commands`), answered through `answer`.

mod admission;
mod commands;
mod copy;
mod expand;
mod fates;
mod names;
mod probe;
mod reports;
mod senders;
mod store;

use std::sync::Arc;

use postern_mail::EmailAddress;
use postern_mesh::{client::MeshChannel, memory::MemoryBudget, shutdown::Shutdown};
use postern_proto::account::v1::{
    LookupMailingListRequest, LookupMailingListResponse, MailingList,
    mailing_list_service_client::MailingListServiceClient,
};
use tonic::Status;

use crate::{
    answer::Answers, authenticity::Checks, content::Blobs, departure::Departures, queue::ContentSource,
};

pub(crate) use admission::admit;
pub(crate) use fates::{CopyFates, Fate as CopyFate, tell as tell_fates};
pub(crate) use names::unsubscribe_fields;
pub(crate) use probe::Probes;
pub(crate) use reports::is_failure;
pub(crate) use senders::{copy_sender, probe_of, probe_sender};

/// What account knows of lists.
#[derive(Clone)]
pub(crate) struct ListDirectory {
    pub(crate) account: MailingListServiceClient<MeshChannel>,
}

/// A list that is there.
pub(crate) struct FoundList {
    pub(crate) list: MailingList,
    /// Its address, checked.
    pub(crate) address: EmailAddress,
    /// Login of its owner.
    pub(crate) customer: String,
    /// Whether the address that was asked for is a member.
    pub(crate) is_member: bool,
    /// Of the tokens in List-Unsubscribe.
    pub(crate) unsubscribe_key: Vec<u8>,
}

impl ListDirectory {
    pub(crate) fn new(account: MeshChannel) -> Self {
        Self { account: MailingListServiceClient::new(account) }
    }

    /// Reads a list; `None`: it was removed.
    pub(crate) async fn look_up(
        &self,
        list_id: i64,
        member: Option<&EmailAddress>,
    ) -> Result<Option<FoundList>, Status> {
        let member = member.map(ToString::to_string).unwrap_or_default();
        let request = LookupMailingListRequest { list_id, member };
        let found = self.account.clone().lookup_mailing_list(request).await?.into_inner();
        let LookupMailingListResponse { list: Some(list), customer, is_member, unsubscribe_key } = found
        else {
            return Ok(None);
        };
        let address = list.address.parse().map_err(|error| {
            Status::internal(format!("list {list_id} has an address that is none: {error}"))
        })?;
        let unsubscribe_key = unsubscribe_key.to_vec();
        Ok(Some(FoundList { list, address, customer, is_member, unsubscribe_key }))
    }
}

/// Does the errands of lists.
pub(crate) struct Lists {
    pub(crate) directory: ListDirectory,
    pub(crate) answers: Answers,
    pub(crate) contents: Arc<dyn ContentSource>,
    pub(crate) blobs: Blobs,
    pub(crate) budget: MemoryBudget,
    pub(crate) checks: Checks,
    pub(crate) departures: Departures,
    /// Where tokens of List-Unsubscribe are taken.
    pub(crate) unsubscribe_url: Arc<str>,
    /// How fast they leave the queue here; 0 = as fast as can be.
    pub(crate) copies_per_second: u32,
    /// Larger copies go to the blob store, octets.
    pub(crate) inline_max_bytes: usize,
    pub(crate) shutdown: Shutdown,
}
