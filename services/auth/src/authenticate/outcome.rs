//! How a login ended, and who is told what of it.

use std::{sync::Arc, time::Duration};

use postern_mail::{PeerIp, Reason, Verdict};
use postern_mesh::{failure, held_back};
use postern_proto::{account::v1::LoginIdentity, auth::v1::Protocol};
use thiserror::Error;
use tonic::Status;

use crate::{password::PasswordError, redis_store::StoreError};

/// Somebody who is who they say.
#[derive(Clone, Debug)]
pub(crate) struct GoodLogin {
    pub(crate) identity: Arc<LoginIdentity>,
    /// A relay grant of this client lives now.
    pub(crate) granted: bool,
    /// The app password that was given; 0: the password itself.
    pub(crate) app_password_id: i64,
}

/// Why nobody was let in. Only the first is a verdict.
#[derive(Debug, Error)]
pub(crate) enum LoginError {
    #[error("login or password is wrong")]
    BadCredentials {
        /// The client is to hear it only after this time.
        answer_after: Duration,
    },
    #[error("the password is right, the account is suspended")]
    Suspended,
    #[error("too many failed logins")]
    Throttled,
    #[error("a password in clear text")]
    EncryptionRequired,
    #[error("directory: {}", .0.message())]
    Directory(#[source] Box<Status>),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("the login was given up")]
    Aborted(#[source] tokio::task::JoinError),
}

impl LoginError {
    /// What the gateways and the panel are told.
    pub(crate) fn status(&self) -> Status {
        match self {
            Self::BadCredentials { answer_after } => held_back::status(self.reason(), *answer_after),
            _ => failure::status(self.reason()),
        }
    }

    /// The row of the failure table.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::BadCredentials { .. } => Reason::BadCredentials,
            Self::Suspended => Reason::AccountSuspended,
            Self::Throttled => Reason::LoginThrottled,
            Self::EncryptionRequired => Reason::EncryptionRequired,
            Self::Directory(status) => temporary_reason(status),
            Self::Password(PasswordError::Overloaded) => Reason::Overloaded,
            Self::Password(PasswordError::Hash(_) | PasswordError::Parameters(_)) => Reason::Misconfigured,
            Self::Store(_) | Self::Password(PasswordError::Worker(_)) | Self::Aborted(_) => {
                Reason::Unavailable
            }
        }
    }
}

/// Why the directory did not answer. Whatever it says, it is no verdict on the login or sender in hand (R0).
pub(crate) fn temporary_reason(status: &Status) -> Reason {
    match failure::reason_of(status) {
        reason if reason.verdict() == Verdict::Temporary => reason,
        _ => Reason::Unavailable,
    }
}

/// For the operator: the log and the metrics.
pub(super) fn note(
    result: &Result<GoodLogin, LoginError>,
    session_id: &str,
    peer: PeerIp,
    protocol: Protocol,
    took: Duration,
) {
    let outcome = match result {
        Ok(login) => {
            let mailbox_id = login.identity.mailbox_id;
            tracing::debug!(session_id, %peer, mailbox_id, granted = login.granted, "login");
            "good"
        }
        // The login as typed is not logged: people type their password there.
        Err(
            error @ (LoginError::BadCredentials { .. }
            | LoginError::Suspended
            | LoginError::Throttled
            | LoginError::EncryptionRequired),
        ) => {
            tracing::info!(session_id, %peer, "login refused: {error}");
            match error {
                LoginError::Throttled => "throttled",
                LoginError::EncryptionRequired => "clear text",
                _ => "bad",
            }
        }
        Err(error) => {
            tracing::warn!(session_id, %peer, error = error as &dyn std::error::Error, "login not possible");
            "unavailable"
        }
    };
    metrics::counter!("postern_auth_logins_total", "protocol" => protocol.as_str_name(), "outcome" => outcome)
        .increment(1);
    metrics::histogram!("postern_auth_login_seconds", "outcome" => outcome).record(took.as_secs_f64());
}
