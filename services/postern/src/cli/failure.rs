//! Why a command did not do what was asked, and the exit code that says so to a script.

use postern_mail::Verdict;
use postern_mesh::failure;
use thiserror::Error;
use tonic::Status;

/// A command that was not done.
#[derive(Debug, Error)]
pub enum Failure {
    /// The platform said no: exit code 1.
    #[error("{0}")]
    Refused(String),
    /// Something is missing on our side of the call: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// A part is away, or asks to wait: exit code 75.
    #[error("{0}")]
    Later(String),
}

impl Failure {
    /// For the shell (75 is EX_TEMPFAIL of sysexits.h).
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 2,
            Self::Later(_) => 75,
        }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        // The reason as it was given: a wrong token is an answer here, while to a gateway it would be temporary.
        let typed = failure::typed_reason(&status);
        let reason = typed.unwrap_or_else(|| failure::reason_of(&status));
        let detail = failure::detail_of(&status);
        let text = match detail {
            "" => reason.text().to_owned(),
            detail if typed.is_some() && detail.contains(reason.text()) => detail.to_owned(),
            detail => format!("{}: {detail}", reason.text()),
        };
        match reason.verdict() {
            Verdict::Temporary => Self::Later(text),
            Verdict::Permanent => Self::Refused(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::Reason;

    use super::*;

    #[test]
    fn exit_codes_follow_the_failure_table() {
        let of = |status: Status| Failure::from(status);
        let refused = of(failure::status_with(Reason::AlreadyExists, "a mailbox has this address"));
        assert_eq!(refused.exit_code(), 1);
        assert_eq!(refused.to_string(), "already exists: a mailbox has this address");
        assert_eq!(of(failure::status(Reason::NotFound)).to_string(), "not found");
        assert_eq!(of(failure::status(Reason::CallerUnknown)).exit_code(), 1);
        assert_eq!(of(Status::unavailable("connection refused")).exit_code(), 75);
        assert_eq!(of(Status::internal("?")).exit_code(), 75);
        assert_eq!(of(failure::status(Reason::EtagMismatch)).exit_code(), 75);
    }
}
