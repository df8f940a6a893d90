//! Content of messages on its way in and out: scanned, measured, kept in memory or spilled to the blob store.
//!
//! The walk in: `grpc/submission` -> `ingest` -> `scan` -> memory or `blobs`. Out: `maildrop` and `queue` -> `blobs`.

mod blobs;
mod header;
mod ingest;
mod opened;
mod plain;
mod scan;
pub(crate) mod watch;
mod words;

pub use blobs::{BlobError, BlobWriter, Blobs, OpenBlob, message_of_key};
pub(crate) use header::{Field, Header, domains_in};
pub use ingest::{Ingest, IngestError, IngestLimits, Ingested};
pub(crate) use opened::{open_header, whole_header};
pub(crate) use plain::{
    PlainForm, growth_of, plain_bytes_of, plain_copy_bytes, plain_fields, plain_message_bytes,
};
pub use scan::{Found, HeaderScan};
pub(crate) use words::{base64_body, encoded, encoded_words, phrase};
