//! Who calls: a short signed sentence (assertion) that travels with each call, made by the caller's own process or by
//! auth for a person, and verified by every service by itself.
//!
//! Form: `v1.<payload>.<tag>`, both base64url without padding; the payload is `expiry seconds\nrole\nsubject`, the tag
//! its HMAC-SHA256 with the key that all parts of one house share.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use clap::{Arg, ArgMatches, Command, error::ErrorKind};
use ring::hmac;
use thiserror::Error;

/// Metadata key that carries the assertion.
pub const ASSERTION_METADATA: &str = "postern-assertion";
/// Life of an assertion, seconds.
pub const ASSERTION_SECONDS: u64 = 60;
/// How far the clock of the signer may be ahead of ours, seconds.
const CLOCK_SKEW_SECONDS: u64 = 30;
/// Longest assertion that is looked at, octets.
const ASSERTION_MAX_BYTES: usize = 1024;
/// Secret of the mesh, octets.
const KEY_BYTES: usize = 32;

/// What a caller may do, by the access table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A part of the house: only what gateways and workers need.
    Service,
    /// A person or tool with the operator token.
    Operator,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Operator => "operator",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text {
            "service" => Some(Self::Service),
            "operator" => Some(Self::Operator),
            _ => None,
        }
    }
}

/// Who calls; handlers find it in `request.extensions()`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Caller {
    /// Name of the service or of the person.
    pub subject: String,
    /// What they may do.
    pub role: Role,
}

/// Why an assertion is not believed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum AssertionError {
    /// Not of the form.
    #[error("malformed assertion")]
    Malformed,
    /// Signed with another key, or changed.
    #[error("the signature of the assertion does not fit")]
    WrongSignature,
    /// Its 60 seconds are over, or the clocks differ.
    #[error("the assertion has expired, or the clocks differ")]
    Expired,
}

/// A believed assertion and when it ends.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) caller: Caller,
    /// Seconds of the Unix epoch.
    pub(crate) expires: u64,
}

/// The text given is not 64 hexadecimal digits.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("must be 64 hexadecimal digits")]
pub struct MeshKeyError;

/// The secret that the parts of one house share. Never shown.
#[derive(Clone)]
pub struct MeshKey(Arc<hmac::Key>);

impl MeshKey {
    /// Reads 64 hexadecimal digits; white space around them is ignored.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn from_hex(text: &str) -> Result<Self, MeshKeyError> {
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(MeshKeyError);
        }
        let mut secret = [0_u8; KEY_BYTES];
        for (octet, pair) in secret.iter_mut().zip(digits.chunks_exact(2)) {
            *octet = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Ok(Self::from_secret(&secret))
    }

    /// A key that nobody else knows, for one process that is the whole house, and for tests.
    #[must_use]
    pub fn random() -> Self {
        Self::from_secret(&rand::random::<[u8; KEY_BYTES]>())
    }

    fn from_secret(secret: &[u8; KEY_BYTES]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// Says for the next 60 seconds: the bearer is this subject in this role. Control characters in the subject become
    /// spaces, and it is cut at 128 characters.
    #[must_use]
    pub fn assertion(&self, subject: &str, role: Role) -> String {
        self.assertion_until(subject, role, unix_seconds() + ASSERTION_SECONDS)
    }

    fn assertion_until(&self, subject: &str, role: Role, expires: u64) -> String {
        let subject: String =
            subject.chars().take(128).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let payload = format!("{expires}\n{}\n{subject}", role.as_str());
        let tag = hmac::sign(&self.0, payload.as_bytes());
        format!("v1.{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }

    /// Believes an assertion or says why not.
    ///
    /// # Errors
    /// Malformed, wrong signature, or expired.
    pub fn verify(&self, text: &str) -> Result<Caller, AssertionError> {
        self.verify_at(text, unix_seconds()).map(|verified| verified.caller)
    }

    pub(crate) fn verify_at(&self, text: &str, now: u64) -> Result<Verified, AssertionError> {
        use AssertionError::{Expired, Malformed, WrongSignature};
        if text.len() > ASSERTION_MAX_BYTES {
            return Err(Malformed);
        }
        let (payload, tag) = text.strip_prefix("v1.").and_then(|t| t.split_once('.')).ok_or(Malformed)?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Malformed)?;
        // ring compares in constant time.
        hmac::verify(&self.0, &payload, &tag).map_err(|_| WrongSignature)?;
        let payload = String::from_utf8(payload).map_err(|_| Malformed)?;
        let mut lines = payload.splitn(3, '\n');
        let (Some(expires), Some(role), Some(subject)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(Malformed);
        };
        let expires: u64 = expires.parse().map_err(|_| Malformed)?;
        let role = Role::parse(role).ok_or(Malformed)?;
        if expires <= now || expires > now + ASSERTION_SECONDS + CLOCK_SKEW_SECONDS {
            return Err(Expired);
        }
        Ok(Verified { caller: Caller { subject: subject.to_owned(), role }, expires })
    }
}

/// Seconds since 1970; 0 on a clock that is set before that, which makes every assertion expire.
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

fn hex_digit(digit: u8) -> Result<u8, MeshKeyError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(MeshKeyError),
    }
}

impl fmt::Debug for MeshKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeshKey(..)")
    }
}

const KEY_ARG: &str = "mesh_key";
const KEY_FILE_ARG: &str = "mesh_key_file";

