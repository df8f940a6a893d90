//! auth against a real Redis, through its gRPC face, with a directory in memory.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod fake_directory;
mod faults;
mod house;
mod logins;
mod memory;
mod private_redis;
mod relaying;
mod revoking;
