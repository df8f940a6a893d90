//! The mesh as its users see it: a client and a server in one process, with and without HTTP/2 between them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod by_name;
mod certificates;
mod channel;
mod directory;
mod doors;
mod fake;
mod reception;
mod silent;
