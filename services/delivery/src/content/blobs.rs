//! The blob store: a local folder (synced to disk) or an S3-compatible store, chosen by URL.
//!
//! A blob is complete before the message that names it is committed, and removed only after that message is gone. Its
//! key holds the message id and is never used twice, so that an attempt that failed cannot harm one that succeeded.

use std::{path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{
    GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use postern_mail::{MessageId, limits};
use postern_mesh::{StartError, clock::unix_seconds};
use thiserror::Error;
use uuid::Uuid;

const SETTING: &str = "POSTERN_BLOB_URL";
/// Part of an upload to a folder, octets.
const LOCAL_PART_BYTES: usize = 512 * 1024;
/// Smallest part that S3 takes, octets.
const S3_PART_BYTES: usize = 5 * 1024 * 1024;
/// An answer that takes longer is none.
const READY_MAX: Duration = Duration::from_secs(5);
/// Folder of the store that holds messages.
const FOLDER: &str = "messages";

/// Why a blob cannot be had or kept.
#[derive(Debug, Error)]
pub enum BlobError {
    /// There is no such blob.
    #[error("the blob does not exist")]
    Missing,
    /// The store failed; later it may not.
    #[error("the blob store failed")]
    Store(#[source] object_store::Error),
    /// The local store's file failed.
    #[error("the blob file failed")]
    File(#[source] std::io::Error),
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            other => Self::Store(other),
        }
    }
}

/// A blob opened for reading.
pub struct OpenBlob {
    /// What the store says its size is, octets.
    pub size_bytes: u64,
    /// Its octets, in pieces of at most 128 KiB.
    pub octets: BoxStream<'static, Result<Bytes, BlobError>>,
}

/// The store. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<dyn ObjectStore>,
    part_bytes: usize,
}

impl Blobs {
    /// Opens the store that `url` names; a local folder is made when it is missing.
    ///
    /// # Errors
    /// When the URL makes no sense or the folder cannot be made.
    pub fn open(url: &str) -> Result<Self, StartError> {
        if let Some(folder) = url.strip_prefix("file://") {
            return Self::open_folder(PathBuf::from(folder));
        }
        let Some(rest) = url.strip_prefix("s3://") else {
            return Err(StartError::setting(SETTING, "must begin with file:/// or s3://"));
        };
        // Endpoint and credentials come from the AWS_... variables that every S3 client knows.
        let store = AmazonS3Builder::from_env()
            .with_url(url)
            .build()
            .map_err(|error| StartError::setting(SETTING, error.to_string()))?;
        let prefix = rest.split_once('/').map_or("", |(_bucket, prefix)| prefix);
        let prefix = Path::parse(prefix).map_err(|error| StartError::setting(SETTING, error.to_string()))?;
        Ok(Self { store: Arc::new(PrefixStore::new(store, prefix)), part_bytes: S3_PART_BYTES })
    }

    fn open_folder(folder: PathBuf) -> Result<Self, StartError> {
        if !folder.is_absolute() {
            return Err(StartError::setting(SETTING, "the folder must be absolute: file:///folder"));
        }
        std::fs::create_dir_all(&folder).map_err(|error| StartError::file(&folder, error))?;
        let store = LocalFileSystem::new_with_prefix(&folder)
            .map_err(|error| StartError::store("blob store", error))?
            // Complete means on disk: content and name.
            .with_fsync(true);
        Ok(Self { store: Arc::new(store), part_bytes: LOCAL_PART_BYTES })
    }

    /// Begins a blob for this message.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn begin(&self, id: MessageId) -> Result<BlobWriter, BlobError> {
        let key = new_key(id);
        let upload = self.store.put_multipart(&Path::from(key.as_str())).await?;
        let part_bytes = self.part_bytes;
        Ok(BlobWriter { upload: Some(upload), key, part: Vec::new(), gathered_bytes: 0, part_bytes })
    }

    /// Octets that one upload holds in memory.
    #[must_use]
    pub fn upload_memory_bytes(&self) -> usize {
        self.part_bytes + 2 * limits::FRAME_MAX_BYTES
    }

    /// Opens a blob for reading.
    ///
    /// # Errors
    /// [`BlobError::Missing`], or the store is away.
    pub async fn get(&self, key: &str) -> Result<OpenBlob, BlobError> {
        let found = self.store.get(&Path::from(key)).await?;
        let size_bytes = found.meta.size;
        let octets = match found.payload {
            GetResultPayload::File(file, _path) => file_octets(file),
            GetResultPayload::Stream(stream) => stream.map_err(BlobError::from).flat_map(in_frames).boxed(),
        };
        Ok(OpenBlob { size_bytes, octets })
    }

    /// Removes a blob; one that is gone already is no error.
    ///
    /// # Errors
    /// When the store is away.
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        match self.store.delete(&Path::from(key)).await.map_err(BlobError::from) {
            Ok(()) | Err(BlobError::Missing) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// True while the store answers: it is asked for what nobody ever put there.
    pub async fn is_ready(&self) -> bool {
        let nothing = Path::from(format!("{FOLDER}/is-it-there"));
        let answer = tokio::time::timeout(READY_MAX, self.store.head(&nothing)).await;
        matches!(answer, Ok(Ok(_) | Err(object_store::Error::NotFound { .. })))
    }

    /// Keys of all blobs last written so long ago, by the clock of the store.
    pub fn older_than(&self, age: Duration) -> BoxStream<'static, Result<String, BlobError>> {
        let limit = unix_seconds().saturating_sub(age.as_secs()).cast_signed();
        self.store
            .list(Some(&Path::from(FOLDER)))
            .map_err(BlobError::from)
            .try_filter_map(move |meta| async move {
                Ok((meta.last_modified.timestamp() < limit).then(|| meta.location.to_string()))
            })
            .boxed()
    }
}

