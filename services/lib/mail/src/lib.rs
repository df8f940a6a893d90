//! The words of the field as types: addresses, client addresses, logins and passwords, message ids, limits, and the one failure table.
//!
//! No I/O happens here. A string from outside becomes one of these types once, at the edge, and is trusted after.

mod address;
mod failure;
mod login;
mod message_id;
mod password;
mod peer_ip;
mod unsubscribe_token;

pub mod limits;
pub mod rewritten_sender;
pub mod sasl;

pub use address::{AddressError, DomainName, EmailAddress, ReversePath, folded};
pub use failure::{Pop3Code, Reason, SmtpReply, Verdict};
pub use login::{CUSTOMER_LOGIN_MAX_CHARS, canonical_login, customer_login, is_customer_login};
pub use message_id::{MessageId, MessageIdError};
pub use password::Password;
pub use peer_ip::{ClientKey, PeerIp, PeerIpError, SiteKey};
pub use unsubscribe_token::{UnsubscribeToken, unsubscribe_token};
