//! What every Postern process stands on: settings, telemetry, the gRPC server and client stack, identity and access
//! between services, the cached directory, health, shutdown, TLS and the PROXY protocol.
//!
//! A request leaves through [`client::MeshChannel`], arrives in [`server`], passes [`access`], and its failure comes
//! back as a reason of [`failure`].

mod assertion_cache;
mod deadline;
mod error;
mod guard;
mod incoming;
mod log_line;
mod pool;
mod reload;
mod sampling;

pub mod access;
pub mod admission;
pub mod audit;
pub mod client;
pub mod clock;
pub mod counted;
pub mod directory;
#[cfg(feature = "dns")]
pub mod dns;
pub mod doors;
pub mod failure;
pub mod health;
pub mod held_back;
pub mod house;
pub mod identity;
pub mod mail_file;
pub mod memory;
pub mod mesh_tls;
pub mod probe;
pub mod process;
pub mod proxy;
pub mod reception;
pub mod room;
pub mod secret;
pub mod sending;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod sightings;
pub mod telemetry;
pub mod tls;
pub mod trace_context;
pub mod version;

pub use error::StartError;
pub use guard::opened;