/// `messages/ff/<id>-<random>`: folders stay small, and no key is ever used twice.
fn new_key(id: MessageId) -> String {
    let attempt = Uuid::new_v4().as_simple().to_string();
    let spread = id.as_bytes()[15];
    format!("{FOLDER}/{spread:02x}/{id}-{}", &attempt[..12])
}

/// The message that a key belongs to.
#[must_use]
pub fn message_of_key(key: &str) -> Option<MessageId> {
    key.rsplit('/').next()?.split_once('-')?.0.parse().ok()
}

/// A blob being written. Dropped before [`Self::finish`] it does not exist.
pub struct BlobWriter {
    /// `None` once it ended.
    upload: Option<Box<dyn MultipartUpload>>,
    key: String,
    part: Vec<Bytes>,
    gathered_bytes: usize,
    part_bytes: usize,
}

impl BlobWriter {
    /// Takes the next octets; waits while the store is slower than the sender.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn write(&mut self, octets: Bytes) -> Result<(), BlobError> {
        let mut octets = octets;
        // Every part but the last has one size: some S3-compatible stores insist on it.
        while self.gathered_bytes + octets.len() >= self.part_bytes {
            let rest = octets.split_off(self.part_bytes - self.gathered_bytes);
            self.part.push(octets);
            self.send_part().await?;
            octets = rest;
        }
        self.gathered_bytes += octets.len();
        self.part.push(octets);
        Ok(())
    }

    /// Completes the blob and makes it durable; returns its key.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn finish(mut self) -> Result<String, BlobError> {
        if self.gathered_bytes > 0 {
            self.send_part().await?;
        }
        if let Some(mut upload) = self.upload.take() {
            upload.complete().await?;
        }
        Ok(std::mem::take(&mut self.key))
    }

    async fn send_part(&mut self) -> Result<(), BlobError> {
        self.gathered_bytes = 0;
        let payload = PutPayload::from_iter(std::mem::take(&mut self.part));
        if let Some(upload) = &mut self.upload {
            upload.put_part(payload).await?;
        }
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // Parts that nobody completes would be paid for in S3 for ever.
        if let (Some(mut upload), Ok(runtime)) = (self.upload.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::debug!(%error, "an upload could not be taken back");
                }
            });
        }
    }
}

