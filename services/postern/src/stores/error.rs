//! Why private stores do not come up, in words for the person at the terminal.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why Postgres or Redis could not be started.
#[derive(Debug, Error)]
pub enum StoresError {
    /// A program is not installed.
    #[error("{program} is not installed: {hint}")]
    NotInstalled {
        /// What was looked for.
        program: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// As root we need a user without rights for Postgres, which refuses to run as root.
    #[error(
        "running as root needs the system user `postgres` for Postgres (package postgresql), and there is none"
    )]
    NoUser,
    /// The data were written by another major version.
    #[error("{} was made by Postgres {wanted}, which is not installed: install it, or move the folder away", folder.display())]
    OtherVersion {
        /// The data folder.
        folder: PathBuf,
        /// Major version that made it.
        wanted: String,
    },
    /// Another house lives here.
    #[error("{} is in use by another running house: stop that one, or choose another POSTERN_HOME", folder.display())]
    InUse {
        /// The data folder.
        folder: PathBuf,
    },
    /// A program could not be started at all.
    #[error("{program} cannot be started: {source}")]
    Spawn {
        /// Which.
        program: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A program ended or did not answer in time.
    #[error("{program} {what}; the end of its log says:\n{log}")]
    Failed {
        /// Which.
        program: &'static str,
        /// What happened.
        what: String,
        /// Last lines.
        log: String,
    },
    /// A statement on the fresh server failed.
    #[error("postgres cannot create the database: {source}")]
    Database {
        /// What it said.
        #[source]
        source: sqlx::Error,
    },
    /// A file or folder cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl StoresError {
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        Self::File { path: path.to_path_buf(), source }
    }
}

/// The last lines of a log, for [`StoresError::Failed`].
pub(super) fn log_tail(path: &Path) -> String {
    let text = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4096)..]).into_owned();
    let lines: Vec<_> = text.lines().rev().take(8).collect();
    lines.into_iter().rev().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}
