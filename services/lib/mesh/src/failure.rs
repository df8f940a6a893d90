//! Reason to gRPC status and back: one match in each direction, nothing decided elsewhere.
//!
//! Rule R0: only an `ErrorInfo` of our own domain is the word of the domain; every other status becomes temporary.

use std::collections::HashMap;

use postern_mail::Reason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// `google.rpc.ErrorInfo.domain` of our reasons.
pub const DOMAIN: &str = "postern";

/// Longest detail that is sent, octets.
const DETAIL_MAX_BYTES: usize = 1024;

/// A status that says this reason with the table's own text.
#[must_use]
pub fn status(reason: Reason) -> Status {
    status_with(reason, reason.text())
}

/// A status whose message says what and where; tools show it, gateways do not.
pub fn status_with(reason: Reason, detail: impl Into<String>) -> Status {
    status_with_metadata(reason, detail, HashMap::new())
}

/// The same with `ErrorInfo.metadata`, such as `since` and `peer_ip` of [`Reason::MailboxInUse`].
pub fn status_with_metadata(
    reason: Reason,
    detail: impl Into<String>,
    metadata: HashMap<String, String>,
) -> Status {
    let details = ErrorDetails::with_error_info(reason.name(), DOMAIN, metadata);
    Status::with_error_details(code_of(reason), shortened(detail.into()), details)
}

/// Why a call failed. What no part of ours typed is temporary (R0, table of the fault matrix):
/// [`Reason::Unavailable`], [`Reason::Misconfigured`] (alert the operator) or [`Reason::InsufficientStorage`].
#[must_use]
pub fn reason_of(status: &Status) -> Reason {
    match typed_reason(status) {
        // To a gateway its own rejection by a peer is version skew or a wrong key, never a verdict on the mail.
        Some(Reason::CallerUnknown | Reason::CallerNotPermitted) => Reason::Misconfigured,
        Some(reason) => reason,
        None => untyped_reason(status.code()),
    }
}

/// The reason that a part of ours gave, as it gave it. Operator tools show this one.
#[must_use]
pub fn typed_reason(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    if info.domain != DOMAIN {
        return None;
    }
    info.reason.parse().ok()
}

/// True when the replica that was asked is gone or silent: the call may have been done all the same, and another replica may
/// be asked. One that says that a part of its own is away is there, and another one would say the same.
#[must_use]
pub fn is_away(status: &Status) -> bool {
    status.code() == Code::Unavailable && typed_reason(status).is_none()
}

/// `ErrorInfo.metadata` of one of our own statuses, else empty.
#[must_use]
pub fn metadata_of(status: &Status) -> HashMap<String, String> {
    match status.get_details_error_info() {
        Some(info) if info.domain == DOMAIN => info.metadata,
        _ => HashMap::new(),
    }
}

/// What and where, for tools and logs.
#[must_use]
pub fn detail_of(status: &Status) -> &str {
    status.message()
}

/// Cut at a character: a status travels in a header block of limited size.
fn shortened(mut detail: String) -> String {
    if detail.len() > DETAIL_MAX_BYTES {
        let end = (0..=DETAIL_MAX_BYTES).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
        detail.truncate(end);
    }
    detail
}

fn untyped_reason(code: Code) -> Reason {
    match code {
        Code::Unimplemented | Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied => {
            Reason::Misconfigured
        }
        Code::ResourceExhausted => Reason::InsufficientStorage,
        _ => Reason::Unavailable,
    }
}