/// `POSTERN_MESH_KEY` or `POSTERN_MESH_KEY_FILE`; may be flattened by more than one settings struct of a process.
impl clap::Args for MeshKey {
    fn augment_args(command: Command) -> Command {
        if command.get_arguments().any(|arg| arg.get_id() == KEY_ARG) {
            return command;
        }
        command
            .arg(
                Arg::new(KEY_ARG)
                    .long("mesh-key")
                    .env("POSTERN_MESH_KEY")
                    .hide_env_values(true)
                    .value_name("HEX")
                    .help("Secret that all parts of one house share: 64 hexadecimal digits"),
            )
            .arg(
                Arg::new(KEY_FILE_ARG)
                    .long("mesh-key-file")
                    .env("POSTERN_MESH_KEY_FILE")
                    .value_name("FILE")
                    .value_parser(clap::value_parser!(PathBuf))
                    .help("File that holds the secret of POSTERN_MESH_KEY"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for MeshKey {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let wrong = |kind, text: String| clap::Error::raw(kind, text + "\n");
        if let Some(text) = matches.get_one::<String>(KEY_ARG) {
            return Self::from_hex(text)
                .map_err(|e| wrong(ErrorKind::ValueValidation, format!("POSTERN_MESH_KEY {e}")));
        }
        let Some(path) = matches.get_one::<PathBuf>(KEY_FILE_ARG) else {
            let text = "POSTERN_MESH_KEY or POSTERN_MESH_KEY_FILE is needed: 64 hexadecimal digits, the same for \
                        all parts of one house (openssl rand -hex 32)";
            return Err(wrong(ErrorKind::MissingRequiredArgument, text.to_owned()));
        };
        let text = std::fs::read_to_string(path)
            .map_err(|e| wrong(ErrorKind::Io, format!("POSTERN_MESH_KEY_FILE {}: {e}", path.display())))?;
        Self::from_hex(&text).map_err(|e| {
            wrong(ErrorKind::ValueValidation, format!("POSTERN_MESH_KEY_FILE {}: {e}", path.display()))
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn what_was_signed_is_believed_for_its_time_only() {
        let key = MeshKey::random();
        let text = key.assertion_until("smtp-gateway", Role::Service, NOW + 60);
        let verified = key.verify_at(&text, NOW).expect("believed");
        assert_eq!(verified.caller, Caller { subject: "smtp-gateway".to_owned(), role: Role::Service });
        assert!(key.verify_at(&text, NOW + 59).is_ok());
        assert_eq!(key.verify_at(&text, NOW + 60).unwrap_err(), AssertionError::Expired);
        // A clock that is far behind: the life that is left would be longer than any that we give.
        assert_eq!(key.verify_at(&text, NOW - 31).unwrap_err(), AssertionError::Expired);
        assert!(key.verify_at(&text, NOW - 30).is_ok());
    }

    #[test]
    fn a_fresh_assertion_is_believed_now() {
        let key = MeshKey::random();
        let caller = key.verify(&key.assertion("alice", Role::Operator)).expect("believed");
        assert_eq!(caller.role, Role::Operator);
    }

    #[test]
    fn any_change_is_noticed() {
        let key = MeshKey::random();
        let text = key.assertion_until("panel", Role::Service, NOW + 60);
        let dot = text.rfind('.').expect("tag");
        let raised = URL_SAFE_NO_PAD.encode(format!("{}\noperator\npanel", NOW + 60));
        let forged = format!("v1.{raised}{}", &text[dot..]);
        assert_eq!(key.verify_at(&forged, NOW).unwrap_err(), AssertionError::WrongSignature);
        assert_eq!(MeshKey::random().verify_at(&text, NOW).unwrap_err(), AssertionError::WrongSignature);
        for at in 3..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert!(key.verify_at(&changed, NOW).is_err(), "octet {at}");
        }
    }

    #[test]
    fn junk_is_refused_without_a_panic() {
        let key = MeshKey::random();
        let signed = |payload: &str| {
            let tag = hmac::sign(&key.0, payload.as_bytes());
            format!("v1.{}.{}", URL_SAFE_NO_PAD.encode(payload), URL_SAFE_NO_PAD.encode(tag.as_ref()))
        };
        for bad in [
            "",
            "v1.",
            "v1..",
            "v2.a.b",
            "v1.é.é",
            &"v1.".repeat(1000),
            &signed(""),
            &signed("x\nservice\ny"),
        ] {
            assert!(key.verify_at(bad, NOW).is_err(), "{bad}");
        }
        assert!(key.verify_at(&signed("99999999999999999999\nservice\ny"), NOW).is_err());
        assert!(key.verify_at(&signed(&format!("{}\nroot\ny", NOW + 1)), NOW).is_err());
    }

    #[test]
    fn a_subject_cannot_smuggle_a_line_and_the_longest_one_is_believed() {
        let key = MeshKey::random();
        let caller = key.verify(&key.assertion("a\noperator\nb", Role::Service)).expect("believed");
        assert_eq!(caller, Caller { subject: "a operator b".to_owned(), role: Role::Service });
        assert!(key.verify(&key.assertion(&"\u{10348}".repeat(500), Role::Service)).is_ok());
    }

    #[test]
    fn keys_are_64_hexadecimal_digits_and_never_shown() {
        let hex = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdef0123";
        let key = MeshKey::from_hex(&format!(" {hex}\n")).expect("a key");
        assert!(!format!("{key:?}").contains("0123"));
        let same = MeshKey::from_hex(&hex.to_lowercase()).expect("a key");
        assert!(same.verify(&key.assertion("x", Role::Service)).is_ok());
        for bad in ["", "00", &hex[1..], &hex.replace('0', "g"), &"é".repeat(32)] {
            assert!(MeshKey::from_hex(bad).is_err(), "{bad}");
        }
    }
}
