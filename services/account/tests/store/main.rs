//! The service on a real Postgres: what only the database can prove.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod aliases;
mod answers;
mod asking;
mod claims;
mod creates;
mod delegation;
#[allow(unreachable_pub, reason = "a module of the platform's tests, shared")]
#[path = "../../../../tests/src/dns.rs"]
mod dns;
mod finding;
mod hostile;
mod house;
mod lists;
mod live;
mod long_audit;
mod mail_keys;
mod model;
mod overviews;
mod rules;
mod storage;
mod undo;
mod undo_own;
