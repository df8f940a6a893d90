//! SMTP as pure machines: line reader, command grammar, replies, readers of content, client. No sockets, no clock.
//!
//! The gateway (server side) and the sender in delivery (client side) both stand on this crate, so that one grammar
//! and one idea of "end of data" hold for the whole house.

pub mod chunk;
pub mod client;
pub mod command;
pub mod data;
pub mod dsn;
pub mod line;
pub mod reply;
