//! Stored content as a stream that ends well only if it is what was accepted: right length, right checksum.
//!
//! A damaged message is never sent half: the error comes before the end of data.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};

use super::{ContentSource, QueuedMessage};
use crate::{accept::StoredContent, content::Blobs, outbound::ContentError};

/// The message row or the blob store.
#[derive(Clone, Debug)]
pub struct StoredContents {
    blobs: Blobs,
}

impl StoredContents {
    /// Large contents come from `blobs`.
    #[must_use]
    pub fn new(blobs: Blobs) -> Self {
        Self { blobs }
    }
}

impl ContentSource for StoredContents {
    fn open(&self, message: &QueuedMessage) -> BoxStream<'static, Result<Bytes, ContentError>> {
        let (bytes, checksum) = (message.content_bytes, message.checksum);
        match &message.content {
            StoredContent::Inline(content) => {
                checked(stream::iter([Ok(content.clone())]).boxed(), bytes, checksum)
            }
            StoredContent::Blob { key } => {
                let (blobs, key) = (self.blobs.clone(), key.clone());
                let opening = async move {
                    let blob = blobs.get(&key).await?;
                    Ok::<_, ContentError>(blob.octets.map_err(ContentError::from))
                };
                checked(stream::once(opening).try_flatten().boxed(), bytes, checksum)
            }
        }
    }
}

/// What was read so far.
struct Reading {
    pieces: BoxStream<'static, Result<Bytes, ContentError>>,
    bytes: u64,
    checksum: u32,
    ended: bool,
}

fn checked(
    pieces: BoxStream<'static, Result<Bytes, ContentError>>,
    expected_bytes: u64,
    expected_checksum: u32,
) -> BoxStream<'static, Result<Bytes, ContentError>> {
    let reading = Reading { pieces, bytes: 0, checksum: 0, ended: false };
    let next = move |mut reading: Reading| async move {
        if reading.ended {
            return None;
        }
        match reading.pieces.next().await {
            Some(Ok(piece)) => {
                reading.bytes += piece.len() as u64;
                reading.checksum = crc32c::crc32c_append(reading.checksum, &piece);
                Some((Ok(piece), reading))
            }
            Some(Err(error)) => {
                reading.ended = true;
                Some((Err(error), reading))
            }
            None if reading.bytes == expected_bytes && reading.checksum == expected_checksum => None,
            None => {
                reading.ended = true;
                Some((Err("the stored content is damaged".into()), reading))
            }
        }
    };
    stream::unfold(reading, next).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(pieces: &[&'static [u8]], bytes: u64, checksum: u32) -> Result<Vec<u8>, ContentError> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece))).collect();
        let pieces: Vec<Bytes> = checked(stream::iter(pieces).boxed(), bytes, checksum).try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn damage_is_an_error_before_the_end() {
        let checksum = crc32c::crc32c(b"hello world");
        assert_eq!(read(&[b"hello", b" world"], 11, checksum).await.expect("good"), b"hello world");
        assert!(read(&[b"hello", b" wurld"], 11, checksum).await.is_err());
        assert!(read(&[b"hello"], 11, checksum).await.is_err());
        assert!(read(&[], 0, 0).await.expect("empty").is_empty());
    }
}
