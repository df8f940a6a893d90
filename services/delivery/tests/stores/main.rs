//! The delivery service on real stores: a private Postgres and Redis on unix sockets, started here and gone with us.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod accept;
mod account;
mod autoreply;
mod directory;
mod house;
mod lists;
mod maildrop;
mod measure;
mod reading;
mod service;
mod sweep;
mod trace;
mod transfer;
mod usage;
mod vault;