fn file_octets(file: std::fs::File) -> BoxStream<'static, Result<Bytes, BlobError>> {
    futures_util::stream::try_unfold(file, |mut file| async move {
        // One hop to a blocking thread for each frame.
        let read = tokio::task::spawn_blocking(move || {
            use std::io::Read as _;
            let mut octets = Vec::with_capacity(limits::FRAME_MAX_BYTES);
            let count = (&mut file).take(limits::FRAME_MAX_BYTES as u64).read_to_end(&mut octets)?;
            Ok((count, octets, file))
        });
        match read.await.map_err(std::io::Error::other).and_then(|read| read).map_err(BlobError::File)? {
            (0, ..) => Ok(None),
            (_, octets, file) => Ok(Some((Bytes::from(octets), file))),
        }
    })
    .boxed()
}

fn in_frames(octets: Result<Bytes, BlobError>) -> BoxStream<'static, Result<Bytes, BlobError>> {
    let pieces = match octets {
        Ok(mut octets) => {
            let mut pieces = Vec::with_capacity(octets.len() / limits::FRAME_MAX_BYTES + 1);
            while octets.len() > limits::FRAME_MAX_BYTES {
                pieces.push(Ok(octets.split_to(limits::FRAME_MAX_BYTES)));
            }
            pieces.push(Ok(octets));
            pieces
        }
        Err(error) => vec![Err(error)],
    };
    futures_util::stream::iter(pieces).boxed()
}

/// Joins pieces; without a copy when there is only one.
pub(super) fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() == 1 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    for piece in pieces {
        whole.extend_from_slice(&piece);
    }
    whole.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn whole(blob: OpenBlob) -> Vec<u8> {
        blob.octets.try_collect::<Vec<_>>().await.expect("octets").concat()
    }

    #[tokio::test]
    async fn a_blob_comes_back_and_goes() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(&format!("file://{}/new/folder", folder.path().display())).expect("a store");
        let id = MessageId::new();
        let octets: Vec<u8> = (0..1_500_000u32).flat_map(|n| n.to_le_bytes()).collect();
        let mut writer = blobs.begin(id).await.expect("begun");
        for piece in octets.chunks(100_000) {
            writer.write(Bytes::copy_from_slice(piece)).await.expect("written");
        }
        let key = writer.finish().await.expect("finished");
        assert_eq!(message_of_key(&key), Some(id));

        let blob = blobs.get(&key).await.expect("found");
        assert_eq!(blob.size_bytes, octets.len() as u64);
        assert!(whole(blob).await == octets);
        let all = |age| blobs.older_than(Duration::from_secs(age)).try_collect::<Vec<_>>();
        assert!(all(3600).await.expect("listed").is_empty(), "a young one is not swept");

        blobs.delete(&key).await.expect("deleted");
        blobs.delete(&key).await.expect("again is no error");
        assert!(matches!(blobs.get(&key).await, Err(BlobError::Missing)));
    }

    #[tokio::test]
    async fn an_unfinished_blob_does_not_exist() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(&format!("file://{}", folder.path().display())).expect("a store");
        let mut writer = blobs.begin(MessageId::new()).await.expect("begun");
        writer.write(Bytes::from(vec![1; LOCAL_PART_BYTES])).await.expect("written");
        let key = writer.key.clone();
        drop(writer);
        assert!(matches!(blobs.get(&key).await, Err(BlobError::Missing)));
    }

    #[test]
    fn a_url_that_is_none_is_told() {
        for bad in ["", "/folder", "file://folder", "http://x/", "s3:/x"] {
            let error = Blobs::open(bad).expect_err(bad).to_string();
            assert!(error.starts_with("POSTERN_BLOB_URL: "), "{error}");
        }
    }
}
