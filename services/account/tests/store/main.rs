//! The service on a real Postgres: what only the database can prove.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod asking;
mod creates;
mod house;
mod live;
mod rules;
