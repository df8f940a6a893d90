//! Passwords as they are set: hashed with argon2id, off the async threads, as many at once as cores and memory allow.

use std::{sync::Arc, time::Duration};

use argon2::{
    ARGON2ID_IDENT, Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHash, PasswordHasher as _, SaltString},
};
use postern_mesh::room;
use tokio::sync::Semaphore;

use crate::{
    error::AccountError,
    fields::{self, invalid},
};

/// Memory of one hash, KiB (OWASP, argon2id with t=2, p=1).
const MEMORY_KIB: u32 = 19_456;
/// Passes over the memory.
const PASSES: u32 = 2;
/// Lanes.
const LANES: u32 = 1;
/// With one pass only, a ready hash needs so much memory, KiB.
const SINGLE_PASS_MEMORY_KIB: u32 = 47_104;
/// What a ready hash may cost at most: every login pays it.
const READY_MEMORY_MAX_KIB: u32 = 262_144;
const READY_PASSES_MAX: u32 = 10;
const READY_LANES_MAX: u32 = 8;
/// Octets of salt and hash that a ready hash must have.
const READY_SALT_MIN_BYTES: usize = 8;
const READY_HASH_MIN_BYTES: usize = 16;
const READY_MAX_BYTES: usize = 512;
/// How long a request waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// A password that is to be set.
#[derive(Clone)]
pub(crate) enum NewPassword {
    Plain(String),
    /// A ready PHC string.
    Ready(String),
}

/// Hashes passwords.
#[derive(Clone)]
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
}

impl Passwords {
    /// So many at once; 0 means as many as cores and memory allow.
    pub(crate) fn new(workers: usize) -> Self {
        let workers = room::password_workers(workers).min(Semaphore::MAX_PERMITS);
        Self { turns: Arc::new(Semaphore::new(workers)) }
    }

    /// The PHC string to store. The password has been checked by [`check`].
    pub(crate) async fn hash(&self, password: NewPassword) -> Result<String, AccountError> {
        let plain = match password {
            NewPassword::Ready(phc) => return Ok(phc),
            NewPassword::Plain(plain) => plain,
        };
        let turn = tokio::time::timeout(TURN_TIMEOUT, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else { return Err(AccountError::Busy) };
        let hashing = tokio::task::spawn_blocking(move || {
            // The turn ends with the work, also when the caller has gone away meanwhile.
            let _turn = turn;
            hash(&plain)
        });
        hashing.await.map_err(|_| AccountError::Busy)?
    }
}

/// Refuses what no password may be.
pub(crate) fn check(field: &str, password: &NewPassword) -> Result<(), AccountError> {
    match password {
        NewPassword::Plain(plain) => fields::password(&format!("{field}.plain"), plain),
        NewPassword::Ready(phc) => check_ready(&format!("{field}.phc"), phc),
    }
}

fn hash(plain: &str) -> Result<String, AccountError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|e| AccountError::Hash(e.into()))?;
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).map_err(AccountError::Hash)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let phc = argon2.hash_password(plain.as_bytes(), &salt).map_err(AccountError::Hash)?;
    Ok(phc.to_string())
}

fn check_ready(field: &str, phc: &str) -> Result<(), AccountError> {
    const EXPECTED: &str = "not a PHC string of argon2id, as in $argon2id$v=19$m=19456,t=2,p=1$salt$hash";
    if phc.len() > READY_MAX_BYTES {
        return invalid(field, EXPECTED);
    }
    let Ok(parsed) = PasswordHash::new(phc) else { return invalid(field, EXPECTED) };
    if parsed.algorithm != ARGON2ID_IDENT || parsed.version != Some(u32::from(Version::V0x13)) {
        return invalid(field, EXPECTED);
    }
    let Ok(params) = Params::try_from(&parsed) else { return invalid(field, EXPECTED) };
    if !params.keyid().is_empty() || !params.data().is_empty() {
        return invalid(field, EXPECTED);
    }
    let mut octets = [0; 64];
    let salt =
        parsed.salt.and_then(|salt| salt.decode_b64(&mut octets).ok().map(<[u8]>::len)).unwrap_or_default();
    let hash = parsed.hash.map_or(0, |hash| hash.len());
    if salt < READY_SALT_MIN_BYTES || hash < READY_HASH_MIN_BYTES {
        return invalid(
            field,
            format_args!("salt of {READY_SALT_MIN_BYTES} and hash of {READY_HASH_MIN_BYTES} octets at least"),
        );
    }
    let (memory, passes) = (params.m_cost(), params.t_cost());
    let strong = memory >= SINGLE_PASS_MEMORY_KIB || (memory >= MEMORY_KIB && passes >= PASSES);
    if !strong {
        return invalid(
            field,
            format_args!("too weak: m={MEMORY_KIB},t={PASSES} or m={SINGLE_PASS_MEMORY_KIB},t=1 at least"),
        );
    }
    if memory > READY_MEMORY_MAX_KIB || passes > READY_PASSES_MAX || params.p_cost() > READY_LANES_MAX {
        return invalid(
            field,
            format_args!(
                "too costly: m={READY_MEMORY_MAX_KIB},t={READY_PASSES_MAX},p={READY_LANES_MAX} at most"
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use argon2::PasswordVerifier as _;

    use super::*;

    const TAIL: &str = "c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

    #[tokio::test]
    async fn a_hash_is_a_ready_hash_and_opens_with_its_password_only() {
        let phc = Passwords::new(1).hash(NewPassword::Plain("postern-demo".into())).await.expect("hashed");
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        check("password", &NewPassword::Ready(phc.clone())).expect("our own hashes are good enough");
        let parsed = PasswordHash::new(&phc).expect("PHC");
        assert!(Argon2::default().verify_password(b"postern-demo", &parsed).is_ok());
        assert!(Argon2::default().verify_password(b"postern-Demo", &parsed).is_err());
    }

    #[test]
    fn ready_hashes_must_be_strong_and_not_too_costly() {
        for (params, good) in [
            ("$argon2id$v=19$m=19456,t=2,p=1", true),
            ("$argon2id$v=19$m=47104,t=1,p=1", true),
            ("$argon2id$v=19$m=65536,t=3,p=4", true),
            ("$argon2id$v=19$m=19455,t=2,p=1", false),
            ("$argon2id$v=19$m=47103,t=1,p=1", false),
            ("$argon2id$v=19$m=4194304,t=2,p=1", false),
            ("$argon2id$v=19$m=19456,t=1000,p=1", false),
            ("$argon2id$v=19$m=19456,t=2,p=100", false),
            ("$argon2id$v=16$m=19456,t=2,p=1", false),
            ("$argon2i$v=19$m=19456,t=2,p=1", false),
            ("$2b$12", false),
            ("", false),
        ] {
            let phc = format!("{params}${TAIL}");
            assert_eq!(check("password", &NewPassword::Ready(phc.clone())).is_ok(), good, "{phc}");
        }
        let no_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA";
        assert!(check("password", &NewPassword::Ready(no_hash.into())).is_err());
        assert!(check("password", &NewPassword::Ready("x".repeat(5000))).is_err());
    }
}
