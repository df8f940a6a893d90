//! Mail that comes from another house or goes to one: whole messages as they are, into a box and out of it.
//!
//! The walk in: `grpc/box/import` -> [`Importer`] -> `wire_form` (judged and hashed) -> `content` (kept or spilled) -> `store`
//! (a batch in one statement). Out: `grpc/box/export` -> `maildrop` reads.

mod course;
mod import;
mod store;
mod wire_form;

pub use course::{Course, Opening, Told, courses};
pub use import::{Arrival, Import, ImportError, Importer, Refusal, Report};
