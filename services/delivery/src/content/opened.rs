//! A message that is stored, opened at its header block.

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use postern_mail::limits;

use super::Header;
use crate::{
    outbound::ContentError,
    queue::{ContentSource, QueuedMessage},
};

/// A stored message with its header block read.
pub(crate) struct Opened {
    pub(crate) header: Header,
    /// What was read of the body already.
    pub(crate) begun: Bytes,
    /// What follows.
    pub(crate) rest: BoxStream<'static, Result<Bytes, ContentError>>,
}

/// Reads the header block of a message; the body stays where it is.
///
/// # Errors
/// The content cannot be read, or is damaged.
pub(crate) async fn open_header(
    contents: &dyn ContentSource,
    message: &QueuedMessage,
) -> Result<Opened, ContentError> {
    let mut rest = contents.open(message);
    let mut octets = Vec::new();
    while octets.len() < limits::HEADER_BLOCK_MAX_BYTES && !octets.windows(4).any(|w| w == b"\r\n\r\n") {
        match rest.next().await {
            Some(piece) => octets.extend_from_slice(&piece?),
            None => break,
        }
    }
    let (header, length) = Header::read(&octets);
    Ok(Opened { header, begun: Bytes::from(octets.split_off(length)), rest })
}

/// The header block as its readers see it: our own fields, which tell what we found out about it, before those that it came with.
///
/// # Errors
/// As [`open_header`].
pub(crate) async fn whole_header(
    contents: &dyn ContentSource,
    message: &QueuedMessage,
) -> Result<Header, ContentError> {
    let came_with = open_header(contents, message).await?.header;
    Ok(Header::read(&[&message.prefix[..], came_with.octets()].concat()).0)
}
