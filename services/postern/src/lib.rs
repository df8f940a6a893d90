//! The command `postern`: `up` runs the whole house on one machine, the rest are operator commands over gRPC.
//!
//! As a library it lends its private stores and its "outside world" to the tests.

pub mod certificates;
pub mod cli;
pub mod doctor;
pub mod home;
pub mod sink;
pub mod stores;
pub mod up;
mod whole_file;
