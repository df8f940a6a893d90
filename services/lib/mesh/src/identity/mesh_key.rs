//! The key that all parts of one house share, and the settings that it comes from.

use std::{fmt, path::PathBuf, sync::Arc};

use clap::{Arg, ArgMatches, Command, error::ErrorKind};
use ring::hmac;
use thiserror::Error;

/// Secret of the mesh, octets.
const KEY_BYTES: usize = 32;

/// The text given is not 64 hexadecimal digits.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("must be 64 hexadecimal digits")]
pub struct MeshKeyError;

/// The secret that the parts of one house share. Never shown.
#[derive(Clone)]
pub struct MeshKey(pub(super) Arc<hmac::Key>);

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

    /// A key for one purpose of one service, the same in all its replicas; it says nothing about this one.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&self.0, purpose.as_bytes()).as_ref())
    }

    fn from_secret(secret: &[u8; KEY_BYTES]) -> Self {
        Self(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }
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
    use crate::identity::{Caller, Role};

    #[test]
    fn keys_are_64_hexadecimal_digits_and_never_shown() {
        let hex = "0123456789abcdefABCDEF0123456789abcdefABCDEF0123456789abcdef0123";
        let key = MeshKey::from_hex(&format!(" {hex}\n")).expect("a key");
        assert!(!format!("{key:?}").contains("0123"));
        let same = MeshKey::from_hex(&hex.to_lowercase()).expect("a key");
        assert!(same.verify(&key.assertion(&Caller::new("x", Role::Service))).is_ok());
        for bad in ["", "00", &hex[1..], &hex.replace('0', "g"), &"é".repeat(32)] {
            assert!(MeshKey::from_hex(bad).is_err(), "{bad}");
        }
    }
}
