//! The delivery service: what happens to a message, from acceptance to the last copy read, sent on or bounced.
//!
//! A message: `grpc/submission` -> `content` (scan, spill) -> `route` (where to) -> `accept` (the one commit)
//! -> `queue` -> `outbound` or `bounce`. A mail client: `grpc/maildrop` -> `lock` -> `maildrop`.

pub mod accept;
pub mod bounce;
pub mod content;
pub mod grpc;
pub mod lock;
pub mod maildrop;
pub mod outbound;
pub mod queue;
pub mod route;
pub mod settings;
pub mod store;
pub mod sweep;

pub use settings::Settings;
