//! Checks a password against its argon2id hash, off the async threads, never more at once than there are workers; who
//! cannot begin in time is told to come back. Each check needs about 20 MiB, so the bound is one of memory too: a hash that
//! somebody brought along and that needs more takes the places of several.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{Output, PasswordHash},
};
use bytes::Bytes;
use postern_mesh::{counted::Counted, room};
use thiserror::Error;
use tokio::{sync::Semaphore, time::Instant};

/// How long a login waits for a worker at most.
pub(crate) const QUEUE_WAIT_MAX: Duration = Duration::from_secs(2);
/// A hash that asks for more memory than this is a mistake, KiB.
const MEMORY_MAX_KIB: u32 = 1024 * 1024;
/// More workers than this help nobody.
const WORKERS_MAX: u32 = 4096;
/// A hash that asks for more passes than this is a mistake.
const PASSES_MAX: u32 = 64;
/// Matches no password and costs what a hash of the platform costs: the same work for a login that does not exist.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5LWlzLWhlcmUhIQ$9oPjPcbVVJHzmFBzkjtVDrJhd9D8q0dQm0T9cRr3dXk";

/// Why a password could not be checked. Never a verdict on it.
#[derive(Debug, Error)]
pub(crate) enum PasswordError {
    /// All workers stayed busy.
    #[error("too many passwords are being checked")]
    Overloaded,
    /// The stored hash cannot be used; the operator has to look at it.
    #[error("stored password hash: {0}")]
    Hash(argon2::password_hash::Error),
    /// The stored hash is none of argon2id within bounds.
    #[error("stored password hash: argon2: {0}")]
    Parameters(argon2::Error),
    /// The worker ended without an answer.
    #[error("password worker")]
    Worker(#[source] tokio::task::JoinError),
}

/// The workers and the memory that they use again and again.
pub(crate) struct Passwords {
    workers: Arc<Semaphore>,
    count: u32,
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl Passwords {
    /// `workers` 0 means as many as cores and memory allow.
    pub(crate) fn new(workers: usize) -> Self {
        let count = u32::try_from(room::password_workers(workers)).unwrap_or(u32::MAX).min(WORKERS_MAX);
        Self { workers: Arc::new(Semaphore::new(count as usize)), count, memory: Arc::default() }
    }

    /// True when the password fits the hash. `None`: there is no such login; the work is the same, the answer `false`.
    ///
    /// # Errors
    /// When no worker is free before the deadline, or the hash cannot be used.
    pub(crate) async fn verify(
        &self,
        phc: Option<&str>,
        password: Bytes,
        deadline: Instant,
    ) -> Result<bool, PasswordError> {
        let exists = phc.is_some();
        let phc = phc.unwrap_or(NOBODY).to_owned();
        let places = places_of(&phc).min(self.count);
        let waiting = Counted::in_gauge(metrics::gauge!("postern_auth_passwords_waiting"));
        let turn = Arc::clone(&self.workers).acquire_many_owned(places);
        let Ok(Ok(permit)) = tokio::time::timeout_at(deadline, turn).await else {
            return Err(PasswordError::Overloaded);
        };
        drop(waiting);
        let memory = Arc::clone(&self.memory);
        let checked = tokio::task::spawn_blocking(move || {
            // Held until the work is done, also when nobody waits for the answer any more.
            let _permit = permit;
            verify_with(&memory, &phc, &password)
        });
        let fits = checked.await.map_err(PasswordError::Worker)??;
        Ok(fits && exists)
    }

    /// Gives the memory back while nobody logs in; called now and then.
    pub(crate) fn rest(&self) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// How many hashes of the platform's own kind need as much memory as this one.
fn places_of(phc: &str) -> u32 {
    let hash = PasswordHash::new(phc).ok();
    let params = hash.and_then(|hash| Params::try_from(&hash).ok());
    params.map_or(1, |params| params.m_cost().div_ceil(Params::DEFAULT_M_COST))
}

fn verify_with(memory: &Mutex<Vec<Vec<Block>>>, phc: &str, password: &[u8]) -> Result<bool, PasswordError> {
    let hash = PasswordHash::new(phc).map_err(PasswordError::Hash)?;
    let argon2 = argon2_of(&hash)?;
    let mut salt_octets = [0; 64];
    let salt = hash
        .salt
        .ok_or(argon2::password_hash::Error::PhcStringField)
        .and_then(|salt| salt.decode_b64(&mut salt_octets))
        .map_err(PasswordError::Hash)?;
    let expected = hash.hash.ok_or(PasswordError::Hash(argon2::password_hash::Error::PhcStringField))?;
    let mut computed = vec![0; expected.len()];
    let mut blocks = memory.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
    blocks.resize(argon2.params().block_count(), Block::new());
    let done = argon2.hash_password_into_with_memory(password, salt, &mut computed, &mut blocks);
    if blocks.capacity() <= Params::DEFAULT.block_count() {
        memory.lock().unwrap_or_else(PoisonError::into_inner).push(blocks);
    }
    done.map_err(PasswordError::Parameters)?;
    // Output compares in constant time.
    Ok(Output::new(&computed).map_err(PasswordError::Hash)? == expected)
}

fn argon2_of(hash: &PasswordHash<'_>) -> Result<Argon2<'static>, PasswordError> {
    let algorithm = Algorithm::try_from(hash.algorithm).map_err(PasswordError::Hash)?;
    if algorithm != Algorithm::Argon2id {
        return Err(PasswordError::Parameters(argon2::Error::AlgorithmInvalid));
    }
    let version = match hash.version {
        Some(version) => Version::try_from(version).map_err(PasswordError::Parameters)?,
        None => Version::default(),
    };
    let params = Params::try_from(hash).map_err(PasswordError::Hash)?;
    if params.m_cost() > MEMORY_MAX_KIB {
        return Err(PasswordError::Parameters(argon2::Error::MemoryTooMuch));
    }
    if params.t_cost() > PASSES_MAX {
        return Err(PasswordError::Parameters(argon2::Error::TimeTooSmall));
    }
    Ok(Argon2::new(algorithm, version, params))
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher as _, SaltString};

    use super::*;

    fn phc(password: &[u8], memory_kib: u32) -> String {
        let params = Params::new(memory_kib, 1, 1, None).unwrap();
        let salt = SaltString::encode_b64(b"0123456789abcdef").unwrap();
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password(password, &salt)
            .unwrap()
            .to_string()
    }

    fn soon() -> Instant {
        Instant::now() + QUEUE_WAIT_MAX
    }

    #[tokio::test]
    async fn the_right_password_fits_also_in_used_memory() {
        let passwords = Passwords::new(1);
        let (small, large) = (phc(b"sesame", 64), phc(b"sesame", 256));
        for hash in [&large, &small, &large] {
            assert!(passwords.verify(Some(hash), Bytes::from_static(b"sesame"), soon()).await.unwrap());
            assert!(!passwords.verify(Some(hash), Bytes::from_static(b"sesame "), soon()).await.unwrap());
            assert!(!passwords.verify(Some(hash), Bytes::new(), soon()).await.unwrap());
        }
    }

    #[tokio::test]
    async fn nobody_has_a_real_hash_of_the_platforms_cost_and_never_fits() {
        let passwords = Passwords::new(1);
        let parsed = PasswordHash::new(NOBODY).unwrap();
        let params = Params::try_from(&parsed).unwrap();
        assert_eq!(
            (params.m_cost(), params.t_cost(), params.p_cost()),
            (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST)
        );
        assert!(!passwords.verify(None, Bytes::from_static(b"x"), soon()).await.unwrap());
        let memory = passwords.memory.lock().unwrap();
        assert_eq!(memory[0].len(), params.block_count(), "the work was done");
    }

    #[tokio::test]
    async fn a_hash_that_cannot_be_used_is_no_verdict() {
        let passwords = Passwords::new(1);
        for bad in [
            "",
            "plain",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$argon2i$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$9oPjPcbVVJHzmFBzkjtVDrJhd9D8q0dQm0T9cRr3dXk",
            "$argon2id$v=19$m=4194304,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$9oPjPcbVVJHzmFBzkjtVDrJhd9D8q0dQm0T9cRr3dXk",
            "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg",
        ] {
            let checked = passwords.verify(Some(bad), Bytes::from_static(b"x"), soon()).await;
            assert!(matches!(checked, Err(PasswordError::Hash(_) | PasswordError::Parameters(_))), "{bad}");
        }
    }

    #[tokio::test]
    async fn a_hash_that_needs_much_memory_takes_several_places_and_none_is_kept() {
        for (memory_kib, places) in [(64, 1), (19_456, 1), (19_457, 2), (65_536, 4)] {
            assert_eq!(places_of(&phc(b"x", memory_kib)), places, "{memory_kib}");
        }
        let passwords = Passwords::new(2);
        let large = phc(b"sesame", 65_536);
        let busy = Arc::clone(&passwords.workers).acquire_owned().await.unwrap();
        let at_once = Instant::now() + Duration::from_millis(20);
        let checked = passwords.verify(Some(&large), Bytes::from_static(b"sesame"), at_once).await;
        assert!(matches!(checked, Err(PasswordError::Overloaded)), "one of two places is too little");
        drop(busy);
        // Never more than there are.
        assert!(passwords.verify(Some(&large), Bytes::from_static(b"sesame"), soon()).await.unwrap());
        assert!(passwords.memory.lock().unwrap().is_empty(), "much memory is given back at once");
    }

    #[tokio::test]
    async fn who_finds_no_worker_in_time_is_told_so() {
        let passwords = Passwords::new(1);
        let _busy = Arc::clone(&passwords.workers).acquire_owned().await.unwrap();
        let soon = Instant::now() + Duration::from_millis(20);
        let checked = passwords.verify(None, Bytes::new(), soon).await;
        assert!(matches!(checked, Err(PasswordError::Overloaded)));
    }
}
