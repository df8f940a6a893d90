//! What can go wrong in account, by what it means to the caller.

use thiserror::Error;

/// Why a request was not done.
#[derive(Debug, Error)]
pub(crate) enum AccountError {
    /// A field is wrong: `field: why`.
    #[error("{0}")]
    Invalid(String),
    /// What was asked for does not exist: what.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken: which, and by what kind.
    #[error("{0}")]
    AlreadyExists(String),
    /// Not as things stand: why.
    #[error("{0}")]
    Precondition(String),
    /// Changed since it was read.
    #[error("etag: {0} was changed meanwhile, read it again")]
    EtagMismatch(String),
    /// The customer may not have more of these.
    #[error("{0}")]
    LimitReached(String),
    /// Too many codes of a second factor were wrong within so many minutes.
    #[error("too many codes were wrong: wait {0} minutes")]
    TooManyCodes(i32),
    /// The caller may not do this.
    #[error("{0}")]
    NotPermitted(String),
    /// Only operators may.
    #[error("{0}: operators only")]
    OperatorsOnly(&'static str),
    /// No password can be hashed now.
    #[error("too many passwords are being set at once")]
    Busy,
    /// Too many domains are being checked.
    #[error("too many domains are being checked at once")]
    ChecksBusy,
    /// No DKIM key could be made.
    #[error("no DKIM key can be made")]
    KeyGeneration,
    /// Hashing failed.
    #[error("the password cannot be hashed")]
    Hash(#[source] argon2::password_hash::Error),
    /// The database did not do it.
    #[error("{doing}")]
    Store {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The database holds what this version does not understand.
    #[error("{0}")]
    Stored(&'static str),
}

/// Names what was being done when the database failed.
pub(crate) trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, AccountError>;
}

impl<T> Doing<T> for Result<T, sqlx::Error> {
    fn doing(self, what: &'static str) -> Result<T, AccountError> {
        self.map_err(|source| AccountError::Store { doing: what, source })
    }
}
