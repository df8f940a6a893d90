//! SMTP as pure machines: command grammar, replies, the DATA reader, the line reader. No sockets, no clock.
//!
//! The gateway (server side) and the sender in delivery (client side) both stand on this crate, so that one grammar
//! and one idea of "end of data" hold for the whole house.

pub mod client;
pub mod command;
pub mod data;
pub mod line;
pub mod reply;