fn code_of(reason: Reason) -> Code {
    match reason {
        Reason::NoSuchMailbox | Reason::NotFound | Reason::MessageGone => Code::NotFound,
        Reason::BadCredentials | Reason::CallerUnknown | Reason::AuthenticationRequired => {
            Code::Unauthenticated
        }
        Reason::RelayProhibited
        | Reason::SenderNotPermitted
        | Reason::AuthorNotPermitted
        | Reason::CallerNotPermitted
        | Reason::AccountSuspended
        | Reason::PostingNotPermitted
        | Reason::FailsAuthentication
        | Reason::SenderTakesNoMail
        | Reason::LooksLikeSpam
        | Reason::EncryptionRequired => Code::PermissionDenied,
        Reason::LoginThrottled
        | Reason::LoginTooSoon
        | Reason::BudgetExhausted
        | Reason::InsufficientStorage
        | Reason::Overloaded
        | Reason::OverQuota
        | Reason::InboundLimit
        | Reason::LimitReached
        | Reason::TooManyRecipients
        | Reason::TooManyUnknownRecipients
        | Reason::TooManyFailures
        | Reason::TooManyErrors
        | Reason::TooManyConnections => Code::ResourceExhausted,
        Reason::MailboxInUse
        | Reason::LockLost
        | Reason::MailboxRemoved
        | Reason::FailedPrecondition
        | Reason::DomainNotLive
        | Reason::MailLoop
        | Reason::BadSequence
        | Reason::NoValidRecipients
        | Reason::Unsynchronized
        | Reason::Misconfigured => Code::FailedPrecondition,
        Reason::EtagMismatch => Code::Aborted,
        Reason::AlreadyExists => Code::AlreadyExists,
        Reason::MessageDamaged => Code::DataLoss,
        Reason::InvalidArgument
        | Reason::MessageTooLarge
        | Reason::BadContent
        | Reason::ContentLineTooLong
        | Reason::HeadersTooLarge
        | Reason::BadArguments
        | Reason::UnknownParameter
        | Reason::BadSenderAddress
        | Reason::BadRecipientAddress
        | Reason::NonAsciiAddress
        | Reason::LineTooLong
        | Reason::SaslLineTooLong
        | Reason::BadCharacter
        | Reason::UnknownMechanism
        | Reason::AuthenticationMalformed => Code::InvalidArgument,
        Reason::UnknownCommand | Reason::NotImplemented => Code::Unimplemented,
        Reason::AuthenticationCancelled => Code::Cancelled,
        Reason::IdleTimeout => Code::DeadlineExceeded,
        Reason::Unavailable
        | Reason::SpamUndecided
        | Reason::ShuttingDown
        | Reason::AuthenticationUnavailable
        | Reason::Disconnected
        | Reason::TlsNotAvailable => Code::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use postern_mail::Verdict;

    use super::*;

    #[test]
    fn every_reason_survives_the_way_there_and_back() {
        for reason in Reason::ALL {
            let there = status_with(*reason, "field: why");
            // As it is on the wire.
            let back = Status::from_header_map(there.into_http::<()>().headers()).expect("a status");
            assert_eq!(typed_reason(&back), Some(*reason));
            assert_eq!(detail_of(&back), "field: why");
            if !matches!(reason, Reason::CallerUnknown | Reason::CallerNotPermitted) {
                assert_eq!(reason_of(&back), *reason);
            }
            assert_ne!(back.code(), Code::Ok, "{reason:?}");
            assert_ne!(back.code(), Code::Unknown, "{reason:?}");
        }
    }

    #[test]
    fn what_nobody_typed_is_temporary() {
        for number in 1..=16 {
            let reason = reason_of(&Status::new(Code::from_i32(number), "boom"));
            assert_eq!(reason.verdict(), Verdict::Temporary, "code {number}");
            let expected = match Code::from_i32(number) {
                Code::Unimplemented
                | Code::InvalidArgument
                | Code::Unauthenticated
                | Code::PermissionDenied => Reason::Misconfigured,
                Code::ResourceExhausted => Reason::InsufficientStorage,
                _ => Reason::Unavailable,
            };
            assert_eq!(reason, expected, "code {number}");
        }
    }

    #[test]
    fn a_word_of_somebody_else_is_not_ours() {
        for (domain, name) in [("googleapis.com", "NO_SUCH_MAILBOX"), (DOMAIN, "NEWER_THAN_WE_ARE")] {
            let details = ErrorDetails::with_error_info(name, domain, HashMap::new());
            let status = Status::with_error_details(Code::NotFound, "x", details);
            assert_eq!(reason_of(&status), Reason::Unavailable, "{domain} {name}");
        }
        let broken = Status::with_details(Code::NotFound, "x", b"\xff\xff\xff".as_slice().into());
        assert_eq!(reason_of(&broken), Reason::Unavailable);
    }

    #[test]
    fn what_a_peer_says_of_our_own_rights_is_never_permanent() {
        for reason in [Reason::CallerUnknown, Reason::CallerNotPermitted] {
            assert_eq!(reason_of(&status(reason)), Reason::Misconfigured);
        }
    }

    #[test]
    fn a_long_detail_is_cut_at_a_character() {
        let status = status_with(Reason::NotFound, "é".repeat(5000));
        assert_eq!(detail_of(&status), "é".repeat(512));
        assert_eq!(detail_of(&status_with(Reason::NotFound, "x".repeat(1024))).len(), 1024);
        assert_eq!(detail_of(&status_with(Reason::NotFound, format!("x{}", "é".repeat(600)))).len(), 1023);
    }

    #[test]
    fn metadata_is_carried() {
        let metadata = HashMap::from([("peer_ip".to_owned(), "203.0.113.9".to_owned())]);
        let status = status_with_metadata(Reason::MailboxInUse, "held", metadata.clone());
        assert_eq!(metadata_of(&status), metadata);
        assert!(metadata_of(&Status::unavailable("x")).is_empty());
    }
}
