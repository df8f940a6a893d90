//! Every bound of the platform that more than one part must know, with its unit in the name.
//!
//! Bounds that a site may change are settings (`POSTERN_LIMIT_...`) whose defaults stand here.

/// POP3 command line with its CRLF, octets (RFC 2449 section 4).
pub const POP3_LINE_MAX_BYTES: usize = 255;
/// SMTP command line with its CRLF, octets (RFC 5321 section 4.5.3.1.4 asks for 512, extensions for more).
pub const SMTP_LINE_MAX_BYTES: usize = 2048;
/// SASL continuation line with its CRLF, octets (RFC 4954 section 4).
pub const SASL_LINE_MAX_BYTES: usize = 12_288;
/// A line that has not ended after so many octets ends the session.
pub const ENDLESS_LINE_MAX_BYTES: usize = 64 * 1024;
/// Line of message content, octets. RFC 5321 section 4.5.3.1.6 asks for 1000; more is taken, never folded.
pub const CONTENT_LINE_MAX_BYTES: usize = 1024 * 1024;
/// Local part, octets (RFC 5321 section 4.5.3.1.1).
pub const LOCAL_PART_MAX_BYTES: usize = 64;
/// Domain, octets without the root dot (RFC 1035 section 2.3.4).
pub const DOMAIN_MAX_BYTES: usize = 253;
/// Address without brackets, octets (RFC 5321 section 4.5.3.1.3 less two).
pub const ADDRESS_MAX_BYTES: usize = 254;
/// Recipients of one SMTP transaction (RFC 5321 section 4.5.3.1.8 asks for 100 at least).
pub const RECIPIENTS_MAX: usize = 1000;
/// Message content, octets: default of `POSTERN_LIMIT_MESSAGE_BYTES`.
pub const MESSAGE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Received: fields after which a message is in a loop (RFC 5321 section 6.3).
pub const RECEIVED_HEADERS_MAX: usize = 100;
/// Header block, octets.
pub const HEADER_BLOCK_MAX_BYTES: usize = 1024 * 1024;
/// Steps from alias to alias.
pub const EXPANSION_DEPTH_MAX: usize = 10;
/// Addresses that one recipient may expand to.
pub const EXPANSION_ADDRESSES_MAX: usize = 1000;
/// Content of one frame between the services, octets.
pub const FRAME_MAX_BYTES: usize = 128 * 1024;
/// Login as typed, octets: an address, or a customer login.
pub const LOGIN_MAX_BYTES: usize = 320;
/// Password as typed, octets.
pub const PASSWORD_MAX_BYTES: usize = 1024;
/// Password as set, octets at least.
pub const PASSWORD_MIN_BYTES: usize = 8;
/// Life of a relay grant, seconds.
pub const GRANT_TTL_SECONDS: u32 = 30 * 60;
/// Messages of strangers that one recipient here gets in an hour.
pub const INBOUND_PER_HOUR_MAX: u32 = 600;
/// Life of a mailbox lock that nobody renews, seconds.
pub const LOCK_TTL_SECONDS: u64 = 60;
/// How often a gateway renews its locks, seconds.
pub const LOCK_RENEW_SECONDS: u64 = 20;
/// A cached answer of the directory is used only while the last beat is younger, milliseconds.
pub const DIRECTORY_FRESH_MILLIS: u64 = 750;
/// The directory beats at least so often, milliseconds.
pub const DIRECTORY_BEAT_MILLIS: u64 = 250;
