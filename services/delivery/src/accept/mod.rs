//! The one durable step: a message, its entries and its queue rows become true in one Postgres COMMIT.
//!
//! The walk: `grpc/submission` or `bounce` -> here -> `batch` (gathers) -> `write` (one statement) -> Postgres.

mod unit;

pub use unit::{AcceptUnit, Committed, MessageFlags, NewMessage, NewQueueRow, QueueClass, StoredContent};
