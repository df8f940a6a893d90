//! The service on a real Postgres: what only the database can prove.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod aliases;
mod asking;
mod claims;
mod creates;
mod delegation;
mod dns;
mod house;
mod live;
mod rules;
