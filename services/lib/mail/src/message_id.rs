//! The one id of a message: queue id, request id and W3C trace id in one, made at MAIL.

use std::{fmt, str::FromStr};

use thiserror::Error;
use uuid::Uuid;

/// 128 bits, printed as 32 lower case hex digits. Never all zero (W3C Trace Context 3.2.2.3).
///
/// New ids begin with the time (UUID version 7), so that rows of one hour lie together in an index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(Uuid);

/// What was given is no message id.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a message id is 32 hex digits, not all zero")]
pub struct MessageIdError;

impl MessageId {
    /// Makes a new id.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "an id that differs each time is no default")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The 16 octets, as they travel and are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The same bits as a UUID, as the database holds them.
    #[must_use]
    pub fn as_uuid(&self) -> Uuid {
        self.0
    }
}

impl TryFrom<&[u8]> for MessageId {
    type Error = MessageIdError;

    fn try_from(octets: &[u8]) -> Result<Self, Self::Error> {
        match Uuid::from_slice(octets) {
            Ok(id) if !id.is_nil() => Ok(Self(id)),
            _ => Err(MessageIdError),
        }
    }
}

impl TryFrom<Uuid> for MessageId {
    type Error = MessageIdError;

    fn try_from(id: Uuid) -> Result<Self, Self::Error> {
        if id.is_nil() { Err(MessageIdError) } else { Ok(Self(id)) }
    }
}

impl FromStr for MessageId {
    type Err = MessageIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 32 {
            return Err(MessageIdError);
        }
        match Uuid::try_parse(text) {
            Ok(id) if !id.is_nil() => Ok(Self(id)),
            _ => Err(MessageIdError),
        }
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_simple())
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_32_hex_digits_and_reads_back() {
        let id = MessageId::new();
        let text = id.to_string();
        assert_eq!(text.len(), 32);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(MessageId::try_from(&id.as_bytes()[..]), Ok(id));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for bad in ["", "0", "00000000000000000000000000000000", "zz000000000000000000000000000001", "0-0"] {
            assert_eq!(bad.parse::<MessageId>(), Err(MessageIdError), "{bad}");
        }
        assert!(MessageId::try_from(&[1u8; 15][..]).is_err());
    }
}
