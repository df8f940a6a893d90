//! Mailing lists: who may post, the copy that members get, the copies themselves, and commands by mail.
//!
//! The walk of a post: `grpc/submission` asks `admission`, and the message is accepted with an errand in the queue. The
//! errand (`expand`) makes the list's copy of it once (`copy`), then goes through the members in batches; each batch is one
//! transaction (`store`): entries for boxes of ours, queue rows for the others, and the cursor behind it. So a post reaches
//! each member once, whenever this process dies. A command is an errand too (`commands`), answered through `answer`.

mod admission;
mod commands;
mod copy;
mod expand;
mod names;
mod store;

use std::sync::Arc;

use postern_mail::EmailAddress;
use postern_mesh::{client::MeshChannel, shutdown::Shutdown};
use postern_proto::account::v1::{
    LookupMailingListRequest, LookupMailingListResponse, MailingList,
    mailing_list_service_client::MailingListServiceClient,
};
use tonic::Status;

use crate::{
    answer::Answers,
    content::{Blobs, Budget},
    queue::ContentSource,
};

pub(crate) use admission::admit;
pub(crate) use names::copy_sender;

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
}

impl ListDirectory {
    /// Reads a list; `None`: it was removed.
    pub(crate) async fn look_up(
        &self,
        list_id: i64,
        member: Option<&EmailAddress>,
    ) -> Result<Option<FoundList>, Status> {
        let member = member.map(ToString::to_string).unwrap_or_default();
        let request = LookupMailingListRequest { list_id, member };
        let found = self.account.clone().lookup_mailing_list(request).await?.into_inner();
        let LookupMailingListResponse { list: Some(list), customer, is_member } = found else {
            return Ok(None);
        };
        let address = list.address.parse().map_err(|error| {
            Status::internal(format!("list {list_id} has an address that is none: {error}"))
        })?;
        Ok(Some(FoundList { list, address, customer, is_member }))
    }
}

/// Does the errands of lists.
pub(crate) struct Lists {
    pub(crate) directory: ListDirectory,
    pub(crate) answers: Answers,
    pub(crate) contents: Arc<dyn ContentSource>,
    pub(crate) blobs: Blobs,
    pub(crate) budget: Budget,
    /// Larger copies go to the blob store, octets.
    pub(crate) inline_max_bytes: usize,
    pub(crate) shutdown: Shutdown,
}
