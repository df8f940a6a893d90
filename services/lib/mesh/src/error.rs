//! Why a process could not start: one clear line that names the setting, file or port.

use std::{error::Error, net::SocketAddr, path::PathBuf};

use thiserror::Error;

/// Where a cause comes from is told by its own type; here it is only shown.
type Cause = Box<dyn Error + Send + Sync>;

/// Ends the process before any door is open.
#[derive(Debug, Error)]
pub enum StartError {
    /// A setting is missing or makes no sense.
    #[error("{name}: {why}")]
    Setting {
        /// Name of the environment variable.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A port cannot be opened.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A store is away, refuses us, or is not set up as it must be.
    #[error("{store}: {source}")]
    Store {
        /// Postgres, Redis, the blob store.
        store: &'static str,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// A certificate or its key cannot be used.
    #[error("TLS: {what}: {source}")]
    Tls {
        /// What was done with it.
        what: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// The machine has no thread for us.
    #[error("no thread can be started: {0}")]
    Thread(#[source] std::io::Error),
    /// Traces cannot be sent.
    #[error("telemetry: {source}")]
    Telemetry {
        /// Why not.
        #[source]
        source: Cause,
    },
}

impl StartError {
    /// A setting is missing or makes no sense.
    pub fn setting(name: &'static str, why: impl Into<String>) -> Self {
        Self::Setting { name, why: why.into() }
    }

    /// A port cannot be opened.
    #[must_use]
    pub fn listen(address: SocketAddr, source: std::io::Error) -> Self {
        Self::Listen { address, source }
    }

    /// A file cannot be read or written.
    pub fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }

    /// A store is away, refuses us, or is not set up as it must be.
    pub fn store(store: &'static str, source: impl Into<Cause>) -> Self {
        Self::Store { store, source: source.into() }
    }

    /// A certificate or its key cannot be used.
    pub fn tls(what: &'static str, source: impl Into<Cause>) -> Self {
        Self::Tls { what, source: source.into() }
    }

    /// Traces cannot be sent.
    pub fn telemetry(source: impl Into<Cause>) -> Self {
        Self::Telemetry { source: source.into() }
    }
}
